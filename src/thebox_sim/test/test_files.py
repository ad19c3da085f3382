# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Offline files and the replayer."""

from __future__ import annotations

import itertools
import json
import math
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebox_sim import offline, replay
from thebox_sim.replay import Datagram, lay_out
from thebox_sim.scenario import scenario_names

PACKAGE = Path(__file__).resolve().parents[1]
REQUIRED = {
    "sensor",
    "t",
    "t_received",
    "bearing_rad",
    "bearing_sigma_rad",
    "own_east_m",
    "own_north_m",
}
OPTIONAL = {
    "alt_bearing_rad",
    "range_m",
    "range_sigma_m",
    "elevation_rad",
    "elevation_sigma_rad",
    "rssi_dbm",
    "frequency_hz",
    "key",
    "confidence",
}


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", scenario_names())
def test_offline_files_are_what_they_promise(name, tmp_path, capsys):
    detections, truth = tmp_path / "d.jsonl", tmp_path / "t.jsonl"
    arguments = [name, "--seed", "3", "--duration", "20"]
    arguments += ["--detections", str(detections), "--truth", str(truth)]
    assert offline.main(arguments) == 0
    rows, seconds = lines_of(detections), lines_of(truth)
    assert f"{len(rows)} detections, 21 seconds" in capsys.readouterr().out
    assert [s["t"] for s in seconds] == [float(i) for i in range(21)]
    for second in seconds:
        for identity, east, north, up, kind in second["objects"]:
            assert isinstance(identity, str)
            assert all(math.isfinite(v) for v in (east, north, up))
            assert kind in ("drone", "bird", "boat", "other", "airplane", "helicopter")
    for row in rows:
        assert REQUIRED <= set(row) <= REQUIRED | OPTIONAL
        assert 0.0 <= row["bearing_rad"] < 2.0 * math.pi + 1e-6
        assert 0.0 < row["bearing_sigma_rad"] < 1.0
        assert -1.0 <= row["t"] <= row["t_received"] <= 20.0 + 1e-6
        assert ("range_m" in row) == ("range_sigma_m" in row)
        assert row["sensor"] in ("droneshield", "silvus", "mara", "dspnor", "trakka")
    assert [r["t_received"] for r in rows] == sorted(r["t_received"] for r in rows)
    if name == "silent":
        assert rows == []
    again = tmp_path / "again.jsonl"
    arguments[arguments.index(str(detections))] = str(again)
    assert offline.main(arguments) == 0
    assert again.read_bytes() == detections.read_bytes()


def test_a_camera_that_somebody_steers_is_in_the_files(tmp_path):
    plain, steered, again = (tmp_path / name for name in ("plain", "steered", "again"))
    arguments = ["harbour", "--seed", "3", "--duration", "30", "--truth-ids", "--truth", os.devnull]
    assert offline.main([*arguments, "--detections", str(plain)]) == 0
    for path in (steered, again):
        assert offline.main([*arguments, "--camera", "--detections", str(path)]) == 0
    assert steered.read_bytes() == again.read_bytes()
    rows = lines_of(steered)
    seen = [row for row in rows if row["sensor"] == "trakka"]
    # Nothing else changes: each sensor has randomness of its own.
    assert [row for row in rows if row["sensor"] != "trakka"] == lines_of(plain)
    assert len(seen) > 30
    assert all("elevation_rad" in row and "range_m" not in row for row in seen)
    # It looks at more than one object, and the clutter of its tracker is rare.
    assert len({row["truth_id"] for row in seen} - {""}) >= 2
    assert sum(row["truth_id"] == "" for row in seen) < 0.2 * len(seen)


def test_truth_ids_are_there_only_when_asked(tmp_path):
    files = [tmp_path / "d", tmp_path / "t"]
    arguments = ["harbour", "--duration", "5", "--truth-ids"]
    arguments += ["--detections", str(files[0]), "--truth", str(files[1])]
    assert offline.main(arguments) == 0
    known = {o[0] for second in lines_of(files[1]) for o in second["objects"]} | {""}
    causes = {row["truth_id"] for row in lines_of(files[0])}
    assert len(causes) > 3
    assert causes <= known


