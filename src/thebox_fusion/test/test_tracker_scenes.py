# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Whole scenes through the tracker: what an operator must be able to rely on."""

from __future__ import annotations

import ast
import dataclasses
import math
import os
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from thebox_fusion.tracker import Detection, LedgerEntry, Tracker, TrackState, TrackView

TWO_PI = 2.0 * math.pi
RADAR_BEARING, RADAR_RANGE = math.radians(1.0), 10.0
Path2 = Callable[[float], np.ndarray]


def line(start: tuple[float, float], velocity: tuple[float, float], up: float = 80.0) -> Path2:
    return lambda t: np.array([start[0] + velocity[0] * t, start[1] + velocity[1] * t, up])


def still(_: float) -> np.ndarray:
    return np.zeros(3)


def plot(rng: np.random.Generator, t: float, place: np.ndarray, own: np.ndarray) -> Detection:
    r = place - own
    return Detection(
        "dspnor",
        "RADAR",
        t,
        bearing=(math.atan2(r[0], r[1]) + rng.normal(0, RADAR_BEARING)) % TWO_PI,
        bearing_sigma=RADAR_BEARING,
        range=float(np.linalg.norm(r) + rng.normal(0, RADAR_RANGE)),
        range_sigma=RADAR_RANGE,
        own_position=own,
    )


def heard(
    rng: np.random.Generator,
    t: float,
    place: np.ndarray,
    own: np.ndarray,
    *,
    key: str,
    sigma: float = 0.05,
) -> Detection:
    r = place - own
    return Detection(
        "droneshield",
        "RF",
        t,
        bearing=(math.atan2(r[0], r[1]) + rng.normal(0, sigma)) % TWO_PI,
        bearing_sigma=sigma,
        key=key,
        frequency=2.4e9,
        own_position=own,
    )


def clutter(rng: np.random.Generator, t: float, count: int) -> list[Detection]:
    return [
        Detection(
            "dspnor",
            "RADAR",
            t,
            bearing=rng.uniform(0, TWO_PI),
            bearing_sigma=RADAR_BEARING,
            range=rng.uniform(50.0, 5000.0),
            range_sigma=RADAR_RANGE,
        )
        for _ in range(count)
    ]


def firm(tracks: list[TrackView]) -> list[TrackView]:
    return [v for v in tracks if v.state is not TrackState.TENTATIVE]


