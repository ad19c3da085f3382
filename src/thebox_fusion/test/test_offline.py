# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The offline runner as its users run it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from thebox_fusion.offline import detection_of, main, one_recording, read_detections

SOURCE = Path(__file__).resolve().parents[1]


def record(sensor: str, t: float, **fields: object) -> dict[str, object]:
    base: dict[str, object] = {
        "sensor": sensor,
        "t": t,
        "bearing_rad": 0.5,
        "bearing_sigma_rad": 0.02,
        "own_east_m": 0.0,
        "own_north_m": 0.0,
    }
    return base | fields


def flight(seed: int, seconds: int = 30) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    rows = []
    for t in range(seconds):
        east, north = -400.0 + 12.0 * t, 1100.0 + 3.0 * t
        slant = math.sqrt(east**2 + north**2 + 80.0**2)
        rows.append(
            record(
                "dspnor",
                float(t),
                bearing_rad=(math.atan2(east, north) + rng.normal(0, 0.017)) % (2 * math.pi),
                bearing_sigma_rad=0.017,
                range_m=slant + rng.normal(0, 10.0),
                range_sigma_m=10.0,
            )
        )
        rows.append(record("mara", t + 0.4, bearing_rad=4.0, elevation_rad=0.1, key=None))
        rows.append(record("droneshield", t + 0.6, bearing_rad=2.5, bearing_sigma_rad=0.1, key="7"))
    return rows


def run(tmp_path: Path, lines: list[str], *extra: str) -> list[dict[str, object]]:
    source, target = tmp_path / "detections.jsonl", tmp_path / "tracks.jsonl"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main([str(source), str(target), *extra]) == 0
    return [json.loads(text) for text in target.read_text(encoding="utf-8").splitlines()]


def test_a_line_a_second_with_confirmed_tracks(tmp_path: Path) -> None:
    out = run(tmp_path, [json.dumps(row) for row in flight(1)])
    assert [row["t"] for row in out] == [float(t) for t in range(31)]
    (track,) = out[29]["tracks"]  # type: ignore[misc]
    assert math.hypot(track[1] - (-400.0 + 12.0 * 29), track[2] - (1100.0 + 3.0 * 29)) < 50.0
    assert len({row["tracks"][0][0] for row in out[5:29]}) == 1  # type: ignore[index]
    # The emitter of which only the bearing is known has no place among the positions.
    assert len(out[29]["bearings"]) >= 1  # type: ignore[arg-type]


def test_the_line_for_t_uses_nothing_later(tmp_path: Path) -> None:
    rows = [json.dumps(row) for row in flight(2)]
    whole = run(tmp_path, rows)
    for cut in (20, 50, 71):
        part = run(tmp_path, rows[:cut])
        last = float(json.loads(rows[cut - 1])["t"])
        settled = [row for row in part if float(row["t"]) <= last]  # type: ignore[arg-type]
        assert settled == whole[: len(settled)]
        assert len(settled) >= int(last)


def test_the_module_runs_from_the_command_line(tmp_path: Path) -> None:
    source, target = tmp_path / "d.jsonl", tmp_path / "t.jsonl"
    lines = [json.dumps(row) for row in flight(3)]
    lines[4] = lines[4][:20]
    lines[7] = json.dumps(record("", 1.0))
    source.write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "thebox_fusion.offline", str(source), str(target)],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0
    assert "1 lines rejected: not JSON" in done.stderr
    assert "1 lines rejected: sensor is missing" in done.stderr
    assert len(target.read_text(encoding="utf-8").splitlines()) == 31


def test_parameters_from_a_file_and_clear_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = tmp_path / "p.json"
    parameters.write_text(json.dumps({"confirm_hits": 20}), encoding="utf-8")
    out = run(tmp_path, [json.dumps(r) for r in flight(4, 10)], "--params", str(parameters))
    assert all(row["tracks"] == [] for row in out)
    parameters.write_text(json.dumps({"nonsense": 1}), encoding="utf-8")
    detections = tmp_path / "detections.jsonl"
    assert main([str(detections), str(tmp_path / "o"), "--params", str(parameters)]) == 2
    assert "nonsense" in capsys.readouterr().err
    assert main([str(tmp_path / "absent"), str(tmp_path / "o")]) == 2


def test_empty_input_gives_empty_output(tmp_path: Path) -> None:
    assert run(tmp_path, []) == []


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "7",
        "null",
        '{"t": 1.0}',
        '{"sensor": "dspnor"}',
        '{"sensor":"x","t":"soon"}',
        '{"sensor":"x","t":true}',
        '{"sensor":"x","t":NaN}',
        '{"sensor":"x","t":-Infinity}',
        '{"sensor":"x","t":1.0,"bearing_rad":"north"}',
        '{"sensor":"x","t":1.0,"own_east_m":[0]}',
        '{"sensor":"x","t":1.0,"range_m":1' + "0" * 400 + "}",
        '{"sensor":"x","t":1' + "0" * 5000 + "}",
        "[" * 100_000,
        "{",
        "\ufffd\x00",
    ],
)
def test_bad_lines_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        detection_of(line)
    detections, rejected = read_detections(iter([line]))
    assert detections == [] and sum(rejected.values()) == 1
    assert all(len(reason) < 80 for reason in rejected)


