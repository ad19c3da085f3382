# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Rows of the database as Python values. Stamps are integers of nanoseconds, UTC."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from thebox_core.packed_detection import PackedDetection

__all__ = [
    "ALERT",
    "INFO",
    "WARNING",
    "DetectionRow",
    "EventRow",
    "EvidenceRow",
    "Page",
    "Row",
    "Statistics",
    "TrackRow",
    "ZoneRow",
    "detection_head",
    "inside",
]

INFO, WARNING, ALERT = 0, 1, 2

_T = TypeVar("_T")


@dataclass(frozen=True)
class EventRow:
    """Something that an operator should know; the fields are those of thebox_interfaces/Event."""

    id: str
    stamp: int
    severity: int
    kind: str
    source: str
    text: str
    track_id: str = ""
    zone_id: str = ""
    acknowledged: bool = False
    acknowledged_by: str = ""
    acknowledged_at: int = 0


@dataclass(frozen=True)
class ZoneRow:
    """An area that the operator watches: corners in map (east, north), metres."""

    id: str
    name: str
    outline: tuple[tuple[float, float], ...]
    height_min: float = math.nan
    height_max: float = math.nan
    alert_on_entry: bool = True


@dataclass(frozen=True)
class TrackRow:
    """One track at one time. ``payload`` is its message, serialised; x and y NaN: no position."""

    track_id: str
    stamp: int
    state: int
    object_class: int
    confidence: float
    x: float
    y: float
    identities: tuple[str, ...]
    payload: bytes


@dataclass(frozen=True)
class EvidenceRow:
    """One entry of a track's ledger; ``payload`` is its message, serialised."""

    track_id: str
    stamp: int
    payload: bytes


class DetectionRow(NamedTuple):
    """One detection; ``payload`` is its message, serialised."""

    sensor: str
    sensor_track_id: str
    stamp: int
    payload: bytes


Row = EventRow | TrackRow | EvidenceRow | DetectionRow


@dataclass(frozen=True)
class Page(Generic[_T]):
    """A page of an answer; ``cursor`` asks for the next one, empty after the last."""

    rows: list[_T]
    cursor: str = ""


@dataclass(frozen=True)
class Statistics:
    """Counts over a span of the history; ``oldest`` is the oldest stamp held, 0 for none."""

    detections: int = 0
    tracks: int = 0
    confirmed_tracks: int = 0
    events: int = 0
    unacknowledged_alerts: int = 0
    database_bytes: int = 0
    oldest: int = 0
    by_sensor: dict[str, int] = field(default_factory=dict)


def detection_head(cdr: bytes) -> DetectionRow:
    """Read stamp, sensor and the sensor's own identity from a serialised Detection.

    Raises:
        ValueError: it is no such message.
    """
    detection = PackedDetection.read(cdr)
    sec, nanosec = detection.stamp
    stamp = sec * 1_000_000_000 + nanosec
    return DetectionRow(detection.sensor, detection.sensor_track_id, stamp, cdr)


def inside(outline: tuple[tuple[float, float], ...], x: float, y: float) -> bool:
    """Whether a point is inside a polygon, by the crossings of a ray (even-odd rule)."""
    if len(outline) < 3 or not (math.isfinite(x) and math.isfinite(y)):
        return False
    within = False
    previous = outline[-1]
    for corner in outline:
        (ax, ay), (bx, by) = previous, corner
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            within = not within
        previous = corner
    return within
