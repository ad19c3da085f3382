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
from thebox_vision.cueing import Cue, CueRules, CueTrack
from thebox_vision.geometry import GimbalHistory, Pointing, View, separation
from thebox_vision.search import Prior, Search
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


def prior(bearing: float = 1.0, **changes: float) -> Prior:
    values = {"bearing_sigma": 0.02, "elevation": math.nan, "elevation_sigma": math.nan}
    values.update(changes)
    return Prior(
        bearing,
        values["bearing_sigma"],
        values["elevation"],
        values["elevation_sigma"],
        low=-0.03,
        high=0.5,
        sigmas=2.0,
    )


def looked_at(search: Search, what: Prior, at: Pointing) -> Pointing:
    """Turn to the next place and look."""
    bearing, elevation = search.next(what, at)
    there = Pointing(at.time, bearing, elevation, search.field)
    search.looked(View(there, 960, 540))
    return there


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(("sigma", "field"), [(0.006, 0.05), (0.02, 0.05), (0.05, 0.06)])
def test_a_search_covers_its_area(sigma: float, field: float, known: bool) -> None:
    elevation = {"elevation": 0.3, "elevation_sigma": 0.2} if known else {}
    what = prior(6.2, bearing_sigma=sigma, **elevation)
    search = Search(0.0, what, field, field / 1.78)
    at, seen = Pointing(0.0, 6.2, 0.0, field), []
    low, high = what.rise
    places = max(4.0 * sigma / field, 1.0) * 1.78 * (high - low) / field
    for _ in range(round(6.0 * places)):
        at = looked_at(search, what, at)
        seen.append(View(at, 960, 540))
    for x in np.linspace(-1.5 * sigma, 1.5 * sigma, 5):
        for y in np.linspace(low + 0.02, high - 0.02, 9):
            spots = [view.pixel(6.2 + x, y) for view in seen]
            assert any(p is not None and v.holds(*p) for p, v in zip(spots, seen, strict=True))


def test_a_search_is_not_led_astray_by_a_track_that_jumps() -> None:
    search = Search(0.0, prior(1.0), 0.05, 0.028)
    at, heights = Pointing(0.0, 1.0, 0.0, 0.05), set()
    for i in range(40):
        # A radar of two dimensions: bearing and height jump with each of its plots.
        jumping = prior(
            1.0 + 0.01 * (-1) ** i, elevation=0.25 + 0.1 * math.sin(i), elevation_sigma=0.2
        )
        search.carry(0.4 * i, 0.0)
        at = looked_at(search, jumping, at)
        heights.add(round(at.elevation / 0.02))
    assert len(heights) >= 15  # of 0 to 0.5 rad: not the same few over and over


def test_a_place_counts_as_searched_when_a_picture_has_shown_it() -> None:
    search, what = Search(0.0, prior(), 0.05, 0.028), prior()
    at = Pointing(0.0, 1.0, 0.0, 0.05)
    first = search.next(what, at)
    assert search.next(what, at) == first
    search.looked(View(Pointing(1.0, 2.0, 0.0, 0.05), 960, 540))
    assert search.next(what, at) == first
    looked_at(search, what, at)
    second = search.next(what, Pointing(1.0, *first, 0.05))
    assert separation(*first, *second) > 0.015
    # The grid goes on as the track does, and what was looked at comes back in time.
    search.carry(1.0, 0.1)
    assert search.next(what, at)[0] == pytest.approx(second[0] + 0.1)
    assert not search.fits(prior(1.0 + 1.0), 0.05)
    assert not search.fits(prior(1.1), 0.1)
    assert search.fits(prior(1.1), 0.05)


def cue_track(
    name: str = "one", confirmed: bool = True, camera_only: bool = False, **changes: float
) -> CueTrack:
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
        confirmed,
        values["threat"],
        values.get("rate", 0.0),
        camera_only,
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
    rules = CueRules(timeout=10.0)
    cue = Cue(rules)
    track = cue_track(elevation=math.nan, range=900.0)
    at, places, now = pointing(bearing=3.0), set(), 0.0
    while not cue.abandoned:
        aim = cue.step(now, [track], {}, at)
        if aim is not None:
            places.add(aim.step)
            at = Pointing(now, aim.bearing, aim.elevation, aim.field_of_view)
        cue.looked(View(at, 960, 540), {})
        now += 0.25
    assert len(places) >= 5
    assert cue.abandoned == "one"
    assert cue.abandoned_after == pytest.approx(now - 0.25)
    assert 10.0 <= now < 11.0
    assert cue.step(now + 1.0, [track], {}, at) is None
    cue.step(now + 0.5 + rules.retry, [track], {}, at)
    assert cue.target == "one"
    # Pictures are slow to come: the track has more time.
    cue = Cue(rules)
    cue.step(0.0, [track], {}, at)
    for now in (5.0, 11.0, 25.0):
        cue.step(now, [track], {}, at)
        assert cue.target == "one"
        cue.looked(View(at, 960, 540), {})
    cue.step(31.0, [track], {}, at)
    assert cue.abandoned == "one"


