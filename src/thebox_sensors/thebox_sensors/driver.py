# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The driver base: what every sensor's node shares. A sensor adds its parser and one conversion.

Bytes arrive in a thread of their own (see :mod:`thebox_sensors.ingest`), are parsed into records,
and each record becomes Detections. What cannot be used is counted under its reason; a record is
either in ``accepted`` or in ``rejected``, never lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol

from thebox_core.health import ERROR, STALE, WARN, Report, latency_values
from thebox_core.measures import Latency, Rate, Tally
from thebox_core.messages import new_detection, to_time
from thebox_core.node import ManagedNode
from thebox_core.ownship_listener import OwnShip
from thebox_core.parameters import Parameter, Value
from thebox_core.qos import DETECTIONS, LATCHED
from thebox_interfaces.msg import Detection, SensorCoverage
from thebox_sensors.ingest import Ingest
from thebox_sensors.protocol_base import Parsed, Reject, to_true_bearing
from thebox_sensors.transport import (
    Datagram,
    Transport,
    TransportError,
    TransportUrlError,
    open_transport,
    parse_url,
)

__all__ = ["SensorDriver", "SensorParser", "sensor_parameters"]

_TWO_PI = 2.0 * math.pi


class SensorParser(Protocol):
    """What a sensor's parser offers to the base."""

    def parse(self, datagram: bytes, /) -> Parsed[Any]:
        """Read a datagram, or the next chunk of a stream; never raises."""


