# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Geometry, association, verification and cueing, without ROS."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebox_vision.association import Associator, Sight
from thebox_vision.cueing import Cue, CueRules, CueTrack, search_pattern
from thebox_vision.geometry import GimbalHistory, Pointing, View, separation
from thebox_vision.verification import Candidate, Rules, Standing, Verdict, Verifier

angle = st.floats(0.0, 6.28)


def pointing(time: float = 0.0, bearing: float = 1.0, elevation: float = 0.1) -> Pointing:
    return Pointing(time, bearing, elevation, math.radians(4.0))


@given(angle, st.floats(-0.5, 1.2), st.floats(0, 1280), st.floats(0, 720), st.floats(0.01, 1.5))
def test_a_pixel_and_back(
    bearing: float, elevation: float, x: float, y: float, field: float
) -> None:
    view = View(Pointing(0.0, bearing, elevation, field), 1280, 720)
    there = view.direction(x, y)
    back = view.pixel(*there)
    assert back is not None
    assert back == pytest.approx((x, y), abs=1e-3)


def test_the_middle_and_the_edge_of_a_picture() -> None:
    view = View(Pointing(0.0, 0.01, 0.0, math.radians(30.0)), 1280, 720)
    assert view.direction(640, 360) == pytest.approx((0.01, 0.0))
    left, _ = view.direction(0, 360)
    assert left == pytest.approx(2.0 * math.pi + 0.01 - math.radians(15.0))
    assert view.direction(640, 0)[1] > 0.0
    assert view.pixel(math.pi, 0.0) is None


def test_the_gimbal_is_interpolated_across_north() -> None:
    history = GimbalHistory(reach=0.3)
    history.add(Pointing(10.0, 2.0 * math.pi - 0.1, 0.0, 0.1))
    history.add(Pointing(10.2, 0.1, 0.2, 0.1))
    between = history.at(10.15)
    assert between is not None
    assert between.bearing == pytest.approx(0.05)
    assert between.elevation == pytest.approx(0.15)
    assert between.rate == pytest.approx(math.hypot(0.2 * math.cos(0.15), 0.2) / 0.2)
    assert between.rate_against(1.0, 1.0) == pytest.approx(0.0)
    # Beyond the newest it goes on as it turned; the gimbal's own rate is against its ship.
    beyond = history.at(10.4)
    assert beyond is not None
    assert (beyond.bearing, beyond.elevation) == pytest.approx((0.3, 0.4))
    assert history.at(10.6) is None
    history.add(Pointing(10.3, math.nan, 0.0, 0.1))
    newest = history.newest
    assert newest is not None
    assert newest.time == 10.2


def sight(
    time: float, bearing: float, label: str = "drone", score: float = 0.8, elevation: float = 0.1
) -> Sight:
    return Sight(time, bearing, elevation, 0.002, 0.001, label, score)


def test_a_trail_survives_weak_frames_and_ends_in_silence() -> None:
    associator = Associator()
    first = associator.update(0.0, [sight(0.0, 1.0)])[0]
    assert first is not None
    # Too weak to begin a trail, strong enough to go on with one.
    assert associator.update(0.1, [sight(0.1, 1.001, score=0.2)])[0] is first
    assert associator.update(0.2, [sight(0.2, 2.0, score=0.2)]) == [None]
    crossing = associator.update(0.3, [sight(0.3, 1.003), sight(0.3, 1.3, "bird")])
    assert crossing[0] is first
    assert crossing[1] is not first
    assert first.hits == 3
    associator.update(9.0, [])
    assert associator.trails == []


def candidate(sigma: float = 0.002, distance: float = 100.0) -> Candidate:
    return Candidate("one", 1.0, sigma, 0.1, sigma, distance)


def play(verifier: Verifier, labels: list[str], start: float = 0.0) -> Standing:
    associator = Associator()
    for i, label in enumerate(labels):
        time = start + 0.1 * i
        view = View(pointing(time), 960, 540)
        found = [sight(time, 1.0, label)] if label else []
        verifier.look(view, found, associator.update(time, found), [candidate()])
    return verifier.standings["one"]


