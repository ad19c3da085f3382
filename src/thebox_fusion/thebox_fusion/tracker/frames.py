# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Frames: detections of one sensor that are weighed against all tracks at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from .arrays import or_zero
from .detection import Detection, DetectionBatch
from .parameters import SensorModel
from .sensors import SensorState
from .types import FloatArray

TOGETHER = 0.15
"""Seconds: emissions without a key so near in time are gated at once."""


def frames_of(
    items: Sequence[tuple[float, int, Detection]],
    index: Mapping[str, int],
    sensors: Sequence[SensorState],
) -> list[list[Detection]]:
    """Divide detections, sorted by time, into frames.

    A frame holds detections of one sensor from a time shorter than its revisit, so that no object
    is in it twice, and no key twice. Radio emissions without a key are no look and are weighed one
    by one: a frame of them is only what came together. A picture is a look of its own, however soon
    the next one follows: two boxes of one object would else count as two objects. Frames come in
    the order of their first detection.
    """
    open_frames: dict[str, list[Detection]] = {}
    open_keys: dict[str, set[str]] = {}
    frames: list[list[Detection]] = []
    for _, _, detection in items:
        name = detection.sensor
        frame = open_frames.get(name)
        sensor = sensors[index[name]]
        fits = frame is not None
        if frame is not None:
            span = detection.time - frame[0].time
            fits = span <= 1e-6 or (span < 0.35 * sensor.revisit and not _simultaneous(frame))
            fits = fits and not (detection.key and detection.key in open_keys[name])
            if detection.modality == "VISION":
                fits = fits and span <= 1e-6
            if detection.modality == "RF" and not math.isfinite(detection.range):
                bare = not detection.key
                fits = fits and bare == (not frame[0].key)
                fits = fits and (not bare or span <= TOGETHER)
        if frame is None or not fits:
            frame = []
            open_frames[name] = frame
            open_keys[name] = set()
            frames.append(frame)
        frame.append(detection)
        if detection.key:
            open_keys[name].add(detection.key)
    return frames


def _simultaneous(frame: Sequence[Detection]) -> bool:
    """Whether several detections share one time: a look of its own."""
    return len(frame) > 1 and frame[-1].time == frame[0].time


def give_height(batch: DetectionBatch, altitude: float, sigma: float) -> DetectionBatch:
    """Give a measured place without a height the usual one, where nothing else tells the place.

    Args:
        batch: changed in place.
        altitude: above the sensor, metres.
        sigma: its standard deviation.
    """
    if not batch.has("position"):
        return batch
    flat = np.isfinite(batch.position[:, :2]).all(axis=1) & ~np.isfinite(batch.position[:, 2])
    flat &= ~(np.isfinite(batch.range) & np.isfinite(batch.bearing))
    if flat.any():
        batch.position[flat, 2] = batch.own_position[flat, 2] + altitude
        covariance = batch.position_covariance[flat]
        covariance[:, 2, :] = covariance[:, :, 2] = 0.0
        covariance[:, 2, 2] = sigma**2
        batch.position_covariance[flat] = covariance
    return batch


def fill_unknown(batch: DetectionBatch, model: SensorModel) -> DetectionBatch:
    """Give every measured quantity a standard deviation, and every position a bearing."""

    def sigma(given: FloatArray, default: float, floor: float) -> FloatArray:
        usable = np.isfinite(given) & (given > 0.0)
        believed: FloatArray = np.maximum(np.where(usable, given, default), floor)
        return believed

    batch.bearing_sigma = sigma(batch.bearing_sigma, model.bearing_sigma, model.bearing_sigma_floor)
    batch.elevation_sigma = sigma(batch.elevation_sigma, model.elevation_sigma, 1e-4)
    batch.range_sigma = sigma(batch.range_sigma, model.range_sigma, model.range_sigma_floor)
    batch.range_rate_sigma = sigma(batch.range_rate_sigma, model.range_rate_sigma, 0.05)
    batch.velocity_sigma = sigma(batch.velocity_sigma, 3.0, 0.05)
    batch.range = np.where(np.isfinite(batch.range) & (batch.range > 0.0), batch.range, math.nan)
    batch.own_velocity = or_zero(batch.own_velocity)
    placed = batch.placed
    if placed.any():
        known = np.isfinite(batch.position_covariance).all(axis=(1, 2)) & (
            np.trace(batch.position_covariance, axis1=1, axis2=2) > 0.0
        )
        default = np.eye(3) * model.position_sigma**2
        batch.position_covariance = np.where(
            known[:, None, None], batch.position_covariance, default
        )
        # A position and the bearing that was computed from it are one measurement.
        batch.bearing = np.where(placed, math.nan, batch.bearing)
        batch.elevation = np.where(placed, math.nan, batch.elevation)
        batch.range = np.where(placed, math.nan, batch.range)
    return batch
