# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""One measurement of one object by one sensor, and a batch of them as arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np

from .types import BoolArray, FloatArray, IntArray

NAN = math.nan
MODALITIES = ("RF", "RADAR", "EO", "IR", "ACOUSTIC", "VISION", "UNKNOWN")


def _shared(array: FloatArray) -> FloatArray:
    array.flags.writeable = False
    return array


# One for all detections that measure none: most do not, and they come by the hundred a second.
UNKNOWN_VECTOR = _shared(np.full(3, np.nan))
UNKNOWN_MATRIX = _shared(np.full((3, 3), np.nan))
STILL = _shared(np.zeros(3))


@dataclass
class Detection:
    """One measurement. Unknown numbers are NaN, unknown strings empty.

    Bearings are radians from true north, clockwise; elevations radians above the horizon;
    ranges are slant ranges in metres; positions and velocities are local ENU in metres and
    metres a second.

    Attributes:
        sensor: name of the sensor, the key of its `SensorModel`.
        modality: one of `MODALITIES`.
        time: seconds, when it was measured, on the caller's clock.
        bearing: bearing of the object seen from ``own_position``.
        bearing_sigma: its standard deviation.
        alternative_bearing: the second candidate of an ambiguous sensor.
        elevation: elevation angle.
        elevation_sigma: its standard deviation.
        range: slant range.
        range_sigma: its standard deviation.
        position: (3,) ENU, where the sensor measures a position.
        position_covariance: (3, 3) of that position.
        velocity: (3,) ENU, where measured.
        velocity_sigma: standard deviation of each component of it.
        range_rate: m/s, positive when the object recedes.
        range_rate_sigma: its standard deviation.
        frequency: Hz.
        bandwidth: Hz.
        rssi: received power, dBm.
        apparent_size: angle that the object subtends in a picture, radians.
        sound_level: dB, at the microphone.
        key: the sensor's own identity of the object; empty when it has none.
        label: what the sensor believes it is.
        confidence: 0..1, the sensor's own belief that there is an object at all. A VISION
            detection below 0.5 refutes the track in that direction.
        own_position: (3,) ENU of the sensor at ``time``.
        own_velocity: (3,) ENU of the sensor at ``time``.
    """

    sensor: str
    modality: str
    time: float
    bearing: float = NAN
    bearing_sigma: float = NAN
    alternative_bearing: float = NAN
    elevation: float = NAN
    elevation_sigma: float = NAN
    range: float = NAN
    range_sigma: float = NAN
    position: FloatArray = field(default_factory=lambda: UNKNOWN_VECTOR)
    position_covariance: FloatArray = field(default_factory=lambda: UNKNOWN_MATRIX)
    velocity: FloatArray = field(default_factory=lambda: UNKNOWN_VECTOR)
    velocity_sigma: float = NAN
    range_rate: float = NAN
    range_rate_sigma: float = NAN
    frequency: float = NAN
    bandwidth: float = NAN
    rssi: float = NAN
    apparent_size: float = NAN
    sound_level: float = NAN
    key: str = ""
    label: str = ""
    confidence: float = NAN
    own_position: FloatArray = field(default_factory=lambda: STILL)
    own_velocity: FloatArray = field(default_factory=lambda: STILL)


_SCALARS = (
    "time",
    "bearing",
    "bearing_sigma",
    "alternative_bearing",
    "elevation",
    "elevation_sigma",
    "range",
    "range_sigma",
    "velocity_sigma",
    "range_rate",
    "range_rate_sigma",
    "frequency",
    "rssi",
    "apparent_size",
    "sound_level",
    "confidence",
)

_scalars = attrgetter(*_SCALARS)


