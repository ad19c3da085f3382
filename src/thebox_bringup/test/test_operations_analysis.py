# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Figures of sensors whose rate, quiet time, delay and bias are known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from thebox_bringup.operations.analysis import Plot, agreement, analyse
from thebox_bringup.operations.analyze import main

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


def test_no_recording_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("analyze: ")
