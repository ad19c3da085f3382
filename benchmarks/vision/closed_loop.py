# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The closed loop in simulation: radar track, cue, slew, zoom, look, verdict; seeded runs.

    python closed_loop.py [--runs 20] [--seconds 40] [--jitter 0.05] [--picture OUT.jpg]

Not in real time and without ROS, but with the very classes of the graph: compass, own-ship state,
the driver's controller and the simulated camera's gimbal (pointing_chain.py), its renderer, the
shipped detector, association, verification and cueing. The radar's track is the truth with a noise
of its own (0.35 degrees, 12 m, no elevation), as a tracker would hold it. A picture is looked at
five times a second, and what was seen is known a tenth of a second later. Each run has one drone
and one bird at other places, ranges, courses and lights of the sky, and is over when both have been
judged.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pointing_chain import STEP, Chain

from thebox_sim.sensors.trakka import CameraPose
from thebox_sim.video import Renderer
from thebox_sim.world import Visible
from thebox_vision.association import Associator, Sight, Trail
from thebox_vision.cueing import Cue, CueRules, CueTrack
from thebox_vision.detector import Detector, open_detector
from thebox_vision.geometry import GimbalHistory, View
from thebox_vision.snapshots import drawn
from thebox_vision.verification import Candidate, Rules, Standing, Verdict, Verifier

WIDTH, HEIGHT = 960, 540
NAMES = {0: "not looked", 1: "confirmed", 2: "refuted", 3: "inconclusive"}


