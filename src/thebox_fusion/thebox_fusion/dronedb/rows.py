# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Rows of the database's file and the values they stand for; shared by writer, reader, copies."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from typing import Any

from thebox_fusion.dronedb.records import EventRow, ZoneRow

__all__ = [
    "CONFIRMED",
    "EVENT_COLUMNS",
    "ZONES",
    "bytes_used",
    "event_of",
    "number_or_null",
    "oldest_stamp",
    "zone_of",
    "zones_of",
]

CONFIRMED = 2  # Track.STATE_CONFIRMED
EVENT_COLUMNS = (
    "id, stamp, severity, kind, source, text, track_id, zone_id, acknowledged, acknowledged_by, "
    "acknowledged_at"
)
#: The zones in their order.
ZONES = "SELECT id, name, outline, height_min, height_max, alert FROM zones ORDER BY place"


def number_or_null(value: float) -> float | None:
    """NULL for what is not known (NaN) or has no end."""
    return value if math.isfinite(value) else None


def event_of(row: Sequence[Any]) -> EventRow:
    """The event of a row of ``EVENT_COLUMNS``."""
    fields = list(row)
    fields[8] = bool(fields[8])
    return EventRow(*fields)


def zone_of(row: Sequence[Any]) -> ZoneRow:
    """The zone of a row of ``ZONES``."""
    identity, name, outline, low, high, alert = row
    return ZoneRow(
        identity,
        name,
        tuple((float(x), float(y)) for x, y in json.loads(outline)),
        math.nan if low is None else low,
        math.nan if high is None else high,
        bool(alert),
    )


def bytes_used(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    size, pages, free = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    return size * (pages - free)


def zones_of(connection: sqlite3.Connection) -> list[ZoneRow]:
    """The zones in force."""
    return [zone_of(row) for row in connection.execute(ZONES)]


def oldest_stamp(connection: sqlite3.Connection) -> int:
    """The oldest stamp of the history (tracks and detections), 0 for none."""
    rows = connection.execute(
        "SELECT min(stamp) FROM tracks UNION ALL SELECT (SELECT min(stamp) FROM detections WHERE "
        "sensor = ref) FROM sensors"
    )
    return min((int(row[0]) for row in rows if row[0] is not None), default=0)
