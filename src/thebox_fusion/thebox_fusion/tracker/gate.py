# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Which detections may belong to which track: a cheap gate over everything."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .arrays import along
from .bank import TrackBank
from .detection import DetectionBatch
from .measure import wrap
from .types import FloatArray, IntArray
from .update import Dynamics


class Aspect:
    """How N tracks look from one place at one time; each figure is worked out when asked for.

    Attributes:
        centre, spread: (N, 6) and (N, 6, 6), moments of the tracks at their own times.
        step: (N,) seconds from those to the time of the aspect.
        growth: (N,) metres^2 that a horizontal axis has become vaguer in that time.
        position: (N, 3) metres, at the time of the aspect.
        line: (N, 3) metres, from the place to there.
    """

    def __init__(
        self,
        moments: tuple[FloatArray, FloatArray],
        step: FloatArray,
        own: FloatArray,
        acceleration_density: float,
    ) -> None:
        self.centre, self.spread = moments
        self.step = step
        self.growth: FloatArray = acceleration_density * np.abs(step) ** 3 / 3.0
        self.position: FloatArray = self.centre[:, :3] + self.centre[:, 3:] * step[:, None]
        self.line: FloatArray = self.position - own

    def _variance(self, east: FloatArray, north: FloatArray, up: FloatArray | None) -> FloatArray:
        """Return the variance (N,) of the position along a direction, without growth."""
        direction = np.zeros((len(self.step), 6))
        direction[:, 0], direction[:, 1] = east, north
        if up is not None:
            direction[:, 2] = up
        # Where it will be is where it is and a step of its velocity.
        direction[:, 3:] = direction[:, :3] * self.step[:, None]
        return along(self.spread, direction)

    @cached_property
    def ground(self) -> FloatArray:
        """(N,) horizontal distances, metres, at least 1."""
        result: FloatArray = np.maximum(np.hypot(self.line[:, 0], self.line[:, 1]), 1.0)
        return result

    @cached_property
    def slant(self) -> FloatArray:
        """(N,) distances, metres."""
        result: FloatArray = np.hypot(self.ground, self.line[:, 2])
        return result

    @cached_property
    def slant_variance(self) -> FloatArray:
        """(N,) variances of the distances, metres^2."""
        east, north, up = (self.line / self.slant[:, None]).T
        return self._variance(east, north, up) + self.growth

    @cached_property
    def bearing(self) -> FloatArray:
        """(N,) bearings, radians."""
        result: FloatArray = np.arctan2(self.line[:, 0], self.line[:, 1])
        return result

    @cached_property
    def bearing_variance(self) -> FloatArray:
        """(N,) variances of the bearings, radians^2."""
        east, north = self.line[:, 0], self.line[:, 1]
        across = self._variance(north / self.ground, -east / self.ground, None)
        return (across + self.growth) / self.ground**2

    @cached_property
    def elevation(self) -> FloatArray:
        """(N,) elevations, radians."""
        result: FloatArray = np.arctan2(self.line[:, 2], self.ground)
        return result

    @cached_property
    def elevation_variance(self) -> FloatArray:
        """(N,) variances of the elevations, radians^2."""
        tilt = self.line[:, 2] / (self.ground * self.slant)
        lift = self._variance(
            -self.line[:, 0] * tilt, -self.line[:, 1] * tilt, self.ground / self.slant
        )
        return lift / self.slant**2

    @cached_property
    def position_sigma(self) -> FloatArray:
        """(N,) standard deviations of the horizontal position, metres."""
        p, h = self.spread, self.step
        variance = p[:, 0, 0] + p[:, 1, 1] + 2.0 * self.growth
        variance += 2.0 * h * (p[:, 0, 3] + p[:, 1, 4]) + h * h * (p[:, 3, 3] + p[:, 4, 4])
        return np.sqrt(variance)


def aspect(
    bank: TrackBank,
    when: float,
    own: FloatArray,
    acceleration_density: float,
    rows: IntArray | None = None,
) -> Aspect:
    """Return the aspect of all tracks, or of ``rows``, at ``when`` from ``own`` (3,)."""
    centre, spread = bank.moments()
    step = when - bank.time
    if rows is None:
        return Aspect((centre, spread), step, own, acceleration_density)
    return Aspect((centre[rows], spread[rows]), step[rows], own, acceleration_density)


def seen_by(
    bank: TrackBank, batch: DetectionBatch, dynamics: Dynamics, rows: IntArray | None = None
) -> Aspect:
    """Return the aspect of all tracks, or of ``rows``, when and from where a batch was measured."""
    when, own = batch.middle
    return aspect(bank, when, own, float(dynamics.density[-1]), rows)


def bearing_offsets(seen: Aspect, batch: DetectionBatch) -> FloatArray:
    """Return (N, M) bearing differences, the nearer candidate's where there are two."""
    offset = wrap(batch.bearing[None, :] - seen.bearing[:, None])
    if batch.has("alternative_bearing"):
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
    bearing = batch.bearing
    bearing_sigma = batch.bearing_sigma
    slant_sigma = batch.range_sigma
    placed = batch.placed & ~np.isfinite(slant)
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
    if batch.has("alternative_bearing"):
        alternative = batch.alternative_bearing[detection]
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
