# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The tracker's parts, each against something worked out another way."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thebox_fusion.tracker import SensorModel, TrackerParameters, parameters_from_mapping
from thebox_fusion.tracker.associate import assignment, marginals
from thebox_fusion.tracker.bank import COASTING, CONFIRMED, TENTATIVE, TrackBank
from thebox_fusion.tracker.core import Core
from thebox_fusion.tracker.existence import after_look, change_states
from thebox_fusion.tracker.identity import KeyTable, is_repeat
from thebox_fusion.tracker.measure import ScalarUpdate, wrap
from thebox_fusion.tracker.motion import collapse, mix_modes, mode_transition, predict_state
from thebox_fusion.tracker.parameters import check_ranges
from thebox_fusion.tracker.update import predict_blend, predict_rows


def exact_marginals(ratio: np.ndarray) -> np.ndarray:
    """Enumerate every association of a small problem; 0 means not gated."""
    tracks, detections = ratio.shape
    total, result = 0.0, np.zeros_like(ratio)
    for choice in itertools.product(range(-1, detections), repeat=tracks):
        used = [c for c in choice if c >= 0]
        if len(used) != len(set(used)):
            continue
        weight = math.prod(ratio[i, c] if c >= 0 else 1.0 for i, c in enumerate(choice))
        total += weight
        for i, c in enumerate(choice):
            if c >= 0:
                result[i, c] += weight
    return result / total


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), tracks=st.integers(1, 3), detections=st.integers(1, 4))
def test_marginals_are_close_to_enumeration(seed: int, tracks: int, detections: int) -> None:
    rng = np.random.default_rng(seed)
    ratio = np.exp(rng.normal(0.0, 2.0, (tracks, detections)))
    t, d = np.nonzero(ratio)
    found = marginals(t, d, ratio[t, d], detections, 200)
    # Every detection gated with every track is the hardest case for belief propagation.
    assert np.abs(found - exact_marginals(ratio)[t, d]).max() < 0.2
    assert np.bincount(t, weights=found).max() <= 1.0 + 1e-9
    assert np.bincount(d, weights=found, minlength=detections).max() <= 1.0 + 1e-6


def test_marginals_of_a_tree_are_exact() -> None:
    ratio = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 5.0]])
    t, d = np.nonzero(ratio)
    found = marginals(t, d, ratio[t, d], 3, 200)
    assert found == pytest.approx(exact_marginals(ratio)[t, d], abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), tracks=st.integers(1, 4), detections=st.integers(1, 4))
def test_assignment_is_the_best_of_all(seed: int, tracks: int, detections: int) -> None:
    rng = np.random.default_rng(seed)
    ratio = np.exp(rng.normal(0.0, 2.0, (tracks, detections)))
    t, d = np.nonzero(ratio)
    chosen = assignment(t, d, ratio[t, d])
    gain = float(np.sum(chosen * np.log(ratio[t, d])))
    best = -math.inf
    for choice in itertools.product(range(-1, detections), repeat=tracks):
        used = [c for c in choice if c >= 0]
        if len(used) == len(set(used)):
            best = max(best, sum(math.log(ratio[i, c]) for i, c in enumerate(choice) if c >= 0))
    assert gain == pytest.approx(best)


def test_prediction_agrees_with_the_matrix_form() -> None:
    rng = np.random.default_rng(2)
    root = rng.normal(size=(6, 6))
    mean, covariance = rng.normal(size=(1, 1, 6)), (root @ root.T)[None, None]
    h, q, qv = 1.7, 2.3, 0.4
    predicted, cov = predict_state(mean, covariance, np.array([h]), np.array([q]), qv)
    f = np.eye(6)
    f[:3, 3:] = h * np.eye(3)
    noise = np.zeros((6, 6))
    for axis, density in enumerate((q, q, qv)):
        block = density * np.array([[h**3 / 3, h**2 / 2], [h**2 / 2, h]])
        noise[np.ix_([axis, axis + 3], [axis, axis + 3])] = block
    assert predicted[0, 0] == pytest.approx(f @ mean[0, 0])
    assert cov[0, 0] == pytest.approx(f @ covariance[0, 0] @ f.T + noise)


