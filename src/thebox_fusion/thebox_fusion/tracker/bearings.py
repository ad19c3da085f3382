# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Bearings without identity: for kinematic tracks first, then for bearing-only ones."""

from __future__ import annotations

import numpy as np

from .arrays import indices
from .bank import TENTATIVE, TrackBank
from .births import begin
from .core import Core
from .detection import DetectionBatch
from .existence import logit
from .gate import bearing_offsets, seen_by
from .glances import glance
from .initiate import bearing_states
from .looks import associate
from .measure import wrap
from .types import BoolArray, FloatArray, IntArray

BESIDE, STRAYING = 1.645, 0.1
"""Standard deviations from a track's direction within which its detections lie, and the share of
them that do not."""
HEARD_AGAIN, FRESH = 1.5, 6.0
"""A bearing-only track of no more detections than this, heard so many seconds ago, was a stray."""
BELIEVED = 0.2
"""Kinematic tracks that are likelier than this explain bearings."""
LEAST_BESIDE = 0.2
"""Where less of the horizon than this is beside all tracks, it does not tell of the whole."""
_ACROSS = (np.arange(72) + 0.5) / 72 - 0.5
LEFT_OVER = 0.6
"""A bearing that is so likely of no kinematic track is for the bearing-only ones."""


def hear(core: Core, batch: DetectionBatch, elapsed: float) -> None:
    """Use precise bearings without identity: first for kinematic tracks."""
    if not len(batch):
        return
    bank = core.state.kinematic
    strong = bank.probability() > BELIEVED
    if core.state.sensors[batch.sensor].model.modality != "RF":
        free, _, _, _, _ = associate(
            core, bank, batch, core.motion, eligible=strong, elapsed=elapsed
        )
        give_to_bearings(core, batch, free, elapsed)
        return
    # One object may have several links on the air: each emission without an identity is weighed
    # alone, or the second one would be left for whatever else is in its direction.
    free, done = glance(core, bank, batch, strong)
    for row in range(len(batch)):
        if done[row] and free[row] <= LEFT_OVER:
            continue
        one = batch.take(np.array([row]))
        if not done[row]:
            free[row : row + 1], _, _, _, _ = associate(
                core, bank, one, core.motion, eligible=strong, elapsed=elapsed
            )
        give_to_bearings(core, one, free[row : row + 1], elapsed)
        elapsed = 0.0
    if elapsed > 0.0:
        nobody = batch.take(np.zeros(0, dtype=np.int64))
        core.state.sensors[batch.sensor].learn_clutter(nobody, np.zeros(0), False, elapsed)


def overhear(core: Core, batch: DetectionBatch, elapsed: float) -> None:
    """Use coarse bearings without identity: tracks they may come from explain them."""
    if not len(batch):
        return
    state = core.state
    free: FloatArray = np.ones(len(batch))
    if len(state.kinematic):
        seen = seen_by(state.kinematic, batch, core.motion)
        offset = bearing_offsets(seen, batch)
        variance = seen.bearing_variance[:, None] + batch.bearing_sigma[None, :] ** 2
        near = (offset**2 < 6.0 * variance) & (state.kinematic.probability() > 0.8)[:, None]
        free = np.where(near.any(axis=0), 0.0, 1.0)
    give_to_bearings(core, batch, free, elapsed)


def give_to_bearings(core: Core, batch: DetectionBatch, free: FloatArray, elapsed: float) -> None:
    """Give bearings that no kinematic track explains to bearing-only tracks, old or new."""
    learned = core.state.sensors[batch.sensor]
    left: IntArray = indices(free > LEFT_OVER)
    strays = 0.0
    if len(left):
        bank = core.state.bearings
        rest = batch.take(left)
        apart, share = _beside(core, rest)
        unexplained, false, rows, detection, probability = associate(
            core, bank, rest, core.drift, eligible=bank.key < 0, elapsed=elapsed
        )
        note_own_path(core, bank, rows, rest.take(detection), probability > 0.5)
        strays = float(false.sum())
        if share > LEAST_BESIDE:
            # Strays come from anywhere: those that lie beside all tracks tell how many there are,
            # and count none of a crowd of emitters whose tracks are yet to be believed.
            strays = (float(apart.sum()) - STRAYING * len(rest)) / (share - STRAYING)
        birth = unexplained * learned.birth_probability(rest, bearing_only=True)
        new = indices((unexplained > 0.5) & (birth > 1e-4) & ~_begun(bank, rest))
        if len(new):
            first = rest.take(new)
            mean, covariance = bearing_states(
                first, bank.components, core.parameters, learned.model
            )
            rows = begin(
                core,
                bank,
                first,
                mean=mean,
                covariance=covariance,
                log_odds=logit(birth[new]),
                serial=core.serials(first, "b"),
            )
            note_own_path(core, bank, rows, first, np.ones(len(new), dtype=np.bool_))
    learned.learn_clutter(batch.take(left), free[left], False, elapsed, strays)


