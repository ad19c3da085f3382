# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores of a picture of many objects: GOSPA, OSPA, identity switches, false-track seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """GOSPA of one time.

    Attributes:
        gospa: metres.
        localisation: sum of distance^p of the assigned pairs.
        missed: objects without a track; ``false`` tracks without an object.
        pairs: (object row, track row) assigned, nearer than the cut-off.
        distances: metres, of those pairs.
    """

    gospa: float
    localisation: float
    missed: int
    false: int
    pairs: tuple[tuple[int, int], ...]
    distances: tuple[float, ...]


def _distances(objects: FloatArray, tracks: FloatArray) -> FloatArray:
    gap = objects[:, None, :] - tracks[None, :, :]
    distances: FloatArray = np.sqrt((gap * gap).sum(axis=2))
    return distances


def gospa(objects: FloatArray, tracks: FloatArray, cutoff: float, order: float = 2.0) -> Step:
    """Return the generalised OSPA metric with alpha = 2.

    Rahmathullah, Garcia-Fernandez and Svensson, Generalized optimal sub-pattern assignment
    metric, FUSION 2017: (sum d^p over pairs + cutoff^p / 2 for each missed and each false)^(1/p).

    Args:
        objects: (N, D) true positions.
        tracks: (M, D) reported positions.
        cutoff: metres; a pair farther apart counts as one missed and one false.
        order: p.

    Raises:
        ValueError: cutoff not positive or order below 1.
    """
    if cutoff <= 0.0 or order < 1.0:
        raise ValueError("cutoff must be positive and order at least 1")
    n, m = len(objects), len(tracks)
    pairs: list[tuple[int, int]] = []
    near: list[float] = []
    if n and m:
        distance = _distances(np.asarray(objects, float), np.asarray(tracks, float))
        rows, columns = linear_sum_assignment(np.minimum(distance, cutoff) ** order)
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
            if distance[i, j] < cutoff:
                pairs.append((i, j))
                near.append(float(distance[i, j]))
    localisation = float(sum(d**order for d in near))
    missed, false = n - len(pairs), m - len(pairs)
    total = localisation + 0.5 * cutoff**order * (missed + false)
    return Step(total ** (1.0 / order), localisation, missed, false, tuple(pairs), tuple(near))


def ospa(objects: FloatArray, tracks: FloatArray, cutoff: float, order: float = 2.0) -> float:
    """Return the OSPA distance, metres.

    Schuhmacher, Vo and Vo, A consistent metric for performance evaluation of multi-object
    filters, IEEE Trans. SP 56(8), 2008. Two empty pictures are at distance 0.
    """
    n, m = len(objects), len(tracks)
    if n == 0 and m == 0:
        return 0.0
    if n == 0 or m == 0:
        return cutoff
    distance = np.minimum(_distances(np.asarray(objects, float), np.asarray(tracks, float)), cutoff)
    rows, columns = linear_sum_assignment(distance**order)
    most = max(n, m)
    total = float((distance[rows, columns] ** order).sum()) + cutoff**order * abs(n - m)
    return float((total / most) ** (1.0 / order))


@dataclass
class PictureScore:
    """Scores over a run, one picture a second.

    Attributes:
        gospa, ospa: means over time, metres.
        switches: times that an object's track changed its identity.
        false_seconds: track-seconds without an object; ``missed_seconds`` the other way round.
        completeness: share of object-seconds that have a track.
        rms: root mean square distance of the assigned pairs, metres.
        seconds: number of pictures.
    """

    gospa: float = 0.0
    ospa: float = 0.0
    switches: int = 0
    false_seconds: int = 0
    missed_seconds: int = 0
    completeness: float = 0.0
    rms: float = 0.0
    seconds: int = 0
    gospa_over_time: list[float] = field(default_factory=list)

    @property
    def false_seconds_per_minute(self) -> float:
        """False-track seconds in a minute."""
        return 60.0 * self.false_seconds / max(self.seconds, 1)


def score_picture(
    truth: Mapping[float, Sequence[tuple[str, float, float]]],
    tracks: Mapping[float, Sequence[tuple[str, float, float]]],
    cutoff: float,
    order: float = 2.0,
) -> PictureScore:
    """Score reported tracks against the truth at each of the truth's times.

    Args:
        truth: time -> (identity, east, north); times without an entry in ``tracks`` count as an
            empty picture.
        tracks: time -> (identity, east, north).
        cutoff: see `gospa`.
        order: see `gospa`.
    """
    score = PictureScore()
    last: dict[str, str] = {}
    pairs_total, squared = 0, 0.0
    ospa_sum = 0.0
    objects_total = 0
    for time in sorted(truth):
        objects, reported = truth[time], tracks.get(time, ())
        a = np.array([row[1:3] for row in objects], float).reshape(-1, 2)
        b = np.array([row[1:3] for row in reported], float).reshape(-1, 2)
        step = gospa(a, b, cutoff, order)
        score.gospa_over_time.append(step.gospa)
        ospa_sum += ospa(a, b, cutoff, order)
        score.false_seconds += step.false
        score.missed_seconds += step.missed
        objects_total += len(objects)
        pairs_total += len(step.pairs)
        squared += sum(d * d for d in step.distances)
        for i, j in step.pairs:
            name, track = objects[i][0], reported[j][0]
            if last.get(name, track) != track:
                score.switches += 1
            last[name] = track
    score.seconds = len(truth)
    count = max(score.seconds, 1)
    score.gospa = float(sum(score.gospa_over_time)) / count
    score.ospa = ospa_sum / count
    score.completeness = pairs_total / objects_total if objects_total else 1.0
    score.rms = (squared / pairs_total) ** 0.5 if pairs_total else 0.0
    return score