def test_a_search_that_has_looked_everywhere_ends() -> None:
    cue = Cue(CueRules())
    track = cue_track(range=math.nan)  # as of a false alarm: a direction, well known
    at, now = pointing(), 0.0
    while not cue.abandoned:
        aim = cue.step(now, [track], {}, at)
        if aim is not None:
            at = Pointing(now, aim.bearing, aim.elevation, aim.field_of_view)
        cue.looked(View(at, 960, 540), {})
        now += 0.2
    assert now < 0.5 * cue.rules.timeout
    # What was seen, however faintly, is looked at until its time is over.
    cue, now = Cue(CueRules()), 0.0
    seen = {"one": Standing(seen=0.1, seen_at=(1.0, 0.1))}
    while not cue.abandoned:
        aim = cue.step(now, [track], seen, at)
        if aim is not None:
            at = Pointing(now, aim.bearing, aim.elevation, aim.field_of_view)
        cue.looked(View(at, 960, 540), seen)
        now += 0.2
    assert now > cue.rules.timeout


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
    # It has moved since then as fast as the track does; a track that jumps is no motion.
    moved = cue_track(elevation=math.nan, range=400.0, bearing=track.bearing - 0.02, rate=0.03)
    after = cue.step(1.2, [moved], {track.id: standing}, there)
    assert after is not None
    assert (after.bearing, after.elevation) == pytest.approx((track.bearing + 0.016, 0.21))
    # Pictures come slowly: two that do not show it, and it is still looked for there.
    for _ in range(2):
        cue.looked(View(there, 960, 540), {track.id: standing})
    still = cue.step(4.0, [track], {track.id: standing}, there)
    assert still is not None
    assert still.field_of_view == pytest.approx(close.field_of_view)
    # Not seen again: the search goes on, wide.
    for _ in range(2):
        cue.looked(View(there, 960, 540), {track.id: standing})
    later = cue.step(4.2, [track], {track.id: standing}, there)
    assert later is None or later.field_of_view == pytest.approx(wide.field_of_view)


def test_clutter_does_not_keep_the_camera_from_a_confirmed_track() -> None:
    rules = CueRules()
    cue = Cue(rules)
    clutter = cue_track("clutter", confirmed=False, range=2000.0, confidence=0.6)
    cue.step(0.0, [clutter], {}, pointing())
    assert cue.target == "clutter"
    # It turns out to be hardly there: the camera goes home.
    assert (
        cue.step(1.0, [cue_track("clutter", confirmed=False, confidence=0.1)], {}, pointing())
        is None
    )
    assert cue.target == ""
    again = cue_track("other", confirmed=False, range=2000.0, confidence=0.6)
    cue.step(2.0, [again], {}, pointing())
    assert cue.target == "other"
    cue.step(3.0, [again, cue_track("real")], {}, pointing())
    assert cue.target == "real"
    # What has just been seen is looked at to the end.
    seen = {"real": Standing(seen=3.5, seen_at=(1.0, 0.1))}
    cue.step(4.0, [cue_track("real"), cue_track("zone", threat=1.0)], seen, pointing())
    assert cue.target == "real"


def test_a_second_track_of_the_camera_alone_is_not_cued() -> None:
    cue = Cue(CueRules())
    double = cue_track("double", camera_only=True, bearing=1.006)
    assert cue.step(0.0, [double, cue_track("radar", confidence=0.1)], {}, pointing()) is None
    assert (
        cue.step(0.0, [cue_track("own", camera_only=True, bearing=2.0)], {}, pointing()) is not None
    )


def test_a_box_goes_to_the_track_that_explains_it_and_not_to_its_double() -> None:
    radar = Candidate("radar", 1.004, 0.004, 0.12, 0.01, 300.0)
    vague = Candidate("vague", 1.0, 0.02, 0.1, 0.2, 300.0)
    double = Candidate("double", 1.0, 0.001, 0.1, 0.001, math.nan, camera_only=True)
    anywhere = Candidate("anywhere", 1.0, 0.5, 0.1, 0.01, math.nan)
    verifier = Verifier(Rules(looks=3))
    for i in range(4):
        found = [sight(0.1 * i, 1.0)]
        tracks = [double, anywhere, vague, radar]
        verifier.look(View(pointing(0.1 * i), 960, 540), found, [None], tracks, cued="radar")
    standings = verifier.standings
    assert standings["radar"].verdict == Verdict.CONFIRMED
    others = [standings.get(name, Standing()).hits for name in ("double", "vague", "anywhere")]
    assert others == [0, 0, 0]
    # A box that no other track explains is the camera's own; a search may find what is anywhere.
    for name, tracks in (("double", [double]), ("anywhere", [anywhere])):
        verifier.look(View(pointing(9.0), 960, 540), [sight(9.0, 1.0)], [None], tracks, cued=name)
        assert standings[name].hits == 1
    # Also when the camera is there for another track: the better known one keeps what is its own.
    for cued in ("vague", "anywhere", ""):
        verifier = Verifier(Rules())
        tracks = [anywhere, vague, Candidate("radar", 1.004, 0.03, 0.12, 0.01, 300.0)]
        verifier.look(View(pointing(), 960, 540), [sight(0.0, 1.0)], [None], tracks, cued=cued)
        assert verifier.standings["radar"].hits == 1
    # A faint box of what is known as another's is no reason to look closer.
    verifier = Verifier(Rules())
    trail = Associator().update(0.0, [sight(0.0, 1.0)])
    verifier.look(View(pointing(), 960, 540), [sight(0.0, 1.0)], trail, [radar], cued="radar")
    faint = [sight(0.2, 1.0, score=0.3)]
    verifier.look(View(pointing(0.2), 960, 540), faint, trail, [vague, radar], cued="vague")
    assert verifier.standings["radar"].seen == 0.2
    assert verifier.standings["vague"].seen == -math.inf


def test_the_compass_may_be_off_by_what_is_told() -> None:
    track = Candidate("one", 1.0, 0.001, 0.1, 0.001, 300.0)
    for error, hits in ((0.0, 0), (0.005, 1)):
        verifier = Verifier(Rules(registration=error))
        verifier.look(View(pointing(), 960, 540), [sight(0.0, 1.012)], [None], [track])
        assert verifier.standings["one"].hits == hits


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
