# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Figures of skies in which everything is known; a bag and a history of the same sky agree."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("diagnostic_updater", reason="no ROS here: run through ./thebox test")

from rclpy.serialization import serialize_message

from thebox_bringup.operations.analysis import (
    Plot,
    TrackLine,
    agreement,
    analyse,
    by_class,
    by_sector,
    over_bins,
    standing,
    width_of_bins,
)
from thebox_bringup.operations.analyze import main
from thebox_bringup.operations.observed import is_database
from thebox_bringup.recording.bag import BagWriter, Topic
from thebox_core.messages import new_detection, new_track, to_time, to_uuid
from thebox_fusion.dronedb.records import DetectionRow, TrackRow
from thebox_fusion.dronedb.schema import APPLICATION_ID
from thebox_fusion.dronedb.store import Store
from thebox_interfaces.msg import Track, TrackArray

BEGIN = 1_767_225_600.0


def _plots(bias: float, hole: tuple[int, int] = (0, 0)) -> list[Plot]:
    return [
        Plot(BEGIN + t, BEGIN + t + 0.2, (bias + (0.01 if t % 2 else -0.01)) % math.tau, 0.02)
        for t in range(100)
        if not hole[0] <= t < hole[1]
    ]


def test_figures_of_known_sensors() -> None:
    times = [BEGIN + t for t in range(100)]
    # A track due north: the differences cross the wrap.
    found = analyse(
        {"radar": _plots(0.03), "rf": _plots(-0.05, (40, 60))},
        (BEGIN, BEGIN + 99.0),
        times,
        [[0.0, math.pi]] * 100,
    )
    radar, rf = found["radar"], found["rf"]
    assert (radar.detections, radar.paired, radar.quiet) == (100, 100, ())
    assert radar.rate == pytest.approx(100 / 99)
    assert radar.delay_median == pytest.approx(0.2, abs=1e-6)
    assert radar.bias == pytest.approx(0.03)
    assert radar.spread == pytest.approx(0.01 * 1.4826)
    assert rf.bias == pytest.approx(-0.05)
    assert rf.quiet == ((39.0, 60.0),)
    assert rf.longest_gap == pytest.approx(21.0)
    assert json.loads(json.dumps(rf.as_dict()))["bearing_std_told_deg"] == pytest.approx(1.1459)


def test_detections_far_from_any_track_or_picture_are_not_paired() -> None:
    plots = [Plot(BEGIN, math.nan, 1.0, 0.1), Plot(BEGIN + 9.0, math.nan, 0.0, 0.1)]
    assert agreement(plots, [BEGIN], [[0.0]]) == []
    alone = analyse({"rf": plots}, (BEGIN, BEGIN + 9.0))["rf"]
    assert alone.paired == 0
    assert alone.as_dict()["bearing_bias_deg"] is None
    assert alone.as_dict()["delay_median_ms"] is None


def test_sectors_begin_at_north_and_wrap() -> None:
    bearings = [0.0, 0.1, math.tau - 1e-9, math.tau, math.pi / 2, -0.1, math.nan]
    counted = by_sector(bearings, 4)
    assert counted == [3, 1, 0, 2]
    assert by_sector([math.nan]) == [0] * 12


def test_counts_over_time_are_over_the_whole_span() -> None:
    moments = [BEGIN + t for t in (0.0, 0.5, 1.5, 2.4)]
    rows = over_bins(moments, (BEGIN, BEGIN + 2.5), 1.0)
    assert rows == [(0.5, 2.0), (1.5, 1.0), (2.25, pytest.approx(2.0))]
    assert over_bins([], (BEGIN, BEGIN), 1.0) == [(0.0, 0.0)]
    assert width_of_bins(100.0) == 1.0
    assert width_of_bins(86_400.0) == 1800.0
    assert width_of_bins(86_400.0 * 400) * 120 == pytest.approx(86_400.0 * 400)