def test_a_verdict_needs_consecutive_looks_that_agree() -> None:
    rules = Rules(looks=4, empty_looks=6)
    standing = play(Verifier(rules), ["drone"] * 3)
    assert standing.verdict == Verdict.NOT_LOOKED
    standing = play(Verifier(rules), ["drone", "drone", "bird", "drone", "drone", "drone"])
    assert standing.verdict == Verdict.NOT_LOOKED
    standing = play(Verifier(rules), ["drone", "drone", "", "drone", "drone", "drone", "drone"])
    assert standing.verdict == Verdict.CONFIRMED
    assert standing.label == "drone"
    assert "4 consecutive looks" in standing.reason


def test_another_class_refutes_and_so_does_an_empty_sky() -> None:
    rules = Rules(looks=3, empty_looks=5)
    bird = play(Verifier(rules), ["bird", "airplane", "bird"])
    assert (bird.verdict, bird.label) == (Verdict.REFUTED, "bird")
    nothing = play(Verifier(rules), [""] * 5)
    assert (nothing.verdict, nothing.label) == (Verdict.REFUTED, "nothing")
    verifier = Verifier(rules)
    play(verifier, ["drone"] * 3)
    later = play(verifier, ["bird"] * 3, start=10.0)
    assert later.verdict == Verdict.REFUTED
    verifier.forget(set())
    assert verifier.standings == {}


def test_an_empty_picture_says_nothing_of_what_would_not_show() -> None:
    for far in (
        candidate(distance=10_000.0),
        candidate(distance=math.nan),
        candidate(sigma=0.1),
        Candidate("one", 1.0, 0.002, math.nan, math.nan, 100.0),
    ):
        verifier = Verifier(Rules(empty_looks=2))
        for i in range(10):
            verifier.look(View(pointing(0.2 * i), 960, 540), [], [], [far])
        standing = verifier.standings.get("one", Standing())
        assert (standing.verdict, standing.looks) == (Verdict.NOT_LOOKED, 0)
    verifier = Verifier(Rules(empty_looks=2))
    behind = Candidate("one", 4.0, 0.002, 0.1, 0.002, 100.0)
    assert verifier.look(View(pointing(), 960, 540), [], [], [behind]) == []
    verifier.give_up("one", 5.0, "no verdict in time")
    assert verifier.standings["one"].verdict == Verdict.INCONCLUSIVE


def test_neighbouring_frames_are_one_look() -> None:
    verifier = Verifier(Rules(looks=2, spacing=0.1))
    for time in (0.0, 0.03, 0.06):
        found = [sight(time, 1.0)]
        verifier.look(View(pointing(time), 960, 540), found, [None], [candidate()])
    assert verifier.standings["one"].looks == 1


@given(st.floats(0.01, 0.5), st.floats(0.01, 0.5), st.floats(0.02, 0.3))
def test_a_search_covers_its_area(wide: float, tall: float, field: float) -> None:
    places = search_pattern(wide, tall, field, field / 1.78)
    assert places[0] == (0.0, 0.0)
    for x in np.linspace(-wide, wide, 7):
        for y in np.linspace(-tall, tall, 7):
            assert any(
                abs(x - a) <= field / 2 + 1e-9 and abs(y - b) <= field / 3.56 + 1e-9
                for a, b in places
            )


def cue_track(name: str = "one", **changes: float) -> CueTrack:
    values = {"bearing": 1.0, "elevation": 0.1, "range": 500.0, "confidence": 0.9, "threat": 0.0}
    values.update(changes)
    return CueTrack(
        name,
        values["bearing"],
        0.004,
        values["elevation"],
        0.004,
        values["range"],
        values["confidence"],
        True,
        values["threat"],
    )


def test_the_most_dangerous_unknown_track_comes_first() -> None:
    cue = Cue(CueRules())
    far, near = cue_track("far", range=3000.0), cue_track("near", range=200.0)
    zone = cue_track("zone", range=3000.0, threat=1.0)
    aim = cue.step(0.0, [far, near, zone], {}, pointing())
    assert aim is not None
    assert cue.target == aim.id == "zone"
    seen = {"zone": Standing(Verdict.CONFIRMED, time=1.0, last_look=1.0, run=4, seen=1.0)}
    cue.step(1.1, [far, near, zone], seen, pointing())
    assert cue.target == "near"
    assert cue.cue_to_confirm == [1.0]
    assert cue.priority(cue_track(confidence=0.1), None, 0.0) == 0.0


