# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The DroneShield driver: emissions to Detections on ``detections/droneshield``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from diagnostic_msgs.msg import KeyValue

from thebox_core.node import run
from thebox_core.parameters import Parameter
from thebox_interfaces.msg import Detection
from thebox_sensors.driver import SensorDriver, sensor_parameters
from thebox_sensors.droneshield.protocol import DEFAULT_PORT, Emission, Parser
from thebox_sensors.protocol_base import Reject

__all__ = ["DroneShield", "main"]


class DroneShield(SensorDriver):
    """RF detector: bearing, frequency and received power of each emitter."""

    MODALITY = Detection.MODALITY_RF
    IGNORED = frozenset({"not_a_detection"})
    PARAMETERS = (
        *sensor_parameters(f"udp://127.0.0.1:{DEFAULT_PORT}", stale_after=3.5),
        Parameter(
            "bearing_sigma",
            0.35,
            "Standard deviation of a bearing whose message states no error.",
            minimum=0.001,
            maximum=math.pi,
            unit="rad",
        ),
        Parameter(
            "drones_only",
            False,
            "Reject emissions that the unit says are no drone's.",
        ),
    )

    def __init__(self, name: str = "droneshield", **options: Any) -> None:
        super().__init__(name, **options)
        self._capture_parser = Parser()

    def make_parser(self) -> Parser:
        """A DroneShield parser."""
        return Parser()

    def record_time(self, record: Emission) -> float:
        """The unit's epoch: whole seconds."""
        return record.time

    def capture_time(self, line: bytes) -> float:
        """The epoch of a capture's line."""
        records = self._capture_parser.parse(line).records
        return records[0].time if records else math.nan

    def to_detections(self, record: Emission, stamp: float) -> Iterable[Detection]:
        """One emission, one Detection."""
        if self.values["drones_only"] and record.is_drone is False:
            raise Reject("not_a_drone", f"the unit says that {record.name or 'it'} is no drone")
        angle = record.angle(self.values["bearing_reference"])
        if math.isnan(angle):
            raise Reject("no_bearing", "the unit gave no angle of arrival")
        detection = self.new_detection(stamp, angle)
        sigma = record.sigma
        detection.bearing_std = self.values["bearing_sigma"] if math.isnan(sigma) else sigma
        detection.sensor_track_id = record.emitter
        detection.frequency = record.frequency
        detection.rssi = record.rssi
        detection.label = record.name or record.vendor
        detection.attributes = [
            KeyValue(key=key, value=value)
            for key, value in (
                ("protocol", record.protocol),
                ("vendor", record.vendor),
                ("kind", record.kind),
                ("serial_number", record.serial_number),
                ("mac_address", record.mac_address),
                ("is_drone", "" if record.is_drone is None else str(record.is_drone).lower()),
                *record.attributes,
            )
            if value
        ]
        return (detection,)


def main() -> None:
    """Run the driver as a process."""
    run(DroneShield)


if __name__ == "__main__":
    main()
