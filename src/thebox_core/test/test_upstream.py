# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A stage tells when the stage before it is no longer heard."""

from __future__ import annotations

import math

import pytest

from thebox_core.health import OK, WARN, Report
from thebox_core.upstream import Upstream


def reported(upstream: Upstream, now: float) -> Report:
    report = Report()
    upstream.report(report, now)
    return report


def test_a_stage_that_hears_nothing_says_whom_to_look_at() -> None:
    upstream = Upstream("tracks/fused", "fusion", silent_after=5.0)
    assert reported(upstream, 100.0).level == OK  # it does not listen yet
    upstream.begin(100.0)
    assert reported(upstream, 104.0).level == OK
    late = reported(upstream, 107.0)
    assert late.level == WARN
    assert late.findings[0] == "nothing on tracks/fused for 7 s: see the health of fusion"


def test_pictures_are_counted_and_end_the_warning() -> None:
    upstream = Upstream("tracks/fused", "fusion", silent_after=5.0)
    upstream.begin(0.0)
    assert reported(upstream, 9.0).level == WARN
    for step in range(50):
        upstream.heard(10.0 + 0.1 * step)
    report = reported(upstream, 15.0)
    assert report.level == OK
    values = dict(report.values)
    assert float(values["input.rate"]) == pytest.approx(10.0, rel=0.1)
    assert float(values["input.age"]) == pytest.approx(0.1, abs=0.02)
    assert math.isnan(Upstream("tracks", "vision").silence(1.0))
