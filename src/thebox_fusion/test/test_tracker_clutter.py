# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What is learned of a sensor's false plots and of its beam, and what hangs on it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thebox_fusion.tracker import Detection, Tracker, TrackState
from thebox_fusion.tracker.bank import TrackBank
from thebox_fusion.tracker.clutter import ClutterMap
from thebox_fusion.tracker.core import Core
from thebox_fusion.tracker.detection import DetectionBatch, batch_of
from thebox_fusion.tracker.frames import fill_unknown
from thebox_fusion.tracker.gate import aspect
from thebox_fusion.tracker.glances import glance
from thebox_fusion.tracker.looks import associate
from thebox_fusion.tracker.merge import duplicates, near_pairs
from thebox_fusion.tracker.parameters import BUILT_IN_SENSORS, TrackerParameters
from thebox_fusion.tracker.sensors import SensorState

TWO_PI = 2.0 * math.pi
RADAR = BUILT_IN_SENSORS["dspnor"]


def sky(rng: np.random.Generator, count: int, reach: float) -> tuple[np.ndarray, np.ndarray]:
    return rng.uniform(0.0, reach, count), rng.uniform(0.0, TWO_PI, count)


def test_an_even_sky_is_learned_even_over_the_reach_that_it_has() -> None:
    rng = np.random.default_rng(1)
    chart = ClutterMap(5.0, 8000.0)
    for _ in range(40):
        slant, bearing = sky(rng, 40, 1500.0)
        chart.stretch(slant)
        chart.learn(slant, bearing, np.ones(40), 1.0)
    assert chart.total() == pytest.approx(40.0, rel=0.02)
    assert 1490.0 < chart.reach < 1520.0
    # Plots in a metre and a radian, whatever the model's own maximum range.
    found = chart.log_density(*sky(rng, 200, 1500.0), TWO_PI)
    assert np.mean(found) == pytest.approx(math.log(40.0 / (1500.0 * TWO_PI)), abs=0.1)
    assert found.std() < 0.5


def test_false_plots_are_expected_where_they_come_from() -> None:
    rng = np.random.default_rng(2)
    chart = ClutterMap(5.0, 8000.0)
    for _ in range(20):
        slant, bearing = sky(rng, 10, 4000.0)
        slant[:6], bearing[:6] = 1000.0 + rng.normal(0, 40.0, 6), 1.0 + rng.normal(0, 0.05, 6)
        chart.stretch(slant)
        chart.learn(slant, bearing, np.ones(10), 1.0)
    here, there = chart.around(np.array([1000.0, 1000.0]), np.array([1.0, 4.0]))
    # Six of ten come from there; elsewhere in the ring doubt remains.
    assert here > 200.0
    assert there < 50.0


def test_the_first_look_is_forgotten_when_the_second_is_there() -> None:
    chart = ClutterMap(5.0, 8000.0)
    places = np.linspace(100.0, 3000.0, 60), np.linspace(0.0, 6.0, 60)
    chart.stretch(places[0])
    chart.learn(*places, np.ones(60), 1.0)
    assert chart.total() == pytest.approx(60.0)
    # In the second look most of them turn out to be objects.
    chart.learn(*places, np.full(60, 0.1), 1.0)
    assert chart.total() < 10.0


def test_pieces_of_a_turn_are_one_look() -> None:
    rng = np.random.default_rng(3)
    chart = ClutterMap(5.0, 8000.0)
    for turn in range(6):
        slant, bearing = sky(rng, 30, 2000.0)
        sector = np.floor(bearing / TWO_PI * 4.0)
        for piece in range(4):
            mine = sector == piece
            chart.stretch(slant[mine])
            chart.learn(slant[mine], bearing[mine], np.ones(int(mine.sum())), 0.25)
            if turn > 0:
                # No direction looks denser for having been looked at last.
                assert chart.total() == pytest.approx(30.0, rel=0.2)
    rate = chart.rate().sum(axis=0).reshape(4, -1).sum(axis=1)
    assert rate.max() < 2.0 * rate.min()


def test_a_longer_reach_keeps_the_number_of_plots() -> None:
    rng = np.random.default_rng(4)
    chart = ClutterMap(5.0, 8000.0)
    for reach in (500.0, 700.0, 2600.0):
        slant, bearing = sky(rng, 50, reach)
        chart.stretch(slant)
        before = chart.total()
        chart.stretch(np.array([reach]))
        assert chart.total() == pytest.approx(before)
        chart.learn(slant, bearing, np.ones(50), 1.0)
    assert chart.rate().min() > 0.0


def test_one_plot_from_far_beyond_does_not_stretch_the_map() -> None:
    chart = ClutterMap(5.0, 8000.0)
    chart.stretch(np.array([300.0, 5000.0, 2e6]))
    assert chart.reach < 11_000.0
    for far in (11_000.0, 12_000.0, 12_500.0):
        chart.stretch(np.array([far]))
    assert 10_500.0 < chart.reach < 13_000.0


