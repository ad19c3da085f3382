# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""All six drivers on the simulated harbour.

What they say lies where there is something, and a sensor that falls silent is told, and no other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.graph

OK, WARN, ERROR, STALE = range(4)
SENSORS = ("droneshield", "silvus", "mara", "dspnor", "trakka", "ownship")
#: What tells that a sensor speaks: of the camera it is the gimbal that answers.
SUBJECTS = {name: f"{name}: {'gimbal' if name == 'trakka' else 'input'}" for name in SENSORS}


class Box:
    """The health of a running box, and its simulated sensors' faults."""

    def __init__(self, observer: Any) -> None:
        from diagnostic_msgs.msg import DiagnosticArray

        from thebox_interfaces.srv import SetFault

        self._observer = observer
        self._request = SetFault.Request
        self.levels: dict[str, int] = {}
        self.messages: dict[str, str] = {}
        self.values: dict[str, dict[str, str]] = {}
        #: Every level that a sensor had since the last call of watch.
        self.seen: dict[str, set[int]] = {}
        observer.node.create_subscription(DiagnosticArray, "/diagnostics", self._heard, 100)
        self._client = observer.node.create_client(SetFault, "/thebox/sim/set_fault")

    def _heard(self, message: Any) -> None:
        for status in message.status:
            self.levels[status.name] = status.level[0]
            self.messages[status.name] = status.message
            self.values[status.name] = {value.key: value.value for value in status.values}
            self.seen.setdefault(status.name, set()).add(status.level[0])

    def set_fault(self, sensor: str, fault: str) -> None:
        self._observer.wait(self._client.service_is_ready)
        asked = self._client.call_async(self._request(sensor=sensor, fault=fault, value=math.nan))
        self._observer.wait(asked.done)
        assert asked.result().success, asked.result().message

    def speaks(self, sensor: str) -> bool:
        return self.levels.get(SUBJECTS[sensor], ERROR) < ERROR

    def wait(self, done: Callable[[], bool]) -> None:
        try:
            self._observer.wait(done)
        except AssertionError:
            raise AssertionError(f"health: {self.messages}") from None


def test_every_sensor_points_at_what_there_is(graph: Callable[..., Any], observer: Any) -> None:
    """A frame, a heading or a mounting that driver and sky understand differently shows here."""
    from thebox_core.messages import seconds
    from thebox_core.qos import DETECTIONS, STATE
    from thebox_interfaces.msg import Detection, TruthArray

    node = observer.node
    truths: list[Any] = []
    heard: dict[str, list[Any]] = {"droneshield": [], "silvus": [], "mara": [], "dspnor": []}
    node.create_subscription(TruthArray, "/thebox/sim/truth", truths.append, STATE)
    for name, messages in heard.items():
        topic = f"/thebox/detections/{name}"
        node.create_subscription(Detection, topic, messages.append, DETECTIONS)
    live = graph("--scenario", "harbour", "--seed", "5", "--without", "markers,vision,panel")
    live.wait_healthy()
    observer.wait(lambda: all(len(messages) >= 60 for messages in heard.values()))

    def off(message: Any) -> float:
        """How far the nearest object's bearing is from what was measured, standard deviations."""
        at = seconds(message.header.stamp)
        truth = min(truths, key=lambda t: abs(seconds(t.header.stamp) - at))
        told = [message.bearing, message.bearing_alternative]
        gaps = [
            abs(math.remainder(math.atan2(o.position.x, o.position.y) - bearing, math.tau))
            for o in truth.objects
            for bearing in told
            if math.isfinite(bearing)
        ]
        return min(gaps) / math.hypot(message.bearing_std, math.radians(0.5))

    for name, messages in heard.items():
        bearings = [m for m in messages if math.isfinite(m.bearing)]
        near = sum(off(message) < 3.5 for message in bearings)
        assert near > 0.8 * len(bearings), f"{name}: {near} of {len(bearings)} near an object"


def test_a_silent_sensor_turns_stale_and_no_other_and_back(
    graph: Callable[..., Any], observer: Any
) -> None:
    live = graph("--scenario", "harbour", "--seed", "4")
    live.wait_healthy()
    box = Box(observer)
    box.wait(lambda: all(box.speaks(sensor) for sensor in SENSORS))
    # The simulated sky says what it plays: of each sensor how much it sends.
    box.wait(lambda: float(box.values.get("sim: sky", {}).get("droneshield.datagrams", 0)) > 0)
    assert box.values["sim: sky"]["scenario"] == "harbour"
    for silenced in SENSORS:
        others = [sensor for sensor in SENSORS if sensor != silenced]
        box.set_fault(silenced, "silent")
        box.seen.clear()
        box.wait(lambda name=silenced: not box.speaks(name))
        if silenced != "trakka":
            assert box.levels[SUBJECTS[silenced]] == STALE
            assert "nothing heard" in box.messages[SUBJECTS[silenced]]
        assert box.values["sim: sky"][f"{silenced}.fault"].startswith("silent")
        # Long enough for each of the others to have told of itself with this one silent.
        box.wait(lambda names=others: all(SUBJECTS[name] in box.seen for name in names))
        box.set_fault(silenced, "none")
        box.wait(lambda name=silenced: box.speaks(name))
        grave = {name: box.seen[SUBJECTS[name]] & {ERROR, STALE} for name in others}
        assert not any(grave.values()), (silenced, grave, box.messages)
