# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gc
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParametersAtomically
from std_msgs.msg import String

from thebox_core.health import ERROR
from thebox_core.node import ManagedNode, NotReady
from thebox_core.parameters import Parameter, ParameterError

pytestmark = pytest.mark.graph

PARAMETERS = (
    Parameter("rate", 1.0, "How often.", minimum=0.5, maximum=9.0, unit="Hz"),
    Parameter("low", 0.0, "Below high."),
    Parameter("high", 1.0, "Above low.", maximum=100.0),
    Parameter("count", 3, "How many.", minimum=1),
    Parameter("mode", "auto", "Which way.", choices=("auto", "manual")),
    Parameter("levels", [1.0, 2.0], "Levels.", minimum=0.0, maximum=5.0),
    Parameter("names", [], "Names.", element_type=str),
    Parameter("fixed", 1, "Cannot be changed.", read_only=True),
)


class Probe(ManagedNode):
    """A managed node that holds one of everything that could leak."""

    PARAMETERS: ClassVar[tuple[Parameter, ...]] = PARAMETERS
    RETRY_FIRST, RETRY_LAST = 0.02, 0.08

    def __init__(self, name: str = "probe", **options: Any) -> None:
        self.failures: list[Exception] = []
        self.tries: list[float] = []
        self.changes: list[set[str]] = []
        self.activate_fails = False
        super().__init__(name, **options)

    def check_parameters(self, values: dict[str, Any]) -> str:
        return "low must be below high" if values["low"] >= values["high"] else ""

    def parameters_changed(self, names: set[str]) -> None:
        self.changes.append(names)
        if self.values["mode"] == "manual":
            raise RuntimeError("cannot go manual")

    def configure(self) -> None:
        self.tries.append(time.monotonic())
        self.held = self.create_publisher(String, "probe/text", 10)
        self.heard = self.create_subscription(String, "probe/text", lambda _: None, 10)
        if self.failures:
            raise self.failures.pop(0)

    def activate(self) -> None:
        self.beat = self.create_timer(0.05, lambda: None)
        self.stopping = threading.Event()
        self.worker = threading.Thread(target=self.stopping.wait, name="probe-worker")
        self.worker.start()
        self.reading, self.writing = os.pipe()
        if self.activate_fails:
            raise NotReady("the camera is away")

    def deactivate(self) -> None:
        self.destroy_timer(self.beat)
        self.stopping.set()
        self.worker.join()
        os.close(self.reading)
        os.close(self.writing)

    def cleanup(self) -> None:
        self.destroy_publisher(self.held)
        self.destroy_subscription(self.heard)


# Parameters ------------------------------------------------------------------------------------


def test_defaults_and_what_is_described(live: Any) -> None:
    node = live.start(Probe, autostart=False)
    assert node.values["rate"] == 1.0
    assert node.values["names"] == []
    assert node.state == "unconfigured"
    names = [p.name for p in PARAMETERS]
    answer = live.call(
        DescribeParameters, "probe/describe_parameters", DescribeParameters.Request(names=names)
    )
    by_name = {descriptor.name: descriptor for descriptor in answer.descriptors}
    assert by_name["rate"].description == "How often. [Hz]"
    assert by_name["rate"].floating_point_range[0].from_value == 0.5
    assert math.isfinite(by_name["high"].floating_point_range[0].from_value)
    assert by_name["count"].integer_range[0].from_value == 1
    assert by_name["mode"].additional_constraints == "one of: auto, manual"
    assert by_name["fixed"].read_only
    assert by_name["names"].type == ParameterType.PARAMETER_STRING_ARRAY
    assert by_name["levels"].type == ParameterType.PARAMETER_DOUBLE_ARRAY


def test_overrides_also_integers_for_doubles(live: Any) -> None:
    node = live.start(
        Probe, autostart=False, rate=2, levels=[1, 5], names=["a"], mode="auto", high=50
    )
    assert (node.values["rate"], type(node.values["rate"])) == (2.0, float)
    assert node.values["levels"] == [1.0, 5.0]
    assert node.values["names"] == ["a"]
    answer = live.call(
        GetParameters, "probe/get_parameters", GetParameters.Request(names=["rate", "levels"])
    )
    assert answer.values[0].double_value == 2.0
    assert list(answer.values[1].double_array_value) == [1.0, 5.0]


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        ({"rate": 99.0}, "99 is outside 0.5 … 9 Hz"),
        ({"rate": math.nan}, "not a finite number"),
        ({"rate": "fast"}, "expected double, got str"),
        ({"levels": [1.0, math.nan]}, "not a finite number"),
        ({"count": 0}, "outside"),
        ({"mode": "other"}, "not one of auto, manual"),
        ({"low": 3.0}, "low must be below high"),
    ],
)
def test_overrides_that_are_refused(live: Any, overrides: dict[str, Any], why: str) -> None:
    with pytest.raises(ParameterError, match=why):
        live.start(Probe, autostart=False, **overrides)


