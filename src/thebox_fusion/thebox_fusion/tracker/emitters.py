# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Bearings whose sensor knows the identity: emitters, and the tracks that they join."""

from __future__ import annotations

import math

import numpy as np

from .arrays import clip, indices
from .bank import ATTACHED, DETACHED, HIT, TENTATIVE
from .bearings import note_own_path
from .births import add_labels, begin
from .cameras import taken
from .core import Core, rows_of
from .detection import DetectionBatch
from .existence import shift
from .gate import Aspect, aspect, bearing_offsets, seen_by
from .identity import coincidence, is_repeat
from .initiate import bearing_states
from .measure import LOG_TWO_PI, wrap
from .types import BoolArray, FloatArray, IntArray
from .update import update_certain

# Squared normalised innovation up to which an emitter's own track may be surprised.
OWN_SURPRISE = 3.0
# Seconds for which a kinematic track's error of bearing stays much the same.
ERROR_TIME = 5.0
# Another object's direction lies within so many standard deviations of a track's.
ELSEWHERE = 10.0
# Prior odds that an emitter's object is among the kinematic tracks.
JOINED_ODDS = 4.0


def identify(core: Core, batch: DetectionBatch) -> None:
    """Use bearings with an identity: for the attached track, or for one of their own."""
    if not len(batch):
        return
    state, p = core.state, core.parameters
    table, kinematic = state.keys, state.kinematic
    keys = batch.key
    repeat, effective = is_repeat(
        table,
        keys,
        time=batch.time,
        frequency=batch.frequency,
        rssi=batch.rssi,
        sigma=batch.bearing_sigma,
    )
    independent = repeat == 0.0
    informative = np.isfinite(effective)
    table.forget(keys[independent], (batch.time - table.time[keys])[independent], p.key_forgetting)
    sharp = batch.take(np.arange(len(batch)))
    sharp.bearing_sigma = np.where(informative, effective, 1e3)
    seen = seen_by(kinematic, sharp, core.motion)
    log_kinematic = bearing_likelihoods(sharp, seen)
    rows = rows_of(kinematic, table.track[keys])
    table.track[keys[rows < 0]] = -1
    attached = rows >= 0
    if attached.any():
        _update_attached(
            core,
            sharp,
            rows,
            indices(attached),
            independent=independent,
            informative=informative,
            log_kinematic=log_kinematic,
            seen=seen,
        )
    apart = indices(~attached)
    if len(apart):
        _update_apart(
            core,
            sharp,
            apart,
            independent=independent,
            informative=informative,
            seen=seen if len(apart) == len(batch) else None,
        )
    table.hits[keys[independent]] += 1
    table.repeated[keys] = ~independent
    table.frequency[keys] = batch.frequency
    table.rssi[keys] = batch.rssi
    table.sigma[keys] = np.where(
        independent, batch.bearing_sigma, np.fmax(batch.bearing_sigma, table.sigma[keys])
    )
    table.bearing[keys] = batch.bearing
    table.time[keys] = batch.time
    table.counted[keys[independent]] = batch.time[independent]
    _attach_likely(core, keys[(table.track[keys] < 0) & independent], float(batch.time.max()))


def bearing_likelihoods(batch: DetectionBatch, seen: Aspect) -> FloatArray:
    """Return (M, N) log likelihoods of each detection's bearing under each track."""
    offset = bearing_offsets(seen, batch).T
    return _log_likelihood(batch, offset, seen.bearing_variance[None, :])


def _log_likelihood(batch: DetectionBatch, gap: FloatArray, predicted: FloatArray) -> FloatArray:
    """Return (M, N) log likelihoods of bearings that lie ``gap`` beside where they are predicted.

    Args:
        batch: M detections.
        gap: (M, N) radians, the nearer candidate's where there are two.
        predicted: (M, N) or (1, N) radians^2, variance of the prediction.
    """
    total = predicted + batch.bearing_sigma[:, None] ** 2
    surprise = np.minimum(gap**2 / total, 30.0) + np.log(total) + LOG_TWO_PI
    either = np.where(np.isfinite(batch.alternative_bearing), math.log(2.0), 0.0)
    likelihood: FloatArray = -0.5 * surprise - either[:, None]
    return likelihood


