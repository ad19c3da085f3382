# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The DroneDB node on a live graph."""

from __future__ import annotations

import math
import sqlite3
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Point32
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.serialization import serialize_message

from thebox_core.messages import new_detection, new_track, to_time, to_uuid
from thebox_core.qos import DETECTIONS, EVENTS, LATCHED, STATE
from thebox_fusion.dronedb.records import detection_head
from thebox_fusion.dronedb_node import DroneDB
from thebox_interfaces.msg import Detection, Event, Evidence, Track, TrackArray, Zone, ZoneArray
from thebox_interfaces.srv import (
    AcknowledgeEvents,
    BackUpDatabase,
    GetStatistics,
    GetTrackEvidence,
    QueryDetections,
    QueryEvents,
    QueryTracks,
    SetZones,
)

TRACK = str(uuid.UUID(int=7))
#: History of long ago would be deleted at once.
NOW = float(int(time.time()))


def _track(x: float = 100.0, y: float = 0.0, state: int = Track.STATE_CONFIRMED) -> Track:
    track = new_track()
    track.id = to_uuid(TRACK)
    track.number = 7
    track.state = state
    track.header.stamp = to_time(NOW)
    track.label = "DJI Mavic"
    track.object_class = Track.CLASS_DRONE
    track.confidence = 0.97
    track.bearing = math.pi / 2
    track.range_observed = True
    track.position.x, track.position.y, track.position.z = x, y, 50.0
    track.sensors = ["droneshield"]
    track.sensor_track_ids = ["droneshield:1541424276"]
    return track


def _zone(name: str = "harbour", size: float = 500.0) -> Zone:
    zone = Zone(name=name, height_min=math.nan, height_max=math.nan, alert_on_entry=True)
    zone.outline.points = [
        Point32(x=x, y=y) for x, y in ((-size, -size), (size, -size), (size, size), (-size, size))
    ]
    return zone


class Box:
    """A DroneDB on a live graph, and what a box around it would say."""

    def __init__(self, live: Any, path: Path, **parameters: Any) -> None:
        self.live = live
        self.path = path
        self.events = live.listen(Event, "events", EVENTS)
        self.zones = live.listen(ZoneArray, "zones", LATCHED)
        self.tracks = live.observer.create_publisher(TrackArray, "tracks", STATE)
        self.detections = live.observer.create_publisher(Detection, "detections/mara", DETECTIONS)
        self.diagnostics = live.observer.create_publisher(DiagnosticArray, "/diagnostics", 10)
        parameters = {"batch_period": 0.05, "tracks__period": 0.0, **parameters}
        self.node = live.start(DroneDB, path=str(path), **parameters)
        live.wait(lambda: self.node.is_active and not self.node.writer.fault, "an open database")
        live.wait(self.tracks.get_subscription_count, "dronedb to hear tracks")
        live.wait(self.detections.get_subscription_count, "dronedb to hear detections")

    def show(self, *tracks: Track) -> None:
        self.tracks.publish(TrackArray(tracks=list(tracks)))

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def wait_for(self, kind: str, count: int = 1) -> Event:
        self.live.wait(lambda: self.kinds().count(kind) >= count, f"{count} x {kind}")
        return next(event for event in reversed(self.events) if event.kind == kind)

    def ask(self, kind: Any, name: str, **fields: Any) -> Any:
        return self.live.call(kind, f"dronedb/{name}", kind.Request(**fields))


@pytest.fixture
def box(live: Any, tmp_path: Path) -> Callable[..., Box]:
    return lambda **parameters: Box(live, tmp_path / "db" / "dronedb.sqlite", **parameters)


def test_head_of_a_serialised_detection_is_read_as_its_message_has_it() -> None:
    message = new_detection()
    for sensor, key, frame in (
        ("mara", "", ""),
        ("über", "T-1", "mara_link"),
        ("a", "x" * 99, "f"),
    ):
        message.header.stamp.sec, message.header.stamp.nanosec = 1_764_000_001, 999_999_999
        message.header.frame_id = frame
        message.sensor, message.sensor_track_id = sensor, key
        cdr = serialize_message(message)
        head = detection_head(cdr)
        assert head == (sensor, key, 1_764_000_001_999_999_999, cdr)