def test_mode_probabilities_settle_at_the_dwell_times() -> None:
    dwell = np.array([60.0, 5.0])
    transition = mode_transition(np.array([0.0, 1.0, 1e6]), dwell)
    assert transition[0] == pytest.approx(np.eye(2))
    assert transition.sum(axis=2) == pytest.approx(np.ones((3, 2)))
    assert transition[2, 0] == pytest.approx(dwell / dwell.sum())
    # The chance to have left cruise in one second is 1/dwell to first order.
    assert transition[1, 0, 1] == pytest.approx(1.0 / 60.0, rel=0.15)


def test_mixing_keeps_the_overall_moments() -> None:
    rng = np.random.default_rng(3)
    mean = rng.normal(size=(4, 2, 6))
    root = rng.normal(size=(4, 2, 6, 6))
    covariance = root @ np.swapaxes(root, -1, -2)
    weight = rng.dirichlet([1.0, 1.0], size=4)
    transition = mode_transition(np.full(4, 2.0), np.array([20.0, 5.0]))
    before = collapse(mean, covariance, weight)
    after = collapse(*mix_modes(mean, covariance, weight, transition))
    assert after[0] == pytest.approx(before[0])
    assert after[1] == pytest.approx(before[1])


@pytest.mark.parametrize("mixes", [True, False])
def test_a_blend_is_predicted_as_its_components_are(mixes: bool) -> None:
    rng = np.random.default_rng(5)
    motion = Core(TrackerParameters()).motion
    if not mixes:
        motion = replace(motion, dwell=None)
    components = len(motion.density)
    bank = TrackBank(components, 4)
    root = rng.normal(0.0, 5.0, (4, components, 6, 6))
    weight = rng.uniform(0.1, 1.0, (4, components))
    bank.append(
        4,
        time=np.array([0.0, 1.0, 2.0, 5.0]),
        mean=rng.normal(0.0, 100.0, (4, components, 6)),
        covariance=root @ np.swapaxes(root, 2, 3),
        weight=weight / weight.sum(axis=1, keepdims=True),
    )
    rows, when = np.array([3, 0, 1]), np.full(3, 5.5)
    mean, covariance = predict_blend(bank, rows, when, motion)
    centre, spread = collapse(*predict_rows(bank, rows, when, motion))
    np.testing.assert_allclose(mean, centre)
    np.testing.assert_allclose(covariance, spread)


def test_scalar_updates_equal_the_joint_kalman_update() -> None:
    rng = np.random.default_rng(4)
    root = rng.normal(size=(6, 6))
    mean, covariance = rng.normal(size=6), root @ root.T + np.eye(6)
    value, noise = rng.normal(size=3), np.diag([1.0, 4.0, 0.5])
    update = ScalarUpdate(mean[None, None].copy(), covariance[None, None].copy())
    update.position(value[None], noise[None])
    h = np.eye(3, 6)
    s = h @ covariance @ h.T + noise
    gain = covariance @ h.T @ np.linalg.inv(s)
    gap = value - h @ mean
    assert update.mean[0, 0] == pytest.approx(mean + gain @ gap)
    assert update.covariance[0, 0] == pytest.approx(covariance - gain @ s @ gain.T)
    expected = -0.5 * (gap @ np.linalg.solve(s, gap) + np.log(np.linalg.det(2 * np.pi * s)))
    assert update.log_likelihood[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["bearing", "elevation", "range", "range_rate"])
def test_gradients_agree_with_differences(kind: str) -> None:
    own, own_v = np.array([[10.0, -20.0, 3.0]]), np.array([[4.0, 1.0, 0.0]])
    state = np.array([300.0, 450.0, 80.0, 8.0, -5.0, 1.0])
    seen: list[np.ndarray] = []

    class Recorder(ScalarUpdate):
        def apply(self, gradient, innovation, *_, **__):  # type: ignore[no-untyped-def]
            seen.append(np.pad(gradient[0, 0], (0, 6 - gradient.shape[-1])))
            seen.append(innovation[0, 0])

    def innovation(x: np.ndarray) -> float:
        update = Recorder(x[None, None].copy(), np.eye(6)[None, None])
        zero, one = np.array([0.5]), np.array([1.0])
        if kind == "range_rate":
            update.range_rate(zero, one, own, own_v)
        else:
            getattr(update, kind)(zero, one, own)
        return float(seen[-1])

    innovation(state)
    gradient = seen[0]
    for axis in range(6):
        step = np.zeros(6)
        step[axis] = 1e-3
        slope = -(innovation(state + step) - innovation(state - step)) / 2e-3
        assert slope == pytest.approx(float(gradient[axis]), abs=1e-6)


