# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Questions to the database, answered by any number of :class:`Reader` beside the one writer."""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thebox_fusion.dronedb.errors import BadQueryError, explained
from thebox_fusion.dronedb.records import ALERT, EventRow, Page, Statistics, ZoneRow, inside
from thebox_fusion.dronedb.rows import (
    CONFIRMED,
    EVENT_COLUMNS,
    bytes_used,
    event_of,
    oldest_stamp,
    zones_of,
)

__all__ = ["END_OF_TIME", "PAGE_DEFAULT", "PAGE_MAX", "Reader"]

PAGE_DEFAULT, PAGE_MAX = 200, 1000
END_OF_TIME = 2**63 - 1


def _cursor(text: str) -> tuple[int, int]:
    if not text:
        return (-1, -1)
    stamp, _, rest = text.partition(".")
    try:
        return int(stamp), int(rest)
    except ValueError:
        raise BadQueryError(f"'{text}' is no cursor of an answer of this database") from None


def _span(start: int, end: int) -> tuple[int, int]:
    end = end or END_OF_TIME
    if end < start:
        raise BadQueryError("the end of the span lies before its start")
    return start, end


def _size_of_page(asked: int) -> int:
    return min(asked, PAGE_MAX) if asked > 0 else PAGE_DEFAULT


