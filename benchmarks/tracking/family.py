# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Random skies, drawn from a broad family, so that no setting is tuned to the named ones.

A draw varies how many objects there are, how they fly, are born and die, and what the sensors are
like: rate, detection probability, clutter, errors, whether they claim their errors at all, whether
a radar numbers its plots (and loses the number), how late detections are, how the own-ship moves,
and which sensors there are. Parameter sets are compared by their paired differences:

    python benchmarks/tracking/family.py --draws 24 --out base.json
    python benchmarks/tracking/family.py --draws 24 --out other.json --params '{"gate": 12}' \
        --against base.json
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import oracle
import skies
import wild

from thebox_fusion.metrics import score_picture
from thebox_fusion.tracker import parameters_from_mapping

MOST_DETECTIONS = 9000


def draw(seed: int) -> tuple[skies.Sky, dict[str, Any]]:
    """Return a sky, and what is changed in its recording after: keys, sigmas left out."""
    rng = np.random.default_rng([4711, seed])
    crossing = rng.random() < 0.25
    objects = round(math.exp(rng.uniform(math.log(2.0), math.log(100.0))))
    if crossing:
        objects = 2 * max(min(objects, 20) // 2, 1)
    with_radar = rng.random() < 0.92
    revisit = float(rng.choice([0.1, 0.25, 0.5, 1.0, 1.0, 2.0]))
    clutter = math.exp(rng.uniform(math.log(0.5), math.log(60.0)))
    chance = float(rng.uniform(0.5, 0.98))
    seconds = int(np.clip(MOST_DETECTIONS * revisit / (objects * chance + clutter), 40, 120))
    with_radar_keys = with_radar and rng.random() < 0.25
    own = str(rng.choice(["still", "straight", "circle", "dogleg"]))
    radar = skies.Radar(
        revisit=revisit,
        detection_probability=chance,
        range_sigma=float(rng.uniform(3.0, 30.0)),
        bearing_sigma=math.radians(float(rng.uniform(0.2, 2.0))),
        clutter=clutter,
        max_range=float(rng.uniform(2500.0, 7000.0)),
        rotating=bool(rng.random() < 0.4),
        lateness=float(rng.choice([0.0, 0.0, 0.3, 1.0])),
    )
    emitters = skies.Emitters(
        rate=float(rng.uniform(0.2, 1.0)),
        bearing_sigma=math.radians(float(rng.uniform(1.0, 12.0))),
        per_object=int(rng.integers(1, 3)),
        lateness=float(rng.choice([0.0, 0.0, 1.8])),
    )
    two = skies.TwoCandidates(rate=float(rng.uniform(0.1, 0.8)))
    camera = skies.Camera(
        rate=float(rng.uniform(0.3, 0.9)),
        bearing_sigma=math.radians(float(rng.uniform(0.2, 1.5))),
        clutter=float(rng.uniform(0.0, 1.0)),
        with_range=bool(rng.random() < 0.3),
    )
    low, high = rng.uniform(0.0, 10.0), rng.uniform(12.0, 30.0)
    sky = skies.Sky(
        f"draw{seed}",
        seconds,
        objects,
        speed=(float(low), float(high)),
        area=float(rng.uniform(900.0, 4500.0)),
        turning=float(rng.choice([0.0, 0.05, 0.15, 0.3])),
        turn_rate=float(rng.uniform(0.1, 0.5)),
        crossing=crossing,
        own=own,
        radar=radar if with_radar else None,
        emitters=emitters if rng.random() < 0.5 or not with_radar else None,
        two=two if rng.random() < 0.3 else None,
        camera=camera if rng.random() < 0.35 else None,
    )
    dropped = [
        name
        for name in ("bearing_sigma_rad", "range_sigma_m", "elevation_sigma_rad")
        if rng.random() < 0.2
    ]
    return sky, {"keys": with_radar_keys, "dropped": dropped}


def record(seed: int) -> skies.Recording:
    """Return the recording of a draw."""
    sky, changes = draw(seed)
    recording = skies.record(sky, seed)
    rng = np.random.default_rng([4712, seed])
    number: dict[int, int] = {}
    newest = 100
    for item, origin in zip(recording.detections, recording.origins, strict=True):
        for name in changes["dropped"]:
            item.pop(name, None)
        if not changes["keys"] or item["sensor"] != "dspnor":
            continue
        # A radar's number is lost now and then, and its false plots have numbers of their own.
        if origin not in number or origin < 0 or rng.random() < 0.01:
            newest += 1
            number[origin] = newest
        item["key"] = str(number[origin])
    return recording


def time_to_confirm(
    truth: dict[float, list[tuple[str, float, float]]],
    tracks: dict[float, list[tuple[str, float, float]]],
) -> float:
    """Return the mean time from an object's appearance to its first track within the cut-off.

    An object that never has one counts with its whole life.
    """
    appeared: dict[str, float] = {}
    waited: dict[str, float] = {}
    found: set[str] = set()
    for second in sorted(truth):
        places = np.array([row[1:3] for row in tracks.get(second, ())], float).reshape(-1, 2)
        for name, east, north in truth[second]:
            begin = appeared.setdefault(name, second)
            if name in found:
                continue
            waited[name] = second - begin + 1.0
            gap = np.hypot(places[:, 0] - east, places[:, 1] - north)
            if len(gap) and gap.min() < evaluate.CUTOFF:
                found.add(name)
                waited[name] = second - begin
    return float(np.mean(list(waited.values()))) if waited else 0.0


def run(
    seed: int, params: dict[str, Any], with_oracle: bool, wilder: bool = False
) -> dict[str, float]:
    """Return the scores of one draw."""
    recording = wild.record(seed) if wilder else record(seed)
    tracks, wall = evaluate.run_ours(recording, parameters_from_mapping(params), as_arrived=False)
    score = score_picture(recording.truth, tracks, evaluate.CUTOFF)
    result = {
        "gospa": score.gospa,
        "switches": float(score.switches),
        "false": score.false_seconds_per_minute,
        "completeness": score.completeness,
        "gospa50": score_picture(recording.truth, tracks, 50.0).gospa,
        "confirm": time_to_confirm(recording.truth, tracks),
        "rms": score.rms,
        "wall": wall,
        "detections": float(len(recording.detections)),
    }
    if with_oracle:
        picture = oracle.run(recording)
        best = score_picture(recording.truth, picture, evaluate.CUTOFF)
        result["oracle"] = best.gospa
        result["oracle_confirm"] = time_to_confirm(recording.truth, picture)
        result["oracle_rms"] = best.rms
        result["oracle_switches"] = float(best.switches)
    return result


def compare(before: dict[str, dict[str, float]], after: dict[str, dict[str, float]]) -> None:
    """Print paired differences."""
    both = [name for name in after if name in before]
    ratio = np.array(
        [math.log(max(after[n]["gospa"], 1.0) / max(before[n]["gospa"], 1.0)) for n in both]
    )
    error = ratio.std(ddof=1) / math.sqrt(len(ratio)) if len(ratio) > 1 else math.nan
    print(
        f"{len(both)} draws: GOSPA {100 * ratio.mean():+.2f} % +- {100 * error:.2f},"
        f" better in {int((ratio < -0.002).sum())}, worse in {int((ratio > 0.002).sum())},"
        f" worst {100 * ratio.max():+.1f} % ({both[int(ratio.argmax())]}),"
        f" best {100 * ratio.min():+.1f} % ({both[int(ratio.argmin())]})"
    )
    for name in ("gospa50", "switches", "false", "completeness", "confirm", "rms", "wall"):
        a = np.array([before[n][name] for n in both])
        b = np.array([after[n][name] for n in both])
        print(f"   {name}: {a.mean():.3f} -> {b.mean():.3f}, worst {float((b - a).max()):+.2f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=24)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--params", default="{}")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--oracle", action="store_true")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--wild", action="store_true", help="draw from `wild` instead")
    options = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    params = json.loads(options.params)
    start = time.perf_counter()
    for seed in range(options.first, options.first + options.draws):
        results[f"draw{seed}"] = score = run(seed, params, options.oracle, options.wild)
        if options.show and options.wild:
            print(seed, {k: round(v, 2) for k, v in score.items()}, wild.draw(seed), flush=True)
        elif options.show:
            sky, changes = draw(seed)
            print(seed, {k: round(v, 2) for k, v in score.items()}, flush=True)
            print("   ", {k: v for k, v in asdict(sky).items() if v is not None}, changes)
    options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(f"{len(results)} draws in {time.perf_counter() - start:.0f} s")
    if options.against is not None:
        compare(json.loads(options.against.read_text("utf-8")), results)


if __name__ == "__main__":
    main()
