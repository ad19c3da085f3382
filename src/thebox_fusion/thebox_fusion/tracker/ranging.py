# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What the geometry tells of the range of objects of which only bearings are measured."""

from __future__ import annotations

import math

import numpy as np

from .arrays import clip
from .bank import TrackBank
from .types import BoolArray, FloatArray, IntArray
from .update import Dynamics

MISFIT_LIMIT = 2.0
RANGE_METHODS = ("none", "measured", "own-ship manoeuvre")


def log_range_mixture(
    bank: TrackBank, rows: IntArray, when: float, own: FloatArray, dynamics: Dynamics
) -> tuple[FloatArray, FloatArray]:
    """Return (N, K) log slant range of components at ``when`` from ``own`` (3,), and its variance.

    Along the line of sight only: what the components are in all directions nobody asks here.
    """
    step = (when - bank.time[rows])[:, None, None]
    mean = bank.mean[rows]
    r = mean[..., :3] + step * mean[..., 3:] - own
    squares = r * r
    slant2 = np.maximum(squares.sum(axis=-1), 1.0)
    # Where it will be is where it is and a step of its velocity.
    sight = np.concatenate([r, step * r], axis=-1)
    variance = (sight[..., None, :] @ bank.covariance[rows] @ sight[..., None])[..., 0, 0]
    ground2 = squares[..., 0] + squares[..., 1]
    pushed = dynamics.density * ground2 + dynamics.vertical * squares[..., 2]
    variance += pushed * np.abs(step[..., 0]) ** 3 / 3.0
    return 0.5 * np.log(slant2), variance / slant2**2


def manoeuvre_sigma(bank: TrackBank, rows: IntArray, slant: FloatArray) -> FloatArray:
    """Return (len(rows),) the relative range error that the own-ship's manoeuvre allows.

    The bearing of an object at constant velocity, seen from a straight path at constant speed,
    says nothing of its range (Nardone and Aidala, Observability criteria for bearings-only
    target motion analysis, IEEE Trans. AES 17(2), 1981). What counts is how far the own-ship
    departed from a straight line: that distance is the baseline of a triangulation with the
    summed information of the bearings.
    """
    n, t, tt, e, nn, te, tn, ss, information = bank.own_path[rows].T
    count = np.maximum(n, 1.0)
    var_t = np.maximum(tt - t * t / count, 1e-9)
    cov_e, cov_n = te - t * e / count, tn - t * nn / count
    residual = ss - (e * e + nn * nn) / count - (cov_e**2 + cov_n**2) / var_t
    baseline = np.sqrt(np.maximum(residual, 0.0) / count)
    angle = 1.0 / np.sqrt(np.maximum(information, 1e-9))
    result: FloatArray = slant * angle / np.maximum(baseline, 1e-6)
    return result


def told(
    bank: TrackBank,
    rows: IntArray,
    middle: FloatArray,
    sigma: FloatArray,
    *,
    nearest: float,
    farthest: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return what is known of ranges that are not observed: range (N,), metres, and its sigma.

    The mixture claims more than the geometry gives: what turns is explained best by whatever
    hypothesis is near enough for that to be no acceleration, and after a minute only that one is
    left. So its range counts with the information of `manoeuvre_sigma`, and not at all where the
    motion does not fit. Else there is what was known before: any order of magnitude between
    ``nearest`` and ``farthest`` is as likely, and mean and variance are that distribution's.

    Args:
        bank: of bearing-only tracks.
        rows: (N,) which of them.
        middle: (N,) log-range that their mixtures hold.
        sigma: (N,) its standard deviation.
        nearest: metres.
        farthest: (N,) metres.
    """
    slant = np.exp(middle)
    allowed = slant * np.maximum(manoeuvre_sigma(bank, rows, slant), sigma)
    # Gradually, or the range would jump with every surprise.
    fits = clip(MISFIT_LIMIT + 1.0 - bank.misfit[rows], 0.0, 1.0) * (slant > 2.0 * nearest)
    information = fits / np.maximum(allowed, 1e-3) ** 2
    width = np.log(farthest / nearest)
    mean = (farthest - nearest) / width
    before = 1.0 / (0.5 * (farthest**2 - nearest**2) / width - mean**2)
    total = information + before
    return (information * slant + before * mean) / total, 1.0 / np.sqrt(total)


def triangulated(
    bank: TrackBank,
    rows: IntArray,
    when: float,
    own: FloatArray,
    *,
    dynamics: Dynamics,
    limit: float,
    nearest: float,
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return the range that bearing-only mixtures hold, seen from ``own`` (3,).

    Args:
        bank: of bearing-only tracks.
        rows: (N,) which of them.
        when: seconds.
        own: the own-ship's position then.
        dynamics: of the bank.
        limit: the range counts as observed below this relative standard deviation, which both
            the own-ship's manoeuvre must allow and the filter claim.
        nearest: metres; no triangulation nearer is believed.

    Returns:
        (N,) log-range, its standard deviation, and whether it is observed.
    """
    weight = bank.weight[rows]
    centre, variance = log_range_mixture(bank, rows, when, own, dynamics)
    middle = (weight * centre).sum(axis=1)
    sigma = np.sqrt((weight * (variance + (centre - middle[:, None]) ** 2)).sum(axis=1))
    observed: BoolArray = (manoeuvre_sigma(bank, rows, np.exp(middle)) < limit) & (sigma < limit)
    # One that turns itself fits no straight flight, or fits one beside the own-ship, which can
    # explain every bearing.
    observed &= (bank.misfit[rows] < MISFIT_LIMIT) & (middle > math.log(nearest))
    return middle, sigma, observed
