# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Trakka TC-300 gimbal camera: framed binary messages over TCP 51555.

A frame is `A7 54`, class u8, code u8, payload length u16, payload, two check bytes; numbers are
little-endian. The check bytes are Fletcher's sums modulo 255 over class to end of payload: the
plain sum, then the sum of sums. The stream may begin inside a frame, carry garbage, split and
join frames.

Angles of the gimbal are relative to its base: azimuth clockwise from the base's forward axis,
elevation up. The geo set-point is in ECEF metres.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from struct import Struct
from typing import Literal

from thebox_sensors.protocol_base import Parsed, Reject, wrap_bearing

DEFAULT_PORT = 51555
START = b"\xa7\x54"
PAYLOAD_LIMIT = 256
"""Longest payload of a message that is not read here; a longer length is a damaged header. Small,
because a start in the middle of garbage holds up what follows until that many bytes are there."""
RATE_LIMIT = math.radians(60.0)
"""Fastest slewing that is sent, rad/s; the gimbal refuses more."""
_CHUNK_LIMIT = 65_536

REASONS = {
    "garbage": "bytes that belong to no frame; skipped to the next start",
    "bad_length": "a start followed by a length that such a message has not",
    "bad_check": "a frame whose check bytes are wrong",
    "unknown_message": "a good frame of a class and code that is not read here",
    "unknown_register": "the value of a register that is not read here",
    "bad_value": "a value that is no finite number, or outside its range",
}

_HEADER = Struct("<2sBBH")
_F32 = Struct("<f")
_U32 = Struct("<I")
_REGISTER = Struct("<H")
_TRACK = Struct("<BHBBffBB")


class Register(IntEnum):
    """Addresses of the registers that are read."""

    GIMBAL_MODE = 0x0800
    AZIMUTH = 0x1809
    ELEVATION = 0x180A
    ZOOM_1 = 0x1101
    ZOOM_2 = 0x1201
    ZOOM_3 = 0x1401


class GimbalMode(IntEnum):
    """What the gimbal does."""

    RATE = 0
    CAGE = 1
    STOW = 2
    GEO_POINT = 3


class ZoomCommand(IntEnum):
    """What the number of a zoom command means."""

    RATE = 0
    FIELD_OF_VIEW = 1
    """Horizontal, radians."""
    DIGITAL_RATE = 2
    COMBINED = 3


TARGET_TYPES = ("unknown", "rotary", "fixed_wing", "vehicle", "person", "boat")


@dataclass(frozen=True, slots=True)
class RegisterValue:
    """The value of one register."""

    register: Register
    value: float
    """Radians for the angles, a ratio for the zooms, a `GimbalMode` for the mode."""
    unbroken: bool = field(default=True, compare=False)
    """Whether nothing was lost between the register's value before it and this one: only then
    may the two be taken for answers to the same poll."""


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """One target that the camera's own tracker follows."""

    source: int
    """Sensor whose picture it is in."""
    index: int
    """The tracker's number for it."""
    active: bool
    coasting: bool
    """Carried on without being seen."""
    quality: float
    """[0, 1]."""
    azimuth_error: float
    """From the picture's centre, to the right, radians."""
    elevation_error: float
    """From the picture's centre, up, radians."""
    label: str
    """One of `TARGET_TYPES`."""
    confidence: float
    """Of the label, [0, 1]."""


