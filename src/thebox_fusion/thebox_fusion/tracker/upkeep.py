# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What time does to tracks: misses, decay, states, merging, deletion; and refutation."""

from __future__ import annotations

import math

import numpy as np

from .arrays import clip, distinct, indices
from .bank import MERGED, MISS, REFUTED, TENTATIVE, TrackBank
from .cameras import leave_lost
from .core import Core, rows_of
from .detection import DetectionBatch
from .existence import change_states, decay, doomed, shift
from .gate import Aspect, aspect, bearing_offsets, seen_by
from .looks import count_looks
from .measure import wrap
from .merge import duplicates
from .types import BoolArray, FloatArray, IntArray

# A tentative track below this existence goes after so many seconds or looks without a detection.
PASSED_BELOW = 0.02
PASSED_AFTER = 10.0
PASSED_LOOKS = 4.0
USUAL_CHANCE = 0.9

KNOWN_DIRECTION = math.radians(3.0)
"""A kinematic track whose direction is less well known than this takes no camera's track."""
SAME_DIRECTION = 5.99
"""Squared distance that bearing and elevation of one direction keep in 95 of 100 cases."""


def settle(core: Core, now: float) -> None:
    """Count the looks that found nothing, let existence fade, change states, delete."""
    state, p = core.state, core.parameters
    step = now - state.time if math.isfinite(state.time) else 0.0
    # Where the tracks are does not change in here, only what is believed of them.
    own = state.own_position
    seen = aspect(state.kinematic, now, own, float(core.motion.density[0]))
    heard = aspect(state.bearings, now, own, float(core.drift.density[0]))
    for bank, where in ((state.kinematic, seen), (state.bearings, heard)):
        if len(bank):
            _count_misses(core, bank, now, where)
            life = np.full(len(bank), p.mean_life)
            silent = (bank is state.bearings) & (now - bank.last_hit > 3.0)
            life[silent] = p.emitter_silence
            decay(bank, step, life)
            changed = change_states(bank, now, p)
            for row in changed.tolist():
                serial = int(bank.number[row])
                if bank.state[row] != TENTATIVE:
                    core.confirmed(serial)
    state.time = max(state.time, now)
    if now - state.last_merge >= 0.5:
        state.last_merge = now
        _merge(core, now, seen)
        _absorb_sights(core, now, theirs=seen, mine=heard)
        leave_lost(core, seen, now)
    _delete(core, now, seen)


def _count_misses(core: Core, bank: TrackBank, now: float, seen: Aspect) -> None:
    for sensor, learned in enumerate(core.state.sensors):
        if learned.model.miss_weight <= 0.0:
            continue
        covered = learned.covers(seen.bearing, seen.slant)
        begun = np.isfinite(bank.last_look[:, sensor])
        bank.last_look[covered & ~begun, sensor] = now
        # What may still be on its way is not missing.
        due = min(now, core.now - core.arrivals.complete_after(sensor))
        revisit = learned.patience()
        slack = 1.05 if learned.simultaneous else 1.4
        overdue = begun & (due - bank.last_look[:, sensor] > slack * revisit)
        bank.last_look[overdue & ~covered, sensor] = due
        rows = indices(overdue & covered)
        if not len(rows):
            continue
        # As many looks as had their full time are missing.
        looks = np.floor((due - bank.last_look[rows, sensor]) / revisit - (slack - 1.0) + 1e-9)
        looks = clip(looks, 1.0, 10.0)
        chance = learned.detection_probability(seen.slant[rows])
        delta = count_looks(
            core,
            bank,
            rows,
            sensor,
            chance=chance,
            looks=looks,
            slant=seen.slant[rows],
            prior=bank.probability()[rows],
        )
        bank.last_look[rows, sensor] += looks * revisit
        told = np.abs(delta) > 0.01
        bank.note(rows[told], now, sensor, MISS, delta[told])


def _merge(core: Core, now: float, seen: Aspect) -> None:
    """End the younger of two kinematic tracks that follow one object."""
    bank, table = core.state.kinematic, core.state.keys
    if len(bank) < 2:
        return
    separate, chance = _told_apart(core, now), _chance(core, seen)
    for keep, drop in duplicates(
        bank, now, core.motion, seen=seen, separate=separate, chance=chance
    ):
        moved = indices(table.track == bank.number[drop])
        table.track[moved] = bank.number[keep]
        bank.log_odds[drop] = -100.0
        bank.note(np.array([keep]), now, -1, MERGED, 0.0)


