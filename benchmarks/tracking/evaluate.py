# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Score the tracker, and beside it the oracle, over the benchmark's skies.

python benchmarks/tracking/evaluate.py [--seeds 3] [--sky NAME ...] [--params '{"gate": 12}']
"""

from __future__ import annotations

import argparse
import json
import time

import oracle
import simulated
import skies

from thebox_fusion.metrics import PictureScore, score_picture
from thebox_fusion.offline import detection_of_record, pictures
from thebox_fusion.tracker import TrackerParameters, parameters_from_mapping

CUTOFF = 100.0


def run_ours(
    recording: skies.Recording, parameters: TrackerParameters, *, as_arrived: bool = True
) -> tuple[dict[float, list[tuple[str, float, float]]], float]:
    """Return pictures by second, and seconds of processor time."""
    start = time.process_time()
    detections = [detection_of_record(record) for record in recording.detections]
    result: dict[float, list[tuple[str, float, float]]] = {}
    for second, tracker in pictures(detections, parameters, as_arrived=as_arrived):
        positions, _ = tracker.picture(second)
        result[second] = [(row[0], row[1], row[2]) for row in positions]
    return result, time.process_time() - start


def recording_of(name: str, seed: int) -> skies.Recording:
    """Return a sky of `skies`, or a scenario of thebox_sim as "sim:NAME"."""
    if name.startswith("sim:"):
        return simulated.record(name[4:], seed)
    return skies.record(skies.skies()[name], seed)


def line(name: str, score: PictureScore, speed: float) -> str:
    return (
        f"{name:24s} gospa {score.gospa:7.1f} ospa {score.ospa:6.1f} rms {score.rms:5.1f}"
        f" switches {score.switches:5.1f} false {score.false_seconds_per_minute:7.1f}/min"
        f" complete {score.completeness:5.3f} {speed:7.0f} x real time"
    )


def every_name() -> list[str]:
    return [*skies.skies(), *(f"sim:{name}" for name in simulated.SCENARIOS)]


def mean(scores: list[PictureScore]) -> PictureScore:
    count = len(scores)
    total = PictureScore()
    for name in ("gospa", "ospa", "switches", "completeness", "rms", "false_seconds", "seconds"):
        setattr(total, name, sum(getattr(score, name) for score in scores) / count)
    return total


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--sky", nargs="*", default=every_name())
    parser.add_argument("--params", default="{}")
    parser.add_argument("--no-oracle", action="store_true")
    options = parser.parse_args()
    parameters = parameters_from_mapping(json.loads(options.params))
    for name in options.sky:
        seconds_played = 0
        ours, best, wall = [], [], 0.0
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            recording = recording_of(name, seed)
            seconds_played += len(recording.truth)
            tracks, seconds = run_ours(recording, parameters)
            wall += seconds
            ours.append(score_picture(recording.truth, tracks, CUTOFF))
            if not options.no_oracle:
                best.append(score_picture(recording.truth, oracle.run(recording), CUTOFF))
        print(line(name, mean(ours), seconds_played / wall), flush=True)
        if best:
            print(line("   oracle", mean(best), 0.0), flush=True)


if __name__ == "__main__":
    main()