def run(  # noqa: PLR0912, PLR0915 - one run, from top to bottom
    seed: int, detector: Detector, args: argparse.Namespace, looked: Counter[str]
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
    renderer = Renderer(
        WIDTH, HEIGHT, noise=float(rng.uniform(1.5, 5)), blur=float(rng.uniform(0.5, 1))
    )
    chain = Chain(
        np.random.default_rng(1000 + seed),
        math.radians(args.wander),
        math.radians(args.jitter),
        args.smoothing,
        math.radians(args.swell),
    )
    history = GimbalHistory()
    cue = Cue(CueRules(picture_width=WIDTH, pixels=args.pixels), WIDTH / HEIGHT)
    verifier, associator = (
        Verifier(Rules(score=args.score, looks=args.looks)),
        Associator(high=detector.threshold),
    )
    elevation: dict[str, tuple[float, float]] = {}
    tracks: list[CueTrack] = []
    step, now = 0.2, 0.0
    last = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    waiting: list[tuple[float, CameraPose, list[Visible], list[CueTrack]]] = []
    while now < args.seconds and not judged(verifier.standings, kinds):
        for _ in range(round(step / STEP)):
            pointing = chain.advance()
            if pointing is not None:
                history.add(pointing)
        now = chain.time
        tracks, objects = [], []
        for name, (place, velocity, off, far) in state.items():
            place[:] = place + velocity * step
            track = as_track(name, place, off, far, elevation, rates(state, name)[0])
            tracks.append(track)
            kind, hovers, span, tall = kinds[name]
            objects.append(
                Visible(f"{name}-{seed}", kind, hovers, span, tall, tuple(place), tuple(velocity))
            )
        aim = cue.step(now, tracks, verifier.standings, history.newest)
        if cue.abandoned:
            verifier.give_up(cue.abandoned, now, "no verdict in time")
        if aim is not None:
            chain.look_at(aim.bearing, aim.elevation, max(0.05 * aim.field_of_view, 0.0005))
            if not 0.8 < chain.field / aim.field_of_view < 1.25:
                chain.zoom(aim.field_of_view)
        # The picture of one step ago has been looked at by now.
        waiting.append((now, chain.pose(), objects, tracks))
        if len(waiting) < 2:
            continue
        taken, pose, objects, then = waiting.pop(0)
        at = history.at(taken)
        if at is None:
            continue
        looked["pictures"] += 1
        # As the node judges it (camera.exposure, camera.smear_max): 5 ms, 8 pixels.
        speed = rates(state, cue.target)
        if at.rate_against(*speed) * 0.005 * View(at, WIDTH, HEIGHT).focal > 8.0:
            looked["turning"] += 1
            continue
        image, _ = renderer.render(pose, (0.0, 0.0, 0.0), objects, taken)
        view = View(at, WIDTH, HEIGHT)
        boxes = detector.detect(image)
        sights = []
        for box in boxes:
            bearing, high = view.direction(*box.centre)
            wide, tall = (s / view.focal for s in box.size)
            sights.append(Sight(taken, bearing, high, wide, tall, box.label, box.score))
        trails = associator.update(taken, sights)
        candidates = [t.candidate for t in then]
        verifier.look(view, sights, trails, candidates, cue.target)
        cue.looked(view, verifier.standings)
        for track in candidates:
            known = learnt(track, verifier.gate(track), at.elevation, sights, trails)
            if known is not None:
                elevation[track.id] = known
        if boxes:
            last = drawn(image, [(b, f"{b.label} {b.score:.2f}") for b in boxes])
    # The cue has yet to hear of the verdict that ended the run.
    cue.step(now, tracks, verifier.standings, history.newest)
    return verifier.standings, cue.cue_to_confirm, last


def judged(standings: dict[str, Standing], names: Iterable[str]) -> bool:
    """Whether all have been confirmed or refuted: the run is over then."""
    verdicts = (Verdict.CONFIRMED, Verdict.REFUTED)
    return all(name in standings and standings[name].verdict in verdicts for name in names)


def learnt(
    track: Candidate,
    gate: tuple[float, float],
    looked_at: float,
    sights: list[Sight],
    trails: list[Trail | None],
) -> tuple[float, float] | None:
    """What fusion makes of detections/vision: the track gains its elevation."""
    expected = track.elevation if math.isfinite(track.elevation) else looked_at
    found = None
    for sight, trail in zip(sights, trails, strict=True):
        off = abs(math.remainder(sight.bearing - track.bearing, 2 * math.pi))
        near = off < gate[0] and abs(sight.elevation - expected) < gate[1]
        if trail is not None and trail.hits > 1 and near:
            found = (sight.elevation, 0.004)
    return found


def as_track(  # noqa: PLR0917 - the columns of a track
    name: str,
    place: np.ndarray,
    off: float,
    far: float,
    elevation: dict[str, tuple[float, float]],
    bearing_rate: float,
) -> CueTrack:
    """What a tracker would hold of the object."""
    up, sigma = elevation.get(name, (math.nan, math.nan))
    bearing = (math.atan2(place[0], place[1]) + off) % (2 * math.pi)
    distance = float(np.linalg.norm(place)) + far
    return CueTrack(
        name, bearing, math.radians(0.4), up, sigma, distance, 0.95, True, 0.0, bearing_rate
    )


def rates(state: dict[str, list[Any]], name: str) -> tuple[float, float]:
    """Rates of bearing and elevation of an object, from its place and velocity, rad/s."""
    if name not in state:
        return 0.0, 0.0
    (east, north, up), (v_east, v_north, _) = state[name][:2]
    level = math.hypot(east, north)
    outwards = (v_east * east + v_north * north) / level
    turn = (v_east * north - v_north * east) / level**2
    return turn, -outwards * up / (level**2 + up**2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="seed of the first run")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--model", default="")
    parser.add_argument("--score", type=float, default=Rules().score)
    parser.add_argument("--looks", type=int, default=Rules().looks)
    parser.add_argument("--pixels", type=float, default=CueRules().pixels)
    parser.add_argument("--wander", type=float, default=0.3, help="slow error, degrees")
    parser.add_argument("--jitter", type=float, default=0.05, help="of each heading, degrees")
    parser.add_argument("--smoothing", type=float, default=1.0, help="heading.smoothing, seconds")
    parser.add_argument("--swell", type=float, default=0.0, help="yaw of the own-ship, degrees")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    detector = open_detector(args.model, threads=1, single=True)
    verdicts: dict[str, Counter[str]] = {"drone": Counter(), "bird": Counter()}
    times: list[float] = []
    looked: Counter[str] = Counter()
    pictures = []
    for seed in range(args.first, args.first + args.runs):
        standings, took, picture = run(seed, detector, args, looked)
        for name, tally in verdicts.items():
            standing = standings.get(name, Standing())
            tally[NAMES[standing.verdict]] += 1
        times += took
        told = {n: NAMES[standings.get(n, Standing()).verdict] for n in verdicts}
        took_text = ", ".join(f"{t:.1f} s" for t in took)
        print(f"seed {seed}: {told}, from cue to verdict {took_text}", file=sys.stderr, flush=True)
        pictures.append(cv2.resize(picture, None, fx=0.5, fy=0.5))
    out = {
        "runs": args.runs,
        "drones": dict(verdicts["drone"]),
        "birds": dict(verdicts["bird"]),
        "median cue-to-verdict, s": float(np.median(times)) if times else None,
        "verdicts by cue": len(times),
        "pictures": looked["pictures"],
        "of them while turning": looked["turning"],
    }
    print(json.dumps(out, indent=1))
    if args.picture and len(pictures) >= 4:
        rows = [np.hstack(pictures[i : i + 2]) for i in (0, 2)]
        cv2.imwrite(str(args.picture), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
