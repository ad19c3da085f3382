# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Between pixels and directions: the camera's view, and where it pointed when.

A pinhole whose horizon is level (a stabilised gimbal). Bearings from true north, clockwise,
[0, 2*pi); elevation up; radians; pixels from the top left.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, replace

__all__ = ["GimbalHistory", "Pointing", "View", "separation", "wrap"]

TWO_PI = 2.0 * math.pi


def wrap(angle: float) -> float:
    """The angle in [-pi, pi]."""
    return math.remainder(angle, TWO_PI)


def separation(bearing: float, elevation: float, other: float, other_elevation: float) -> float:
    """Angle between two directions (haversine: exact for small ones)."""
    half = math.sin((elevation - other_elevation) / 2.0) ** 2
    half += math.cos(elevation) * math.cos(other_elevation) * math.sin((bearing - other) / 2.0) ** 2
    return 2.0 * math.asin(min(math.sqrt(half), 1.0))


@dataclass(frozen=True)
class Pointing:
    """Where the camera pointed at a time, its horizontal field of view, and how it turned.

    Rates are those of the line of sight: a gimbal that turns against its ship's turn stands still.
    """

    time: float
    bearing: float
    elevation: float
    field_of_view: float
    slewing: bool = False
    bearing_rate: float = 0.0
    elevation_rate: float = 0.0

    @property
    def rate(self) -> float:
        """How fast the line of sight turns, rad/s."""
        return self.rate_against(0.0, 0.0)

    def rate_against(self, bearing_rate: float, elevation_rate: float) -> float:
        """How fast something that moves at these rates goes through the picture, rad/s."""
        across = (self.bearing_rate - bearing_rate) * math.cos(self.elevation)
        return math.hypot(across, self.elevation_rate - elevation_rate)


@dataclass(frozen=True)
class View:
    """A picture of a size, taken with a pointing."""

    pointing: Pointing
    width: int
    height: int

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return self.width / 2.0 / math.tan(self.pointing.field_of_view / 2.0)

    @property
    def vertical(self) -> float:
        """Vertical field of view."""
        return 2.0 * math.atan(self.height / 2.0 / self.focal)

    def direction(self, x: float, y: float) -> tuple[float, float]:
        """Bearing and elevation of a pixel."""
        right = (x - self.width / 2.0) / self.focal
        up = (self.height / 2.0 - y) / self.focal
        cos_e, sin_e = math.cos(self.pointing.elevation), math.sin(self.pointing.elevation)
        ahead, high = cos_e - sin_e * up, sin_e + cos_e * up
        bearing = (self.pointing.bearing + math.atan2(right, ahead)) % TWO_PI
        return bearing, math.atan2(high, math.hypot(right, ahead))

    def pixel(self, bearing: float, elevation: float) -> tuple[float, float] | None:
        """Pixel of a direction, also outside of the picture; None: behind the camera."""
        azimuth = wrap(bearing - self.pointing.bearing)
        ahead = math.cos(elevation) * math.cos(azimuth)
        right = math.cos(elevation) * math.sin(azimuth)
        up = math.sin(elevation)
        cos_e, sin_e = math.cos(self.pointing.elevation), math.sin(self.pointing.elevation)
        forward = cos_e * ahead + sin_e * up
        if forward <= 0.02:
            return None
        x = self.width / 2.0 + self.focal * right / forward
        return x, self.height / 2.0 - self.focal * (cos_e * up - sin_e * ahead) / forward

    def holds(self, x: float, y: float, margin: float = 0.0) -> bool:
        """Whether a pixel is in the picture, ``margin`` pixels from its edge."""
        return margin <= x <= self.width - margin and margin <= y <= self.height - margin


class GimbalHistory:
    """The last seconds of pointings; the one at a picture's time is interpolated.

    Args:
        reach: how far beyond the newest (or before the oldest) one serves, seconds.
        length: how long pointings are kept, seconds.
    """

    def __init__(self, reach: float = 0.3, length: float = 5.0) -> None:
        self.reach, self.length = reach, length
        self._times: list[float] = []
        self._pointings: list[Pointing] = []

    def add(self, pointing: Pointing) -> None:
        """Keep a pointing; one with an unknown angle or field of view is not kept."""
        told = (pointing.time, pointing.bearing, pointing.elevation, pointing.field_of_view)
        if not all(map(math.isfinite, told)) or not 0.0 < pointing.field_of_view < math.pi:
            return
        if self._times and pointing.time < self._times[-1] - self.length:
            self._times.clear()  # The clock jumped back.
            self._pointings.clear()
        at = bisect.bisect(self._times, pointing.time)
        self._times.insert(at, pointing.time)
        self._pointings.insert(at, pointing)
        old = bisect.bisect_left(self._times, self._times[-1] - self.length)
        del self._times[:old], self._pointings[:old]

    @property
    def newest(self) -> Pointing | None:
        """The last pointing heard."""
        return self._pointings[-1] if self._pointings else None

    def at(self, time: float) -> Pointing | None:
        """The pointing at a time; None: not known."""
        if not self._times:
            return None
        after = bisect.bisect_left(self._times, time)
        if after == 0 or after == len(self._times):
            return self._beyond(0 if after == 0 else -1, time)
        one, two = self._pointings[after - 1], self._pointings[after]
        share = (time - one.time) / (two.time - one.time) if two.time > one.time else 1.0
        turn, climb = _rates(one, two)
        return Pointing(
            time,
            (one.bearing + share * wrap(two.bearing - one.bearing)) % TWO_PI,
            one.elevation + share * (two.elevation - one.elevation),
            # The field of view is read rarely and changes in steps: halfway tells nothing.
            one.field_of_view if share < 0.5 else two.field_of_view,
            one.slewing or two.slewing,
            turn,
            climb,
        )

    def _beyond(self, edge: int, time: float) -> Pointing | None:
        """Carry the first (0) or the last (-1) pointing on to a time beyond it."""
        nearest = self._pointings[edge]
        passed = time - nearest.time
        if abs(passed) > self.reach:
            return None
        turn, climb = nearest.bearing_rate, nearest.elevation_rate
        if len(self._pointings) > 1:
            # What the gimbal tells is against its ship; the pointings are against the world.
            turn, climb = _rates(*(self._pointings[:2] if edge == 0 else self._pointings[-2:]))
        return replace(
            nearest,
            time=time,
            bearing=(nearest.bearing + turn * passed) % TWO_PI,
            elevation=nearest.elevation + climb * passed,
            bearing_rate=turn,
            elevation_rate=climb,
        )


def _rates(one: Pointing, two: Pointing) -> tuple[float, float]:
    """Rates of bearing and elevation between two pointings; 0 where they are of one time."""
    span = two.time - one.time
    if span <= 0.0:
        return 0.0, 0.0
    return wrap(two.bearing - one.bearing) / span, (two.elevation - one.elevation) / span
