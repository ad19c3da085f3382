# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Silvus radios: lines of text, several to a UDP datagram (port 50051).

Two kinds of line: a radio's own position and true heading, and an angle of arrival::

    [172.16.0.46]  Lat/Lon : (36.6009,-121.8947), Heading (deg): 101.2
    [172.16.0.46:1749599078856027] -74.69, 2462.00, 20.00, [133.109, 304.816], [130, 302]

The second holds the epoch in microseconds, power in dBm, centre frequency and bandwidth in MHz,
the two directions that the antenna pair can't tell apart, in degrees relative to the radio
(they may exceed 360), and, optionally, coarse copies of these, which are not used. The radios
also have a binary (protobuf) output whose schema is not public; it is told from text and
rejected as `binary_mode`.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from thebox_sensors.protocol_base import (
    EARLIEST_TIME,
    LATEST_TIME,
    Parsed,
    Reject,
    as_number,
    checked,
    each_line,
    show,
    wrap_bearing,
)

DEFAULT_PORT = 50051
DATAGRAM_LIMIT = 65_536
"""Largest datagram that is looked at, bytes."""
LINES_LIMIT = 512
"""Most lines that are read from one datagram."""
LINE_LIMIT = 1_024
"""Longest line that is read, characters; real ones are about 90."""
RADIOS_LIMIT = 64
"""Most radios whose pose is remembered; the one heard longest ago goes first."""

REASONS = {
    "empty": "a datagram without content",
    "too_long": f"more than {DATAGRAM_LIMIT} bytes, or a line of more than {LINE_LIMIT}",
    "too_many_lines": f"more than {LINES_LIMIT} lines; those after are left out",
    "not_text": "not UTF-8",
    "binary_mode": "the radio's binary output; set the radio to text",
    "malformed": "a line of neither kind, or cut off",
    "bad_time": "an epoch not in this century",
    "bad_power": "a power outside -200 to 60 dBm",
    "bad_frequency": "a centre frequency outside 1 to 300000 MHz",
    "bad_bandwidth": "a bandwidth outside 0.001 to 10000 MHz",
    "bad_angle": "an angle that is no number or beyond two turns",
    "bad_position": "a latitude or longitude out of range",
    "bad_heading": "a heading that is no number or beyond two turns",
}

ZeroAxis = Literal["forward", "right", "left", "rear"]
Positive = Literal["cw", "ccw"]

_ZERO_AXES = {"forward": 0.0, "right": math.pi / 2, "rear": math.pi, "left": -math.pi / 2}
_RADIO = r"\[\s*([^\[\]\s]{1,64})\s*\]"
_ARRIVAL = re.compile(
    r"\[\s*([^\[\]\s]{1,64}):([0-9]{1,20})\s*\]([^,\[\]]+),([^,\[\]]+),([^,\[\]]+),"
    r"\s*\[([^\[\]]*)\]\s*(?:,\s*\[([^\[\]]*)\]\s*)?"
)
_POSE = re.compile(
    _RADIO + r"\s*Lat\s*/\s*Lon\s*:\s*\(([^,()]*),([^,()]*)\)\s*,"
    r"\s*Heading\s*\(\s*deg\s*\)\s*:([^,]*)",
    re.IGNORECASE,
)
_NOT_IN_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f-\xff]")


@dataclass(frozen=True, slots=True)
class RadioPose:
    """Where a radio says it is and how it points. Unknown numbers are NaN."""

    radio: str
    """The radio's address as it writes it."""
    latitude: float
    """WGS-84, radians. A radio without a fix writes (0, 0), which reads as NaN."""
    longitude: float
    """WGS-84, radians."""
    heading: float
    """True heading of the radio's forward axis, [0, 2*pi), radians."""


@dataclass(frozen=True, slots=True)
class AngleOfArrival:
    """One emission and the directions it may have come from. Unknown numbers are NaN."""

    radio: str
    time: float
    """When it was measured, seconds since the epoch, UTC."""
    power: float
    """dBm."""
    frequency: float
    """Centre frequency, Hz."""
    bandwidth: float
    """Hz."""
    candidates: tuple[float, ...]
    """The directions as the radio counts them (its own zero axis and sense), wrapped into
    [0, 2*pi), radians: two, or one from a radio without the ambiguity."""
    radio_heading: float
    """The last heading that this radio told, radians; NaN when it told none. The line after
    which it is valid came at `radio_heading_received`."""
    radio_heading_received: float
    """`received` of the datagram that brought `radio_heading`, NaN when not given."""

    def angles(self, zero_axis: ZeroAxis, positive: Positive) -> tuple[float, ...]:
        """Return the candidates clockwise from the radio's forward axis, [0, 2*pi), radians.

        These go, with the radio's or else the own-ship's heading, to `to_true_bearing` with
        reference `bow`.

        Args:
            zero_axis: the side of the radio at which its angles are 0.
            positive: the sense in which they grow, seen from above.
        """
        zero = _ZERO_AXES[zero_axis]
        sign = 1.0 if positive == "cw" else -1.0
        return tuple(wrap_bearing(zero + sign * angle) for angle in self.candidates)


