# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The peer: a tracker composed of Stone Soup's parts, tuned, on the same detections.

Extended Kalman filter, constant velocity, in the plane; GNN by 2D assignment or JPDA; initiation
from several radar plots in a row; deletion after some seconds without an update. A cheap
pre-gate (plots far from a track are never handed to the hypothesiser) makes it many times faster
than Stone Soup used as its tutorials do. Slant ranges are corrected for a usual height. Cameras'
bearings update its tracks; coarse radio bearings are left out, which serves it better.
"""

from __future__ import annotations

import datetime
import itertools
import math
import time
from dataclasses import dataclass

import numpy as np
from skies import Recording
from stonesoup.dataassociator.neighbour import GNNWith2DAssignment
from stonesoup.dataassociator.probability import JPDAwithEHM
from stonesoup.deleter.time import UpdateTimeDeleter
from stonesoup.functions import gm_reduce_single
from stonesoup.hypothesiser.distance import DistanceHypothesiser
from stonesoup.hypothesiser.probability import PDAHypothesiser
from stonesoup.initiator.simple import MultiMeasurementInitiator
from stonesoup.measures import Mahalanobis
from stonesoup.models.measurement.nonlinear import Cartesian2DToBearing, CartesianToBearingRange
from stonesoup.models.transition.linear import (
    CombinedLinearGaussianTransitionModel,
    ConstantVelocity,
)
from stonesoup.predictor.kalman import ExtendedKalmanPredictor
from stonesoup.types.angle import Bearing
from stonesoup.types.array import CovarianceMatrix, StateVector, StateVectors
from stonesoup.types.detection import Detection
from stonesoup.types.state import GaussianState
from stonesoup.types.update import GaussianStateUpdate
from stonesoup.updater.kalman import ExtendedKalmanUpdater

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
HEIGHT = 80.0


@dataclass(frozen=True)
class Tuning:
    associator: str = "gnn"
    min_points: int = 3
    noise: float = 2.0
    silence: float = 4.0
    clutter: float = 5.0
    detection_probability: float = 0.9


def grid(clutter: float, detection_probability: float) -> list[Tuning]:
    """Return the tunings that are tried; the sky's true clutter and probability are told."""
    return [
        Tuning(a, m, q, s, clutter, detection_probability)
        for a, m, q, s in itertools.product(("gnn", "jpda"), (2, 3, 4), (0.5, 3.0), (3.5,))
    ]


class PlaneMotion(CombinedLinearGaussianTransitionModel):
    """The same matrices as Stone Soup's, without building them from blocks each time."""

    def matrix(self, time_interval, **kwargs):  # type: ignore[no-untyped-def]
        h = time_interval.total_seconds()
        return np.array([[1, h, 0, 0], [0, 1, 0, 0], [0, 0, 1, h], [0, 0, 0, 1.0]])

    def covar(self, time_interval, **kwargs):  # type: ignore[no-untyped-def]
        h = time_interval.total_seconds()
        q = self.model_list[0].noise_diff_coeff
        block = q * np.array([[h**3 / 3, h**2 / 2], [h**2 / 2, h]])
        result = np.zeros((4, 4))
        result[:2, :2] = result[2:, 2:] = block
        return result.view(CovarianceMatrix)


