# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Messages of the graph to rows of the database, and back."""

from __future__ import annotations

import math
import uuid

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point32
from rclpy.serialization import serialize_message

from thebox_core.messages import from_uuid, to_uuid
from thebox_fusion.dronedb.deriving import SeenTrack
from thebox_fusion.dronedb.errors import BadQueryError
from thebox_fusion.dronedb.records import EventRow, TrackRow, ZoneRow
from thebox_interfaces.msg import Event, Track, Zone

__all__ = [
    "nanoseconds",
    "to_event_message",
    "to_event_row",
    "to_seen",
    "to_stamp",
    "to_track_row",
    "to_zone_message",
    "to_zone_row",
]

_CORNERS_MAX = 500


def to_stamp(value: int) -> Time:
    """Return nanoseconds as a stamp."""
    # Beyond what a stamp can hold only a damaged file can be.
    value = min(max(value, 0), 2**31 * 10**9 - 1)
    return Time(sec=value // 1_000_000_000, nanosec=value % 1_000_000_000)


def nanoseconds(stamp: Time) -> int:
    """Return a stamp as nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def to_event_message(row: EventRow) -> Event:
    """Return an event as a message."""
    message = Event(
        stamp=to_stamp(row.stamp),
        id=row.id,
        severity=row.severity,
        kind=row.kind,
        source=row.source,
        text=row.text,
        zone_id=row.zone_id,
        acknowledged=row.acknowledged,
        acknowledged_by=row.acknowledged_by,
        acknowledged_at=to_stamp(row.acknowledged_at),
    )
    if row.track_id:
        message.track_id = to_uuid(row.track_id)
    return message


def to_event_row(message: Event) -> EventRow:
    """Return the message of an event as a row; one without an identity is given one."""
    track = from_uuid(message.track_id)
    return EventRow(
        message.id or str(uuid.uuid4()),
        nanoseconds(message.stamp),
        message.severity,
        message.kind,
        message.source,
        message.text,
        "" if uuid.UUID(track).int == 0 else track,
        message.zone_id,
        message.acknowledged,
        message.acknowledged_by,
        nanoseconds(message.acknowledged_at),
    )


def to_zone_message(row: ZoneRow) -> Zone:
    """Return a zone as a message."""
    message = Zone(
        id=row.id,
        name=row.name,
        height_min=row.height_min,
        height_max=row.height_max,
        alert_on_entry=row.alert_on_entry,
    )
    message.outline.points = [Point32(x=x, y=y) for x, y in row.outline]
    return message


def to_zone_row(message: Zone) -> ZoneRow:
    """Return the message of a zone as a row, with an identity.

    Raises:
        BadQueryError: it is no area; the text says why.
    """
    name = message.name.strip()
    called = f"zone '{name}'" if name else "a zone without a name"
    outline = tuple((float(p.x), float(p.y)) for p in message.outline.points)
    if not 3 <= len(outline) <= _CORNERS_MAX:
        raise BadQueryError(f"{called} needs 3 to {_CORNERS_MAX} corners, it has {len(outline)}")
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in outline):
        raise BadQueryError(f"{called}: a corner is not a finite number")
    low, high = float(message.height_min), float(message.height_max)
    if low >= high:
        raise BadQueryError(f"{called}: height_min {low:g} is not below height_max {high:g}")
    if len(name) > 200 or len(message.id) > 200:
        raise BadQueryError(f"{called[:80]}…: name and identity have at most 200 characters")
    return ZoneRow(
        message.id or str(uuid.uuid4()), name, outline, low, high, bool(message.alert_on_entry)
    )


def to_seen(track: Track, quiet: frozenset[int] = frozenset()) -> SeenTrack:
    """Return what events are made of; a track of a class in ``quiet`` raises no alert."""
    located = track.range_observed
    return SeenTrack(
        id=from_uuid(track.id),
        number=track.number,
        confirmed=track.state >= Track.STATE_CONFIRMED,
        label=track.label,
        quiet=track.object_class in quiet,
        bearing=track.bearing,
        x=track.position.x if located else math.nan,
        y=track.position.y if located else math.nan,
        z=track.position.z if located else math.nan,
    )


def to_track_row(track: Track, seen: SeenTrack) -> TrackRow:
    """Return a track as a row of the history."""
    return TrackRow(
        seen.id,
        nanoseconds(track.header.stamp),
        track.state,
        track.object_class,
        track.confidence,
        seen.x,
        seen.y,
        tuple(track.sensor_track_ids),
        serialize_message(track),
    )
