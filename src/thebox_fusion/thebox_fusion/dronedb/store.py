# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The database file: written by one :class:`Store`.

SQLite in WAL mode with ``synchronous=FULL``: what a call of :class:`Store` has returned from is on
the disk, whatever happens next. Times are nanoseconds, half-open spans [start, end).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from thebox_fusion.dronedb.errors import DamagedError, StoreError, explained
from thebox_fusion.dronedb.records import (
    ALERT,
    DetectionRow,
    EventRow,
    EvidenceRow,
    Row,
    TrackRow,
    ZoneRow,
)
from thebox_fusion.dronedb.rows import (
    CONFIRMED,
    EVENT_COLUMNS,
    bytes_used,
    event_of,
    number_or_null,
    oldest_stamp,
    zones_of,
)
from thebox_fusion.dronedb.schema import NewerSchemaError, check_owner, migrate, version_of

__all__ = ["Store"]

_CHECKED_WHOLE = 1 << 30  # bytes; a larger file is not read through before it is used
_CHUNK = 2000  # rows that retention deletes at a time, so that writes come in between


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
        with explained(self.path):
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
        with explained(self.path):
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
            f"INSERT OR IGNORE INTO events({EVENT_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608
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
                number_or_null(row.confidence),
                number_or_null(row.x),
                number_or_null(row.y),
                zlib.compress(row.payload, 1),
            ),
        )
        connection.execute(
            "UPDATE track_ids SET last = max(last, ?), confirmed = max(confirmed, ?) WHERE ref = ?",
            (row.stamp, int(row.state >= CONFIRMED), ref),
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
                    f"SELECT {EVENT_COLUMNS} FROM events WHERE id = ? AND NOT acknowledged",  # noqa: S608
                    (identity,),
                ).fetchone()
                if row is None:
                    continue
                connection.execute(
                    "UPDATE events SET acknowledged = 1, acknowledged_by = ?, acknowledged_at = ? "
                    "WHERE id = ?",
                    (by, at, identity),
                )
                event = event_of(row)
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
                        number_or_null(zone.height_min),
                        number_or_null(zone.height_max),
                        int(zone.alert_on_entry),
                    )
                    for place, zone in enumerate(zones)
                ],
            )

    # What the node begins with ----------------------------------------------------------------

    def zones(self) -> list[ZoneRow]:
        """All zones, in the order in which they were set."""
        with explained(self.path):
            return zones_of(self._db)

    def announced(self, since: int) -> dict[str, tuple[str, int]]:
        """Tracks whose confirmation was reported after ``since`` and whose loss was not.

        Returns:
            text and severity of the newest report by the tracks' identities.
        """
        with explained(self.path):
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
        with explained(self.path):
            (count,) = self._db.execute(
                "SELECT count(*) FROM events WHERE severity = 2 AND NOT acknowledged"
            ).fetchone()
            return int(count)

    # Retention --------------------------------------------------------------------------------

    @property
    def bytes_used(self) -> int:
        """Bytes of the file that hold something; what was freed is used again first."""
        with explained(self.path):
            return bytes_used(self._db)

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
            if not deleted and bytes_max > 0 and bytes_used(connection) > bytes_max:
                deleted = self._prune_oldest(connection)
        with explained(self.path):
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
        oldest = oldest_stamp(connection)
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