@dataclass
class DetectionBatch:
    """Detections of one sensor as a struct of arrays, all of length M (or (M, 3), (M, 3, 3)).

    ``key`` and ``label`` are indices into the tracker's registries, -1 for none. Columns do not
    change once a part has been taken.
    """

    sensor: int
    time: FloatArray
    bearing: FloatArray
    bearing_sigma: FloatArray
    alternative_bearing: FloatArray
    elevation: FloatArray
    elevation_sigma: FloatArray
    range: FloatArray
    range_sigma: FloatArray
    velocity_sigma: FloatArray
    range_rate: FloatArray
    range_rate_sigma: FloatArray
    frequency: FloatArray
    rssi: FloatArray
    apparent_size: FloatArray
    sound_level: FloatArray
    confidence: FloatArray
    position: FloatArray
    position_covariance: FloatArray
    velocity: FloatArray
    own_position: FloatArray
    own_velocity: FloatArray
    key: IntArray
    label: IntArray

    def __len__(self) -> int:
        return len(self.time)

    def take(self, index: IntArray) -> DetectionBatch:
        """Return the rows ``index`` as a new batch, each column of which is made when asked for."""
        taken = DetectionBatch.__new__(DetectionBatch)
        taken.__dict__.update(
            sensor=self.sensor,
            time=self.time[index],
            _of=(self, index),
            _frame=self.__dict__.get("_frame", self),
            _asked=self.__dict__.setdefault("_asked", {}),
        )
        return taken

    def __getattr__(self, name: str) -> Any:
        """Make a column of a part, once: most frames never ask for most of them."""
        part = self.__dict__.get("_of")
        if part is None or name.startswith("_"):
            raise AttributeError(name)
        whole, index = part
        column = self.__dict__[name] = getattr(whole, name)[index]
        return column

    def has(self, name: str) -> bool:
        """Return whether any row of a column is finite, here or in the frame that this is part of.

        Where it is not there is nothing to do; where it is, some rows may still be unknown.
        """
        asked: dict[str, bool] = self.__dict__.setdefault("_asked", {})
        known = asked.get(name)
        if known is None:
            frame = self.__dict__.get("_frame", self)
            known = asked[name] = bool(np.isfinite(getattr(frame, name)).any())
        return known

    @property
    def middle(self) -> tuple[float, FloatArray]:
        """The mean time, seconds, and the mean place (3,) of the sensor then."""
        known: tuple[float, FloatArray] | None = self.__dict__.get("_middle")
        if known is None:
            count = len(self)
            place: FloatArray = self.own_position.sum(axis=0) / count
            known = self.__dict__["_middle"] = float(self.time.sum()) / count, place
        return known

    @property
    def placed(self) -> BoolArray:
        """(M,) which detections measured a position."""
        if not self.has("position"):
            return np.zeros(len(self), dtype=np.bool_)
        result: BoolArray = np.all(np.isfinite(self.position), axis=1)
        return result


def batch_of(
    detections: Sequence[Detection], sensor: int, keys: Sequence[int], labels: Sequence[int]
) -> DetectionBatch:
    """Turn detections of one sensor into arrays."""
    count = len(detections)
    scalars = np.array([_scalars(d) for d in detections], dtype=np.float64).reshape(
        count, len(_SCALARS)
    )
    columns = dict(zip(_SCALARS, np.ascontiguousarray(scalars.T), strict=True))
    return DetectionBatch(
        sensor=sensor,
        position=np.array([d.position for d in detections], dtype=np.float64).reshape(count, 3),
        position_covariance=np.array(
            [d.position_covariance for d in detections], dtype=np.float64
        ).reshape(count, 3, 3),
        velocity=np.array([d.velocity for d in detections], dtype=np.float64).reshape(count, 3),
        own_position=np.array([d.own_position for d in detections], dtype=np.float64).reshape(
            count, 3
        ),
        own_velocity=np.array([d.own_velocity for d in detections], dtype=np.float64).reshape(
            count, 3
        ),
        key=np.array(keys, dtype=np.int64),
        label=np.array(labels, dtype=np.int64),
        **columns,
    )
