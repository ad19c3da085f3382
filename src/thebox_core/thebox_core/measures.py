# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What a node counts about itself, without ROS: counters by reason, rates, latencies."""

from __future__ import annotations

import bisect
import math
import threading
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["LATENCY_BUCKETS", "Latency", "Rate", "Tally"]

#: Upper bounds in seconds of the latency histogram that ``/metrics`` serves (the last is +Inf).
LATENCY_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Tally:
    """Counts by name, safe to use from several threads."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, count: int = 1) -> None:
        """Add ``count`` to ``name``."""
        with self._lock:
            self._counts[name] += count

    def __getitem__(self, name: str) -> int:
        with self._lock:
            return self._counts[name]

    def total(self) -> int:
        """Sum over all names."""
        with self._lock:
            return sum(self._counts.values())

    def items(self) -> list[tuple[str, int]]:
        """(name, count), sorted by name."""
        with self._lock:
            return sorted(self._counts.items())


@dataclass
class Rate:
    """Events a second over a sliding window; times come from the caller, in seconds.

    One thread may add while another asks, as a driver's worker and its health do. A clock that
    jumps backwards (a replay that starts again) empties the window.
    """

    window: float = 5.0
    last: float = float("nan")
    count: int = 0
    _seconds: deque[tuple[float, int]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    #: Events closer than this are kept as one entry, so that a flood costs no memory.
    _GRAIN = 0.1

    def add(self, now: float, count: int = 1) -> None:
        """Record ``count`` events at ``now``."""
        with self._lock:
            if now < self.last:
                self._seconds.clear()
            if self._seconds and now - self._seconds[-1][0] < self._GRAIN:
                start, so_far = self._seconds[-1]
                self._seconds[-1] = (start, so_far + count)
            else:
                self._seconds.append((now, count))
            self.count += count
            self.last = now
            self._forget(now)

    def per_second(self, now: float) -> float:
        """Events a second over the window that ends at ``now``."""
        with self._lock:
            self._forget(now)
            return sum(count for _, count in self._seconds) / self.window

    def age(self, now: float) -> float:
        """Seconds since the last event; NaN before the first."""
        return now - self.last

    def _forget(self, now: float) -> None:
        while self._seconds and now - self._seconds[0][0] > self.window:
            self._seconds.popleft()


class Latency:
    """Latencies in seconds: percentiles of the newest, and a histogram since the start."""

    def __init__(self, keep: int = 1024) -> None:
        self._ring: NDArray[np.float64] = np.full(keep, np.nan)
        self._next = 0
        self._lock = threading.Lock()
        self.count = 0
        self.total = 0.0
        self.buckets = [0] * (len(LATENCY_BUCKETS) + 1)

    def add(self, seconds: float) -> None:
        """Record one latency; a negative one (clocks apart) counts as zero, NaN not at all."""
        if math.isnan(seconds):
            return
        seconds = max(seconds, 0.0)
        with self._lock:
            self._ring[self._next] = seconds
            self._next = (self._next + 1) % len(self._ring)
            self.count += 1
            self.total += seconds
            self.buckets[bisect.bisect_left(LATENCY_BUCKETS, seconds)] += 1

    def percentiles(self, *which: float) -> list[float]:
        """Percentiles (0 to 100) of the newest latencies; NaN before the first."""
        with self._lock:
            kept = self._ring[~np.isnan(self._ring)]
        if not kept.size:
            return [float("nan")] * len(which)
        return [float(value) for value in np.percentile(kept, which)]