Record = RegisterValue | VideoTrack


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose check bytes are right."""

    message: tuple[int, int]
    """Class and code."""
    payload: bytes
    unbroken: bool = True
    """Whether it follows the frame before it without a damaged byte between."""


def fletcher(content: bytes | bytearray) -> bytes:
    """Return the two check bytes of class, code, length and payload.

    Both are Fletcher's sums modulo 255: the sum of the bytes, and the sum of those sums.
    """
    first = second = 0
    for byte in content:
        first += byte
        second += first
    return bytes((first % 255, second % 255))


def encode(message_class: int, code: int, payload: bytes = b"") -> bytes:
    """Make a frame."""
    content = struct.pack("<BBH", message_class, code, len(payload)) + payload
    return START + content + fletcher(content)


class Framer:
    """Cuts a byte stream into frames; resynchronises and holds a bounded number of bytes."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._broken = False

    @property
    def pending(self) -> int:
        """Bytes held of a frame whose end has not come yet."""
        return len(self._held)

    def reset(self) -> None:
        """Forget a part of a frame, as after a reconnection."""
        self._held.clear()
        self._broken = False

    def feed(self, chunk: bytes) -> Parsed[Frame]:
        """Take the next bytes; return the frames they complete. Never raises."""
        parsed: Parsed[Frame] = Parsed()
        held = self._held
        held += chunk
        at = 0
        skipped = 0
        while True:
            start = held.find(START, at)
            if start < 0:
                # The last byte may be the first half of a start.
                start = len(held) - (1 if held.endswith(START[:1]) and len(held) > at else 0)
            skipped += start - at
            self._broken = self._broken or start > at
            at = start
            if len(held) - at < _HEADER.size:
                break
            _, message_class, code, length = _HEADER.unpack_from(held, at)
            end = at + _HEADER.size + length + 2
            reason = ""
            expected = _LENGTHS.get((message_class, code), length)
            if length > PAYLOAD_LIMIT or length != expected:
                reason = "bad_length"
            elif len(held) < end:
                break
            elif fletcher(held[at + 2 : end - 2]) != held[end - 2 : end]:
                reason = "bad_check"
            if skipped and not reason:
                parsed.rejects.append(Reject("garbage", f"{skipped} bytes skipped"))
                skipped = 0
            if reason:
                # The start may have been part of something else: look behind it.
                self._broken = True
                what = f"class {message_class:02X} code {code:02X} length {length}"
                parsed.rejects.append(Reject(reason, what))
                at += len(START)
                continue
            payload = bytes(held[at + _HEADER.size : end - 2])
            parsed.records.append(Frame((message_class, code), payload, not self._broken))
            self._broken = False
            at = end
        if skipped:
            parsed.rejects.append(Reject("garbage", f"{skipped} bytes skipped"))
        del held[:at]
        return parsed


class Parser:
    """Reads the camera's stream."""

    def __init__(self) -> None:
        self._framer = Framer()
        self._broken = False

    @property
    def pending(self) -> int:
        """Bytes held of a frame whose end has not come yet."""
        return self._framer.pending

    def reset(self) -> None:
        """Forget a part of a frame, as after a reconnection."""
        self._framer.reset()
        self._broken = False

    def tear(self) -> None:
        """Take note that bytes of the stream were lost."""
        self._framer.reset()
        self._broken = True

    def feed(self, chunk: bytes) -> Parsed[Record]:
        """Read the next bytes of the stream; never raises.

        Each frame gives a record or a reject. What is between frames gives a reject for each
        gap, and one for each start that turns out to be none.
        """
        parsed: Parsed[Record] = Parsed()
        for begin in range(0, len(chunk), _CHUNK_LIMIT):
            framed = self._framer.feed(chunk[begin : begin + _CHUNK_LIMIT])
            parsed.rejects += framed.rejects
            for frame in framed.records:
                self._broken = self._broken or not frame.unbroken
                outcome = _outcome(frame)
                if isinstance(outcome, Reject):
                    self._broken = self._broken or outcome.reason == "bad_value"
                    parsed.rejects.append(outcome)
                    continue
                if isinstance(outcome, RegisterValue):
                    if self._broken:
                        outcome = replace(outcome, unbroken=False)
                    self._broken = False
                parsed.records.append(outcome)
        return parsed

    def parse(self, datagram: bytes) -> Parsed[Record]:
        """Read bytes that hold whole frames; a rest that is none is one `garbage`."""
        self.reset()
        parsed = self.feed(datagram)
        if self.pending or not datagram:
            parsed.rejects.append(Reject("garbage", f"{self.pending} bytes of a frame cut off"))
            self.reset()
        return parsed


