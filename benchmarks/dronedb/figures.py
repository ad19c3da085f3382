# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""DroneDB's figures: writes sustained, a day's size and query times, kills at any moment.

    ./thebox run python benchmarks/dronedb/figures.py writes
    ./thebox run python benchmarks/dronedb/figures.py day [--hours 24] [--folder DIR]
    ./thebox run python benchmarks/dronedb/figures.py kills [--count 1000]

The rows are real messages: a day has 8 confirmed tracks once a second and 12 detections a second,
which is about what the harbour scenario stores with the default sampling. Every second kill also
cuts a copy of the write-ahead log at a random place after its last commit, as a power cut may: what
was synchronised stays, what was under way is torn. The copy must then still be sound.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import thebox_fusion.dronedb
from thebox_fusion.dronedb.copies import back_up
from thebox_fusion.dronedb.reader import Reader
from thebox_fusion.dronedb.records import DetectionRow, EventRow, TrackRow
from thebox_fusion.dronedb.store import Store
from thebox_fusion.dronedb.writer import Writer

SECOND = 1_000_000_000
SENSORS = ("mara", "dspnor", "silvus", "droneshield")

CHILD = """
import sys, itertools
from pathlib import Path
from thebox_fusion.dronedb.records import DetectionRow, EventRow
from thebox_fusion.dronedb.writer import Writer
writer = Writer(Path(sys.argv[1]), batch_period=0.001, now=lambda: 0)
writer.start()
for n in itertools.count():
    name = f"{sys.argv[2]}-{n}"
    writer.put(EventRow(name, n, 2, "health", "child", "x" * 100))
    writer.put(*(DetectionRow("mara", "k", n, bytes(300)) for _ in range(50)))
    writer.call(lambda store: store.acknowledge([name], "Ada", n)).result(60)
    print(name, flush=True)
"""


def payloads(seed: int = 1) -> tuple[list[bytes], list[bytes]]:
    """Serialised tracks and detections with numbers as they vary in life."""
    from rclpy.serialization import serialize_message  # noqa: PLC0415

    from thebox_core.messages import new_detection, new_track, to_time  # noqa: PLC0415

    rng = random.Random(seed)
    tracks, detections = [], []
    for _ in range(500):
        track = new_track()
        track.header.stamp = to_time(1.7e9 + rng.random() * 1e5)
        track.header.frame_id = "map"
        track.position.x, track.position.y, track.position.z = (rng.gauss(0, 900) for _ in "xyz")
        track.covariance = [rng.gauss(0, 10) for _ in range(36)]
        track.bearing, track.range = rng.random() * 6.28, rng.random() * 4000
        track.confidence, track.label = rng.random(), "DJI Mavic"
        track.reason = "hit by dspnor: +2.1"
        track.sensors = ["dspnor", "droneshield"]
        track.sensor_track_ids = ["droneshield:1541424276", f"dspnor:{rng.randrange(4000)}"]
        tracks.append(serialize_message(track))
        detection = new_detection()
        detection.header.stamp = detection.received = to_time(1.7e9 + rng.random() * 1e5)
        detection.sensor, detection.sensor_track_id = rng.choice(SENSORS), str(rng.randrange(9999))
        detection.bearing, detection.bearing_std = rng.random() * 6.28, rng.random()
        detection.range, detection.rssi = rng.random() * 4000, -60 * rng.random()
        detections.append(serialize_message(detection))
    return tracks, detections


def writes(folder: Path) -> None:
    """Rows a second that the writer's thread takes, and what an acknowledgement waits."""
    tracks, detections = payloads()
    writer = Writer(folder / "writes.sqlite", now=lambda: 0, queue_size=10_000_000)
    writer.start()
    while writer.fault:
        time.sleep(0.01)
    rng = random.Random(2)
    rows = [
        DetectionRow(rng.choice(SENSORS), str(n % 300), n * 10**7, detections[n % 500])
        if n % 5
        else _track(n % 8, n * 10**7, tracks[n % 500])
        for n in range(200_000)
    ]
    began = time.monotonic()
    waits = []
    for begin in range(0, len(rows), 20_000):
        writer.put(*rows[begin : begin + 20_000])
        name = f"e{begin}"
        writer.put(EventRow(name, begin, 2, "health", "x", "x"))
        asked = time.monotonic()
        writer.call(lambda store, name=name: store.acknowledge([name], "Ada", 1)).result(120)
        waits.append(time.monotonic() - asked)
    while writer.depth:
        time.sleep(0.01)
    took = time.monotonic() - began
    print(f"{len(rows)} rows in {took:.1f} s: {len(rows) / took:.0f} rows/s sustained")
    waits.sort()
    print(
        f"acknowledgement under that load: median {waits[len(waits) // 2] * 1e3:.0f} ms, "
        f"longest {waits[-1] * 1e3:.0f} ms"
    )
    writer.stop(60.0)


def _track(number: int, stamp: int, payload: bytes) -> TrackRow:
    return TrackRow(
        f"00000000-0000-0000-0000-{number:012d}",
        stamp,
        2,
        1,
        0.9,
        100.0 * number,
        50.0,
        (f"mara:{number}",),
        payload,
    )