def test_offline_runs_as_a_module_and_explains_its_errors(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    command = [sys.executable, "-m", "thebox_sim.offline", "nowhere"]
    command += ["--detections", str(tmp_path / "d"), "--truth", str(tmp_path / "t")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there are: crossing" in done.stderr
    missing = str(tmp_path / "no" / "folder")
    arguments = ["silent", "--detections", missing, "--truth", str(tmp_path / "t")]
    assert offline.main(arguments) == 1


# --- replay ---------------------------------------------------------------------------------


def record(second, tag):
    return json.dumps({"Data": {"EpochTimeMilliSeconds": second * 1000, "CorrelationKey": tag}})


def capture(path, dialect="json"):
    rows = [record(100, "a"), record(102, "b"), record(101, "c"), record(102, "d")]
    rows.append('{"Data": {"EpochTimeMilliSeconds": 10300')
    if dialect == "python":
        rows = [repr(json.loads(r)) if r.endswith("}}") else r for r in rows]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return [r.encode() for r in rows]


@pytest.mark.parametrize("dialect", ["json", "python"])
@pytest.mark.parametrize("rate", ["max", "40"])
def test_every_line_arrives_as_it_is(tmp_path, dialect, rate, capsys):
    rows = capture(tmp_path / "c.txt", dialect)
    got = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(10.0)

        def listen():
            got.extend(udp.recv(65536) for _ in rows)

        thread = threading.Thread(target=listen)
        thread.start()
        to = f"udp://127.0.0.1:{udp.getsockname()[1]}"
        status = replay.main([str(tmp_path / "c.txt"), "--to", to, "--rate", rate])
        thread.join()
    assert status == 0
    assert got == rows
    assert "5 datagrams sent in" in capsys.readouterr().out


def test_the_pace_is_the_running_maximum_spread_over_each_second(tmp_path):
    rows = capture(tmp_path / "c.txt")
    due = [d.due for d in lay_out(rows)]
    # a at 0; b, c, d and the damaged line share second 2.
    assert due == [0.0, 2.0, 2.25, 2.5, 2.75]


def test_waits_are_divided_by_the_rate():
    now = [0.0]
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    rows = [Datagram(float(i), b"x") for i in range(4)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        sent = replay.replay(rows, udp.getsockname(), 10.0, sleep=sleep, clock=lambda: now[0])
    assert sent == 4
    assert slept == pytest.approx([0.1, 0.1, 0.1])


def test_a_clock_set_anew_is_no_pause_of_a_day():
    rows = [record(s, "x").encode() for s in (100, 101, 101 + 86400, 102 + 86400)]
    due = [d.due for d in lay_out(rows)]
    assert due == [0.0, 1.0, 2.0, 3.0]


@given(st.lists(st.binary(max_size=80).map(lambda b: b.replace(b"\n", b"")), max_size=20))
def test_any_lines_are_laid_out_in_order(rows):
    laid = lay_out(rows)
    assert [d.payload for d in laid] == rows
    due = [d.due for d in laid]
    assert due == sorted(due)
    assert all(d >= 0.0 for d in due)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=30))
def test_any_stamps_are_laid_out_in_order(stamps):
    rows = [b'{"EpochTimeMilliSeconds": %d, "x": 1}' % s for s in stamps]
    due = [d.due for d in lay_out(rows)]
    assert due == sorted(due)
    # No wait longer than the longest gap, and a second for the lines of the last one.
    assert all(b - a <= 61.0 for a, b in itertools.pairwise(due))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--to", "tcp://127.0.0.1:1"],
        ["--to", "127.0.0.1:8888"],
        ["--to", "udp://127.0.0.1:99999"],
        ["--to", "udp://127.0.0.1"],
        ["--rate", "0"],
        ["--rate", "nan"],
        ["--rate", "fast"],
    ],
)
def test_wrong_options_are_explained(tmp_path, arguments, capsys):
    capture(tmp_path / "c.txt")
    with pytest.raises(SystemExit) as ended:
        replay.main([str(tmp_path / "c.txt"), *arguments])
    assert ended.value.code == 2
    assert "write" in capsys.readouterr().err


def test_an_empty_or_missing_capture_is_explained(tmp_path, capsys):
    (tmp_path / "empty.txt").write_text("\n\n", encoding="utf-8")
    assert replay.main([str(tmp_path / "empty.txt")]) == 2
    assert replay.main([str(tmp_path / "missing.txt")]) == 2
    printed = capsys.readouterr().err
    assert "holds no line" in printed
    assert "No such file" in printed
