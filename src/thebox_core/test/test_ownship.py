# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebox_core.ownship import OwnShipHistory, Pose

TWO_PI = 2 * math.pi


def pose(time: float, heading: float = 0.0, east: float = 0.0, speed: float = 0.0) -> Pose:
    return Pose(time, east, 2.0, 3.0, speed, 0.0, 0.0, heading, 0.0)


def history(*poses: Pose, max_age: float = 5.0) -> OwnShipHistory:
    filled = OwnShipHistory(max_age=max_age)
    for each in poses:
        filled.add(each)
    return filled


def unknown(got: Pose) -> bool:
    return all(math.isnan(value) for value in got)


def test_nothing_is_known_before_the_first() -> None:
    assert unknown(OwnShipHistory().at(5.0))
    assert unknown(OwnShipHistory().newest)


def test_between_two_poses() -> None:
    got = history(pose(10.0, 1.0, 0.0), pose(12.0, 2.0, 8.0)).at(10.5)
    assert got.east == pytest.approx(2.0)
    assert got.heading == pytest.approx(1.25)
    assert (got.time, got.north, got.up) == (10.5, 2.0, 3.0)


@pytest.mark.parametrize(("first", "second"), [(6.2, 0.1), (0.1, 6.2)])
def test_the_shorter_way_across_north(first: float, second: float) -> None:
    middle = history(pose(0.0, first), pose(1.0, second)).at(0.5).heading
    assert math.remainder(middle - (6.3 - TWO_PI) / 2, TWO_PI) == pytest.approx(0.0, abs=1e-9)
    assert 0.0 <= middle < TWO_PI


def test_a_turn_goes_on_for_a_moment() -> None:
    filled = history(
        pose(10.0, 6.2)._replace(turn_rate=0.5), pose(10.1, 6.25)._replace(turn_rate=0.5)
    )
    assert filled.at(10.3).heading == pytest.approx(6.35 - TWO_PI)
    assert filled.at(10.05).turn_rate == pytest.approx(0.5)
    # Seconds later it may be over; and without a known rate the bow stays where it was.
    assert filled.at(12.0).heading == 6.25
    assert history(pose(10.0, 1.0)).at(10.2).heading == 1.0


def test_extrapolated_by_its_velocity_and_no_further_than_it_serves() -> None:
    filled = history(pose(10.0, 1.0, 100.0, speed=4.0))
    assert filled.at(12.0).east == pytest.approx(108.0)
    assert filled.at(8.0).east == pytest.approx(92.0)
    assert filled.at(15.0).heading == 1.0
    assert unknown(filled.at(15.001))
    assert unknown(filled.at(4.999))
    assert unknown(filled.at(math.nan))
    assert unknown(filled.at(math.inf))


def test_deep_in_a_gap_nothing_is_known() -> None:
    filled = history(pose(0.0, 1.0), pose(30.0, 2.0))
    assert unknown(filled.at(15.0))
    assert math.isfinite(filled.at(4.0).heading)
    assert math.isfinite(filled.at(26.0).heading)


def test_unknown_velocity_leaves_the_position() -> None:
    place = Pose(0.0, 1.0, 2.0, 3.0, math.nan, math.nan, math.nan, 0.5)
    got = history(place).at(2.0)
    assert (got.east, got.north, got.heading) == (1.0, 2.0, 0.5)


def test_unknown_heading_stays_unknown() -> None:
    got = history(pose(0.0, math.nan), pose(1.0, 1.0, 4.0)).at(0.5)
    assert math.isnan(got.heading)
    assert got.east == pytest.approx(2.0)


def test_out_of_order_and_again() -> None:
    filled = history(pose(0.0), pose(2.0, 0.0, 4.0), pose(1.0, 0.0, 10.0), pose(1.0, 0.0, 6.0))
    assert len(filled) == 3
    assert filled.at(0.5).east == pytest.approx(3.0)
    assert filled.newest.time == 2.0


def test_a_clock_that_jumps_back_begins_anew() -> None:
    filled = history(pose(1000.0), pose(1001.0), pose(100.0, 2.0))
    assert len(filled) == 1
    assert filled.at(100.0).heading == 2.0
    assert unknown(filled.at(1000.0))


def test_the_old_is_forgotten() -> None:
    filled = OwnShipHistory(keep=10.0)
    for second in range(100):
        filled.add(pose(float(second)))
    assert len(filled) == 11


def test_a_pose_needs_a_time() -> None:
    with pytest.raises(ValueError, match="time"):
        OwnShipHistory().add(pose(math.nan))


@given(
    st.lists(
        st.tuples(st.floats(0.0, 50.0), st.floats(0.0, TWO_PI, exclude_max=True)),
        min_size=1,
        max_size=30,
        unique_by=lambda item: item[0],
    ),
    st.floats(-10.0, 60.0),
)
def test_any_order_gives_the_same_and_headings_stay_in_range(
    items: list[tuple[float, float]], time: float
) -> None:
    forward, backward = OwnShipHistory(keep=60.0), OwnShipHistory(keep=60.0)
    for at, heading in items:
        forward.add(pose(at, heading))
    for at, heading in sorted(items, reverse=True):
        backward.add(pose(at, heading))
    got = forward.at(time)
    assert unknown(got) == unknown(backward.at(time))
    nearest = min(abs(at - time) for at, _ in items)
    assert unknown(got) == (nearest > 5.0)
    if not unknown(got):
        assert got == backward.at(time)
        assert 0.0 <= got.heading < TWO_PI
        assert got.time == time


def test_asked_from_one_thread_while_another_adds() -> None:
    filled = OwnShipHistory(keep=1.0)
    filled.add(pose(0.0))
    failed: list[BaseException] = []
    done = threading.Event()

    def ask() -> None:
        try:
            while not done.is_set():
                filled.at(filled.newest.time - 0.5)
        except BaseException as error:
            failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    for index in range(20_000):
        filled.add(pose(index * 1e-3))
    done.set()
    asking.join()
    assert not failed
