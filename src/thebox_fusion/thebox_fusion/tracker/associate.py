# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Who is whose: association of detections with tracks from pairwise likelihood ratios."""

from __future__ import annotations

import numpy as np

from .types import FloatArray, IntArray


def marginals(
    track: IntArray, detection: IntArray, ratio: FloatArray, detections: int, iterations: int
) -> FloatArray:
    """Return the marginal probability of each pair by loopy belief propagation.

    Exact for tree-shaped gating, close to exact (JPDA) otherwise: Williams and Lau, Approximate
    evaluation of marginal association probabilities with belief propagation, IEEE Trans. AES
    50(4), 2014. Cost is linear in the number of pairs.

    Args:
        track: (P,) track rows; any non-negative integers.
        detection: (P,) detection rows, below ``detections``.
        ratio: (P,) likelihood of the pair over that of "track not detected" and "detection
            from no track".
        detections: number of detections.
        iterations: the most rounds; ends early when messages settle.
    """
    if len(track) == 0:
        return np.zeros(0)
    tracks = int(track.max()) + 1
    nu: FloatArray = np.ones(len(track))
    for _ in range(iterations):
        weighted = ratio * nu
        total = np.bincount(track, weights=weighted, minlength=tracks)
        mu = ratio / (1.0 + np.maximum(total[track] - weighted, 0.0))
        heard = np.bincount(detection, weights=mu, minlength=detections)
        fresh = 1.0 / (1.0 + np.maximum(heard[detection] - mu, 0.0))
        change = float(np.max(np.abs(fresh - nu)))
        nu = fresh
        if change < 1e-4:
            break
    weighted = ratio * nu
    total = np.bincount(track, weights=weighted, minlength=tracks)
    result: FloatArray = weighted / (1.0 + total[track])
    return result


def assignment(track: IntArray, detection: IntArray, ratio: FloatArray) -> FloatArray:
    """Return 1 for the pairs of the most likely global assignment, 0 for the others.

    Each cluster of connected pairs is solved by itself (Jonker-Volgenant, scipy); a track or
    a detection may stay alone at ratio 1.
    """
    # Half a second of start that the default, `marginals`, has no use for.
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415
    from scipy.sparse import coo_matrix  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    chosen = np.zeros(len(track))
    if len(track) == 0:
        return chosen
    tracks, t = np.unique(track, return_inverse=True)
    detections, d = np.unique(detection, return_inverse=True)
    nodes = len(tracks) + len(detections)
    graph = coo_matrix((np.ones(len(t)), (t, d + len(tracks))), shape=(nodes, nodes))
    _, component = connected_components(graph, directed=False)
    cluster = component[t]
    order = np.argsort(cluster, kind="stable")
    gain = np.log(np.maximum(ratio, 1e-300))
    bounds = np.flatnonzero(np.diff(cluster[order])) + 1
    for members in np.split(order, bounds):
        if len(members) == 1:
            chosen[members[0]] = float(gain[members[0]] > 0.0)
            continue
        row_ids, row = np.unique(t[members], return_inverse=True)
        column_ids, column = np.unique(d[members], return_inverse=True)
        cost = np.zeros((len(row_ids), len(column_ids) + len(row_ids)))
        cost[:, : len(column_ids)] = 1e6
        cost[row, column] = -gain[members]
        best_row, best_column = linear_sum_assignment(cost)
        won = set(zip(best_row.tolist(), best_column.tolist(), strict=True))
        for member, r, c in zip(members, row, column, strict=True):
            chosen[member] = float((int(r), int(c)) in won)
    return chosen
