# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Where to look next for an object whose direction is known only roughly.

A grid of directions about the track holds how likely the object is there, given where pictures have
already shown nothing (Koopman, Search and Screening, 1946; Stone, Theory of Optimal Search, 1975).
The next place is the one that gains the most for the time that turning there and looking takes.
Places are ticked off by pictures that were looked at, not by time: a slow machine searches more
slowly, and not with holes. The grid moves as the track moves, and not as its estimate jumps.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from thebox_vision.geometry import Pointing, View, wrap

__all__ = ["Prior", "Search"]

_FINDS = 0.65  # share of objects that one picture finds at the size at which they are searched for
_MEMORY = 12.0  # seconds: what was looked at so long ago may hold the object again
_LOOK = 0.35  # seconds that a picture at a new place takes, besides the way there
_RATE = math.radians(60.0)  # a gimbal's, rad/s ...
_ACCELERATION = math.radians(180.0)  # ... and rad/s^2
_EDGE = 0.9  # share of the picture in which an object would be seen whole
_FINE = 5  # cells across a picture
_MOST = 161  # cells along an axis


class Prior:
    """How likely an object is in a direction: normal in bearing, normal or even in elevation.

    Args:
        bearing: of the middle, radians.
        bearing_sigma: radians.
        elevation: of the middle; NaN: anything from `low` to `high` is as likely.
        elevation_sigma: radians; unused without an elevation.
        low, high: no object is below or above, radians.
        sigmas: beyond so many the search does not go.
    """

    def __init__(
        self,
        bearing: float,
        bearing_sigma: float,
        elevation: float,
        elevation_sigma: float,
        *,
        low: float,
        high: float,
        sigmas: float,
    ) -> None:
        self.bearing, self.bearing_sigma = bearing, bearing_sigma
        self.elevation, self.elevation_sigma = elevation, elevation_sigma
        self.low, self.high, self.sigmas = low, high, sigmas

    @property
    def rise(self) -> tuple[float, float]:
        """Lowest and highest elevation that is searched."""
        if not math.isfinite(self.elevation):
            return self.low, self.high
        reach = self.sigmas * self.elevation_sigma
        middle = min(max(self.elevation, self.low), self.high)
        return max(middle - reach, self.low), min(middle + reach, self.high)

    def across(self, offsets: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weights of bearings that are ``offsets`` from the middle."""
        weights: NDArray[np.float64] = np.exp(-0.5 * (offsets / self.bearing_sigma) ** 2)
        return weights

    def up(self, elevations: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weights of elevations."""
        low, high = self.rise
        inside = (elevations >= low - 1e-9) & (elevations <= high + 1e-9)
        if not math.isfinite(self.elevation):
            return inside.astype(np.float64)
        off = (elevations - self.elevation) / max(self.elevation_sigma, 1e-6)
        weights: NDArray[np.float64] = np.exp(-0.5 * np.minimum(off**2, 50.0)) * inside
        return weights


class Search:
    """The search for one track.

    Args:
        now: seconds.
        prior: of the track.
        across: field of view, radians; `up` the vertical one.
    """

    def __init__(self, now: float, prior: Prior, across: float, up: float) -> None:
        self.field, self.up = across, up
        self.middle = prior.bearing
        self._time = now
        wide = prior.sigmas * prior.bearing_sigma
        low, high = prior.rise
        self._x = _cells(-1.5 * wide, 1.5 * wide, across / _FINE)
        # The track's elevation may yet change: the grid has room for it.
        room = 0.0 if not math.isfinite(prior.elevation) else 0.5 * (high - low)
        self._y = _cells(max(low - room, prior.low), min(high + room, prior.high), up / _FINE)
        self._missed = np.zeros((len(self._y), len(self._x)))
        self._aim: tuple[float, float] | None = None
        self.looks = 0

    def fits(self, prior: Prior, across: float) -> bool:
        """Whether the grid still serves: the same zoom, and the track has not left it."""
        off = abs(wrap(prior.bearing - self.middle))
        low, high = prior.rise
        middle = 0.5 * (low + high)
        return (
            0.8 < across / self.field < 1.25
            and off <= float(self._x[-1]) + 0.5 * self.field
            and float(self._y[0]) - self.up <= middle <= float(self._y[-1]) + self.up
        )

    def carry(self, now: float, bearing_rate: float) -> None:
        """Move the grid on with the track, and let what was looked at long ago come back."""
        passed = max(now - self._time, 0.0)
        self._time = now
        moved = bearing_rate * passed
        self.middle = (self.middle + moved) % (2.0 * math.pi)
        if self._aim is not None:
            self._aim = ((self._aim[0] + moved) % (2.0 * math.pi), self._aim[1])
        self._missed *= math.exp(-passed / _MEMORY)

    def looked(self, view: View) -> None:
        """A picture was looked at, and nothing was found in it."""
        self.looks += 1
        point = view.pointing
        off = wrap(point.bearing - self.middle)
        half_up = 0.5 * _EDGE * view.vertical
        half = 0.5 * _EDGE * point.field_of_view / max(math.cos(point.elevation), 0.1)
        seen_x = np.abs(self._x - off) <= half
        seen_y = np.abs(self._y - point.elevation) <= half_up
        self._missed[np.ix_(seen_y, seen_x)] += math.log(1.0 - _FINDS)
        if self._aim is not None:
            # Wider than the cue's dead zone, within which the camera is not moved.
            aside = abs(wrap(self._aim[0] - point.bearing)) <= 0.8 * half
            if aside and abs(self._aim[1] - point.elevation) <= 0.8 * half_up:
                self._aim = None

    def next(self, prior: Prior, pointing: Pointing) -> tuple[float, float]:
        """Bearing and elevation to look at: the last place until a picture has shown it."""
        if self._aim is None:
            self._aim = self._best(prior, pointing)
        return self._aim

    def left(self, prior: Prior) -> float:
        """How likely an object that is there has not been found by the pictures so far."""
        weight = self._weight(prior)
        total = float(weight.sum())
        return float((weight * np.exp(self._missed)).sum()) / total if total > 0.0 else 1.0

    def _weight(self, prior: Prior) -> NDArray[np.float64]:
        offset = wrap(prior.bearing - self.middle)
        weight: NDArray[np.float64] = prior.up(self._y)[:, None] * prior.across(self._x - offset)
        return weight

    def _best(self, prior: Prior, pointing: Pointing) -> tuple[float, float]:
        weight = self._weight(prior) * np.exp(self._missed)
        total = float(weight.sum())
        if total <= 0.0:
            low, high = prior.rise
            return prior.bearing, 0.5 * (low + high)
        wide = max(round(_EDGE * self.field / _step(self._x)), 1) if len(self._x) > 1 else 1
        tall = max(round(_EDGE * self.up / _step(self._y)), 1) if len(self._y) > 1 else 1
        weight = weight / total
        gained = _windows(weight, tall, wide)
        level = np.cos(self._y)[:, None]
        aside = level * (self._x[None, :] - wrap(pointing.bearing - self.middle))
        away = np.hypot(aside, self._y[:, None] - pointing.elevation)
        row, column = np.unravel_index(int(np.argmax(gained / (_LOOK + _way(away)))), gained.shape)
        return (self.middle + float(self._x[column])) % (2.0 * math.pi), float(self._y[row])


def _cells(low: float, high: float, step: float) -> NDArray[np.float64]:
    # Odd: the middle has a cell.
    count = min(2 * math.ceil((high - low) / step / 2.0 - 1e-9) + 1, _MOST) if high > low else 1
    cells = np.linspace(low, high, count) if count > 1 else [0.5 * (low + high)]
    return np.asarray(cells, dtype=np.float64)


def _step(axis: NDArray[np.float64]) -> float:
    return float(axis[1] - axis[0])


def _way(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds that a gimbal takes to turn by an angle and stop."""
    reach = _RATE**2 / _ACCELERATION  # by which it has come to its full rate and back
    short: NDArray[np.float64] = 2.0 * np.sqrt(np.minimum(angle, reach) / _ACCELERATION)
    rest: NDArray[np.float64] = np.maximum(angle - reach, 0.0) / _RATE
    return short + rest


def _windows(weight: NDArray[np.float64], tall: int, wide: int) -> NDArray[np.float64]:
    """Sums of a window of so many cells about each cell, cut off at the edges."""
    total = np.zeros((weight.shape[0] + 1, weight.shape[1] + 1))
    total[1:, 1:] = weight.cumsum(axis=0).cumsum(axis=1)
    rows, columns = np.arange(weight.shape[0]), np.arange(weight.shape[1])
    top = np.maximum(rows - tall // 2, 0)
    bottom = np.minimum(rows - tall // 2 + tall, weight.shape[0])
    left = np.maximum(columns - wide // 2, 0)
    right = np.minimum(columns - wide // 2 + wide, weight.shape[1])
    summed: NDArray[np.float64] = (
        total[np.ix_(bottom, right)]
        - total[np.ix_(top, right)]
        - total[np.ix_(bottom, left)]
        + total[np.ix_(top, left)]
    )
    return summed