def _outcome(frame: Frame) -> Record | Reject:
    reader = _READERS.get(frame.message)
    if reader is None:
        message_class, code = frame.message
        return Reject("unknown_message", f"class {message_class:02X} code {code:02X}")
    try:
        return reader(frame.payload)
    except Reject as reject:
        return reject.bare()


_RANGES = {
    Register.AZIMUTH: (-2.0 * math.pi, 2.0 * math.pi),
    Register.ELEVATION: (-math.pi, math.pi),
    Register.ZOOM_1: (0.0, 1000.0),
    Register.ZOOM_2: (0.0, 1000.0),
    Register.ZOOM_3: (0.0, 1000.0),
}


def _register_value(payload: bytes) -> RegisterValue:
    (address,) = _REGISTER.unpack_from(payload)
    try:
        register = Register(address)
    except ValueError:
        raise Reject("unknown_register", f"register {address:04X}") from None
    if register is Register.GIMBAL_MODE:
        (mode,) = _U32.unpack_from(payload, 2)
        if mode not in GimbalMode._value2member_map_:
            raise Reject("bad_value", f"gimbal mode {mode}")
        return RegisterValue(register, float(mode))
    (value,) = _F32.unpack_from(payload, 2)
    low, high = _RANGES[register]
    # NaN fails the comparison too.
    if not low <= value <= high:
        raise Reject("bad_value", f"register {register.name} is {value:g}")
    return RegisterValue(register, value)


def _video_track(payload: bytes) -> VideoTrack:
    source, index, status, quality, azimuth, elevation, kind, confidence = _TRACK.unpack(payload)
    if quality > 100 or confidence > 100 or kind >= len(TARGET_TYPES):
        raise Reject("bad_value", f"quality {quality}, type {kind}, confidence {confidence}")
    if not (abs(azimuth) <= math.pi and abs(elevation) <= math.pi):
        raise Reject("bad_value", f"errors {azimuth:g} and {elevation:g}")
    return VideoTrack(
        source=source,
        index=index,
        active=bool(status & 1),
        coasting=bool(status & 2),
        quality=quality / 100.0,
        azimuth_error=azimuth,
        elevation_error=elevation,
        label=TARGET_TYPES[kind],
        confidence=confidence / 100.0,
    )


_READERS: dict[tuple[int, int], Callable[[bytes], Record]] = {
    (0x01, 0x04): _register_value,
    (0x82, 0x07): _video_track,
}

_LENGTHS = {(0x01, 0x04): 6, (0x82, 0x07): _TRACK.size}
"""Payload lengths of the messages that are read."""


def line_of_sight(
    azimuth: float, elevation: float, azimuth_error: float, elevation_error: float
) -> tuple[float, float]:
    """Return azimuth and elevation of a point in the picture, relative to the base, radians.

    Args:
        azimuth: of the gimbal, clockwise from the base's forward axis, radians.
        elevation: of the gimbal, radians.
        azimuth_error: of the point, to the right of the picture's centre, radians.
        elevation_error: of the point, above the picture's centre, radians.

    The error is an angle in the picture, not one of azimuth: high up, a small step to the right
    is a wide one in azimuth.
    """
    forward = math.cos(elevation_error) * math.cos(azimuth_error)
    right = math.cos(elevation_error) * math.sin(azimuth_error)
    up = math.sin(elevation_error)
    level = forward * math.cos(elevation) - up * math.sin(elevation)
    height = forward * math.sin(elevation) + up * math.cos(elevation)
    turned = wrap_bearing(azimuth + math.atan2(right, level))
    return turned, math.atan2(height, math.hypot(level, right))


