# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Updates: hypotheses of pairs, the blend of them by probability, and certain updates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import indices, numbered
from .bank import TrackBank
from .detection import DetectionBatch
from .measure import ScalarUpdate
from .motion import mix_modes, mode_transition, predict_state
from .types import BoolArray, FloatArray, IntArray


@dataclass
class Dynamics:
    """How the components of a bank move.

    Attributes:
        density: (K,) power density of horizontal acceleration, m^2/s^3.
        vertical: the same for the vertical.
        dwell: (K,) mean time in each mode for an IMM; None when components do not mix.
        lowest: height above the sensor below which nothing flies, metres.
    """

    density: FloatArray
    vertical: float
    dwell: FloatArray | None
    lowest: float = -np.inf


def keep_above(mean: FloatArray, covariance: FloatArray, floor: FloatArray | float) -> FloatArray:
    """Return means (..., 6) of which none is below ``floor``, metres up.

    Ranges and bearings read the same of an object above the sensor's plane and of its image
    below it. A mean below the floor is projected onto it, along the covariance (..., 6, 6) (Simon,
    Kalman filtering with state constraints: a survey, IET Control Theory Appl. 4(8), 2010).
    """
    gap = np.maximum(floor - mean[..., 2], 0.0)
    if not gap.any():
        return mean
    gain = covariance[..., 2] / np.maximum(covariance[..., 2, 2], 1e-6)[..., None]
    raised: FloatArray = mean + gain * gap[..., None]
    return raised