def test_tracks_by_class_and_how_many_stood() -> None:
    lines = [
        TrackLine("drone", [(BEGIN + t, 0.1) for t in range(11)]),
        # Away in between for longer than it is taken to stand.
        TrackLine("drone", [(BEGIN, 1.0), (BEGIN + 8.0, 1.0), (BEGIN + 9.0, 1.0)]),
        TrackLine("bird", [(BEGIN + 5.0, 2.0)]),
    ]
    told = by_class(lines)
    assert (told["drone"].tracks, told["drone"].seconds) == (2, 19.0)
    assert (told["bird"].tracks, told["bird"].life_longest) == (1, 0.0)
    stood = standing(lines, (BEGIN, BEGIN + 10.0), 5.0)
    assert [round(v, 6) for _, v in stood["drone"]] == [1.4, 1.2]
    assert stood["bird"] == [(2.5, 0.0), (7.5, 0.0)]


# Through the command ------------------------------------------------------------------------------

RADAR, RF = "/thebox/detections/radar", "/thebox/detections/rf"
ONE, TWO = (f"0000000{n}-0000-4000-8000-000000000000" for n in (1, 2))


def _detection(sensor: str, at: float, bearing: float) -> bytes:
    made = new_detection()
    made.header.stamp, made.received = to_time(at), to_time(at + 0.1)
    made.sensor, made.bearing, made.bearing_std = sensor, bearing, 0.02
    return serialize_message(made)


def _tracks(at: float) -> list[Track]:
    found = []
    for name, kind, state, bearing in (
        (ONE, Track.CLASS_DRONE, Track.STATE_CONFIRMED, 1.0),
        (TWO, Track.CLASS_BIRD, Track.STATE_COASTING, 4.0),
        (TWO[:-1] + "9", Track.CLASS_DRONE, Track.STATE_TENTATIVE, 2.0),
    ):
        made = new_track()
        made.header.stamp, made.id = to_time(at), to_uuid(name)
        made.object_class, made.state, made.bearing = kind, state, bearing
        found.append(made)
    return found


def _sky() -> list[tuple[float, str, bytes]]:
    """A minute: radar twice a second at 1.03 rad, RF once a second at 0.98 but for a quarter."""
    rows = [(BEGIN + i / 2, RADAR, _detection("radar", BEGIN + i / 2, 1.03)) for i in range(120)]
    rows += [
        (BEGIN + i, RF, _detection("rf", BEGIN + i, 0.98)) for i in range(60) if not 20 <= i < 35
    ]
    return sorted(rows, key=lambda row: row[0])


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    path = tmp_path / "flight"
    with BagWriter(path) as writer:
        for name in (RADAR, RF):
            writer.add(Topic(name, "thebox_interfaces/msg/Detection"))
        writer.add(Topic("/thebox/tracks", "thebox_interfaces/msg/TrackArray"))
        for at, topic, data in _sky():
            writer.write(topic, round(at * 1e9), data)
        for i in range(60):
            array = TrackArray(tracks=_tracks(BEGIN + i))
            array.header.stamp = to_time(BEGIN + i)
            writer.write("/thebox/tracks", round((BEGIN + i) * 1e9), serialize_message(array))
    return path


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "dronedb.sqlite"
    store = Store(path)
    store.open()
    store.write(
        DetectionRow(topic.rpartition("/")[2], "", round(at * 1e9), data)
        for at, topic, data in _sky()
    )
    rows = []
    for i in range(60):
        for track, name in zip(_tracks(BEGIN + i)[:2], (ONE, TWO), strict=True):
            stamp = round((BEGIN + i) * 1e9)
            rows.append(
                TrackRow(
                    name,
                    stamp,
                    track.state,
                    track.object_class,
                    math.nan,
                    math.nan,
                    math.nan,
                    (),
                    serialize_message(track),
                )
            )
    store.write(rows)
    store.close()
    return path