def day(folder: Path, hours: float) -> None:
    """Size of a day, and what questions about it take."""
    tracks, detections = payloads()
    path = folder / "day.sqlite"
    store = Store(path)
    store.open()
    rng = random.Random(3)
    seconds = int(hours * 3600)
    began = time.monotonic()
    for minute in range(0, seconds, 60):
        rows: list[TrackRow | DetectionRow | EventRow] = []
        for s in range(minute, min(minute + 60, seconds)):
            # A track lives five minutes on average; eight at a time.
            rows += [_track(s // 300 * 8 + k, s * SECOND, rng.choice(tracks)) for k in range(8)]
            rows += [
                DetectionRow(rng.choice(SENSORS), str(rng.randrange(300)), s * SECOND, payload)
                for payload in rng.choices(detections, k=12)
            ]
        rows.append(
            EventRow(f"e{minute}", minute * SECOND, 2, "track_confirmed", "fusion", "x" * 60)
        )
        store.write(rows)
    print(f"{hours:g} h: {seconds * 20} rows written in {time.monotonic() - began:.0f} s")
    print(f"size {store.bytes_used / 1e6:.0f} MB ({store.bytes_used / seconds / 20:.0f} bytes/row)")
    noon = seconds // 2 * SECOND
    area = ((0.0, 0.0), (350.0, 0.0), (350.0, 100.0), (0.0, 100.0))

    def timed(what: str, ask: object) -> None:
        begun = time.monotonic()
        with Reader(path, 60.0) as reader:
            ask(reader)  # type: ignore[operator]
        print(f"  {what:<48}{(time.monotonic() - begun) * 1e3:>9.1f} ms")

    timed("200 tracks from noon", lambda r: r.tracks(noon))
    timed("200 tracks of an area from noon", lambda r: r.tracks(noon, area=area))
    timed("one identity's tracks, of the whole day", lambda r: r.tracks(identity="mara:900"))
    timed("200 of a class that never was, whole day", lambda r: r.tracks(object_classes=[5]))
    timed("200 detections of one sensor from noon", lambda r: r.detections(noon, sensors=["mara"]))
    timed("200 detections of an object, whole day", lambda r: r.detections(sensor_track_id="77"))
    timed("open alerts", lambda r: r.events(unacknowledged_only=True, severity_min=2))
    timed("statistics of an hour", lambda r: r.statistics(noon, noon + 3600 * SECOND))
    timed("statistics of the whole day", lambda r: r.statistics())
    begun = time.monotonic()
    size = back_up(path, folder / "copy.sqlite")
    print(f"  backup, verified: {size / 1e6:.0f} MB in {time.monotonic() - begun:.1f} s")
    begun = time.monotonic()
    deleted = 0
    while True:
        count = store.prune(seconds * SECOND // 2, 0, 0)
        if not count:
            break
        deleted += count
    print(f"  half of it deleted by age: {deleted} rows in {time.monotonic() - begun:.1f} s")
    store.close()


def kills(folder: Path, count: int) -> None:
    """Kill the writing process at random moments; nothing acknowledged may be lost."""
    rng = random.Random(4)
    path = folder / "kills.sqlite"
    home = Path(thebox_fusion.dronedb.__file__).parents[2]
    acknowledged: set[str] = set()
    lost = damaged = torn = cuts = 0
    for run in range(count):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(run)],
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(home)},
        )
        assert child.stdout is not None
        lines = [child.stdout.readline()] if rng.random() < 0.7 else []
        reader = threading.Thread(target=lambda out=child.stdout, to=lines: to.extend(out))
        reader.start()
        time.sleep(rng.random() * 0.05 + (0.0 if lines else rng.random() * 0.15))
        child.send_signal(signal.SIGKILL)
        child.wait()
        reader.join()
        child.stdout.close()
        acknowledged |= {line.strip() for line in lines if line.endswith("\n")}
        wal = path.with_name(path.name + "-wal")
        if run % 2 and wal.exists():
            # On a copy: what a power cut leaves of the log must still open and be sound.
            for suffix in ("", "-wal"):
                source = path.with_name(path.name + suffix)
                shutil.copy(source, folder / f"cut.sqlite{suffix}")
            cut = folder / "cut.sqlite-wal"
            with cut.open("r+b") as file:
                # What was synchronised stays: only what follows the last commit can be torn.
                first = _committed(cut.read_bytes())
                file.truncate(rng.randrange(first, cut.stat().st_size + 1))
            cuts += 1
            torn += not _sound(folder / "cut.sqlite")
            for each in folder.glob("cut.sqlite*"):
                each.unlink()
        if run % 25 == 24 or run == count - 1:
            damaged += not _sound(path)
            with sqlite3.connect(path) as database:
                kept = {r[0] for r in database.execute("SELECT id FROM events WHERE acknowledged")}
            database.close()
            lost = len(acknowledged - kept)
    print(
        f"{count} kills, {cuts} logs cut: {len(acknowledged)} acknowledged, {lost} lost, "
        f"{damaged} damaged, {torn} damaged of the cut ones, "
        f"{len(list(folder.glob('*.damaged-*')))} moved aside"
    )


def _committed(log: bytes) -> int:
    """Where the last whole transaction of a write-ahead log ends (SQLite file format, 4.1)."""
    if len(log) < 32:
        return len(log)
    size = 24 + int.from_bytes(log[8:12], "big")
    end = 32
    for at in range(32, len(log) - size + 1, size):
        if log[at + 8 : at + 16] != log[16:24]:
            break  # left over from before the log began anew
        if log[at + 4 : at + 8] != bytes(4):
            end = at + size
    return end


def _sound(path: Path) -> bool:
    try:
        with sqlite3.connect(path) as database:
            verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
        database.close()
    except sqlite3.DatabaseError:
        return False
    return bool(verdict == "ok")


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("writes", "day", "kills"))
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: temporary")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        if options.what == "writes":
            writes(folder)
        elif options.what == "day":
            day(folder, options.hours)
        else:
            kills(folder, options.count)


if __name__ == "__main__":
    main()
