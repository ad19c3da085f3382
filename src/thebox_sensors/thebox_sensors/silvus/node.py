# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The Silvus driver: angles of arrival to Detections on ``detections/silvus``.

A pair of antennas cannot tell a direction from its mirror image, so a Detection carries both
candidates; which one is right is for the tracker to find out.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import KeyValue

from thebox_core.health import Report
from thebox_core.measures import Rate
from thebox_core.node import run
from thebox_core.parameters import Parameter
from thebox_interfaces.msg import Detection
from thebox_sensors.driver import SensorDriver, sensor_parameters
from thebox_sensors.protocol_base import Parsed, Reject, to_true_bearing, wrap_bearing
from thebox_sensors.silvus.protocol import (
    DEFAULT_PORT,
    LINE_LIMIT,
    RADIOS_LIMIT,
    AngleOfArrival,
    Parser,
    RadioPose,
)

__all__ = ["Silvus", "main"]

Record = AngleOfArrival | RadioPose


@dataclass
class _Radio:
    """What is known of one radio: its last pose, and how much it hears."""

    pose: RadioPose | None
    pose_time: float
    emissions: Rate


class Silvus(SensorDriver):
    """RF spectrum and angle of arrival, of one radio or several."""

    MODALITY = Detection.MODALITY_RF
    STREAM_LINE_LIMIT = LINE_LIMIT
    PARAMETERS = (
        *sensor_parameters(
            f"udp://127.0.0.1:{DEFAULT_PORT}", bearing_reference="bow", stale_after=3.5
        ),
        Parameter(
            "zero_axis",
            "forward",
            "The side of the radio at which its angles are zero.",
            choices=("forward", "right", "left", "rear"),
        ),
        Parameter(
            "positive",
            "cw",
            "The sense in which its angles grow, seen from above.",
            choices=("cw", "ccw"),
        ),
        Parameter(
            "bearing_sigma",
            0.17,
            "Standard deviation of an angle of arrival; the radio does not state one.",
            minimum=0.001,
            maximum=math.pi,
            unit="rad",
        ),
        Parameter(
            "heading_source",
            "auto",
            "Whose heading turns a radio's angles into bearings: the radio's own, the "
            "own-ship's (with mounting_offset), or auto: the radio's while it is fresh, else "
            "the own-ship's. Not used with bearing_reference true.",
            choices=("auto", "radio", "ownship"),
        ),
        Parameter(
            "heading_max_age",
            10.0,
            "A radio's own heading serves this long; for a radio that never turns, raise it.",
            minimum=0.1,
            maximum=86_400.0,
            unit="s",
        ),
        Parameter(
            "sensor_position_min",
            25.0,
            "A radio whose own position is further than this from the own-ship stands apart: "
            "its position goes into the Detection. Below it GNSS noise would decide.",
            minimum=1.0,
            maximum=100_000.0,
            unit="m",
        ),
    )

    def __init__(self, name: str = "silvus", **options: Any) -> None:
        # Before the base, whose autostart may need it.
        self._radios: OrderedDict[str, _Radio] = OrderedDict()
        self._capture_parser = Parser()
        self._arrival = math.nan
        super().__init__(name, **options)

    def make_parser(self) -> Parser:
        """Return a Silvus parser; the poses of the radios begin anew with it."""
        return Parser()

    def parse(self, message: bytes, arrival: float) -> Parsed[Record]:
        """Parse with the time of arrival, from which the age of a heading counts."""
        parser: Parser = self._parser
        return parser.parse(message, arrival)

    def record_time(self, record: Record) -> float:
        """Return the radio's epoch, in microseconds on the wire; a pose has none."""
        return record.time if isinstance(record, AngleOfArrival) else math.nan

    def capture_time(self, line: bytes) -> float:
        """Return the epoch of a capture's line."""
        records = self._capture_parser.parse(line).records
        return self.record_time(records[0]) if records else math.nan

    def take(self, record: Record, arrival: float) -> None:
        """Note a radio's pose; publish an angle of arrival."""
        self._arrival = arrival
        radio = self._radio(record.radio)
        if isinstance(record, RadioPose):
            radio.pose, radio.pose_time = record, arrival
            return
        radio.emissions.add(arrival)
        super().take(record, arrival)

    def to_detections(self, record: AngleOfArrival, stamp: float) -> Iterable[Detection]:
        """Return one Detection with both candidates."""
        angles = record.angles(self.values["zero_axis"], self.values["positive"])
        bearings, source = self._bearings(record, angles, stamp)
        detection = self.new_detection(stamp)
        detection.bearing = bearings[0]
        if len(bearings) > 1:
            detection.bearing_alternative = bearings[1]
        detection.bearing_std = self.values["bearing_sigma"]
        detection.frequency = record.frequency
        detection.bandwidth = record.bandwidth
        detection.rssi = record.power
        self._place(detection, record.radio, stamp)
        detection.attributes = [
            KeyValue(key="radio", value=record.radio),
            KeyValue(key="heading_source", value=source),
        ]
        return (detection,)

    def _bearings(
        self, record: AngleOfArrival, angles: tuple[float, ...], stamp: float
    ) -> tuple[list[float], str]:
        if self.values["bearing_reference"] == "true":
            return [self.true_bearing(angle, stamp) for angle in angles], "true"
        wanted = self.values["heading_source"]
        if wanted != "ownship":
            age = self._arrival - record.radio_heading_received
            if age <= self.values["heading_max_age"] and not math.isnan(record.radio_heading):
                return [wrap_bearing(angle + record.radio_heading) for angle in angles], "radio"
        heading = self._own_ship.history.at(stamp).heading if wanted != "radio" else math.nan
        if math.isnan(heading):
            raise Reject("no_heading", self._without_heading(record, wanted))
        offset = self.values["mounting_offset"]
        return [to_true_bearing(angle, "bow", heading, offset) for angle in angles], "ownship"

    def _without_heading(self, record: AngleOfArrival, wanted: str) -> str:
        told = not math.isnan(record.radio_heading)
        radio = "its own is older than heading_max_age" if told else "it told none"
        if wanted == "radio":
            return f"{record.radio}: {radio}; check its compass, or set heading_source to auto"
        ship = "the own-ship has none: check the ownship driver"
        return (
            f"{record.radio}: {ship}" if wanted == "ownship" else f"{record.radio}: {radio}, {ship}"
        )

    def _place(self, detection: Detection, name: str, stamp: float) -> None:
        place = self._place_of(self._radio(name))
        if place is None:
            return
        own = self._own_ship.history.at(stamp)
        apart = math.hypot(place[0] - own.east, place[1] - own.north)
        # Also when the own-ship's place is not known: the radio's is.
        if not apart <= self.values["sensor_position_min"]:
            # A radio does not tell its height: the own-ship's is the nearest that is known.
            up = 0.0 if math.isnan(own.up) else own.up
            position = detection.sensor_position
            position.x, position.y, position.z = place[0], place[1], up

    def _place_of(self, radio: _Radio) -> tuple[float, float] | None:
        if radio.pose is None or math.isnan(radio.pose.latitude):
            return None
        try:
            east, north, _ = self.position_in_map(radio.pose.latitude, radio.pose.longitude)
        except Reject:
            # Without a datum nothing has a place in the map: the radio stands at the own-ship.
            return None
        return east, north

    def _radio(self, name: str) -> _Radio:
        radio = self._radios.get(name)
        if radio is None:
            radio = self._radios[name] = _Radio(None, math.nan, Rate())
            if len(self._radios) > RADIOS_LIMIT:
                self._radios.popitem(last=False)
        else:
            self._radios.move_to_end(name)
        return radio

    def sector_heading(self) -> float:
        """Return the heading of the one radio there is while it is fresh, else the own-ship's."""
        radios = [radio for radio in self._radios.copy().values() if radio.pose is not None]
        if self.values["heading_source"] != "ownship" and len(radios) == 1:
            pose, age = radios[0].pose, self.now() - radios[0].pose_time
            if pose is not None and age <= self.values["heading_max_age"]:
                return pose.heading
        return math.nan if self.values["heading_source"] == "radio" else super().sector_heading()

    def cleanup(self) -> None:
        """Forget the radios."""
        super().cleanup()
        self._radios.clear()

    def report_sensor(self, report: Report) -> None:
        """Add each radio: what it hears, and the age of its heading."""
        now = self.now()
        # A copy: the worker's thread adds radios meanwhile.
        for name, radio in sorted(self._radios.copy().items()):
            report.put(f"radio.{name}.rate", radio.emissions.per_second(now))
            report.put(f"radio.{name}.pose_age", now - radio.pose_time)
            if radio.pose is not None:
                report.put(f"radio.{name}.heading", radio.pose.heading)
                report.put(f"radio.{name}.latitude", math.degrees(radio.pose.latitude))
                report.put(f"radio.{name}.longitude", math.degrees(radio.pose.longitude))


def main() -> None:
    """Run the driver as a process."""
    run(Silvus)


if __name__ == "__main__":
    main()