def test_track_becomes_an_alert_is_acknowledged_once_for_all_and_lost(
    box: Callable[..., Box],
) -> None:
    here = box()
    here.show(_track(state=Track.STATE_TENTATIVE))
    here.show(_track())
    alert = here.wait_for("track_confirmed")
    assert alert.severity == Event.SEVERITY_ALERT
    assert bytes(alert.track_id.uuid) == uuid.UUID(TRACK).bytes
    assert "track 7 (DJI Mavic) confirmed, bearing 090°" in alert.text

    waiting = here.ask(QueryEvents, "query_events", unacknowledged_only=True, severity_min=2)
    assert [event.id for event in waiting.events] == [alert.id]

    answer = here.ask(
        AcknowledgeEvents, "acknowledge_events", event_ids=[alert.id, "?"], acknowledged_by="Ada"
    )
    assert answer.success
    assert list(answer.acknowledged) == [alert.id]
    # On the disk before it was answered: any other reader sees it now.
    with sqlite3.connect(here.path) as other:
        row = other.execute("SELECT acknowledged_by FROM events WHERE acknowledged").fetchone()
    assert row == ("Ada",)
    told = here.wait_for("track_confirmed", 2)
    assert told.acknowledged
    assert (told.id, told.acknowledged_by) == (alert.id, "Ada")
    again = here.ask(
        AcknowledgeEvents, "acknowledge_events", event_ids=[alert.id], acknowledged_by="Bob"
    )
    assert again.success
    assert not again.acknowledged

    here.show()
    assert here.wait_for("track_lost").severity == Event.SEVERITY_WARNING
    assert here.kinds().count("track_lost") == 1


def test_zones_are_kept_and_entry_is_reported(box: Callable[..., Box], live: Any) -> None:
    here = box()
    live.wait(lambda: here.zones, "the zones, latched")
    assert not here.zones[-1].zones
    refused = here.ask(SetZones, "set_zones", zones=[Zone(name="line")])
    assert not refused.success
    assert "needs 3 to" in refused.message
    stored = here.ask(SetZones, "set_zones", zones=[_zone()])
    assert stored.success
    assert stored.zones[0].id
    live.wait(lambda: here.zones[-1].zones, "the new zones")
    here.show(_track(x=900.0))
    here.wait_for("track_confirmed")
    here.show(_track(x=100.0))
    entry = here.wait_for("zone_entry")
    assert entry.zone_id == stored.zones[0].id
    assert entry.text == "track 7 (DJI Mavic) entered harbour"


def test_restart_keeps_zones_and_does_not_report_a_track_twice(
    box: Callable[..., Box], live: Any
) -> None:
    here = box()
    here.ask(SetZones, "set_zones", zones=[_zone("pier")])
    here.show(_track(x=900.0))
    here.wait_for("track_confirmed")

    def circle() -> None:
        here.node.trigger_deactivate()
        here.node.trigger_cleanup()
        here.node.trigger_configure()
        here.node.trigger_activate()

    live.in_executor(circle)
    live.wait(lambda: not here.node.writer.fault, "an open database")
    live.wait(lambda: here.zones[-1].zones and here.zones[-1].zones[0].name == "pier", "zones")
    live.wait(here.tracks.get_subscription_count, "dronedb to hear tracks")
    here.show(_track(x=900.0))
    here.show(_track(x=0.0))
    here.wait_for("zone_entry")
    assert here.kinds().count("track_confirmed") == 1
    here.show()
    here.wait_for("track_lost")


def test_history_of_tracks_detections_and_evidence(box: Callable[..., Box], live: Any) -> None:
    def ledger(request: Any, response: Any) -> Any:
        response.success = True
        response.entries = [
            Evidence(stamp=to_time(NOW + i), kind=Evidence.KIND_HIT, text=f"hit {i}")
            for i in range(3)
        ]
        return response

    live.observer.create_service(GetTrackEvidence, "fusion/get_track_evidence", ledger)
    here = box(detections__keep="whole", evidence__period=0.1)
    live.wait(here.node._ledger.service_is_ready, "the fusion's service")
    detection = new_detection()
    detection.sensor, detection.sensor_track_id = "mara", "T1"
    for i in range(5):
        detection.header.stamp = to_time(NOW + i)
        detection.bearing = 0.1 * i
        here.detections.publish(detection)
    live.wait(lambda: here.node.writer.written >= 5, "five rows")
    here.show(_track())
    here.wait_for("track_confirmed")

    pages, cursor = [], ""
    while True:
        page = here.ask(QueryDetections, "query_detections", page_size=2, cursor=cursor)
        assert page.success, page.message
        pages.append([round(d.bearing, 3) for d in page.detections])
        cursor = page.next_cursor
        if not cursor:
            break
    assert pages == [[0.0, 0.1], [0.2, 0.3], [0.4]]

    def stored() -> Any:
        return here.ask(QueryTracks, "query_tracks", identity="droneshield:1541424276").tracks

    (track,) = live.wait(stored, "the stored track")
    assert track == _track() or math.isnan(track.rssi)  # NaN is equal to nothing
    assert (track.number, track.label, track.position.x) == (7, "DJI Mavic", 100.0)
    # Evidence comes with a look after the one that confirmed it.
    live.wait(lambda: here.show(_track()) or here.node._evidence_known.get(TRACK), "evidence")
    evidence = live.wait(
        lambda: here.ask(GetTrackEvidence, "get_track_evidence", track_id=to_uuid(TRACK)).entries,
        "stored evidence",
    )
    assert [entry.text for entry in evidence] == ["hit 0", "hit 1", "hit 2"]
    told = here.ask(GetStatistics, "get_statistics")
    assert (told.detections, told.tracks, told.confirmed_tracks) == (5, 1, 1)
    assert told.unacknowledged_alerts == 1
    assert {v.key: v.value for v in told.by_sensor} == {"mara": "5"}