class Reader:
    """Answers questions about a database that somebody else may be writing; a context manager.

    Args:
        path: of the file.
        deadline: seconds that a question may take.

    Raises:
        StoreError: the file cannot be read, or the question takes too long.
    """

    def __init__(self, path: Path, deadline: float = 5.0) -> None:
        self.path = path
        end = time.monotonic() + deadline
        with explained(path):
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro",
                uri=True,
                timeout=min(deadline, 1.0),
                isolation_level=None,
                check_same_thread=False,
            )
            self._db.set_progress_handler(lambda: int(time.monotonic() > end), 10_000)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def _rows(self, sql: str, values: Sequence[Any]) -> list[Any]:
        with explained(self.path):
            return self._db.execute(sql, values).fetchall()

    def zones(self) -> list[ZoneRow]:
        """All zones."""
        with explained(self.path):
            return zones_of(self._db)

    def events(
        self,
        start: int = 0,
        end: int = 0,
        *,
        kinds: Sequence[str] = (),
        severity_min: int = 0,
        unacknowledged_only: bool = False,
        page_size: int = 0,
        cursor: str = "",
    ) -> Page[EventRow]:
        """Events, oldest first. ``end`` 0: until now; empty ``kinds``: all.

        Raises:
            BadQueryError: a span or cursor that cannot be.
        """
        start, end = _span(start, end)
        size = _size_of_page(page_size)
        where = "stamp >= ? AND stamp < ? AND (stamp, seq) > (?, ?) AND severity >= ?"
        values: list[Any] = [start, end, *_cursor(cursor), severity_min]
        if kinds:
            where += f" AND kind IN ({','.join('?' * len(kinds))})"
            values += kinds
        if unacknowledged_only:
            where += " AND NOT acknowledged"
            if severity_min >= ALERT:
                where += f" AND severity = {ALERT}"  # names the index of open alerts
        rows = self._rows(
            f"SELECT seq, {EVENT_COLUMNS} FROM events WHERE {where} "  # noqa: S608
            f"ORDER BY stamp, seq LIMIT {size + 1}",
            values,
        )
        more = f"{rows[size - 1][2]}.{rows[size - 1][0]}" if len(rows) > size else ""
        return Page([event_of(row[1:]) for row in rows[:size]], more)

    def tracks(
        self,
        start: int = 0,
        end: int = 0,
        *,
        area: tuple[tuple[float, float], ...] = (),
        object_classes: Sequence[int] = (),
        identity: str = "",
        confidence_min: float = 0.0,
        page_size: int = 0,
        cursor: str = "",
    ) -> Page[bytes]:
        """Serialised tracks, oldest first.

        Args:
            start: of the span, nanoseconds.
            end: of the span; 0: until now.
            area: polygon in map (east, north), metres; empty: everywhere.
            object_classes: of Track.CLASS_*; empty: all.
            identity: a track's UUID, or one of its sensor identities ("sensor:key").
            confidence_min: least confidence.
            page_size: rows a page; 0: 200.
            cursor: of the page before.

        Raises:
            BadQueryError: a span, area or cursor that cannot be.
        """
        start, end = _span(start, end)
        size = _size_of_page(page_size)
        if 0 < len(area) < 3:
            raise BadQueryError("an area needs three corners at least")
        where = "stamp >= ? AND stamp < ? AND (stamp, track) > (?, ?)"
        fixed: list[Any] = []
        if object_classes:
            where += f" AND object_class IN ({','.join('?' * len(object_classes))})"
            fixed += [int(value) for value in object_classes]
        if confidence_min > 0.0:
            where += " AND confidence >= ?"
            fixed.append(confidence_min)
        if identity:
            refs = self._refs(identity)
            if not refs:
                return Page([])
            where += f" AND track IN ({','.join('?' * len(refs))})"
            fixed += refs
        if area:
            where += " AND x BETWEEN ? AND ? AND y BETWEEN ? AND ?"
            east, north = zip(*area, strict=True)
            fixed += [min(east), max(east), min(north), max(north)]
        found: list[bytes] = []
        after = _cursor(cursor)
        while True:
            rows = self._rows(
                f"SELECT stamp, track, x, y, payload FROM tracks WHERE {where} "  # noqa: S608
                f"ORDER BY stamp, track LIMIT {size + 1}",
                [start, end, *after, *fixed],
            )
            for index, (stamp, track, x, y, payload) in enumerate(rows[:size]):
                after = (stamp, track)
                if area and not inside(area, x, y):
                    continue
                found.append(zlib.decompress(payload))
                if len(found) == size:
                    last = index == len(rows) - 1
                    return Page(found, "" if last else f"{stamp}.{track}")
            if len(rows) <= size:
                return Page(found)

    def _refs(self, identity: str) -> list[int]:
        rows = self._rows(
            "SELECT ref FROM track_ids WHERE uuid = ? UNION SELECT track FROM identities WHERE "
            "identity = ?",
            (identity.lower(), identity),
        )
        return [int(row[0]) for row in rows][:500]

    def evidence(self, track_id: str, limit: int = 0) -> list[bytes]:
        """Serialised entries of a track's ledger, newest last; ``limit`` 0: all.

        Raises:
            BadQueryError: the track is not known.
        """
        rows = self._rows("SELECT ref FROM track_ids WHERE uuid = ?", (track_id.lower(),))
        if not rows:
            raise BadQueryError(f"no track {track_id} is in the history")
        entries = self._rows(
            "SELECT payload FROM evidence WHERE track = ? ORDER BY stamp DESC LIMIT ?",
            (rows[0][0], limit if limit > 0 else -1),
        )
        return [zlib.decompress(entry[0]) for entry in reversed(entries)]

    def detections(
        self,
        start: int = 0,
        end: int = 0,
        *,
        sensors: Sequence[str] = (),
        sensor_track_id: str = "",
        page_size: int = 0,
        cursor: str = "",
    ) -> Page[bytes]:
        """Serialised detections, oldest first.

        Raises:
            BadQueryError: a span or cursor that cannot be.
        """
        start, end = _span(start, end)
        size = _size_of_page(page_size)
        after = _cursor(cursor)
        known = dict(self._rows("SELECT name, ref FROM sensors", ()))
        refs = [known[name] for name in sensors if name in known] if sensors else [*known.values()]
        rows: list[Any] = []
        # Clustered by sensor, so that a quiet one is found among a busy one's millions.
        for ref in refs:
            where = "sensor = ? AND stamp >= ? AND stamp < ? AND (stamp, seq) > (?, ?)"
            values = [ref, max(start, after[0]), end, *after]
            if sensor_track_id:
                where += " AND key = ? AND key != ''"
                values.append(sensor_track_id)
            rows += self._rows(
                f"SELECT stamp, seq, payload FROM detections WHERE {where} "  # noqa: S608
                f"ORDER BY stamp, seq LIMIT {size + 1}",
                values,
            )
        rows.sort()
        more = f"{rows[size - 1][0]}.{rows[size - 1][1]}" if len(rows) > size else ""
        return Page([zlib.decompress(row[2]) for row in rows[:size]], more)

    def statistics(self, start: int = 0, end: int = 0) -> Statistics:
        """Counts over a span.

        Raises:
            BadQueryError: a span that cannot be.
        """
        start, end = _span(start, end)
        span = (start, end)

        def one(sql: str, values: Sequence[Any] = span) -> int:
            return int(self._rows(sql, values)[0][0] or 0)

        by_sensor = {
            name: one(
                "SELECT count(*) FROM detections WHERE sensor = ? AND stamp >= ? AND stamp < ?",
                (ref, *span),
            )
            for name, ref in self._rows("SELECT name, ref FROM sensors ORDER BY name", ())
        }
        with explained(self.path):
            size, oldest = bytes_used(self._db), oldest_stamp(self._db)
        return Statistics(
            detections=sum(by_sensor.values()),
            tracks=one("SELECT count(DISTINCT track) FROM tracks WHERE stamp >= ? AND stamp < ?"),
            confirmed_tracks=one(
                "SELECT count(DISTINCT track) FROM tracks WHERE stamp >= ? AND stamp < ? AND "
                "state >= ?",
                (*span, CONFIRMED),
            ),
            events=one("SELECT count(*) FROM events WHERE stamp >= ? AND stamp < ?"),
            unacknowledged_alerts=one(
                "SELECT count(*) FROM events WHERE severity = 2 AND NOT acknowledged AND "
                "stamp >= ? AND stamp < ?"
            ),
            database_bytes=size,
            oldest=oldest,
            by_sensor={name: count for name, count in by_sensor.items() if count},
        )
