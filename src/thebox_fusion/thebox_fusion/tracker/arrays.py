# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Small array functions that a frame calls hundreds of times.

A frame is often one detection against a few tracks. There numpy's general functions (`clip`,
`isin`, `nan_to_num`, `flatnonzero`) cost five to twenty times what the work itself does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .types import BoolArray, FloatArray, IntArray

_Floats = npt.NDArray[np.floating[Any]]
_TABLE = 20_000
"""Comparisons that are made at once; more are left to sorting."""


def indices(mask: BoolArray) -> IntArray:
    """Return where ``mask`` (N,) is true."""
    result: IntArray = mask.nonzero()[0]
    return result


def clip(values: _Floats, low: float, high: float) -> FloatArray:
    """Return ``values`` held between two limits; NaN stays."""
    result: FloatArray = np.minimum(np.maximum(values, low), high)
    return result


def or_zero(values: FloatArray) -> FloatArray:
    """Return ``values`` with 0 for NaN."""
    result: FloatArray = np.where(np.isnan(values), 0.0, values)
    return result


def is_in(values: IntArray, among: IntArray) -> BoolArray:
    """Return (N,) which of ``values`` (N,) occur in ``among`` (M,)."""
    result: BoolArray
    if values.size * among.size <= _TABLE:
        result = (values[:, None] == among).any(axis=1)
    else:
        result = np.isin(values, among)
    return result


def distinct(values: IntArray) -> list[int]:
    """Return the different numbers of ``values`` (N,), ascending."""
    return sorted(set(values.tolist()))


def numbered(ascending: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return the different values of what ascends, the place of each among them, and how often.

    Args:
        ascending: (P,).

    Returns:
        (U,) values, (P,) indices into them, (U,) counts.
    """
    starts = np.ones(len(ascending), dtype=np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=starts[1:])
    place = starts.cumsum() - 1
    return ascending[starts], place, np.bincount(place)


def along(covariance: FloatArray, direction: FloatArray) -> FloatArray:
    """Return the variances (N,) of covariances (N, D, D) along directions (N, D)."""
    # Twice as fast as einsum.
    row = direction[:, None, :]
    variance: FloatArray = (row @ covariance @ direction[:, :, None])[:, 0, 0]
    return variance
