# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""From banks to `TrackView` and `LedgerEntry`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from . import ranging
from .bank import (
    ATTACHED,
    BORN,
    DECAY,
    DETACHED,
    HIT,
    MERGED,
    MISS,
    REFUTED,
    SEEN,
    STATE,
    TENTATIVE,
    TrackBank,
)
from .measure import wrap
from .motion import collapse
from .types import BoolArray, FloatArray, IntArray
from .update import predict_rows
from .view import LedgerEntry, TrackState, TrackView

if TYPE_CHECKING:
    from .tracker import Tracker

_KIND = {
    BORN: "born",
    HIT: "hit",
    MISS: "miss",
    DECAY: "decay",
    ATTACHED: "attached",
    DETACHED: "detached",
    SEEN: "seen",
    REFUTED: "refuted",
    MERGED: "merged",
    STATE: "state",
}
_TEXT = {
    BORN: "first detection by {sensor}",
    HIT: "detected by {sensor}",
    MISS: "expected but not detected by {sensor}",
    DECAY: "silence",
    ATTACHED: "an emitter heard by {sensor} moves with it",
    DETACHED: "an emitter heard by {sensor} no longer moves with it",
    SEEN: "seen by {sensor}",
    REFUTED: "{sensor} looked and saw nothing",
    MERGED: "a second track of the same object ended",
    STATE: "state changed",
}
NEWEST = 5


def _entries(tracker: Tracker, bank: TrackBank, row: int, newest: int) -> list[LedgerEntry]:
    count = int(bank.ledger_count[row])
    first = max(0, count - min(newest, bank.ledger_length))
    result = []
    for entry in range(first, count):
        slot = entry % bank.ledger_length
        kind = int(bank.ledger_kind[row, slot])
        sensor_index = int(bank.ledger_sensor[row, slot])
        sensor = tracker.sensor_names[sensor_index] if sensor_index >= 0 else ""
        delta = float(bank.ledger_delta[row, slot])
        after = float(bank.ledger_after[row, slot])
        text = f"{_TEXT[kind].format(sensor=sensor)} ({delta:+.2f}, existence "
        text += f"{1.0 / (1.0 + math.exp(-after)):.2f})"
        result.append(
            LedgerEntry(float(bank.ledger_time[row, slot]), sensor, _KIND[kind], delta, after, text)
        )
    return result


def ledger_of(tracker: Tracker, track_id: str) -> list[LedgerEntry]:
    """Return the evidence of one track; KeyError when there is none of that id."""
    for bank in (tracker.state.kinematic, tracker.state.bearings):
        for row in range(len(bank)):
            if tracker.id_of(int(bank.number[row])) == track_id:
                return _entries(tracker, bank, row, bank.ledger_length)
    raise KeyError(track_id)


def manoeuvre_sigma(bank: TrackBank, slant: FloatArray) -> FloatArray:
    """Return (N,) the relative range error that the own-ship's manoeuvre allows.

    The bearing of an object at constant velocity, seen from a straight path at constant speed,
    says nothing of its range (Nardone and Aidala, Observability criteria for bearings-only
    target motion analysis, IEEE Trans. AES 17(2), 1981). What counts is how far the own-ship
    departed from a straight line: that distance is the baseline of a triangulation with the
    summed information of the bearings.
    """
    n, t, tt, e, nn, te, tn, ss, information = bank.own_path.T
    count = np.maximum(n, 1.0)
    var_t = np.maximum(tt - t * t / count, 1e-9)
    cov_e, cov_n = te - t * e / count, tn - t * nn / count
    residual = ss - (e * e + nn * nn) / count - (cov_e**2 + cov_n**2) / var_t
    baseline = np.sqrt(np.maximum(residual, 0.0) / count)
    angle = 1.0 / np.sqrt(np.maximum(information, 1e-9))
    result: FloatArray = slant * angle / np.maximum(baseline, 1e-6)
    return result