def _finite(what: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ValueError(f"{what} is {value:g}, outside {low:g} to {high:g}")
    return value


def _rate(what: str, rate: float) -> bytes:
    if not abs(rate) <= RATE_LIMIT:
        raise ValueError(
            f"{what} is {math.degrees(rate):.3g} deg/s, the camera takes "
            f"{math.degrees(RATE_LIMIT):.0f} at most"
        )
    return _F32.pack(rate)


def read_register(register: Register) -> bytes:
    """Ask for a register."""
    return encode(0x01, 0x03, _REGISTER.pack(register))


def set_azimuth_rate(rate: float) -> bytes:
    """Turn in azimuth (rate mode).

    Args:
        rate: clockwise positive, rad/s.

    Raises:
        ValueError: above `RATE_LIMIT`, NaN.
    """
    return encode(0x02, 0x02, _rate("azimuth rate", rate))


def set_elevation_rate(rate: float) -> bytes:
    """Turn in elevation (rate mode).

    Args:
        rate: up positive, rad/s.

    Raises:
        ValueError: above `RATE_LIMIT`, NaN.
    """
    return encode(0x02, 0x03, _rate("elevation rate", rate))


def stop() -> bytes:
    """Stop all motion: rate mode with both rates 0."""
    return set_gimbal_mode(GimbalMode.RATE) + set_azimuth_rate(0.0) + set_elevation_rate(0.0)


def set_gimbal_mode(mode: GimbalMode) -> bytes:
    """Set what the gimbal does."""
    return encode(0x02, 0x81, bytes((GimbalMode(mode),)))


def set_cage_azimuth(angle: float) -> bytes:
    """Set the azimuth that cage mode goes to, radians in [-2 pi, 2 pi]."""
    return encode(0x02, 0x82, _F32.pack(_finite("azimuth", angle, -2 * math.pi, 2 * math.pi)))


def set_cage_elevation(angle: float) -> bytes:
    """Set the elevation that cage mode goes to, radians in [-pi, pi]."""
    return encode(0x02, 0x83, _F32.pack(_finite("elevation", angle, -math.pi, math.pi)))


def set_geo_point(x: float, y: float, z: float) -> bytes:
    """Set the point that geo-point mode looks at, ECEF metres.

    Raises:
        ValueError: for a point that is not within 100 km of the ellipsoid.
    """
    _finite("distance from the earth's centre", math.hypot(x, y, z), 6.2e6, 6.5e6)
    return encode(0x04, 0x81, struct.pack("<ddd", x, y, z))


def start_geo_point(toggle: bool = False) -> bytes:
    """Start, or toggle, looking at the geo point."""
    return encode(0x04, 0x8A, bytes((1 if toggle else 0,)))


def set_zoom(sensor: int, command: ZoomCommand, value: float) -> bytes:
    """Zoom a sensor.

    Args:
        sensor: 1 to 3.
        command: what `value` means.
        value: field of view in radians, or a rate.
    """
    _finite("sensor", sensor, 1, 3)
    if command is ZoomCommand.FIELD_OF_VIEW:
        _finite("field of view", value, 1e-4, math.pi)
    else:
        _finite("zoom rate", value, -1000.0, 1000.0)
    return encode(0x81, 0x02, struct.pack("<BBf", sensor, command, value))


def modify_target_indication(command: int, parameter: int) -> bytes:
    """Change the moving-target indication."""
    _finite("command", command, 0, 255)
    _finite("parameter", parameter, -32768, 32767)
    return encode(0x82, 0x03, struct.pack("<Bh", command, parameter))


def enable_target_messages() -> bytes:
    """Switch the video-track messages on."""
    return modify_target_indication(4, 30)


PollItem = Literal["angles", "mode", "zoom"]


def poll(*items: PollItem) -> bytes:
    """Ask for the registers that make up the gimbal's state."""
    wanted = {
        "angles": (Register.AZIMUTH, Register.ELEVATION),
        "mode": (Register.GIMBAL_MODE,),
        "zoom": (Register.ZOOM_1, Register.ZOOM_2, Register.ZOOM_3),
    }
    return b"".join(read_register(register) for item in items for register in wanted[item])
