# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What a look that finds nothing teaches: of a track, and of how much a sensor sees."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thebox_fusion.tracker import Detection, Tracker, TrackState
from thebox_fusion.tracker.parameters import BUILT_IN_SENSORS
from thebox_fusion.tracker.sensors import SensorState

PLACES = np.array([[0.0, 1500.0], [1200.0, 0.0], [-1800.0, 300.0], [300.0, -900.0]])


def looks(chance: float, period: float, seconds: float, seed: int) -> list[list[Detection]]:
    """Return the looks of a radar at four objects that hover, far from each other."""
    rng = np.random.default_rng(seed)
    result = []
    for number in range(1, round(seconds / period) + 1):
        plots = []
        for place in PLACES[rng.random(len(PLACES)) < chance]:
            bearing = math.atan2(place[0], place[1]) + rng.normal(0.0, 0.01)
            plots.append(
                Detection(
                    "dspnor",
                    "RADAR",
                    number * period,
                    bearing=bearing % (2.0 * math.pi),
                    bearing_sigma=0.01,
                    range=math.hypot(*place, 80.0) + rng.normal(0.0, 8.0),
                    range_sigma=8.0,
                )
            )
        result.append(plots)
    return result


@pytest.mark.parametrize("every", [1, 2, 5])
def test_each_look_counts_however_many_come_between_two_cycles(every: int) -> None:
    """A track that is detected again has missed the looks between all the same."""
    chance, period = 0.6, 0.25
    held, asked = 0, 0
    tracker = Tracker()
    waiting: list[Detection] = []
    for number, plots in enumerate(looks(chance, period, 100.0, seed=4), start=1):
        waiting += plots
        if number % every:
            continue
        tracker.add(waiting)
        waiting = []
        now = number * period
        tracker.advance(now)
        if now > 10.0:
            positions, _ = tracker.picture(now)
            held += len(positions)
            asked += len(PLACES)
    learned = tracker.state.sensors[0].detection_probability(np.array([1200.0, 1500.0]))
    assert learned == pytest.approx(chance, abs=0.08)
    assert held == asked


def test_what_is_learned_at_one_range_is_expected_at_others() -> None:
    sensor = SensorState(BUILT_IN_SENSORS["dspnor"])
    near, far = np.array([1000.0]), np.array([6000.0])
    assumed = BUILT_IN_SENSORS["dspnor"].detection_probability
    assert sensor.detection_probability(near) == pytest.approx(assumed)
    detected = (np.arange(100) % 10 < 3).astype(float)
    sensor.learn_detection(np.full(100, 1000.0), detected, np.ones(100), ranged=True)
    assert sensor.detection_probability(near)[0] == pytest.approx(0.3, abs=0.03)
    assert sensor.detection_probability(far)[0] == pytest.approx(0.3, abs=0.05)
    # Where there are looks of its own they count, not those elsewhere.
    sensor.learn_detection(np.full(100, 6000.0), np.ones(100), np.ones(100), ranged=True)
    assert sensor.detection_probability(far)[0] > 0.95
    assert sensor.detection_probability(near)[0] < 0.35


def test_bearings_alone_do_not_tell_what_is_seen_elsewhere() -> None:
    sensor = SensorState(BUILT_IN_SENSORS["mara"])
    assumed = BUILT_IN_SENSORS["mara"].detection_probability
    sensor.learn_detection(np.full(50, 100.0), np.zeros(50), np.ones(50), ranged=False)
    assert sensor.detection_probability(np.array([100.0]))[0] < 0.1
    assert sensor.detection_probability(np.array([2000.0]))[0] == pytest.approx(assumed)


def test_a_crowd_of_emitters_begins_no_crowd_of_tracks() -> None:
    """Emissions that no track explains yet wait for the track that one of them has begun."""
    rng = np.random.default_rng(7)
    bearings = np.arange(8) * math.pi / 4.0
    sigma = math.radians(5.0)
    tracker = Tracker()
    most = 0
    for t in range(40):
        emissions = [
            Detection(
                "silvus",
                "RF",
                t + 0.01 * i,
                bearing=float(bearing + rng.normal(0.0, sigma)) % (2.0 * math.pi),
                bearing_sigma=sigma,
            )
            for i, bearing in enumerate(bearings)
        ]
        tracker.add(emissions)
        tracker.advance(t + 0.5)
        most = max(most, len(tracker.tracks()))
    confirmed = [v for v in tracker.tracks() if v.state is TrackState.CONFIRMED]
    assert len(confirmed) >= 8
    assert most <= 24
