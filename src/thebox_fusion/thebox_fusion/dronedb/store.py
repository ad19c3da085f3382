# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The database file: written by one :class:`Store`, read by any number of :class:`Reader`.

SQLite in WAL mode with ``synchronous=FULL``: what a call of :class:`Store` has returned from is on
the disk, whatever happens next. Times are nanoseconds, half-open spans [start, end).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from thebox_fusion.dronedb.records import (
    ALERT,
    DetectionRow,
    EventRow,
    EvidenceRow,
    Page,
    Row,
    Statistics,
    TrackRow,
    ZoneRow,
    inside,
)
from thebox_fusion.dronedb.schema import NewerSchemaError, check_owner, migrate, version_of

__all__ = [
    "BadQueryError",
    "DamagedError",
    "Reader",
    "Store",
    "StoreError",
    "back_up",
    "quarantine",
    "salvage",
]

PAGE_DEFAULT, PAGE_MAX = 200, 1000
END_OF_TIME = 2**63 - 1
_CONFIRMED = 2  # Track.STATE_CONFIRMED
_CHECKED_WHOLE = 1 << 30  # bytes; a larger file is not read through before it is used
_CHUNK = 2000  # rows that retention deletes at a time, so that writes come in between
_EVENT_COLUMNS = (
    "id, stamp, severity, kind, source, text, track_id, zone_id, acknowledged, acknowledged_by, "
    "acknowledged_at"
)

_T = TypeVar("_T")


class StoreError(Exception):
    """The database cannot do this now; the text says why and what to do."""


class DamagedError(StoreError):
    """The file is not a sound database."""


class BadQueryError(ValueError):
    """A query that makes no sense; the text says what is wrong with it."""


#: What SQLite says, what the operator is told, and whether the file itself is bad.
_EXPLANATIONS: tuple[tuple[tuple[str, ...], str, type[StoreError]], ...] = (
    (("malformed", "not a database", "no such table"), "{path} is damaged: {text}", DamagedError),
    (
        ("locked", "busy"),
        "{path} is locked by another program: end it (fuser {path} shows which)",
        StoreError,
    ),
    (
        ("full",),
        "no room to write {path}: free space on the disk, or lower retention.*",
        StoreError,
    ),
    (
        ("interrupted",),
        "the query took too long: narrow its span of time or its area",
        StoreError,
    ),
    (
        ("unable to open", "readonly"),
        "{path} cannot be opened or written: check the folder, its rights and the disk",
        StoreError,
    ),
)


def explain(error: sqlite3.Error | OSError, path: Path) -> StoreError:
    """Turn an error of SQLite or the file system into one that an operator can act on."""
    text = str(error)
    if isinstance(error, OSError):
        return StoreError(f"{path}: {error.strerror or error}: check the folder and its rights")
    for words, told, kind in _EXPLANATIONS:
        if any(word in text for word in words):
            return kind(told.format(path=path, text=text))
    return StoreError(f"{path}: {text}")


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise explain(error, path) from error


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _event(row: Sequence[Any]) -> EventRow:
    fields = list(row)
    fields[8] = bool(fields[8])
    return EventRow(*fields)


def _zone(row: Sequence[Any]) -> ZoneRow:
    identity, name, outline, low, high, alert = row
    return ZoneRow(
        identity,
        name,
        tuple((float(x), float(y)) for x, y in json.loads(outline)),
        math.nan if low is None else low,
        math.nan if high is None else high,
        bool(alert),
    )


