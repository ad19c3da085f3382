# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The range node: ``tracks/fused`` to ``tracks/ranged``, with the range that readings tell."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.subscription import Subscription

from thebox_core.health import WARN, Report, latency_values
from thebox_core.measures import Latency, Rate, Tally
from thebox_core.node import ManagedNode, run
from thebox_core.ownship_listener import OwnShip
from thebox_core.packed import PictureReader
from thebox_core.packed_detection import PackedDetection
from thebox_core.parameters import Parameter, Value
from thebox_core.qos import DETECTIONS, STATE
from thebox_core.upstream import Upstream
from thebox_fusion.conversion import set_ranges, to_readings, to_sighting
from thebox_fusion.declared import declared
from thebox_fusion.ranging import Cue, Ranger, RangingParameters
from thebox_interfaces.msg import Detection, TrackArray

__all__ = ["RANGE_PARAMETERS", "RangeNode", "main"]

_DETECTION_TYPE = "thebox_interfaces/msg/Detection"
_DISCOVERY_PERIOD = 0.5
_DECADE = 10.0 / math.log(10.0)

RANGE_PARAMETERS = (
    Parameter(
        "ownship_max_age",
        5.0,
        "An own-ship pose serves this long; after it the last known position is used, with a "
        "warning.",
        minimum=0.1,
        maximum=600.0,
        unit="s",
    ),
    *declared("", RangingParameters()),
)


def _settings(values: dict[str, Any]) -> RangingParameters:
    return RangingParameters(**{p.name: values[p.name] for p in RANGE_PARAMETERS[1:]})


