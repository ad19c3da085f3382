# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""How late each sensor's detections come: what has not arrived yet is no miss."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque

_REMEMBERED = 128
_COMPLETE = 0.95


class Arrivals:
    """Running distribution of the lateness of each sensor's detections.

    Lateness is how much older a detection is than the newest one that came before it, whichever
    sensor that was from: it needs no clock. A sensor whose detections come in order has none.
    Lateness above ``most`` seconds is not believed.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self._newest = -math.inf
        self._late: list[deque[float]] = []
        self._sorted: list[list[float] | None] = []

    def note(self, sensor: int, time: float) -> None:
        """Take down that a detection of ``sensor`` measured at ``time`` (seconds) has come."""
        while len(self._late) <= sensor:
            self._late.append(deque(maxlen=_REMEMBERED))
            self._sorted.append([])
        self._newest = max(time, self._newest)
        late = self._newest - time
        if late > self._most:
            # It is used all the same, so it was the newest one whose stamp was wrong.
            self._newest = time
            return
        self._late[sensor].append(late)
        self._sorted[sensor] = None

    def _ordered(self, sensor: int) -> list[float]:
        ordered = self._sorted[sensor]
        if ordered is None:
            ordered = self._sorted[sensor] = sorted(self._late[sensor])
        return ordered

    def share(self, sensor: int, age: float) -> float:
        """Return the share of what ``sensor`` measured ``age`` seconds ago that has come by now."""
        ordered = self._ordered(sensor)
        if not ordered or ordered[-1] <= 0.0:
            return 1.0
        return (bisect_right(ordered, age + 1e-6) + 1.0) / (len(ordered) + 1.0)

    def complete_after(self, sensor: int) -> float:
        """Return the age in seconds at which nearly all of what ``sensor`` measured has come."""
        ordered = self._ordered(sensor)
        if not ordered or ordered[-1] <= 0.0:
            return 0.0
        return ordered[min(int(_COMPLETE * len(ordered)), len(ordered) - 1)]
