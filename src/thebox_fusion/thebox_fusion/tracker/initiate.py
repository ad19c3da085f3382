# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""First states of new tracks."""

from __future__ import annotations

import numpy as np

from .detection import DetectionBatch
from .measure import ScalarUpdate
from .parameters import SensorModel, TrackerParameters
from .types import FloatArray


def _line_of_sight(bearing: FloatArray, ground: FloatArray, up: FloatArray) -> FloatArray:
    return np.stack([ground * np.sin(bearing), ground * np.cos(bearing), up], axis=-1)


def _polar_covariance(
    bearing: FloatArray, along: FloatArray, across: FloatArray, up: FloatArray
) -> FloatArray:
    """Return position covariances (..., 3, 3) from variances along and across the bearing."""
    s, c = np.sin(bearing), np.cos(bearing)
    cov = np.zeros((*bearing.shape, 3, 3))
    cov[..., 0, 0] = along * s * s + across * c * c
    cov[..., 1, 1] = along * c * c + across * s * s
    cov[..., 0, 1] = cov[..., 1, 0] = (along - across) * s * c
    cov[..., 2, 2] = up
    return cov


def kinematic_states(
    batch: DetectionBatch, components: int, parameters: TrackerParameters
) -> tuple[FloatArray, FloatArray]:
    """Return (M, K, 6) and (M, K, 6, 6) from detections with a range or a position.

    Without an elevation the height is the parameter's prior, and the ground range follows from
    the slant range and that height (bounded where the height exceeds it).
    """
    count = len(batch)
    up_sigma = parameters.altitude_sigma
    known = np.isfinite(batch.elevation)
    slant = np.where(np.isfinite(batch.range), batch.range, 1.0)
    up = np.where(
        known,
        slant * np.sin(np.where(known, batch.elevation, 0.0)),
        np.minimum(parameters.altitude - batch.own_position[:, 2], 0.6 * slant),
    )
    up_variance = np.where(
        known,
        (slant * np.where(known, batch.elevation_sigma, 0.0)) ** 2 + 1.0,
        np.minimum(up_sigma, 0.5 * slant + 1.0) ** 2,
    )
    ground = np.sqrt(np.maximum(slant**2 - up**2, (0.3 * slant) ** 2))
    mean = np.zeros((count, 6))
    mean[:, :3] = batch.own_position + _line_of_sight(batch.bearing, ground, up)
    tilt = (up / np.maximum(ground, 1.0)) ** 2 * up_variance
    covariance = np.zeros((count, 6, 6))
    covariance[:, :3, :3] = _polar_covariance(
        batch.bearing,
        (slant / ground * batch.range_sigma) ** 2 + tilt,
        (ground * batch.bearing_sigma) ** 2,
        up_variance,
    )
    # Height and ground range are tied by the slant range.
    tie = -(up / np.maximum(ground, 1.0)) * up_variance
    covariance[:, 0, 2] = covariance[:, 2, 0] = tie * np.sin(batch.bearing)
    covariance[:, 1, 2] = covariance[:, 2, 1] = tie * np.cos(batch.bearing)
    placed = batch.placed
    mean[placed, :3] = batch.position[placed]
    covariance[placed, :3, :3] = batch.position_covariance[placed]
    means: FloatArray = np.repeat(mean[:, None], components, axis=1)
    spread: FloatArray = np.repeat(covariance[:, None], components, axis=1)
    # Most objects are slow; a fast one is as rare as a manoeuvre, and begins in that component.
    speed = np.full(components, parameters.speed_sigma)
    speed[-1] = max(parameters.speed_sigma_fast, parameters.speed_sigma)
    spread[:, :, 3, 3] = spread[:, :, 4, 4] = speed**2
    spread[:, :, 5, 5] = parameters.climb_sigma**2
    update = ScalarUpdate(means, spread)
    if batch.has("range_rate"):
        update.range_rate(
            batch.range_rate, batch.range_rate_sigma, batch.own_position, batch.own_velocity
        )
    if batch.has("velocity"):
        update.velocity(batch.velocity, batch.velocity_sigma)
    return update.mean, update.covariance


def farthest(parameters: TrackerParameters, model: SensorModel) -> float:
    """Return the farthest range, metres, of what a sensor has heard or seen without a range."""
    return max(min(parameters.range_max, model.max_range), 2.0 * parameters.range_min)


def bearing_states(
    batch: DetectionBatch, components: int, parameters: TrackerParameters, model: SensorModel
) -> tuple[FloatArray, FloatArray]:
    """Return range-parametrised states (M, K, 6) and (M, K, 6, 6) from bearings alone.

    K hypotheses divide the possible ranges in geometric progression, each with the same relative
    width (Peach, Bearings-only tracking using a set of range-parameterised extended Kalman
    filters, IEE Proc. Control Theory Appl. 142(1), 1995). Where there are two candidate bearings
    they take turns, each on a coarser progression.
    """
    count = len(batch)
    far = farthest(parameters, model)
    mean = np.zeros((count, components, 6))
    covariance = np.zeros((count, components, 6, 6))
    ambiguous = np.isfinite(batch.alternative_bearing)
    for row in range(components):
        for two in (False, True):
            steps = components // 2 if two else components
            index = row // 2 if two else row
            index = min(index, steps - 1)
            ratio = (far / parameters.range_min) ** (1.0 / steps)
            slant = np.full(count, parameters.range_min * ratio ** (index + 0.5))
            sigma = slant * np.log(ratio) / np.sqrt(12.0) * 1.2
            bearing = batch.bearing if not (two and row % 2) else batch.alternative_bearing
            use = ambiguous == two
            if not use.any():
                continue
            known = np.isfinite(batch.elevation)
            up = np.where(
                known,
                slant * np.sin(np.where(known, batch.elevation, 0.0)),
                np.minimum(parameters.altitude - batch.own_position[:, 2], 0.3 * slant),
            )
            up_sigma = np.where(
                known,
                slant * np.where(known, batch.elevation_sigma, 0.0) + 1.0,
                np.minimum(parameters.altitude_sigma, 0.3 * slant),
            )
            ground = np.sqrt(np.maximum(slant**2 - up**2, 1.0))
            state = batch.own_position + _line_of_sight(bearing, ground, up)
            spread = _polar_covariance(
                bearing, sigma**2, (ground * batch.bearing_sigma) ** 2, up_sigma**2
            )
            mean[use, row, :3] = state[use]
            covariance[use, row, :3, :3] = spread[use]
    for axis in range(3):
        sigma_v = parameters.speed_sigma if axis < 2 else parameters.climb_sigma
        covariance[:, :, 3 + axis, 3 + axis] = sigma_v**2
    return mean, covariance