class PreGated:
    """Hands a hypothesiser only the detections near the track."""

    def __init__(self, inner, predictor) -> None:  # type: ignore[no-untyped-def]
        self.inner, self.predictor = inner, predictor
        self.cached: tuple[object, np.ndarray, list] | None = None  # type: ignore[type-arg]

    def hypothesise(self, track, detections, timestamp, **kwargs):  # type: ignore[no-untyped-def]
        if self.cached is None or self.cached[0] is not detections:
            order = sorted(detections, key=lambda d: d.metadata["index"])
            places = np.array([d.metadata["place"] for d in order]).reshape(-1, 3)
            self.cached = (detections, places, order)
        _, places, order = self.cached
        near = set()
        if order:
            prediction = self.predictor.predict(track, timestamp=timestamp)
            x, _, y, _ = np.asarray(prediction.state_vector, float).ravel()
            reach = 4.0 * math.sqrt(float(prediction.covar[0, 0] + prediction.covar[2, 2]))
            reach += 40.0 + 0.05 * math.hypot(x, y)
            far = np.hypot(places[:, 0] - x, places[:, 1] - y) - reach
            own = order[0].metadata["own"]
            angle = np.arctan2(y - own[1], x - own[0])
            off = np.abs((places[:, 2] - angle + np.pi) % (2 * np.pi) - np.pi)
            distance = max(math.hypot(x - own[0], y - own[1]), 1.0)
            inside = np.where(np.isfinite(far), far < 0.0, off < reach / distance)
            near = {order[i] for i in np.flatnonzero(inside)}
        return self.inner.hypothesise(track, near, timestamp, **kwargs)


def _measurements(recording: Recording) -> list[tuple[float, list[Detection]]]:
    groups: dict[tuple[float, str], list[tuple[int, dict[str, object]]]] = {}
    for index, record in enumerate(recording.detections):
        if record["sensor"] in ("dspnor", "mara"):
            moment = float(record["t"])  # type: ignore[arg-type]
            if record["sensor"] == "dspnor":
                moment = round(moment * 4.0) / 4.0 if moment % 1.0 else moment
            groups.setdefault((moment, str(record["sensor"])), []).append((index, record))
    result = []
    for (moment, sensor), members in sorted(groups.items()):
        stamp = START + datetime.timedelta(seconds=moment)
        frame = []
        for index, record in members:
            own = np.array([[record["own_east_m"]], [record["own_north_m"]]], float)
            angle = math.pi / 2.0 - float(record["bearing_rad"])  # type: ignore[arg-type]
            sigma = float(record["bearing_sigma_rad"])  # type: ignore[arg-type]
            if "range_m" in record:
                slant = float(record["range_m"])  # type: ignore[arg-type]
                ground = math.sqrt(max(slant**2 - HEIGHT**2, (0.5 * slant) ** 2))
                spread = float(record["range_sigma_m"])  # type: ignore[arg-type]
                model = CartesianToBearingRange(
                    ndim_state=4,
                    mapping=(0, 2),
                    noise_covar=np.diag([sigma**2, spread**2 + 4.0]),
                    translation_offset=own,
                )
                vector = np.array([[angle], [ground]])
                place = (
                    own[0, 0] + ground * math.cos(angle),
                    own[1, 0] + ground * math.sin(angle),
                    angle,
                )
            else:
                model = Cartesian2DToBearing(
                    ndim_state=4,
                    mapping=(0, 2),
                    noise_covar=np.diag([sigma**2]),
                    translation_offset=own,
                )
                vector = np.array([[angle]])
                place = (math.nan, math.nan, angle)
            frame.append(
                Detection(
                    _angles(vector),
                    timestamp=stamp,
                    measurement_model=model,
                    metadata={
                        "place": place,
                        "index": index,
                        "own": own.ravel().tolist(),
                        "sensor": sensor,
                    },
                )
            )
        result.append((moment, frame))
    return result


def _angles(vector: np.ndarray):  # type: ignore[no-untyped-def]
    rows = [[Bearing(vector[0, 0])]] + [[float(x)] for x in vector[1:, 0]]
    return StateVector(rows)