def predict_rows(
    bank: TrackBank, rows: IntArray, when: FloatArray, dynamics: Dynamics
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean, covariance and weight of ``rows`` predicted to ``when`` (len(rows),)."""
    step = when - bank.time[rows]
    mean, covariance, weight = bank.mean[rows], bank.covariance[rows], bank.weight[rows]
    if dynamics.dwell is not None and len(rows):
        transition = mode_transition(step, dynamics.dwell)
        mean, covariance, weight = mix_modes(mean, covariance, weight, transition)
    mean, covariance = predict_state(mean, covariance, step, dynamics.density, dynamics.vertical)
    return mean, covariance, weight


def predict_blend(
    bank: TrackBank, rows: IntArray, when: FloatArray, dynamics: Dynamics
) -> tuple[FloatArray, FloatArray]:
    """Return what `predict_rows` and `collapse` give, (N, 6) and (N, 6, 6), for a fraction.

    The interaction of an IMM keeps the mixture's first two moments, and the prediction is linear:
    only the noise differs between the modes.
    """
    step = when - bank.time[rows]
    weight = bank.weight[rows]
    centre, spread = bank.moments()
    mean, covariance = centre[rows], spread[rows]
    if dynamics.dwell is not None and len(rows):
        transition = mode_transition(step, dynamics.dwell)
        weight = (weight[:, None, :] @ transition)[:, 0]
    density = (weight @ dynamics.density)[:, None]
    mean, covariance = predict_state(
        mean[:, None], covariance[:, None], step, density, dynamics.vertical
    )
    return mean[:, 0], covariance[:, 0]


@dataclass
class Hypotheses:
    """Pairs of a track and a detection, each with the state that it would give.

    Attributes:
        rows: (U,) track rows with at least one candidate; ``when`` (U,) their common time.
        mean, covariance, weight: (U, K, ...) predicted.
        pair: (P,) index into ``rows``; ``detection`` (P,) detection rows.
        pair_mean, pair_covariance, pair_weight: (P, K, ...) updated.
        log_likelihood: (P,).
    """

    rows: IntArray
    when: FloatArray
    mean: FloatArray
    covariance: FloatArray
    weight: FloatArray
    pair: IntArray
    detection: IntArray
    pair_mean: FloatArray
    pair_covariance: FloatArray
    pair_weight: FloatArray
    log_likelihood: FloatArray


def _reweigh(weight: FloatArray, log_likelihood: FloatArray) -> tuple[FloatArray, FloatArray]:
    joint = np.log(np.maximum(weight, 1e-12)) + log_likelihood
    top = joint.max(axis=-1, keepdims=True)
    share = np.exp(joint - top)
    total = share.sum(axis=-1, keepdims=True)
    evidence: FloatArray = (top + np.log(total))[..., 0]
    return share / total, evidence


def measure_all(
    update: ScalarUpdate,
    batch: DetectionBatch,
    shift: FloatArray | None,
    distance_cap: float = np.inf,
) -> None:
    """Apply every measured quantity of the batch, row by row of the same length."""
    own = batch.own_position
    level = None
    if batch.has("range"):
        level = np.isfinite(batch.range) & ~np.isfinite(batch.elevation) & ~batch.placed
        update.range(batch.range, batch.range_sigma, own, shift, level=level)
    if batch.has("bearing"):
        alternative = batch.alternative_bearing if batch.has("alternative_bearing") else None
        update.bearing(
            batch.bearing,
            batch.bearing_sigma,
            own,
            alternative=alternative,
            shift=shift,
            distance_cap=distance_cap,
            level=level,
        )
    if batch.has("elevation"):
        update.elevation(batch.elevation, batch.elevation_sigma, own, distance_cap, shift)
    if batch.has("position"):
        update.position(batch.position, batch.position_covariance, shift)
    if batch.has("range_rate"):
        update.range_rate(batch.range_rate, batch.range_rate_sigma, own, batch.own_velocity, shift)
    if batch.has("velocity"):
        update.velocity(batch.velocity, batch.velocity_sigma)


def hypothesise(
    bank: TrackBank,
    batch: DetectionBatch,
    track: IntArray,
    detection: IntArray,
    *,
    dynamics: Dynamics,
    gate: float,
) -> Hypotheses:
    """Update every gated pair and drop those outside the joint gate.

    ``track`` (P,) ascends; ``detection`` (P,) are rows of the batch.
    """
    rows, pair, count = numbered(track)
    time = batch.time[detection]
    when = np.bincount(pair, weights=time, minlength=len(rows)) / np.maximum(count, 1)
    if len(rows):
        same = np.full(len(rows), np.nan)
        same[pair] = time
        # Where all candidates share one time the mean's rounding must not shift it.
        when = np.where(np.abs(same - when) < 1e-6, same, when)
    mean, covariance, weight = predict_rows(bank, rows, when, dynamics)
    chosen = batch.take(detection)
    shift = chosen.time - when[pair]
    update = ScalarUpdate(mean[pair], covariance[pair])
    measure_all(update, chosen, shift if shift.any() else None)
    pair_weight, evidence = _reweigh(weight[pair], update.log_likelihood)
    inside = update.distance.min(axis=1) <= gate if len(pair) else np.zeros(0, dtype=np.bool_)
    return Hypotheses(
        rows=rows,
        when=when,
        mean=mean,
        covariance=covariance,
        weight=weight,
        pair=pair[inside],
        detection=detection[inside],
        pair_mean=update.mean[inside],
        pair_covariance=update.covariance[inside],
        pair_weight=pair_weight[inside],
        log_likelihood=evidence[inside],
    )


def blend(
    bank: TrackBank,
    hypotheses: Hypotheses,
    probability: FloatArray,
    none: FloatArray,
    floor: float = -np.inf,
) -> None:
    """Write the mixture of a track's hypotheses back to the bank, component by component.

    Args:
        bank: changed in place.
        hypotheses: the pairs.
        probability: (P,) of each pair, given that the track exists.
        none: (U,) probability that no detection is the track's; with its pairs' sums to 1.
        floor: see `keep_above`.
    """
    h = hypotheses
    used = none < 1.0 - 1e-9
    if not used.any():
        return
    # Of each track "none", and then its pairs, which are in the tracks' order.
    kept = indices(probability > 1e-4)
    pair = h.pair[kept]
    tracks = len(h.rows)
    count = np.bincount(pair, minlength=tracks)
    starts = np.arange(tracks) + np.cumsum(count) - count
    place = np.arange(len(kept)) + pair + 1

    def merged(own: FloatArray, pairs: FloatArray) -> FloatArray:
        both = np.empty((tracks + len(kept), *own.shape[1:]))
        both[starts], both[place] = own, pairs
        return both

    owner = np.repeat(np.arange(tracks), count + 1)
    share = merged(none[:, None] * h.weight, probability[kept, None] * h.pair_weight[kept])
    mean = merged(h.mean, h.pair_mean[kept])
    covariance = merged(h.covariance, h.pair_covariance[kept])
    total = np.add.reduceat(share, starts, axis=0)
    safe = np.maximum(total, 1e-12)
    part = share / safe[owner]
    centre = np.add.reduceat(part[..., None] * mean, starts, axis=0)
    spread = mean - centre[owner]
    scatter = covariance + spread[..., :, None] * spread[..., None, :]
    joint = np.add.reduceat(part[..., None, None] * scatter, starts, axis=0)
    # A component of no weight keeps its prediction.
    dead = total < 1e-11
    if dead.any():
        centre[dead], joint[dead] = h.mean[dead], h.covariance[dead]
    weight = np.maximum(total[used], 1e-6)
    bank.write(
        h.rows[used],
        h.when[used],
        keep_above(centre[used], joint[used], floor),
        joint[used],
        weight / weight.sum(axis=1, keepdims=True),
    )


def update_certain(
    bank: TrackBank,
    rows: IntArray,
    batch: DetectionBatch,
    *,
    dynamics: Dynamics,
    distance_cap: float,
    weight_floor: float,
    kinematic: BoolArray,
) -> FloatArray:
    """Update ``rows`` (distinct) with the detections whose identity is certain.

    Args:
        bank: changed in place.
        rows: (M,) track rows, one for each row of ``batch``.
        batch: (M,) detections.
        dynamics: of the bank.
        distance_cap: see `ScalarUpdate.apply`.
        weight_floor: no component's weight falls below this.
        kinematic: (M,) rows to apply at all; the others only tell their likelihood.

    Returns:
        (M,) log likelihood of each detection before the update.
    """
    when = np.maximum(batch.time, bank.time[rows])
    mean, covariance, weight = predict_rows(bank, rows, when, dynamics)
    update = ScalarUpdate(mean, covariance)
    measure_all(update, batch, None, distance_cap)
    fresh, evidence = _reweigh(weight, update.log_likelihood)
    fresh = np.maximum(fresh, weight_floor)
    fresh /= fresh.sum(axis=1, keepdims=True)
    covariance = update.covariance[kinematic]
    floor = (batch.own_position[kinematic, 2] + dynamics.lowest)[:, None]
    mean = keep_above(update.mean[kinematic], covariance, floor)
    bank.write(rows[kinematic], when[kinematic], mean, covariance, fresh[kinematic])
    return evidence
