# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Objects that meet: how many go on under each other's identity, with us and with Stone Soup.

    python benchmarks/tracking/swaps.py [--seeds 8]

Identity switches as the metric counts them hold every second in which the nearer track is the
other object's; of two objects 10 m apart that is noise, and over when they are apart. Here a pair
counts once, by who followed each object before they met and who does when they are apart again.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter

import compare
import evaluate
import numpy as np
import peer
import skies

from thebox_fusion.tracker import TrackerParameters

REACH = 60.0
"""Metres: no track farther from an object than this follows it."""
APART = 60.0
"""Metres between two objects that a radar of these errors tells apart."""
BEFORE, AFTER = (25.0, 12.0), 15.0
Picture = dict[float, list[tuple[str, float, float]]]


def follower(
    pictures: Picture, places: dict[float, np.ndarray], begin: float, end: float
) -> str | None:
    """Return the track that was nearest to an object for most of a time; None for none."""
    nearest: Counter[str] = Counter()
    for t, place in places.items():
        if begin <= t <= end:
            rows = [(math.dist(place, row[1:3]), row[0]) for row in pictures.get(t, [])]
            distance, track = min(rows, default=(math.inf, ""))
            if distance < REACH:
                nearest[track] += 1
    return nearest.most_common(1)[0][0] if nearest else None


def exchanged(pictures: Picture, recording: skies.Recording) -> tuple[int, int, int]:
    """Return pairs whose tracks changed places, that changed otherwise, and all that parted."""
    places: dict[str, dict[float, np.ndarray]] = {}
    for t, objects in recording.truth.items():
        for name, east, north in objects:
            places.setdefault(name, {})[t] = np.array([east, north])
    swapped = other = pairs = 0
    for pair in range(len(places) // 2):
        a, b = places[str(2 * pair)], places[str(2 * pair + 1)]
        times = sorted(a.keys() & b.keys())
        met = min(times, key=lambda t: math.dist(a[t], b[t]))
        parted = next((t for t in times if t > met and math.dist(a[t], b[t]) > APART), None)
        if parted is None:
            continue
        pairs += 1
        window = (met - BEFORE[0], met - BEFORE[1])
        before = [follower(pictures, place, *window) for place in (a, b)]
        after = [follower(pictures, place, parted, parted + AFTER) for place in (a, b)]
        swapped += before == after[::-1] and before != after
        other += before not in (after, after[::-1])
    return swapped, other, pairs


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=8)
    options = parser.parse_args()
    sky = skies.skies()["crossing"]
    radar = sky.radar or skies.Radar()
    tuning = compare.tune(sky, radar.clutter, radar.detection_probability)
    counts = {"ours": np.zeros(3, int), "Stone Soup": np.zeros(3, int)}
    for seed in range(1, options.seeds + 1):
        recording = skies.record(sky, seed)
        ours, _ = evaluate.run_ours(recording, TrackerParameters())
        theirs, _, _ = peer.run(recording, tuning)
        counts["ours"] += exchanged(ours, recording)
        counts["Stone Soup"] += exchanged(theirs, recording)
    for who, (swapped, other, pairs) in counts.items():
        print(f"{who:10s} of {pairs} pairs {swapped} went on exchanged, {other} under a new track")


if __name__ == "__main__":
    main()