@pytest.mark.parametrize("claimed", [1.0, 0.6])
def test_a_radar_without_elevation_lifts_nothing_that_does_not_move(claimed: float) -> None:
    """Range and bearing of a boat tell nothing of its height, however long it lies there."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        tracker, own = Tracker(), np.array([0.0, 0.0, 4.0])
        for t in range(240):
            if rng.random() < 0.9:
                seen = plot(rng, float(t), np.array([305.0, 180.0, -2.0]), own)
                sigma = claimed * seen.bearing_sigma
                tracker.add([dataclasses.replace(seen, bearing_sigma=sigma)])
            tracker.advance(float(t))
        (view,) = firm(tracker.tracks(240.0))
        up, sigma = view.position[2], math.sqrt(view.covariance[2, 2])
        assert abs(up + 2.0) < 2.0 * sigma
        assert 20.0 < sigma < 90.0


def test_one_object_is_one_track_with_an_honest_position() -> None:
    rng = np.random.default_rng(1)
    path = line((-800.0, 1500.0), (12.0, -4.0))
    tracker = Tracker()
    ids, squared = set(), []
    for t in range(60):
        if rng.random() < 0.9:
            tracker.add([plot(rng, float(t), path(t), np.zeros(3))])
        tracker.add(clutter(rng, float(t), 5))
        views = firm(tracker.tracks(float(t)))
        if t >= 6:
            near = [v for v in views if np.linalg.norm((v.position - path(t))[:2]) < 150.0]
            assert len(near) == 1
            ids.add(near[0].id)
            gap = (near[0].position - path(t))[:2]
            squared.append(gap @ np.linalg.solve(near[0].covariance[:2, :2], gap))
            assert near[0].range_observed and near[0].range_method == "measured"
    assert len(ids) == 1
    assert 0.5 < float(np.mean(squared)) < 4.0


def test_a_silent_sky_has_no_track() -> None:
    rng = np.random.default_rng(2)
    tracker = Tracker()
    shown = 0
    for t in range(120):
        tracker.add(clutter(rng, float(t), int(rng.poisson(5))))
        shown += len(firm(tracker.tracks(float(t))))
    assert shown <= 3
    assert Tracker().tracks(10.0) == []


def test_a_flood_of_clutter_leaves_false_tracks_bounded() -> None:
    rng = np.random.default_rng(3)
    tracker = Tracker()
    false_seconds = 0
    for t in range(40):
        tracker.add(clutter(rng, float(t), int(rng.poisson(50))))
        false_seconds += len(firm(tracker.tracks(float(t))))
    assert false_seconds <= 40
    # Half of the plots cannot each keep a tentative track of their own.
    assert len(tracker.state.kinematic) < 50 * 6


def test_crossing_objects_keep_their_identity() -> None:
    rng = np.random.default_rng(4)
    paths = [line((-600.0, 1000.0), (12.0, 0.0)), line((-250.0, 1400.0), (5.0, -8.0))]
    tracker = Tracker()
    owner: dict[int, set[str]] = defaultdict(set)
    for t in range(80):
        tracker.add([plot(rng, float(t), p(t), np.zeros(3)) for p in paths])
        views = firm(tracker.tracks(float(t)))
        apart = np.linalg.norm(paths[0](t) - paths[1](t)) > 120.0
        if t > 5:
            assert len(views) == 2
        if t > 5 and apart:
            for index, path in enumerate(paths):
                best = min(views, key=lambda v: float(np.linalg.norm(v.position - path(t))))
                owner[index].add(best.id)
    assert [len(owner[i]) for i in (0, 1)] == [1, 1]
    assert owner[0] != owner[1]


@pytest.mark.parametrize("seed", [5, 105, 205])
def test_two_links_of_one_drone_join_its_radar_track(seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = line((-900.0, 900.0), (15.0, 6.0))
    tracker = Tracker()
    joined: list[LedgerEntry] = []
    for t in range(70):
        place, own = path(t), np.zeros(3)
        tracker.add(
            [
                plot(rng, float(t), place, own),
                heard(rng, t + 0.2, path(t + 0.2), own, key="control"),
                heard(rng, t + 0.4, path(t + 0.4), own, key="video"),
            ]
        )
        views = firm(tracker.tracks(t + 0.5))
        joined += [e for v in views for e in v.ledger if e.kind == "attached"]
    assert len(views) == 1
    assert views[0].keys == {"droneshield:control", "droneshield:video"}
    assert set(views[0].sensors) == {"dspnor", "droneshield"}
    assert joined and joined[0].sensor == "droneshield"


@pytest.mark.parametrize("seed", [6, 106, 206])
def test_two_drones_on_one_bearing_stay_two(seed: int) -> None:
    rng = np.random.default_rng(seed)
    near, far = line((0.0, 700.0), (6.0, 0.0)), line((0.0, 2100.0), (18.0, 0.0))
    tracker = Tracker()
    for t in range(60):
        for key, path in (("a", near), ("b", far)):
            tracker.add(
                [
                    plot(rng, float(t), path(t), np.zeros(3)),
                    heard(rng, t + 0.3, path(t + 0.3), np.zeros(3), key=key),
                ]
            )
        tracker.advance(t + 0.5)
    ranged = [v for v in firm(tracker.tracks()) if v.range_observed]
    assert len(ranged) == 2
    for path in (near, far):
        assert min(np.linalg.norm((v.position - path(59.5))[:2]) for v in ranged) < 60.0


def follow_bearings(own: Path2, seconds: int, seed: int) -> list[tuple[float, TrackView, float]]:
    rng = np.random.default_rng(seed)
    path = line((1500.0, 2200.0), (-1.0, 2.0), up=100.0)
    tracker = Tracker()
    result = []
    for t in range(seconds):
        tracker.add([heard(rng, float(t), path(t), own(t), key="k", sigma=math.radians(2.0))])
        views = tracker.tracks(float(t))
        assert len(views) == 1
        result.append((float(t), views[0], float(np.linalg.norm(path(t) - own(t)))))
    return result


def dogleg(t: float) -> np.ndarray:
    first = min(t, 60.0)
    second = max(t - 60.0, 0.0)
    return np.array([12.0 * second - 4.0 * first, 11.0 * first, 0.0])


def test_a_dogleg_tells_the_range_and_its_sigma_covers_the_error() -> None:
    covered, relative = [], []
    for seed in range(6):
        run = follow_bearings(dogleg, 121, seed)
        _, view, truth = run[-1]
        assert view.state is TrackState.CONFIRMED
        assert view.range_observed, seed
        assert view.range_method == "own-ship manoeuvre"
        covered.append(abs(view.range - truth) <= 2.0 * view.range_sigma)
        relative.append(abs(view.range - truth) / truth)
    assert sum(covered) >= 5
    assert float(np.median(relative)) < 0.3


def test_a_straight_course_leaves_the_range_unobserved() -> None:
    for seed in range(3):
        run = follow_bearings(line((0.0, 0.0), (3.0, 11.0), up=0.0), 121, seed)
        assert not any(view.range_observed for _, view, _ in run)
        _, view, truth = run[-1]
        assert view.range_sigma > 0.2 * view.range
        assert abs(view.range - truth) < 3.0 * view.range_sigma


def test_an_ambiguous_bearing_is_resolved_by_the_radar_track() -> None:
    rng = np.random.default_rng(8)
    path = line((-500.0, 1200.0), (8.0, 2.0))
    tracker = Tracker()
    for t in range(30):
        r = path(t)
        b = math.atan2(r[0], r[1]) + rng.normal(0, 0.05)
        tracker.add(
            [
                plot(rng, float(t), r, np.zeros(3)),
                Detection(
                    "silvus",
                    "RF",
                    float(t),
                    bearing=(2.0 - b) % TWO_PI,
                    alternative_bearing=b % TWO_PI,
                    bearing_sigma=0.05,
                ),
            ]
        )
        views = firm(tracker.tracks(float(t)))
    assert len(views) == 1
    assert np.linalg.norm((views[0].position - path(29))[:2]) < 40.0
    assert "silvus" in views[0].sensors


def test_late_detections_end_where_they_would_have_in_order() -> None:
    rng = np.random.default_rng(9)
    path = line((-300.0, 900.0), (10.0, 3.0))
    rows = [plot(rng, float(t), path(t), np.zeros(3)) for t in range(20)]
    in_order, late = Tracker(), Tracker()
    for t, row in enumerate(rows):
        in_order.add([row])
        in_order.advance(float(t))
    for t in range(20):
        # Every third plot comes 1 s late.
        if t % 3 != 2:
            late.add([rows[t]])
        late.advance(float(t))
        if t % 3 == 0 and t:
            late.add([rows[t - 1]])
    late.advance(19.0)
    assert late.counters["late"] == 6
    a, b = firm(in_order.tracks(19.0)), firm(late.tracks(19.0))
    assert len(a) == len(b) == 1
    # Not to the bit: that some of its plots come late counts among what is learned of a sensor.
    assert b[0].position == pytest.approx(a[0].position, abs=1e-3)
    assert b[0].id == a[0].id
    late.add([rows[0]])
    assert late.counters["dropped: too late"] == 1


def test_what_has_not_arrived_yet_is_no_miss() -> None:
    rng = np.random.default_rng(31)
    paths = [line((-300.0, 900.0), (10.0, 3.0)), line((800.0, -400.0), (-4.0, 9.0))]
    rows = [
        # Ten looks a second; each plot comes up to 1 s late.
        (t + rng.uniform(0.0, 1.0), plot(rng, t, path(t), np.zeros(3)))
        for t in np.arange(0.0, 30.0, 0.1).tolist()
        for path in paths
        if rng.random() < 0.8
    ]
    rows.sort(key=lambda row: row[0])
    tracker = Tracker()
    identities = set()
    for second in range(1, 31):
        tracker.add([d for arrival, d in rows if second - 1 < arrival <= second])
        tracker.advance(float(second))
        if second > 4:
            views = firm(tracker.tracks(float(second)))
            assert len(views) == 2
            assert min(view.existence for view in views) > 0.9
            identities |= {view.id for view in views}
    assert len(identities) == 2


def test_a_height_that_nothing_measures_stays_above_the_ground() -> None:
    rng = np.random.default_rng(32)
    # Close past the radar, where slant ranges fit an object below the ground as well.
    path = line((-700.0, 120.0), (10.0, 0.0), up=110.0)
    tracker = Tracker()
    for t in range(140):
        tracker.add([plot(rng, float(t), path(t), np.zeros(3))])
        tracker.advance(float(t))
        for view in firm(tracker.tracks(float(t))):
            assert view.position[2] >= -12.0
            assert math.isfinite(view.elevation)
            low = math.asin(max(-12.0 / view.range, -1.0))
            assert low <= view.elevation <= 0.5 * math.pi
            if view.range > 1000.0:
                assert view.elevation_sigma > 0.02
    assert firm(tracker.tracks(139.0))


def test_tentative_tracks_that_nobody_believes_go_soon() -> None:
    rng = np.random.default_rng(33)
    tracker = Tracker()
    standing = []
    for t in range(90):
        tracker.add(
            [
                Detection(
                    "mara",
                    "EO",
                    float(t),
                    bearing=float(rng.uniform(0.0, TWO_PI)),
                    bearing_sigma=math.radians(0.5),
                    elevation=float(rng.uniform(0.0, 0.5)),
                    elevation_sigma=math.radians(0.5),
                )
                for _ in range(2)
            ]
        )
        tracker.advance(float(t))
        views = [v for v in tracker.tracks(float(t)) if v.state == TrackState.TENTATIVE]
        standing.append(len(views))
        assert all(v.existence > 0.02 or t - v.last_updated <= 11.0 for v in views)
    assert 0 < max(standing) < 60


def test_unusable_detections_are_counted_under_their_reason() -> None:
    tracker = Tracker()
    tracker.add(
        [
            Detection("dspnor", "RADAR", math.nan, bearing=1.0),
            Detection("dspnor", "RADAR", 1.0),
            Detection("", "RADAR", 1.0, bearing=1.0),
            Detection("dspnor", "RADAR", 1.0, bearing=1.0, own_position=np.full(3, np.nan)),
        ]
    )
    assert sum(tracker.counters.values()) == 4
    assert set(tracker.counters) == {
        "dropped: no time",
        "dropped: neither bearing nor position",
        "dropped: no sensor name",
        "dropped: own position unknown",
    }
    assert tracker.tracks(2.0) == []


def test_the_same_input_gives_the_same_output_to_the_bit() -> None:
    def run() -> list[tuple[object, ...]]:
        rng = np.random.default_rng(10)
        tracker = Tracker()
        out: list[tuple[object, ...]] = []
        path = line((400.0, 700.0), (-5.0, 9.0))
        for t in range(25):
            tracker.add(clutter(rng, float(t), 10))
            tracker.add([plot(rng, float(t), path(t), np.zeros(3))])
            tracker.add([heard(rng, t - 0.5, path(t), np.zeros(3), key="k")])
            out += [
                (v.id, v.number, v.existence, v.reason, *v.position.tolist())
                for v in tracker.tracks(float(t))
            ]
        return out

    assert run() == run()


def test_existence_falls_in_silence_and_the_ledger_says_why() -> None:
    rng = np.random.default_rng(11)
    tracker = Tracker()
    path = line((0.0, 1000.0), (5.0, 0.0))
    for t in range(15):
        tracker.add([plot(rng, float(t), path(t), np.zeros(3))])
        tracker.advance(float(t))
    (view,) = firm(tracker.tracks())
    ledger = tracker.ledger(view.id)
    assert ledger[0].kind == "born" and ledger[0].sensor == "dspnor"
    assert {"hit", "state"} <= {entry.kind for entry in ledger}
    assert view.existence > 0.99
    seen = [view.existence]
    while views := firm(tracker.tracks(tracker.state.time + 1.0)):
        seen.append(views[0].existence)
        last = views[0]
        assert len(seen) < 30
    assert all(b <= a for a, b in pairwise(seen))
    assert last.ledger[-1].delta_log_odds < 0.0 or last.ledger[-1].kind == "state"
    with pytest.raises(KeyError):
        tracker.ledger(view.id)


def test_a_camera_confirms_and_refutes() -> None:
    rng = np.random.default_rng(12)
    path = line((0.0, 1000.0), (5.0, 0.0))

    def run(confidence: float) -> float:
        tracker = Tracker()
        for t in range(4):
            tracker.add([plot(rng, float(t), path(t), np.zeros(3))])
        tracker.advance(3.2)
        r = path(3.3)
        look = Detection(
            "vision",
            "VISION",
            3.3,
            bearing=math.atan2(r[0], r[1]),
            bearing_sigma=0.01,
            confidence=confidence,
            label="drone",
        )
        tracker.add([look] if confidence >= 0.0 else [])
        views = tracker.tracks(3.4)
        return max(v.existence for v in views)

    without = run(-1.0)
    assert run(0.1) < without < run(0.95)


def test_two_tracks_of_one_object_become_one() -> None:
    rng = np.random.default_rng(13)
    path = line((200.0, 1200.0), (6.0, 3.0))
    tracker = Tracker()
    before: set[str] = set()
    for t in range(50):
        one = plot(rng, float(t), path(t), np.zeros(3))
        other = plot(rng, t + 0.5, path(t + 0.5), np.zeros(3))
        other.sensor = "second_radar"
        # A second radar that is set up wrong at first, and then put right.
        other.range += 300.0 if t < 20 else 0.0
        tracker.add([one, other])
        views = firm(tracker.tracks(t + 0.9))
        if t == 19:
            before = {v.id for v in views}
    assert len(before) == 2
    (view,) = views
    assert view.id in before
    assert {"dspnor", "second_radar"} <= set(view.sensors)
    assert np.linalg.norm((view.position - path(49.9))[:2]) < 60.0


def test_two_objects_that_part_become_two_tracks() -> None:
    rng = np.random.default_rng(14)
    together = line((0.0, 1000.0), (8.0, 0.0))
    tracker = Tracker()
    first: set[str] = set()
    for t in range(45):
        place = together(t)
        apart = np.array([0.0, 12.0 * max(0, t - 15), 0.0])
        plots = [plot(rng, float(t), place, np.zeros(3))]
        if t > 15:
            plots.append(plot(rng, float(t), place + apart, np.zeros(3)))
        tracker.add(plots)
        views = firm(tracker.tracks(float(t)))
        if t == 15:
            first = {v.id for v in views}
    assert len(first) == 1
    assert len(views) == 2 and first < {v.id for v in views}


def test_the_clutter_of_a_sensor_is_learned() -> None:
    rng = np.random.default_rng(15)
    tracker = Tracker()
    for t in range(40):
        tracker.add(clutter(rng, float(t), 30))
        tracker.advance(float(t))
    assert 24.0 < float(tracker.state.sensors[0].clutter.total()) < 36.0


def capture() -> list[dict[str, object]]:
    shared = os.environ.get("THEBOX_SHARED", "")
    here = Path(__file__).resolve()
    places = [Path(shared)] if shared else []
    places += [parent.parent / "shared" for parent in here.parents]
    for place in places:
        file = place / "data" / "droneshield_capture_sample.txt"
        if file.is_file():
            lines = file.read_text(encoding="utf-8").splitlines()
            return [ast.literal_eval(text)["Data"] for text in lines if text.strip()]
    pytest.skip("the recorded DroneShield capture is not on this machine")


@pytest.mark.capture
@pytest.mark.parametrize("stamps", ["arrival", "sensor", "all at once"])
def test_the_capture_has_five_emitters(stamps: str) -> None:
    rows = capture()
    first = float(rows[0]["EpochTimeMilliSeconds"]) / 1e3  # type: ignore[arg-type]
    tracker = Tracker()
    ids: dict[frozenset[str], set[str]] = defaultdict(set)
    newest = 0.0
    last_bearing: dict[str, float] = {}
    last_epoch: dict[str, float] = {}
    for index, row in enumerate(rows):
        sensor_time = float(row["EpochTimeMilliSeconds"]) / 1e3 - first  # type: ignore[arg-type]
        newest = max(newest, sensor_time)
        t = index * 51.0 / len(rows) if stamps == "arrival" else sensor_time
        bearing = float(row["AbsoluteAngleOfArrivalRadians"]) % TWO_PI  # type: ignore[arg-type]
        tracker.add(
            [
                Detection(
                    "droneshield",
                    "RF",
                    t,
                    bearing=bearing,
                    bearing_sigma=float(row["AngleOfArrivalErrorRadians"]),  # type: ignore[arg-type]
                    key=str(row["CorrelationKey"]),
                    frequency=float(row["FrequencyHertz"]),  # type: ignore[arg-type]
                    rssi=float(row["RSSI"]),  # type: ignore[arg-type]
                )
            ]
        )
        name = f"droneshield:{row['CorrelationKey']}"
        # Later repeats of one epoch let the angle drift while its error grows: not evidence.
        if sensor_time > last_epoch.get(name, -1e9):
            last_epoch[name] = sensor_time
            last_bearing[name] = bearing
        if stamps == "all at once":
            continue
        for view in firm(tracker.tracks(t if stamps == "arrival" else newest)):
            ids[view.keys].add(view.id)
    views = firm(tracker.tracks(51.0))
    for view in views:
        ids[view.keys].add(view.id)
    assert len(views) == 5
    assert len(ids) == 5 and all(len(found) == 1 for found in ids.values())
    assert set().union(*(v.keys for v in views)) == set(last_bearing)
    for view in views:
        (key,) = view.keys
        off = abs((view.bearing - last_bearing[key] + math.pi) % TWO_PI - math.pi)
        assert off < 0.6, (key, view.bearing, last_bearing[key])
        assert not view.range_observed
