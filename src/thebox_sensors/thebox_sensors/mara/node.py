# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The MARA Spotter driver: what its eyes and ears report, to Detections on ``detections/mara``.

A field that cannot be used is counted under its reason and left out; the rest of its line is
used as long as a bearing or a position is left.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from diagnostic_msgs.msg import KeyValue

from thebox_core.health import WARN, Report
from thebox_core.measures import Rate
from thebox_core.node import run
from thebox_core.parameters import Parameter
from thebox_interfaces.msg import Detection
from thebox_sensors.driver import SensorDriver, sensor_parameters
from thebox_sensors.mara.protocol import (
    DEFAULT_UDP_PORT,
    LINE_LIMIT,
    Heartbeat,
    Observation,
    Parser,
)
from thebox_sensors.protocol_base import Reject

__all__ = ["Mara", "main"]

Record = Observation | Heartbeat

_MODALITIES = {
    "EO": Detection.MODALITY_EO,
    "IR": Detection.MODALITY_IR,
    "ACOUSTIC": Detection.MODALITY_ACOUSTIC,
}
_UNITS_LIMIT = 64
"""Most units whose state is kept; the one heard longest ago goes first."""
_TROUBLE = ("error", "fail", "fault", "degraded", "warn", "offline", "critical", "low battery")
"""Parts of a status text that say that the unit is not well."""
_NO_TROUBLE = re.compile(
    r"\b(?:no|0|zero|without)\s+(?:active\s+)?(?:errors?|fail(?:ure)?s?|faults?|warn(?:ing)?s?)\b"
    r"|\b(?:errors?|faults?|warnings?|failures?)\s*[:=]\s*(?:0|none|no)\b"
)
"""What speaks of trouble and says that there is none."""


def _sigmas(channel: str, bearing: float, elevation: float) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(
            f"{channel.lower()}.{what}_sigma",
            default,
            f"Standard deviation of the {what} that channel {channel} measures.",
            minimum=1e-4,
            maximum=math.pi,
            unit="rad",
        )
        for what, default in (("bearing", bearing), ("elevation", elevation))
    )


def _metres(name: str, default: float, what: str) -> Parameter:
    return Parameter(name, default, what, minimum=0.1, maximum=10_000.0, unit="m")


@dataclass
class _Unit:
    """What is known of one unit (a sensor_id)."""

    observations: Rate = field(default_factory=Rate)
    heartbeat: Heartbeat | None = None
    heartbeat_time: float = math.nan


