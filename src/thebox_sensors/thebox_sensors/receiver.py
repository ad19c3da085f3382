# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The receiver base: a managed node that hears bytes, reads them and says how that goes.

Bytes arrive in a thread of their own (see :mod:`thebox_sensors.ingest`) and are parsed into
records, each of which the subclass takes. What cannot be used is counted under its reason: a
record is either used or in ``rejected``, never lost.
:class:`thebox_sensors.driver.SensorDriver` makes Detections of the records; the own-ship's node
takes them into its state.
"""

from __future__ import annotations

import array
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from thebox_core.health import ERROR, STALE, WARN, Report, latency_values
from thebox_core.measures import Latency, Rate, Tally
from thebox_core.messages import to_time
from thebox_core.node import ManagedNode
from thebox_core.parameters import Parameter, Value
from thebox_core.qos import DETECTIONS
from thebox_interfaces.msg import RawDatagram
from thebox_sensors.ingest import Ingest
from thebox_sensors.protocol_base import LineFramer, Parsed, Reject
from thebox_sensors.transport import (
    Datagram,
    Transport,
    TransportError,
    TransportUrlError,
    open_transport,
    parse_url,
)

__all__ = ["DROPS_WARNED", "Receiver", "SensorParser", "receiver_parameters"]


#: A warning of dropped datagrams stands for this long after the last of them, seconds.
DROPS_WARNED = 60.0
#: A reject is logged again after so long with the same reason, seconds; all are counted.
_REJECT_LOG_PERIOD = 600.0


class _RecentDrops:
    """Whether a count of drops has grown of late: an old burst is history, not a fault."""

    def __init__(self) -> None:
        self._count = 0
        self._grew = -math.inf

    def recent(self, count: int, now: float) -> bool:
        """Take the count as it is now; say whether it grew within DROPS_WARNED."""
        if count != self._count:
            self._count, self._grew = count, now
        return now - self._grew < DROPS_WARNED


class SensorParser(Protocol):
    """What a sensor's parser offers to the base."""

    def parse(self, datagram: bytes, /) -> Parsed[Any]:
        """Read a datagram, or the next chunk of a stream; never raises."""