def _absorb_sights(core: Core, now: float, *, theirs: Aspect, mine: Aspect) -> None:
    """End a camera's track of a mere direction that is the direction of a kinematic track.

    A camera that is cued to a track and turns, or a compass that is off, has it a little beside
    the track at first: its boxes then begin a track of their own, which no later box disproves.
    """
    state = core.state
    bank, kinematic = state.bearings, state.kinematic
    camera = np.array([learned.model.modality == "VISION" for learned in state.sensors])
    if not len(bank) or not len(kinematic) or not camera.any():
        return
    rows = indices((bank.key < 0) & camera[bank.first_sensor])
    if not len(rows):
        return
    known = (kinematic.state != TENTATIVE) & (theirs.bearing_variance < KNOWN_DIRECTION**2)
    known &= theirs.elevation_variance < KNOWN_DIRECTION**2
    # The plain bearing filter: the spread over ranges would make the direction look vague.
    bearing, variance, _ = bank.direction[rows].T
    across = wrap(bearing[:, None] - theirs.bearing) ** 2
    across = across / (variance[:, None] + theirs.bearing_variance)
    rise = (mine.elevation[rows, None] - theirs.elevation) ** 2
    rise = rise / (mine.elevation_variance[rows, None] + theirs.elevation_variance)
    distance = np.where(known, across + rise, np.inf)
    best = distance.argmin(axis=1)
    same = distance[np.arange(len(rows)), best] < SAME_DIRECTION
    if same.any():
        kinematic.note(np.unique(best[same]), now, -1, MERGED, 0.0)
        bank.keep(np.setdiff1d(np.arange(len(bank)), rows[same]))


def _chance(core: Core, seen: Aspect) -> FloatArray:
    """Return (N,) how often a kinematic track is detected in a look of who looks at everything."""
    state = core.state
    bank = state.kinematic
    weight, total = np.zeros(len(bank)), np.zeros(len(bank))
    for sensor, learned in enumerate(state.sensors):
        if not learned.model.sees_all:
            continue
        looks = learned.covers(seen.bearing, seen.slant) * bank.visible[:, sensor]
        looks = looks / learned.revisit
        weight += looks
        total += looks * learned.detection_probability(seen.slant)
    chance: FloatArray = np.where(weight > 0.0, total / np.maximum(weight, 1e-9), USUAL_CHANCE)
    return chance


def _told_apart(core: Core, now: float) -> IntArray:
    """Return (N,) the sensor that numbers each kinematic track at present, -1 none."""
    state, table = core.state, core.state.keys
    result: IntArray = np.full(len(state.kinematic), -1, dtype=np.int64)
    if not core.numbered or not len(table):
        return result
    sensor = np.array([core.sensor_index[name] for name, _ in core.key_names])
    patience = np.array(
        [
            2.5 * learned.revisit + core.arrivals.complete_after(index)
            for index, learned in enumerate(state.sensors)
        ]
    )
    numbered = np.isin(sensor, list(core.numbered)) & (table.track >= 0)
    keys = indices(numbered & (now - table.time < patience[sensor]))
    rows = rows_of(state.kinematic, table.track[keys])
    result[rows[rows >= 0]] = sensor[keys[rows >= 0]]
    return result


def _delete(core: Core, now: float, seen: Aspect) -> None:
    state, p = core.state, core.parameters
    bank = state.kinematic
    if len(bank):
        gone = doomed(bank, p) | _passed(core, bank, now)
        gone |= seen.position_sigma > p.coast_position_sigma * 4.0
        gone |= (seen.position_sigma > p.coast_position_sigma) & (
            now - bank.last_hit > p.coast_time
        )
        extra = len(bank) - int(gone.sum()) - p.max_tracks
        if extra > 0:
            core.counters["tracks dropped: too many"] += extra
            least = np.argsort(np.where(gone, np.inf, bank.log_odds), kind="stable")
            gone[least[:extra]] = True
        if gone.any():
            passed = indices(gone & (bank.claims > 0))
            for sensor in distinct(bank.first_sensor[passed]):
                claims = bank.claims[passed[bank.first_sensor[passed] == sensor]]
                state.sensors[sensor].learn_passing(claims, proved=False)
            rows = indices(~gone)
            bank.keep(rows)
            state.keys.keep_tracks(rows)
    bank = state.bearings
    if len(bank):
        gone = doomed(bank, p) | _passed(core, bank, now)
        if gone.any():
            bank.keep(indices(~gone))


def _passed(core: Core, bank: TrackBank, now: float) -> BoolArray:
    """Return which tentative tracks nobody believes and nothing has touched for some looks.

    Sensors that only hear who transmits say little by their silence: without this their chance
    bearings would stand in the list for minutes.
    """
    revisit = np.array([learned.revisit for learned in core.state.sensors])
    patience = np.maximum(PASSED_AFTER, PASSED_LOOKS * revisit[bank.first_sensor])
    passed: BoolArray = (
        (bank.state == TENTATIVE)
        & (bank.probability() < PASSED_BELOW)
        & (now - bank.last_hit > patience)
    )
    return passed


def refute(core: Core, batch: DetectionBatch) -> None:
    """Count a camera's look that saw nothing against the tracks in that direction."""
    bank = core.state.kinematic
    if not len(bank):
        return
    seen = seen_by(bank, batch, core.motion)
    offset = bearing_offsets(seen, batch)
    variance = seen.bearing_variance[:, None] + batch.bearing_sigma[None, :] ** 2
    near = offset**2 < 9.0 * variance
    belief = clip(batch.confidence, 0.05, 0.95)
    push = np.log(belief / (1.0 - belief)) / np.maximum(near.sum(axis=0), 1)
    total = (near * push[None, :]).sum(axis=1)
    rows = indices(total < 0.0)
    delta = shift(bank, rows, bank.log_odds[rows] + total[rows], core.parameters.log_odds_limit)
    bank.note(rows, float(batch.time.max()), batch.sensor, REFUTED, delta)
