# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures from the packer against the plain way, track by track."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("rclpy")

from thebox_core.packed import PackedPicture, stamp_of
from thebox_fusion.conversion import to_packed_track
from thebox_fusion.packing import LEAST_SHOWN, Packer
from thebox_fusion.tracker import Detection, Tracker, TrackState
from thebox_fusion.tracker.views import tracks_of

OBJECTS = ((900.0, 400.0, -8.0, 3.0), (-600.0, 1200.0, 5.0, -9.0), (300.0, -800.0, 0.0, 6.0))


def seen_at(t: float, rng: np.random.Generator) -> list[Detection]:
    """Return what a radar, a direction finder and a camera see of three objects, and clutter."""
    found = []
    for number, (east, north, speed_e, speed_n) in enumerate(OBJECTS):
        place = np.array([east + speed_e * t, north + speed_n * t])
        bearing = math.atan2(place[0], place[1])
        if rng.random() < 0.8:
            found.append(
                Detection(
                    "dspnor",
                    "RADAR",
                    t,
                    bearing=(bearing + rng.normal(0.0, 0.01)) % (2.0 * math.pi),
                    bearing_sigma=0.01,
                    range=math.hypot(*place, 80.0) + rng.normal(0.0, 8.0),
                    range_sigma=8.0,
                )
            )
        if rng.random() < 0.5:
            # Some of it is heard late.
            found.append(
                Detection(
                    "droneshield",
                    "RF",
                    t - float(rng.choice([0.0, 0.8])),
                    bearing=(bearing + rng.normal(0.0, 0.05)) % (2.0 * math.pi),
                    bearing_sigma=0.05,
                    key=str(number),
                    label="Drone",
                    frequency=2.4e9 + 1e6 * float(rng.integers(5)),
                    rssi=-60.0 + float(rng.normal()),
                )
            )
        if rng.random() < 0.3:
            found.append(
                Detection(
                    "mara",
                    "EO",
                    t,
                    bearing=(bearing + rng.normal(0.0, 0.01)) % (2.0 * math.pi),
                    bearing_sigma=0.01,
                    elevation=0.08,
                    elevation_sigma=0.01,
                    label="bird" if rng.random() < 0.2 else "uav",
                    confidence=0.7,
                )
            )
    found.extend(
        Detection(
            "dspnor",
            "RADAR",
            t,
            bearing=float(rng.uniform(0.0, 2.0 * math.pi)),
            bearing_sigma=0.01,
            range=float(rng.uniform(100.0, 4000.0)),
            range_sigma=8.0,
        )
        for _ in range(int(rng.poisson(3.0)))
    )
    return found


def test_a_packed_picture_is_that_of_its_views_to_the_byte() -> None:
    """Over births, misses, joined emitters, late detections, silence and deaths."""
    rng = np.random.default_rng(12)
    tracker, packer = Tracker(), Packer()
    kept, made = 0, 0
    seen: set[TrackState] = set()
    for step in range(1, 301):
        now = 10.0 + 0.2 * step
        if now < 50.0 and not step % 5:
            tracker.add(seen_at(now, rng))
        tracker.advance(now)
        stamp = stamp_of(1000.0 + now)
        before = dict(packer._words)
        tracks, states = packer.pack(tracker.core, now, stamp)
        views = [
            view
            for view in tracks_of(tracker.core, now, entries=1)
            if view.state is not TrackState.TENTATIVE or view.existence >= LEAST_SHOWN
        ]
        plain = [to_packed_track(view, stamp) for view in views]
        assert PackedPicture(stamp, stamp, tracks).write() == (
            PackedPicture(stamp, stamp, plain).write()
        )
        assert states == Counter(view.state for view in views)
        seen |= set(states)
        same = sum(packer._words[serial] is before.get(serial) for serial in packer._words)
        kept, made = kept + same, made + len(packer._words) - same
    assert tracker.counters["late"] > 10
    assert seen == set(TrackState)
    # Most words serve again, or the packer were no better than the plain way.
    assert kept > made > 50