def run(  # noqa: PLR0912, PLR0915 (one pass, as Stone Soup composes it)
    recording: Recording, tuning: Tuning, stop_after: float = math.inf
) -> tuple[dict[float, list[tuple[str, float, float]]], float, int]:
    """Return pictures by second, seconds of work, and the number of detections used."""
    motion = PlaneMotion([ConstantVelocity(tuning.noise), ConstantVelocity(tuning.noise)])
    predictor = ExtendedKalmanPredictor(motion)
    updater = ExtendedKalmanUpdater(measurement_model=None)
    distance = PreGated(
        DistanceHypothesiser(predictor, updater, Mahalanobis(), missed_distance=4.0), predictor
    )
    gnn = GNNWith2DAssignment(distance)
    if tuning.associator == "jpda":
        density = tuning.clutter / (5000.0 * 2.0 * math.pi)
        associator = JPDAwithEHM(
            PreGated(
                PDAHypothesiser(
                    predictor,
                    updater,
                    clutter_spatial_density=max(density, 1e-7),
                    prob_detect=tuning.detection_probability,
                    prob_gate=0.997,
                ),
                predictor,
            )
        )
    else:
        associator = gnn
    deleter = UpdateTimeDeleter(datetime.timedelta(seconds=tuning.silence))
    young = UpdateTimeDeleter(datetime.timedelta(seconds=1.6))
    prior = GaussianState([[0.0], [0.0], [0.0], [0.0]], np.diag([0.0, 100.0, 0.0, 100.0]))
    initiator = MultiMeasurementInitiator(
        prior_state=prior,
        measurement_model=None,
        deleter=young,
        data_associator=GNNWith2DAssignment(
            PreGated(
                DistanceHypothesiser(predictor, updater, Mahalanobis(), missed_distance=3.5),
                predictor,
            )
        ),
        updater=updater,
        min_points=tuning.min_points,
        updates_only=True,
    )
    tracks: set = set()  # type: ignore[type-arg]
    pictures: dict[float, list[tuple[str, float, float]]] = {}
    seconds = sorted(recording.truth)
    begin = time.perf_counter()
    used = 0

    def report(second: float) -> None:
        stamp = START + datetime.timedelta(seconds=second)
        rows = []
        for track in tracks:
            x, vx, y, vy = np.asarray(track.state.state_vector, float).ravel()
            h = (stamp - track.state.timestamp).total_seconds()
            rows.append((track.id, float(x + vx * h), float(y + vy * h)))
        pictures[second] = rows

    pending = iter(seconds)
    upcoming = next(pending, None)
    for moment, frame in _measurements(recording):
        while upcoming is not None and moment > upcoming:
            report(upcoming)
            upcoming = next(pending, None)
        if moment > stop_after:
            break
        used += len(frame)
        stamp = START + datetime.timedelta(seconds=moment)
        detections = set(frame)
        radar = frame[0].metadata["sensor"] == "dspnor"
        links = associator.associate(tracks, detections, stamp)
        taken = set()
        for track, hypothesis in links.items():
            if tuning.associator == "jpda":
                states, weights = [], []
                for single in hypothesis:
                    if single:
                        states.append(updater.update(single))
                        if float(single.weight) > 0.05:
                            taken.add(single.measurement)
                    else:
                        states.append(single.prediction)
                    weights.append(float(single.weight))
                if len(states) > 1:
                    mean, covariance = gm_reduce_single(
                        StateVectors([s.state_vector for s in states]),
                        np.stack([s.covar for s in states], axis=2),
                        np.asarray(weights),
                    )
                    best = max(
                        (h for h in hypothesis if h), key=lambda h: float(h.weight), default=None
                    )
                    if best is not None and max(float(h.weight) for h in hypothesis if not h) < 0.5:
                        track.append(
                            GaussianStateUpdate(mean, covariance, hypothesis=best, timestamp=stamp)
                        )
                    else:
                        track.append(states[weights.index(max(weights))])
                else:
                    track.append(states[0])
            elif hypothesis:
                track.append(updater.update(hypothesis))
                taken.add(hypothesis.measurement)
            else:
                track.append(hypothesis.prediction)
        tracks -= deleter.delete_tracks(tracks, timestamp=stamp)
        if radar:
            tracks |= initiator.initiate(detections - taken, stamp)
    while upcoming is not None:
        report(upcoming)
        upcoming = next(pending, None)
    return pictures, time.perf_counter() - begin, used
