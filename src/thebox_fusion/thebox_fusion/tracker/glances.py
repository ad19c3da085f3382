# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Radio emissions without identity that say who is there, and next to nothing of where.

One object may have several links on the air, so each emission is weighed alone, as a frame of its
own. A bearing of 4 degrees does not move a track that a radar knows to 1 degree: its likelihood
counts for existence, at the cost of one dimension instead of six, for all emissions at once.
"""

from __future__ import annotations

import math

import numpy as np

from .arrays import clip, indices
from .bank import HIT, MISS, TrackBank
from .core import Core
from .detection import DetectionBatch
from .existence import after_look, logit, shift
from .gate import bearing_offsets, seen_by
from .looks import OWN_SHARE, identity_bonus, lost_to_radar
from .measure import LOG_TWO_PI
from .types import BoolArray, FloatArray

WORTHWHILE = 0.08
"""Share of a track's bearing variance that a bearing must take away to be worth an update."""


def glance(
    core: Core, bank: TrackBank, batch: DetectionBatch, eligible: BoolArray
) -> tuple[FloatArray, BoolArray]:
    """Let emissions that would not move any track count for the tracks' existence.

    Args:
        core: state and settings.
        bank: of kinematic tracks; log-odds and counts change, states do not.
        batch: (M,) bearings without identity.
        eligible: (N,) tracks that may explain them.

    Returns:
        (M,) probability that each belongs to no track, and (M,) whether it was dealt with; the
        others are left untouched.
    """
    free: FloatArray = np.ones(len(batch))
    done: BoolArray = np.ones(len(batch), dtype=np.bool_)
    chosen = indices(eligible)
    if not len(chosen):
        return free, done
    p, learned = core.parameters, core.state.sensors[batch.sensor]
    middle, _ = batch.middle
    seen = seen_by(bank, batch, core.motion, None if len(chosen) == len(bank) else chosen)
    noise = batch.bearing_sigma[None, :] ** 2
    variance = seen.bearing_variance[:, None] + noise
    squared = bearing_offsets(seen, batch) ** 2 / variance
    near = squared <= p.gate
    worth = near & (seen.bearing_variance[:, None] > WORTHWHILE * variance)
    done = ~worth.any(axis=0) & ~np.isfinite(batch.elevation)
    track, detection = np.nonzero(near & done[None, :])
    if not len(track):
        return free, done
    rows = chosen[track]
    either = np.where(np.isfinite(batch.alternative_bearing[detection]), math.log(2.0), 0.0)
    spread = variance[track, detection]
    log_ratio = -0.5 * (squared[track, detection] + LOG_TWO_PI + np.log(spread)) - either
    log_ratio -= learned.log_clutter(batch)[detection]
    log_ratio += identity_bonus(core, bank, batch, rows, detection)
    arrived = core.arrivals.share(batch.sensor, core.now - middle)
    chance = learned.detection_probability(seen.slant)[track]
    chance = chance * bank.visible[rows, batch.sensor] * arrived
    prior = bank.probability()[rows]
    ratio = prior * chance / (1.0 - prior * chance) * np.exp(np.minimum(log_ratio, 60.0))
    # With one detection in the frame the marginals have this closed form.
    total = np.bincount(detection, weights=ratio, minlength=len(batch))
    found = ratio / (1.0 + total[detection])
    after = after_look(prior, found, chance * learned.model.miss_weight)
    # What the radar no longer sees is not kept alive by a chance bearing.
    lost = lost_to_radar(core, bank, rows, batch.time[detection])
    after = np.where(lost | (found < OWN_SHARE), np.minimum(after, prior), after)
    gain = np.bincount(rows, weights=logit(after) - logit(prior), minlength=len(bank))
    heard = np.bincount(rows, weights=found, minlength=len(bank))
    touched = np.unique(rows)
    delta = shift(bank, touched, bank.log_odds[touched] + gain[touched], p.log_odds_limit)
    clear = heard[touched] > 0.5
    bank.note(touched, middle, batch.sensor, np.where(clear, HIT, MISS), delta)
    bank.last_look[touched, batch.sensor] = middle
    bank.sensor_hits[touched, batch.sensor] += heard[touched]
    bank.hits[touched] += heard[touched]
    hit = touched[clear]
    bank.sensor_last[hit, batch.sensor] = middle
    bank.last_hit[hit] = np.maximum(bank.last_hit[hit], middle)
    bank.visible[hit, batch.sensor] = 1.0
    taken = np.bincount(detection, weights=found, minlength=len(batch))
    return clip(1.0 - taken, 0.0, 1.0), done
