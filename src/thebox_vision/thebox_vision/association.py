# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""From frame to frame: which box is which, with the gimbal's motion taken out.

Boxes are matched as directions, not as pixels: while the camera turns, what stands still in the
sky keeps its direction. As in ByteTrack (Zhang et al., 2022), good boxes are matched first, then
the poor ones to what is left over, so that an object survives a few weak frames.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from thebox_vision.geometry import separation, wrap

__all__ = ["Associator", "Sight", "Trail"]


@dataclass(frozen=True)
class Sight:
    """A box as a direction: angles in radians, size as angles."""

    time: float
    bearing: float
    elevation: float
    width: float
    height: float
    label: str
    score: float
    #: Whether width and height are the object's own (`thebox_vision.detector.Box`).
    sized: bool = True


@dataclass
class Trail:
    """One object through the frames."""

    number: int
    last: Sight
    bearing_rate: float = 0.0
    elevation_rate: float = 0.0
    hits: int = 1
    missed: int = 0
    scores: Counter[str] = field(default_factory=Counter)

    def at(self, time: float) -> tuple[float, float]:
        """Predicted bearing and elevation."""
        ahead = time - self.last.time
        return (
            (self.last.bearing + self.bearing_rate * ahead) % (2.0 * math.pi),
            self.last.elevation + self.elevation_rate * ahead,
        )

    @property
    def label(self) -> str:
        """The class that most of the score went to."""
        return self.scores.most_common(1)[0][0] if self.scores else self.last.label


class Associator:
    """Holds the trails.

    Args:
        gate: how far from its prediction an object may turn up, in its own sizes.
        reach: the same as an angle a second: its unforeseen motion.
        high: boxes of this score begin trails; lesser ones only continue them.
        patience: a trail that nothing continues for this long is dropped, seconds.
    """

    def __init__(
        self, gate: float = 2.0, reach: float = 0.03, high: float = 0.4, patience: float = 1.5
    ) -> None:
        self.gate, self.reach, self.high, self.patience = gate, reach, high, patience
        self.trails: list[Trail] = []
        self._next = 1

    def update(self, time: float, sights: list[Sight]) -> list[Trail | None]:
        """Take one frame; returns for each sight its trail (None: too weak for one)."""
        out: list[Trail | None] = [None] * len(sights)
        free = list(self.trails)
        for good in (True, False):
            pairs = []
            for i, sight in enumerate(sights):
                if (sight.score >= self.high) is not good:
                    continue
                for trail in free:
                    bearing, elevation = trail.at(time)
                    apart = separation(bearing, elevation, sight.bearing, sight.elevation)
                    size = max(sight.width, sight.height, trail.last.width, trail.last.height)
                    limit = self.gate * size + self.reach * max(time - trail.last.time, 0.0)
                    if apart <= limit:
                        pairs.append((apart / limit, i, trail))
            for _, i, trail in sorted(pairs, key=lambda p: p[0]):
                if out[i] is None and trail in free:
                    out[i] = trail
                    free.remove(trail)
                    self._continue(trail, sights[i])
        for i, sight in enumerate(sights):
            if out[i] is None and sight.score >= self.high:
                trail = Trail(self._next, sight)
                trail.scores[sight.label] = sight.score  # type: ignore[assignment]
                self._next += 1
                self.trails.append(trail)
                out[i] = trail
        for trail in free:
            trail.missed += 1
        self.trails = [t for t in self.trails if 0.0 <= time - t.last.time <= self.patience]
        return out

    @staticmethod
    def _continue(trail: Trail, sight: Sight) -> None:
        ahead = sight.time - trail.last.time
        if ahead > 1e-3:
            # Smoothed: a box jitters by a good part of its size.
            gain = 0.3
            turn = wrap(sight.bearing - trail.last.bearing) / ahead
            climb = (sight.elevation - trail.last.elevation) / ahead
            trail.bearing_rate += gain * (turn - trail.bearing_rate)
            trail.elevation_rate += gain * (climb - trail.elevation_rate)
        trail.last = sight
        trail.hits += 1
        trail.missed = 0
        for name in trail.scores:
            trail.scores[name] *= 0.9  # type: ignore[assignment]
        trail.scores[sight.label] += sight.score  # type: ignore[assignment]
