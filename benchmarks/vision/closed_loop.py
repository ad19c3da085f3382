# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The closed loop in simulation: radar track, cue, slew, zoom, look, verdict; seeded runs.

    python closed_loop.py [--runs 20] [--seconds 40] [--picture OUT.jpg]

Not in real time and without ROS, but with the very classes of the graph: the simulated camera's
gimbal and renderer, the shipped detector, association, verification and cueing. The radar's track
is the truth with a noise of its own (0.35 degrees, 12 m, no elevation), as a tracker would hold it.
Each run has one drone and one bird at other places, ranges, courses and lights of the sky.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from thebox_sim.sensors.trakka import MODE_CAGE, CameraPose, Gimbal, TrakkaSettings
from thebox_sim.video import Renderer
from thebox_sim.world import Visible
from thebox_vision.association import Associator, Sight
from thebox_vision.cueing import Cue, CueRules, CueTrack
from thebox_vision.detector import Detector, open_detector
from thebox_vision.geometry import Pointing, View
from thebox_vision.snapshots import drawn
from thebox_vision.verification import Candidate, Rules, Standing, Verifier

WIDTH, HEIGHT = 960, 540
NAMES = {0: "not looked", 1: "confirmed", 2: "refuted", 3: "inconclusive"}


def run(  # noqa: PLR0915, PLR0917 - one run, from top to bottom
    seed: int, detector: Detector, seconds: float, score: float, looks: int, pixels: float
) -> tuple[dict[str, Standing], list[float], np.ndarray]:
    rng = np.random.default_rng(seed)
    kinds = {"drone": ("drone", True, 0.35, 0.12), "bird": ("bird", False, 1.2, 0.25)}
    state = {}
    for name in kinds:
        bearing, distance = rng.uniform(0, 2 * math.pi), rng.uniform(150, 700)
        course, speed = rng.uniform(0, 2 * math.pi), rng.uniform(2, 12)
        place = np.array(
            [distance * math.sin(bearing), distance * math.cos(bearing), rng.uniform(25, 110)]
        )
        velocity = np.array([speed * math.sin(course), speed * math.cos(course), 0.0])
        state[name] = [place, velocity, rng.normal(0, math.radians(0.35)), rng.normal(0, 12.0)]
    gimbal = Gimbal(TrakkaSettings())
    gimbal.mode = MODE_CAGE
    field = math.radians(30.0)
    renderer = Renderer(
        WIDTH, HEIGHT, noise=float(rng.uniform(1.5, 5)), blur=float(rng.uniform(0.5, 1))
    )
    cue = Cue(CueRules(picture_width=WIDTH, pixels=pixels), WIDTH / HEIGHT)
    verifier, associator = (
        Verifier(Rules(score=score, looks=looks)),
        Associator(high=detector.threshold),
    )
    elevation: dict[str, tuple[float, float]] = {}
    step, now = 0.2, 0.0
    last = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    while now < seconds:
        now += step
        gimbal.advance(step)
        tracks, objects = [], []
        for name, (place, velocity, off, far) in state.items():
            place[:] = place + velocity * step
            east, north, _ = place
            distance = float(np.linalg.norm(place)) + far
            up, sigma = elevation.get(name, (math.nan, math.nan))
            tracks.append(
                CueTrack(
                    name,
                    (math.atan2(east, north) + off) % (2 * math.pi),
                    math.radians(0.4),
                    up,
                    sigma,
                    distance,
                    0.95,
                    True,
                )
            )
            kind, hovers, span, tall = kinds[name]
            objects.append(
                Visible(f"{name}-{seed}", kind, hovers, span, tall, tuple(place), tuple(velocity))
            )
        rates = gimbal.azimuth_rate, gimbal.elevation_rate
        at = Pointing(now, gimbal.azimuth % (2 * math.pi), gimbal.elevation, field, False, *rates)
        aim = cue.step(now, tracks, verifier.standings, at)
        if cue.abandoned:
            verifier.give_up(cue.abandoned, now, "no verdict in time")
        if aim is not None:
            gimbal.cage, field = [aim.bearing, aim.elevation], aim.field_of_view
        # As the node judges it (camera.exposure, camera.smear_max), by the sky: 5 ms, 8 pixels.
        if at.rate * 0.005 * View(at, WIDTH, HEIGHT).focal > 8.0:
            continue
        pose = CameraPose(at.bearing, at.elevation, at.field_of_view)
        image, _ = renderer.render(pose, (0.0, 0.0, 0.0), objects, now)
        view = View(at, WIDTH, HEIGHT)
        boxes = detector.detect(image)
        sights = []
        for box in boxes:
            bearing, high = view.direction(*box.centre)
            wide, tall = (s / view.focal for s in box.size)
            sights.append(Sight(now, bearing, high, wide, tall, box.label, box.score))
        trails = associator.update(now, sights)
        candidates = [
            Candidate(t.id, t.bearing, t.bearing_sigma, t.elevation, t.elevation_sigma, t.range)
            for t in tracks
        ]
        verifier.look(view, sights, trails, candidates)
        # What fusion makes of detections/vision: the track gains its elevation.
        for track in candidates:
            wide, tall = verifier.gate(track)
            expected = track.elevation if math.isfinite(track.elevation) else at.elevation
            for sight, trail in zip(sights, trails, strict=True):
                off = abs(math.remainder(sight.bearing - track.bearing, 2 * math.pi))
                if (
                    trail
                    and trail.hits > 1
                    and off < wide
                    and abs(sight.elevation - expected) < tall
                ):
                    elevation[track.id] = (sight.elevation, 0.004)
        if boxes:
            last = drawn(image, [(b, f"{b.label} {b.score:.2f}") for b in boxes])
    return verifier.standings, cue.cue_to_confirm, last


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--model", default="")
    parser.add_argument("--score", type=float, default=Rules().score)
    parser.add_argument("--looks", type=int, default=Rules().looks)
    parser.add_argument("--pixels", type=float, default=CueRules().pixels)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    detector = open_detector(args.model, threads=1)
    verdicts: dict[str, Counter[str]] = {"drone": Counter(), "bird": Counter()}
    times: list[float] = []
    pictures = []
    for seed in range(args.runs):
        standings, took, picture = run(
            seed, detector, args.seconds, args.score, args.looks, args.pixels
        )
        for name, tally in verdicts.items():
            standing = standings.get(name, Standing())
            tally[NAMES[standing.verdict]] += 1
        times += took
        pictures.append(cv2.resize(picture, None, fx=0.5, fy=0.5))
    out = {
        "runs": args.runs,
        "drones": dict(verdicts["drone"]),
        "birds": dict(verdicts["bird"]),
        "median cue-to-verdict, s": float(np.median(times)) if times else None,
        "verdicts by cue": len(times),
    }
    print(json.dumps(out, indent=1))
    if args.picture and len(pictures) >= 4:
        rows = [np.hstack(pictures[i : i + 2]) for i in (0, 2)]
        cv2.imwrite(str(args.picture), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
