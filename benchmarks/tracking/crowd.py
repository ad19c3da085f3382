# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Emitters that a direction finder hears without identity: how many are found, what is too many.

    python benchmarks/tracking/crowd.py [--seeds 3]

Emitters all round at 2.5 km, each at 8 m/s in a direction of its own, heard at random times by one
sensor that gives a bearing, or two candidates of which one is true; and stray bearings from
anywhere. No radar. Every 15 seconds from 30 s to 90 s each emitter is found when a confirmed track,
which no other has found, lies within 2.5 standard deviations of its bearing; confirmed tracks that
found none are too many.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

import numpy as np

from thebox_fusion.tracker import Detection, Tracker, TrackState

SECONDS = 90
DISTANCE, SPEED = 2500.0, 8.0
NEAR = 2.5


@dataclass(frozen=True)
class Crowd:
    """What there is to hear: emitters, their rate (1/s), bearing error (degrees), strays (1/s)."""

    emitters: int
    rate: float
    sigma: float
    strays: float = 0.3
    candidates: int = 1


CROWDS = {
    "few": [Crowd(n, *kind) for n in (2, 4, 8) for kind in ((1.0, 2.0), (0.5, 4.0))],
    "crowd": [Crowd(12, 1.0, 2.0), Crowd(12, 0.5, 4.0), Crowd(20, 1.0, 2.0)],
    "two candidates": [
        Crowd(n, *kind, candidates=2) for n in (2, 4, 8) for kind in ((1.0, 2.0), (0.5, 4.0))
    ],
    "strays": [Crowd(2, 1.0, 2.0, strays) for strays in (1.0, 3.0, 10.0)],
}


def bearing_of(place: np.ndarray) -> float:
    return math.atan2(float(place[0]), float(place[1]))


def score(crowd: Crowd, seed: int) -> tuple[int, int, int]:
    """Return how many emitters there were to find, were found, and tracks too many."""
    rng = np.random.default_rng(seed)
    sigma = math.radians(crowd.sigma)
    first = np.arange(crowd.emitters) * 2.0 * math.pi / crowd.emitters
    first += rng.normal(0.0, 0.05, crowd.emitters)
    place = DISTANCE * np.stack([np.sin(first), np.cos(first)], axis=1)
    course = rng.uniform(0.0, 2.0 * math.pi, crowd.emitters)
    velocity = SPEED * np.stack([np.sin(course), np.cos(course)], axis=1)
    detections = []

    def hear(at: float, bearing: float, other: float) -> None:
        detections.append(
            Detection(
                "silvus",
                "RF",
                at,
                bearing=bearing % (2.0 * math.pi),
                bearing_sigma=sigma,
                alternative_bearing=other % (2.0 * math.pi),
            )
        )

    for number in range(crowd.emitters):
        for at in rng.uniform(0.0, SECONDS, rng.poisson(crowd.rate * SECONDS)).tolist():
            bearing = bearing_of(place[number] + velocity[number] * at) + rng.normal(0.0, sigma)
            pair = [bearing, -bearing if crowd.candidates == 2 else math.nan]
            hear(at, *(pair[::-1] if crowd.candidates == 2 and rng.random() < 0.5 else pair))
    for at in rng.uniform(0.0, SECONDS, rng.poisson(crowd.strays * SECONDS)).tolist():
        hear(at, rng.uniform(0.0, 2.0 * math.pi), math.nan)
    detections.sort(key=lambda d: d.time)
    tracker = Tracker()
    there = found = many = begin = 0
    for second in range(1, SECONDS + 1):
        end = begin
        while end < len(detections) and detections[end].time <= second:
            end += 1
        tracker.add(detections[begin:end])
        tracker.advance(float(second))
        begin = end
        if second < 30 or second % 15:
            continue
        left = [v.bearing for v in tracker.tracks() if v.state is not TrackState.TENTATIVE]
        there += crowd.emitters
        many += len(left)
        for number in range(crowd.emitters):
            true = bearing_of(place[number] + velocity[number] * second)
            gap = [abs(math.remainder(bearing - true, 2.0 * math.pi)) for bearing in left]
            if gap and min(gap) < NEAR * sigma:
                del left[gap.index(min(gap))]
                found += 1
                many -= 1
    return there, found, many


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for name, crowds in CROWDS.items():
        scores = [score(c, seed) for c in crowds for seed in range(1, options.seeds + 1)]
        there, found, many = (sum(column) for column in zip(*scores, strict=True))
        print(
            f"{name:15s} {100.0 * found / there:5.1f} % of the emitters found, "
            f"{many / there:.2f} tracks too many for each",
            flush=True,
        )


if __name__ == "__main__":
    main()
