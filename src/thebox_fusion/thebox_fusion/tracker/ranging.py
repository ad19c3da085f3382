# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Range of tracks whose range no sensor measures: one estimate in log-range.

The prior is the bearing-only filter's own mixture (which holds what an own-ship manoeuvre tells,
by triangulation); received power, apparent size and sound level are measurements of the
logarithm of range with standard deviations of their own, applied to that mixture by Bayes' rule.
Their errors are dominated by what is not known of the object (its power, its size), which more
looks do not average away: so each method is applied once, with the mean of its readings, when the
range is asked for, and never again and again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .measure import LOG_TWO_PI
from .parameters import TrackerParameters
from .types import FloatArray

RANGE_METHODS = (
    "none",
    "measured",
    "own-ship manoeuvre",
    "received power",
    "apparent size",
    "sound level",
)
LN10 = math.log(10.0)


@dataclass
class PathLoss:
    """RSSI = reference - 10 n log10(range), learned from emitters that a radar also sees.

    A regularised recursive least squares in (reference, n); the residual spread is learned too.

    Attributes:
        information: (2, 2) and ``vector`` (2,) of the normal equations.
        residual: summed squared residuals, with ``count`` of them.
    """

    information: FloatArray
    vector: FloatArray
    residual: float
    count: float

    @classmethod
    def prior(cls, parameters: TrackerParameters) -> PathLoss:
        """Return the state before anything is learned."""
        weight = np.array(
            [1.0 / parameters.reference_power_sigma**2, 1.0 / 0.3**2], dtype=np.float64
        )
        start = np.array([parameters.reference_power, parameters.path_loss_exponent])
        return cls(
            information=np.diag(weight),
            vector=weight * start,
            residual=4.0 * parameters.shadowing_sigma**2,
            count=4.0,
        )

    def copy(self) -> PathLoss:
        """Return an independent copy."""
        return PathLoss(self.information.copy(), self.vector.copy(), self.residual, self.count)

    def estimate(self) -> tuple[float, float, float]:
        """Return reference power (dBm at 1 m), exponent, and residual sigma (dB)."""
        reference, exponent = np.linalg.solve(self.information, self.vector)
        return float(reference), float(exponent), math.sqrt(self.residual / self.count)

    def learn(self, rssi: FloatArray, slant: FloatArray) -> None:
        """Use (M,) readings of emitters at known slant ranges."""
        if not len(rssi):
            return
        reference, exponent, sigma = self.estimate()
        rows = np.stack([np.ones(len(rssi)), -10.0 * np.log10(slant)], axis=1)
        gap = rssi - rows @ np.array([reference, exponent])
        self.residual += float(np.sum(np.minimum(gap**2, 9.0 * sigma**2)))
        self.count += len(rssi)
        # Readings of one emitter share its power: their information is bounded.
        gain = 0.1 / sigma**2
        self.information = self.information + gain * rows.T @ rows
        self.vector = self.vector + gain * rows.T @ rssi
        if self.count > 2000.0:
            self.residual *= 2000.0 / self.count
            self.count = 2000.0

    def log_range(self, rssi: FloatArray, readings: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return (M,) log-range and its sigma from mean power over ``readings`` looks."""
        reference, exponent, sigma = self.estimate()
        exponent = max(exponent, 1.0)
        value = (reference - rssi) * LN10 / (10.0 * exponent)
        # Half of the spread is the emitter's own power: it does not average.
        spread = sigma * np.sqrt(0.5 + 0.5 / np.maximum(readings, 1.0))
        doubt = np.linalg.inv(self.information)
        row = np.stack([np.ones(len(rssi)), -10.0 * value / LN10], axis=1)
        spread = np.sqrt(spread**2 + np.einsum("ma,ab,mb->m", row, doubt, row))
        result: FloatArray = spread * LN10 / (10.0 * exponent)
        return value, result


def log_range_mixture(
    mean: FloatArray, covariance: FloatArray, own: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return (..., K) log slant range of components from ``own`` (3,) and its variance."""
    r = mean[..., :3] - own
    slant2 = np.maximum(np.einsum("...a,...a->...", r, r), 1.0)
    variance = np.einsum("...a,...ab,...b->...", r, covariance[..., :3, :3], r) / slant2**2
    return 0.5 * np.log(slant2), variance


def reweigh_log_range(
    weight: FloatArray,
    centre: FloatArray,
    variance: FloatArray,
    value: FloatArray,
    sigma: FloatArray,
) -> FloatArray:
    """Return weights after a log-range measurement (N,), where it is finite; (N, K) all else."""
    total = variance + np.where(np.isfinite(sigma), sigma, 1.0)[:, None] ** 2
    gap = centre - np.where(np.isfinite(value), value, 0.0)[:, None]
    log_weight = np.log(np.maximum(weight, 1e-12)) - 0.5 * (
        gap**2 / total + np.log(total) + LOG_TWO_PI
    )
    log_weight -= log_weight.max(axis=1, keepdims=True)
    fresh = np.exp(log_weight)
    fresh /= fresh.sum(axis=1, keepdims=True)
    known = np.isfinite(value) & np.isfinite(sigma)
    result: FloatArray = np.where(known[:, None], fresh, weight)
    return result
