# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the gimbal pointed when something was measured. No ROS in here."""

from __future__ import annotations

import math
import threading
from collections import deque

from thebox_sensors.protocol_base import wrap_angle

__all__ = ["PoseHistory"]


class PoseHistory:
    """Where the gimbal pointed, at any time of the last seconds.

    Args:
        keep: poses held.
        reach: a pose serves this long beyond the newest one, carried on at its rate, and a gap
            between two poses may be twice as long; else it is unknown. Seconds.
    """

    def __init__(self, keep: int = 200, reach: float = 0.25) -> None:
        self._poses: deque[tuple[float, float, float]] = deque(maxlen=keep)
        self.reach = reach
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget everything, as after a reconnection."""
        with self._lock:
            self._poses.clear()

    def add(self, stamp: float, azimuth: float, elevation: float) -> None:
        """Add a pose; one older than the newest (a clock set back) begins anew."""
        with self._lock:
            if self._poses and stamp < self._poses[-1][0]:
                self._poses.clear()
            self._poses.append((stamp, azimuth, elevation))

    def rates(self) -> tuple[float, float]:
        """Newest rates of azimuth and elevation, rad/s; NaN with fewer than two near poses."""
        with self._lock:
            return self._rates()

    def _rates(self) -> tuple[float, float]:
        if len(self._poses) < 2:
            return math.nan, math.nan
        newest = self._poses[-1]
        for before in reversed(self._poses):
            passed = newest[0] - before[0]
            if passed > 2.0 * self.reach:
                break
            if passed >= 0.02:
                turned = wrap_angle(newest[1] - before[1])
                return turned / passed, (newest[2] - before[2]) / passed
        return math.nan, math.nan

    def at(self, stamp: float) -> tuple[float, float]:
        """Azimuth and elevation at a time, radians; NaN where no pose is near enough."""
        with self._lock:
            if not self._poses or not math.isfinite(stamp):
                return math.nan, math.nan
            after = self._poses[-1]
            if stamp >= after[0]:
                if stamp - after[0] > self.reach:
                    return math.nan, math.nan
                rates = self._rates()
                on = stamp - after[0] if math.isfinite(rates[0]) else 0.0
                turn, rise = (on * rate if on else 0.0 for rate in rates)
                return wrap_angle(after[1] + turn), after[2] + rise
            for before in reversed(self._poses):
                if before[0] <= stamp:
                    passed = after[0] - before[0]
                    if passed > 2.0 * self.reach:
                        break
                    share = (stamp - before[0]) / passed
                    turned = wrap_angle(after[1] - before[1])
                    return (
                        wrap_angle(before[1] + share * turned),
                        before[2] + share * (after[2] - before[2]),
                    )
                after = before
            return math.nan, math.nan