def _beside(core: Core, batch: DetectionBatch) -> tuple[BoolArray, float]:
    """Return (M,) which detections are beside all tracks, and the share of strays that are so.

    Args:
        core: whose tracks; emitters of a known identity do not count.
        batch: M bearings; all as sharp as the first of them.
    """
    bank, kinematic = core.state.bearings, core.state.kinematic
    model = core.state.sensors[batch.sensor].model
    lately = batch.middle[0] - bank.last_hit < FRESH
    emitters = (bank.key < 0) & ((bank.hits > HEARD_AGAIN) | lately)
    direction, variance, _ = bank.direction[emitters].T
    if len(kinematic):
        seen = seen_by(kinematic, batch, core.motion)
        likely = kinematic.probability() > BELIEVED
        direction = np.concatenate([direction, seen.bearing[likely]])
        variance = np.concatenate([variance, seen.bearing_variance[likely]])
    noise = batch.bearing_sigma[:1] ** 2
    across = model.sector_centre + model.sector_width * _ACROSS
    near = _near(batch.bearing, noise, direction, variance)
    share = 1.0 - float(_near(across, noise, direction, variance).mean())
    if batch.has("alternative_bearing"):
        near |= _near(batch.alternative_bearing, noise, direction, variance)
        share *= share
    return ~near, share


def _near(
    bearing: FloatArray, noise: FloatArray, direction: FloatArray, variance: FloatArray
) -> BoolArray:
    """Return (M,) which bearings, of variance ``noise`` (M,) or (1,), lie in any of directions."""
    reach = BESIDE**2 * (variance + noise[:, None])
    near: BoolArray = np.any(wrap(bearing[:, None] - direction) ** 2 < reach, axis=1)
    return near


def _begun(bank: TrackBank, batch: DetectionBatch) -> BoolArray:
    """Return (M,) which detections lie where a track that nobody believes yet has begun.

    What comes of it, that track will tell. Each of a crowd of emitters would begin another one at
    every emission, until a thousand wait for the next.
    """
    rows = indices((bank.key < 0) & (bank.state == TENTATIVE))
    if not len(rows):
        return np.zeros(len(batch), dtype=np.bool_)
    direction, variance, _ = bank.direction[rows].T
    noise = batch.bearing_sigma**2
    begun = _near(batch.bearing, noise, direction, variance)
    return begun | _near(batch.alternative_bearing, noise, direction, variance)


def note_own_path(
    core: Core, bank: TrackBank, rows: IntArray, batch: DetectionBatch, use: BoolArray
) -> None:
    """Sum up where the own-ship was at the detections of bearing-only tracks."""
    rows, batch = rows[use], batch.take(indices(use))
    if not len(rows):
        return
    t = batch.time - bank.own_start[rows, 0]
    e = batch.own_position[:, 0] - bank.own_start[rows, 1]
    n = batch.own_position[:, 1] - bank.own_start[rows, 2]
    information = 1.0 / batch.bearing_sigma**2
    point(core, bank, rows, batch)
    bank.own_path[rows] += np.stack(
        [np.ones(len(t)), t, t * t, e, n, t * e, t * n, e * e + n * n, information], axis=1
    )


def point(core: Core, bank: TrackBank, rows: IntArray, batch: DetectionBatch) -> None:
    """Update the plain bearing filter of bearing-only tracks."""
    old, variance, when = bank.direction[rows].T
    noise = batch.bearing_sigma**2
    wander = core.parameters.bearing_wander**2
    predicted = variance + wander * np.maximum(batch.time - when, 0.0)
    first = variance <= 0.0
    gap = wrap(batch.bearing - old)
    other = wrap(batch.alternative_bearing - old)
    gap = np.where(np.abs(other) < np.abs(gap), other, gap)
    gain = np.where(first, 1.0, predicted / (predicted + noise))
    bank.direction[rows, 0] = np.where(first, batch.bearing, old + gain * gap)
    bank.direction[rows, 1] = np.where(first, noise, (1.0 - gain) * predicted)
    bank.direction[rows, 2] = np.where(first, batch.time, np.maximum(when, batch.time))
