# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Two tracks that follow one object."""

from __future__ import annotations

import numpy as np

from .arrays import indices
from .bank import TrackBank
from .gate import Aspect
from .types import FloatArray, IntArray
from .update import Dynamics, predict_blend

TOO_OFTEN = 1.39
"""Two tracks that are detected so many times as often as one object is are two objects: they lie
nearer, in ratio, to twice than to once."""


def duplicates(
    bank: TrackBank,
    now: float,
    dynamics: Dynamics,
    *,
    seen: Aspect,
    separate: IntArray,
    chance: FloatArray,
) -> list[tuple[int, int]]:
    """Return pairs of rows (keep, drop) that follow one object.

    They are where and as fast as each other within their uncertainty, while together they
    are detected no more often than one object is: two real objects would be detected once each.

    Args:
        bank: of kinematic tracks.
        now: seconds.
        dynamics: of the bank.
        seen: where the tracks are now.
        separate: (N,) the sensor that holds a track under a number of its own at present, -1
            none: what one sensor tells apart stays apart.
        chance: (N,) how often an object there is detected in a look.
    """
    if len(bank) < 2:
        return []
    rows = indices(bank.hits > 1.5)
    if len(rows) < 2:
        return []
    reach = min(3.0 * float(np.median(seen.position_sigma[rows])), 100.0)
    a, b = near_pairs(seen.position[rows, :2], reach)
    if not len(a):
        return []
    near, pair = np.unique(np.concatenate([a, b]), return_inverse=True)
    rows, a, b = rows[near], pair[: len(a)], pair[len(a) :]
    centre, spread = predict_blend(bank, rows, np.full(len(rows), now), dynamics)
    plane = np.array([0, 1, 3, 4])
    gap = (centre[a] - centre[b])[:, plane]
    joint = (spread[a] + spread[b])[:, plane[:, None], plane[None, :]]
    distance = np.einsum("pa,pa->p", gap, np.linalg.solve(joint, gap[..., None])[..., 0])
    rate = bank.hit_rate[rows[a]] + bank.hit_rate[rows[b]]
    expected = 0.5 * (chance[rows[a]] + chance[rows[b]])
    same = (distance < 4.0) & (rate < TOO_OFTEN * expected)
    same &= (separate[rows[a]] < 0) | (separate[rows[a]] != separate[rows[b]])
    result: list[tuple[int, int]] = []
    dropped: set[int] = set()
    for i, j in zip(rows[a[same]].tolist(), rows[b[same]].tolist(), strict=True):
        if i in dropped or j in dropped:
            continue
        first, second = (
            (i, j)
            if (bank.state[i] > 1, bank.hits[i]) >= (bank.state[j] > 1, bank.hits[j])
            else (j, i)
        )
        dropped.add(second)
        result.append((first, second))
    return sorted(result)


def near_pairs(place: FloatArray, reach: float) -> tuple[IntArray, IntArray]:
    """Return the rows of all pairs of places (N, 2) no farther apart than ``reach``."""
    order = np.argsort(place[:, 0], kind="stable")
    east = place[order, 0]
    last = np.searchsorted(east, east + reach, side="right")
    first = np.arange(len(east))
    count = np.maximum(last - first - 1, 0)
    a = np.repeat(first, count)
    b = a + 1 + np.arange(len(a)) - np.repeat(np.cumsum(count) - count, count)
    a, b = order[a], order[b]
    gap = place[a] - place[b]
    near = indices((gap * gap).sum(axis=1) <= reach * reach)
    low, high = np.minimum(a[near], b[near]), np.maximum(a[near], b[near])
    rank = np.lexsort((high, low))
    return low[rank], high[rank]
