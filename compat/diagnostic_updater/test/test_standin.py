# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the stand-in is kinder than upstream's package, and what it is called."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ament_index_python.packages import get_package_share_directory
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import (
    CompositeDiagnosticTask,
    DiagnosticStatusWrapper,
    FrequencyStatus,
    FrequencyStatusParam,
    FunctionDiagnosticTask,
    Heartbeat,
    TimeStampStatus,
    TimeStampStatusParam,
    Updater,
)
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.time import Time
from rosgraph_msgs.msg import Clock as ClockMessage

if TYPE_CHECKING:
    from conftest import Graph

pytestmark = [
    pytest.mark.graph,
    pytest.mark.skipif(
        importlib.util.find_spec("diagnostic_updater._monitors") is None,
        reason="the real diagnostic_updater is installed here",
    ),
]

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def report(task: FrequencyStatus) -> tuple[bytes, str, dict[str, str]]:
    stat = task.run(DiagnosticStatusWrapper())
    return stat.level, stat.message, {entry.key: entry.value for entry in stat.values}


@pytest.fixture
def simulated(graph: Graph) -> tuple[Node, Callable[[float], None]]:
    """A node on simulated time, and a function that sets that time, seconds."""
    node = graph.node(use_sim_time=True)
    publisher = graph.listener.create_publisher(ClockMessage, "/clock", 1)
    graph.wait(lambda: publisher.get_subscription_count() > 0, "the node to listen to /clock")

    def set_time(seconds: float) -> None:
        goal = Time(nanoseconds=round(seconds * 1e9))

        def arrived() -> bool:
            if node.get_clock().now().nanoseconds == goal.nanoseconds:
                return True
            publisher.publish(ClockMessage(clock=goal.to_msg()))  # again: /clock is best effort
            return False

        graph.wait(arrived, "the time to arrive")

    return node, set_time


def test_the_version_marks_a_stand_in() -> None:
    installed = Path(get_package_share_directory("diagnostic_updater")) / "package.xml"
    version = re.search(r"<version>(.*)</version>", installed.read_text(encoding="utf-8"))
    assert version is not None
    assert re.fullmatch(r"4\.2\.9\d\d\d", version[1])
    setup = Path(__file__).parents[1] / "setup.py"
    assert f'version="{version[1]}"' in setup.read_text(encoding="utf-8")


def test_a_second_updater_shares_the_nodes_parameters(graph: Graph) -> None:
    node = graph.node(diagnostic_updater__use_fqn=True)
    first, second = Updater(node), Updater(node, 7.0)
    assert first.period == second.period == 3600.0
    array = graph.array_after(node, second.publisher, lambda: second.add(Heartbeat()))
    assert array.status[0].name == f"//{node.get_name()}: Heartbeat"


