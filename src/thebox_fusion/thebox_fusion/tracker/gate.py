# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Which detections may belong to which track: a cheap gate over everything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bank import TrackBank
from .detection import DetectionBatch
from .measure import wrap
from .motion import collapse
from .types import FloatArray, IntArray
from .update import Dynamics


@dataclass
class Aspect:
    """How every track looks from one place at one time: arrays (N,), ``position`` (N, 3)."""

    position: FloatArray
    bearing: FloatArray
    bearing_variance: FloatArray
    elevation: FloatArray
    elevation_variance: FloatArray
    slant: FloatArray
    slant_variance: FloatArray
    position_sigma: FloatArray


_NOTHING = Aspect(np.zeros((0, 3)), *np.zeros((7, 0)))


def aspect(
    bank: TrackBank,
    when: float,
    own: FloatArray,
    acceleration_density: float,
    rows: IntArray | None = None,
) -> Aspect:
    """Return the aspect of all tracks, or of ``rows``, at ``when`` from ``own`` (3,)."""
    if not len(bank):
        return _NOTHING
    if rows is None or np.array_equal(rows, np.arange(len(bank))):
        mean, covariance = collapse(bank.mean, bank.covariance, bank.weight)
        step = when - bank.time
    else:
        mean, covariance = collapse(bank.mean[rows], bank.covariance[rows], bank.weight[rows])
        step = when - bank.time[rows]
    position = mean[:, :3] + mean[:, 3:] * step[:, None]
    h = step[:, None, None]
    cross = covariance[:, :3, 3:]
    spread = (
        covariance[:, :3, :3]
        + h * (cross + np.swapaxes(cross, 1, 2))
        + h**2 * covariance[:, 3:, 3:]
    )
    growth = acceleration_density * np.abs(step) ** 3 / 3.0
    r = position - own
    ground = np.maximum(np.hypot(r[:, 0], r[:, 1]), 1.0)
    slant = np.hypot(ground, r[:, 2])
    across = np.stack([r[:, 1], -r[:, 0]], axis=1) / ground[:, None]
    unit = r / slant[:, None]
    lift = (
        np.stack([-r[:, 0] * r[:, 2] / ground, -r[:, 1] * r[:, 2] / ground, ground], axis=1)
        / slant[:, None]
    )
    across_variance = _along(spread[:, :2, :2], across) + growth
    slant_variance = _along(spread, unit) + growth
    lift_variance = _along(spread, lift)
    return Aspect(
        position=position,
        bearing=np.arctan2(r[:, 0], r[:, 1]),
        bearing_variance=across_variance / ground**2,
        elevation=np.arctan2(r[:, 2], ground),
        elevation_variance=lift_variance / slant**2,
        slant=slant,
        slant_variance=slant_variance,
        position_sigma=np.sqrt(spread[:, 0, 0] + spread[:, 1, 1] + 2.0 * growth),
    )


def seen_by(
    bank: TrackBank, batch: DetectionBatch, dynamics: Dynamics, rows: IntArray | None = None
) -> Aspect:
    """Return the aspect of all tracks, or of ``rows``, when and from where a batch was measured."""
    when, own = float(np.mean(batch.time)), batch.own_position.mean(axis=0)
    return aspect(bank, when, own, float(dynamics.density[-1]), rows)


def _along(covariance: FloatArray, direction: FloatArray) -> FloatArray:
    """Return the variance (N,) along directions (N, D); matmul is twice as fast as einsum."""
    row = direction[:, None, :]
    variance: FloatArray = (row @ covariance @ direction[:, :, None])[:, 0, 0]
    return variance


def bearing_offsets(seen: Aspect, batch: DetectionBatch) -> FloatArray:
    """Return (N, M) bearing differences, the nearer candidate's where there are two."""
    offset = wrap(batch.bearing[None, :] - seen.bearing[:, None])
    if np.isfinite(batch.alternative_bearing).any():
        other = wrap(batch.alternative_bearing[None, :] - seen.bearing[:, None])
        offset = np.where(np.abs(other) < np.abs(offset), other, offset)
    return offset


def coarse_gate(seen: Aspect, batch: DetectionBatch, width: float) -> tuple[IntArray, IntArray]:
    """Return pairs (row of ``seen``, detection row) within ``width`` standard deviations.

    Bearings and slant ranges are compared one by one, which never excludes a pair that the joint
    gate of the same width would accept.
    """
    rows = np.arange(len(seen.bearing))
    if len(rows) == 0 or len(batch) == 0:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty
    slant = batch.range
    placed = ~np.isfinite(slant) & np.isfinite(batch.position).all(axis=1)
    bearing = batch.bearing
    bearing_sigma = batch.bearing_sigma
    slant_sigma = batch.range_sigma
    if placed.any():
        r = batch.position - batch.own_position
        spread = np.sqrt(np.trace(batch.position_covariance, axis1=1, axis2=2))
        distance = np.linalg.norm(r, axis=1)
        slant = np.where(placed, distance, slant)
        slant_sigma = np.where(placed, spread, slant_sigma)
        bearing = np.where(placed, np.arctan2(r[:, 0], r[:, 1]), bearing)
        bearing_sigma = np.where(placed, spread / np.maximum(distance, 1.0), bearing_sigma)
    ranged = np.isfinite(slant)
    if ranged.all():
        # Sorting by range leaves few bearings to compare.
        reach = width * np.sqrt(seen.slant_variance + float(np.max(slant_sigma)) ** 2)
        order = np.argsort(slant, kind="stable")
        ordered = slant[order]
        low = np.searchsorted(ordered, seen.slant - reach, side="left")
        high = np.searchsorted(ordered, seen.slant + reach, side="right")
        count = np.maximum(high - low, 0)
        track = np.repeat(rows, count)
        start = np.repeat(low - np.concatenate([[0], np.cumsum(count)[:-1]]), count)
        detection = order[start + np.arange(len(track))]
    else:
        track = np.repeat(rows, len(batch))
        detection = np.tile(np.arange(len(batch)), len(rows))
    offset = np.abs(wrap(bearing[detection] - seen.bearing[track]))
    alternative = batch.alternative_bearing[detection]
    if np.isfinite(alternative).any():
        offset = np.fmin(offset, np.abs(wrap(alternative - seen.bearing[track])))
    near = (
        offset
        <= width * np.sqrt(seen.bearing_variance[track] + bearing_sigma[detection] ** 2) + 0.02
    )
    if ranged.any():
        difference = np.abs(slant[detection] - seen.slant[track])
        limit = width * np.sqrt(seen.slant_variance[track] + slant_sigma[detection] ** 2) + 5.0
        near &= ~ranged[detection] | (difference <= limit)
    return track[near], detection[near]
