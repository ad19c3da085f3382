# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The scorecard's figures on pictures whose score is known, and the truth's files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from thebox_bringup.score.figures import Heard, Picture, Seen, score
from thebox_bringup.score.report import page
from thebox_bringup.score.truth import Path3, TruthError, load_truth
from thebox_core.geodesy import Datum

BEGIN = 1_767_225_600.0
OSLO = Datum(math.radians(59.9), math.radians(10.7), 0.0)


def _path(name: str = "d1", kind: str = "drone", seconds: int = 100, north: float = 800.0) -> Path3:
    path = Path3(name, kind)
    for t in range(seconds):
        path.add(BEGIN + t, (10.0 * t, north, 50.0))
    return path


def _seen(name: str, east: float, north: float = 800.0) -> Seen:
    return Seen(name, east, north, math.atan2(east, north) % (2 * math.pi), 0.01)


def _pictures(tracks: dict[int, list[Seen]], seconds: int = 100) -> list[Picture]:
    return [Picture(BEGIN + t, tuple(tracks.get(t, ()))) for t in range(seconds)]


def test_figures_of_a_known_picture() -> None:
    # Found after 10 s, 3 m beside it; lost from 50 to 59; then another identity.
    tracks = {t: [_seen("a" if t < 50 else "b", 10.0 * t + 3.0)] for t in range(10, 100)}
    for t in range(50, 60):
        tracks[t] = []
    for t in range(20, 30):
        tracks[t].append(_seen("ghost", -3000.0))
    card = score(_pictures(tracks), [_path()])
    assert card.detection.value == pytest.approx(0.8)
    (one,) = card.objects
    assert (one.seconds, one.held, one.longest, one.changes) == (100, 80, 40, 1)
    assert one.time_to_alert == pytest.approx(10.0)
    assert card.continuity == pytest.approx(0.4)
    assert (card.false_tracks, card.confirmed_tracks) == (1, 3)
    assert card.false_per_hour == pytest.approx(36.0)
    assert card.error(50) == pytest.approx(3.0)
    assert card.error(95) == pytest.approx(3.0)
    bands = card.as_dict()["by_range"]
    assert sum(row["object_seconds"] for row in bands.values()) == 100
    assert bands["0.5 to 1 km"]["probability_of_detection"] == pytest.approx(0.655, abs=0.2)
    assert json.loads(json.dumps(card.as_dict()))["identity_changes"] == 1


def test_second_track_of_an_object_is_no_change_of_identity() -> None:
    tracks = {
        t: [_seen("a", 10.0 * t + (1.0 if t % 2 else 9.0)), _seen("b", 10.0 * t + 5.0)]
        for t in range(100)
    }
    card = score(_pictures(tracks), [_path()])
    assert card.identity_changes == 0
    assert card.continuity == 1.0


def test_bearing_alone_counts_by_its_angle() -> None:
    bearings = {
        t: [Seen("a", math.nan, math.nan, math.atan2(10.0 * t, 800.0) + 0.05, 0.1)]
        for t in range(100)
    }
    card = score(_pictures(bearings), [_path()])
    assert card.detection.value == 1.0
    assert math.isnan(card.error(50))
    assert card.bearing_errors == pytest.approx([0.05] * 100)
    wrong = {t: [Seen("a", math.nan, math.nan, math.pi, 0.1)] for t in range(100)}
    card = score(_pictures(wrong), [_path()])
    assert (card.detection.value, card.false_tracks) == (0.0, 1)


def test_track_of_a_bird_is_not_false_and_the_bird_is_not_scored() -> None:
    tracks = {t: [_seen("a", 10.0 * t)] for t in range(100)}
    bird = _path("b1", "bird")
    drone = _path("d1", north=5000.0)
    card = score(_pictures(tracks), [bird, drone])
    assert card.false_tracks == 0
    assert [one.id for one in card.objects] == ["d1"]
    assert card.detection.value == 0.0
    assert math.isinf(card.time_to_alert)
    assert len(score(_pictures(tracks), [bird, drone], classes=()).objects) == 2
    assert not score(_pictures(tracks), [drone], range_max=4000.0).objects


