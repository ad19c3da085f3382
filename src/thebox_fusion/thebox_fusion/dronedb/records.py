# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Rows of the database as Python values. Stamps are integers of nanoseconds, UTC."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

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

    The rest stays as it is: unpacking a whole message takes thirty times as long. The layout is
    that of CDR (OMG DDS-XTypes 1.3, 7.4.3, PLAIN_CDR), of either byte order.

    Raises:
        ValueError: it is no such message.
    """
    order = "<" if cdr[1:2] == b"\x01" else ">"
    at = 4

    def number(form: str, size: int) -> int:
        nonlocal at
        at += -(at - 4) % size
        (value,) = struct.unpack_from(order + form, cdr, at)
        at += size
        return int(value)

    def text() -> str:
        nonlocal at
        length = number("I", 4)
        value = cdr[at : at + length - 1]
        if not length or at + length > len(cdr):
            raise ValueError("a text reaches beyond the end of the message")
        at += length
        return value.decode("utf-8", "replace")

    try:
        stamp = number("i", 4) * 1_000_000_000 + number("I", 4)
        text()  # frame_id
        number("i", 4), number("I", 4)  # received
        sensor = text()
        number("B", 1)  # modality
        return DetectionRow(sensor, text(), stamp, cdr)
    except struct.error as error:
        raise ValueError(f"no serialised Detection: {error}") from None


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
