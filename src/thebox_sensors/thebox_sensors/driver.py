# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The driver base: what every sensor's node shares. A sensor adds its parser and one conversion.

Bytes become records in :class:`thebox_sensors.receiver.Receiver`; here each record becomes
Detections. What cannot be used is counted under its reason; a record is either used or in
``rejected``, never lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

from thebox_core.datum_listener import DatumListener
from thebox_core.messages import new_detection, to_time
from thebox_core.ownship_listener import OwnShip
from thebox_core.parameters import Parameter
from thebox_core.qos import DETECTIONS, LATCHED
from thebox_interfaces.msg import Detection, SensorCoverage
from thebox_sensors.protocol_base import Reject, to_true_bearing, wrap_bearing
from thebox_sensors.receiver import Receiver, SensorParser, receiver_parameters

__all__ = ["SensorDriver", "SensorParser", "sensor_parameters"]

_TWO_PI = 2.0 * math.pi
#: A sector that turns with the bow is published anew when that has turned by this, radians.
_COVERAGE_TURN = math.radians(1.0)
#: How often that is looked at, seconds.
_COVERAGE_PERIOD = 1.0


def sensor_parameters(
    source: str,
    *,
    bearing_reference: str = "true",
    stale_after: float = 3.0,
    range_max: float = 5000.0,
    revisit_period: float = 1.0,
) -> tuple[Parameter, ...]:
    """Return the parameters that every sensor has, with this sensor's defaults."""
    return (
        *receiver_parameters(source, stale_after=stale_after),
        Parameter("frame_id", "", "Frame of the sensor; empty: the node's name with _link."),
        Parameter(
            "bearing_reference",
            bearing_reference,
            "What the sensor's angles count from: true north, or the own-ship's bow.",
            choices=("true", "bow"),
        ),
        Parameter(
            "mounting_offset",
            0.0,
            "Clockwise angle from that reference to the sensor's zero axis.",
            minimum=-_TWO_PI,
            maximum=_TWO_PI,
            unit="rad",
        ),
        Parameter(
            "coverage.bearing_start",
            0.0,
            "Start of the sector watched, from the bearing reference, clockwise; equal to its "
            "end: all around.",
            minimum=0.0,
            maximum=_TWO_PI,
            unit="rad",
        ),
        Parameter(
            "coverage.bearing_end",
            0.0,
            "End of the sector watched.",
            minimum=0.0,
            maximum=_TWO_PI,
            unit="rad",
        ),
        Parameter(
            "coverage.range_max",
            range_max,
            "Range to which the sensor usually sees.",
            minimum=1.0,
            maximum=500_000.0,
            unit="m",
        ),
        Parameter(
            "coverage.revisit_period",
            revisit_period,
            "Longest time between two looks at the same direction.",
            minimum=0.001,
            maximum=3600.0,
            unit="s",
        ),
    )


