# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Existence of tracks: Bayesian log-odds, decay, and state changes with hysteresis.

Integrated probabilistic data association (Musicki, Evans and Stankovic, IEEE Trans. AC 39(6),
1994): every look of a sensor that covers a track is evidence, whether it detects or not.
"""

from __future__ import annotations

import numpy as np

from .arrays import clip, indices
from .bank import COASTING, CONFIRMED, STATE, TENTATIVE, TrackBank
from .parameters import TrackerParameters
from .types import BoolArray, FloatArray, IntArray


def logit(probability: FloatArray) -> FloatArray:
    """Return log-odds."""
    p = clip(probability, 1e-12, 1.0 - 1e-12)
    result: FloatArray = np.log(p / (1.0 - p))
    return result


def after_look(
    prior: FloatArray, detected: FloatArray, detection_probability: FloatArray
) -> FloatArray:
    """Return existence after a look.

    Args:
        prior: (N,) existence probability.
        detected: (N,) probability that one of the detections is the track's.
        detection_probability: (N,) of the look, coverage and visibility included.
    """
    missed = prior * (1.0 - detection_probability) / (1.0 - prior * detection_probability)
    after: FloatArray = detected + (1.0 - detected) * missed
    return after


def decay(bank: TrackBank, step: float, mean_life: FloatArray) -> None:
    """Let existence fade: in ``step`` seconds an object leaves with probability step/life."""
    p = bank.probability() * np.exp(-step / mean_life)
    bank.log_odds = np.minimum(logit(p), bank.log_odds)


def shift(
    bank: TrackBank,
    rows: IntArray,
    log_odds: FloatArray,
    limit: float,
) -> FloatArray:
    """Set log-odds of ``rows`` within the limit; return the change."""
    bounded = clip(log_odds, -2.0 * limit, limit)
    delta: FloatArray = bounded - bank.log_odds[rows]
    bank.log_odds[rows] = bounded
    return delta


def change_states(bank: TrackBank, now: float, parameters: TrackerParameters) -> IntArray:
    """Promote and demote tracks; return the rows whose state changed.

    Confirmation needs a higher probability than staying confirmed (hysteresis).
    """
    p = bank.probability()
    silent = now - bank.last_hit > parameters.coast_time
    before = bank.state.copy()
    confirm = (
        (bank.state == TENTATIVE)
        & (p >= parameters.confirm_probability)
        & (bank.hits >= parameters.confirm_hits - 0.3)
    )
    bank.state[confirm] = CONFIRMED
    alive = bank.state != TENTATIVE
    coast = alive & (silent | (p < parameters.coast_probability))
    bank.state[coast] = COASTING
    bank.state[alive & ~coast] = CONFIRMED
    changed = indices(before != bank.state)
    if len(changed):
        bank.note(changed, now, -1, STATE, 0.0)
    return changed


def doomed(bank: TrackBank, parameters: TrackerParameters) -> BoolArray:
    """Return which tracks no longer exist by their probability."""
    p = bank.probability()
    limit = np.where(
        bank.state == TENTATIVE, parameters.prune_probability, parameters.delete_probability
    )
    result: BoolArray = p < limit
    return result
