# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Messages with every unknown number NaN, and conversions of time.

A float of a fresh ROS message is 0.0, which on this box would be a claim: build a Detection, a
Track or a VisualVerification here, never by its constructor.
"""

from __future__ import annotations

import uuid

import numpy as np
from builtin_interfaces.msg import Time
from unique_identifier_msgs.msg import UUID

from thebox_core.packed import stamp_of
from thebox_interfaces.msg import Detection, GimbalState, Track, VisualVerification

__all__ = [
    "MODALITIES",
    "from_uuid",
    "new_detection",
    "new_gimbal_state",
    "new_track",
    "new_visual_verification",
    "seconds",
    "to_time",
    "to_uuid",
]

_NAN = float("nan")
_NAN9 = np.full(9, np.nan)
_NAN36 = np.full(36, np.nan)

#: Text of each modality, as the tracker names it.
MODALITIES = {
    Detection.MODALITY_UNKNOWN: "UNKNOWN",
    Detection.MODALITY_RF: "RF",
    Detection.MODALITY_RADAR: "RADAR",
    Detection.MODALITY_EO: "EO",
    Detection.MODALITY_IR: "IR",
    Detection.MODALITY_ACOUSTIC: "ACOUSTIC",
}

# The float fields that stand for a measurement; found once, so that a field added to a message
# is NaN from the start.
_FLOAT_FIELDS = {
    kind: tuple(name for name, idl in kind.get_fields_and_field_types().items() if idl == "double")
    for kind in (Detection, Track, VisualVerification, GimbalState)
}


def _fill_nan(message: object, kind: type) -> None:
    for name in _FLOAT_FIELDS[kind]:
        setattr(message, name, _NAN)


def new_detection() -> Detection:
    """Return a Detection in which nothing is known."""
    message = Detection()
    _fill_nan(message, Detection)
    for point in (message.position, message.velocity, message.sensor_position):
        point.x = point.y = point.z = _NAN
    message.position_covariance = _NAN9
    message.velocity_covariance = _NAN9
    return message


def new_visual_verification() -> VisualVerification:
    """Return a verdict that the camera has not looked."""
    message = VisualVerification()
    _fill_nan(message, VisualVerification)
    return message


def new_track() -> Track:
    """Return a Track in which nothing is known; its confidence too is NaN until it is set."""
    message = Track()
    _fill_nan(message, Track)
    for point in (message.position, message.velocity):
        point.x = point.y = point.z = _NAN
    message.covariance = _NAN36
    _fill_nan(message.visual_verification, VisualVerification)
    return message


def new_gimbal_state() -> GimbalState:
    """Return a GimbalState in which nothing is known."""
    message = GimbalState()
    _fill_nan(message, GimbalState)
    return message


def seconds(stamp: Time) -> float:
    """Seconds of a stamp as a float (about 0.2 microseconds fine for today's epoch)."""
    return stamp.sec + stamp.nanosec * 1e-9


def to_time(value: float) -> Time:
    """Return a stamp of ``value`` seconds.

    Raises:
        ValueError: not finite, or outside what a stamp can hold (1970 to 2038).
    """
    sec, nanosec = stamp_of(value)
    return Time(sec=sec, nanosec=nanosec)


def to_uuid(text: str) -> UUID:
    """Return the message for a UUID written as text.

    Raises:
        ValueError: not a UUID.
    """
    return UUID(uuid=np.frombuffer(uuid.UUID(text).bytes, dtype=np.uint8))


def from_uuid(message: UUID) -> str:
    """Return the UUID of a message as text."""
    return str(uuid.UUID(bytes=bytes(bytearray(message.uuid))))