def test_sensor_lost_and_back_and_settings_are_events(box: Callable[..., Box], live: Any) -> None:
    here = box(health__hold=0.0)

    def say(level: int, text: str) -> None:
        status = DiagnosticStatus(name="silvus: input", level=bytes([level]), message=text)
        here.diagnostics.publish(DiagnosticArray(status=[status]))

    say(0, "3.0 detections/s")
    live.wait(lambda: say(3, "nothing heard for 9 s") or "sensor_lost" in here.kinds(), "loss")
    assert here.wait_for("sensor_lost").source == "silvus"
    live.wait(lambda: say(0, "3.0 detections/s") or "sensor_back" in here.kinds(), "return")
    assert here.kinds().count("sensor_lost") == 1

    value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=7.0)
    changed = live.call(
        SetParameters,
        "dronedb/set_parameters",
        SetParameters.Request(parameters=[ParameterMessage(name="retention.days", value=value)]),
    )
    assert changed.results[0].successful
    event = here.wait_for("setting")
    assert (event.source, event.text) == ("dronedb", "dronedb.retention.days = 7.0")
    assert here.node.writer.retention.days == 7.0


def test_events_of_others_are_kept(box: Callable[..., Box], live: Any) -> None:
    here = box()
    publisher = live.observer.create_publisher(Event, "events", EVENTS)
    live.wait(lambda: publisher.get_subscription_count() >= 2, "dronedb to hear events")
    command = Event(
        id="c-1",
        kind=Event.KIND_COMMAND,
        source="operator:Ada",
        text="slew to 90°",
        stamp=to_time(NOW),
    )
    publisher.publish(command)
    found = live.wait(
        lambda: here.ask(QueryEvents, "query_events", kinds=[Event.KIND_COMMAND]).events,
        "the command in the history",
    )
    assert [(event.id, event.text) for event in found] == [("c-1", "slew to 90°")]


def test_backup_while_running_and_bad_questions(box: Callable[..., Box], tmp_path: Path) -> None:
    here = box()
    here.show(_track())
    here.wait_for("track_confirmed")
    copied = here.ask(BackUpDatabase, "back_up")
    assert copied.success, copied.message
    assert Path(copied.path).stat().st_size == copied.bytes
    with sqlite3.connect(copied.path) as copy:
        assert copy.execute("SELECT count(*) FROM events").fetchone() == (1,)
    twice = here.ask(BackUpDatabase, "back_up", path=copied.path)
    assert not twice.success
    assert "is there already" in twice.message
    assert "no cursor" in here.ask(QueryEvents, "query_events", cursor="?").message
    assert "no track" in here.ask(GetTrackEvidence, "get_track_evidence").message
    nobody = here.ask(AcknowledgeEvents, "acknowledge_events")
    assert not nobody.success


def test_damaged_file_is_moved_aside_and_the_node_lives_on(
    box: Callable[..., Box], tmp_path: Path, live: Any
) -> None:
    path = tmp_path / "db" / "dronedb.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"this is no database" * 500)
    here = box()
    here.show(_track())
    here.wait_for("track_confirmed")
    assert len(list(path.parent.glob("dronedb.sqlite.damaged-*"))) == 1
    live.wait(lambda: "moved aside" in live.told().get("dronedb: database", ""), "health to say so")
    assert len(here.ask(QueryEvents, "query_events").events) == 1


def test_database_that_cannot_be_opened_costs_history_only(live: Any, tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    folder.write_text("a file where a folder should be")
    events = live.listen(Event, "events", EVENTS)
    tracks = live.observer.create_publisher(TrackArray, "tracks", STATE)
    node = live.start(DroneDB, path=str(folder / "dronedb.sqlite"))
    live.wait(lambda: node.is_active and tracks.get_subscription_count(), "an active node")
    live.wait(lambda: live.level("dronedb: database") == 2, "health to say so")

    def told() -> bool:
        tracks.publish(TrackArray(tracks=[_track()]))
        return bool(events)

    live.wait(told, "the alert all the same")
    answer = live.call(
        AcknowledgeEvents,
        "dronedb/acknowledge_events",
        AcknowledgeEvents.Request(event_ids=[events[0].id]),
    )
    assert not answer.success
    assert "check the folder" in answer.message
    # Mended: what waited is written, and can be acknowledged.
    folder.unlink()

    def acknowledged() -> bool:
        return bool(
            live.call(
                AcknowledgeEvents,
                "dronedb/acknowledge_events",
                AcknowledgeEvents.Request(event_ids=[events[0].id]),
            ).acknowledged
        )

    live.wait(acknowledged, "the acknowledgement")


def test_a_hundred_times_round_the_life_cycle(
    live: Any, tmp_path: Path, circle_a_hundred_times: Callable[[Any], None]
) -> None:
    node = live.start(DroneDB, path=str(tmp_path / "dronedb.sqlite"), autostart=False)
    circle_a_hundred_times(node)