def test_the_camera_is_left_alone_when_locked_unknown_or_already_there() -> None:
    cue = Cue(CueRules())
    tracks = [cue_track()]
    assert cue.step(0.0, tracks, {}, pointing(), locked=True) is None
    assert cue.step(0.0, tracks, {}, None) is None
    assert cue.target == ""
    aim = cue.step(0.0, tracks, {}, pointing(bearing=3.0))
    assert aim is not None
    there = Pointing(0.2, aim.bearing + 0.1 * aim.field_of_view, aim.elevation, aim.field_of_view)
    assert cue.step(0.2, tracks, {}, there) is None


def test_a_search_goes_on_place_by_place_and_gives_up() -> None:
    rules = CueRules(dwell=1.0, timeout=30.0)
    cue = Cue(rules)
    track = cue_track(elevation=math.nan)
    at, places, now = pointing(bearing=3.0), set(), 0.0
    while now < 29.0:
        aim = cue.step(now, [track], {}, at)
        if aim is not None:
            places.add(aim.step)
            at = Pointing(now, aim.bearing, aim.elevation, aim.field_of_view)
        now += 0.25
    assert len(places) >= 5
    cue.step(31.0, [track], {}, at)
    assert cue.abandoned == "one"
    assert cue.step(32.0, [track], {}, at) is None
    assert cue.step(31.5 + rules.retry, [track], {}, at) is not None


def test_what_was_seen_is_looked_at_large_and_where_it_was_seen() -> None:
    rules = CueRules()
    cue = Cue(rules)
    track = cue_track(elevation=math.nan, range=400.0)
    wide = cue.step(0.0, [track], {}, pointing(bearing=3.0))
    assert wide is not None
    standing = Standing(seen=1.0, seen_at=(track.bearing + 0.01, 0.21))
    there = Pointing(1.1, wide.bearing, wide.elevation, wide.field_of_view)
    close = cue.step(1.1, [track], {track.id: standing}, there)
    assert close is not None
    assert (close.bearing, close.elevation) == pytest.approx((track.bearing + 0.01, 0.21))
    ratio = wide.field_of_view / close.field_of_view
    assert ratio == pytest.approx(rules.pixels / rules.search_pixels)
    # It has moved since then as the track has.
    moved = cue_track(elevation=math.nan, range=400.0, bearing=track.bearing + 0.005)
    before = Standing(seen=1.0, seen_at=standing.seen_at, expected_at=(track.bearing, math.nan))
    after = cue.step(1.2, [moved], {track.id: before}, there)
    assert after is not None
    assert (after.bearing, after.elevation) == pytest.approx((track.bearing + 0.015, 0.21))
    # Not seen again: the search goes on, wide.
    later = cue.step(4.0, [track], {track.id: standing}, there)
    assert later is None or later.field_of_view == pytest.approx(wide.field_of_view)


def test_separation_of_small_and_large_angles() -> None:
    assert separation(0.0, 0.0, 1e-5, 0.0) == pytest.approx(1e-5)
    assert separation(0.0, 0.0, math.pi, 0.0) == pytest.approx(math.pi)


def test_snapshots_are_bounded(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    from thebox_vision.detector import Box
    from thebox_vision.snapshots import Snapshots

    store = Snapshots(tmp_path / "kept", keep=3)
    image = np.full((200, 300, 3), 120, np.uint8)
    name = "0" * 8 + "-0000-0000-0000-" + "0" * 12
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "other.jpg").write_text("not ours")
    written = [
        store.store(name, 10.0 + i, image, Box(280, 180, 300, 200, "drone", 0.9), "drone")
        for i in range(5)
    ]
    left = sorted(p.name for p in (tmp_path / "kept").iterdir())
    assert left == [*written[2:], "other.jpg"]
    assert (tmp_path / "kept" / written[-1]).read_bytes()[:2] == b"\xff\xd8"
