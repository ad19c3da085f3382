# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A Detection as it is on the wire, read without a message object.

A radar's look is hundreds of detections at once, each of which fusion, range and DroneDB take in.
rclpy makes some twenty Python objects of each; here it is one read of all its numbers. Subscribe
with ``raw=True``. The layout is the order of the fields in Detection.msg, in PLAIN_CDR of either
byte order (OMG DDS-XTypes 1.3, section 7.4.3); the tests hold it against rclpy's own.
"""

from __future__ import annotations

import struct
from typing import Final

from thebox_core.packed import Stamp

__all__ = ["PackedDetection"]

_SKIP: Final = 4  # the encapsulation, from behind which alignment counts
_COUNT: Final = 42
_FORMS: Final = ("iI", "I", f"{_COUNT}d", "d")
_TABLE: Final = {
    encapsulation: tuple(struct.Struct(order + form) for form in _FORMS)
    for encapsulation, order in ((b"\x00\x01", "<"), (b"\x00\x00", ">"))
}


class PackedDetection:
    """One detection, its fields named as in Detection.msg.

    Attributes:
        stamp, received: (seconds, nanoseconds).
        sensor, modality, sensor_track_id, label, confidence: as they are.
        numbers: (42,) all others but the attributes, in their order: bearing, its standard
            deviation, the alternative, elevation, its; range, its, range rate, its; position (3),
            covariance (9), velocity (3), covariance (9); sensor position (3); frequency,
            bandwidth, rssi, sound level; angular width and height.
    """

    __slots__ = (
        "confidence",
        "label",
        "modality",
        "numbers",
        "received",
        "sensor",
        "sensor_track_id",
        "stamp",
    )

    stamp: Stamp
    received: Stamp
    sensor: str
    modality: int
    sensor_track_id: str
    numbers: tuple[float, ...]
    label: str
    confidence: float

    @property
    def time(self) -> float:
        """When it was measured, seconds."""
        return self.stamp[0] + self.stamp[1] * 1e-9

    @property
    def received_at(self) -> float:
        """When it was received, seconds; 0 where nobody said."""
        return self.received[0] + self.received[1] * 1e-9

    @classmethod
    def read(cls, data: bytes) -> PackedDetection:
        """Return the detection in a serialised Detection.

        Raises:
            ValueError: it is none: cut off, of another release, or in another encoding.
        """
        forms = _TABLE.get(data[:2])
        if forms is None:
            raise ValueError("not a Detection in plain CDR")
        stamps, length, numbers, double = forms
        self = cls.__new__(cls)
        try:
            self.stamp = stamps.unpack_from(data, _SKIP)
            at = _SKIP + 8
            at += 4 + length.unpack_from(data, at)[0]  # frame
            at += -at % 4
            self.received = stamps.unpack_from(data, at)
            self.sensor, at = _text(data, at + 8, length)
            self.modality = data[at]
            self.sensor_track_id, at = _text(data, at + 1, length)
            at += (_SKIP - at) % 8
            self.numbers = numbers.unpack_from(data, at)
            self.label, at = _text(data, at + numbers.size, length)
            at += (_SKIP - at) % 8
            (self.confidence,) = double.unpack_from(data, at)
        except (struct.error, IndexError) as error:
            raise ValueError(f"not a whole Detection: {error}") from None
        return self


def _text(data: bytes, at: int, length: struct.Struct) -> tuple[str, int]:
    at += -at % 4
    (size,) = length.unpack_from(data, at)
    end = at + 4 + size
    if not size or end > len(data):
        raise struct.error("a text ends beyond the message")
    return data[at + 4 : end - 1].decode("utf-8", "replace"), end