def ranged_weights(
    tracker: Tracker, bank: TrackBank, mean: FloatArray, covariance: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, IntArray, BoolArray]:
    """Apply what tells range to bearing-only mixtures.

    Returns:
        weights (N, K), log-range (N,), its sigma (N,), method index (N,), observed (N,).
    """
    p, own = tracker.parameters, tracker.state.own_position
    centre, variance = ranging.log_range_mixture(mean, covariance, own)

    def moments(w: FloatArray) -> tuple[FloatArray, FloatArray]:
        m = (w * centre).sum(axis=1)
        v = (w * (variance + (centre - m[:, None]) ** 2)).sum(axis=1)
        return m, np.sqrt(v)

    middle, sigma = moments(weight)
    relative = manoeuvre_sigma(bank, np.exp(middle))
    by_manoeuvre = (relative < p.range_observed_sigma) & (sigma < p.range_observed_sigma)
    method = np.where(by_manoeuvre, 2, 0)
    best = np.where(by_manoeuvre, sigma, np.inf)
    power, power_sigma = tracker.state.path_loss.log_range(bank.cues[:, 0], bank.cues[:, 1])
    heard = bank.cues[:, 1] > 0
    sized = bank.cues[:, 3] > 0
    loud = bank.cues[:, 5] > 0
    size = math.log(p.object_size) - bank.cues[:, 2]
    level = (p.sound_reference - bank.cues[:, 4]) * ranging.LN10 / 20.0
    level_sigma = p.sound_reference_sigma * ranging.LN10 / 20.0
    for index, known, value, spread in (
        (3, heard, power, power_sigma),
        (4, sized, size, np.full(len(bank), p.object_size_ratio)),
        (5, loud, level, np.full(len(bank), level_sigma)),
    ):
        weight = ranging.reweigh_log_range(
            weight, centre, variance, np.where(known, value, np.nan), spread
        )
        better = known & (spread < best)
        method = np.where(better, index, method)
        best = np.where(better, spread, best)
    middle, sigma = moments(weight)
    return weight, middle, sigma, method, by_manoeuvre


def pointed(
    tracker: Tracker, bank: TrackBank, bearing: FloatArray, sigma: FloatArray, when: float
) -> tuple[FloatArray, FloatArray]:
    """Return (N,) bearings and sigmas: the trajectory's, or the plain filter's.

    The plain filter's count where the trajectory is less certain, or where the two disagree: then
    the emitter's apparent bearing does not move as an object does.
    """
    direction, variance, time = bank.direction.T
    wide = variance + tracker.parameters.bearing_wander**2 * np.maximum(when - time, 0.0)
    gap = np.abs(wrap(bearing - direction))
    plain = (variance > 0.0) & ((gap**2 > 4.0 * variance) | (wide < sigma**2))
    return (
        np.where(plain, direction % (2.0 * np.pi), bearing),
        np.where(plain, np.sqrt(wide), sigma),
    )


Picture = tuple[list[list[Any]], list[list[Any]]]


def picture_of(tracker: Tracker, when: float) -> Picture:
    """Return [[id, east, north]] and [[id, bearing, sigma]] of confirmed tracks."""
    state, p = tracker.state, tracker.parameters
    positions: list[list[Any]] = []
    bearings: list[list[Any]] = []
    bank = state.kinematic
    rows = np.flatnonzero(bank.state != TENTATIVE)
    if len(rows):
        mean, covariance, weight = predict_rows(
            bank, rows, np.full(len(rows), when), tracker.motion
        )
        centre, spread = collapse(mean, covariance, weight)
        sigma = np.sqrt(spread[:, 0, 0] + spread[:, 1, 1])
        for row, (east, north), wide in zip(
            bank.number[rows].tolist(), centre[:, :2].tolist(), sigma.tolist(), strict=True
        ):
            if wide <= p.report_position_sigma:
                positions.append([tracker.id_of(row), round(east, 2), round(north, 2)])
    bank = state.bearings
    rows = np.flatnonzero(bank.state != TENTATIVE)
    if len(rows):
        every = np.arange(len(bank))
        mean, covariance, weight = predict_rows(
            bank, every, np.full(len(bank), when), tracker.drift
        )
        weight, _, _, _, observed = ranged_weights(tracker, bank, mean, covariance, weight)
        centre, spread = collapse(mean, covariance, weight)
        sigma = np.sqrt(spread[:, 0, 0] + spread[:, 1, 1])
        r = centre[:, :2] - state.own_position[:2]
        ground2 = np.maximum(np.einsum("na,na->n", r, r), 1.0)
        across = np.stack([r[:, 1], -r[:, 0]], axis=1)
        wide = np.sqrt(np.einsum("na,nab,nb->n", across, spread[:, :2, :2], across)) / ground2
        bearing = np.arctan2(r[:, 0], r[:, 1]) % (2.0 * np.pi)
        bearing, wide = pointed(tracker, bank, bearing, wide, when)
        for row in rows.tolist():
            track = tracker.id_of(int(bank.number[row]))
            if observed[row] and sigma[row] <= p.report_position_sigma:
                positions.append(
                    [track, round(float(centre[row, 0]), 2), round(float(centre[row, 1]), 2)]
                )
            else:
                bearings.append([track, round(float(bearing[row]), 5), round(float(wide[row]), 5)])
    return positions, bearings


