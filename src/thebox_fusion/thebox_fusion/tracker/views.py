# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""From banks to `TrackView` and `LedgerEntry`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import ranging
from .arrays import indices, or_zero
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
from .core import rows_of
from .gate import Aspect
from .initiate import farthest
from .measure import wrap
from .types import BoolArray, FloatArray, IntArray
from .update import predict_blend
from .view import LedgerEntry, TrackState, TrackView

if TYPE_CHECKING:
    from .core import Core

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
NEWEST = 3
# A triangulated emitter this near (squared, normalised) to a track is not a second object.
SAME_PLACE = 12.0
LedgerRow = tuple[LedgerEntry, ...]


def _words(core: Core, sensor_index: int, kind: int, delta: float, after: float) -> str:
    """Return a piece of evidence in words."""
    sensor = core.sensor_names[sensor_index] if sensor_index >= 0 else ""
    what = _TEXT[kind].replace("{sensor}", sensor)
    return f"{what} ({delta:+.2f}, existence {1.0 / (1.0 + math.exp(-after)):.2f})"


def _entry(core: Core, values: tuple[float, int, int, float, float]) -> LedgerEntry:
    time, sensor_index, kind, delta, after = values
    sensor = core.sensor_names[sensor_index] if sensor_index >= 0 else ""
    text = _words(core, sensor_index, kind, delta, after)
    return LedgerEntry(time, sensor, _KIND[kind], delta, after, text)


def reasons_of(core: Core, bank: TrackBank, rows: IntArray) -> list[str]:
    """Return the newest evidence of each of ``rows`` in words; every track has some."""
    slot = (bank.ledger_count[rows] - 1) % bank.ledger_length
    columns = zip(
        bank.ledger_sensor[rows, slot].tolist(),
        bank.ledger_kind[rows, slot].tolist(),
        bank.ledger_delta[rows, slot].tolist(),
        bank.ledger_after[rows, slot].tolist(),
        strict=True,
    )
    return [_words(core, *values) for values in columns]


def _newest(core: Core, bank: TrackBank, rows: IntArray, most: int) -> list[LedgerRow]:
    """Return the newest entries of each of ``rows``, newest last."""
    held = np.minimum(np.minimum(bank.ledger_count[rows], bank.ledger_length), most)
    back = np.arange(int(held.max(initial=0)), 0, -1)
    slots = (bank.ledger_count[rows][:, None] - back[None, :]) % bank.ledger_length
    which = rows[:, None]
    columns = zip(
        bank.ledger_time[which, slots].tolist(),
        bank.ledger_sensor[which, slots].tolist(),
        bank.ledger_kind[which, slots].tolist(),
        bank.ledger_delta[which, slots].tolist(),
        bank.ledger_after[which, slots].tolist(),
        held.tolist(),
        strict=True,
    )
    return [
        tuple(
            _entry(core, values)
            for values in list(zip(t, sensor, kind, delta, after, strict=True))[len(t) - count :]
        )
        for t, sensor, kind, delta, after, count in columns
    ]


def ledger_of(core: Core, track_id: str) -> list[LedgerEntry]:
    """Return the evidence of one track; KeyError when there is none of that id."""
    for bank in (core.state.kinematic, core.state.bearings):
        for row in range(len(bank)):
            if core.id_of(int(bank.number[row])) == track_id:
                return list(_newest(core, bank, np.array([row]), bank.ledger_length)[0])
    raise KeyError(track_id)


def pointed(
    core: Core,
    bank: TrackBank,
    rows: IntArray,
    *,
    bearing: FloatArray,
    sigma: FloatArray,
    when: float,
) -> tuple[FloatArray, FloatArray]:
    """Return bearings and sigmas of ``rows``: the trajectory's, or the plain filter's.

    The plain filter's count where the trajectory is less certain, or where the two disagree: then
    the emitter's apparent bearing does not move as an object does.
    """
    direction, variance, time = bank.direction[rows].T
    wide = variance + core.parameters.bearing_wander**2 * np.maximum(when - time, 0.0)
    gap = np.abs(wrap(bearing - direction))
    plain = (variance > 0.0) & ((gap**2 > 4.0 * variance) | (wide < sigma**2))
    return (
        np.where(plain, direction % (2.0 * np.pi), bearing),
        np.where(plain, np.sqrt(wide), sigma),
    )


Picture = tuple[list[list[Any]], list[list[Any]]]