def _value(value: object) -> ParameterValue:
    if isinstance(value, str):
        return ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
    if isinstance(value, int):
        return ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=value)
    if isinstance(value, list):
        return ParameterValue(type=ParameterType.PARAMETER_DOUBLE_ARRAY, double_array_value=value)
    assert isinstance(value, float)
    return ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)


def _set(live: Any, **values: object) -> Any:
    request = SetParametersAtomically.Request(
        parameters=[ParameterMessage(name=n, value=_value(v)) for n, v in values.items()]
    )
    return live.call(SetParametersAtomically, "probe/set_parameters_atomically", request).result


def test_an_empty_list_keeps_its_type(live: Any) -> None:
    node = live.start(Probe, autostart=False)
    value = ParameterValue(type=ParameterType.PARAMETER_STRING_ARRAY, string_array_value=["a"])
    request = SetParametersAtomically.Request(
        parameters=[ParameterMessage(name="names", value=value)]
    )
    answer = live.call(SetParametersAtomically, "probe/set_parameters_atomically", request)
    assert answer.result.successful, answer.result.reason
    assert node.values["names"] == ["a"]


def test_changes_are_checked_together_then_applied(live: Any) -> None:
    node = live.start(Probe, autostart=False)
    before = dict(node.values)
    for values, why in (
        ({"rate": 99.0}, "rate"),
        ({"rate": math.nan}, "rate"),
        ({"low": math.nan}, "not a finite number"),
        ({"rate": math.inf}, "rate"),
        ({"levels": [1.0, math.nan]}, "not a finite number (element 1)"),
        ({"levels": [6.0]}, "outside 0 … 5"),
        ({"mode": "other"}, "not one of"),
        ({"low": 2.0}, "low must be below high"),
        ({"low": 0.5, "high": 0.1}, "low must be below high"),
        ({"fixed": 2}, "read-only"),
        ({"rate": 3.0, "count": 0}, "count"),
    ):
        result = _set(live, **values)
        assert not result.successful, values
        assert why in result.reason, (values, result.reason)
    assert node.values == before
    assert node.changes == []
    # Each alone would be refused; together they are right.
    assert _set(live, low=5.0, high=6.0).successful
    assert (node.values["low"], node.values["high"]) == (5.0, 6.0)
    assert node.changes == [{"low", "high"}]


def test_a_change_that_cannot_be_applied_is_answered_all_the_same(live: Any) -> None:
    node = live.start(Probe, autostart=False)
    assert _set(live, mode="manual").successful
    assert _set(live, rate=2.0).successful
    assert node.values["rate"] == 2.0


# Life cycle ------------------------------------------------------------------------------------