def _update_attached(
    core: Core,
    batch: DetectionBatch,
    rows: IntArray,
    members: IntArray,
    *,
    independent: BoolArray,
    informative: BoolArray,
    log_kinematic: FloatArray,
    seen: Aspect,
) -> None:
    """Update the kinematic tracks, which are ``seen``, that emitters are attached to."""
    state, p = core.state, core.parameters
    bank, table = state.kinematic, state.keys
    mine = log_kinematic[members, rows[members]]
    gain = log_kinematic[members] - mine[:, None]
    table.evidence[batch.key[members]] += np.where(independent[members][:, None], gain, 0.0)
    offset = bearing_offsets(seen, batch)[rows[members], members]
    variance = seen.bearing_variance[rows[members]] + batch.bearing_sigma[members] ** 2
    squared = np.minimum(offset**2 / variance, 25.0)
    key = batch.key[members]
    strain = np.maximum(table.strain[key] + 0.5 * (squared - 2.0), 0.0)
    table.strain[key] = np.where(independent[members], strain, table.strain[key])
    leave = table.strain[key] > -2.0 * p.detach_log_odds
    better = table.evidence[key].max(axis=1) > -p.detach_log_odds
    for k, row in zip(
        key[leave | better].tolist(), rows[members][leave | better].tolist(), strict=True
    ):
        table.track[k] = -1
        table.strain[k] = 0.0
        table.evidence[k] = 0.0
        bank.note(np.array([row]), float(batch.time.max()), batch.sensor, DETACHED, 0.0)
    stay = members[~(leave | better)]
    # Two emitters of one track in one frame are applied one after the other.
    while len(stay):
        _, once = np.unique(rows[stay], return_index=True)
        now = stay[once]
        chosen = batch.take(now)
        which = rows[now]
        update_certain(
            bank,
            which,
            chosen,
            dynamics=core.motion,
            distance_cap=p.gate,
            weight_floor=1e-6,
            kinematic=informative[now],
        )
        delta = shift(
            bank,
            which,
            bank.log_odds[which] + np.where(independent[now], 1.0, 0.0),
            p.log_odds_limit,
        )
        fresh = independent[now]
        bank.note(which[fresh], chosen.time[fresh], batch.sensor, HIT, delta[fresh])
        bank.last_hit[which] = np.maximum(bank.last_hit[which], chosen.time)
        bank.hits[which] += independent[now]
        bank.last_look[which, batch.sensor] = chosen.time
        bank.sensor_last[which, batch.sensor] = chosen.time
        bank.sensor_hits[which, batch.sensor] += independent[now]
        bank.visible[which, batch.sensor] = 1.0
        add_labels(core, bank, which, chosen, independent[now])
        stay = np.delete(stay, once)


def _update_apart(
    core: Core,
    batch: DetectionBatch,
    members: IntArray,
    *,
    independent: BoolArray,
    informative: BoolArray,
    seen: Aspect | None,
) -> None:
    """Update or begin the emitters' own bearing-only tracks.

    ``seen`` is how the kinematic tracks look to the members; None when it is to be worked out.
    """
    state, p = core.state, core.parameters
    bank, table = state.bearings, state.keys
    own = rows_of(bank, table.own[batch.key[members]])
    old = indices(own >= 0)
    if len(old):
        chosen, which = batch.take(members[old]), own[old]
        heard = seen_by(bank, chosen, core.drift, which)
        log_own = bearing_likelihoods(chosen, heard).diagonal()
        expected = -0.5 * (LOG_TWO_PI + np.log(1.3 * chosen.bearing_sigma**2))
        surprise = clip(2.0 * (expected - log_own), 0.0, 20.0)
        bank.misfit[which] += 0.1 * (surprise - bank.misfit[which])
        # An emitter of its own may turn as it likes: its own track's surprise is bounded, or
        # any kinematic track in that direction would look the better explanation.
        floor = -0.5 * (
            OWN_SURPRISE + LOG_TWO_PI + np.log(1.3 * chosen.bearing_sigma**2)
        ) - np.where(np.isfinite(chosen.alternative_bearing), math.log(2.0), 0.0)
        relief = np.maximum(floor - log_own, 0.0)
        if seen is None or len(old) < len(members):
            seen = seen_by(state.kinematic, chosen, core.motion)
        gain = _one_object(core, chosen, seen=seen, own=heard, relief=relief)
        gain -= (log_own + relief)[:, None]
        fresh = independent[members[old]]
        table.evidence[chosen.key] += np.where(fresh[:, None], gain, 0.0)
        update_certain(
            bank,
            which,
            chosen,
            dynamics=core.drift,
            distance_cap=9.0,
            weight_floor=1e-5,
            kinematic=informative[members[old]],
        )
        delta = shift(
            bank, which, bank.log_odds[which] + np.where(fresh, 2.0, 0.0), p.log_odds_limit
        )
        bank.note(which[fresh], chosen.time[fresh], batch.sensor, HIT, delta[fresh])
        bank.last_hit[which] = np.maximum(bank.last_hit[which], chosen.time)
        bank.hits[which] += fresh
        bank.last_look[which, batch.sensor] = chosen.time
        bank.sensor_last[which, batch.sensor] = chosen.time
        bank.sensor_hits[which, batch.sensor] += fresh
        add_labels(core, bank, which, chosen, fresh)
        note_own_path(core, bank, which, chosen, informative[members[old]])
    new = members[own < 0]
    if len(new):
        first = batch.take(new)
        first.bearing_sigma = np.minimum(first.bearing_sigma, math.pi)
        mean, covariance = bearing_states(
            first, bank.components, p, state.sensors[batch.sensor].model
        )
        serial = core.serials(first, "e")
        before = table.own[first.key]
        recent = (before >= 0) & (first.time - table.time[first.key] < p.emitter_memory)
        serial = np.where(recent, before, serial)
        rows = begin(
            core,
            bank,
            first,
            mean=mean,
            covariance=covariance,
            log_odds=np.full(len(new), -0.5),
            serial=serial,
        )
        bank.key[rows] = first.key
        table.own[first.key] = serial
        note_own_path(core, bank, rows, first, np.ones(len(new), dtype=np.bool_))


