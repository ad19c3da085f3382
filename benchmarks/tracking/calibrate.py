# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether the tracker's claims are honest: existence, position, and range without a radar.

python benchmarks/tracking/calibrate.py --out calibration.json [--seeds 4] [--family 30]
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import family
import numpy as np
import skies

from thebox_fusion.metrics import nees, nees_bounds, reliability
from thebox_fusion.offline import detection_of_record, pictures

EDGES = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0])
SKIES = ("few", "crossing", "low_pd", "manoeuvre", "clutter", "many50", "all_sensors", "flooded")


def named(seeds: int) -> Iterator[skies.Recording]:
    for name in SKIES:
        for seed in range(11, 11 + seeds):
            yield skies.record(skies.skies()[name], seed)


def drawn(draws: int) -> Iterator[skies.Recording]:
    for seed in range(101, 101 + draws):
        # Where errors are not claimed at all no claim of ours rests on them.
        if not family.draw(seed)[1]["dropped"]:
            yield family.record(seed)


def existence_and_position(recordings: Iterable[skies.Recording]) -> dict[str, object]:
    claimed, real, firm = [], [], []
    error, covariance = [], []
    for recording in recordings:
        detections = [detection_of_record(record) for record in recording.detections]
        for second, tracker in pictures(detections):
            states = recording.states.get(second)
            if not states or not second % 2:
                continue
            truth = np.array(list(states.values()))
            for view in tracker.tracks(second):
                if not view.range_observed:
                    continue
                gap = truth[:, :2] - view.position[:2]
                distance = np.hypot(gap[:, 0], gap[:, 1])
                best = int(np.argmin(distance))
                reach = 3.5 * math.sqrt(float(np.trace(view.covariance[:2, :2]))) + 20.0
                claimed.append(view.existence)
                real.append(float(distance[best] < reach))
                firm.append(view.state > 1)
                if view.state > 1 and distance[best] < 150.0:
                    error.append(-gap[best])
                    covariance.append(view.covariance[:2, :2])
    mean, share, count = reliability(np.array(claimed), np.array(real), EDGES)
    confirmed = np.array(firm)
    _, share_firm, count_firm = reliability(
        np.array(claimed)[confirmed], np.array(real)[confirmed], EDGES
    )
    values = nees(np.array(error), np.array(covariance))
    return {
        "edges": EDGES.tolist(),
        "claimed": mean.tolist(),
        "real": share.tolist(),
        "count": count.tolist(),
        "real_of_confirmed": share_firm.tolist(),
        "count_of_confirmed": count_firm.tolist(),
        "nees_mean": float(values.mean()),
        "nees_median": float(np.median(values)),
        "nees_count": len(values),
        "nees_bounds": nees_bounds(len(values) // 20, 2),
        "inside_2_sigma": float((values < 5.99).mean()),
    }


def bearings_only(own: str, seeds: int) -> dict[str, object]:
    sky = replace(skies.skies()["beyond_radar"], own=own)
    ship = skies._own_ship(sky)
    score, observed, relative = [], [], []
    example: list[list[float]] = []
    for seed in range(11, 11 + seeds):
        recording = skies.record(sky, seed)
        owner = {
            str(record["key"]): origin
            for record, origin in zip(recording.detections, recording.origins, strict=True)
            if "key" in record
        }
        detections = [detection_of_record(record) for record in recording.detections]
        for second, tracker in pictures(detections):
            states = recording.states.get(second)
            if not states:
                continue
            place = np.append(ship[round(second / skies.STEP)], 0.0)
            for view in tracker.tracks(second):
                for key in view.keys:
                    origin = owner[key.split(":", 1)[1]]
                    truth = float(np.linalg.norm(states[str(origin)][:3] - place))
                    if seed == 12 and origin == 0:
                        example.append([second, truth, view.range, view.range_sigma])
                    if second >= 0.5 * sky.seconds:
                        score.append((view.range - truth) / view.range_sigma)
                        observed.append(view.range_observed)
                        relative.append(abs(view.range - truth) / truth)
    z, seen = np.array(score), np.array(observed)
    return {
        "observed_share": float(seen.mean()),
        "z_rms": float(np.sqrt((z**2).mean())),
        "inside_2_sigma": float((np.abs(z) < 2.0).mean()),
        "inside_2_sigma_observed": float((np.abs(z[seen]) < 2.0).mean()) if seen.any() else None,
        "relative_error_observed": float(np.median(np.array(relative)[seen]))
        if seen.any()
        else None,
        "example": example,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--family", type=int, default=0, help="random skies instead of the named")
    options = parser.parse_args()
    chosen = drawn(options.family) if options.family else named(options.seeds)
    result = {
        "existence": existence_and_position(chosen),
        "dogleg": bearings_only("dogleg", 2 * options.seeds),
        "straight": bearings_only("straight", options.seeds),
    }
    options.out.write_text(json.dumps(result, indent=1), encoding="utf-8")
    for name, entry in result.items():
        print(name, {k: v for k, v in entry.items() if k != "example"})


if __name__ == "__main__":
    main()
