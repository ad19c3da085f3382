# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The DroneDB node: what happened, kept and told; zones and acknowledgements for all consoles.

The node's executor only takes messages and hands rows over. A thread of its own writes
(:mod:`thebox_fusion.dronedb.writer`), and the services are answered by a small node beside this
one in threads of their own (:mod:`thebox_fusion.dronedb_desk`), so that neither a long query nor a
slow disk holds anything up.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, cast

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterEvent
from rclpy.clock import Clock, ClockType
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import QoSProfile, qos_profile_parameter_events
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.subscription import Subscription

from thebox_core.health import ERROR, WARN, Report
from thebox_core.measures import Rate
from thebox_core.messages import to_uuid
from thebox_core.node import ManagedNode, run
from thebox_core.parameters import Value
from thebox_core.qos import DETECTIONS, EVENTS, LATCHED, STATE
from thebox_fusion.dronedb.deriving import LIFE_CYCLE, Deriver
from thebox_fusion.dronedb.errors import StoreError
from thebox_fusion.dronedb.records import (
    DetectionRow,
    EventRow,
    EvidenceRow,
    Row,
    ZoneRow,
    detection_head,
)
from thebox_fusion.dronedb.schema import VERSION
from thebox_fusion.dronedb.writer import Resumed, Retention, Writer
from thebox_fusion.dronedb_desk import PATIENCE, Desk
from thebox_fusion.dronedb_messages import (
    nanoseconds,
    to_event_message,
    to_event_row,
    to_seen,
    to_track_row,
    to_zone_message,
)
from thebox_fusion.dronedb_parameters import DRONEDB_PARAMETERS
from thebox_interfaces.msg import Detection, Event, GimbalState, Track, TrackArray, ZoneArray
from thebox_interfaces.srv import GetTrackEvidence

__all__ = ["DroneDB", "main"]

_DETECTION_TYPE = "thebox_interfaces/msg/Detection"
_DISCOVERY_PERIOD = 1.0
_PICTURE_PERIOD = 0.2  # seconds between two looks at the newest picture
_OWN_EVENTS = 2000  # identities remembered, to know our own events when they come back
_TRACKS_KNOWN = 10_000
#: Classes of which an operator may say that they are no alarm; a drone and an unknown always are.
_QUIETABLE = {
    "bird": Track.CLASS_BIRD,
    "boat": Track.CLASS_BOAT,
    "vehicle": Track.CLASS_VEHICLE,
    "person": Track.CLASS_PERSON,
    "airplane": Track.CLASS_AIRPLANE,
    "helicopter": Track.CLASS_HELICOPTER,
}


