# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A radar's track and the boxes of a camera that is cued to it: one object is one track."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from thebox_fusion.tracker import Detection, Tracker, TrackState, TrackView

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
