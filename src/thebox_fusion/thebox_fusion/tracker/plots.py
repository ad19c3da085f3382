# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Detections with a range or a position: for kinematic tracks, old or new."""

from __future__ import annotations

import numpy as np

from .arrays import indices, is_in
from .births import begin
from .cameras import camera_keys, let_go
from .core import Core
from .detection import DetectionBatch
from .existence import logit
from .gate import seen_by
from .initiate import kinematic_states
from .looks import associate
from .measure import wrap
from .types import IntArray


def weigh(core: Core, batch: DetectionBatch, elapsed: float) -> None:
    """Use detections with a range or a position."""
    if not len(batch):
        return
    bank, learned = core.state.kinematic, core.state.sensors[batch.sensor]
    everyone = np.ones(len(bank), dtype=np.bool_)
    led = camera_keys(core)
    seen = seen_by(bank, batch, core.motion) if len(led[0]) else None
    free, false, rows, detection, probability = associate(
        core, bank, batch, core.motion, eligible=everyone, elapsed=elapsed
    )
    if seen is not None:
        mine = indices(probability > 0.5)
        at, plot = rows[mine], detection[mine]
        spread = np.sqrt(seen.bearing_variance[at] + batch.bearing_sigma[plot] ** 2)
        aside = wrap(batch.bearing[plot] - seen.bearing[at]) / spread
        time = batch.time[plot]
        let_go(core, led, at, innovation=aside, time=time, sensor=batch.sensor)
    plain = np.isfinite(batch.bearing)
    learned.learn_sweep(batch.time[plain], batch.bearing[plain])
    learned.learn_clutter(batch, false, True, elapsed)
    birth = free * learned.birth_probability(batch, bearing_only=False)
    new = indices((free > 0.2) & (birth > 1e-6))
    begun: IntArray = np.zeros(0, dtype=np.int64)
    if len(new):
        first = batch.take(new)
        mean, covariance = kinematic_states(first, bank.components, core.parameters)
        begun = begin(
            core,
            bank,
            first,
            mean=mean,
            covariance=covariance,
            log_odds=np.maximum(
                logit(birth[new]), logit(np.array(10.0 * core.parameters.prune_probability))
            ),
            serial=core.serials(first, "k"),
        )
    sure = indices((batch.key[detection] >= 0) & (probability > 0.9))
    before = core.state.keys.track[batch.key[detection[sure]]]
    held = is_in(before, bank.number)
    kept = int((held & (before == bank.number[rows[sure]])).sum())
    learned.learn_keys(kept, int(held.sum()) - kept)
    numbered = batch.key >= 0
    learned.learn_revisit(batch.time[numbered] - core.state.keys.time[batch.key[numbered]])
    keyed = indices((batch.key[detection] >= 0) & (probability > 0.7))
    core.state.keys.track[batch.key[detection[keyed]]] = bank.number[rows[keyed]]
    core.state.keys.time[batch.key[detection[keyed]]] = batch.time[detection[keyed]]
    if len(new):
        with_key = indices(batch.key[new] >= 0)
        if len(with_key):
            # A plot that its track's gate refused does not take the number from that track.
            owner = core.state.keys.track[batch.key[new[with_key]]]
            with_key = with_key[(owner < 0) | ~is_in(owner, bank.number)]
        core.state.keys.track[batch.key[new[with_key]]] = bank.number[begun[with_key]]
