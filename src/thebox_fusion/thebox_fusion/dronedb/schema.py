# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The tables, as the steps that lead from one version to the next.

A step that was released is never changed: what is to be different becomes a step more.
"""

from __future__ import annotations

import sqlite3

__all__ = [
    "APPLICATION_ID",
    "MIGRATIONS",
    "VERSION",
    "NewerSchemaError",
    "check_owner",
    "migrate",
    "version_of",
]

#: Marks the file as ours (``file`` and SQLite's own tools show it).
APPLICATION_ID = 0x54424F58

MIGRATIONS: tuple[str, ...] = (
    # 1: events, zones, tracks, detections.
    """
    CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE events(
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, stamp INTEGER NOT NULL,
        severity INTEGER NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL, text TEXT NOT NULL,
        track_id TEXT NOT NULL, zone_id TEXT NOT NULL, acknowledged INTEGER NOT NULL,
        acknowledged_by TEXT NOT NULL, acknowledged_at INTEGER NOT NULL);
    CREATE INDEX events_by_stamp ON events(stamp, seq);
    CREATE INDEX events_open ON events(stamp, seq) WHERE severity = 2 AND NOT acknowledged;
    CREATE TABLE zones(
        id TEXT PRIMARY KEY, place INTEGER NOT NULL, name TEXT NOT NULL, outline TEXT NOT NULL,
        height_min REAL, height_max REAL, alert INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE track_ids(
        ref INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, last INTEGER NOT NULL,
        confirmed INTEGER NOT NULL);
    CREATE INDEX track_ids_by_last ON track_ids(last);
    CREATE TABLE identities(
        identity TEXT NOT NULL, track INTEGER NOT NULL,
        PRIMARY KEY(identity, track)) WITHOUT ROWID;
    CREATE INDEX identities_by_track ON identities(track);
    CREATE TABLE tracks(
        stamp INTEGER NOT NULL, track INTEGER NOT NULL, state INTEGER NOT NULL,
        object_class INTEGER NOT NULL, confidence REAL, x REAL, y REAL, payload BLOB NOT NULL,
        PRIMARY KEY(stamp, track)) WITHOUT ROWID;
    CREATE INDEX tracks_by_track ON tracks(track, stamp);
    CREATE TABLE sensors(ref INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE detections(
        sensor INTEGER NOT NULL, stamp INTEGER NOT NULL, seq INTEGER NOT NULL,
        key TEXT NOT NULL, payload BLOB NOT NULL,
        PRIMARY KEY(sensor, stamp, seq)) WITHOUT ROWID;
    CREATE INDEX detections_by_key ON detections(key, stamp) WHERE key != '';
    """,
    # 2: the tracks' evidence.
    """
    CREATE TABLE evidence(
        track INTEGER NOT NULL, stamp INTEGER NOT NULL, digest BLOB NOT NULL,
        payload BLOB NOT NULL,
        PRIMARY KEY(track, stamp, digest)) WITHOUT ROWID;
    """,
)
#: The version that this code reads and writes.
VERSION = len(MIGRATIONS)


class NewerSchemaError(Exception):
    """The file was made by a newer release, or is no database of the box."""


def version_of(connection: sqlite3.Connection) -> int:
    """Return the schema's version; 0 for an empty file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check_owner(connection: sqlite3.Connection) -> None:
    """See that the file is ours and not newer than this code; nothing is written.

    Raises:
        NewerSchemaError: it is not.
    """
    before = version_of(connection)
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and owner != APPLICATION_ID:
        raise NewerSchemaError(
            "the file is a database of another program; give dronedb.path another name"
        )
    if before > VERSION:
        raise NewerSchemaError(
            f"the database has schema {before}, this release knows {VERSION}: install the release "
            "that wrote it, or give dronedb.path another name"
        )


def migrate(connection: sqlite3.Connection) -> int:
    """Bring the tables to VERSION, each step whole or not at all; return the version before.

    Raises:
        NewerSchemaError: it is newer than this code, or somebody else's file; left as it is.
    """
    check_owner(connection)
    before = version_of(connection)
    for step in range(before, VERSION):
        connection.executescript(
            f"BEGIN IMMEDIATE;{MIGRATIONS[step]}"
            f"PRAGMA application_id = {APPLICATION_ID};PRAGMA user_version = {step + 1};COMMIT;"
        )
    return before