def _one_object(
    core: Core, batch: DetectionBatch, *, seen: Aspect, own: Aspect, relief: FloatArray
) -> FloatArray:
    """Return (M, N) log likelihoods of detections if key and kinematic track are one object.

    Each of two hypotheses predicts from all that it would know (Kass and Raftery, Bayes factors,
    JASA 90, 1995). One object would have been followed by what both tracks have heard, so the two
    predictions are fused; and the tracks, whose errors are independent, would be in one direction
    (track-to-track association: Bar-Shalom, Li, Kirubarajan 2001, section 8.4). The latter is no
    news at every detection: it counts in full once in `ERROR_TIME`. Were each bearing compared
    with the kinematic track alone, a few metres of a radar's error, the same again and again, would
    keep a camera that is sharper than the radar from ever joining its own object's track.

    Args:
        core: with the keys.
        batch: M detections with a key.
        seen: of the kinematic tracks (N).
        own: of the keys' own bearing-only tracks (M).
        relief: (M,) by which those tracks' surprise is less than their log likelihoods tell; of a
            prediction that rests on them it is as much less.
    """
    table = core.state.keys
    offset = bearing_offsets(seen, batch).T
    apart = wrap(own.bearing[:, None] - seen.bearing[None, :])
    track = seen.bearing_variance[None, :]
    heard = own.bearing_variance[:, None]
    both = track + heard
    share = track / both
    fused = _log_likelihood(batch, wrap(offset - apart * share), share * heard)
    elapsed = batch.time - table.counted[batch.key]
    news = -np.expm1(-np.where(np.isfinite(elapsed), np.maximum(elapsed, 0.0), np.inf) / ERROR_TIME)
    wide = both + ELSEWHERE**2 * track
    meeting = np.log(wide / both) - np.minimum(apart**2, 30.0 * both) * (1.0 / both - 1.0 / wide)
    likelihood: FloatArray = fused + 0.5 * news[:, None] * meeting + relief[:, None] * share
    return likelihood


def _attach_likely(core: Core, keys: IntArray, now: float) -> None:
    """Let emitters join the kinematic track that explains them, where that is clear."""
    state, p = core.state, core.parameters
    bank, table = state.kinematic, state.keys
    if not len(bank):
        return
    owners = rows_of(state.bearings, table.own[keys])
    ready = (table.hits[keys] >= 3) & (owners >= 0)
    alive = np.where((bank.state != TENTATIVE) & (bank.probability() > 0.8), 1.0, 0.0)
    if not ready.any() or not alive.any():
        return
    seen = aspect(bank, now, state.own_position, float(core.motion.density[-1]))
    gone: list[int] = []
    for key, own in zip(keys[ready].tolist(), owners[ready].tolist(), strict=True):
        meeting = coincidence(seen, state.bearings.direction[own])
        free = np.where(taken(core, key, now), 0.0, alive)
        row, posterior = table.posterior(key, free, JOINED_ODDS, meeting)
        if posterior < p.attach_probability:
            continue
        table.track[key] = int(bank.number[row])
        table.evidence[key] -= table.evidence[key, row]
        table.strain[key] = 0.0
        which = np.array([row])
        support = 1.5
        gone.append(own)
        bank.first_seen[row] = min(bank.first_seen[row], state.bearings.first_seen[own])
        bank.label_score[row] += state.bearings.label_score[own]
        bank.sensor_hits[row] += state.bearings.sensor_hits[own]
        delta = shift(bank, which, bank.log_odds[which] + support, p.log_odds_limit)
        sensor = core.sensor_index[core.key_names[key][0]]
        bank.note(which, now, sensor, ATTACHED, delta)
    if gone:
        keep = np.setdiff1d(np.arange(len(state.bearings)), np.array(gone))
        state.bearings.keep(keep)
