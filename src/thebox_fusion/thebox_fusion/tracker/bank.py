# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Tracks as a struct of arrays: row i of every array is track i."""

from __future__ import annotations

import numpy as np

from .arrays import indices
from .motion import collapse
from .types import BoolArray, FloatArray, IntArray

TENTATIVE, CONFIRMED, COASTING = 1, 2, 3

# Kinds of evidence in a ledger.
BORN, HIT, MISS, DECAY, ATTACHED, DETACHED, SEEN, REFUTED, MERGED, STATE = range(10)

_WIDTH = 16


class TrackBank:
    """N tracks, each a mixture of K Gaussian components over [position, velocity].

    Attributes (N is the number of tracks, S of sensors, B of labels, L of ledger entries):
        number: (N,) the short number, unique for ever.
        time: (N,) seconds, of the components below; each track keeps its own.
        mean, covariance, weight: (N, K, 6), (N, K, 6, 6), (N, K); changed by `write` only.
        log_odds: (N,) of existence.
        state: (N,) TENTATIVE, CONFIRMED or COASTING.
        hits: (N,) expected number of independent detections.
        first_seen, last_hit: (N,) seconds.
        first_sensor: (N,) the sensor that began the track.
        last_look: (N, S) when each sensor last looked at it; NaN never.
        sensor_hits: (N, S) expected detections of each sensor.
        sensor_last: (N, S) when each sensor last detected it; NaN never.
        own_start: (N, 3) time, east and north of the own-ship at the first detection.
        own_path: (N, 9) sums for a straight-line fit of the own-ship's path at the detections:
            n, t, t^2, e, n, te, tn, e^2 + n^2, and the information 1/sigma^2 of the bearings.
        direction: (N, 3) bearing, its variance and time of a plain random-walk filter, which
            follows an emitter whose apparent bearing jumps (reflections) where a trajectory
            cannot; variance 0 before the first bearing.
        hit_rate: (N,) running share of looks that gave a detection.
        misfit: (N,) running mean of the squared normalised innovations of a bearing-only track.
        visible: (N, S) probability that the sensor can see this object at all.
        label_score: (N, B) summed evidence for each label.
        key: (N,) the one identity of a bearing-only track, -1 none.
        pulled: (N, 2) running evidence that cameras pull the track to the left, and to the right,
            of what measures its range.
        claims: (N,) bit n is set when the track looked real after n + 1 detections; -1 when it
            has proved to be no passing false track.
        ledger_*: (N, L) rings of evidence; ``ledger_count`` entries were ever written.
    """

    def __init__(self, components: int, ledger_length: int) -> None:
        self.components = components
        self.ledger_length = ledger_length
        self.number: IntArray = np.zeros(0, dtype=np.int64)
        self.time: FloatArray = np.zeros(0)
        self.mean: FloatArray = np.zeros((0, components, 6))
        self.covariance: FloatArray = np.zeros((0, components, 6, 6))
        self.weight: FloatArray = np.zeros((0, components))
        self._centre: FloatArray = np.zeros((0, 6))
        self._spread: FloatArray = np.zeros((0, 6, 6))
        self._stale: BoolArray = np.zeros(0, dtype=np.bool_)
        self.log_odds: FloatArray = np.zeros(0)
        self.state: IntArray = np.zeros(0, dtype=np.int64)
        self.hits: FloatArray = np.zeros(0)
        self.first_seen: FloatArray = np.zeros(0)
        self.last_hit: FloatArray = np.zeros(0)
        self.first_sensor: IntArray = np.zeros(0, dtype=np.int64)
        self.last_look: FloatArray = np.zeros((0, _WIDTH))
        self.sensor_hits: FloatArray = np.zeros((0, _WIDTH))
        self.sensor_last: FloatArray = np.zeros((0, _WIDTH))
        self.own_start: FloatArray = np.zeros((0, 3))
        self.own_path: FloatArray = np.zeros((0, 9))
        self.direction: FloatArray = np.zeros((0, 3))
        self.hit_rate: FloatArray = np.zeros(0)
        self.visible: FloatArray = np.zeros((0, _WIDTH))
        self.label_score: FloatArray = np.zeros((0, _WIDTH))
        self.misfit: FloatArray = np.zeros(0)
        self.key: IntArray = np.zeros(0, dtype=np.int64)
        self.pulled: FloatArray = np.zeros((0, 2))
        self.claims: IntArray = np.zeros(0, dtype=np.int64)
        self.ledger_time: FloatArray = np.zeros((0, ledger_length))
        self.ledger_sensor: IntArray = np.zeros((0, ledger_length), dtype=np.int64)
        self.ledger_kind: IntArray = np.zeros((0, ledger_length), dtype=np.int64)
        self.ledger_delta: FloatArray = np.zeros((0, ledger_length))
        self.ledger_after: FloatArray = np.zeros((0, ledger_length))
        self.ledger_count: IntArray = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.number)

    def copy(self) -> TrackBank:
        """Return an independent copy."""
        other = TrackBank.__new__(TrackBank)
        for name, value in self.__dict__.items():
            other.__dict__[name] = value.copy() if isinstance(value, np.ndarray) else value
        return other

    def widen(self, sensors: int, labels: int) -> None:
        """Make room for more sensors and labels than the arrays have columns."""
        for name, wanted, fill in (
            ("last_look", sensors, np.nan),
            ("sensor_hits", sensors, 0.0),
            ("sensor_last", sensors, np.nan),
            ("visible", sensors, 0.7),
            ("label_score", labels, 0.0),
        ):
            array = self.__dict__[name]
            missing = wanted - array.shape[1]
            if missing > 0:
                pad = np.full((len(array), missing + _WIDTH), fill)
                self.__dict__[name] = np.concatenate([array, pad], axis=1)

    def keep(self, rows: IntArray) -> None:
        """Keep only ``rows``, in that order."""
        for name, value in self.__dict__.items():
            if isinstance(value, np.ndarray):
                self.__dict__[name] = value[rows]

    def append(self, count: int, **given: FloatArray | IntArray | BoolArray) -> IntArray:
        """Add ``count`` rows; arrays that are not given start at their neutral value."""
        start = len(self)
        for name, value in list(self.__dict__.items()):
            if not isinstance(value, np.ndarray):
                continue
            fresh = np.zeros((count, *value.shape[1:]), dtype=value.dtype)
            if name in ("last_look", "sensor_last", "ledger_time"):
                fresh[:] = np.nan
            elif name == "visible":
                fresh[:] = 0.7
            elif name == "_stale":
                fresh[:] = True
            elif name in ("key", "ledger_sensor"):
                fresh[:] = -1
            elif name == "hit_rate":
                fresh[:] = 1.0
            elif name == "state":
                fresh[:] = TENTATIVE
            if name in given:
                fresh[:] = given[name]
            self.__dict__[name] = np.concatenate([value, fresh])
        return np.arange(start, start + count)

    def note(
        self,
        rows: IntArray,
        time: FloatArray | float,
        sensor: IntArray | int,
        kind: IntArray | int,
        delta: FloatArray | float,
    ) -> None:
        """Write one ledger entry for each of the (distinct) ``rows``."""
        slot = self.ledger_count[rows] % self.ledger_length
        self.ledger_time[rows, slot] = time
        self.ledger_sensor[rows, slot] = sensor
        self.ledger_kind[rows, slot] = kind
        self.ledger_delta[rows, slot] = delta
        self.ledger_after[rows, slot] = self.log_odds[rows]
        self.ledger_count[rows] += 1

    def probability(self) -> FloatArray:
        """Return (N,) existence probabilities."""
        result: FloatArray = 1.0 / (1.0 + np.exp(-self.log_odds))
        return result

    def write(
        self,
        rows: IntArray,
        time: FloatArray,
        mean: FloatArray,
        covariance: FloatArray,
        weight: FloatArray,
    ) -> None:
        """Set the components of ``rows``, and the time that they stand for."""
        self.time[rows] = time
        self.mean[rows] = mean
        self.covariance[rows] = covariance
        self.weight[rows] = weight
        self._stale[rows] = True

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return the mixtures' means (N, 6) and covariances (N, 6, 6).

        They are asked for several times a frame, which changes a few tracks, so they are kept. The
        arrays stay as they are: later moments are in new ones.
        """
        rows = indices(self._stale)
        if len(rows):
            fresh = collapse(self.mean[rows], self.covariance[rows], self.weight[rows])
            if len(rows) == len(self):
                self._centre, self._spread = fresh
            else:
                self._centre, self._spread = self._centre.copy(), self._spread.copy()
                self._centre[rows], self._spread[rows] = fresh
            self._stale = np.zeros(len(self), dtype=np.bool_)
        return self._centre, self._spread