def sensor_parameters(
    source: str,
    *,
    bearing_reference: str = "true",
    stale_after: float = 3.0,
    range_max: float = 5000.0,
    revisit_period: float = 1.0,
) -> tuple[Parameter, ...]:
    """The parameters that every sensor has, with this sensor's defaults."""
    return (
        Parameter(
            "source",
            source,
            "Where the bytes come from: udp://ADDRESS:PORT to listen, tcp://HOST:PORT, "
            "serial:///dev/NAME?baud=N, or file:///CAPTURE?rate=1.0 (or rate=max) to replay.",
        ),
        Parameter("frame_id", "", "Frame of the sensor; empty: the node's name with _link."),
        Parameter(
            "stamp_source",
            "auto",
            "Time of a detection: the sensor's own, its arrival here, or auto: the sensor's "
            "while it is within stamp_bound of the clock, else the arrival.",
            choices=("auto", "arrival", "sensor"),
        ),
        Parameter(
            "stamp_bound",
            2.0,
            "Largest difference between the sensor's clock and this box's that auto accepts.",
            minimum=0.01,
            maximum=60.0,
            unit="s",
        ),
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
            "queue_size",
            5000,
            "Datagrams held while they wait to be read; beyond it the oldest is dropped.",
            minimum=10,
            maximum=1_000_000,
            unit="datagrams",
        ),
        Parameter(
            "receive_buffer",
            8_388_608,
            "Socket buffer to ask the kernel for.",
            minimum=4096,
            maximum=268_435_456,
            unit="bytes",
        ),
        Parameter(
            "stale_after",
            stale_after,
            "Silence after which the sensor is reported stale.",
            minimum=0.1,
            maximum=3600.0,
            unit="s",
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


class SensorDriver(ManagedNode):
    """A sensor's node. A subclass gives PARAMETERS, MODALITY and IGNORED, and overrides
    ``make_parser`` and ``to_detections``, and ``record_time`` where its records carry one.
    """  # noqa: D205 - one sentence needs the two lines

    MODALITY: ClassVar[int] = Detection.MODALITY_UNKNOWN
    #: Reasons of the parser that are no fault of a detection (status messages, heartbeats).
    IGNORED: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, name: str, **options: Any) -> None:
        # Before the base, whose autostart may need them.
        self.accepted = 0
        self.rejected = Tally()
        self.ignored = Tally()
        self.stamps = Tally()
        self.last_reject = ""
        self.latency = Latency()
        self.rate = Rate()
        self._heard = Rate()
        self._ingest: Ingest | None = None
        super().__init__(name, **options)
        self.sensor = name
        self.health.add("input", self._report_input)
        self._active_since = math.nan

    # For the sensor ---------------------------------------------------------------------------

    def make_parser(self) -> SensorParser:
        """A fresh parser; called for every connection."""
        raise NotImplementedError(f"{type(self).__name__} must override make_parser")

    def to_detections(self, record: Any, stamp: float) -> Iterable[Detection]:
        """Detections of one record; none when it carries none (a heading, a heartbeat).

        Args:
            record: as the parser made it.
            stamp: time of measurement by stamp_source, seconds.

        Raises:
            Reject: it cannot be used; the reason is counted.
        """
        raise NotImplementedError(f"{type(self).__name__} must override to_detections")

    def record_time(self, record: Any) -> float:
        """The sensor's own time of a record in seconds of UTC, NaN when it has none."""
        return math.nan

    def capture_time(self, line: bytes) -> float:
        """The time that a line of a text capture carries, to pace its replay; NaN for none."""
        return math.nan

    def report_sensor(self, report: Report) -> None:
        """Add what the sensor says of itself to the diagnostics."""

    def new_detection(self, stamp: float, angle: float = math.nan) -> Detection:
        """A Detection with what the base knows: header, times, names, and the true bearing.

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
        """The bearing from true north of an angle of this sensor, by its reference and mounting.

        Raises:
            Reject: ``no_heading`` or ``no_bearing``.
        """
        reference = self.values["bearing_reference"]
        heading = self._own_ship.history.at(stamp).heading if reference == "bow" else math.nan
        return to_true_bearing(angle, reference, heading, self.values["mounting_offset"])

    def send(self, data: bytes) -> None:
        """Send bytes to the sensor. Raises TransportError."""
        transport = self._ingest.transport if self._ingest is not None else None
        if transport is None:
            raise TransportError(f"{self.sensor} is not connected")
        transport.send(data)

    # Life cycle -------------------------------------------------------------------------------

    def check_parameters(self, values: dict[str, Value]) -> str:
        """A source must be a URL that can be opened in principle."""
        try:
            parse_url(str(values["source"]))
        except TransportUrlError as error:
            return f"source: {error}"
        return ""

    def configure(self) -> None:
        """Create the publishers and the own-ship's history."""
        self._frame_id = self.values["frame_id"] or f"{self.sensor}_link"
        self._publisher = self.create_publisher(
            Detection, f"detections/{self.sensor}", DETECTIONS
        )
        self._coverage = self.create_publisher(SensorCoverage, f"coverage/{self.sensor}", LATCHED)
        self._own_ship = OwnShip(self)
        self._parser = self.make_parser()

    def activate(self) -> None:
        """Open the source; while that fails the driver is active, says why, and tries again."""
        ingest = Ingest(
            lambda: open_transport(
                self.values["source"], self.values["receive_buffer"], self.capture_time
            ),
            self._consume,
            self._connected,
            self.values["queue_size"],
        )
        self._ingest = ingest
        self._active_since = self.now()
        self._publish_coverage()
        ingest.start(self.sensor)

    def deactivate(self) -> None:
        """Close the source."""
        if self._ingest is not None:
            self._ingest.stop()

    def cleanup(self) -> None:
        """Release publishers and subscriptions."""
        self._ingest = None
        for release in ("_publisher", "_coverage"):
            publisher = self.__dict__.pop(release, None)
            if publisher is not None:
                self.destroy_publisher(publisher)
        own_ship = self.__dict__.pop("_own_ship", None)
        if own_ship is not None:
            own_ship.close()

    def parameters_changed(self, names: set[str]) -> None:
        """Open the source anew where it changed; the rest is read when it is used."""
        if self.is_active and names & {"source", "receive_buffer", "queue_size"}:
            self.deactivate()
            self.activate()
        elif self.is_active and any(name.startswith("coverage.") for name in names):
            self._publish_coverage()

    def _publish_coverage(self) -> None:
        message = SensorCoverage()
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = self._frame_id
        message.sensor = self.sensor
        message.modality = self.MODALITY
        message.bearing_start = self.values["coverage.bearing_start"]
        message.bearing_end = self.values["coverage.bearing_end"]
        message.elevation_min, message.elevation_max = -math.pi / 2, math.pi / 2
        message.range_max = self.values["coverage.range_max"]
        message.revisit_period = self.values["coverage.revisit_period"]
        self._coverage.publish(message)

    # Bytes to detections (in the worker's thread) ---------------------------------------------

    def _connected(self, transport: Transport) -> None:
        self._parser = self.make_parser()
        self.get_logger().info(f"open: {transport.url.text}")
        if transport.notice:
            self.get_logger().warning(transport.notice)

    def _consume(self, batch: Sequence[Datagram]) -> None:
        now = self.now()
        simulated = self.get_clock().ros_time_is_active
        for data, kernel_arrival in batch:
            arrival = now if simulated or math.isnan(kernel_arrival) else kernel_arrival
            try:
                self._consume_one(data, arrival)
            except Exception as error:
                # A fault of ours must cost one datagram, not the sensor.
                self.rejected.add("driver_fault")
                self.last_reject = repr(error)
                self.get_logger().error(
                    f"driver fault on {data[:80]!r}: {error!r}", throttle_duration_sec=5.0
                )
        self._heard.add(now, len(batch))

    def _consume_one(self, data: bytes, arrival: float) -> None:
        parsed = self._parser.parse(data)
        for reject in parsed.rejects:
            self._count(reject)
        for record in parsed.records:
            try:
                stamp = self._stamp(self.record_time(record), arrival)
                for detection in self.to_detections(record, stamp):
                    detection.received = to_time(arrival)
                    self._publisher.publish(detection)
                    self.accepted += 1
                    now = self.now()
                    self.rate.add(now)
                    self.latency.add(now - arrival)
            except Reject as reject:
                self._count(reject)

    def _count(self, reject: Reject) -> None:
        if reject.reason in self.IGNORED:
            self.ignored.add(reject.reason)
            return
        self.rejected.add(reject.reason)
        self.last_reject = str(reject)
        self.get_logger().warning(f"rejected: {reject}", throttle_duration_sec=10.0)

    def _stamp(self, sensor_time: float, arrival: float) -> float:
        source = self.values["stamp_source"]
        if source == "auto":
            within = abs(sensor_time - arrival) <= self.values["stamp_bound"]  # False for NaN
            source = "sensor" if within else "arrival"
        elif source == "sensor" and math.isnan(sensor_time):
            raise Reject("no_time", "stamp_source is sensor, and the sensor gave no time")
        self.stamps.add(source)
        return sensor_time if source == "sensor" else arrival

    # Health -----------------------------------------------------------------------------------

    def _report_input(self, report: Report) -> None:
        ingest, now = self._ingest, self.now()
        report.put("source", self.values["source"])
        if ingest is not None and self.is_active:
            self._report_ingest(report, ingest)
        silent = now - (self._active_since if math.isnan(self._heard.last) else self._heard.last)
        if not self.is_active:
            report.find(STALE, self.state)
        elif ingest is not None and ingest.ended:
            report.find(WARN, "the capture has been replayed to its end")
        elif silent > self.values["stale_after"] and report.level < ERROR:
            report.find(STALE, f"nothing heard for {silent:.0f} s")
        report.put("accepted", self.accepted)
        report.put("rejected", self.rejected.total())
        report.put_all((f"rejected.{reason}", count) for reason, count in self.rejected.items())
        report.put_all((f"ignored.{reason}", count) for reason, count in self.ignored.items())
        if self.last_reject:
            report.put("last_reject", self.last_reject)
        report.put("rate", self.rate.per_second(now))
        report.put("age", self._heard.age(now))
        report.put_all((f"stamps.{source}", count) for source, count in self.stamps.items())
        if self.values["stamp_source"] == "auto" and self.stamps["arrival"] > self.stamps["sensor"]:
            report.findings.append("stamped by arrival: the sensor's clock is off or not given")
        report.put_all(latency_values("latency", self.latency))
        self.report_sensor(report)
        if not report.findings:
            report.findings.append(f"{self.rate.per_second(now):.1f} detections/s")

    def _report_ingest(self, report: Report, ingest: Ingest) -> None:
        report.put("received", ingest.received)
        report.put("bytes", ingest.bytes)
        report.put("dropped", ingest.dropped)
        report.put("kernel_drops", ingest.kernel_drops)
        report.put("queue.depth", ingest.depth)
        report.put("queue.size", self.values["queue_size"])
        report.put("reconnects", ingest.reconnects)
        if ingest.fault:
            report.find(ERROR, ingest.fault)
        if ingest.dropped:
            report.find(WARN, f"{ingest.dropped} datagrams dropped, the queue was full")
        if ingest.kernel_drops:
            report.find(
                WARN, f"{ingest.kernel_drops} datagrams dropped by the kernel: see ./thebox doctor"
            )
        if ingest.notice:
            report.put("notice", ingest.notice)
