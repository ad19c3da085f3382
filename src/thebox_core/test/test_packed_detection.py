# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Packed detections against rclpy's own serialisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

rclpy = pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

from builtin_interfaces.msg import Time  # noqa: E402
from diagnostic_msgs.msg import KeyValue  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402

from thebox_core.packed_detection import PackedDetection  # noqa: E402
from thebox_interfaces.msg import Detection  # noqa: E402

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
NUMBER = st.floats(allow_nan=False, width=64)
STAMP = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 999_999_999))
FIRST = ("bearing", "bearing_std", "bearing_alternative", "elevation", "elevation_std")
SECOND = ("range", "range_std", "range_rate", "range_rate_std")
LAST = ("frequency", "bandwidth", "rssi", "sound_level", "angular_width", "angular_height")


@st.composite
def detections(draw: Any) -> Detection:
    message = Detection()
    sec, nanosec = draw(STAMP)
    message.header.stamp = Time(sec=sec, nanosec=nanosec)
    message.header.frame_id = draw(TEXT)
    message.received = Time(sec=sec // 2, nanosec=nanosec // 2)
    message.sensor, message.sensor_track_id, message.label = draw(TEXT), draw(TEXT), draw(TEXT)
    message.modality = draw(st.integers(0, 255))
    for name in (*FIRST, *SECOND, *LAST, "confidence"):
        setattr(message, name, draw(NUMBER))
    for vector in (message.position, message.velocity, message.sensor_position):
        vector.x, vector.y, vector.z = draw(NUMBER), draw(NUMBER), draw(NUMBER)
    message.position_covariance = np.arange(9.0) * draw(st.floats(-1e3, 1e3))
    message.velocity_covariance = np.arange(9.0) * draw(st.floats(-1e3, 1e3))
    message.attributes = [KeyValue(key=draw(TEXT), value=draw(TEXT)) for _ in range(2)]
    return message


def numbers_of(message: Detection) -> tuple[float, ...]:
    def vector(of: Any) -> tuple[float, ...]:
        return (of.x, of.y, of.z)

    return (
        *(getattr(message, name) for name in (*FIRST, *SECOND)),
        *vector(message.position),
        *message.position_covariance.tolist(),
        *vector(message.velocity),
        *message.velocity_covariance.tolist(),
        *vector(message.sensor_position),
        *(getattr(message, name) for name in LAST),
    )


@given(detections())
def test_a_detection_is_read_as_rclpy_wrote_it(message: Detection) -> None:
    packed = PackedDetection.read(serialize_message(message))
    assert packed.stamp == (message.header.stamp.sec, message.header.stamp.nanosec)
    assert packed.received == (message.received.sec, message.received.nanosec)
    assert packed.time == message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
    assert packed.received_at == message.received.sec + message.received.nanosec * 1e-9
    assert (packed.sensor, packed.modality) == (message.sensor, message.modality)
    assert (packed.sensor_track_id, packed.label) == (message.sensor_track_id, message.label)
    assert packed.confidence == message.confidence
    assert packed.numbers == numbers_of(message)


@given(detections(), st.data())
def test_what_is_no_whole_detection_is_refused(message: Detection, data: Any) -> None:
    message.attributes = []
    raw = serialize_message(message)
    cut = data.draw(st.integers(0, len(raw) - 8))  # of the padded end and the count of attributes
    with pytest.raises(ValueError, match="Detection"):
        PackedDetection.read(raw[:cut])
    place, value = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 255))
    mutated = bytearray(raw)
    mutated[place] = value
    try:
        PackedDetection.read(bytes(mutated))
    except ValueError as error:
        assert "Detection" in str(error)


def test_either_byte_order_is_read() -> None:
    """rclpy reads what a machine of the other order sends; so must we."""
    raw = (
        b"\x00\x00\x00\x00"
        + (7).to_bytes(4, "big")
        + (8).to_bytes(4, "big")
        + (4).to_bytes(4, "big")
        + b"map\0"
        + (9).to_bytes(4, "big")
        + (10).to_bytes(4, "big")
        + (5).to_bytes(4, "big")
        + b"mara\0"
        + b"\x03"
        + b"\0\0"
        + (3).to_bytes(4, "big")
        + b"T1\0"
    )
    raw += b"\0" * (-(len(raw) - 4) % 8) + np.arange(42.0).astype(">f8").tobytes()
    raw += (1).to_bytes(4, "big") + b"\0"
    raw += b"\0" * (-(len(raw) - 4) % 8) + np.array([0.5], dtype=">f8").tobytes()
    raw += (0).to_bytes(4, "big")
    packed = PackedDetection.read(raw)
    assert (packed.stamp, packed.received) == ((7, 8), (9, 10))
    assert (packed.sensor, packed.modality, packed.sensor_track_id) == ("mara", 3, "T1")
    assert packed.numbers == tuple(range(42))
    assert (packed.label, packed.confidence) == ("", 0.5)


@given(st.binary(max_size=600))
def test_no_bytes_fail_otherwise(data: bytes) -> None:
    try:
        PackedDetection.read(data)
    except ValueError as error:
        assert "Detection" in str(error)
