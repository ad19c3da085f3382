# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""The own-ship at a past time: sources of heading, north, gaps, late samples, clock steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebox_sensors.ownship.protocol import CourseSpeed, Fix, Heading, TurnRate
from thebox_sensors.ownship.state import OwnShipState, Series, StaticSite

START = 1757032603.0


def heading(degrees: float, source: str = "HDT") -> Heading:
    return Heading(math.nan, math.radians(degrees), source, "HE")  # type: ignore[arg-type]


def fix(latitude: float, longitude: float, altitude: float = math.nan) -> Fix:
    return Fix(
        math.nan,
        math.radians(latitude),
        math.radians(longitude),
        altitude,
        math.nan,
        1,
        8,
        1.0,
        "GGA",
        "GP",
    )


def motion(course: float, speed: float) -> CourseSpeed:
    return CourseSpeed(math.nan, math.radians(course), speed, "VTG", "GP")


@pytest.mark.parametrize(
    ("first", "second", "middle"), [(350, 10, 0), (10, 350, 0), (80, 100, 90), (359, 357, 358)]
)
def test_heading_is_interpolated_across_north(first: float, second: float, middle: float) -> None:
    state = OwnShipState()
    assert state.update(heading(first), START)
    assert state.update(heading(second), START + 1)
    found = state.heading(START + 0.5)
    assert math.cos(found.heading - math.radians(middle)) == pytest.approx(1)
    assert 0 <= found.heading < 2 * math.pi
    assert found.source == "HDT"
    assert found.age == 0.5


def test_the_best_source_that_is_fresh_is_used() -> None:
    state = OwnShipState(stale_after=5, course_speed_minimum=2)
    assert state.heading(START).source == ""
    assert math.isnan(state.heading(START).heading)
    state.update(motion(40, 3), START)
    assert state.heading(START).source == "COG"
    state.update(heading(30, "HDG"), START)
    assert state.heading(START).source == "HDG"
    state.update(heading(20, "THS"), START)
    state.update(heading(10, "HDT"), START + 1)
    assert state.heading(START + 0.2).source == "THS"
    assert state.heading(START + 3).source == "HDT"
    state.update(heading(31, "HDG"), START + 6)
    assert state.heading(START + 6).source == "HDT"
    found = state.heading(START + 6.1)
    assert (found.source, found.age) == ("HDG", pytest.approx(0.1))
    assert math.degrees(found.heading) == pytest.approx(31)
    assert state.heading(START + 11.5).source == ""


def test_course_stands_in_for_heading_only_above_a_speed() -> None:
    state = OwnShipState(course_speed_minimum=2)
    state.update(motion(40, 2.5), START)
    state.update(motion(50, 0.5), START + 1)
    assert state.heading(START).source == "COG"
    assert state.heading(START + 1).source == ""
    assert state.heading(START + 2).source == ""


def test_position_between_and_beyond_fixes() -> None:
    state = OwnShipState()
    state.update(fix(59.0, 179.999, 10), START)
    state.update(fix(59.002, -179.999, 14), START + 2)
    pose = state.pose(START + 1)
    assert math.degrees(pose.latitude) == pytest.approx(59.001)
    assert abs(math.degrees(pose.longitude)) == pytest.approx(180)
    assert pose.altitude == pytest.approx(12)
    assert pose.position_age == 1
    # Ten seconds north at 10 m/s is 100 m: 1852 m are about a minute of latitude.
    state = OwnShipState(stale_after=10)
    state.update(fix(45.0, 10.0), START)
    state.update(motion(0, 10), START)
    ahead = state.pose(START + 10)
    assert math.degrees(ahead.latitude - math.radians(45)) * 60 * 1852 == pytest.approx(
        100, rel=0.01
    )
    assert ahead.position_age == 10
    assert math.isnan(state.pose(START + 10.1).latitude)
    state.update(motion(90, 10), START)
    east = state.pose(START + 10)
    assert math.radians(1) * 0 + (east.longitude - math.radians(10)) * 6378137 * math.cos(
        math.radians(45)
    ) == pytest.approx(100, rel=0.01)


def test_a_fix_without_altitude_does_not_hide_one_with_it() -> None:
    state = OwnShipState()
    state.update(fix(59, 10, 12), START)
    state.update(fix(59, 10), START + 1)
    assert state.pose(START + 1).altitude == 12


def _voyage(state: OwnShipState, noise: float, *, told: bool = True) -> list[tuple[float, float]]:
    """Two fixes a second for a minute along a turn at 8 m/s; errors of the poses, metres."""
    rng = np.random.default_rng(3)
    north = east = 0.0
    errors = []
    for i in range(120):
        time, course = START + 0.5 * i, 0.02 * i
        if told:
            state.update(motion(math.degrees(course), 8.0), time)
        off = noise * rng.standard_normal(3)
        there = (45.0 + (north + off[0]) / _NORTH, 10.0 + (east + off[1]) / _EAST)
        state.update(fix(*there, 20.0 + 2.0 * off[2]), time)
        pose = state.pose(time)
        errors.append(
            (
                math.hypot(
                    (math.degrees(pose.latitude) - 45.0) * _NORTH - north,
                    (math.degrees(pose.longitude) - 10.0) * _EAST - east,
                ),
                pose.altitude - 20.0,
            )
        )
        north += 4.0 * math.cos(course + 0.005)
        east += 4.0 * math.sin(course + 0.005)
    return errors[30:]