class Mara(SensorDriver):
    """EO, IR and acoustic observations of one Spotter or several."""

    STREAM_LINE_LIMIT = LINE_LIMIT
    PARAMETERS = (
        *sensor_parameters(f"udp://127.0.0.1:{DEFAULT_UDP_PORT}", stale_after=3.5),
        Parameter(
            "channel_default",
            "UNKNOWN",
            "Channel of an observation that does not name one.",
            choices=("UNKNOWN", "EO", "IR", "ACOUSTIC"),
        ),
        Parameter(
            "confidence_scale",
            "auto",
            "What the units' confidence counts in: a fraction of 1, percent, or auto: percent "
            "where it is above 1. Set percent for units that send it so: auto takes their 1 for "
            "certain.",
            choices=("auto", "fraction", "percent"),
        ),
        *_sigmas("EO", 0.0087, 0.0087),
        *_sigmas("IR", 0.0087, 0.0087),
        *_sigmas("ACOUSTIC", 0.087, 0.17),
        _metres("range_sigma", 10.0, "Standard deviation of a range, at short range."),
        Parameter(
            "range_sigma_share",
            0.1,
            "Standard deviation of a range as a share of it; added in squares to range_sigma.",
            minimum=0.0,
            maximum=1.0,
        ),
        _metres(
            "position_sigma",
            30.0,
            "Standard deviation of an object's position, east and north each.",
        ),
        Parameter(
            "velocity_sigma",
            3.0,
            "Standard deviation of an object's velocity, east and north each.",
            minimum=0.01,
            maximum=100.0,
            unit="m/s",
        ),
        Parameter(
            "heartbeat_max_age",
            15.0,
            "A unit that has sent heartbeats and then none for so long is reported.",
            minimum=0.5,
            maximum=3600.0,
            unit="s",
        ),
    )

    def __init__(self, name: str = "mara", **options: Any) -> None:
        # Before the base, whose autostart may need it.
        self._units: OrderedDict[str, _Unit] = OrderedDict()
        self._capture_parser = Parser()
        super().__init__(name, **options)

    def make_parser(self) -> Parser:
        """Return a MARA parser; a CSV header must come again after a reconnection."""
        return Parser(self.values["confidence_scale"])

    def parameters_changed(self, names: set[str]) -> None:
        """Read on with another scale where it changed; the rest is read when it is used."""
        super().parameters_changed(names)
        if "confidence_scale" in names and "_parser" in self.__dict__:
            self._parser.confidence_scale = self.values["confidence_scale"]

    def record_time(self, record: Record) -> float:
        """Return the unit's timestamp, NaN when the line has none."""
        return record.time

    def capture_time(self, line: bytes) -> float:
        """Return the timestamp of a capture's line."""
        records = self._capture_parser.parse(line).records
        return records[0].time if records else math.nan

    def take(self, record: Record, arrival: float) -> None:
        """Note a heartbeat; publish an observation."""
        unit = self._unit(record.sensor_id)
        if isinstance(record, Heartbeat):
            unit.heartbeat, unit.heartbeat_time = record, arrival
            return
        unit.observations.add(arrival)
        super().take(record, arrival)

    def to_detections(self, record: Observation, stamp: float) -> Iterable[Detection]:
        """Return one Detection: direction, range, position and velocity as far as they are told."""
        channel = record.channel or self.values["channel_default"]
        detection = self.new_detection(stamp)
        detection.modality = _MODALITIES.get(channel, Detection.MODALITY_UNKNOWN)
        # The ear is the least exact of the three: right for a channel that is not known.
        group = channel.lower() if channel in _MODALITIES else "acoustic"
        placed = self._fill_position(detection, record)
        self._fill_direction(detection, record, group, stamp, needed=not placed)
        if not math.isnan(record.range):
            detection.range = record.range
            detection.range_std = math.hypot(
                self.values["range_sigma"], self.values["range_sigma_share"] * record.range
            )
        self._fill_velocity(detection, record)
        track = record.track_id or record.object_id
        if track:
            named = (record.sensor_id, track) if record.sensor_id else (track,)
            detection.sensor_track_id = "/".join(named)
        detection.label = record.label
        detection.confidence = record.confidence
        detection.attributes = [
            KeyValue(key=key, value=value)
            for key, value in (
                ("sensor_id", record.sensor_id),
                ("object_id", record.object_id),
                ("track_id", record.track_id),
                ("channel", record.channel),
                *record.attributes,
            )
            if value
        ]
        return (detection,)

    def _fill_position(self, detection: Detection, record: Observation) -> bool:
        if math.isnan(record.latitude):
            return False
        try:
            east, north, up = self.position_in_map(record.latitude, record.longitude)
        except Reject as reject:
            if math.isnan(record.bearing):
                raise
            self.count(reject)
            return False
        # The unit tells no height.
        p, variance = detection.position, self.values["position_sigma"] ** 2
        p.x, p.y, p.z = east, north, up
        detection.position_covariance = _flat(variance)
        return True

    def _fill_direction(
        self, detection: Detection, record: Observation, group: str, stamp: float, needed: bool
    ) -> None:
        if not math.isnan(record.bearing):
            try:
                detection.bearing = self.true_bearing(record.bearing, stamp)
                detection.bearing_std = self.values[f"{group}.bearing_sigma"]
            except Reject as reject:
                if needed:
                    raise
                self.count(reject)
        if not math.isnan(record.elevation):
            detection.elevation = record.elevation
            detection.elevation_std = self.values[f"{group}.elevation_sigma"]

    def _fill_velocity(self, detection: Detection, record: Observation) -> None:
        if math.isnan(record.speed) or math.isnan(record.heading):
            return
        # Over ground: how fast it climbs is not told.
        v = detection.velocity
        v.x = record.speed * math.sin(record.heading)
        v.y = record.speed * math.cos(record.heading)
        detection.velocity_covariance = _flat(self.values["velocity_sigma"] ** 2)

    def _unit(self, name: str) -> _Unit:
        name = name or "unnamed"
        unit = self._units.get(name)
        if unit is None:
            unit = self._units[name] = _Unit()
            if len(self._units) > _UNITS_LIMIT:
                self._units.popitem(last=False)
        else:
            self._units.move_to_end(name)
        return unit

    def cleanup(self) -> None:
        """Forget the units."""
        super().cleanup()
        self._units.clear()

    def report_sensor(self, report: Report) -> None:
        """Add each unit: observations, age of its heartbeat, and what it says of itself."""
        now = self.now()
        # A copy: the worker's thread adds units meanwhile.
        for name, unit in sorted(self._units.copy().items()):
            key = f"unit.{name}"
            report.put(f"{key}.rate", unit.observations.per_second(now))
            beat = unit.heartbeat
            if beat is None:
                continue
            age = now - unit.heartbeat_time
            report.put(f"{key}.heartbeat_age", age)
            report.put(f"{key}.status", beat.status or "alive")
            report.put_all((f"{key}.{what}", value) for what, value in beat.attributes)
            if not self.is_active:
                continue
            if age > self.values["heartbeat_max_age"]:
                report.find(
                    WARN, f"unit {name}: no heartbeat for {age:.0f} s; check its power and link"
                )
            elif _tells_trouble(beat.status):
                report.find(WARN, f"unit {name} says: {beat.status}")


def _tells_trouble(status: str) -> bool:
    """Whether a unit's own words say that it is not well."""
    words = _NO_TROUBLE.sub("", status.lower())
    return any(word in words for word in _TROUBLE)


def _flat(variance: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a covariance (9,) of east and north, with the height unknown."""
    covariance = np.full((3, 3), np.nan)
    covariance[:2, :2] = np.diag([variance, variance])
    return covariance.ravel()


def main() -> None:
    """Run the driver as a process."""
    run(Mara)


if __name__ == "__main__":
    main()