def test_bad_lines_change_nothing_of_the_good_ones(tmp_path: Path) -> None:
    rows = [json.dumps(row) for row in flight(6)]
    whole = run(tmp_path, rows)
    spoilt = list(rows)
    for place, bad in (
        (3, '{"sensor": "dspnor", "t": "4"}'),
        (9, json.dumps(record("dspnor", 3.0, bearing_rad=math.nan, range_m=500.0))),
        (14, json.dumps(record("dspnor", 5.0, range_m=1e300))),
        (15, json.dumps(record("dspnor", 5.0, own_north_m=math.inf, range_m=700.0))),
        (20, json.dumps(record("dspnor", 1.7e9, range_m=900.0))),
        (21, json.dumps(record("dspnor", -1e18, range_m=900.0))),
        (22, ""),
    ):
        spoilt.insert(place, bad)
    assert run(tmp_path, spoilt) == whole
    source, target = tmp_path / "bytes.jsonl", tmp_path / "bytes_out.jsonl"
    source.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode() + b"\r\n\xff\xfe{\x80\n")
    assert main([str(source), str(target)]) == 0
    assert [json.loads(x) for x in target.read_text("utf-8").splitlines()] == whole


@pytest.mark.parametrize("seed", [1, 2])
def test_anything_in_any_field_gives_a_line_a_second(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    odd = [None, math.nan, math.inf, -1.0, 0.0, 1e9, -1e-300, "7", "", [], {}, True, 10**30, -3]
    rows = []
    for row in flight(seed, 20) * 3:
        for name in ("alt_bearing_rad", "elevation_rad", "rssi_dbm", "frequency_hz", "confidence"):
            if rng.random() < 0.2:
                row[name] = float(rng.normal())
        for name in list(row):
            if name != "t" and rng.random() < 0.08:
                row[name] = odd[rng.integers(len(odd))]
        if rng.random() < 0.1:
            del row[list(row)[rng.integers(len(row))]]
        rows.append(json.dumps(row))
    out = run(tmp_path, rows)
    assert [row["t"] for row in out] == [float(t) for t in range(21)]
    for row in out:
        for _, east, north in row["tracks"]:  # type: ignore[attr-defined]
            assert math.isfinite(east) and math.isfinite(north)


def test_the_order_of_the_lines_does_not_matter(tmp_path: Path) -> None:
    rows = flight(5)
    whole = run(tmp_path, [json.dumps(row) for row in rows])
    by_sensor = sorted(rows, key=lambda row: str(row["sensor"]))
    assert run(tmp_path, [json.dumps(row) for row in by_sensor]) == whole
    # Nor does what comes after t change a line up to t, whatever the order.
    for cut in (7.0, 13.4, 22.0):
        part = run(tmp_path, [json.dumps(r) for r in by_sensor if r["t"] <= cut])  # type: ignore[operator]
        settled = [row for row in part if float(row["t"]) <= cut]  # type: ignore[arg-type]
        assert settled == whole[: int(cut) + 1]


def test_lines_in_order_of_arrival_are_late_where_they_are(tmp_path: Path) -> None:
    rows = [json.dumps(row) for row in flight(7)]
    # A plot that comes 1 s after its time is in no picture before it came.
    swapped = [*rows[:30], *rows[31:34], rows[30], *rows[34:]]
    ordered, arrived = run(tmp_path, rows), run(tmp_path, swapped, "--as-arrived")
    assert run(tmp_path, swapped) == ordered
    assert arrived[10] != ordered[10]
    assert arrived[:10] == ordered[:10] and arrived[12:] == ordered[12:]


def test_one_wrong_stamp_does_not_make_years_of_lines() -> None:
    rows = [detection_of(json.dumps(row)) for row in flight(8)]
    wrong = [detection_of(json.dumps(record("dspnor", t))) for t in (1e9, -1e12, 5000.0)]
    assert one_recording([wrong[0], *rows, *wrong[1:]]) == rows
    epoch = [detection_of(json.dumps(record("dspnor", 1.7e9 + t))) for t in range(5)]
    assert one_recording(epoch) == epoch and one_recording([]) == []


@pytest.mark.parametrize(
    ("sensor", "fields", "modality"),
    [
        ("DroneShield", {}, "RF"),
        ("echo", {"range_m": 900.0}, "RADAR"),
        ("echo", {"range_m": None, "elevation_rad": 0.1}, "EO"),
        ("x", {"key": "7", "range_m": None}, "RF"),
        ("x", {"alt_bearing_rad": 1.0}, "RF"),
        ("x", {"sound_level_db": 60.0}, "ACOUSTIC"),
        ("x", {}, "UNKNOWN"),
        ("x", {"modality": "ir", "range_m": 5.0}, "IR"),
        ("x", {"modality": "sonar", "range_m": 5.0}, "RADAR"),
    ],
)
def test_what_a_sensor_reports_tells_what_it_is(
    sensor: str, fields: dict[str, object], modality: str
) -> None:
    assert detection_of(json.dumps(record(sensor, 1.0, **fields))).modality == modality