def picture_of(core: Core, when: float) -> Picture:
    """Return [[id, east, north]] and [[id, bearing, sigma]] of confirmed tracks."""
    state, p = core.state, core.parameters
    positions: list[list[Any]] = []
    bearings: list[list[Any]] = []
    bank = state.kinematic
    rows = indices((bank.state != TENTATIVE) & (bank.probability() >= p.report_probability))
    if len(rows):
        centre, spread = predict_blend(bank, rows, np.full(len(rows), when), core.motion)
        sigma = np.sqrt(spread[:, 0, 0] + spread[:, 1, 1])
        for row, (east, north), wide in zip(
            bank.number[rows].tolist(), centre[:, :2].tolist(), sigma.tolist(), strict=True
        ):
            if wide <= p.report_position_sigma:
                positions.append([core.id_of(row), round(east, 2), round(north, 2)])
    bank = state.bearings
    rows = indices(bank.state != TENTATIVE)
    if len(rows):
        every = np.arange(len(bank))
        _, _, observed = ranging.triangulated(
            bank,
            every,
            when,
            state.own_position,
            dynamics=core.drift,
            limit=p.range_observed_sigma,
            nearest=2.0 * p.range_min,
        )
        centre, spread = predict_blend(bank, every, np.full(len(bank), when), core.drift)
        sigma = np.sqrt(spread[:, 0, 0] + spread[:, 1, 1])
        seen = Aspect((centre, spread), np.zeros(len(bank)), state.own_position, 0.0)
        bearing, wide = seen.bearing % (2.0 * np.pi), np.sqrt(seen.bearing_variance)
        bearing, wide = pointed(core, bank, every, bearing=bearing, sigma=wide, when=when)
        placed: FloatArray = np.array([p[1:3] for p in positions], dtype=np.float64).reshape(-1, 2)
        # The most certain first, so that a second emitter of one object is the one left out.
        for row in rows[np.argsort(sigma[rows], kind="stable")].tolist():
            track = core.id_of(int(bank.number[row]))
            here = centre[row, :2]
            alone = observed[row] and sigma[row] <= p.report_position_sigma
            if alone and len(placed):
                gap = placed - here
                plane = spread[row, :2, :2] + 400.0 * np.eye(2)
                distance = np.einsum("na,na->n", gap, np.linalg.solve(plane, gap.T).T)
                alone = bool(distance.min() > SAME_PLACE)
            if alone:
                positions.append([track, round(float(here[0]), 2), round(float(here[1]), 2)])
                placed = np.vstack([placed, here])
            else:
                bearings.append([track, round(float(bearing[row]), 5), round(float(wide[row]), 5)])
    return positions, bearings


@dataclass(frozen=True)
class Figures:
    """The numbers of tracks of a bank at one time; they change with every instant.

    Attributes:
        bank: whose tracks; ``rows`` (N,), which of them.
        numbers: (N, 48), see `TrackView.numbers`.
        observed: (N,) whether the range is observed; ``method`` (N,), index of RANGE_METHODS.
        existence: (N,) probabilities.
    """

    bank: TrackBank
    rows: IntArray
    numbers: FloatArray
    observed: BoolArray
    method: IntArray
    existence: FloatArray


def figures_of(core: Core, when: float, least: float = 0.0) -> list[Figures]:
    """Return the numbers of tracks as they are expected to be at ``when``.

    Args:
        core: of the tracker.
        when: seconds.
        least: tentative tracks whose existence is below this are left out.
    """
    state, p = core.state, core.parameters
    own = state.own_position
    if math.isfinite(state.own_time):
        own = own + state.own_velocity * max(0.0, min(when - state.own_time, 5.0))
    result: list[Figures] = []
    for bank, dynamics in ((state.kinematic, core.motion), (state.bearings, core.drift)):
        existence = bank.probability()
        rows = indices((bank.state != TENTATIVE) | (existence >= least))
        count = len(rows)
        if not count:
            continue
        centre, spread = predict_blend(bank, rows, np.full(count, when), dynamics)
        if bank is state.bearings:
            log_range, log_sigma, observed = ranging.triangulated(
                bank,
                rows,
                when,
                own,
                dynamics=dynamics,
                limit=p.range_observed_sigma,
                nearest=2.0 * p.range_min,
            )
            method = np.where(observed, 2, 0)
            reach = np.array([farthest(p, learned.model) for learned in state.sensors])
            vague, doubt = ranging.told(
                bank,
                rows,
                log_range,
                log_sigma,
                nearest=p.range_min,
                farthest=reach[bank.first_sensor[rows]],
            )
            reported = np.where(observed, np.exp(log_range), vague)
            error = np.where(observed, np.exp(log_range) * log_sigma, doubt)
            _at_range(centre, spread, own, reported, np.where(observed, 0.0, doubt))
        # Both have been predicted: nothing is left to step over.
        seen = Aspect((centre, spread), np.zeros(count), own, 0.0)
        bearing = seen.bearing % (2.0 * np.pi)
        bearing_sigma = np.sqrt(seen.bearing_variance)
        if bank is state.bearings:
            slant, slant_sigma = reported, np.maximum(error, 1e-3)
            bearing, bearing_sigma = pointed(
                core, bank, rows, bearing=bearing, sigma=bearing_sigma, when=when
            )
        else:
            slant, slant_sigma = seen.slant, np.sqrt(seen.slant_variance)
            observed = slant_sigma < core.parameters.range_observed_sigma * slant
            method = np.where(observed, 1, 0)
        elevation, elevation_sigma = seen.elevation, np.sqrt(seen.elevation_variance)
        told = (bearing, bearing_sigma, elevation, elevation_sigma, slant, slant_sigma)
        numbers = np.concatenate(
            [centre, spread.reshape(count, 36), np.stack(told, axis=1)], axis=1
        )
        result.append(Figures(bank, rows, numbers, observed, method, existence[rows]))
    return result