def _told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_bag_and_the_history_tell_the_same(
    bag: Path, history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = _told(capsys, str(bag))
    assert told == {**_told(capsys, str(history)), "source": "flight"}
    assert told["seconds"] == pytest.approx(59.5)
    radar, rf = told["sensors"]["radar"], told["sensors"]["rf"]
    assert (radar["detections"], rf["detections"]) == (120, 45)
    assert radar["bearing_bias_deg"] == pytest.approx(math.degrees(0.03), abs=1e-3)
    assert rf["bearing_bias_deg"] == pytest.approx(math.degrees(-0.02), abs=1e-3)
    assert rf["quiet_s"] == [[19.0, 35.0]]
    assert radar["by_sector"] == [0, 120, *[0] * 10]
    # Tentative tracks are none yet; a coasting one was confirmed.
    assert {kind: one["tracks"] for kind, one in told["tracks"].items()} == {"bird": 1, "drone": 1}
    assert told["tracks"]["drone"]["track_seconds"] == pytest.approx(59.0)
    assert told["over_time"]["bin_s"] == 1.0
    assert set(told["over_time"]["detections_per_s"]["radar"][:59]) == {2.0}
    assert told["over_time"]["detections_per_s"]["rf"][20:35] == [0.0] * 15


def test_a_span_of_time_can_be_chosen(
    bag: Path, history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for source in (bag, history):
        # 2026-01-01T00:00 UTC is BEGIN.
        some = ("--from", "2026-01-01T00:00:10", "--to", "2026-01-01T02:00:20+02:00")
        told = _told(capsys, str(source), *some)
        assert told["begin"] == "2026-01-01T00:00:10.000+00:00"
        assert told["sensors"]["radar"]["detections"] == 20
    assert _told(capsys, str(bag), "--last", "0.5")["seconds"] == pytest.approx(30.0)
    # The history counts from now.
    assert main([str(history), "--last", "5"]) == 1
    assert "nothing" in (said := capsys.readouterr().err) or "no detection" in said


def test_terminal_and_report(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.html"
    assert main([str(bag), "--html", str(report)]) == 0
    said = capsys.readouterr().out
    assert "rf quiet from 19.0 to 35.0 s" in said
    assert re.search(r"^  30–60° +120 +45 +0 +60$", said, re.MULTILINE)
    page = report.read_text(encoding="utf-8")
    assert page.count("<svg") == 4 + 2 + 2
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert main([str(bag), "--html", str(tmp_path / "none" / "report.html")]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_the_boxes_own_history_is_the_default(
    history: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = history.parent / "run"
    monkeypatch.setenv("THEBOX_RUN_DIR", str(run))
    (history.parent / "data").mkdir()
    history.rename(history.parent / "data" / history.name)
    assert _told(capsys)["source"] == "dronedb.sqlite"


@pytest.mark.parametrize(
    "arguments",
    [
        ("x", "--from", "yesterday"),
        ("x", "--last", "-1"),
        ("x", "--last", "5", "--from", "2026-01-01"),
        ("x", "--from", "2026-01-02", "--to", "2026-01-01"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_what_cannot_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.sqlite"
    other.write_bytes(b"SQLite format 3\0" + bytes(100))
    empty = tmp_path / "empty"
    with BagWriter(empty) as writer:
        writer.add(Topic("/thebox/raw/mara", "thebox_interfaces/msg/RawDatagram"))
    for path, said in (
        (tmp_path / "none", "no such bag"),
        (other, "neither"),
        (empty, "--offline"),
    ):
        assert main([str(path)]) == 1
        assert said in (told := capsys.readouterr().err), told
        assert told.startswith("analyze: ")


def test_a_young_database_whose_mark_is_still_in_the_log_is_known(tmp_path: Path) -> None:
    path = tmp_path / "young.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.commit()
        assert path.read_bytes()[68:72] == bytes(4)
        assert is_database(path)
        database.execute("PRAGMA application_id = 1")
        database.commit()
        assert not is_database(path)
    (tmp_path / "text").write_text("SQLite", encoding="ascii")
    assert not is_database(tmp_path / "text")
    assert not is_database(tmp_path)
