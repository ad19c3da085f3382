# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebox_fusion.pacing import LONGEST, READING, SAVED, Pace


@given(st.lists(st.floats(1e-4, 0.08), min_size=20, max_size=200), st.floats(0.1, 1.0))
def test_cycles_take_their_share_in_the_mean(costs: list[float], share: float) -> None:
    pace, at = Pace(), 100.0
    for cost in costs:
        at = pace.after(at, cost, share=share, spacing=0.0)
    bound = any(max(LONGEST, READING * cost) * share < cost for cost in costs)
    if not bound:
        assert sum(costs) <= share * (at - 100.0) + SAVED + max(costs)


def test_a_dear_cycle_after_cheap_ones_is_not_waited_for() -> None:
    pace, at = Pace(), 10.0
    for _ in range(50):
        at = pace.after(at, 0.004, share=0.35, spacing=0.02)
    assert pace.after(at, 0.018, share=0.35, spacing=0.02) - at == pytest.approx(0.02)
    # Dear ones all along are spaced by their cost.
    for _ in range(50):
        before, at = at, pace.after(at, 0.018, share=0.35, spacing=0.02)
    assert at - before == pytest.approx(0.018 / 0.35)


def test_the_picture_never_waits_too_long() -> None:
    pace, at = Pace(), 0.0
    for _ in range(10):
        before, at = at, pace.after(at, 0.2, share=0.05, spacing=0.02)
    assert at - before == pytest.approx(max(LONGEST, READING * 0.2))
    # And what it could not pay for then it does not pay for now.
    before, at = at, pace.after(at, 0.001, share=0.05, spacing=0.02)
    assert at - before < 0.05