# Metres of a degree at 45 north (WGS-84, Bowring).
_NORTH, _EAST = 111131.78, 78846.81


def test_fixes_are_averaged_along_the_way() -> None:
    as_heard = np.array(_voyage(OwnShipState(), 1.5))
    averaged = np.array(_voyage(OwnShipState(position_smoothing=10.0), 1.5))
    exact = np.array(_voyage(OwnShipState(position_smoothing=10.0), 0.0))
    # Of white noise a mean of 21 fixes leaves less than a quarter; a turn costs nothing.
    for column in (0, 1):
        left = np.sqrt(np.mean(averaged[:, column] ** 2) / np.mean(as_heard[:, column] ** 2))
        assert left < 0.3
    assert exact[:, 0].max() < 0.3
    # Nobody tells course and speed: a mean would lag 40 m behind, so fixes are taken as they come.
    silent = np.array(_voyage(OwnShipState(position_smoothing=10.0), 0.0, told=False))
    assert silent[:, 0].max() < 0.01


def test_a_receiver_that_finds_itself_elsewhere_is_believed() -> None:
    state = OwnShipState(position_smoothing=10.0)
    for i in range(40):
        state.update(motion(0, 0), START + 0.5 * i)
        # From the 30th fix on a hundred metres further north.
        state.update(fix(45.0 + (100.0 / _NORTH if i >= 30 else 0.0), 10.0, 12), START + 0.5 * i)
        told = (math.degrees(state.pose(START + 0.5 * i).latitude) - 45.0) * _NORTH
        assert told == pytest.approx(100.0 if i >= 30 else 0.0, abs=0.1)


def test_a_static_site() -> None:
    site = StaticSite(math.radians(59), math.radians(10), 20, math.radians(370))
    state = OwnShipState(site=site)
    pose = state.pose(START)
    assert (pose.latitude, pose.longitude, pose.altitude) == (site.latitude, site.longitude, 20)
    assert (pose.speed, pose.position_age) == (0, 0)
    assert pose.heading.source == "static"
    assert pose.heading.heading == pytest.approx(math.radians(10))
    turning = OwnShipState(site=StaticSite(site.latitude, site.longitude))
    turning.update(heading(33), START)
    turning.update(motion(90, 10), START)
    assert turning.pose(START).heading.source == "HDT"
    assert turning.pose(START).speed == 0


def test_turn_rate_and_what_says_nothing() -> None:
    state = OwnShipState()
    state.update(TurnRate(math.nan, 0.1, "TI"), START)
    assert state.pose(START + 1).turn_rate == 0.1
    assert math.isnan(state.pose(START + 6).turn_rate)
    assert not state.update(motion(1, math.nan), START)
    assert not state.update(heading(1), math.nan)
    state.reset()
    assert math.isnan(state.pose(START + 1).turn_rate)


def test_late_samples_find_their_place() -> None:
    state = OwnShipState()
    for offset in (0.0, 3.0, 1.0, 2.0):
        assert state.update(heading(offset * 10), START + offset)
    for offset in (0.5, 1.5, 2.5):
        assert math.degrees(state.heading(START + offset).heading) == pytest.approx(offset * 10)


def test_memory_is_bounded() -> None:
    series: Series[int] = Series(horizon=30, limit=100)
    for step in range(100_000):
        series.add(START + step * 0.001, step)
        assert len(series.times) <= 100
    series = Series(horizon=30, limit=10_000)
    for step in range(1_000):
        series.add(START + step, step)
        assert len(series.times) <= 62
    assert series.values[-31:] == list(range(969, 1000))


def test_a_clock_that_steps_back_starts_anew() -> None:
    series: Series[int] = Series(horizon=30)
    series.add(START, 0)
    taken = [series.add(START - 1000 + step, step) for step in range(10)]
    assert taken == [False] * 4 + [True] * 6
    assert series.times == [START - 1000 + step for step in range(4, 10)]
    # A single straggler does not.
    assert not series.add(START - 5000, 0)
    assert len(series.times) == 6


@given(st.lists(st.tuples(st.floats(0, 60), st.integers()), min_size=1, max_size=60))
def test_series_stays_in_order(samples: list[tuple[float, int]]) -> None:
    series: Series[int] = Series(horizon=100)
    for time, value in samples:
        assert series.add(START + time, value)
    assert series.times == sorted({START + time for time, _ in samples})
    assert dict(zip(series.times, series.values, strict=True)) == {
        START + time: value for time, value in samples
    }