def _at_range(
    centre: FloatArray, spread: FloatArray, own: FloatArray, slant: FloatArray, doubt: FloatArray
) -> None:
    """Move states along their lines of sight, in place, where ``doubt`` is more than 0.

    What is known of directions stays, speeds across grow with the range, and along the line of
    sight the place is as uncertain as the range.

    Args:
        centre: (N, 6).
        spread: (N, 6, 6).
        own: (3,) of the own-ship.
        slant: (N,) metres, how far they are to be from it.
        doubt: (N,) metres, standard deviation of that; 0 leaves a state as it is.
    """
    rows = indices(doubt > 0.0)
    r = centre[rows, :3] - own
    before = np.maximum(np.linalg.norm(r, axis=1), 1.0)
    stretch = (slant[rows] / before)[:, None]
    centre[rows, :3] = own + r * stretch
    centre[rows, 3:] *= stretch
    sight = np.concatenate([r / before[:, None], np.zeros_like(r)], axis=1)
    along = sight[:, :, None] * sight[:, None, :]
    across = np.eye(6) - along
    spread[rows] = across @ (spread[rows] * stretch[:, :, None] ** 2) @ across
    spread[rows] += along * doubt[rows, None, None] ** 2


def marks_of(core: Core, bank: TrackBank) -> FloatArray:
    """Return (N, C) what a view rests on apart from its `Figures`.

    A track whose marks are the same as before has the same reason, label, keys, sensors,
    frequencies, power, times and count: its words need not be made again.
    """
    table = core.state.keys
    count = len(bank)
    newest = (np.arange(count), (bank.ledger_count - 1) % bank.ledger_length)
    keys = indices(table.track >= 0)
    rows = rows_of(bank, table.track[keys])
    keys, rows = keys[rows >= 0], rows[rows >= 0]
    alone = indices(bank.key >= 0)
    keys, rows = np.concatenate([keys, bank.key[alone]]), np.concatenate([rows, alone])
    heard = or_zero(table.time[keys])
    of_keys = (
        keys + 1.0,
        heard,
        heard * keys,
        or_zero(table.frequency[keys]),
        or_zero(table.rssi[keys]),
    )
    columns = [
        bank.ledger_count,
        *(ring[newest] for ring in (bank.ledger_time, bank.ledger_sensor, bank.ledger_kind)),
        *(ring[newest] for ring in (bank.ledger_delta, bank.ledger_after)),
        bank.first_seen,
        bank.last_hit,
        np.rint(bank.hits),
        bank.label_score.sum(axis=1),
        bank.label_score.max(axis=1),
        bank.label_score.argmax(axis=1),
        *(np.bincount(rows, weights=value, minlength=count) for value in of_keys),
    ]
    sensors = np.packbits(bank.sensor_hits > 0.5, axis=1)
    marks: FloatArray = np.concatenate([np.stack(columns, axis=1), sensors], axis=1)
    return marks


class Said(NamedTuple):
    """What is said of a track beside its figures and its newest evidence; see `TrackView`."""

    label: str
    label_probability: float
    keys: tuple[str, ...]
    sensors: tuple[str, ...]
    frequencies: tuple[float, ...]
    rssi: float
    first_seen: float
    last_updated: float
    detection_count: int


