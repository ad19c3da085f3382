# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Metrics against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thebox_fusion.metrics import gospa, nees, nees_bounds, ospa, reliability, score_picture


def test_gospa_of_one_near_one_missed_one_false() -> None:
    objects = np.array([[0.0, 0.0], [1000.0, 0.0]])
    tracks = np.array([[30.0, 40.0], [5000.0, 0.0]])
    step = gospa(objects, tracks, cutoff=100.0)
    assert (step.missed, step.false) == (1, 1)
    assert step.pairs == ((0, 0),)
    assert step.gospa == pytest.approx(math.sqrt(2500.0 + 5000.0 + 5000.0))


def test_gospa_prefers_the_cheapest_pairing() -> None:
    objects = np.array([[0.0, 0.0], [10.0, 0.0]])
    tracks = np.array([[11.0, 0.0], [-1.0, 0.0]])
    assert gospa(objects, tracks, 100.0).gospa == pytest.approx(math.sqrt(2.0))
    assert gospa(np.zeros((0, 2)), np.zeros((0, 2)), 100.0).gospa == 0.0


@pytest.mark.parametrize(("cutoff", "order"), [(0.0, 2.0), (100.0, 0.5)])
def test_gospa_refuses_nonsense(cutoff: float, order: float) -> None:
    with pytest.raises(ValueError, match="cutoff"):
        gospa(np.zeros((1, 2)), np.zeros((1, 2)), cutoff, order)


def test_ospa() -> None:
    one, two = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [500.0, 0.0]])
    assert ospa(one, two, 100.0) == pytest.approx(math.sqrt((25.0 + 10000.0) / 2.0))
    assert ospa(one, np.zeros((0, 2)), 100.0) == 100.0
    assert ospa(np.zeros((0, 2)), np.zeros((0, 2)), 100.0) == 0.0


def test_a_picture_counts_switches_false_and_missed_seconds() -> None:
    truth = {float(t): [("a", 0.0, 0.0)] for t in range(4)}
    tracks = {
        0.0: [("x", 1.0, 0.0)],
        1.0: [("x", 0.0, 0.0), ("z", 900.0, 0.0)],
        3.0: [("y", 0.0, 0.0)],
    }
    score = score_picture(truth, tracks, 100.0)
    assert score.switches == 1
    assert score.false_seconds == 1
    assert score.missed_seconds == 1
    assert score.completeness == pytest.approx(0.75)
    assert score.false_seconds_per_minute == pytest.approx(15.0)


def test_nees_of_an_honest_filter_lies_within_its_bounds() -> None:
    rng = np.random.default_rng(1)
    covariance = np.array([[4.0, 1.0], [1.0, 2.0]])
    errors = rng.multivariate_normal([0.0, 0.0], covariance, size=400)
    low, high = nees_bounds(400, 2)
    mean = float(nees(errors, np.broadcast_to(covariance, (400, 2, 2))).mean())
    assert low < mean < high
    assert float(nees(2.0 * errors, np.broadcast_to(covariance, (400, 2, 2))).mean()) > high


def test_reliability_bins() -> None:
    claimed = np.array([0.05, 0.15, 0.85, 0.95, 0.95])
    real = np.array([0.0, 0.0, 1.0, 1.0, 0.0])
    mean, share, count = reliability(claimed, real, np.array([0.0, 0.5, 0.9, 1.0]))
    assert count.tolist() == [2, 1, 2]
    assert share == pytest.approx([0.0, 1.0, 0.5])
    assert mean == pytest.approx([0.1, 0.85, 0.95])