def test_sensors_are_told_apart() -> None:
    heard = [Heard(BEGIN + t, "mara", math.atan2(10.0 * t, 800.0), 0.02) for t in range(0, 100, 2)]
    heard += [Heard(BEGIN + t, "silvus", math.pi, 0.02) for t in range(10)]
    card = score(_pictures({}), [_path()], heard)
    told = card.as_dict()["by_sensor"]
    assert told["mara"] == {"detections": 50, "object_seconds_seen": 0.5, "unexplained": 0.0}
    assert told["silvus"]["object_seconds_seen"] == 0.0
    assert told["silvus"]["unexplained"] == 1.0


def test_report_names_objects_safely_and_needs_no_network() -> None:
    path = _path("<script>alert(1)</script>")
    tracks = {t: [_seen("a", 10.0 * t)] for t in range(100)}
    pictures = _pictures(tracks)
    text = page("bag", score(pictures, [path]), pictures, [path])
    assert "<script" not in text
    assert "http" not in text
    assert text.count("<svg") == text.count("</svg>") == 4
    empty = score([], [])
    assert "Scorecard" in page("empty", empty, [], [])


def _geodetic(east: float, north: float) -> tuple[float, float]:
    # Small distances: degrees by the radii of curvature, close enough for a metre.
    lat = 59.9 + math.degrees(north / 6_378_000.0)
    return lat, 10.7 + math.degrees(east / (6_388_000.0 * math.cos(math.radians(59.9))))


@pytest.mark.parametrize("kind", ["gpx", "csv", "jsonl"])
def test_truth_of_a_drone_from_a_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"flight.{kind}"
    lat, lon = _geodetic(300.0, 400.0)
    if kind == "gpx":
        points = "".join(
            f'<trkpt lat="{lat}" lon="{lon}"><ele>50</ele>'
            f"<time>2026-01-01T00:00:0{n}Z</time></trkpt>"
            for n in range(5)
        )
        path.write_text(
            '<gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><name>drone</name><trkseg>'
            f"{points}</trkseg></trk></gpx>"
        )
    elif kind == "csv":
        rows = "".join(f"{(BEGIN + n) * 1000:.0f},{lat},{lon},50\n" for n in range(5))
        path.write_text(
            f"Timestamp,Latitude,Longitude,Altitude(m)\n{BEGIN * 1000:.0f},0,0,0\n{rows}"
        )
    else:
        # It counts from its own zero.
        lines = [
            json.dumps({"t": n, "id": "drone", "lat": lat, "lon": lon, "alt": 50}) for n in range(5)
        ]
        path.write_text("\n".join(lines))
    (one,) = load_truth(path, OSLO.to_map, BEGIN)
    assert one.id == "drone"
    place = one.at(BEGIN + 2.5)
    assert place is not None
    assert place == pytest.approx([300.0, 400.0, 50.0], abs=2.0)
    assert one.at(BEGIN + 60.0) is None
    with pytest.raises(TruthError, match="--datum"):
        load_truth(path, None, BEGIN)


def test_truth_in_the_map_as_the_simulated_sky_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text('{"t": 1.0, "objects": [["d1", 1.0, 2.0, 3.0, "bird"]]}\n')
    (one,) = load_truth(path, None, BEGIN)
    assert (one.object_class, one.times, one.places) == ("bird", [BEGIN + 1], [(1.0, 2.0, 3.0)])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "a,b\n1,2\n", "lacks a column for lat and lon and time"),
        ("a.csv", "time,lat,lon\n", "holds no place"),
        ("a.jsonl", "{", "not what it should be"),
        ("a.gpx", "<gpx>", "not what it should be"),
        ("a.kml", "", "a truth is"),
    ],
)
def test_truth_that_cannot_be_used_says_why(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TruthError, match=said):
        load_truth(tmp_path / name, OSLO.to_map, BEGIN)