def test_low_false_plots_make_low_elevations_less_telling() -> None:
    rng = np.random.default_rng(5)
    chart = ClutterMap(5.0, 8000.0)
    where = np.array([0.0, 0.4]), np.array([0.02, 0.02])
    before = chart.log_elevation(*where)
    for _ in range(20):
        chart.learn_elevation(rng.normal(0.0, 0.02, 10), np.ones(10))
    after = chart.log_elevation(*where)
    assert after[0] > before[0] + 1.0 and after[1] < before[1]
    assert chart.log_elevation(np.array([math.nan]), np.array([0.1])).tolist() == [0.0]


@pytest.mark.parametrize("plots", [12, 400])
@pytest.mark.parametrize("turn", [0.8, 1.7, 3.9])
def test_a_turning_beam_is_found_in_thin_and_in_dense_skies(turn: float, plots: int) -> None:
    rng = np.random.default_rng(plots)
    sensor = SensorState(RADAR)
    for look in range(8):
        bearing = np.sort(rng.uniform(0.0, TWO_PI, plots))
        time = (look + bearing / TWO_PI) * turn
        for part in np.array_split(np.arange(plots), 5):
            sensor.learn_sweep(time[part], (bearing[part] + rng.normal(0, 0.02)) % TWO_PI)
    assert sensor.turning
    assert sensor.revisit == pytest.approx(turn, rel=0.06)


def test_plots_at_any_time_are_no_turning_beam() -> None:
    rng = np.random.default_rng(7)
    sensor = SensorState(RADAR)
    for second in range(60):
        time = np.sort(second + rng.random(20))
        sensor.learn_sweep(time, rng.uniform(0.0, TWO_PI, 20))
        assert not sensor.turning


def followed() -> tuple[Tracker, np.random.Generator]:
    """Return a tracker that holds two objects on one bearing, at 1500 and 2500 m."""
    rng = np.random.default_rng(8)
    tracker = Tracker()
    for t in range(15):
        for distance in (1500.0, 2500.0):
            tracker.add(
                [
                    Detection(
                        "dspnor",
                        "RADAR",
                        float(t),
                        bearing=1.0 + rng.normal(0, 0.01),
                        bearing_sigma=0.01,
                        range=distance + rng.normal(0, 8.0),
                        range_sigma=8.0,
                    )
                ]
            )
        tracker.advance(float(t))
    return tracker, rng


def emission(core: Core, bearing: float, other: float) -> DetectionBatch:
    detection = Detection(
        "silvus",
        "RF",
        14.2,
        bearing=bearing,
        alternative_bearing=other,
        bearing_sigma=0.07,
        frequency=2.4e9,
    )
    assert core.register(detection)
    index = core.sensor_index["silvus"]
    core.arrivals.note(index, detection.time)
    return fill_unknown(batch_of([detection], index, [-1], [-1]), core.state.sensors[index].model)


@pytest.mark.parametrize(("bearing", "other"), [(1.02, 3.0), (2.0, 0.9), (1.3, math.nan), (4, 5)])
def test_a_glance_says_of_existence_what_a_look_says(bearing: float, other: float) -> None:
    results = []
    for way in (glance, associate):
        tracker, _ = followed()
        core = tracker.core
        batch = emission(core, bearing, other)
        bank = core.state.kinematic
        bank.log_odds[:] = 0.5
        place = bank.mean.copy()
        everyone = np.ones(len(bank), dtype=np.bool_)
        if way is glance:
            free, done = glance(core, bank, batch, everyone)
            assert done.all()
            assert np.array_equal(bank.mean, place)
        else:
            free, _, _, _, _ = associate(
                core, bank, batch, core.motion, eligible=everyone, elapsed=1.0
            )
        results.append((free, bank.log_odds.copy(), bank.hits.copy()))
    for one, two in zip(*results, strict=True):
        assert one == pytest.approx(two, abs=0.1)


def test_a_bearing_that_would_move_a_track_is_left_to_the_whole_update() -> None:
    tracker, _ = followed()
    core = tracker.core
    batch = emission(core, 1.0, math.nan)
    batch.bearing_sigma = np.array([0.004])
    bank = core.state.kinematic
    before = bank.log_odds.copy()
    _, done = glance(core, bank, batch, np.ones(len(bank), dtype=np.bool_))
    assert not done.any()
    assert np.array_equal(bank.log_odds, before)


def test_several_links_of_one_object_are_no_second_object() -> None:
    tracker, rng = followed()
    for t in range(15, 40):
        for distance in (1500.0, 2500.0):
            tracker.add(
                [
                    Detection(
                        "dspnor",
                        "RADAR",
                        float(t),
                        bearing=1.0 + rng.normal(0, 0.01),
                        bearing_sigma=0.01,
                        range=distance + rng.normal(0, 8.0),
                        range_sigma=8.0,
                    )
                ]
            )
        tracker.add(
            [
                Detection(
                    "silvus",
                    "RF",
                    t + 0.2,
                    bearing=(1.0 + rng.normal(0, 0.07)) % TWO_PI,
                    bearing_sigma=0.07,
                )
                for _ in range(6)
            ]
        )
        tracker.advance(t + 0.5)
    firm = [v for v in tracker.tracks() if v.state is not TrackState.TENTATIVE]
    assert len(firm) == 2
    assert all("silvus" in v.sensors for v in firm)


