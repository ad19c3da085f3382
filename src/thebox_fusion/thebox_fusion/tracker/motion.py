# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Motion models: nearly constant velocity at several levels of acceleration, mixed by IMM.

States are [east, north, up, v_east, v_north, v_up]. Nearly constant velocity after Bar-Shalom,
Li and Kirubarajan, Estimation with Applications to Tracking and Navigation (2001), section
6.2.2; interacting multiple models, section 11.6.6, with transition probabilities of a
continuous-time Markov chain so that any time step may be used.
"""

from __future__ import annotations

import numpy as np

from .types import FloatArray


def predict_state(
    mean: FloatArray,
    covariance: FloatArray,
    step: FloatArray,
    density_horizontal: FloatArray,
    density_vertical: float,
) -> tuple[FloatArray, FloatArray]:
    """Predict Gaussian components.

    Args:
        mean: (N, K, 6).
        covariance: (N, K, 6, 6).
        step: (N,) seconds, any sign; noise grows with its magnitude.
        density_horizontal: (K,) or (N, K) power density of acceleration, m^2/s^3.
        density_vertical: the same for the vertical.
    """
    h = step[:, None]
    predicted = mean.copy()
    predicted[..., :3] += mean[..., 3:] * h[..., None]
    hh = h[..., None, None]
    pv = covariance[..., :3, 3:]
    vv = covariance[..., 3:, 3:]
    cov = covariance.copy()
    new_pv = pv + hh * vv
    cov[..., :3, :3] += hh * (np.swapaxes(pv, -1, -2) + new_pv)
    cov[..., :3, 3:] = new_pv
    cov[..., 3:, :3] = np.swapaxes(new_pv, -1, -2)
    a = np.abs(h)[..., None]
    horizontal = np.atleast_2d(density_horizontal)
    density = np.empty((*horizontal.shape, 3))
    density[..., :2] = horizontal[..., None]
    density[..., 2] = density_vertical
    # Every seventh element of a 6 x 6 matrix lies on a diagonal.
    flat = cov.reshape(*cov.shape[:-2], 36)
    cross = density * (h[..., None] * a / 2.0)
    flat[..., 0:21:7] += density * (a**3 / 3.0)
    flat[..., 3:18:7] += cross
    flat[..., 18:33:7] += cross
    flat[..., 21:36:7] += density * a
    return predicted, cov


def mode_transition(step: FloatArray, dwell: FloatArray) -> FloatArray:
    """Return (N, K, K) transition probabilities [from, to] over ``step`` seconds.

    A mode is left at rate 1/dwell, for each other mode alike. For two modes the formula is the
    chain's exact one; for more it keeps the mean dwell time.
    """
    count = len(dwell)
    rate = 1.0 / dwell
    if count == 1:
        return np.ones((len(step), 1, 1))
    stationary = dwell / dwell.sum()
    total = rate.sum() if count == 2 else rate.mean() * count / (count - 1)
    remain = np.exp(-np.abs(step) * total)[:, None, None]
    mixed: FloatArray = np.repeat((1.0 - remain) * stationary, count, axis=1)
    mixed.reshape(len(step), count * count)[:, :: count + 1] += remain[:, 0]
    return mixed


def mix_modes(
    mean: FloatArray, covariance: FloatArray, weight: FloatArray, transition: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Do the IMM's interaction step: (N, K, 6), (N, K, 6, 6), (N, K), (N, K, K)."""
    joint = weight[:, :, None] * transition
    predicted_weight = np.maximum(joint.sum(axis=1), 1e-12)
    share = joint / predicted_weight[:, None, :]
    back = np.swapaxes(share, 1, 2)
    mixed = back @ mean
    # (N, to, from, 6)
    spread = mean[:, None, :, :] - mixed[:, :, None, :]
    size = mean.shape[-1]
    flat = covariance.reshape(*covariance.shape[:2], size * size)
    cov = (back @ flat).reshape(covariance.shape)
    cov += np.swapaxes(spread * back[..., None], -1, -2) @ spread
    predicted_weight /= predicted_weight.sum(axis=1, keepdims=True)
    return mixed, cov, predicted_weight


def collapse(
    mean: FloatArray, covariance: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Moment-match a mixture: (..., K, D), (..., K, D, D), (..., K) -> (..., D), (..., D, D)."""
    size = mean.shape[-1]
    row = weight[..., None, :]
    centre: FloatArray = (row @ mean)[..., 0, :]
    spread = mean - centre[..., None, :]
    flat = covariance.reshape(*covariance.shape[:-2], size * size)
    cov: FloatArray = (row @ flat).reshape(*centre.shape, size)
    cov += np.swapaxes(spread * weight[..., None], -1, -2) @ spread
    return centre, cov
