# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether claimed uncertainties and probabilities are honest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

FloatArray = npt.NDArray[np.float64]


def nees(error: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return the normalised estimation error squared of (N, D) errors and (N, D, D) covariances.

    Bar-Shalom, Li and Kirubarajan (2001), section 5.4.2. Its mean is D for an honest filter.
    """
    solved = np.linalg.solve(covariance, error[..., None])[..., 0]
    result: FloatArray = np.einsum("na,na->n", error, solved)
    return result


def nees_bounds(count: int, dimension: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval that the mean of ``count`` independent NEES keeps with ``level``."""
    tail = (1.0 - level) / 2.0
    freedom = count * dimension
    return (
        float(chi2.ppf(tail, freedom) / count),
        float(chi2.ppf(1.0 - tail, freedom) / count),
    )


def reliability(
    claimed: FloatArray, real: FloatArray, edges: FloatArray
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int64]]:
    """Return, for each bin of claimed probability, its mean claim, the share real, the count.

    Bins without an entry are NaN.
    """
    index = np.clip(np.digitize(claimed, edges) - 1, 0, len(edges) - 2)
    count = np.bincount(index, minlength=len(edges) - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(index, weights=claimed, minlength=len(edges) - 1) / count
        share = np.bincount(index, weights=real, minlength=len(edges) - 1) / count
    return mean, share, count.astype(np.int64)
