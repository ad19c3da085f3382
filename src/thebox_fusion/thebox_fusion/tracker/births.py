# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""New tracks, and what sensors say that they are."""

from __future__ import annotations

import numpy as np

from .arrays import clip, indices
from .bank import BORN, TrackBank
from .core import Core
from .detection import DetectionBatch
from .types import BoolArray, FloatArray, IntArray


def add_labels(
    core: Core, bank: TrackBank, rows: IntArray, batch: DetectionBatch, use: BoolArray
) -> None:
    """Sum up what sensors say that objects are."""
    labelled = indices(use & (batch.label >= 0))
    if len(labelled):
        belief = np.where(np.isfinite(batch.confidence), batch.confidence, 0.7)[labelled]
        score = clip(belief, 0.05, 0.95)
        bank.label_score[rows[labelled], batch.label[labelled]] += 0.5 * score


def begin(
    core: Core,
    bank: TrackBank,
    batch: DetectionBatch,
    *,
    mean: FloatArray,
    covariance: FloatArray,
    log_odds: FloatArray,
    serial: IntArray,
) -> IntArray:
    """Append new tracks, one for each row of ``batch``."""
    count = len(batch)
    weight = np.full((count, bank.components), 1.0 / bank.components)
    if bank is core.state.kinematic and core.motion.dwell is not None:
        weight[:] = core.motion.dwell / core.motion.dwell.sum()
        core.state.keys.add_tracks(count)
    rows = bank.append(
        count,
        number=serial,
        time=batch.time,
        mean=mean,
        covariance=covariance,
        weight=weight,
        log_odds=log_odds,
        hits=np.ones(count),
        first_seen=batch.time,
        last_hit=batch.time,
        first_sensor=np.full(count, batch.sensor),
        own_start=np.column_stack([batch.time, batch.own_position[:, :2]]),
    )
    bank.last_look[rows, batch.sensor] = batch.time
    bank.sensor_last[rows, batch.sensor] = batch.time
    bank.sensor_hits[rows, batch.sensor] = 1.0
    bank.visible[rows, batch.sensor] = 1.0
    bank.note(rows, batch.time, batch.sensor, BORN, log_odds)
    add_labels(core, bank, rows, batch, np.ones(count, dtype=np.bool_))
    return rows
