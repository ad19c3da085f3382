# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Emitters: sensors' own identities, and which track each of them belongs to.

For each key and each kinematic track the tracker sums the log likelihood ratio of "this key is
that object" over "this key is an object of its own" (Bayesian model comparison, with
exponential forgetting so that an early coincidence can be outlived).
"""

from __future__ import annotations

import math

import numpy as np

from .arrays import clip, indices, numbered
from .gate import Aspect
from .measure import wrap
from .types import BoolArray, FloatArray, IntArray

_BAND_EDGES = np.array([6e8, 1.7e9, 4e9])
"""Hz, between the bands of `band_of`."""


class KeyTable:
    """One row for each (sensor, key) ever heard; evidence has one column a kinematic track.

    Attributes:
        track: (N,) serial number of the kinematic track that the key is attached to, -1 none.
        own: (N,) serial number of the key's own bearing-only track, -1 none; kept after that
            track's end, so that an emitter heard again is the same one.
        time: (N,) seconds, when last heard.
        counted: (N,) seconds, when last heard anew (no repeat).
        frequency, rssi, sigma, bearing: (N,) of the last detection.
        hits: (N,) independent detections.
        repeated: (N,) whether the last detection repeated the one before.
        strain: (N,) running excess of squared innovations against the attached track.
        evidence: (N, T) log likelihood ratios.
    """

    def __init__(self) -> None:
        self.track: IntArray = np.zeros(0, dtype=np.int64)
        self.own: IntArray = np.zeros(0, dtype=np.int64)
        self.time: FloatArray = np.zeros(0)
        self.counted: FloatArray = np.zeros(0)
        self.frequency: FloatArray = np.zeros(0)
        self.rssi: FloatArray = np.zeros(0)
        self.sigma: FloatArray = np.zeros(0)
        self.bearing: FloatArray = np.zeros(0)
        self.hits: IntArray = np.zeros(0, dtype=np.int64)
        self.repeated: BoolArray = np.zeros(0, dtype=np.bool_)
        self.strain: FloatArray = np.zeros(0)
        self.evidence: FloatArray = np.zeros((0, 0))

    def __len__(self) -> int:
        return len(self.track)

    def copy(self) -> KeyTable:
        """Return an independent copy."""
        other = KeyTable.__new__(KeyTable)
        for name, value in self.__dict__.items():
            other.__dict__[name] = value.copy()
        return other

    def grow(self, count: int) -> None:
        """Make room for keys up to index ``count`` - 1."""
        missing = count - len(self)
        if missing <= 0:
            return
        for name, value in list(self.__dict__.items()):
            if name == "evidence":
                pad: FloatArray = np.zeros((missing, value.shape[1]))
            elif value.dtype == np.bool_:
                pad = np.zeros(missing)
            elif value.dtype == np.int64:
                pad = np.full(missing, 0 if name == "hits" else -1)
            else:
                pad = np.full(missing, 0.0 if name == "strain" else np.nan)
            self.__dict__[name] = np.concatenate([value, pad.astype(value.dtype)])

    def keep_keys(self, rows: IntArray) -> None:
        """Keep only the keys ``rows``, in that order."""
        for name, value in list(self.__dict__.items()):
            self.__dict__[name] = value[rows]

    def keep_tracks(self, rows: IntArray) -> None:
        """Follow the kinematic bank's `TrackBank.keep`."""
        self.evidence = self.evidence[:, rows]

    def add_tracks(self, count: int) -> None:
        """Follow the kinematic bank's `TrackBank.append`."""
        self.evidence = np.concatenate([self.evidence, np.zeros((len(self), count))], axis=1)

    def bands(self, numbers: IntArray) -> IntArray:
        """Return (P,) the bits of the bands that emitters of tracks use, by serial numbers."""
        joined = indices(self.track >= 0)
        if not len(joined) or not len(numbers):
            return np.zeros(len(numbers), dtype=np.int64)
        order = joined[np.argsort(self.track[joined], kind="stable")]
        known, place, _ = numbered(self.track[order])
        bits = np.zeros(len(known), dtype=np.int64)
        np.bitwise_or.at(bits, place, band_of(self.frequency[order]))
        at = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
        result: IntArray = np.where(known[at] == numbers, bits[at], 0)
        return result

    def forget(self, keys: IntArray, elapsed: FloatArray, time_constant: float) -> None:
        """Let evidence fade by the time since each key was last heard."""
        fade = np.exp(-np.where(np.isfinite(elapsed), elapsed, 0.0) / time_constant)
        self.evidence[keys] *= clip(fade, 0.0, 1.0)[:, None]

    def posterior(
        self, key: int, alive: FloatArray, prior_odds: float, meeting: FloatArray
    ) -> tuple[int, float]:
        """Return the best kinematic track's row for a key and its posterior probability.

        Args:
            key: key index.
            alive: (T,) existence probabilities (0 for rows that may not be joined).
            prior_odds: that the emitter's object is among the kinematic tracks at all.
            meeting: (T,) of `coincidence`.
        """
        if not alive.any():
            return -1, 0.0
        log_share = self.evidence[key] + meeting + np.log(np.maximum(alive, 1e-12))
        log_share = log_share + math.log(prior_odds / max(float(alive.sum()), 1.0))
        best = int(np.argmax(log_share))
        top = max(float(log_share[best]), 0.0)
        total = float(np.exp(log_share - top).sum()) + math.exp(-top)
        return best, math.exp(float(log_share[best]) - top) / total