class RangeNode(ManagedNode):
    """Republishes every picture; tracks without a measured range get the best that is known.

    A picture goes out in the very callback that it came in: the stage adds no wait.
    """

    PARAMETERS = RANGE_PARAMETERS

    def __init__(self, name: str = "range", **options: Any) -> None:
        self.detections = Tally()
        self.rejected = Tally()
        self.cycle = Latency()
        self._published = Rate()
        self._upstream = Upstream("tracks/fused", "fusion")
        self._methods: Counter[str] = Counter()
        self._last_stamp = -math.inf
        super().__init__(name, **options)
        self.health.add("ranging", self._report)

    def check_parameters(self, values: dict[str, Value]) -> str:
        """Refuse settings that do not go together."""
        try:
            _settings(values)
        except ValueError as error:
            return str(error)
        return ""

    def parameters_changed(self, names: set[str]) -> None:
        """Begin anew where the settings changed: what was learned rests on the old ones."""
        if "ownship_max_age" in names and self.state in ("inactive", "active"):
            self._own_ship.history.max_age = self.values["ownship_max_age"]
        if self.state in ("inactive", "active") and names - {"ownship_max_age"}:
            self.ranger = Ranger(_settings(self.values))

    # Life cycle -------------------------------------------------------------------------------

    def configure(self) -> None:
        """Create the publisher and the own-ship's history."""
        self.ranger = Ranger(_settings(self.values))
        self._publisher = self.create_publisher(TrackArray, "tracks/ranged", STATE)
        self._own_ship = OwnShip(self, self.values["ownship_max_age"])
        self._own_position = np.zeros(3)
        self._reader = PictureReader()
        self._inputs: dict[str, Subscription] = {}

    def activate(self) -> None:
        """Subscribe to the tracks and to every sensor."""
        self._upstream.begin(self.now())
        # Raw: of a picture only the numbers that a range changes are read and written.
        self._tracks = self.create_subscription(
            TrackArray, "tracks/fused", self._on_tracks, STATE, raw=True
        )
        self._discover()
        self._discovery = self.create_timer(
            _DISCOVERY_PERIOD, self._discover, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def deactivate(self) -> None:
        """Stop listening and publishing."""
        timer = self.__dict__.pop("_discovery", None)
        if timer is not None:
            self.destroy_timer(timer)
        tracks = self.__dict__.pop("_tracks", None)
        if tracks is not None:
            self.destroy_subscription(tracks)
        for topic in list(self._inputs):
            self.destroy_subscription(self._inputs.pop(topic))

    def cleanup(self) -> None:
        """Release everything; what was learned is forgotten."""
        own_ship = self.__dict__.pop("_own_ship", None)
        if own_ship is not None:
            own_ship.close()
        publisher = self.__dict__.pop("_publisher", None)
        if publisher is not None:
            self.destroy_publisher(publisher)

    # Messages ---------------------------------------------------------------------------------

    def _discover(self) -> None:
        """Listen to every topic of detections in this namespace: a new sensor needs no setting."""
        prefix = f"{self.get_namespace().rstrip('/')}/detections/"
        for topic, types in self.get_topic_names_and_types():
            if topic.startswith(prefix) and _DETECTION_TYPE in types and topic not in self._inputs:
                self._inputs[topic] = self.create_subscription(
                    Detection, topic, self._on_detection, DETECTIONS, raw=True
                )
                self.get_logger().info(f"listening to {topic}")

    def _on_detection(self, message: bytes) -> None:
        try:
            detection = PackedDetection.read(message)
        except ValueError as error:
            self._refuse("not_a_detection", f"{error}: does another release publish detections?")
            return
        readings = to_readings(detection)
        for reading in readings:
            self.ranger.read(reading)
        if readings:
            self.detections.add(detection.sensor or "unnamed")

    def _refuse(self, reason: str, warning: str) -> None:
        self.rejected.add(reason)
        self.get_logger().warning(warning, throttle_duration_sec=10.0)

    def _on_tracks(self, message: bytes) -> None:
        begun = time.monotonic()
        try:
            picture = self._reader.read(message)
        except ValueError as error:
            self._refuse(
                "not_a_picture", f"{error}: does another release publish tracks/fused here?"
            )
            return
        stamp = picture.time
        if stamp < self._last_stamp - 5.0:
            self.get_logger().warning("the clock jumped back: the ranging begins anew")
            self.ranger = Ranger(_settings(self.values))
        self._last_stamp = stamp
        self._upstream.heard(self.now())
        pose = self._own_ship.history.at(stamp)
        if math.isfinite(pose.east):
            self._own_position = np.nan_to_num(np.array([pose.east, pose.north, pose.up]))
        estimates = self.ranger.update([to_sighting(track) for track in picture.tracks])
        methods: Counter[str] = Counter()
        told: list[int] = []
        for number, estimate in enumerate(estimates):
            methods[" and ".join(sorted(estimate.methods)) or "none"] += 1
            if any(method in _CUES for method in estimate.methods):
                told.append(number)
        set_ranges(
            [picture.tracks[number] for number in told],
            [estimates[number] for number in told],
            self._own_position,
        )
        self._publisher.publish(picture.write())
        self._published.add(self.now())
        self._methods = methods
        self.cycle.add(time.monotonic() - begun)

    # Health -----------------------------------------------------------------------------------

    def _report(self, report: Report) -> None:
        now = self.now()
        report.put("rate", self._published.per_second(now))
        report.put("age", self._published.age(now))
        report.put_all(latency_values("cycle", self.cycle))
        report.put_all((f"rejected.{reason}", count) for reason, count in self.rejected.items())
        report.put_all((f"readings.{s}", count) for s, count in self.detections.items())
        for method, number in sorted(self._methods.items()):
            report.put(f"tracks.{method.replace(' ', '_')}", number)
        if not self.is_active:
            report.findings.append(self.state)
            return
        self._upstream.report(report, now)
        report.put("readings.used", self.ranger.readings_used)
        report.put("readings.of_no_track", self.ranger.readings_left)
        power = self.ranger.laws[Cue.POWER]
        report.put("path_loss.exponent", float(power.mean[1]) / _DECADE)
        report.put("path_loss.reference", float(power.mean[0]))
        report.put("path_loss.spread", power.spread)
        age = now - self._own_ship.history.newest.time
        if age > self.values["ownship_max_age"]:
            report.find(
                WARN,
                f"own-ship silent for {age:.0f} s: its last position is used; "
                "check the ownship driver",
            )
        ranged = sum(self._methods.values()) - self._methods["none"]
        report.findings.append(f"{ranged} of {sum(self._methods.values())} tracks have a range")


_CUES = frozenset(cue.value for cue in Cue)


def main() -> None:
    """Run the node as a process."""
    run(RangeNode)


if __name__ == "__main__":
    main()
