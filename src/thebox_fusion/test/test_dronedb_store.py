# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The database without ROS: what is kept, what survives, what is told."""

from __future__ import annotations

import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import thebox_core
import thebox_fusion
from thebox_fusion.dronedb.copies import back_up
from thebox_fusion.dronedb.deriving import Deriver, SeenTrack
from thebox_fusion.dronedb.errors import BadQueryError, DamagedError, StoreError
from thebox_fusion.dronedb.reader import Reader
from thebox_fusion.dronedb.records import (
    ALERT,
    INFO,
    DetectionRow,
    EventRow,
    EvidenceRow,
    TrackRow,
    ZoneRow,
    detection_head,
    inside,
)
from thebox_fusion.dronedb.schema import APPLICATION_ID, MIGRATIONS, VERSION
from thebox_fusion.dronedb.store import Store
from thebox_fusion.dronedb.writer import Resumed, Retention, Writer

SECOND = 1_000_000_000
SQUARE = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0))


def _event(number: int, severity: int = ALERT, kind: str = "health", **fields: Any) -> EventRow:
    return EventRow(
        f"e{number}", number * SECOND, severity, kind, "test", f"text {number}", **fields
    )


def _track(number: int, stamp: int, x: float = math.nan, y: float = math.nan) -> TrackRow:
    return TrackRow(
        f"00000000-0000-0000-0000-{number:012d}",
        stamp * SECOND,
        2,
        1 + number % 2,
        0.1 * number,
        x,
        y,
        (f"mara:{number}",),
        f"track {number} at {stamp}".encode(),
    )


def _detection(sensor: str, stamp: int, key: str = "") -> DetectionRow:
    return DetectionRow(sensor, key, stamp * SECOND, f"{sensor} {stamp}".encode())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dronedb.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    made = Store(path)
    made.open()
    yield made
    made.close()


def _all(ask: Callable[..., Any], **question: Any) -> list[Any]:
    rows: list[Any] = []
    cursor = ""
    while True:
        page = ask(**question, cursor=cursor)
        rows += page.rows
        cursor = page.cursor
        if not cursor:
            return rows


def _wait(done: Callable[[], Any], why: str) -> Any:
    end = time.monotonic() + 30.0
    while True:
        got = done()
        if got:
            return got
        assert time.monotonic() < end, why
        time.sleep(0.005)


# Store ----------------------------------------------------------------------------------------


def test_pages_hold_each_row_once_in_order_of_time(store: Store, path: Path) -> None:
    rng = random.Random(1)
    detections = [
        _detection(rng.choice(["mara", "silvus", "dspnor"]), rng.randrange(20)) for _ in range(200)
    ]
    tracks = [_track(n, s) for n in range(5) for s in range(20)]
    events = [_event(n) for n in range(30)]
    store.write([*detections, *tracks, *events])
    with Reader(path) as reader:
        found = _all(reader.detections, page_size=7)
        assert sorted(found) == sorted(d.payload for d in detections)
        stamps = [int(row.split()[1]) for row in found]
        assert stamps == sorted(stamps)
        assert len(_all(reader.detections, page_size=7, sensors=["mara", "?"])) == sum(
            d.sensor == "mara" for d in detections
        )
        assert len(_all(reader.tracks, page_size=9)) == 100
        assert _all(reader.tracks, identity="mara:3", start=5 * SECOND, end=7 * SECOND) == [
            b"track 3 at 5",
            b"track 3 at 6",
        ]
        assert (
            _all(reader.tracks, identity=tracks[20].track_id, page_size=3)[-1] == b"track 1 at 19"
        )
        assert len(_all(reader.tracks, object_classes=[2], page_size=11)) == 40
        assert len(_all(reader.tracks, confidence_min=0.35)) == 20
        assert _all(reader.events, page_size=4) == events
        assert reader.tracks(identity="nobody").rows == []