def tracks_of(tracker: Tracker, when: float) -> list[TrackView]:
    """Return views of all tracks at ``when``."""
    state = tracker.state
    own = state.own_position
    if math.isfinite(state.own_time):
        own = own + state.own_velocity * max(0.0, min(when - state.own_time, 5.0))
    keys_of: dict[int, list[int]] = {}
    for key, serial in enumerate(state.keys.track.tolist()):
        if serial >= 0:
            keys_of.setdefault(serial, []).append(key)
    result: list[TrackView] = []
    for bank, dynamics in ((state.kinematic, tracker.motion), (state.bearings, tracker.drift)):
        if not len(bank):
            continue
        count = len(bank)
        rows = np.arange(count)
        mean, covariance, weight = predict_rows(bank, rows, np.full(count, when), dynamics)
        if bank is state.bearings:
            weight, log_range, log_sigma, method, observed = ranged_weights(
                tracker, bank, mean, covariance, weight
            )
        centre, spread = collapse(mean, covariance, weight)
        r = centre[:, :3] - own
        ground = np.maximum(np.hypot(r[:, 0], r[:, 1]), 1.0)
        slant = np.hypot(ground, r[:, 2])
        across = np.stack([r[:, 1], -r[:, 0]], axis=1) / ground[:, None]
        unit = r / slant[:, None]
        lift = (
            np.stack([-r[:, 0] * r[:, 2] / ground, -r[:, 1] * r[:, 2] / ground, ground], axis=1)
            / slant[:, None]
        )
        bearing_sigma = (
            np.sqrt(np.einsum("na,nab,nb->n", across, spread[:, :2, :2], across)) / ground
        )
        slant_sigma = np.sqrt(np.einsum("na,nab,nb->n", unit, spread[:, :3, :3], unit))
        elevation_sigma = np.sqrt(np.einsum("na,nab,nb->n", lift, spread[:, :3, :3], lift)) / slant
        if bank is state.bearings:
            slant = np.exp(log_range)
            slant_sigma = np.maximum(slant * log_sigma, 1e-3)
        else:
            observed = slant_sigma < tracker.parameters.range_observed_sigma * slant
            method = np.where(observed, 1, 0)
        bearing = np.arctan2(r[:, 0], r[:, 1]) % (2.0 * np.pi)
        elevation = np.arctan2(r[:, 2], ground)
        if bank is state.bearings:
            bearing, bearing_sigma = pointed(tracker, bank, bearing, bearing_sigma, when)
        existence = bank.probability()
        for row in range(count):
            serial = int(bank.number[row])
            newest = _entries(tracker, bank, row, NEWEST)
            keys = keys_of.get(serial, [])
            if bank.key[row] >= 0:
                keys = [int(bank.key[row])]
            label, share = _label(tracker, bank.label_score[row])
            frequencies = tuple(
                float(f) for f in state.keys.frequency[keys].tolist() if math.isfinite(f)
            )
            result.append(
                TrackView(
                    id=tracker.id_of(serial),
                    number=tracker.number_of(serial),
                    state=TrackState(int(bank.state[row])),
                    position=centre[row, :3].copy(),
                    velocity=centre[row, 3:].copy(),
                    covariance=spread[row].copy(),
                    bearing=float(bearing[row]),
                    bearing_sigma=float(bearing_sigma[row]),
                    elevation=float(elevation[row]),
                    elevation_sigma=float(elevation_sigma[row]),
                    range=float(slant[row]),
                    range_sigma=float(slant_sigma[row]),
                    range_observed=bool(observed[row]),
                    range_method=ranging.RANGE_METHODS[int(method[row])],
                    existence=float(existence[row]),
                    reason=newest[-1].text if newest else "",
                    label=label,
                    label_probability=share,
                    keys=frozenset(":".join(tracker.key_names[k]) for k in keys),
                    sensors=tuple(
                        name
                        for index, name in enumerate(tracker.sensor_names)
                        if bank.sensor_hits[row, index] > 0.5
                    ),
                    frequencies=frequencies,
                    first_seen=float(bank.first_seen[row]),
                    last_updated=float(bank.last_hit[row]),
                    ledger=tuple(newest),
                )
            )
    return result


def _label(tracker: Tracker, score: FloatArray) -> tuple[str, float]:
    total = float(score.sum())
    if total <= 0.0:
        return "", 0.0
    best = int(np.argmax(score))
    # One reading is not certainty: half an unknown reading is added.
    return tracker.label_names[best], float(score[best]) / (total + 0.25)


__all__ = ["TENTATIVE", "ledger_of", "ranged_weights", "tracks_of"]
