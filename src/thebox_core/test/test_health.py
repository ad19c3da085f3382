# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from typing import Any

import pytest

from thebox_core.health import ERROR, OK, STALE, WARN, Report, latency_values
from thebox_core.measures import LATENCY_BUCKETS, Latency
from thebox_core.node import BoxNode


def test_the_gravest_finding_is_level_and_comes_first() -> None:
    report = Report()
    report.find(OK, "fine")
    report.find(WARN, "warm")
    report.find(ERROR, "burning")
    report.find(WARN, "smoke")
    assert report.level == ERROR
    assert report.findings[0] == "burning"
    assert sorted(report.findings) == ["burning", "fine", "smoke", "warm"]
    assert (OK, WARN, ERROR, STALE) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "unknown"),
        (1.23456789, "1.23457"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        ("words", "words"),
        (0.0, "0"),
    ],
)
def test_values_as_text(value: object, text: str) -> None:
    report = Report()
    report.put("key", value)
    assert report.values == {"key": text}


def test_the_histogram_is_cumulative_and_complete() -> None:
    latency = Latency()
    for value in (0.0005, 0.003, 0.003, 7.0):
        latency.add(value)
    values = latency_values("l", latency)
    bounds = [values[f"l.le.{bound:g}"] for bound in (*LATENCY_BUCKETS, math.inf)]
    assert bounds[:3] == [1, 1, 3]
    assert bounds[-2:] == [3, 4]
    assert bounds == sorted(bounds)  # type: ignore[type-var]
    assert values["l.count"] == 4
    assert values["l.sum"] == pytest.approx(7.0065)


class Reporting(BoxNode):
    def __init__(self, **options: Any) -> None:
        super().__init__("reporting", **options)
        self.broken = False
        self.health.add("subject", self._fill)

    def _fill(self, report: Report) -> None:
        report.put("answer", 42)
        if self.broken:
            raise RuntimeError("cannot look")
        report.find(WARN, "tepid")


@pytest.mark.graph
def test_a_subject_on_diagnostics_and_its_own_fault_is_an_error(live: Any) -> None:
    node = live.start(Reporting)
    live.wait(lambda: live.level("reporting: subject") == WARN, "the subject")
    assert live.health["reporting: subject"].message == "tepid"
    assert live.value("reporting: subject", "answer") == "42"
    assert live.health["reporting: subject"].hardware_id == "none"
    node.health.hardware_id("SN 7")
    node.broken = True
    live.wait(lambda: live.level("reporting: subject") == ERROR, "its fault")
    assert "cannot look" in live.health["reporting: subject"].message
    assert live.value("reporting: subject", "answer") == "42"
    assert live.health["reporting: subject"].hardware_id == "SN 7"
    node.broken = False
    live.wait(lambda: live.level("reporting: subject") == WARN, "health again")
