# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What the outside sees of a track."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from .types import FloatArray


class TrackState(enum.IntEnum):
    """Where a track is in its life."""

    TENTATIVE = 1
    CONFIRMED = 2
    COASTING = 3


@dataclass(frozen=True)
class LedgerEntry:
    """One piece of evidence about a track's existence.

    Attributes:
        time: seconds.
        sensor: who gave it; empty for the tracker's own decisions.
        kind: born, hit, miss, decay, attached, detached, seen, refuted, merged or state.
        delta_log_odds: by how much it moved the existence log-odds.
        log_odds_after: where it left them.
        text: the same in words.
    """

    time: float
    sensor: str
    kind: str
    delta_log_odds: float
    log_odds_after: float
    text: str


@dataclass(frozen=True)
class TrackView:
    """One track at one time; the caller may keep it.

    Attributes:
        id: stable UUID string, the same for the same input.
        number: short number for people, given at confirmation; 0 before.
        state: where it is in its life.
        position: (3,) ENU metres; NaN where the range is not known at all.
        velocity: (3,) ENU metres a second.
        covariance: (6, 6) of position and velocity; honestly large along the line of sight where
            ``range_observed`` is false.
        bearing, bearing_sigma, elevation, elevation_sigma: from the own-ship, radians.
        range, range_sigma: slant range from the own-ship and its standard deviation, metres.
        range_observed: whether a sensor's range or a manoeuvre of the own-ship tells the range.
        range_method: which of `thebox_fusion.tracker.ranging.RANGE_METHODS`.
        existence: 0..1.
        reason: the newest evidence in words.
        label, label_probability: what it most likely is.
        keys: the sensors' identities joined in this track, each "sensor:key".
        sensors: names of the sensors that contributed.
        frequencies: Hz, of its emitters, newest of each.
        rssi: dBm, of its emitter that was heard last; NaN when none was.
        first_seen, last_updated: seconds.
        detection_count: independent detections that went into it.
        numbers: (48,) position, velocity, covariance (row-major), bearing, elevation and range,
            each with its sigma: the above in one piece.
        ledger: the newest entries (of a tentative track one), newest last; the whole from
            `Tracker.ledger`.
    """

    id: str
    number: int
    state: TrackState
    position: FloatArray
    velocity: FloatArray
    covariance: FloatArray
    bearing: float
    bearing_sigma: float
    elevation: float
    elevation_sigma: float
    range: float
    range_sigma: float
    range_observed: bool
    range_method: str
    existence: float
    reason: str
    label: str
    label_probability: float
    keys: frozenset[str]
    sensors: tuple[str, ...]
    frequencies: tuple[float, ...]
    rssi: float
    first_seen: float
    last_updated: float
    detection_count: int
    numbers: FloatArray
    ledger: tuple[LedgerEntry, ...] = field(default=())
