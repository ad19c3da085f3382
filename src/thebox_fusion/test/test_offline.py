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

from thebox_fusion.offline import arrival_order, detection_of, main, read_detections

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
    "line", ["[]", "7", '{"t": 1.0}', '{"sensor": "dspnor"}', '{"sensor":"x","t":"soon"}', "{"]
)
def test_bad_lines_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        detection_of(line)
    detections, rejected = read_detections(iter([line]))
    assert detections == [] and sum(rejected.values()) == 1


def test_a_file_sorted_by_sensor_is_put_in_order_of_time() -> None:
    rows = [detection_of(json.dumps(row)) for row in flight(5)]
    by_sensor = sorted(rows, key=lambda d: d.sensor)
    assert [d.time for d in arrival_order(by_sensor, 2.0)] == sorted(d.time for d in rows)
    # A few late ones do not change the order of arrival.
    swapped = [rows[1], rows[0], *rows[2:]]
    assert arrival_order(swapped, 2.0) == swapped