def said_of(core: Core, bank: TrackBank, rows: IntArray) -> list[Said]:
    """Return what is said of each of ``rows``."""
    table = core.state.keys
    keys_of: dict[int, list[int]] = {}
    joined = indices(table.track >= 0)
    for key, serial in zip(joined.tolist(), table.track[joined].tolist(), strict=True):
        keys_of.setdefault(serial, []).append(key)
    # Plain lists: element by element, arrays are many times slower.
    columns = zip(
        rows.tolist(),
        bank.number[rows].tolist(),
        bank.key[rows].tolist(),
        (bank.sensor_hits[rows] > 0.5).tolist(),
        (bank.label_score[rows].sum(axis=1) > 0.0).tolist(),
        bank.first_seen[rows].tolist(),
        bank.last_hit[rows].tolist(),
        np.rint(bank.hits[rows]).tolist(),
        strict=True,
    )
    result: list[Said] = []
    for row, serial, key, heard, labelled, first_seen, last_updated, hits in columns:
        keys = [key] if key >= 0 else keys_of.get(serial, [])
        label, share = _label(core, bank.label_score[row]) if labelled else ("", 0.0)
        frequencies = [float(table.frequency[k]) for k in keys]
        result.append(
            Said(
                label=label,
                label_probability=share,
                keys=tuple(":".join(core.key_names[k]) for k in keys),
                sensors=tuple(
                    name for name, hit in zip(core.sensor_names, heard, strict=False) if hit
                ),
                frequencies=tuple(f for f in frequencies if math.isfinite(f)),
                rssi=_power(core, keys) if keys else math.nan,
                first_seen=first_seen,
                last_updated=last_updated,
                detection_count=int(hits),
            )
        )
    return result


def views_of(core: Core, figures: Figures, chosen: IntArray, entries: int) -> list[TrackView]:
    """Return views of the tracks ``chosen`` of ``figures``, firm ones with so many entries."""
    bank, rows = figures.bank, figures.rows[chosen]
    numbers = figures.numbers[chosen]
    # Of the many that come and go, one line is enough.
    shown = _newest(core, bank, rows, 1)
    firm = indices(bank.state[rows] != TENTATIVE)
    if entries > 1:
        more = _newest(core, bank, rows[firm], entries)
        for place, lines in zip(firm.tolist(), more, strict=True):
            shown[place] = lines
    columns = zip(
        said_of(core, bank, rows),
        bank.number[rows].tolist(),
        bank.state[rows].tolist(),
        figures.observed[chosen].tolist(),
        figures.method[chosen].tolist(),
        figures.existence[chosen].tolist(),
        numbers[:, 42:].tolist(),
        strict=True,
    )
    result: list[TrackView] = []
    for place, (said, serial, stage, ranged, how, existence, value) in enumerate(columns):
        newest = shown[place]
        result.append(
            TrackView(
                id=core.id_of(serial),
                number=core.number_of(serial),
                state=TrackState(stage),
                position=numbers[place, :3],
                velocity=numbers[place, 3:6],
                covariance=numbers[place, 6:42].reshape(6, 6),
                bearing=value[0],
                bearing_sigma=value[1],
                elevation=value[2],
                elevation_sigma=value[3],
                range=value[4],
                range_sigma=value[5],
                range_observed=ranged,
                range_method=ranging.RANGE_METHODS[how],
                existence=existence,
                reason=newest[-1].text if newest else "",
                label=said.label,
                label_probability=said.label_probability,
                keys=frozenset(said.keys),
                sensors=said.sensors,
                frequencies=said.frequencies,
                rssi=said.rssi,
                first_seen=said.first_seen,
                last_updated=said.last_updated,
                detection_count=said.detection_count,
                numbers=numbers[place],
                ledger=newest,
            )
        )
    return result


def tracks_of(core: Core, when: float, entries: int = NEWEST) -> list[TrackView]:
    """Return views of all tracks at ``when``, firm ones with their newest ledger entries."""
    return [
        view
        for figures in figures_of(core, when)
        for view in views_of(core, figures, np.arange(len(figures.rows)), entries)
    ]


def _power(core: Core, keys: list[int]) -> float:
    """The received power of the emitter heard last."""
    table = core.state.keys
    return float(table.rssi[max(keys, key=lambda k: float(table.time[k]))])


def _label(core: Core, score: FloatArray) -> tuple[str, float]:
    total = float(score.sum())
    if total <= 0.0:
        return "", 0.0
    best = int(np.argmax(score))
    # One reading is not certainty: half an unknown reading is added.
    return core.label_names[best], float(score[best]) / (total + 0.25)


__all__ = [
    "figures_of",
    "ledger_of",
    "marks_of",
    "picture_of",
    "reasons_of",
    "said_of",
    "tracks_of",
    "views_of",
]