class SensorDriver(Receiver):
    """A sensor's node. A subclass gives PARAMETERS, MODALITY and IGNORED, and overrides
    ``make_parser`` and ``to_detections``, and ``record_time`` where its records carry one.
    """  # noqa: D205 - one sentence needs the two lines

    MODALITY: ClassVar[int] = Detection.MODALITY_UNKNOWN
    COUNTED = "detections"

    # For the sensor ---------------------------------------------------------------------------

    def to_detections(self, record: Any, stamp: float) -> Iterable[Detection]:
        """Return the Detections of one record; none when it carries none (heading, heartbeat).

        Args:
            record: as the parser made it.
            stamp: time of measurement by stamp_source, seconds.

        Raises:
            Reject: it cannot be used; the reason is counted.
        """
        raise NotImplementedError(f"{type(self).__name__} must override to_detections")

    def new_detection(self, stamp: float, angle: float = math.nan) -> Detection:
        """Return a Detection with what the base knows: header, times, names, the true bearing.

        Args:
            stamp: time of measurement, seconds.
            angle: clockwise from the sensor's zero axis, radians; NaN: leave the bearing unknown.

        Raises:
            Reject: ``no_heading`` when the angle is bow-relative and no heading is known then.
        """
        detection = new_detection()
        detection.header.stamp = to_time(stamp)
        detection.header.frame_id = self._frame_id
        detection.sensor = self.sensor
        detection.modality = self.MODALITY
        if not math.isnan(angle):
            detection.bearing = self.true_bearing(angle, stamp)
        return detection

    def true_bearing(self, angle: float, stamp: float) -> float:
        """Return the bearing from true north of an angle, by its reference and mounting.

        Raises:
            Reject: ``no_heading`` or ``no_bearing``.
        """
        reference = self.values["bearing_reference"]
        heading = self._own_ship.history.at(stamp).heading if reference == "bow" else math.nan
        return to_true_bearing(angle, reference, heading, self.values["mounting_offset"])

    def position_in_map(
        self, latitude: float, longitude: float, altitude: float = math.nan
    ) -> tuple[float, float, float]:
        """Return east, north and up in ``map``, metres, of a place that a sensor told.

        Args:
            latitude: WGS-84, radians.
            longitude: WGS-84, radians.
            altitude: above the ellipsoid, metres; NaN when not known, and up is NaN then.

        Raises:
            Reject: ``no_datum`` while the own-ship has told no origin of the map.
        """
        datum = self._datum.datum
        if datum is None:
            raise Reject(
                "no_datum",
                "a WGS-84 position, but no map origin yet; check the ownship driver: it needs "
                "a fix, or datum.source fixed",
            )
        return datum.to_map(latitude, longitude, altitude)

    # Life cycle -------------------------------------------------------------------------------

    def configure(self) -> None:
        """Create the publishers, the own-ship's history and the datum's listener."""
        self._frame_id = self.values["frame_id"] or f"{self.sensor}_link"
        self._publisher = self.create_publisher(Detection, f"detections/{self.sensor}", DETECTIONS)
        self._coverage = self.create_publisher(SensorCoverage, f"coverage/{self.sensor}", LATCHED)
        self._own_ship = OwnShip(self)
        self._datum = DatumListener(self)
        super().configure()

    def activate(self) -> None:
        """Say what is watched, and open the source."""
        self._coverage_heading = math.nan
        self._publish_coverage()
        self._coverage_timer = self.create_timer(_COVERAGE_PERIOD, self._follow_heading)
        super().activate()

    def deactivate(self) -> None:
        """Close the source."""
        super().deactivate()
        timer = self.__dict__.pop("_coverage_timer", None)
        if timer is not None:
            self.destroy_timer(timer)

    def cleanup(self) -> None:
        """Release publishers and subscriptions."""
        super().cleanup()
        for release in ("_publisher", "_coverage"):
            publisher = self.__dict__.pop(release, None)
            if publisher is not None:
                self.destroy_publisher(publisher)
        for release in ("_own_ship", "_datum"):
            listener = self.__dict__.pop(release, None)
            if listener is not None:
                listener.close()

    def parameters_changed(self, names: set[str]) -> None:
        """Publish the coverage anew where it changed; the base sees to the source."""
        super().parameters_changed(names)
        if self.is_active and any(
            name.startswith("coverage.") or name == "bearing_reference" for name in names
        ):
            self._publish_coverage()

    def sector_heading(self) -> float:
        """Return where the bow points that the watched sector turns with; NaN: not known."""
        return self._own_ship.history.at(self.now()).heading

    @property
    def _sector_turns(self) -> bool:
        whole = self.values["coverage.bearing_start"] == self.values["coverage.bearing_end"]
        return self.values["bearing_reference"] == "bow" and not whole

    def _follow_heading(self) -> None:
        """Publish the sector anew where the own-ship has turned since."""
        # Without a timer this is an expiry that was under way when it was destroyed.
        if "_coverage_timer" not in self.__dict__ or not self._sector_turns:
            return
        turned = abs(math.remainder(self.sector_heading() - self._coverage_heading, _TWO_PI))
        known = math.isfinite(self.sector_heading())
        if known and not turned < _COVERAGE_TURN:  # also where none was known before
            self._publish_coverage()

    def _publish_coverage(self) -> None:
        """Publish what is watched, from true north; a sector of unknown direction is not told."""
        heading = self.sector_heading() if self._sector_turns else 0.0
        if math.isnan(heading):
            return
        self._coverage_heading = heading
        message = SensorCoverage()
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = self._frame_id
        message.sensor = self.sensor
        message.modality = self.MODALITY
        message.bearing_start = wrap_bearing(self.values["coverage.bearing_start"] + heading)
        message.bearing_end = wrap_bearing(self.values["coverage.bearing_end"] + heading)
        message.elevation_min, message.elevation_max = -math.pi / 2, math.pi / 2
        message.range_max = self.values["coverage.range_max"]
        message.revisit_period = self.values["coverage.revisit_period"]
        self._coverage.publish(message)

    # Records to detections (in the worker's thread) -------------------------------------------

    def take(self, record: Any, arrival: float) -> None:
        """Publish the Detections of one record."""
        for detection in self.to_detections(record, self.stamp_of(record, arrival)):
            detection.received = to_time(arrival)
            self._publisher.publish(detection)
            self.accept(arrival)