class Circling(LifecycleNode):
    """Takes an updater when it is configured and gives it back when it is cleaned up."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.updater = Updater(self)
        self.updater.add(Heartbeat())
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.destroy_timer(self.updater.timer)
        self.destroy_publisher(self.updater.publisher)
        return TransitionCallbackReturn.SUCCESS


def test_a_lifecycle_node_goes_round_with_nothing_left_behind(graph: Graph) -> None:
    node = graph.node(kind=Circling)

    def held() -> tuple[int, int]:
        return len(list(node.timers)), len(list(node.publishers))

    before = held()
    for _ in range(10):
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert held() == (before[0] + 1, before[1] + 1)
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        assert held() == before


def test_a_new_period_replaces_the_timer(graph: Graph) -> None:
    node = graph.node()
    updater = Updater(node)
    timers = len(list(node.timers))
    updater.period = 1800.0
    assert len(list(node.timers)) == timers
    assert updater.timer.timer_period_ns == 1800 * 10**9


@pytest.mark.parametrize("period", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_period_is_refused_with_its_name(graph: Graph, period: float) -> None:
    node = graph.node(diagnostic_updater__period=period)
    publishers = len(list(node.publishers))
    with pytest.raises(ValueError, match=rf"diagnostic_updater\.period.*{node.get_name()}"):
        Updater(node)
    assert len(list(node.publishers)) == publishers
    updater = Updater(graph.node())
    with pytest.raises(ValueError, match="positive"):
        updater.period = period
    assert updater.period == 3600.0


def test_a_task_may_add_and_remove_tasks(graph: Graph) -> None:
    node = graph.node()
    updater = Updater(node)

    def replace_myself(stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        updater.removeByName("first")
        updater.add(Heartbeat())
        stat.summary(OK, "done")
        return stat

    updater.add("first", replace_myself)
    array = graph.array_after(node, updater.publisher, updater.force_update)
    names = [status.name.split(": ")[1] for status in array.status]
    assert names in (["first"], ["Heartbeat"])  # the announcement may be the first to arrive
    assert [task.name for task in updater.tasks] == ["Heartbeat"]


def test_publishing_leaves_the_status_as_it_was(graph: Graph) -> None:
    node = graph.node()
    updater = Updater(node)
    stat = DiagnosticStatusWrapper(name="link")
    for _ in range(2):
        array = graph.array_after(node, updater.publisher, lambda: updater.publish([stat]))
        assert array.status[0].name == f"{node.get_name()}: link"
    assert stat.name == "link"


def test_a_task_that_returns_nothing_is_named(graph: Graph) -> None:
    updater = Updater(graph.node())
    updater.add("forgetful", lambda stat: None)
    with pytest.raises(TypeError, match="'forgetful' returned None"):
        updater.force_update()
    parts = CompositeDiagnosticTask("parts")
    parts.addTask(FunctionDiagnosticTask("part", lambda stat: None))  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="'part' returned None"):
        parts.run(DiagnosticStatusWrapper())


def test_wrong_arguments_are_named_where_they_are_given(graph: Graph) -> None:
    stat = DiagnosticStatusWrapper()
    with pytest.raises(TypeError, match=r"'port' and 8888"):
        stat.add("port", 8888)  # type: ignore[arg-type]
    for method in (stat.summary, stat.mergeSummary):
        with pytest.raises(TypeError, match="a level and a message"):
            method(OK, "too", "many")
    assert stat == DiagnosticStatusWrapper()
    with pytest.raises(TypeError, match="a name and a function"):
        Updater(graph.node()).add("a", "b", "c")
    with pytest.raises(TypeError, match=r"Time\.from_msg"):
        TimeStampStatus().tick(Time().to_msg())
    with pytest.raises(ValueError, match="window_size"):
        FrequencyStatus(FrequencyStatusParam({"min": 1}, window_size=0))


def test_frequency_is_measured_in_simulated_time(
    simulated: tuple[Node, Callable[[float], None]],
) -> None:
    node, set_time = simulated
    set_time(1000.0)
    frequency = FrequencyStatus(FrequencyStatusParam({"min": 2, "max": 2}))
    group = CompositeDiagnosticTask("group")
    group.addTask(frequency)
    Updater(node).add(group)
    for _ in range(20):
        frequency.tick()
    set_time(1010.0)
    level, message, values = report(frequency)
    assert (level, message) == (OK, "Desired frequency met")
    assert values["Duration of window (s)"] == "10.000000"
    assert values["Actual frequency (Hz)"] == "2.000000"


def test_no_time_passing_leaves_the_frequency_unknown(
    simulated: tuple[Node, Callable[[float], None]],
) -> None:
    node, set_time = simulated
    set_time(1000.0)
    frequency = FrequencyStatus(FrequencyStatusParam({"min": 2}, window_size=1))
    Updater(node).add(frequency)
    frequency.tick()
    for _ in range(2):
        level, message, values = report(frequency)
        assert (level, message) == (WARN, "Frequency unknown: no time passed on this clock.")
        assert values["Actual frequency (Hz)"] == "nan"
    frequency.tick()
    set_time(1001.0)
    assert report(frequency)[2]["Events in window"] == "2"


def test_a_replay_that_starts_and_starts_again(
    simulated: tuple[Node, Callable[[float], None]],
) -> None:
    node, set_time = simulated
    frequency = FrequencyStatus(FrequencyStatusParam({"min": 2}))
    Updater(node).add(frequency)
    unknown = (WARN, "Frequency unknown: no time passed on this clock.")
    frequency.tick()
    assert report(frequency)[:2] == unknown
    set_time(1_757_032_603.0)
    assert report(frequency)[:2] == unknown
    frequency.tick()
    set_time(1_757_032_603.5)
    assert report(frequency)[:2] == (OK, "Desired frequency met")
    set_time(1_757_032_600.0)
    assert report(frequency)[:2] == unknown
    frequency.tick()
    set_time(1_757_032_600.5)
    level, message, values = report(frequency)
    assert (level, message) == (OK, "Desired frequency met")
    assert values["Actual frequency (Hz)"] == "2.000000"


def test_stamps_are_compared_with_simulated_time(
    simulated: tuple[Node, Callable[[float], None]],
) -> None:
    node, set_time = simulated
    set_time(1000.0)
    stamps = TimeStampStatus(TimeStampStatusParam(-1, 5))
    group = CompositeDiagnosticTask("group")
    Updater(node).add(group)
    group.addTask(stamps)
    stamps.tick(999.5)
    stat = stamps.run(DiagnosticStatusWrapper())
    assert (stat.level, stat.message) == (OK, "Timestamps are reasonable.")
    assert stat.values[0].value == "0.500000"


def test_the_missing_hardware_id_is_said_once_when_all_is_well(
    graph: Graph, capfd: pytest.CaptureFixture[str]
) -> None:
    updater = Updater(graph.node())
    level = [WARN]

    def link(stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        stat.summary(level[0], "link")
        return stat

    updater.add("link", link)
    updater.force_update()
    assert "setHardwareID" not in capfd.readouterr().err
    level[0] = OK
    updater.force_update()
    assert capfd.readouterr().err.count("setHardwareID") == 1
    updater.force_update()
    assert "setHardwareID" not in capfd.readouterr().err


def test_verbose_logs_what_is_not_ok(graph: Graph, capfd: pytest.CaptureFixture[str]) -> None:
    updater = Updater(graph.node())
    updater.setHardwareID("none")
    updater.verbose = True
    updater.add(Heartbeat())
    updater.add("disk", lambda stat: stat)
    updater.force_update()
    logged = capfd.readouterr().err
    assert "'disk' has level 2: No message was set" in logged
    assert "Heartbeat" not in logged