class Parser:
    """Reads Silvus datagrams; remembers the pose of each radio."""

    def __init__(self) -> None:
        self._poses: OrderedDict[str, tuple[RadioPose, float]] = OrderedDict()
        self._received = math.nan

    def parse(
        self, datagram: bytes, received: float = math.nan
    ) -> Parsed[AngleOfArrival | RadioPose]:
        """Read one datagram; never raises. A record or a reject for each line.

        Args:
            datagram: the bytes.
            received: when they came, seconds on any clock; only copied, so that the age of a
                radio's heading can be told.
        """
        if not datagram.lstrip().startswith(b"[") and _NOT_IN_TEXT.search(datagram.strip(b"\0")):
            return Parsed(rejects=[_binary(datagram)])
        self._received = received
        return each_line(datagram, DATAGRAM_LIMIT, LINES_LIMIT, self._read)

    def pose(self, radio: str) -> RadioPose | None:
        """Return the last pose of a radio, None when it told none."""
        known = self._poses.get(radio)
        return known[0] if known else None

    def reset(self) -> None:
        """Forget the poses, as when the driver is cleaned up."""
        self._poses.clear()

    def _read(self, line: str) -> AngleOfArrival | RadioPose:
        if len(line) > LINE_LIMIT:
            raise Reject("too_long", f"a line of {len(line)} characters, at most {LINE_LIMIT}")
        arrival = _ARRIVAL.fullmatch(line)
        if arrival is not None:
            return self._arrival(arrival)
        pose = _POSE.fullmatch(line)
        if pose is None:
            raise Reject("malformed", f"neither a pose nor an angle of arrival: {show(line)}")
        read = _pose(*pose.groups())
        self._poses[read.radio] = (read, self._received)
        self._poses.move_to_end(read.radio)
        if len(self._poses) > RADIOS_LIMIT:
            self._poses.popitem(last=False)
        return read

    def _arrival(self, match: re.Match[str]) -> AngleOfArrival:
        radio, epoch, power, frequency, bandwidth, candidates, coarse = match.groups()
        time = checked(int(epoch) / 1e6, EARLIEST_TIME, LATEST_TIME, "bad_time", "the epoch")
        angles = [wrap_bearing(_angle(text)) for text in candidates.split(",")]
        if len(angles) > 2:
            raise Reject("bad_angle", f"{len(angles)} candidate angles, one or two were expected")
        if coarse is not None:
            # Not used, but a line whose copies are broken was damaged on the way.
            for text in coarse.split(","):
                _angle(text)
        pose, received = self._poses.get(radio, (None, math.nan))
        return AngleOfArrival(
            radio=radio,
            time=time,
            power=_within(power, -200.0, 60.0, "bad_power"),
            frequency=_within(frequency, 1.0, 300e3, "bad_frequency") * 1e6,
            bandwidth=_within(bandwidth, 1e-3, 10e3, "bad_bandwidth") * 1e6,
            candidates=tuple(angles),
            radio_heading=pose.heading if pose else math.nan,
            radio_heading_received=received,
        )


def _binary(datagram: bytes) -> Reject:
    return Reject(
        "binary_mode",
        "binary (protobuf) output is not supported, its schema is not public; set the radio's "
        f"spectrum output to text. {len(datagram)} bytes: {show(datagram[:8])}",
    )


def _within(text: str, low: float, high: float, reason: str) -> float:
    try:
        number = as_number(text.strip())
    except ValueError as error:
        raise Reject(reason, str(error)) from None
    return checked(number, low, high, reason, "it")


def _angle(text: str) -> float:
    return math.radians(_within(text, -720.0, 720.0, "bad_angle"))


def _pose(radio: str, latitude: str, longitude: str, heading: str) -> RadioPose:
    north = _or_nan(latitude, -90.0, 90.0, "bad_position")
    east = _or_nan(longitude, -180.0, 180.0, "bad_position")
    if (north == 0.0 and east == 0.0) or math.isnan(north) or math.isnan(east):
        north = east = math.nan
    return RadioPose(
        radio=radio,
        latitude=math.radians(north),
        longitude=math.radians(east),
        heading=wrap_bearing(math.radians(_or_nan(heading, -720.0, 720.0, "bad_heading"))),
    )


def _or_nan(text: str, low: float, high: float, reason: str) -> float:
    if text.strip().lower() in ("nan", "-nan", "n/a", "none", ""):
        return math.nan
    return _within(text, low, high, reason)
