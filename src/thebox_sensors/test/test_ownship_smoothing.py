# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""A compass's jitter is smoothed away, its turns are not."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebox_sensors.ownship.protocol import Heading, TurnRate
from thebox_sensors.ownship.smoothing import jitter, smoothed
from thebox_sensors.ownship.state import Bearing, OwnShipState

START = 1757032603.0
RATE = 10.0
Course = Callable[[float], float]


def play(
    course: Course, sigma: float, seconds: float = 60.0, gyro: bool = False, smoothing: float = 1.0
) -> list[tuple[float, Bearing]]:
    """Play a compass of 10 Hz: per heading its error as told (degrees) and what was told."""
    noise = random.Random(4)
    state = OwnShipState(smoothing=smoothing)
    told = []
    for i in range(int(seconds * RATE)):
        after = i / RATE
        heading = math.radians(course(after) + noise.gauss(0.0, sigma))
        state.update(Heading(math.nan, heading % (2 * math.pi), "HDT", "HE"), START + after)
        if gyro:
            rate = math.radians(course(after + 0.01) - course(after - 0.01)) / 0.02
            state.update(TurnRate(math.nan, rate, "TI"), START + after)
        found = state.heading(START + after)
        error = math.remainder(found.heading - math.radians(course(after)), 2 * math.pi)
        told.append((math.degrees(error), found))
    return told[40:]


def rms(values: list[float]) -> float:
    return math.sqrt(sum(v * v for v in values) / len(values))


def steps(told: list[tuple[float, Bearing]]) -> float:
    return rms([b[0] - a[0] for a, b in itertools.pairwise(told)])


def still(_: float) -> float:
    return 359.9


def swell(time: float) -> float:
    return 3.0 * math.sin(2 * math.pi * time / 6.0)


def hard_turn(time: float) -> float:
    """To starboard at 20 degrees a second, from 20 s on, for four and a half seconds."""
    return 20.0 * min(max(time - 20.0, 0.0), 4.5)


def test_a_jittering_compass_on_a_quay_stands_still() -> None:
    raw = play(still, 0.3, smoothing=0.0)
    alone, with_gyro = play(still, 0.3), play(still, 0.3, gyro=True)
    assert rms([e for e, _ in raw]) == pytest.approx(0.3, rel=0.1)
    assert rms([e for e, _ in alone]) < 0.22
    assert rms([e for e, _ in with_gyro]) < 0.1
    assert steps(alone) < 0.45 * steps(raw)
    assert steps(with_gyro) < 0.1 * steps(raw)


@pytest.mark.parametrize("gyro", [False, True])
@pytest.mark.parametrize("course", [still, swell])
def test_the_error_that_is_left_is_told(course: Course, gyro: bool) -> None:
    told = play(course, 0.3, gyro=gyro, seconds=120.0)
    wrong = rms([error for error, _ in told])
    said = math.degrees(rms([found.sigma for _, found in told]))
    assert said == pytest.approx(wrong, rel=0.35)


@pytest.mark.parametrize("gyro", [False, True])
@pytest.mark.parametrize("sigma", [0.02, 0.3])
def test_a_turn_is_followed_as_fast_as_it_is_measured(sigma: float, gyro: bool) -> None:
    told = play(hard_turn, sigma, gyro=gyro, seconds=40.0)
    # Never much worse than a heading taken as it came.
    assert max(abs(error) for error, _ in told) < 4.0 * max(sigma, 0.1)
    middle = told[int(22.0 * RATE) - 40][1]
    if not gyro:
        assert math.degrees(middle.rate) == pytest.approx(20.0, abs=2.0)


def test_the_turn_rate_is_told_without_a_gyro() -> None:
    state = OwnShipState()
    for i in range(30):
        angle = math.radians(350.0 + 0.5 * i) % (2 * math.pi)
        state.update(Heading(math.nan, angle, "HDT", "HE"), START + i / RATE)
    pose = state.pose(START + 2.9)
    assert math.degrees(pose.turn_rate) == pytest.approx(5.0)
    # Between two headings and just after the last one the turn goes on.
    assert math.degrees(state.heading(START + 2.85).heading) == pytest.approx(4.25)
    assert math.degrees(state.heading(START + 3.0).heading) == pytest.approx(5.0)
    assert math.isnan(state.jitter(START - 60.0))
    assert state.jitter(START + 2.9) == pytest.approx(0.0, abs=1e-6)


def test_few_headings_are_taken_as_they_came() -> None:
    state = OwnShipState()
    for i, degrees in enumerate((10.0, 10.4, 9.8)):
        state.update(Heading(math.nan, math.radians(degrees), "HDT", "HE"), START + i)
    assert math.degrees(state.heading(START + 1).heading) == pytest.approx(10.4)
    assert state.heading(START + 1).sigma == 0.0
    assert math.isnan(jitter([1.0, 1.0, 1.0]))
    assert smoothed([0.0, 1.0], [1.0, 1.0], 0.5, 2.0, noise=0.0) is None


@given(
    st.floats(-10.0, 10.0),
    st.floats(-0.1, 0.1),
    st.lists(st.floats(0.01, 0.5), min_size=4, max_size=60),
    st.floats(0.0, 1.0),
)
def test_a_line_is_kept_whatever_the_spacing(
    heading: float, rate: float, gaps: list[float], share: float
) -> None:
    times = [sum(gaps[:i]) for i in range(len(gaps))]
    headings = [heading + rate * t for t in times]
    time = share * times[-1]
    found = smoothed(times, headings, time, 50.0, noise=0.0)
    assert found is not None
    assert math.remainder(found.heading - heading - rate * time, 2 * math.pi) == pytest.approx(
        0.0, abs=1e-6
    )
