# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A radar's track and the boxes of a camera that is cued to it: one object is one track."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from thebox_fusion.tracker import Detection, Tracker, TrackState, TrackView
from thebox_fusion.tracker.bank import TrackBank
from thebox_fusion.tracker.gate import aspect

RADAR_BEARING, RADAR_RANGE = math.radians(0.6), 4.0
Path = Callable[[float], np.ndarray]


def line(start: tuple[float, float], velocity: tuple[float, float], up: float) -> Path:
    return lambda t: np.array([start[0] + velocity[0] * t, start[1] + velocity[1] * t, up])


def plot(rng: np.random.Generator, t: float, place: np.ndarray, own: np.ndarray) -> Detection:
    r = place - own
    return Detection(
        "dspnor",
        "RADAR",
        t,
        bearing=(math.atan2(r[0], r[1]) + rng.normal(0, RADAR_BEARING)) % (2.0 * math.pi),
        bearing_sigma=RADAR_BEARING,
        range=float(np.linalg.norm(r) + rng.normal(0, RADAR_RANGE)),
        range_sigma=RADAR_RANGE,
        own_position=own,
    )


def firm(tracks: list[TrackView]) -> list[TrackView]:
    return [v for v in tracks if v.state is not TrackState.TENTATIVE]


def _followed(seed: int) -> tuple[Tracker, Path]:
    """A tracker whose radar has followed one object for half a minute, and the object's path."""
    rng = np.random.default_rng(seed)
    path = line((-160.0, 170.0), (1.0, 0.5), up=56.0)
    tracker = Tracker()
    for t in range(0, 30, 3):
        tracker.add([plot(rng, float(t), path(t), np.zeros(3))])
        tracker.advance(float(t))
    return tracker, path


def _boxes(tracker: Tracker, path: Path, begin: float, *, errors: Iterable[float]) -> None:
    """A camera's boxes of an object, ten a second, each off by an error in bearing, radians."""
    for i, error in enumerate(errors):
        time = begin + 0.1 * i
        r = path(time)
        box = Detection(
            "vision",
            "VISION",
            time,
            bearing=math.atan2(r[0], r[1]) + error,
            bearing_sigma=0.005,
            elevation=math.atan2(r[2], math.hypot(r[0], r[1])),
            elevation_sigma=0.002,
            confidence=0.8,
            label="drone",
        )
        tracker.add([box])


def test_pictures_of_one_object_begin_no_second_track() -> None:
    tracker, path = _followed(seed=15)
    (radar,) = firm(tracker.tracks())
    # They come in a lump, as from a busy machine: each is still a look of its own.
    _boxes(tracker, path, 27.5, errors=[0.0] * 15)
    (view,) = tracker.tracks(29.0)
    assert view.id == radar.id
    assert {"dspnor", "vision"} <= set(view.sensors)


def test_a_cameras_track_joins_the_kinematic_one_that_it_is_of() -> None:
    tracker, path = _followed(seed=16)
    _boxes(tracker, path, 27.5, errors=[0.0] * 10)
    (view,) = firm(tracker.tracks(28.5))
    # The compass is off by three degrees in a turn, and comes back.
    _boxes(tracker, path, 28.6, errors=[math.radians(3.0)] * 5)
    assert len(tracker.tracks(29.1)) == 2
    _boxes(tracker, path, 29.2, errors=[*np.linspace(math.radians(3.0), 0.0, 15), *[0.0] * 15])
    for time in np.arange(29.2, 32.2, 0.1):
        tracker.advance(float(time))
    assert [v.id for v in tracker.tracks()] == [view.id]


def _seen(
    rng: np.random.Generator, t: float, place: np.ndarray, key: str, elevated: bool = True
) -> Detection:
    """A bearing of a camera that numbers what it follows, three times sharper than the radar."""
    sigma = math.radians(0.2)
    modality = "IR" if key.startswith("ir") else "EO"
    rise = math.atan2(place[2], math.hypot(place[0], place[1]))
    return Detection(
        "mara",
        modality,
        t,
        bearing=math.atan2(place[0], place[1]) + rng.normal(0, sigma),
        bearing_sigma=sigma,
        elevation=rise + rng.normal(0, sigma) if elevated else math.nan,
        elevation_sigma=sigma,
        key=key,
        confidence=0.8,
    )