class DroneDB(ManagedNode):
    """Makes events of what the graph shows, keeps history, answers for both."""

    PARAMETERS = DRONEDB_PARAMETERS

    def __init__(self, name: str = "dronedb", **options: Any) -> None:
        self._writer: Writer | None = None
        self._lock = threading.RLock()
        self._written = Rate()
        self._written_before = 0
        self._unreadable = 0
        self._open_alerts = 0
        super().__init__(name, **options)
        self.health.add("database", self._report)

    # Life cycle -------------------------------------------------------------------------------

    def database_path(self) -> Path:
        """Where the database is."""
        given = self.values["path"]
        if given:
            return Path(given).expanduser().absolute()
        # The user's data folder, by the XDG base directory specification.
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        box = self.get_namespace().strip("/").replace("/", "-") or "box"
        return (Path(base) / "thebox" / box / "dronedb.sqlite").absolute()

    def configure(self) -> None:
        """Begin to open the database, and offer the services."""
        self._path = self.database_path()
        self._deriver = Deriver(self.values["health.hold"])
        self._own: OrderedDict[str, None] = OrderedDict()
        self._events = self.create_publisher(Event, "events", EVENTS)
        self._zones = self.create_publisher(ZoneArray, "zones", LATCHED)
        self._writer = Writer(
            self._path,
            self._resumed,
            now=lambda: int(self.get_clock().now().nanoseconds),
            batch_period=self.values["batch_period"],
            queue_size=self.values["queue_size"],
            retention=self._retention(),
        )
        self._written_before = 0
        self._writer.start()
        self._desk = Desk(self)

    def activate(self) -> None:
        """Listen, and make events of what is heard."""
        self._inputs: dict[str, Subscription] = {}
        self._newest: bytes | None = None
        self._tracks_stored = -math.inf
        self._sampled: dict[tuple[str, str], int] = {}
        self._confirmed: list[str] = []
        self._evidence_asked = -math.inf
        self._evidence_known: dict[str, int] = {}
        self._begun = time.monotonic()
        self._subscriptions_here = [
            # Raw: only the pictures that are looked at are unpacked.
            self.create_subscription(TrackArray, "tracks", self._on_tracks, STATE, raw=True),
            self.create_subscription(
                DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=200)
            ),
            self.create_subscription(Event, "events", self._on_event, EVENTS),
            self.create_subscription(
                GimbalState, "camera/gimbal_state", self._on_gimbal, QoSProfile(depth=1)
            ),
            self.create_subscription(
                ParameterEvent,
                "/parameter_events",
                self._on_parameters,
                qos_profile_parameter_events,
            ),
        ]
        self._ledger = self.create_client(GetTrackEvidence, "fusion/get_track_evidence")
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._steady_timers = [
            self.create_timer(_PICTURE_PERIOD, self._look, clock=clock),
            self.create_timer(_DISCOVERY_PERIOD, self._discover, clock=clock),
        ]
        self._discover()

    def deactivate(self) -> None:
        """Stop listening; services answer on."""
        for timer in self.__dict__.pop("_steady_timers", []):
            self.destroy_timer(timer)
        for subscription in self.__dict__.pop("_subscriptions_here", []):
            self.destroy_subscription(subscription)
        for subscription in self.__dict__.pop("_inputs", {}).values():
            self.destroy_subscription(subscription)
        client = self.__dict__.pop("_ledger", None)
        if client is not None:
            self.destroy_client(client)

    def cleanup(self) -> None:
        """Write what waits, and close the database."""
        desk = self.__dict__.pop("_desk", None)
        if desk is not None:
            desk.close()
        if self._writer is not None:
            self._writer.stop()
            self._writer = None
        for name in ("_events", "_zones"):
            publisher = self.__dict__.pop(name, None)
            if publisher is not None:
                self.destroy_publisher(publisher)

    def check_parameters(self, values: dict[str, Value]) -> str:
        """Refuse a class that is none."""
        for name in cast("list[str]", values["alerts.quiet_classes"]):
            if name not in _QUIETABLE:
                return f"alerts.quiet_classes: '{name}' is none of {', '.join(_QUIETABLE)}"
        return ""

    def parameters_changed(self, names: set[str]) -> None:
        """Take new limits; the rest is read when it is used."""
        writer = self._writer
        if writer is None:
            return
        writer.batch_period = self.values["batch_period"]
        writer.queue_size = self.values["queue_size"]
        writer.retention = self._retention()
        with self._lock:
            self._deriver.hold = self.values["health.hold"]

    def _retention(self) -> Retention:
        return Retention(
            self.values["retention.days"],
            self.values["retention.event_days"],
            self.values["retention.megabytes"] * 1_000_000,
        )

    @property
    def writer(self) -> Writer:
        """The thread that writes.

        Raises:
            StoreError: the node is not configured.
        """
        if self._writer is None:
            raise StoreError("dronedb is not configured: configure and activate it")
        return self._writer

    def _resumed(self, resumed: Resumed) -> None:
        """Take over what the database knows (in the writer's thread)."""
        with self._lock:
            held = self._deriver.zones
            self._deriver.resume(resumed.announced)
            if resumed.schema == 0 and held and not resumed.zones:
                # The file went away under a running box: the zones in force outlive it.
                self.writer.call(lambda store: store.set_zones(held))
            else:
                self._deriver.set_zones(resumed.zones)
        self.publish_zones()

    # Events and zones -------------------------------------------------------------------------

    def publish_zones(self) -> None:
        """Publish the zones in force."""
        message = ZoneArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = "map"
        with self._lock:
            message.zones = [to_zone_message(zone) for zone in self._deriver.zones]
        self._zones.publish(message)

    def use_zones(self, zones: list[ZoneRow]) -> None:
        """Watch these zones, and publish them."""
        with self._lock:
            self._deriver.set_zones(zones)
        self.publish_zones()

    def publish_event(self, row: EventRow) -> None:
        """Publish an event; it is known as our own when it comes back."""
        with self._lock:
            self._own[row.id] = None
            while len(self._own) > _OWN_EVENTS:
                self._own.popitem(last=False)
        self._events.publish(to_event_message(row))

    def _report_events(self, rows: list[EventRow]) -> None:
        for row in rows:
            self._put(row)
            if self._listens:
                self.publish_event(row)

    def _put(self, *rows: Row) -> None:
        # A callback may still come after the node was cleaned up: there is nobody to keep it.
        if self._writer is not None:
            self._writer.put(*rows)

    def _on_event(self, message: Event) -> None:
        with self._lock:
            if message.id in self._own:
                return
        self._put(to_event_row(message))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        now = self.now()
        events = []
        with self._lock:
            for status in message.status:
                level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
                lifecycle = ""
                if status.name.endswith(f": {LIFE_CYCLE}"):
                    lifecycle = next((v.value for v in status.values if v.key == "lifecycle"), "")
                events += self._deriver.status(status.name, level, status.message, lifecycle, now)
        self._report_events(events)

    def _on_parameters(self, message: ParameterEvent) -> None:
        if not message.node.startswith(self.get_namespace().rstrip("/") + "/"):
            return
        now = self.now()
        with self._lock:
            events = [
                self._deriver.setting(
                    message.node, change.name, parameter_value_to_python(change.value), now
                )
                for change in message.changed_parameters
            ]
        self._report_events(events)

    def _on_gimbal(self, message: GimbalState) -> None:
        with self._lock:
            events = self._deriver.camera(message.steered_by, message.held_by, self.now())
        self._report_events(events)

    # History ----------------------------------------------------------------------------------

    @property
    def _listens(self) -> bool:
        """Whether it is between activate and deactivate: a timer may fire once more after that."""
        return "_ledger" in self.__dict__

    def _discover(self) -> None:
        if not self._listens:
            return
        prefix = f"{self.get_namespace().rstrip('/')}/detections/"
        for topic, types in self.get_topic_names_and_types():
            if topic.startswith(prefix) and _DETECTION_TYPE in types and topic not in self._inputs:
                self._inputs[topic] = self.create_subscription(
                    Detection, topic, self._on_detection, DETECTIONS, raw=True
                )
        with self._lock:
            events = self._deriver.tick(self.now())
        self._report_events(events)

    def _on_detection(self, message: bytes) -> None:
        keep = self.values["detections.keep"]
        if keep == "none":
            return
        try:
            row = detection_head(message)
        except ValueError:
            self._unreadable += 1
            return
        if keep == "whole" or self._is_due(row):
            self._put(row)

    def _is_due(self, row: DetectionRow) -> bool:
        if not row.sensor_track_id:
            return True  # which object it is of nobody knows: none can stand for another
        key = (row.sensor, row.sensor_track_id)
        since = row.stamp - self._sampled.get(key, -(2**62))
        # Sensors repeat old stamps; a clock set back by more than that begins anew.
        if -60_000_000_000 < since < self.values["detections.period"] * 1e9:
            return False
        if len(self._sampled) > _TRACKS_KNOWN:
            self._sampled.clear()
        self._sampled[key] = row.stamp
        return True

    def _on_tracks(self, message: bytes) -> None:
        self._newest = message

    def _look(self) -> None:
        """Look at the newest picture."""
        writer = self._writer
        if writer is None or not self._listens:
            return
        opening = writer.fault and not writer.commits and time.monotonic() - self._begun < PATIENCE
        if self._newest is None or opening:
            return  # what was reported before is not known yet
        message, self._newest = self._newest, None
        try:
            picture = deserialize_message(message, TrackArray)
        except Exception:
            # Of another release's definition: one unreadable topic must not end the node.
            self._unreadable += 1
            return
        now = self.now()
        quiet = frozenset(_QUIETABLE[name] for name in self.values["alerts.quiet_classes"])
        seen = [to_seen(track, quiet) for track in picture.tracks]
        with self._lock:
            events = self._deriver.tracks(seen, now)
        self._report_events(events)
        self._confirmed = [track.id for track in seen if track.confirmed]
        if not 0.0 <= now - self._tracks_stored < self.values["tracks.period"]:
            self._tracks_stored = now
            tentative = self.values["tracks.tentative"]
            writer.put(
                *(
                    to_track_row(track, known)
                    for track, known in zip(picture.tracks, seen, strict=True)
                    if known.confirmed or tentative
                )
            )
        period = self.values["evidence.period"]
        if period and not 0.0 <= now - self._evidence_asked < period:
            self._evidence_asked = now
            self._ask_for_evidence()

    def _ask_for_evidence(self) -> None:
        if not self._ledger.service_is_ready():
            return
        known = self._evidence_known
        self._evidence_known = {track: known.get(track, 0) for track in self._confirmed}
        for track in self._confirmed:
            future = self._ledger.call_async(GetTrackEvidence.Request(track_id=to_uuid(track)))
            future.add_done_callback(lambda done, track=track: self._on_evidence(track, done))

    def _on_evidence(self, track: str, future: Any) -> None:
        answer = None if future.cancelled() or future.exception() else future.result()
        if answer is None or not answer.success:
            return
        # From the newest stored on: entries of one instant may have come in two parts.
        after = self._evidence_known.get(track, 0)
        rows = [
            EvidenceRow(track, nanoseconds(entry.stamp), serialize_message(entry))
            for entry in answer.entries
            if nanoseconds(entry.stamp) >= after
        ]
        self._put(*rows)
        if rows:
            self._evidence_known[track] = max(row.stamp for row in rows)

    # Health -----------------------------------------------------------------------------------

    def _report(self, report: Report) -> None:
        writer, now = self._writer, self.now()
        report.put("path", str(getattr(self, "_path", self.values["path"])))
        report.put("schema", VERSION)
        if writer is None:
            report.findings.append(self.state)
            return
        self._written.add(now, writer.written - self._written_before)
        self._written_before = writer.written
        report.put("bytes", writer.bytes_used)
        report.put("writes", writer.written)
        report.put("writes.rate", self._written.per_second(now))
        report.put("commits", writer.commits)
        report.put("queue.depth", writer.depth)
        report.put("queue.size", self.values["queue_size"])
        report.put("dropped", writer.dropped + writer.dropped_events)
        report.put("unreadable", self._unreadable)
        report.put("quarantined", len(writer.quarantined))
        with self._lock:
            report.put("zones", len(self._deriver.zones))
            report.put_all((f"events.{k}", n) for k, n in sorted(self._deriver.counts.items()))
        if writer.fault:
            opening = not writer.commits and now - self._begun_or(now) < PATIENCE
            report.find(WARN if opening else ERROR, f"the database is away: {writer.fault}")
        if writer.quarantined:
            report.find(
                WARN,
                "a damaged database was moved aside and a new one begun; keep or delete "
                f"{writer.quarantined[-1]}",
            )
        if writer.dropped or writer.dropped_events:
            report.find(
                WARN, f"{writer.dropped + writer.dropped_events} rows dropped while it was away"
            )
        if self._unreadable:
            report.find(WARN, f"{self._unreadable} messages of another release's definition")
        report.findings.append(
            f"{writer.bytes_used / 1e6:.1f} MB, {self._written.per_second(now):.1f} rows/s"
        )

    def _begun_or(self, now: float) -> float:
        begun = getattr(self, "_begun", None)
        return now if begun is None else now - (time.monotonic() - begun)


def main() -> None:
    """Run the node as a process."""
    run(DroneDB)


if __name__ == "__main__":
    main()
