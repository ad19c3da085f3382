# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark: the tracker, the oracle and Stone Soup on the same detections, in one run.

    python benchmarks/tracking/compare.py --out results.json [--seeds 2] [--sky NAME ...]

The peer is tuned for each sky on a recording of its own (seed 1001, its first 40 s): the best of
its grid by GOSPA. Then all run on recordings that none has seen.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import evaluate
import oracle
import peer
import skies

from thebox_fusion.metrics import PictureScore, score_picture
from thebox_fusion.tracker import TrackerParameters

TUNING_SEED = 1001
TUNING_SECONDS = 40
# Skies with many plots are tuned on less, or tuning would take longer than all the rest.
TUNING_DETECTIONS = 4000


def tune(sky: skies.Sky, clutter: float, chance: float) -> peer.Tuning:
    recording = skies.record(sky, TUNING_SEED)
    plots = sorted(float(d["t"]) for d in recording.detections if d["sensor"] == "dspnor")
    seconds = min(float(TUNING_SECONDS), plots[min(TUNING_DETECTIONS, len(plots)) - 1])
    recording = replace(
        recording, truth={t: rows for t, rows in recording.truth.items() if t <= seconds}
    )
    best, best_score = peer.Tuning(), float("inf")
    slow: set[str] = set()
    for tuning in peer.grid(clutter, chance):
        if tuning.associator in slow:
            continue
        pictures, wall, used = peer.run(recording, tuning, seconds)
        if used / wall < 60.0:
            slow.add(tuning.associator)
        score = score_picture(recording.truth, pictures, evaluate.CUTOFF).gospa
        if score < best_score:
            best, best_score = tuning, score
    return best


def row(score: PictureScore, speed: float) -> dict[str, float]:
    return {
        "gospa": score.gospa,
        "ospa": score.ospa,
        "rms": score.rms,
        "switches": score.switches,
        "false_per_minute": score.false_seconds_per_minute,
        "completeness": score.completeness,
        "detections_per_second": speed,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sky", nargs="*", default=list(skies.skies()))
    options = parser.parse_args()
    results: dict[str, object] = {}
    if options.out.exists():
        results = json.loads(options.out.read_text("utf-8"))
    for name in options.sky:
        sky = skies.skies()[name]
        start = time.perf_counter()
        radar = sky.radar or skies.Radar()
        tuning = tune(sky, radar.clutter, radar.detection_probability)
        scores: dict[str, list[PictureScore]] = {"ours": [], "peer": [], "oracle": []}
        wall = {"ours": 0.0, "peer": 0.0}
        count = {"ours": 0, "peer": 0}
        for seed in range(1, options.seeds + 1):
            recording = skies.record(sky, seed)
            tracks, seconds = evaluate.run_ours(recording, TrackerParameters())
            wall["ours"] += seconds
            count["ours"] += len(recording.detections)
            scores["ours"].append(score_picture(recording.truth, tracks, evaluate.CUTOFF))
            tracks, seconds, used = peer.run(recording, tuning)
            wall["peer"] += seconds
            count["peer"] += used
            scores["peer"].append(score_picture(recording.truth, tracks, evaluate.CUTOFF))
            scores["oracle"].append(
                score_picture(recording.truth, oracle.run(recording), evaluate.CUTOFF)
            )
        entry: dict[str, object] = {
            who: row(evaluate.mean(all_scores), count.get(who, 0) / wall.get(who, 1.0))
            for who, all_scores in scores.items()
        }
        entry["tuning"] = asdict(tuning)
        results[name] = entry
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")
        for who, all_scores in scores.items():
            speed = count.get(who, 0) / wall.get(who, 1.0)
            print(evaluate.line(f"{name} {who}", evaluate.mean(all_scores), 0.0), round(speed))
        print(f"   {tuning}, {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