@given(st.floats(-1e4, 1e4))
def test_wrap(angle: float) -> None:
    wrapped = float(wrap(np.array([angle]))[0])
    assert -math.pi <= wrapped < math.pi
    assert math.cos(wrapped - angle) == pytest.approx(1.0)


def test_existence_after_a_look() -> None:
    prior, chance = np.array([0.5]), np.array([0.9])
    missed = after_look(prior, np.zeros(1), chance)
    assert missed[0] == pytest.approx(0.05 / 0.55)
    assert after_look(prior, np.ones(1), chance)[0] == pytest.approx(1.0)
    assert after_look(prior, np.zeros(1), np.zeros(1))[0] == pytest.approx(0.5)


def test_confirmation_has_hysteresis() -> None:
    p = TrackerParameters()
    bank = TrackBank(1, p.ledger_length)
    between = math.log(0.7 / 0.3)
    assert p.coast_probability < 0.7 < p.confirm_probability
    bank.append(
        2,
        state=np.array([TENTATIVE, CONFIRMED]),
        log_odds=np.full(2, between),
        hits=np.full(2, 9.0),
    )
    assert len(change_states(bank, 1.0, p)) == 0
    bank.log_odds[:] = 5.0
    change_states(bank, 1.0, p)
    assert bank.state.tolist() == [CONFIRMED, CONFIRMED]
    bank.log_odds[:] = between
    assert len(change_states(bank, 2.0, p)) == 0
    bank.log_odds[:] = -1.0
    change_states(bank, 3.0, p)
    assert bank.state.tolist() == [COASTING, COASTING]


def test_repeats_of_one_reception_are_recognised() -> None:
    table = KeyTable()
    table.grow(1)
    key = np.array([0])

    def offer(time: float, frequency: float, rssi: float, sigma: float) -> tuple[float, float]:
        arrays = [np.array([x]) for x in (time, frequency, rssi, sigma)]
        names = ("time", "frequency", "rssi", "sigma")
        repeat, effective = is_repeat(table, key, **dict(zip(names, arrays, strict=True)))
        table.repeated[0] = bool(repeat[0])
        table.time[0], table.frequency[0], table.rssi[0], table.sigma[0] = (
            time,
            frequency,
            rssi,
            sigma,
        )
        return float(repeat[0]), float(effective[0])

    assert offer(10.0, 2.4e9, -50.0, 0.3) == (0.0, 0.3)
    # The same epoch with a growing sigma adds nothing.
    repeat, effective = offer(10.0, 2.4e9, -50.0, 0.4)
    assert repeat == 1.0 and math.isinf(effective)
    # The same reception, stamped by arrival.
    assert offer(11.0, 2.4e9, -50.0, 0.45)[0] == 1.0
    # Another frequency is another reception.
    assert offer(12.0, 2.5e9, -50.0, 0.5) == (0.0, 0.5)
    # A refined angle of one epoch adds the difference of the information.
    repeat, effective = offer(12.0, 2.5e9, -50.0, 0.3)
    assert repeat == 1.0
    assert 1.0 / effective**2 == pytest.approx(1.0 / 0.3**2 - 1.0 / 0.5**2)


def test_every_parameter_has_a_description_and_its_default_is_in_range() -> None:
    for settings_class in (TrackerParameters, SensorModel):
        check_ranges(settings_class())
        for item in fields(settings_class):
            assert item.metadata["description"], item.name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gate": -1.0}, "gate"),
        ({"gate": math.nan}, "gate"),
        ({"association": "guess"}, "association"),
        ({"no_such": 1}, "no_such"),
        ({"sensors": {"dspnor": {"revisit": 0.0}}}, "revisit"),
        ({"sensors": {"dspnor": {"nonsense": 1}}}, "nonsense"),
        ({"range_min": 500.0, "range_max": 100.0}, "range_min"),
    ],
)
def test_bad_parameters_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parameters_from_mapping(values)


def test_sensor_settings_keep_what_is_not_given() -> None:
    parameters = parameters_from_mapping({"sensors": {"dspnor": {"max_range": 3000.0}}})
    assert parameters.sensor_model("dspnor", "RADAR").max_range == 3000.0
    assert parameters.sensor_model("dspnor", "RADAR").modality == "RADAR"
    assert parameters.sensor_model("somebody", "RF").modality == "RF"
