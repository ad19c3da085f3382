# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""DiagnosticStatusWrapper and CompositeDiagnosticTask: what upstream's do too."""

from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import (
    CompositeDiagnosticTask,
    DiagnosticStatusWrapper,
    DiagnosticTask,
    FunctionDiagnosticTask,
    Heartbeat,
)

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)


def status(level: bytes, message: str) -> DiagnosticStatusWrapper:
    stat = DiagnosticStatusWrapper()
    stat.summary(level, message)
    return stat


def pairs(stat: DiagnosticStatus) -> list[tuple[str, str]]:
    return [(entry.key, entry.value) for entry in stat.values]


def test_a_new_status_is_ok_and_empty() -> None:
    stat = DiagnosticStatusWrapper(name="link", hardware_id="SN7")
    assert (stat.level, stat.message, stat.values) == (OK, "", [])
    assert (stat.name, stat.hardware_id) == ("link", "SN7")
    assert isinstance(stat, DiagnosticStatus)


def test_summary_sets_and_copies_level_and_message_only() -> None:
    source = status(ERROR, "port taken")
    source.name = "source"
    source.add("port", "8888")
    stat = DiagnosticStatusWrapper(name="link")
    stat.summary(source)
    assert (stat.level, stat.message, stat.name, pairs(stat)) == (ERROR, "port taken", "link", [])
    stat.clearSummary()
    assert (stat.level, stat.message) == (OK, "")


def test_summary_turns_the_message_into_text() -> None:
    assert status(WARN, ValueError("late")).message == "late"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [
        ((OK, "a"), (OK, "b"), (OK, "a; b")),
        ((OK, ""), (OK, "b"), (OK, "b")),
        ((OK, "a"), (WARN, "b"), (WARN, "b")),
        ((WARN, "a"), (OK, "b"), (WARN, "a")),
        ((WARN, "a"), (ERROR, "b"), (ERROR, "a; b")),
        ((ERROR, "a"), (WARN, "b"), (ERROR, "a; b")),
        ((ERROR, "a"), (STALE, "b"), (STALE, "a; b")),
        ((STALE, ""), (WARN, "b"), (STALE, "b")),
    ],
)
def test_merging(old: tuple[bytes, str], new: tuple[bytes, str], merged: tuple[bytes, str]) -> None:
    from_pair, from_status = status(*old), status(*old)
    from_pair.mergeSummary(*new)
    from_status.mergeSummary(status(*new))
    assert (from_pair.level, from_pair.message) == merged
    assert (from_status.level, from_status.message) == merged


def test_values_keep_their_order_and_their_doubles() -> None:
    stat = DiagnosticStatusWrapper()
    for key, value in [("b", "1"), ("a", "2"), ("b", "3")]:
        stat.add(key, value)
    assert pairs(stat) == [("b", "1"), ("a", "2"), ("b", "3")]


def test_composite_keeps_all_values_and_merges_summaries() -> None:
    def link(stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        stat.summary(WARN, "slow")
        stat.add("rate", "1")
        return stat

    def untouched(stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        stat.add("seen", f"{stat.level[0]} {stat.message}")
        return stat

    def disk(stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        stat.summary(ERROR, "full")
        return stat

    both = CompositeDiagnosticTask("both")
    both.addTask(FunctionDiagnosticTask("link", link))
    both.addTask(FunctionDiagnosticTask("untouched", untouched))
    both.addTask(FunctionDiagnosticTask("disk", disk))

    stat = both.run(status(WARN, "as given"))

    assert both.getName() == "both"
    assert (stat.level, stat.message) == (ERROR, "slow; as given; full")
    assert pairs(stat) == [("rate", "1"), ("seen", "1 as given")]


def test_composite_of_nothing_is_ok() -> None:
    stat = CompositeDiagnosticTask("none").run(status(ERROR, "No message was set"))
    assert (stat.level, stat.message) == (OK, "")


def test_a_plain_task_leaves_its_status_alone() -> None:
    given = status(WARN, "as given")
    task = DiagnosticTask("plain")
    assert task.name == task.getName() == "plain"
    assert task.run(given) is given
    assert (given.level, given.message) == (WARN, "as given")


def test_heartbeat() -> None:
    stat = Heartbeat().run(status(ERROR, "No message was set"))
    assert (Heartbeat().getName(), stat.level, stat.message) == ("Heartbeat", OK, "Alive")