def receiver_parameters(source: str, *, stale_after: float = 3.0) -> tuple[Parameter, ...]:
    """Return the parameters of everything that hears bytes, with this sensor's defaults."""
    return (
        Parameter(
            "source",
            source,
            "Where the bytes come from: udp://ADDRESS:PORT to listen, tcp://HOST:PORT, "
            "serial:///dev/NAME?baud=N, or file:///CAPTURE?rate=1.0 (or rate=max) to replay.",
        ),
        Parameter(
            "stamp_source",
            "auto",
            "Time of a measurement: the sensor's own, its arrival here, or auto: the sensor's "
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
    )


class Receiver(ManagedNode):
    """A node fed by one transport. A subclass gives PARAMETERS and IGNORED, and overrides
    ``make_parser`` and ``take``, and ``record_time`` where its records carry one.
    """  # noqa: D205 - one sentence needs the two lines

    #: Reasons of the parser that are no fault of a record (status messages, heartbeats).
    IGNORED: ClassVar[frozenset[str]] = frozenset()
    #: What ``accepted`` counts, for the summary.
    COUNTED: ClassVar[str] = "records"
    #: Longest line of a text protocol that comes as a stream, in bytes.
    STREAM_LINE_LIMIT: ClassVar[int] = 65_536

    def __init__(self, name: str, **options: Any) -> None:
        # Before the base, whose autostart may need them.
        self.accepted = 0
        self.rejected = Tally()
        self.ignored = Tally()
        self.stamps = Tally()
        #: The sensor's clock less this box's, at the last record that had a time, seconds.
        self.clock_error = math.nan
        self._trusted = Rate()
        self._distrusted = Rate()
        self._untimed = Rate()
        self.last_reject = ""
        self._reject_logged: dict[str, float] = {}
        self.latency = Latency()
        self.rate = Rate()
        self._heard = Rate()
        self._used = Rate()
        self._unused = Rate()
        self._ingest: Ingest | None = None
        self._is_stream = False
        self._framer = LineFramer(self.STREAM_LINE_LIMIT)
        self._connections = 0
        self._active_since = math.nan
        self._drops = _RecentDrops()
        self._kernel_drops = _RecentDrops()
        super().__init__(name, **options)
        # Not `name`: two units of one kind are told apart by renaming (__node:=).
        self.sensor = self.get_name()
        self.health.add("input", self._report_input)

    # For the sensor ---------------------------------------------------------------------------

    def make_parser(self) -> SensorParser:
        """Return a fresh parser; called for every connection."""
        raise NotImplementedError(f"{type(self).__name__} must override make_parser")

    def take(self, record: Any, arrival: float) -> None:
        """Use one record that came at ``arrival``, seconds.

        Raises:
            Reject: it cannot be used; the reason is counted.
        """
        raise NotImplementedError(f"{type(self).__name__} must override take")

    def parse(self, message: bytes, arrival: float) -> Parsed[Any]:
        """Parse one whole message; for parsers that want the time of arrival, override it."""
        return self._parser.parse(message)

    def read(self, data: bytes, arrival: float, is_stream: bool) -> Parsed[Any]:
        """Read what a transport gave: a whole datagram, or the next chunk of a stream.

        A stream is cut into lines, as text protocols are; a binary one overrides this.
        """
        if not is_stream:
            return self.parse(data, arrival)
        framed = self._framer.feed(data)
        parsed: Parsed[Any] = Parsed(rejects=framed.rejects)
        for line in framed.records:
            outcome = self.parse(line, arrival)
            parsed.records += outcome.records
            parsed.rejects += outcome.rejects
        return parsed

    def taken(self, arrival: float) -> None:
        """React once to all records of one datagram or chunk, after they were taken."""

    def record_time(self, record: Any) -> float:
        """Return the sensor's own time of a record in seconds of UTC, NaN when it has none."""
        return math.nan

    def capture_time(self, line: bytes) -> float:
        """Return the time that a line of a text capture carries, to pace its replay; or NaN."""
        return math.nan

    def report_sensor(self, report: Report) -> None:
        """Add what the sensor says of itself to the diagnostics."""

    def stamp_of(self, record: Any, arrival: float) -> float:
        """Return the time of measurement of a record by ``stamp_source``, seconds.

        Raises:
            Reject: ``no_time``: it is to be the sensor's own, and there is none.
        """
        sensor_time = self.record_time(record)
        source = self.values["stamp_source"]
        timed = not math.isnan(sensor_time)
        if timed:
            self.clock_error = sensor_time - arrival
        if source == "auto":
            within = timed and abs(self.clock_error) <= self.values["stamp_bound"]
            source = "sensor" if within else "arrival"
            kind = self._trusted if within else self._distrusted if timed else self._untimed
            kind.add(arrival)
        elif source == "sensor" and not timed:
            raise Reject("no_time", "stamp_source is sensor, and the sensor gave no time")
        self.stamps.add(source)
        return sensor_time if source == "sensor" else arrival

    def accept(self, arrival: float, count: int = 1) -> None:
        """Count what was made of a record that came at ``arrival``, and how long that took."""
        now = self.now()
        self.accepted += count
        self.rate.add(now, count)
        self.latency.add(now - arrival)

    def send(self, data: bytes) -> None:
        """Send bytes to the sensor. Raises TransportError."""
        transport = self._ingest.transport if self._ingest is not None else None
        if transport is None:
            raise TransportError(f"{self.sensor} is not connected")
        transport.send(data)

    # Life cycle -------------------------------------------------------------------------------

    @property
    def listens(self) -> bool:
        """Whether there is anything to hear; a fixed site's own-ship needs no input."""
        return True

    def check_parameters(self, values: dict[str, Value]) -> str:
        """Refuse a source that is no URL of a transport."""
        try:
            parse_url(str(values["source"]))
        except TransportUrlError as error:
            return f"source: {error}"
        return ""

    def configure(self) -> None:
        """Make the parser, and the publisher that a recorder listens to."""
        self._raw = self.create_publisher(RawDatagram, f"raw/{self.sensor}", DETECTIONS)
        self._parser = self.make_parser()

    def activate(self) -> None:
        """Open the source; while that fails the node is active, says why, and tries again."""
        self._active_since = self.now()
        if not self.listens:
            return
        ingest = Ingest(
            lambda: open_transport(
                self.values["source"], self.values["receive_buffer"], self.capture_time
            ),
            self.consume,
            self._connected,
            self.values["queue_size"],
            self.tear,
        )
        self._ingest = ingest
        self._drops = _RecentDrops()
        self._kernel_drops = _RecentDrops()
        ingest.start(self.sensor)

    def deactivate(self) -> None:
        """Close the source."""
        if self._ingest is not None:
            self._ingest.stop()

    def cleanup(self) -> None:
        """Let go of the input, before a subclass releases what its records go to.

        An activation that was cut short (Ctrl-C in the middle of it) has left the source open.
        """
        if self._ingest is not None:
            self._ingest.stop()
            self._ingest = None
        raw = self.__dict__.pop("_raw", None)
        if raw is not None:
            self.destroy_publisher(raw)

    def parameters_changed(self, names: set[str]) -> None:
        """Open the source anew where it changed; the rest is read when it is used."""
        if self.is_active and names & {"source", "receive_buffer", "queue_size"}:
            self.deactivate()
            self.activate()

    # Bytes to records (in the worker's thread) ------------------------------------------------

    def begin_connection(self, is_stream: bool) -> None:
        """Begin to read anew: what comes next belongs to another connection."""
        self._parser = self.make_parser()
        self._framer.reset()
        self._is_stream = is_stream
        self._connections += 1

    def tear(self) -> None:
        """React to a gap in a stream: a line is not made of the halves of two."""
        self._framer.tear()

    def _connected(self, transport: Transport) -> None:
        self.begin_connection(transport.is_stream)
        self.get_logger().info(f"open: {transport.url.text}")
        if transport.notice:
            self.get_logger().warning(transport.notice)

    def consume(self, batch: Sequence[Datagram]) -> None:
        """Read what came, oldest first; never raises."""
        now = self.now()
        simulated = self.get_clock().ros_time_is_active
        recorded = self.context.ok() and self._raw.get_subscription_count() > 0
        for data, kernel_arrival in batch:
            arrival = now if simulated or math.isnan(kernel_arrival) else kernel_arrival
            if recorded:
                self._publish_raw(data, arrival)
            try:
                self._consume_one(data, arrival, now)
            except Exception as error:
                if not self.context.ok():
                    return  # the process is ending: nothing can be published any more
                # A fault of ours must cost one datagram, not the sensor.
                self.rejected.add("driver_fault")
                self.last_reject = repr(error)
                self.get_logger().error(
                    f"driver fault on {data[:80]!r}: {error!r}", throttle_duration_sec=5.0
                )
        self._heard.add(now, len(batch))

    def _publish_raw(self, data: bytes, arrival: float) -> None:
        message = RawDatagram(
            arrival=to_time(arrival),
            sensor=self.sensor,
            connection=self._connections,
            stream=self._is_stream,
        )
        message.data = array.array("B", data)
        self._raw.publish(message)

    def _consume_one(self, data: bytes, arrival: float, now: float) -> None:
        parsed = self.read(data, arrival, self._is_stream)
        for reject in parsed.rejects:
            self._count(reject, now)
        for record in parsed.records:
            self._take_or_count(record, arrival, now)
        self.taken(arrival)

    def _take_or_count(self, record: Any, arrival: float, now: float) -> None:
        try:
            self.take(record, arrival)
        except Reject as reject:
            self._count(reject, now)
        else:
            self._used.add(now)

    def count(self, reject: Reject) -> None:
        """Count what was left out of a record that is used all the same."""
        self._count(reject, self.now())

    def _count(self, reject: Reject, now: float) -> None:
        if reject.reason in self.IGNORED:
            self.ignored.add(reject.reason)
            self._used.add(now)
            return
        self.rejected.add(reject.reason)
        self._unused.add(now)
        self.last_reject = str(reject)
        # Not the logger's own throttle: it takes a fifth of a millisecond to say nothing.
        if not abs(now - self._reject_logged.get(reject.reason, math.inf)) < _REJECT_LOG_PERIOD:
            self._reject_logged[reject.reason] = now
            count = self.rejected[reject.reason]
            self.get_logger().warning(
                f"rejected: {reject}" + (f" ({count} of this kind so far)" if count > 1 else "")
            )

    # Health -----------------------------------------------------------------------------------

    def _report_input(self, report: Report) -> None:
        ingest, now = self._ingest, self.now()
        if not self.is_active:
            report.find(STALE, self.state)
        elif not self.listens:
            report.findings.append("no input is needed")
        elif ingest is not None:
            self._report_ingest(report, ingest)
            if ingest.ended:
                report.find(WARN, "the capture has been replayed to its end")
            else:
                self._report_flow(report, now)
        report.put("source", self.values["source"])
        report.put("accepted", self.accepted)
        report.put("rejected", self.rejected.total())
        report.put_all((f"rejected.{reason}", count) for reason, count in self.rejected.items())
        report.put_all((f"ignored.{reason}", count) for reason, count in self.ignored.items())
        if self.last_reject:
            report.put("last_reject", self.last_reject)
        report.put("rate", self.rate.per_second(now))
        report.put("age", self._heard.age(now))
        report.put_all((f"stamps.{source}", count) for source, count in self.stamps.items())
        report.put("clock_error", self.clock_error)
        if self.is_active and self.values["stamp_source"] == "auto":
            self._report_clock(report, now)
        report.put_all(latency_values("latency", self.latency))
        self.report_sensor(report)
        if not report.findings:
            report.findings.append(f"{self.rate.per_second(now):.1f} {self.COUNTED}/s")

    def _report_clock(self, report: Report, now: float) -> None:
        """Say whose time the records of the last seconds were given, where not the sensor's."""
        trusted, distrusted, untimed = (
            kind.per_second(now) for kind in (self._trusted, self._distrusted, self._untimed)
        )
        # Late messages and repeats are old beside a right clock too: one fresh one acquits it.
        if distrusted > 0.0 and trusted == 0.0:
            report.find(
                WARN,
                f"stamped by arrival: the sensor's clock is off, {_clock_text(self.clock_error)} "
                "this box's; set both by NTP or GNSS",
            )
        elif untimed > trusted:
            report.findings.append("stamped by arrival: the sensor gives no time")

    def _report_flow(self, report: Report, now: float) -> None:
        since = [t for t in (self._active_since, self._heard.last) if not math.isnan(t)]
        silent = now - max(since, default=now)
        if silent > self.values["stale_after"]:
            if report.level < ERROR:
                report.find(STALE, f"nothing heard for {silent:.0f} s")
        elif self._unused.per_second(now) > 0.0 and self._used.per_second(now) == 0.0:
            report.find(WARN, f"nothing that comes can be used; the last: {self.last_reject}")

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
        now = self.now()
        if self._drops.recent(ingest.dropped, now):
            report.find(WARN, f"{ingest.dropped} datagrams dropped, the queue was full")
        if self._kernel_drops.recent(ingest.kernel_drops, now):
            report.find(
                WARN, f"{ingest.kernel_drops} datagrams dropped by the kernel: see ./thebox doctor"
            )
        if ingest.notice:
            report.put("notice", ingest.notice)


def _clock_text(error: float) -> str:
    """How far a clock is from another, in words."""
    size = abs(error)
    if size >= 2 * 86_400.0:
        told = f"{size / 86_400.0:.0f} days"
    elif size >= 7200.0:
        told = f"{size / 3600.0:.1f} h"
    else:
        told = f"{size:.1f} s"
    return f"{told} {'ahead of' if error > 0.0 else 'behind'}"
