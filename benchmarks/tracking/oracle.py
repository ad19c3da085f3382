# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The oracle: the tracker's own filter, told which detection belongs to whom.

It shows the floor that the measurements set. It knows the objects' numbers and when they are
there; it begins a track with the object's first ranged detection and keeps it until the object's
last second.
"""

from __future__ import annotations

import math

import numpy as np
from skies import Recording

from thebox_fusion.offline import detection_of_record
from thebox_fusion.tracker.bank import TrackBank
from thebox_fusion.tracker.detection import batch_of
from thebox_fusion.tracker.frames import fill_unknown
from thebox_fusion.tracker.initiate import kinematic_states
from thebox_fusion.tracker.tracker import Tracker
from thebox_fusion.tracker.update import predict_rows, update_certain


def run(recording: Recording) -> dict[float, list[tuple[str, float, float]]]:
    tracker = Tracker()
    parameters, motion = tracker.parameters, tracker.motion
    bank = TrackBank(len(motion.density), parameters.ledger_length)
    row_of: dict[int, int] = {}
    order = sorted(
        range(len(recording.detections)), key=lambda i: float(recording.detections[i]["t"])
    )  # type: ignore[arg-type]
    position = 0
    result: dict[float, list[tuple[str, float, float]]] = {}
    for second in sorted(recording.truth):
        while position < len(order) and float(recording.detections[order[position]]["t"]) <= second:  # type: ignore[arg-type]
            index = order[position]
            position += 1
            origin = recording.origins[index]
            if origin < 0:
                continue
            detection = detection_of_record(recording.detections[index])
            model = parameters.sensor_model(detection.sensor, detection.modality)
            batch = fill_unknown(batch_of([detection], 0, [-1], [-1]), model)
            if origin in row_of:
                row = np.array([row_of[origin]])
                update_certain(
                    bank,
                    row,
                    batch,
                    dynamics=motion,
                    distance_cap=np.inf,
                    weight_floor=1e-6,
                    kinematic=np.ones(1, dtype=bool),
                )
            elif math.isfinite(detection.range):
                mean, covariance = kinematic_states(batch, bank.components, parameters)
                rows = bank.append(
                    1,
                    time=batch.time,
                    mean=mean,
                    covariance=covariance,
                    weight=motion.dwell / motion.dwell.sum(),
                )
                row_of[origin] = int(rows[0])
        here = [name for name, _, _ in recording.truth[second] if int(name) in row_of]
        rows = np.array([row_of[int(name)] for name in here], dtype=np.int64)
        if len(rows):
            mean, _, weight = predict_rows(bank, rows, np.full(len(rows), second), motion)
            centre = np.einsum("nk,nka->na", weight, mean)
            result[second] = [
                (name, float(c[0]), float(c[1])) for name, c in zip(here, centre, strict=True)
            ]
        else:
            result[second] = []
    return result
