# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Emissions without identity: crowds of emitters, strays, and what other tracks explain."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thebox_fusion.tracker import Detection, Tracker, TrackState

SIGMA = math.radians(2.0)
LONG = 60.0


def heard(
    bearings: list[float], rate: float, strays: float, rng: np.random.Generator
) -> list[Detection]:
    """Return what a direction finder hears for a minute: each emitter at random times, and strays.

    Args:
        bearings: of the emitters, radians.
        rate: of each, emissions a second.
        strays: bearings of no object, a second.
        rng: of the noise.
    """
    found = [
        (at, bearing + rng.normal(0.0, SIGMA))
        for bearing in bearings
        for at in np.sort(rng.uniform(0.0, LONG, rng.poisson(rate * LONG)))
    ]
    found += [
        (rng.uniform(0.0, LONG), rng.uniform(0.0, 2.0 * math.pi))
        for _ in range(rng.poisson(strays * LONG))
    ]
    return [
        Detection("silvus", "RF", float(at), bearing=bearing % (2.0 * math.pi), bearing_sigma=SIGMA)
        for at, bearing in sorted(found)
    ]


def confirmed(tracker: Tracker) -> list[float]:
    return sorted(v.bearing for v in tracker.tracks() if v.state is not TrackState.TENTATIVE)


def played(detections: list[Detection]) -> Tracker:
    tracker = Tracker()
    for second in range(1, int(LONG) + 1):
        tracker.add([d for d in detections if second - 1 < d.time <= second])
        tracker.advance(float(second))
    return tracker


@pytest.mark.parametrize("count", [2, 8, 12, 16])
def test_each_of_a_crowd_of_emitters_is_one_track(count: int) -> None:
    """Until their tracks are believed they look like strays; strays would never be believed."""
    bearings = [0.1 + number * 2.0 * math.pi / count for number in range(count)]
    tracker = played(heard(bearings, 1.0, 0.3, np.random.default_rng(count)))
    found = confirmed(tracker)
    assert len(found) == pytest.approx(count, abs=1)
    for bearing in bearings:
        gap = [abs(math.remainder(bearing - other, 2.0 * math.pi)) for other in found]
        assert min(gap) < 3.0 * SIGMA


@pytest.mark.parametrize("seed", range(4))
def test_strays_become_no_tracks_by_meeting_now_and_then(seed: int) -> None:
    tracker = played(heard([], 0.0, 0.3, np.random.default_rng(seed)))
    assert len(confirmed(tracker)) <= 1


def test_how_many_strays_there_are_is_learned_beside_the_tracks() -> None:
    bearings = [0.1 + number * math.pi / 4.0 for number in range(8)]
    for strays in (0.1, 1.0):
        tracker = played(heard(bearings, 1.0, strays, np.random.default_rng(5)))
        learned = tracker.state.sensors[0]
        assert learned.strays / learned.revisit == pytest.approx(strays, rel=0.8, abs=0.1)


def plot(at: float, east: float, north: float) -> Detection:
    return Detection(
        "dspnor",
        "RADAR",
        at,
        bearing=math.atan2(east, north),
        bearing_sigma=0.01,
        range=math.hypot(east, north, 80.0),
        range_sigma=8.0,
    )


def test_what_another_track_explains_supports_no_false_one() -> None:
    """A swarm's emissions, each a little that of whatever else is in its direction."""
    tracker = Tracker()
    for second in range(1, 13):
        batch = [plot(float(second), 900.0 + 40.0 * number, 1200.0) for number in range(5)]
        tracker.add([*batch, plot(12.0, 2700.0, 3300.0)] if second == 12 else batch)
        tracker.advance(float(second))
    bank = tracker.state.kinematic
    far = int(np.argmax(bank.moments()[0][:, 1]))
    assert len(bank) == 6
    bank.log_odds[far] = 0.0  # as likely as not
    rng = np.random.default_rng(3)
    emissions = [
        Detection(
            "silvus",
            "RF",
            12.1 + 0.01 * number,
            bearing=math.atan2(980.0, 1200.0) + rng.normal(0.0, 0.07),
            bearing_sigma=0.07,
        )
        for number in range(12)
    ]
    before = bank.log_odds.copy()
    tracker.add(emissions[:1])
    tracker.advance(12.1)
    tracker.state.sensors[1].bearing_clutter = 0.01
    tracker.add(emissions[1:])
    tracker.advance(12.3)
    assert bank.log_odds[far] <= before[far]
    assert bank.sensor_hits[:, 1].sum() > 6.0