def _weave(start: tuple[float, float], up: float, phase: float) -> Path:
    """A bird's flight: its direction changes all the time, as no track expects."""

    def path(t: float) -> np.ndarray:
        turn = 0.35 * t + phase
        return np.array([start[0] + 25.0 * math.sin(turn), start[1] + 25.0 * math.cos(turn), up])

    return path


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_sharp_camera_joins_the_radars_track_of_what_turns_all_the_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = _weave((300.0, 300.0), up=30.0, phase=0.0)
    tracker = Tracker()
    for half in range(120):
        t = 0.5 * half
        found = [_seen(rng, t, path(t), key) for key in ("eo-1", "ir-2")]
        if half % 4 == 0:
            found.append(plot(rng, t, path(t), np.zeros(3)))
        tracker.add(found)
        tracker.advance(t)
    (view,) = firm(tracker.tracks())
    assert {"mara:eo-1", "mara:ir-2"} <= view.keys
    assert view.range_observed
    # The camera tells the height, which the radar does not.
    assert np.linalg.norm(view.position - path(59.5)) < 30.0


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 8])
def test_two_objects_of_one_camera_are_not_one_track(seed: int) -> None:
    """The radar sees one of two in nearly the same direction; the camera tells both apart."""
    rng = np.random.default_rng(seed)
    near = line((200.0, 300.0), (2.0, 1.0), up=30.0)
    far = line((420.0, 600.0), (3.0, 2.0), up=60.0)
    tracker = Tracker()
    for half in range(180):
        t = 0.5 * half
        found = [_seen(rng, t, near(t), "eo-1"), _seen(rng, t, far(t), "eo-2")]
        if half % 4 == 0:
            found.append(plot(rng, t, near(t), np.zeros(3)))
        tracker.add(found)
        tracker.advance(t)
    tracks = firm(tracker.tracks())
    assert len(tracks) == 2
    (radar,) = [view for view in tracks if "dspnor" in view.sensors]
    assert "mara:eo-1" in radar.keys
    assert all(len(view.keys & {"mara:eo-1", "mara:eo-2"}) == 1 for view in tracks)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cameras_leave_the_track_that_the_radar_has_lost(seed: int) -> None:
    """What they follow hides from the radar behind another object, which lands."""
    rng = np.random.default_rng(seed)
    landing = line((0.0, 400.0), (1.5, 0.0), up=30.0)
    followed = line((0.0, 800.0), (3.0, 0.0), up=60.0)
    tracker = Tracker()
    for half in range(180):
        t = 0.5 * half
        found = [_seen(rng, t, followed(t), key) for key in ("eo-1", "ir-1")]
        if half % 2 == 0:
            seen = landing(t) if t < 30.0 else followed(t)
            found.append(plot(rng, t, seen, np.zeros(3)))
        tracker.add(found)
        tracker.advance(t)
        if t == 29.5:
            (lower,) = firm(tracker.tracks())
            assert {"mara:eo-1", "mara:ir-1"} <= lower.keys
    (view,) = firm(tracker.tracks())
    assert {"mara:eo-1", "mara:ir-1"} <= view.keys
    assert view.id != lower.id
    assert np.linalg.norm(view.position[:2] - followed(89.5)[:2]) < 25.0


@pytest.mark.parametrize("seed", [1, 4])
def test_a_radar_that_sees_little_does_not_lose_tracks_to_a_camera(seed: int) -> None:
    """It misses several looks in a row, while it sees another object in that direction."""
    rng = np.random.default_rng(seed)
    near = line((0.0, 400.0), (1.5, 0.0), up=30.0)
    followed = line((0.0, 800.0), (3.0, 0.0), up=60.0)
    tracker = Tracker()
    for half in range(200):
        t = 0.5 * half
        found = [_seen(rng, t, followed(t), "eo-1")]
        if half % 2 == 0:
            seen = [place(t) for place in (near, followed) if rng.random() < 0.55]
            found += [plot(rng, t, place, np.zeros(3)) for place in seen]
        tracker.add(found)
        tracker.advance(t)
        if t > 60.0:
            assert len(firm(tracker.tracks())) == 2


def test_rows_are_looked_at_in_their_order() -> None:
    bank = TrackBank(1, 4)
    mean = np.zeros((2, 1, 6))
    mean[:, 0, :2] = [[0.0, 900.0], [900.0, 0.0]]
    spread = np.broadcast_to(np.diag([9.0, 9.0, 9.0, 1.0, 1.0, 1.0]), (2, 1, 6, 6))
    bank.append(2, mean=mean, covariance=spread, weight=np.ones((2, 1)))
    seen = aspect(bank, 0.0, np.zeros(3), 1.0, np.array([1, 0]))
    np.testing.assert_allclose(seen.bearing, [0.5 * math.pi, 0.0])


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_camera_does_not_lead_a_track_away_from_its_plots(seed: int) -> None:
    """What the camera follows flies with the radar's object for a while, then goes elsewhere."""
    rng = np.random.default_rng(seed)
    plotted = line((0.0, 500.0), (2.0, 0.0), up=30.0)

    def followed(t: float) -> np.ndarray:
        return 2.0 * plotted(t) + np.array([max(0.0, t - 40.0) * 6.0, 0.0, 0.0])

    tracker = Tracker()
    for half in range(160):
        t = 0.5 * half
        found = [_seen(rng, t, followed(t), "eo-1", elevated=False)]
        if half % 2 == 0:
            found.append(plot(rng, t, plotted(t), np.zeros(3)))
        tracker.add(found)
        tracker.advance(t)
        if t == 39.0:
            # Nothing tells them apart yet.
            assert len(firm(tracker.tracks())) == 1
    tracks = firm(tracker.tracks())
    (radar,) = [view for view in tracks if "dspnor" in view.sensors]
    assert "mara:eo-1" not in radar.keys
    assert np.linalg.norm(radar.position[:2] - plotted(79.5)[:2]) < 25.0
    assert any("mara:eo-1" in view.keys for view in tracks if view.id != radar.id)


def test_what_turns_before_a_still_camera_claims_no_range() -> None:
    """A near hypothesis explains turns best; nothing of that is an observation of the range."""
    rng = np.random.default_rng(4)
    path = _weave((300.0, 300.0), up=30.0, phase=0.0)
    tracker = Tracker()
    for half in range(160):
        t = 0.5 * half
        tracker.add([_seen(rng, t, path(t), "eo-1")])
        tracker.advance(t)
        for view in firm(tracker.tracks()):
            assert not view.range_observed
            assert abs(np.linalg.norm(path(t)) - view.range) < 2.0 * view.range_sigma
            assert view.range_sigma > 0.8 * view.range
            # The place says what the range says.
            away = view.position / np.linalg.norm(view.position)
            along = math.sqrt(away @ view.covariance[:3, :3] @ away)
            assert np.linalg.norm(view.position) == pytest.approx(view.range, rel=0.01)
            assert along == pytest.approx(view.range_sigma, rel=0.05)
    assert len(firm(tracker.tracks())) == 1
