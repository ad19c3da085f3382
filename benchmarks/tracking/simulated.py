# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Skies of thebox_sim: its scenarios, its sensor models, and its truth, as recordings.

They differ from `skies`: a radar that tracks and numbers its tracks (and its false ones), birds and
boats, cameras with identities, DroneShield's repeats and whole-second stamps.
"""

from __future__ import annotations

import math

import numpy as np
from skies import Recording

from thebox_sim.offline import detection_line, play
from thebox_sim.scenario import load_scenario

SCENARIOS = (
    "harbour",
    "crossing",
    "swarm20",
    "low_slow_among_birds",
    "emitter_only",
    "moving_vessel",
    "silent",
)


def record(name: str, seed: int, seconds: float = 180.0) -> Recording:
    """Play a scenario; ``origins`` index the objects in the order of their appearance."""
    scenario = load_scenario(name)
    rows: list[tuple[float, dict[str, object], int]] = []
    number: dict[str, int] = {}
    truth: dict[float, list[tuple[str, float, float]]] = {}
    states: dict[float, dict[str, np.ndarray]] = {}
    start: tuple[float, float, float] | None = None
    due = 1.0
    for time, sent, world in play(scenario, seed, seconds):
        if start is None:
            start = world.own_ship.position
        for item in world.objects:
            number.setdefault(item.id, len(number))
        for measurement, received in sent:
            line: dict[str, object] = dict(detection_line(measurement, received, start))
            if math.isfinite(measurement.own_position[2]):
                line["own_up_m"] = round(measurement.own_position[2], 3)
            rows.append((received, line, number.get(measurement.truth_id, -1)))
        if time >= due - 1e-9:
            place = np.array(start) * np.array([1.0, 1.0, 0.0])
            states[due] = {
                str(number[o.id]): np.array([*(np.array(o.position) - place), *o.velocity])
                for o in world.objects
            }
            truth[due] = [(k, float(s[0]), float(s[1])) for k, s in states[due].items()]
            due += 1.0
    rows.sort(key=lambda row: row[0])
    return Recording([row[1] for row in rows], [row[2] for row in rows], truth, states)