def test_near_pairs_are_those_that_counting_finds() -> None:
    rng = np.random.default_rng(9)
    for count in (0, 1, 2, 40):
        for reach in (0.0, 5.0, 60.0, 1e4):
            place = rng.uniform(0.0, 300.0, (count, 2))
            if count > 2:
                place[1] = place[0]
            a, b = near_pairs(place, reach)
            wanted = [
                (i, j)
                for i in range(count)
                for j in range(i + 1, count)
                if np.hypot(*(place[i] - place[j])) <= reach
            ]
            assert list(zip(a.tolist(), b.tolist(), strict=True)) == wanted


@pytest.mark.parametrize(
    ("chance", "rate", "merged"),
    [(0.9, 0.5, True), (0.9, 0.9, False), (0.5, 0.28, True), (0.5, 0.5, False)],
)
def test_two_tracks_are_one_object_when_they_are_seen_as_often_as_one(
    chance: float, rate: float, merged: bool
) -> None:
    motion = Core(TrackerParameters()).motion
    components = len(motion.density)
    bank = TrackBank(components, 8)
    mean = np.zeros((2, components, 6))
    mean[:, :, 1], mean[:, :, 3] = 900.0, 10.0
    mean[1, :, 0] = 4.0
    bank.append(
        2,
        number=np.array([1, 2]),
        mean=mean,
        covariance=np.broadcast_to(
            np.diag([60.0, 60.0, 900.0, 4.0, 4.0, 1.0]), (2, components, 6, 6)
        ),
        weight=np.full((2, components), 1.0 / components),
        hits=np.array([9.0, 4.0]),
        hit_rate=np.full(2, rate),
    )
    seen = aspect(bank, 0.0, np.zeros(3), float(motion.density[0]))
    apart = np.full(2, -1)
    found = duplicates(bank, 0.0, motion, seen=seen, separate=apart, chance=np.full(2, chance))
    assert found == ([(0, 1)] if merged else [])


@pytest.mark.parametrize("seed", range(3))
def test_a_fast_object_is_held_from_the_start(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tracker = Tracker()
    names = set()
    for t in range(12):
        place = np.array([-300.0 + 45.0 * t, 1400.0, 70.0])
        slant = float(np.linalg.norm(place))
        tracker.add(
            [
                Detection(
                    "dspnor",
                    "RADAR",
                    float(t),
                    bearing=(math.atan2(place[0], place[1]) + rng.normal(0, 0.017)) % TWO_PI,
                    bearing_sigma=0.017,
                    range=slant + rng.normal(0, 10.0),
                    range_sigma=10.0,
                )
            ]
        )
        firm = [v for v in tracker.tracks(float(t)) if v.state is not TrackState.TENTATIVE]
        if t >= 4:
            assert len(firm) == 1
            names.add(firm[0].id)
    assert len(names) == 1
    assert firm[0].velocity[0] == pytest.approx(45.0, abs=8.0)


@pytest.mark.parametrize("period", [1.0, 2.5])
def test_objects_that_come_one_by_one_are_held_at_any_revisit_time(period: float) -> None:
    rng = np.random.default_rng(10)
    count, tracker = 6, Tracker()
    start, course = rng.uniform(-2000, 2000, (count, 2)), rng.uniform(0, TWO_PI, count)
    velocity = 10.0 * np.stack([np.sin(course), np.cos(course)], axis=1)
    phase = rng.random(count)
    plots = []
    for look in range(int(40.0 / period)):
        for i in range(count):
            t = (look + phase[i]) * period
            east, north = start[i] + velocity[i] * t
            plots.append((t, math.atan2(east, north), math.hypot(east, north, 80.0)))
        for _ in range(5):
            t = (look + rng.random()) * period
            plots.append((t, rng.uniform(0, TWO_PI), rng.uniform(50.0, 3000.0)))
    tracker.add(
        [
            Detection(
                "dspnor",
                "RADAR",
                t,
                bearing=(bearing + rng.normal(0, 0.01)) % TWO_PI,
                bearing_sigma=0.01,
                range=slant + rng.normal(0, 8.0),
                range_sigma=8.0,
            )
            for t, bearing, slant in sorted(plots)
        ]
    )
    tracker.advance(16.0 * period)
    firm = [v for v in tracker.tracks() if v.state is not TrackState.TENTATIVE]
    for i in range(count):
        place = start[i] + velocity[i] * 16.0 * period
        assert min(np.hypot(*(v.position[:2] - place)) for v in firm) < 80.0
    assert len(firm) <= count + 1
