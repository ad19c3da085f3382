# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Detections and confirmed tracks out of a bag, or out of DroneDB's history."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from rclpy.serialization import deserialize_message

from thebox_bringup.operations.analysis import Plot, TrackLine
from thebox_bringup.recording.bag import BagReader
from thebox_core.messages import from_uuid, seconds
from thebox_fusion.dronedb.errors import StoreError
from thebox_fusion.dronedb.reader import PAGE_MAX, Reader
from thebox_fusion.dronedb.records import Page
from thebox_fusion.dronedb.schema import APPLICATION_ID
from thebox_interfaces.msg import Detection, Track, TrackArray

__all__ = [
    "CLASSES",
    "NothingError",
    "Observed",
    "is_database",
    "read",
    "read_bag",
    "read_database",
]

CLASSES = {
    getattr(Track, name): name.removeprefix("CLASS_").lower()
    for name in dir(Track)
    if name.startswith("CLASS_")
}
#: Pictures of a bag that are unpacked, a second: it may hold twenty.
_LOOKS = 5
#: Seconds that a page of the history may take.
_PATIENCE = 60.0


class NothingError(RuntimeError):
    """There is nothing to analyse; the text says what to do."""


@dataclass
class Observed:
    """What was seen between two times.

    Attributes:
        source: what it was read from, for people.
        sensors: detections by sensor.
        pictures: bearings (radians) of the confirmed tracks by time (seconds UTC).
        tracks: confirmed tracks by identity.
    """

    source: str
    sensors: dict[str, list[Plot]] = field(default_factory=dict)
    pictures: dict[float, list[float]] = field(default_factory=dict)
    tracks: dict[str, TrackLine] = field(default_factory=dict)

    @property
    def span(self) -> tuple[float, float]:
        """Begin and end, seconds UTC."""
        every = [p.time for plots in self.sensors.values() for p in plots]
        every += [t for line in self.tracks.values() for t, _ in line.looks]
        every += self.pictures
        return (min(every), max(every)) if every else (math.nan, math.nan)

    def add_detection(self, one: Detection) -> None:
        """Take a detection."""
        received = seconds(one.received)
        self.sensors.setdefault(one.sensor, []).append(
            Plot(
                seconds(one.header.stamp),
                received if received > 0.0 else math.nan,
                one.bearing,
                one.bearing_std,
            )
        )

    def add_track(self, track: Track, stamp: float) -> None:
        """Take a confirmed (or coasting) track as it was at a time; others are passed over."""
        if track.state < Track.STATE_CONFIRMED:
            return
        self.pictures.setdefault(stamp, []).append(track.bearing)
        line = self.tracks.setdefault(from_uuid(track.id), TrackLine(""))
        line.kind = CLASSES.get(track.object_class, "other")
        if not line.looks or stamp > line.looks[-1][0]:
            line.looks.append((stamp, track.bearing))


def is_database(path: Path) -> bool:
    """Whether a file is a DroneDB, by the application's mark.

    Asked of SQLite, not read from the file's header: of a young box the mark is in the log beside
    the file (WAL), until that is written back.
    """
    try:
        with path.open("rb") as file:
            if not file.read(16).startswith(b"SQLite format 3\0"):
                return False
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            (mark,) = opened.execute("PRAGMA application_id").fetchone()
    except (OSError, sqlite3.Error):
        return False
    return bool(mark == APPLICATION_ID)


def read_bag(path: Path, begin: float = 0.0, end: float = math.inf) -> Observed:
    """Read a bag.

    Args:
        path: of the bag.
        begin: seconds UTC from which on, by the time of recording; below zero: so many seconds
            before the bag's end.
        end: seconds UTC up to which.

    Raises:
        BagError: it cannot be read.
        NothingError: it holds neither detections nor tracks, or not in this time.
    """
    found = Observed(path.name)
    with BagReader(path) as bag:
        kinds = {name: topic.type.rpartition("/")[2] for name, topic in bag.topics.items()}
        arrays = sorted(name for name, kind in kinds.items() if kind == "TrackArray")
        chosen = next((n for n in arrays if n.endswith("/tracks")), arrays[0] if arrays else "")
        wanted = {name for name, kind in kinds.items() if kind == "Detection"}
        if not wanted and not chosen:
            raise NothingError(
                f"{path} holds neither detections nor tracks; a bag of raw bytes gets them with: "
                "./thebox replay BAG --offline --out TRACKED"
            )
        last = -1
        start = round(begin * 1e9) + (bag.end if begin < 0.0 else 0)
        stop = 0 if math.isinf(end) else round(end * 1e9)
        for message in bag.messages(wanted | ({chosen} if chosen else set()), start, stop):
            if message.topic != chosen:
                found.add_detection(deserialize_message(message.data, Detection))
                continue
            bucket = message.stamp * _LOOKS // 10**9
            if bucket == last:
                continue
            last = bucket
            array = deserialize_message(message.data, TrackArray)
            stamp = seconds(array.header.stamp)
            found.pictures.setdefault(stamp, [])
            for track in array.tracks:
                found.add_track(track, stamp)
    return _something(found, path)


def read_database(path: Path, begin: float = 0.0, end: float = math.inf) -> Observed:
    """Read DroneDB's history; the box may run. What it samples is all that there is to see.

    Args:
        path: of the file.
        begin: seconds UTC from which on; below zero: so many seconds ago.
        end: seconds UTC up to which.

    Raises:
        StoreError: it cannot be read.
        NothingError: it holds nothing of this time.
    """
    if not path.is_file():
        raise StoreError(f"no database at {path}")
    if not is_database(path):
        raise StoreError(f"{path} is neither a bag nor a database of the box")
    found = Observed(path.name)
    start = round((time.time() + begin if begin < 0.0 else begin) * 1e9)
    stop = 0 if math.isinf(end) else round(end * 1e9)

    def tracks(cursor: str) -> Page[bytes]:
        with Reader(path, _PATIENCE) as reader:
            return reader.tracks(start, stop, page_size=PAGE_MAX, cursor=cursor)

    def detections(cursor: str) -> Page[bytes]:
        with Reader(path, _PATIENCE) as reader:
            return reader.detections(start, stop, page_size=PAGE_MAX, cursor=cursor)

    for raw in _pages(tracks):
        track = deserialize_message(raw, Track)
        found.add_track(track, seconds(track.header.stamp))
    for raw in _pages(detections):
        found.add_detection(deserialize_message(raw, Detection))
    return _something(found, path)


def _pages(ask: Callable[[str], Page[bytes]]) -> Iterator[bytes]:
    cursor = ""
    while True:
        page = ask(cursor)
        yield from page.rows
        cursor = page.cursor
        if not cursor:
            return


def _something(found: Observed, path: Path) -> Observed:
    if not found.sensors and not found.tracks:
        raise NothingError(f"{path} holds no detection and no confirmed track of this time")
    return found


def read(path: Path, begin: float = 0.0, end: float = math.inf) -> Observed:
    """Read a bag or a database, whichever it is.

    Raises:
        BagError, StoreError, NothingError: as its reader.
    """
    if path.is_file() and (is_database(path) or path.suffix == ".sqlite"):
        return read_database(path, begin, end)
    return read_bag(path, begin, end)
