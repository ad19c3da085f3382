# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a sensor's false detections come from: a map that is learned, by range and bearing.

The rate of false plots in a cell is a Gamma-Poisson estimate whose prior is the rate of the
cell's range ring, which in turn has the mean over the whole reach for its prior: few plots tell
of the whole, many tell of the place (empirical Bayes; Gelman et al., Bayesian Data Analysis,
3rd ed., section 2.7). Waves, rain and trees give their false plots where they are.
"""

from __future__ import annotations

import math

import numpy as np

from .arrays import or_zero
from .types import FloatArray, IntArray

RINGS = 16
SECTORS = 24
# False plots that the prior of a ring, and of a cell, is worth.
RING_PRIOR = 2.0
CELL_PRIOR = 3.0
LEAST = 0.012
"""False plots in a look round that are never ruled out."""
WHOLE = 0.95
FIRST_LOOK = 0.05
MEMORY = 12.0
"""Looks after which what was learned has faded to 1/e."""
LOW_CLUTTER, LOW_CLUTTER_SIGMA = 0.15, 0.3
ELEVATION_PRIOR = 10.0
BEYOND = 4
ANY_ELEVATION = 0.1


class ClutterMap:
    """False plots in one look, by range ring and bearing sector.

    What a turning beam reports comes in pieces: they are held until they make a look round.

    Attributes:
        reach: metres; rings are equal parts of it. It grows with the farthest plot.
        counts: (RINGS, SECTORS) fading sum of false plots; ``exposure``, of looks.
        held, held_looks: the same of a look that is not complete.
        looks: complete looks so far.
        elevation: sums of weight, elevation and its square of false plots.
    """

    def __init__(self, expected: float, max_range: float) -> None:
        self.max_range = max_range
        self.reach = 0.0
        self.plots = 0
        self.farthest: tuple[float, ...] = (0.0,) * BEYOND
        self.counts: FloatArray = np.full((RINGS, SECTORS), expected / (RINGS * SECTORS))
        self.exposure = 1.0
        self.held: FloatArray = np.zeros((RINGS, SECTORS))
        self.held_looks = 0.0
        self.looks = 0
        self.elevation = (
            ELEVATION_PRIOR,
            ELEVATION_PRIOR * LOW_CLUTTER,
            ELEVATION_PRIOR * (LOW_CLUTTER**2 + LOW_CLUTTER_SIGMA**2),
        )
        self._rate: FloatArray | None = None

    def copy(self) -> ClutterMap:
        """Return an independent copy."""
        other = ClutterMap.__new__(ClutterMap)
        other.__dict__.update(self.__dict__)  # Arrays are replaced, never changed in place.
        return other

    @property
    def extent(self) -> float:
        """Farthest range that plots come from, metres."""
        return self.reach if self.reach > 0.0 else self.max_range

    def total(self) -> float:
        """Return the false plots in one look."""
        if self.looks == 0 and self.held_looks > 0.0:
            return float(self.held.sum()) / self.held_looks
        return float(self.counts.sum()) / self.exposure

    def cells(self, slant: FloatArray, bearing: FloatArray) -> tuple[IntArray, IntArray]:
        """Return the ring and sector (M,) of ranges and bearings; NaN goes to the first."""
        ring = np.fmin(np.fmax(slant / self.extent * RINGS, 0.0), RINGS - 1).astype(np.int64)
        turn = or_zero(bearing) / (2.0 * np.pi) % 1.0
        return ring, np.minimum((turn * SECTORS).astype(np.int64), SECTORS - 1)

    def stretch(self, slant: FloatArray) -> None:
        """Take note of how far plots (M,) come from."""
        known = slant[np.isfinite(slant)]
        if not len(known):
            return
        self.plots += len(known)
        # A few plots from beyond what the sensor is said to reach are needed to believe it.
        self.farthest = tuple(sorted([*self.farthest, *known.tolist()])[-BEYOND:])
        farthest = max(min(self.farthest[-1], self.max_range), self.farthest[0])
        if farthest <= self.reach:
            return
        before, self.reach = self.reach, farthest * (1.0 + 1.0 / (self.plots + 1.0))
        self._rate = None
        if before <= 0.0:
            return
        # What lay in a ring is divided among the wider ones by how they overlap.
        old = np.linspace(0.0, before, RINGS + 1)
        new = np.linspace(0.0, self.reach, RINGS + 1)
        low = np.maximum(old[None, :-1], new[:-1, None])
        high = np.minimum(old[None, 1:], new[1:, None])
        share = np.maximum(high - low, 0.0) * RINGS / before
        self.counts, self.held = share @ self.counts, share @ self.held

    def learn(
        self, slant: FloatArray, bearing: FloatArray, weight: FloatArray, looks: float
    ) -> None:
        """Move the estimate by one frame.

        Args:
            slant: (M,) ranges of the frame's plots.
            bearing: (M,) of them.
            weight: (M,) probability that each is false.
            looks: how much of a look round the frame is.
        """
        ring, sector = self.cells(slant, bearing)
        fresh = self.held.copy()
        np.add.at(fresh, (ring, sector), weight)
        self.held, self.held_looks = fresh, self.held_looks + looks
        self._rate = None
        if self.held_looks < WHOLE:
            return
        # What was assumed counts for nothing once there is a look, and that for little once there
        # is a second: in the first one objects look like clutter.
        keep = (0.0, FIRST_LOOK)[self.looks] if self.looks < 2 else 1.0
        keep *= math.exp(-self.held_looks / MEMORY)
        self.counts = keep * self.counts + self.held
        self.exposure = keep * self.exposure + self.held_looks
        self.held, self.held_looks = np.zeros((RINGS, SECTORS)), 0.0
        self.looks += 1

    def learn_elevation(self, elevation: FloatArray, weight: FloatArray) -> None:
        """Learn at which elevations (M,) false detections come."""
        known = np.isfinite(elevation)
        if not known.any():
            return
        w, e = weight[known], elevation[known]
        n, s, ss = self.elevation
        keep = min(1.0, 100.0 / max(n, 1.0))
        self.elevation = (
            n * keep + float(w.sum()),
            s * keep + float((w * e).sum()),
            ss * keep + float((w * e * e).sum()),
        )

    def rate(self) -> FloatArray:
        """Return (RINGS, SECTORS) false plots expected in one look."""
        if self._rate is None:
            looks = self.exposure
            mean = max(self.total(), LEAST) / RINGS
            ring = self.counts.sum(axis=1)
            if self.looks == 0 and self.held_looks > 0.0:
                looks, ring = self.held_looks, self.held.sum(axis=1)
            ring = (ring + RING_PRIOR) / (looks + RING_PRIOR / mean)
            prior = ring[:, None] / SECTORS
            self._rate = (self.counts + CELL_PRIOR) / (self.exposure + CELL_PRIOR / prior)
            if self.looks == 0:
                self._rate = np.repeat(prior, SECTORS, axis=1)
        return self._rate

    def around(self, slant: FloatArray, bearing: FloatArray) -> FloatArray:
        """Return (M,) the false plots in one look if all cells were like that of each."""
        ring, sector = self.cells(slant, bearing)
        total: FloatArray = self.rate()[ring, sector] * (RINGS * SECTORS)
        return total

    def log_elevation(self, elevation: FloatArray, sigma: FloatArray) -> FloatArray:
        """Return (M,) the log density of clutter over elevation; 0 where it is unknown."""
        n, s, ss = self.elevation
        mean = s / n
        variance = max(ss / n - mean * mean, 1e-6) + sigma**2
        density = np.exp(-0.5 * (elevation - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)
        log_density: FloatArray = np.log((1.0 - ANY_ELEVATION) * density + ANY_ELEVATION)
        return np.where(np.isfinite(elevation), log_density, 0.0)

    def log_density(self, slant: FloatArray, bearing: FloatArray, width: float) -> FloatArray:
        """Return (M,) the log density over metres and radians, of a sector of ``width``."""
        total: FloatArray = np.log(self.around(slant, bearing)) - math.log(self.extent * width)
        return total