class Store:
    """The one writer of a database file. Used by one thread; :meth:`open` first.

    Every error of the file is a :class:`StoreError`, a damaged one a :class:`DamagedError`. A
    call that raised has changed nothing.
    """

    def __init__(self, path: Path, *, page_limit: int = 0) -> None:
        self.path = path
        self._page_limit = page_limit
        self._connection: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._inode = (0, 0)
        self._tracks: dict[str, tuple[int, frozenset[str]]] = {}
        self._sensors: dict[str, int] = {}
        self._next = 0

    # Opening ----------------------------------------------------------------------------------

    def open(self, timeout: float = 1.0) -> int:
        """Open the file, making or migrating it; return the schema version that was found.

        Args:
            timeout: seconds to wait for another program's lock.

        Raises:
            DamagedError: it is no sound database: see :func:`quarantine`.
            StoreError: it cannot be used now, or not by this release.
        """
        with _explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            try:
                return self._open(timeout)
            except NewerSchemaError as error:
                raise StoreError(str(error)) from error
            except BaseException:
                self.close()
                raise

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StoreError(
                f"another box writes {self.path}: stop it, or give this one another dronedb.path"
            ) from None
        self._lock = descriptor

    def _open(self, timeout: float) -> int:
        # Only this connection's thread writes; it may be closed from another one.
        connection = sqlite3.connect(
            self.path, timeout=timeout, isolation_level=None, check_same_thread=False
        )
        self._connection = connection
        check_owner(connection)
        # The vacuum mode counts in an empty file only.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA temp_store = MEMORY")
        found = version_of(connection)
        if found and not self._was_closed(connection) and self._size() <= _CHECKED_WHOLE:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise DamagedError(f"{self.path} is damaged: {verdict}")
        migrate(connection)
        if self._page_limit:
            connection.execute(f"PRAGMA max_page_count = {int(self._page_limit)}")
        self._sensors = dict(connection.execute("SELECT name, ref FROM sensors"))
        self._tracks = {}
        row = connection.execute("SELECT value FROM meta WHERE key = 'next'").fetchone()
        self._next = int(row[0]) if row else 1
        self._set_meta("closed", "0")
        status = self.path.stat()
        self._inode = (status.st_dev, status.st_ino)
        return found

    @staticmethod
    def _was_closed(connection: sqlite3.Connection) -> bool:
        row = connection.execute("SELECT value FROM meta WHERE key = 'closed'").fetchone()
        return row is not None and row[0] == "1"

    def _set_meta(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _size(self) -> int:
        return self.path.stat().st_size

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self.path} is not open")
        return self._connection

    @property
    def is_open(self) -> bool:
        """Whether it is open."""
        return self._connection is not None

    def close(self) -> None:
        """Close the file, marked as closed in order; may be called twice. Never raises."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('closed', '1')")
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def abandon(self) -> None:
        """Close a file that is not trusted, without a word written to it; the lock is kept."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    @property
    def is_in_place(self) -> bool:
        """Whether the path still names the file that is open."""
        try:
            status = self.path.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._inode

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _explained(self.path):
            connection = self._db
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                self._tracks = {}
                raise

    # Writing ----------------------------------------------------------------------------------

    def write(self, rows: Iterable[Row]) -> int:
        """Write rows in one transaction; return how many. A row that is there already stays."""
        count = 0
        sensors, following = dict(self._sensors), self._next
        try:
            with self._transaction() as connection:
                detections = []
                for row in rows:
                    count += 1
                    if isinstance(row, DetectionRow):
                        detections.append(
                            (
                                self._sensor(connection, row.sensor),
                                row.stamp,
                                self._next,
                                row.sensor_track_id,
                                zlib.compress(row.payload, 1),
                            )
                        )
                        self._next += 1
                    elif isinstance(row, EventRow):
                        self._write_event(connection, row)
                    elif isinstance(row, TrackRow):
                        self._write_track(connection, row)
                    else:
                        self._write_evidence(connection, row)
                connection.executemany("INSERT INTO detections VALUES (?, ?, ?, ?, ?)", detections)
                if detections:
                    self._set_meta("next", str(self._next))
        except BaseException:
            self._sensors, self._next = sensors, following
            raise
        return count

    def _sensor(self, connection: sqlite3.Connection, name: str) -> int:
        ref = self._sensors.get(name)
        if ref is None:
            ref = int(
                connection.execute("INSERT INTO sensors(name) VALUES (?)", (name,)).lastrowid or 0
            )
            self._sensors[name] = ref
        return ref

    @staticmethod
    def _write_event(connection: sqlite3.Connection, row: EventRow) -> None:
        connection.execute(
            f"INSERT OR IGNORE INTO events({_EVENT_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608
            (
                row.id,
                row.stamp,
                row.severity,
                row.kind,
                row.source,
                row.text,
                row.track_id,
                row.zone_id,
                int(row.acknowledged),
                row.acknowledged_by,
                row.acknowledged_at,
            ),
        )

    def _write_track(self, connection: sqlite3.Connection, row: TrackRow) -> None:
        ref, known = self._track(connection, row.track_id, row.stamp)
        connection.execute(
            "INSERT OR REPLACE INTO tracks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.stamp,
                ref,
                row.state,
                row.object_class,
                _number(row.confidence),
                _number(row.x),
                _number(row.y),
                zlib.compress(row.payload, 1),
            ),
        )
        connection.execute(
            "UPDATE track_ids SET last = max(last, ?), confirmed = max(confirmed, ?) WHERE ref = ?",
            (row.stamp, int(row.state >= _CONFIRMED), ref),
        )
        new = set(row.identities) - known
        if new:
            connection.executemany(
                "INSERT OR IGNORE INTO identities VALUES (?, ?)",
                [(identity, ref) for identity in sorted(new)],
            )
            self._tracks[row.track_id] = (ref, known | new)

    def _track(
        self, connection: sqlite3.Connection, uuid: str, stamp: int
    ) -> tuple[int, frozenset[str]]:
        known = self._tracks.get(uuid)
        if known is None:
            connection.execute(
                "INSERT OR IGNORE INTO track_ids(uuid, last, confirmed) VALUES (?, ?, 0)",
                (uuid, stamp),
            )
            (ref,) = connection.execute(
                "SELECT ref FROM track_ids WHERE uuid = ?", (uuid,)
            ).fetchone()
            if len(self._tracks) > 10_000:
                self._tracks.clear()
            known = self._tracks[uuid] = (int(ref), frozenset())
        return known

    def _write_evidence(self, connection: sqlite3.Connection, row: EvidenceRow) -> None:
        ref, _ = self._track(connection, row.track_id, row.stamp)
        digest = hashlib.blake2b(row.payload, digest_size=8).digest()
        connection.execute(
            "INSERT OR IGNORE INTO evidence VALUES (?, ?, ?, ?)",
            (ref, row.stamp, digest, zlib.compress(row.payload, 1)),
        )

    def acknowledge(self, ids: Sequence[str], by: str, at: int) -> list[EventRow]:
        """Acknowledge events; return those that were not before, as they are now.

        What is returned is on the disk. An identity that is not known is passed over.
        """
        done: list[EventRow] = []
        with self._transaction() as connection:
            for identity in dict.fromkeys(ids):
                row = connection.execute(
                    f"SELECT {_EVENT_COLUMNS} FROM events WHERE id = ? AND NOT acknowledged",  # noqa: S608
                    (identity,),
                ).fetchone()
                if row is None:
                    continue
                connection.execute(
                    "UPDATE events SET acknowledged = 1, acknowledged_by = ?, acknowledged_at = ? "
                    "WHERE id = ?",
                    (by, at, identity),
                )
                event = _event(row)
                done.append(
                    replace(event, acknowledged=True, acknowledged_by=by, acknowledged_at=at)
                )
        return done

    def set_zones(self, zones: Sequence[ZoneRow]) -> None:
        """Replace all zones."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM zones")
            connection.executemany(
                "INSERT INTO zones VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        zone.id,
                        place,
                        zone.name,
                        json.dumps(zone.outline),
                        _number(zone.height_min),
                        _number(zone.height_max),
                        int(zone.alert_on_entry),
                    )
                    for place, zone in enumerate(zones)
                ],
            )

    # What the node begins with ----------------------------------------------------------------

    def zones(self) -> list[ZoneRow]:
        """All zones, in the order in which they were set."""
        with _explained(self.path):
            return _zones(self._db)

    def announced(self, since: int) -> dict[str, tuple[str, int]]:
        """Tracks whose confirmation was reported after ``since`` and whose loss was not.

        Returns:
            text and severity of the newest report by the tracks' identities.
        """
        with _explained(self.path):
            rows = self._db.execute(
                "SELECT track_id, kind, text, severity FROM events WHERE stamp >= ? AND kind IN "
                "('track_confirmed', 'track_lost') ORDER BY stamp, seq",
                (since,),
            ).fetchall()
        open_tracks: dict[str, tuple[str, int]] = {}
        for track, kind, text, severity in rows:
            if kind == "track_confirmed":
                open_tracks[track] = (text, severity)
            else:
                open_tracks.pop(track, None)
        return open_tracks

    def unacknowledged_alerts(self) -> int:
        """How many alerts wait for an acknowledgement."""
        with _explained(self.path):
            (count,) = self._db.execute(
                "SELECT count(*) FROM events WHERE severity = 2 AND NOT acknowledged"
            ).fetchone()
            return int(count)

    # Retention --------------------------------------------------------------------------------

    @property
    def bytes_used(self) -> int:
        """Bytes of the file that hold something; what was freed is used again first."""
        with _explained(self.path):
            return _bytes_used(self._db)

    def prune(self, history_before: int, events_before: int, bytes_max: int) -> int:
        """Delete some of what is too old or too much; return how many rows, 0 when done.

        Tracks, evidence and detections older than ``history_before`` go, and events older than
        ``events_before``, but no alert that waits for an acknowledgement. While the database is
        larger than ``bytes_max`` the oldest detections and tracks go too. One call deletes a
        bounded number of rows: call again until it returns 0.
        """
        with self._transaction() as connection:
            deleted = self._prune_history(connection, history_before)
            if not deleted:
                deleted = connection.execute(
                    "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE stamp < ? AND "
                    "(acknowledged OR severity < ?) ORDER BY stamp LIMIT ?)",
                    (events_before, ALERT, _CHUNK),
                ).rowcount
            if not deleted and bytes_max > 0 and _bytes_used(connection) > bytes_max:
                deleted = self._prune_oldest(connection)
        with _explained(self.path):
            # Gives the freed pages at the end of the file back, a few at a time.
            self._db.execute("PRAGMA incremental_vacuum(200)").fetchall()
        return deleted

    def _prune_history(self, connection: sqlite3.Connection, before: int) -> int:
        for (sensor,) in connection.execute("SELECT ref FROM sensors").fetchall():
            deleted = connection.execute(
                "DELETE FROM detections WHERE sensor = ? AND (stamp, seq) IN (SELECT stamp, seq "
                "FROM detections WHERE sensor = ? AND stamp < ? ORDER BY stamp LIMIT ?)",
                (sensor, sensor, before, _CHUNK),
            ).rowcount
            if deleted:
                return deleted
        deleted = connection.execute(
            "DELETE FROM tracks WHERE (stamp, track) IN (SELECT stamp, track FROM tracks "
            "WHERE stamp < ? ORDER BY stamp LIMIT ?)",
            (before, _CHUNK),
        ).rowcount
        if deleted:
            return deleted
        gone = connection.execute(
            "SELECT ref FROM track_ids WHERE last < ? LIMIT 100", (before,)
        ).fetchall()
        for table, column in (("evidence", "track"), ("identities", "track"), ("track_ids", "ref")):
            connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", gone)  # noqa: S608
        if gone:
            self._tracks = {}
        return len(gone)

    def _prune_oldest(self, connection: sqlite3.Connection) -> int:
        oldest = _oldest(connection)
        if not oldest:
            return 0
        # A step in time rather than in rows, so that no sensor is forgotten before another.
        newest = max(
            (
                row[0]
                for row in connection.execute(
                    "SELECT max(stamp) FROM tracks UNION ALL SELECT (SELECT max(stamp) FROM "
                    "detections WHERE sensor = ref) FROM sensors"
                )
                if row[0] is not None
            ),
            default=oldest,
        )
        return self._prune_history(connection, oldest + max((newest - oldest) // 50, 1))


def _bytes_used(connection: sqlite3.Connection) -> int:
    size, pages, free = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    return size * (pages - free)


def _zones(connection: sqlite3.Connection) -> list[ZoneRow]:
    rows = connection.execute(
        "SELECT id, name, outline, height_min, height_max, alert FROM zones ORDER BY place"
    )
    return [_zone(row) for row in rows]


def _oldest(connection: sqlite3.Connection) -> int:
    """The oldest stamp of the history (tracks and detections), 0 for none."""
    rows = connection.execute(
        "SELECT min(stamp) FROM tracks UNION ALL SELECT (SELECT min(stamp) FROM detections WHERE "
        "sensor = ref) FROM sensors"
    )
    return min((int(row[0]) for row in rows if row[0] is not None), default=0)


# Reading --------------------------------------------------------------------------------------


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
        with _explained(path):
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
        with _explained(self.path):
            return self._db.execute(sql, values).fetchall()

    def zones(self) -> list[ZoneRow]:
        """All zones."""
        with _explained(self.path):
            return _zones(self._db)

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
            f"SELECT seq, {_EVENT_COLUMNS} FROM events WHERE {where} "  # noqa: S608
            f"ORDER BY stamp, seq LIMIT {size + 1}",
            values,
        )
        more = f"{rows[size - 1][2]}.{rows[size - 1][0]}" if len(rows) > size else ""
        return Page([_event(row[1:]) for row in rows[:size]], more)

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
        with _explained(self.path):
            size, oldest = _bytes_used(self._db), _oldest(self._db)
        return Statistics(
            detections=sum(by_sensor.values()),
            tracks=one("SELECT count(DISTINCT track) FROM tracks WHERE stamp >= ? AND stamp < ?"),
            confirmed_tracks=one(
                "SELECT count(DISTINCT track) FROM tracks WHERE stamp >= ? AND stamp < ? AND "
                "state >= ?",
                (*span, _CONFIRMED),
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


# Copies ---------------------------------------------------------------------------------------


def back_up(
    path: Path, target: Path, progress: Callable[[int, int], None] = lambda left, total: None
) -> int:
    """Copy a database that is in use, verify the copy, and return its bytes.

    The copy has its name only once it is whole and verified. What is there already stays.

    Raises:
        StoreError: it cannot be copied, or the copy is not sound; nothing is left behind.
    """
    if target.exists():
        raise StoreError(f"{target} is there already: give the copy another name")
    part = target.with_name(target.name + ".part")
    with _explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
    try:
        with (
            _explained(path),
            contextlib.closing(
                sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
            ) as source,
            contextlib.closing(sqlite3.connect(part)) as copy,
        ):
            # One step is one consistent picture: a writer in between would start it anew.
            source.backup(copy, pages=-1, progress=lambda _, left, total: progress(left, total))
            copy.execute("PRAGMA journal_mode = DELETE")
            verdict = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if verdict != "ok" or version_of(copy) != version_of(source):
                raise StoreError(f"the copy is not sound ({verdict}): check the disk of {target}")
        with _explained(target):
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            size = part.stat().st_size
            part.rename(target)
            _sync_folder(target.parent)
        return size
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def quarantine(path: Path, stamp: str) -> Path:
    """Move a damaged database, with its journal, out of the way; return where it is now.

    Raises:
        StoreError: it cannot be moved.
    """
    kept = path.with_name(f"{path.name}.damaged-{stamp}")
    with _explained(path):
        number = 1
        while kept.exists():
            number += 1
            kept = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
        for suffix in ("", "-wal", "-shm"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                source.rename(kept.with_name(kept.name + suffix))
        _sync_folder(path.parent)
    return kept


def salvage(damaged: Path) -> tuple[list[EventRow], list[ZoneRow]]:
    """Read what can still be read of the events and zones of a damaged database."""
    events: list[EventRow] = []
    zones: list[ZoneRow] = []
    with (
        contextlib.suppress(sqlite3.Error, ValueError, TypeError),
        contextlib.closing(
            sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
        ) as source,
    ):
        source.text_factory = lambda raw: raw.decode("utf-8", "replace")
        zones.extend(
            _zone(row)
            for row in _until_damage(
                source,
                "SELECT id, name, outline, height_min, height_max, alert FROM zones ORDER BY place",
            )
        )
        # From both ends: one bad page in the middle hides nothing beyond it.
        seen: dict[str, EventRow] = {}
        for order in ("ASC", "DESC"):
            for row in _until_damage(
                source,
                f"SELECT {_EVENT_COLUMNS} FROM events ORDER BY seq {order}",  # noqa: S608
            ):
                event = _event(row)
                seen.setdefault(event.id, event)
        events = sorted(seen.values(), key=lambda event: event.stamp)
    return events, zones


def _until_damage(source: sqlite3.Connection, sql: str) -> Iterator[Sequence[Any]]:
    with contextlib.suppress(sqlite3.Error):
        yield from source.execute(sql)