def band_of(frequency: FloatArray) -> IntArray:
    """Return a bit for the band of each frequency, Hz: 0 where it is not known.

    Drones' links use the licence-free bands at 433 and 900 MHz, 2.4 and 5.8 GHz, and hop within
    one: which band is evidence, which channel is not.
    """
    known = np.isfinite(frequency) & (frequency > 0.0)
    index = np.searchsorted(_BAND_EDGES, np.where(known, frequency, 0.0))
    bits: IntArray = np.where(known, 1 << index, 0)
    return bits


def coincidence(seen: Aspect, direction: FloatArray) -> FloatArray:
    """Return (T,) log odds of "one object" that meeting in one direction gives.

    An emitter of another object may be in any direction; one of the same object is where the
    kinematic track is, as well as the two directions are known. What is much sharper than the track
    it is held against proves nothing by one meeting, which any track that near would give: its
    evidence is that it goes on (`thebox_fusion.tracker.emitters`).

    Args:
        seen: of the kinematic tracks.
        direction: bearing and its variance of the emitter, (2 or more,).
    """
    heard = max(float(direction[1]), 1e-8)
    total = seen.bearing_variance + heard
    gap = wrap(seen.bearing - float(direction[0]))
    result: FloatArray = 0.5 * (np.log(2.0 * np.pi / total) - gap**2 / total) * (heard / total)
    return result


def is_repeat(
    table: KeyTable,
    keys: IntArray,
    *,
    time: FloatArray,
    frequency: FloatArray,
    rssi: FloatArray,
    sigma: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Tell which detections repeat their key's last one.

    A detector reports one reception again and again: with the same epoch (sensor time) and a
    refined or a decayed angle, or, stamped by arrival, with the same frequency and level and a
    growing standard deviation. Such repeats are not independent evidence.

    Returns:
        (M,) 1.0 where it is a repeat, and (M,) the standard deviation of the information that
        it adds to the one before (infinite when it adds none).
    """
    same_epoch = np.abs(time - table.time[keys]) < 1e-6
    growing = (
        (frequency == table.frequency[keys])
        & (rssi == table.rssi[keys])
        & (
            (sigma > table.sigma[keys])
            # The error stops growing at a limit of the detector.
            | ((sigma == table.sigma[keys]) & table.repeated[keys])
        )
        & (time - table.time[keys] < 15.0)
    )
    repeat = same_epoch | growing
    gained = 1.0 / sigma**2 - 1.0 / table.sigma[keys] ** 2
    new_sigma = np.where(repeat, 1.0 / np.sqrt(np.where(gained > 1e-9, gained, np.nan)), sigma)
    return repeat.astype(np.float64), np.where(np.isfinite(new_sigma), new_sigma, np.inf)