def test_area_is_the_polygon_and_not_its_box(store: Store, path: Path) -> None:
    triangle = ((0.0, 0.0), (10.0, 0.0), (0.0, 10.0))
    store.write([_track(1, s, x=s % 10 + 0.5, y=s // 10 + 0.5) for s in range(100)])
    store.write([_track(2, 200)])  # no position
    with Reader(path) as reader:
        found = _all(reader.tracks, area=triangle, page_size=6)
        expected = [f"track 1 at {s}".encode() for s in range(100) if (s % 10) + (s // 10) + 1 < 10]
        assert found == expected
        with pytest.raises(BadQueryError, match="three corners"):
            reader.tracks(area=SQUARE[:2])


def test_acknowledged_once_and_open_alerts(store: Store, path: Path) -> None:
    store.write([_event(1), _event(2), _event(3, INFO)])
    assert store.unacknowledged_alerts() == 2
    (done,) = store.acknowledge(["e1", "e1", "nothing"], "Ada", 99)
    assert (done.id, done.acknowledged, done.acknowledged_by, done.acknowledged_at) == (
        "e1",
        True,
        "Ada",
        99,
    )
    assert store.acknowledge(["e1"], "Bob", 100) == []
    with Reader(path) as reader:
        waiting = reader.events(unacknowledged_only=True, severity_min=ALERT)
        assert [event.id for event in waiting.rows] == ["e2"]
        assert reader.events().rows[0] == done


def test_event_written_twice_is_kept_once_as_it_was(store: Store, path: Path) -> None:
    store.write([_event(1)])
    store.acknowledge(["e1"], "Ada", 5)
    store.write([_event(1)])
    with Reader(path) as reader:
        (event,) = reader.events().rows
    assert event.acknowledged


def test_zones_announced_and_evidence_survive_a_reopening(path: Path) -> None:
    store = Store(path)
    assert store.open() == 0
    zone = ZoneRow("z", "pier", SQUARE, height_max=120.0)
    store.set_zones([zone, ZoneRow("y", "other", SQUARE)])
    store.write(
        [
            _event(1, kind="track_confirmed", track_id="a"),
            _event(2, kind="track_confirmed", track_id="b"),
            _event(3, kind="track_lost", track_id="a"),
            _track(1, 1),
        ]
    )
    evidence = [EvidenceRow(_track(1, 1).track_id, s * SECOND, b"%d" % s) for s in (3, 1, 2)]
    store.write([*evidence, evidence[0]])
    store.close()
    assert store.open() == VERSION
    first = store.zones()[0]
    assert (first.name, first.outline, first.height_max) == ("pier", SQUARE, 120.0)
    assert math.isnan(first.height_min)
    assert list(store.announced(0)) == ["b"]
    assert list(store.announced(3 * SECOND)) == []
    store.close()
    with Reader(path) as reader:
        assert reader.evidence(_track(1, 1).track_id) == [b"1", b"2", b"3"]
        assert reader.evidence(_track(1, 1).track_id, limit=2) == [b"2", b"3"]
        with pytest.raises(BadQueryError, match="no track"):
            reader.evidence("nobody")


def test_database_of_an_older_release_is_migrated(path: Path) -> None:
    with sqlite3.connect(path) as old:
        old.executescript(MIGRATIONS[0])
        old.execute("PRAGMA user_version = 1")
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        old.execute("INSERT INTO track_ids VALUES (1, 'x', 5, 1)")
    old.close()
    store = Store(path)
    assert store.open() == 1
    store.write([EvidenceRow("x", 1, b"new")])
    store.close()
    with Reader(path) as reader:
        assert reader.evidence("x") == [b"new"]


@pytest.mark.parametrize(
    ("version", "application", "said"),
    [(VERSION + 1, APPLICATION_ID, "install the release"), (1, 77, "of another program")],
)
def test_database_of_others_is_left_as_it_is(
    path: Path, version: int, application: int, said: str
) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs(a)")
        other.execute(f"PRAGMA user_version = {version}")
        other.execute(f"PRAGMA application_id = {application}")
    other.close()
    store = Store(path)
    with pytest.raises(StoreError, match=said) as raised:
        store.open()
    assert not isinstance(raised.value, DamagedError)
    store.close()
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (1,)
    other.close()


def test_two_boxes_do_not_share_a_file(store: Store, path: Path) -> None:
    second = Store(path)
    with pytest.raises(StoreError, match="another box writes"):
        second.open()


def test_retention_by_age_and_by_size_spares_open_alerts(store: Store, path: Path) -> None:
    store.write([_detection("mara", s) for s in range(100)])
    store.write([_track(1, s) for s in range(100)])
    store.write([_track(2, 3), EvidenceRow(_track(2, 3).track_id, 3 * SECOND, b"old")])
    store.write([_event(1), _event(2, INFO), _event(80, INFO)])
    while store.prune(50 * SECOND, 50 * SECOND, 0):
        pass
    with Reader(path) as reader:
        assert len(_all(reader.detections)) == 50
        assert len(_all(reader.tracks)) == 50
        assert [event.id for event in reader.events().rows] == ["e1", "e80"]
        with pytest.raises(BadQueryError):
            reader.evidence(_track(2, 3).track_id)
    rng = random.Random(2)
    for begin in range(100, 5100, 1000):
        store.write(
            [
                DetectionRow("mara", "k", s * SECOND, rng.randbytes(500))
                for s in range(begin, begin + 1000)
            ]
        )
    limit = store.bytes_used // 2
    while store.prune(0, 0, limit):
        pass
    assert store.bytes_used <= limit
    with Reader(path) as reader:
        told = reader.statistics()
    assert 1000 < told.detections < 4000
    assert told.oldest > 100 * SECOND
    assert told.unacknowledged_alerts == 1


def test_statistics(store: Store, path: Path) -> None:
    store.write([_detection("mara", 1), _detection("mara", 9), _detection("silvus", 2)])
    store.write([_track(1, 1), _track(1, 2), _track(2, 2), _event(1)])
    with Reader(path) as reader:
        told = reader.statistics(0, 5 * SECOND)
        assert (told.detections, told.tracks, told.events) == (2, 2, 1)
        assert told.by_sensor == {"mara": 1, "silvus": 1}
        assert told.oldest == SECOND
        with pytest.raises(BadQueryError, match="before its start"):
            reader.statistics(9, 5)


def test_question_that_takes_too_long_is_ended(store: Store, path: Path) -> None:
    store.write([_track(1, s, x=1.0, y=1.0) for s in range(20_000)])
    with Reader(path, deadline=0.0) as reader, pytest.raises(StoreError, match="too long"):
        reader.tracks(confidence_min=0.99)


def test_backup_is_whole_or_absent(store: Store, path: Path, tmp_path: Path) -> None:
    store.write([_event(n) for n in range(1000)])
    copy = tmp_path / "copies" / "copy.sqlite"
    assert back_up(path, copy) == copy.stat().st_size
    store.write([_event(5000)])
    with Reader(copy) as reader:
        assert len(_all(reader.events, page_size=1000)) == 1000
    with pytest.raises(StoreError, match="is there already"):
        back_up(path, copy)
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"x" * 5000)
    with pytest.raises(DamagedError):
        back_up(damaged, tmp_path / "copies" / "other.sqlite")
    assert [file.name for file in copy.parent.iterdir()] == ["copy.sqlite"]


@given(st.binary(max_size=200))
def test_no_bytes_make_the_head_of_a_detection_fail_otherwise(cdr: bytes) -> None:
    try:
        row = detection_head(cdr)
    except ValueError:
        return
    assert row.payload == cdr


@given(
    st.floats(-20, 20, allow_nan=False).filter(lambda v: abs(v) > 1e-6 and abs(v - 10) > 1e-6),
    st.floats(-20, 20, allow_nan=False).filter(lambda v: abs(v) > 1e-6 and abs(v - 10) > 1e-6),
)
def test_inside_a_square(x: float, y: float) -> None:
    assert inside(SQUARE, x, y) == (0 < x < 10 and 0 < y < 10)
    assert not inside(SQUARE, math.nan, y)


# Writer: faults -------------------------------------------------------------------------------


@pytest.fixture
def writer(path: Path) -> Iterator[Callable[..., Writer]]:
    made: list[Writer] = []

    def make(**options: Any) -> Writer:
        new = Writer(path, batch_period=0.02, now=lambda: 0, **options)
        made.append(new)
        new.start()
        return new

    yield make
    for each in made:
        each.stop()


def test_locked_file_costs_nothing_but_time(path: Path, writer: Callable[..., Writer]) -> None:
    here = writer()
    _wait(lambda: not here.fault, here.fault)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    here.put(_event(1), _detection("mara", 1))
    _wait(lambda: "locked by another program" in here.fault, "no fault")
    with pytest.raises(StoreError, match="locked"):
        here.call(lambda store: store.acknowledge(["e1"], "Ada", 1)).result(30.0)
    other.execute("ROLLBACK")
    other.close()
    _wait(lambda: here.written == 2 and not here.fault, "not written")
    (done,) = here.call(lambda store: store.acknowledge(["e1"], "Ada", 1)).result(30.0)
    assert done.id == "e1"
    assert here.dropped == 0


def test_full_disk_keeps_events_and_drops_the_oldest_history(
    path: Path, writer: Callable[..., Writer]
) -> None:
    rng = random.Random(3)
    here = writer(page_limit=60, queue_size=300)
    _wait(lambda: not here.fault, here.fault)
    put = 0
    while not here.fault:
        here.put(*(DetectionRow("mara", "", s, rng.randbytes(400)) for s in range(200)))
        put += 200
        _wait(lambda: here.fault or not here.depth, "nothing happens")
    assert "no room to write" in here.fault
    for _ in range(5):
        here.put(*(DetectionRow("mara", "", s, rng.randbytes(400)) for s in range(100)))
        put += 100
    here.put(*(_event(n) for n in range(50)))
    assert here.depth <= 350
    assert here.dropped >= 1
    # Room again: the limit is lifted.
    here._store._page_limit = 1_000_000
    _wait(lambda: not here.fault and not here.depth, "not written")
    with Reader(path) as reader:
        assert len(_all(reader.events)) == 50
        stored = reader.statistics().detections
    assert stored + here.dropped == put


def test_file_damaged_while_in_use_is_moved_aside_and_events_saved(
    path: Path, writer: Callable[..., Writer]
) -> None:
    seen: list[Resumed] = []
    here = writer(resumed=seen.append)
    _wait(lambda: not here.fault, here.fault)
    here.put(*(_event(n) for n in range(400)))
    here.put(*(_detection("mara", s) for s in range(3000)))
    here.call(lambda store: store.set_zones([ZoneRow("z", "pier", SQUARE)])).result(30.0)
    here.call(lambda store: store.acknowledge(["e7"], "Ada", 1)).result(30.0)
    _wait(lambda: not here.depth, "not written")
    here.stop()
    # Overwrite the pages of the detections, as a dying disk does.
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xa5" * (size - size // 2))
    again = writer(resumed=seen.append)
    again.suspect()
    _wait(lambda: again.quarantined and not again.fault, "not moved aside")
    assert Path(again.quarantined[0]).exists()
    again.put(_event(9000))
    _wait(lambda: not again.depth, "not written")
    with Reader(path) as reader:
        kept = {event.id: event for event in _all(reader.events)}
        assert [zone.name for zone in reader.zones()] == ["pier"]
    assert kept["e7"].acknowledged
    assert len(kept) == 401
    assert seen[-1].zones[0].name == "pier"


def test_file_that_goes_away_is_begun_anew(path: Path, writer: Callable[..., Writer]) -> None:
    here = writer()
    _wait(lambda: not here.fault, here.fault)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    _wait(path.exists, "no new file")
    _wait(lambda: not here.fault, here.fault)
    here.put(_event(1))
    _wait(lambda: not here.depth, "not written")
    with Reader(path) as reader:
        assert len(reader.events().rows) == 1


def test_retention_runs_in_the_thread(path: Path, writer: Callable[..., Writer]) -> None:
    day = 86_400 * SECOND
    store = Store(path)
    store.open()
    store.write([_detection("mara", s * 86_400) for s in range(100)])
    store.close()
    here = writer(retention=Retention(days=10.0))
    here._now = lambda: 100 * day
    here._next_prune = 0.0
    here.put(_event(1))

    def left() -> bool:
        with Reader(path) as reader:
            return reader.statistics().detections == 10

    _wait(left, "not pruned")


# Kill at any moment ---------------------------------------------------------------------------

_CHILD = """
import sys, itertools
from thebox_fusion.dronedb.records import DetectionRow, EventRow
from thebox_fusion.dronedb.writer import Writer
from pathlib import Path
writer = Writer(Path(sys.argv[1]), batch_period=0.001, now=lambda: 0)
writer.start()
for n in itertools.count():
    name = f"{sys.argv[2]}-{n}"
    writer.put(EventRow(name, n, 2, "health", "child", "x" * 100))
    writer.put(*(DetectionRow("mara", "k", n, bytes(300)) for _ in range(50)))
    writer.call(lambda store: store.acknowledge([name], "Ada", n)).result(60)
    print(name, flush=True)
"""


def test_killed_at_any_moment_nothing_acknowledged_is_lost(path: Path) -> None:
    rng = random.Random(4)
    found = [Path(package.__file__).parents[1] for package in (thebox_core, thebox_fusion)]
    acknowledged: list[str] = []
    for run in range(15):
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(path), str(run)],
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": os.pathsep.join(map(str, found)), "OMP_NUM_THREADS": "1"},
        )
        assert child.stdout is not None
        lines: list[str] = []
        first = child.stdout.readline()
        assert first, "the child wrote nothing"
        lines.append(first)
        reader = threading.Thread(target=lambda out=child.stdout, to=lines: to.extend(out))
        reader.start()
        time.sleep(rng.random() * 0.03)
        child.send_signal(signal.SIGKILL)
        child.wait(30.0)
        reader.join(30.0)
        child.stdout.close()
        # The last line may have been cut.
        acknowledged += [line.strip() for line in lines if line.endswith("\n")]
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        kept = {row[0] for row in database.execute("SELECT id FROM events WHERE acknowledged")}
    database.close()
    assert len(acknowledged) >= 15
    assert set(acknowledged) <= kept
    assert not list(path.parent.glob("*.damaged-*"))


# Events ---------------------------------------------------------------------------------------


def _seen(
    x: float = math.nan, confirmed: bool = True, identity: str = "a", quiet: bool = False
) -> SeenTrack:
    return SeenTrack(identity, 1, confirmed, "Mavic", quiet, 1.0, x, 5.0, 50.0)


def _kinds(events: list[EventRow]) -> list[str]:
    return [event.kind for event in events]


def test_track_is_confirmed_and_lost_once() -> None:
    deriver = Deriver()
    assert _kinds(deriver.tracks([_seen(confirmed=False)], 0.0)) == []
    assert _kinds(deriver.tracks([_seen()], 1.0)) == ["track_confirmed"]
    assert _kinds(deriver.tracks([_seen()], 2.0)) == []
    assert _kinds(deriver.tracks([], 3.0)) == ["track_lost"]
    assert _kinds(deriver.tracks([], 4.0)) == []


def test_bird_is_told_quietly_until_it_is_none() -> None:
    deriver = Deriver()
    (event,) = deriver.tracks([_seen(quiet=True)], 0.0)
    assert event.severity == INFO
    resumed = Deriver()
    resumed.resume({"a": (event.text, event.severity)})
    for each in (deriver, resumed):
        assert each.tracks([_seen(quiet=True)], 1.0) == []
        (alert,) = each.tracks([_seen()], 2.0)
        assert (alert.kind, alert.severity) == ("track_confirmed", ALERT)
        assert "no longer taken for a harmless one" in alert.text
        assert each.tracks([_seen(quiet=True)], 3.0) == []
        assert each.tracks([_seen()], 4.0) == []


def test_zone_is_entered_once_and_again_after_a_while_outside() -> None:
    deriver = Deriver()
    deriver.set_zones([ZoneRow("z", "pier", SQUARE), ZoneRow("h", "high", SQUARE, height_min=60.0)])
    deriver.tracks([_seen()], 0.0)
    assert _kinds(deriver.tracks([_seen()], 0.5)) == []  # no position, no entry
    (entry,) = deriver.tracks([_seen(5.0)], 1.0)
    assert (entry.kind, entry.zone_id, entry.severity) == ("zone_entry", "z", ALERT)
    # Along the border it is one entry.
    for t in range(2, 8):
        assert _kinds(deriver.tracks([_seen(11.0 if t % 2 else 9.0)], float(t))) == []
    deriver.tracks([_seen(50.0)], 8.0)
    assert _kinds(deriver.tracks([_seen(5.0)], 30.0)) == ["zone_entry"]


def test_zone_without_alert_is_told_quietly() -> None:
    deriver = Deriver()
    deriver.set_zones([ZoneRow("z", "pier", SQUARE, alert_on_entry=False)])
    events = deriver.tracks([_seen(5.0)], 0.0)
    assert [event.severity for event in events] == [ALERT, INFO]


def test_sensor_is_lost_after_the_hold_and_a_blink_is_nothing() -> None:
    deriver = Deriver(hold=3.0)
    say = deriver.status
    assert say("mara: input", 0, "ok", "", 0.0) == []
    assert say("mara: input", 3, "nothing heard", "", 1.0) == []
    assert say("mara: input", 0, "ok", "", 2.0) == []
    assert say("mara: input", 3, "nothing heard for 2 s", "", 3.0) == []
    assert say("mara: input", 2, "port taken", "", 5.0) == []
    (lost,) = say("mara: input", 2, "port taken", "", 8.0)
    assert (lost.kind, lost.severity) == ("sensor_lost", ALERT)
    say("mara: input", 0, "ok", "", 9.0)
    assert _kinds(say("mara: input", 0, "ok", "", 12.0)) == ["sensor_back"]


def test_node_that_falls_silent_is_reported_once() -> None:
    deriver = Deriver(hold=1.0)
    for subject in ("life cycle", "input", "camera"):
        deriver.status(f"mara: {subject}", 0, "ok", "", 0.0)
    told = [event for t in range(1, 20) for event in deriver.tick(float(t))]
    assert _kinds(told) == ["sensor_lost"]
    assert "reports no more" in told[0].text


def test_life_cycle_and_health_changes() -> None:
    deriver = Deriver(hold=0.0)
    deriver.status("fusion: life cycle", 0, "active", "active", 0.0)
    (event,) = deriver.status("fusion: life cycle", 0, "inactive", "inactive", 1.0)
    assert event.text == "fusion: active → inactive"
    (event,) = deriver.status("fusion: tracking", 1, "own-ship silent", "", 2.0)
    assert (event.kind, event.severity) == ("health", 1)
    assert _kinds(deriver.status("fusion: tracking", 0, "ok", "", 3.0)) == ["health"]


def test_flapping_subject_is_reported_as_such_and_then_no_more() -> None:
    deriver = Deriver(hold=0.0)
    events = [
        event
        for t in range(100)
        for event in deriver.status("fusion: tracking", t % 2, "?", "", float(t))
    ]
    assert len(events) == 7
    assert "again and again" in events[-1].text


def test_settings_hide_secrets_and_commands_name_the_operator() -> None:
    deriver = Deriver()
    assert deriver.setting("/thebox/panel", "login.password_hash", "x", 0.0).text.endswith(
        "= (changed)"
    )
    assert deriver.setting("/thebox/mara", "source", "udp://x", 0.0).text == "mara.source = udp://x"
    assert deriver.camera("vision", "", 0.0) == []
    assert _kinds(deriver.camera("operator:Ada", "operator:Ada", 1.0)) == ["command", "command"]
    assert _kinds(deriver.camera("vision", "", 2.0)) == ["command"]