def _change(live: Any, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return bool(live.call(ChangeState, "probe/change_state", request).success)


def _state(live: Any) -> int:
    return int(live.call(GetState, "probe/get_state", GetState.Request()).current_state.id)


def test_the_standard_services_and_diagnostics(live: Any) -> None:
    node = live.start(Probe, autostart=False)
    assert _state(live) == State.PRIMARY_STATE_UNCONFIGURED
    # A request that the state does not allow is refused and harms nothing.
    assert not _change(live, Transition.TRANSITION_ACTIVATE)
    assert not _change(live, 77)
    assert _state(live) == State.PRIMARY_STATE_UNCONFIGURED
    for transition, state, name in (
        (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE, "inactive"),
        (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE, "active"),
        (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE, "inactive"),
        (Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED, "unconfigured"),
    ):
        assert _change(live, transition)
        assert _state(live) == state
        assert node.state == name
        live.wait(
            lambda: live.value("probe: life cycle", "lifecycle") == name,  # noqa: B023
            "the state in the diagnostics",
        )
    assert _change(live, Transition.TRANSITION_CONFIGURE)
    assert _change(live, Transition.TRANSITION_ACTIVATE)
    assert _change(live, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert _state(live) == State.PRIMARY_STATE_FINALIZED
    assert not node.worker.is_alive()


def test_autostart_makes_it_active(live: Any) -> None:
    node = live.start(Probe)
    live.wait(lambda: node.is_active, "active")
    assert _state(live) == State.PRIMARY_STATE_ACTIVE


def test_a_failing_configure_is_tried_again_with_back_off_and_tells_why(live: Any) -> None:
    node = live.start(Probe, autostart=False)
    node.failures = [NotReady("the port is taken"), RuntimeError("odd"), NotReady("still taken")]
    live.in_executor(node.trigger_configure)  # fails: what it took is given back
    before = len(list(node.publishers)), len(list(node.subscriptions))
    node.failures.insert(0, NotReady("the port is taken"))
    node.tries.clear()
    node.RETRY_FIRST = node._retry_delay = 0.02
    live.in_executor(lambda: node._retry_soon(0.0))
    live.wait(lambda: node.is_active, "active after three failures")
    assert len(node.tries) == 4
    pauses = [b - a for a, b in zip(node.tries, node.tries[1:], strict=False)]
    # Never sooner than the back-off, which doubles.
    assert pauses[0] >= 0.019
    assert pauses[1] >= 0.039
    assert pauses[2] >= 0.079
    # What the failed tries took was given back.
    assert len(list(node.publishers)) == before[0] + 1
    assert len(list(node.subscriptions)) == before[1] + 1


def test_a_fault_is_an_error_in_the_diagnostics_until_it_is_over(live: Any) -> None:
    node = live.start(Probe, autostart=False)
    node.activate_fails = True
    live.in_executor(lambda: node._retry_soon(0.0))
    live.wait(lambda: live.level("probe: life cycle") == ERROR, "the fault")
    assert "the camera is away" in live.health["probe: life cycle"].message
    assert live.value("probe: life cycle", "lifecycle") == "inactive"
    node.activate_fails = False
    live.wait(lambda: node.is_active, "active")
    live.wait(lambda: live.level("probe: life cycle") == 0, "health again")


def test_who_deactivates_by_hand_ends_the_tries(live: Any) -> None:
    node = live.start(Probe, autostart=False)
    node.failures = [NotReady("away")] * 1000
    live.in_executor(lambda: node._retry_soon(0.0))
    live.wait(lambda: len(node.tries) >= 2, "tries")
    node.failures.clear()
    live.wait(lambda: node.is_active, "active")
    assert _change(live, Transition.TRANSITION_DEACTIVATE)
    tries = len(node.tries)
    assert node._retry_timer is None
    assert _change(live, Transition.TRANSITION_CLEANUP)
    live.wait(lambda: live.value("probe: life cycle", "lifecycle") == "unconfigured", "a second")
    assert len(node.tries) == tries


def _held(node: Any) -> tuple[int, ...]:
    gc.collect()  # what earlier tests left to it must not be counted, nor free descriptors later
    return (
        len(list(Path("/proc/self/fd").iterdir())),
        threading.active_count(),
        len(list(node.timers)),
        len(list(node.publishers)),
        len(list(node.subscriptions)),
        len(list(node.services)),
        len(list(node.clients)),
    )


def test_a_hundred_times_round_the_circle_leaks_nothing(live: Any) -> None:
    node = live.start(Probe, autostart=False)

    def circle() -> None:
        node.trigger_configure()
        node.trigger_activate()
        assert node.is_active
        node.trigger_deactivate()
        node.trigger_cleanup()
        assert node.state == "unconfigured"

    live.in_executor(circle)
    before = _held(node)
    for _ in range(100):
        live.in_executor(circle)
    after = _held(node)
    assert after[0] <= before[0]  # descriptors: the middleware may still let go of some
    assert after[1:] == before[1:]


def test_closing_releases_everything_from_any_state(live: Any) -> None:
    for transitions in ((), ("configure",), ("configure", "activate")):
        node = live.start(Probe, autostart=False)
        publishers = len(list(node.publishers))
        for name in transitions:
            live.in_executor(getattr(node, f"trigger_{name}"))
        live.in_executor(node.close)
        live.in_executor(node.close)  # twice is allowed
        assert node.state == "finalized"
        assert len(list(node.publishers)) == publishers
        assert not [t for t in threading.enumerate() if t.name == "probe-worker"]


# Processes -------------------------------------------------------------------------------------

PROGRAM = """
import json, os, sys
from thebox_core.node import BoxNode, ManagedNode, run
from thebox_core.parameters import Parameter

class Told(ManagedNode):
    PARAMETERS = (Parameter("rate", 1.0, "How often.", minimum=0.5, maximum=9.0),)
    def __init__(self):
        super().__init__("told")
    def activate(self):
        print(json.dumps(self.values), flush=True)
    def cleanup(self):
        print("released", flush=True)

class Other(BoxNode):
    def __init__(self):
        super().__init__("other")
    def close(self):
        print("closed", flush=True)

run(Told, Other)
"""


@pytest.fixture
def program(tmp_path: Path, domain: int) -> Iterator[Any]:
    """Starts the program with arguments; what is still running at the end is killed."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(path), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_cleanly(program: Any, number: signal.Signals) -> None:
    process = program("--ros-args", "-p", "rate:=2")
    values = json.loads(process.stdout.readline())
    assert values == {"autostart": True, "rate": 2.0}
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out.split() == ["released", "closed"]
    assert "Traceback" not in err


def test_a_parameter_from_a_file(program: Any, tmp_path: Path) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text("/**/told:\n  ros__parameters:\n    rate: 3\n")
    process = program("--ros-args", "--params-file", str(file))
    assert json.loads(process.stdout.readline())["rate"] == 3.0
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_refused_parameter_ends_with_status_2_and_the_reason(program: Any) -> None:
    process = program("--ros-args", "-p", "rate:=99.0")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "told: rate: 99 is outside 0.5 … 9" in err
    assert "Correct the parameter file" in err
    assert "Traceback" not in err
