# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A TrackArray as it is on the wire, read, changed and written without a message object a track.

rclpy turns a picture of 200 tracks into Python objects in several milliseconds, at every stage, to
change a few numbers of a few of them. Here a picture stays what it is, the CDR of
`thebox_interfaces/msg/TrackArray` (OMG CORBA 3.3 part 2, section 9.3, little endian, encapsulation
as in DDSI-RTPS 2.5, section 10.2): a stage finds where the fields lie, reads those that it needs,
and writes the others on untouched. Subscribe with ``raw=True`` and publish the bytes.

The layout is the order of the fields in Track.msg and VisualVerification.msg; the tests hold it
against rclpy's own serialisation, both ways. Of a track everything from `position` on begins at a
multiple of eight bytes and is as long wherever it stands: that part is the track's *body*.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

__all__ = [
    "NO_VERDICT",
    "PackedPicture",
    "PackedTrack",
    "PictureReader",
    "Verdict",
    "body",
    "said",
    "stamp_of",
]

_ENCAPSULATION: Final = b"\x00\x01\x00\x00"  # CDR_LE
_SKIP: Final = len(_ENCAPSULATION)  # alignment counts from behind it
_U32: Final = struct.Struct("<I")
_STAMP: Final = struct.Struct("<iI")
_STAMPS: Final = struct.Struct("<iIiII")
_VECTOR: Final = struct.Struct("<3d")
_DOUBLE: Final = struct.Struct("<d")
_RANGE: Final = struct.Struct("<2d")
_COVARIANCE: Final = struct.Struct("<36d")
_ANGLES_AND_RANGE: Final = struct.Struct("<6d2B")
_NUMBER_AND_STATE: Final = struct.Struct("<IB")
_COUNTS: Final = struct.Struct("<II")
_PAD: Final = tuple(b"\x00" * n for n in range(8))
# Where things lie in a body, in bytes.
_POSITION: Final = 0
_VELOCITY: Final = 24
_COVARIANCE_AT: Final = 48
_ANGLES_AT: Final = 336
_RANGE_AT: Final = 368
_METHOD_AT: Final = 384
_CONFIDENCE_AT: Final = 392
_REASON_AT: Final = 400

Stamp = tuple[int, int]


def stamp_of(seconds: float) -> Stamp:
    """Return seconds as (seconds, nanoseconds).

    Raises:
        ValueError: not finite, or outside what a stamp can hold (1970 to 2038).
    """
    if not 0.0 <= seconds < 2**31:
        raise ValueError(f"{seconds} s cannot be written as a ROS stamp")
    whole = int(seconds)
    nanoseconds = round((seconds - whole) * 1e9)
    return (whole + 1, 0) if nanoseconds == 1_000_000_000 else (whole, nanoseconds)


def _text(out: bytearray, text: str) -> None:
    raw = text.encode()
    out += _PAD[-len(out) % 4]
    out += _U32.pack(len(raw) + 1)
    out += raw
    out += b"\x00"


def _texts(out: bytearray, texts: Sequence[str]) -> None:
    out += _PAD[-len(out) % 4]
    out += _U32.pack(len(texts))
    for text in texts:
        _text(out, text)


def _double(out: bytearray, value: float) -> None:
    out += _PAD[-len(out) % 8]
    out += _DOUBLE.pack(value)


@dataclass(frozen=True)
class Verdict:
    """What the camera said: the fields of VisualVerification.msg."""

    verdict: int = 0
    stamp: Stamp = (0, 0)
    reason: str = ""
    label: str = ""
    confidence: float = float("nan")
    looks: int = 0
    hits: int = 0
    snapshot: str = ""


def _verdict(out: bytearray, verdict: Verdict) -> None:
    out.append(verdict.verdict)
    out += _PAD[-len(out) % 4]
    out += _STAMP.pack(*verdict.stamp)
    _text(out, verdict.reason)
    _text(out, verdict.label)
    _double(out, verdict.confidence)
    out += _COUNTS.pack(verdict.looks, verdict.hits)
    _text(out, verdict.snapshot)


NO_VERDICT: Final = Verdict()
"""No camera has looked."""


def _no_verdict() -> bytes:
    out = bytearray()
    _verdict(out, NO_VERDICT)
    return bytes(out + _PAD[-len(out) % 4])


_NO_VERDICT: Final = _no_verdict()


def body(
    numbers: bytes, range_method: int, range_observed: bool, confidence: float, words: bytes
) -> bytes:
    """Return the CDR of a track's body.

    Args:
        numbers: 384 bytes: position (3), velocity (3), covariance (36), bearing, its standard
            deviation, elevation, its, range, its; little-endian float64.
        range_method: as in Track.msg.
        range_observed: likewise.
        confidence: likewise.
        words: of `said`.

    Raises:
        ValueError: the numbers are of another length.
    """
    if len(numbers) != _METHOD_AT:
        raise ValueError(f"numbers are {_METHOD_AT} bytes, these are {len(numbers)}")
    head = bytes((range_method, range_observed)) + _PAD[6]
    return numbers + head + _DOUBLE.pack(confidence) + words


def said(
    *,
    reason: str,
    object_class: int,
    label: str,
    lasting: tuple[float, float],
    sensors: tuple[str, ...],
    sensor_track_ids: tuple[str, ...],
    frequencies: tuple[float, ...],
    stamps: tuple[int, int, int, int],
    detection_count: int,
    verdict: Verdict = NO_VERDICT,
) -> bytes:
    """Return the CDR of what is said of a track: its body from the reason on.

    The names are those of Track.msg; ``lasting`` are class probability and received power,
    ``stamps`` first seen and last updated, each (seconds, nanoseconds).
    """
    out = bytearray()
    _text(out, reason)
    out.append(object_class)
    _text(out, label)
    out += _PAD[-len(out) % 8]
    out += _who(lasting, sensors, sensor_track_ids, frequencies)
    if verdict is NO_VERDICT:
        out += _NO_VERDICT
    else:
        _verdict(out, verdict)
        out += _PAD[-len(out) % 4]
    out += _STAMPS.pack(*stamps, detection_count)
    return bytes(out)


@lru_cache(maxsize=4096)
def _who(
    lasting: tuple[float, float],
    sensors: tuple[str, ...],
    sensor_track_ids: tuple[str, ...],
    frequencies: tuple[float, ...],
) -> bytes:
    """What lies between label and verdict; it begins and ends at a multiple of eight."""
    probability, rssi = lasting
    out = bytearray(_DOUBLE.pack(probability))
    _texts(out, sensors)
    _texts(out, sensor_track_ids)
    out += _PAD[-len(out) % 4]
    out += _U32.pack(len(frequencies))
    for frequency in frequencies:
        _double(out, frequency)
    _double(out, rssi)
    return bytes(out)


class PackedTrack:
    """One track: its head as values, its body as bytes, read and changed in place.

    Attributes:
        stamp: (seconds, nanoseconds) that it stands for.
        id: 16 bytes of its UUID.
        number, state: as in Track.msg.
        sensors, sensor_track_ids: as in Track.msg.
    """

    __slots__ = (
        "_body",
        "_verdict_at",
        "_words",
        "frame_id",
        "id",
        "number",
        "sensor_track_ids",
        "sensors",
        "stamp",
        "state",
    )

    def __init__(
        self,
        stamp: Stamp,
        identity: bytes,
        number: int,
        state: int,
        packed: bytes | bytearray,
        *,
        frame_id: str = "map",
    ) -> None:
        self.stamp = stamp
        self.frame_id = frame_id
        self.id = identity
        self.number = number
        self.state = state
        self._body = packed
        self.sensors: tuple[str, ...] = ()
        self.sensor_track_ids: tuple[str, ...] = ()
        self._verdict_at = 0
        self._words = b""

    def take_words(self, data: bytes, begin: int, before: PackedTrack) -> int:
        """Read a body as `find_fields` does, where what is said is the same as ``before``.

        Returns:
            where the track ends; -1 when something else is said.
        """
        words = before._words
        if not words or not data.startswith(words, begin + _REASON_AT):
            return -1
        # The words tell their own length: what begins with them ends with them.
        at = begin + _REASON_AT + len(words)
        self._words = words
        self.sensors, self.sensor_track_ids = before.sensors, before.sensor_track_ids
        self._verdict_at = before._verdict_at
        self._body = data[begin:at]
        return at

    def find_fields(self, data: bytes, begin: int) -> int:
        """Read a body that begins at ``begin`` of ``data``; return where the track ends."""
        base = begin  # a multiple of eight from the encapsulation on
        at = begin + _REASON_AT
        at += 4 + _length(data, at)  # reason
        at += 1  # class
        at += (base - at) % 4
        at += 4 + _length(data, at)  # label
        at += (base - at) % 8
        at += 8  # class_probability
        self.sensors, at = _read_texts(data, at, base)
        self.sensor_track_ids, at = _read_texts(data, at, base)
        at += (base - at) % 4
        count = _length(data, at)
        at += 4
        if count:
            at += (base - at) % 8 + 8 * count
        at += (base - at) % 8
        at += 8  # rssi
        self._verdict_at = at - base
        at += 1  # verdict
        at += (base - at) % 4
        at += 8
        for _ in range(2):
            at += (base - at) % 4
            at += 4 + _length(data, at)  # reason, label
        at += (base - at) % 8
        at += 16  # confidence, looks, hits
        at += 4 + _length(data, at)  # snapshot
        at += (base - at) % 4
        at += _STAMPS.size
        if at > len(data):
            raise struct.error("a track ends beyond the message")
        self._body = data[begin:at]
        self._words = self._body[_REASON_AT:]
        return at

    @property
    def identity(self) -> str:
        """Its UUID as text."""
        text = self.id.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    @property
    def body(self) -> bytes | bytearray:
        """The CDR of its body."""
        return self._body

    @property
    def time(self) -> float:
        """The time that it stands for, seconds."""
        return self.stamp[0] + self.stamp[1] * 1e-9

    @property
    def position(self) -> tuple[float, float, float]:
        """East, north, up in map, metres."""
        return _VECTOR.unpack_from(self._body, _POSITION)

    @property
    def velocity(self) -> tuple[float, float, float]:
        """In map, metres a second."""
        return _VECTOR.unpack_from(self._body, _VELOCITY)

    @property
    def covariance(self) -> tuple[float, ...]:
        """Of position and velocity, 36 numbers, row-major."""
        return _COVARIANCE.unpack_from(self._body, _COVARIANCE_AT)

    @property
    def packed_covariance(self) -> bytes | bytearray:
        """The same as little-endian float64."""
        return self._body[_COVARIANCE_AT:_ANGLES_AT]

    @property
    def angles_and_range(self) -> tuple[float, float, float, float, float, float, int, int]:
        """Bearing, elevation, range, each with its standard deviation; method; observed."""
        return _ANGLES_AND_RANGE.unpack_from(self._body, _ANGLES_AT)

    @property
    def confidence(self) -> float:
        """Probability that it is real."""
        return float(_DOUBLE.unpack_from(self._body, _CONFIDENCE_AT)[0])

    def _writable(self) -> bytearray:
        if not isinstance(self._body, bytearray):
            self._body = bytearray(self._body)
        return self._body

    def set_range(
        self,
        value: tuple[float, float],
        method: int,
        observed: bool,
        position: Sequence[float],
        covariance: bytes,
    ) -> None:
        """Give it a range, and the place that follows from it.

        Args:
            value: range and its standard deviation, metres.
            method: one of Track.RANGE_*.
            observed: whether any measurement bears on it.
            position: (3,) in map.
            covariance: (36,) row-major, as little-endian float64.
        """
        packed = self._writable()
        _VECTOR.pack_into(packed, _POSITION, *position)
        packed[_COVARIANCE_AT:_ANGLES_AT] = covariance
        _RANGE.pack_into(packed, _RANGE_AT, *value)
        packed[_METHOD_AT : _METHOD_AT + 2] = bytes((method, observed))

    def set_verdict(self, verdict: Verdict) -> None:
        """Write what the camera said of it."""
        out = bytearray(self._body[: self._verdict_at])
        ending = self._body[-_STAMPS.size :]
        _verdict(out, verdict)
        out += _PAD[-len(out) % 4]
        out += ending
        self._body = out


def _length(data: bytes, at: int) -> int:
    return int(_U32.unpack_from(data, at)[0])


def _read_texts(data: bytes, at: int, base: int) -> tuple[tuple[str, ...], int]:
    at += (base - at) % 4
    count = _length(data, at)
    at += 4
    found = []
    for _ in range(count):
        at += (base - at) % 4
        size = _length(data, at)
        at += 4
        found.append(data[at : at + size - 1].decode())
        at += size
    return tuple(found), at


_NOBODY: Final[Mapping[bytes, PackedTrack]] = {}


@dataclass
class PackedPicture:
    """A TrackArray: its head as values, its tracks packed.

    Attributes:
        stamp: (seconds, nanoseconds) of the header.
        newest_detection: likewise.
        tracks: in their order.
        frame_id: of the header.
    """

    stamp: Stamp
    newest_detection: Stamp
    tracks: Sequence[PackedTrack]
    frame_id: str = "map"

    @property
    def time(self) -> float:
        """The instant of the header, seconds."""
        return self.stamp[0] + self.stamp[1] * 1e-9

    @classmethod
    def read(cls, data: bytes, known: Mapping[bytes, PackedTrack] = _NOBODY) -> PackedPicture:
        """Return the picture in a serialised TrackArray.

        Args:
            data: CDR.
            known: tracks of the picture before, by their identity; see `PictureReader`.

        Raises:
            ValueError: it is none: cut off, of another release, or in another encoding.
        """
        if data[:2] != _ENCAPSULATION[:2]:
            raise ValueError("not a TrackArray in little-endian CDR")
        try:
            return cls._read(data, known)
        except (struct.error, UnicodeDecodeError, IndexError) as error:
            raise ValueError(f"not a whole TrackArray: {error}") from None

    @classmethod
    def _read(cls, data: bytes, known: Mapping[bytes, PackedTrack]) -> PackedPicture:
        stamp = _STAMP.unpack_from(data, _SKIP)
        at = _SKIP + 8
        size = _length(data, at)
        frame = data[at + 4 : at + 3 + size].decode()
        at += 4 + size
        at += (_SKIP - at) % 4
        newest = _STAMP.unpack_from(data, at)
        at += 8
        count = _length(data, at)
        at += 4
        if count * 500 > len(data):
            raise struct.error(f"{count} tracks do not fit into {len(data)} bytes")
        tracks = []
        for _ in range(count):
            at += (_SKIP - at) % 4
            when = _STAMP.unpack_from(data, at)
            at += 8
            size = _length(data, at)
            name = frame if size == len(frame) + 1 else ""
            if not name:
                name = data[at + 4 : at + 3 + size].decode()
            at += 4 + size
            identity = data[at : at + 16]
            at += 16
            at += (_SKIP - at) % 4
            number, state = _NUMBER_AND_STATE.unpack_from(data, at)
            at += 5
            at += (_SKIP - at) % 8
            track = PackedTrack(when, identity, number, state, b"", frame_id=name)
            before = known.get(identity)
            end = track.take_words(data, at, before) if before is not None else -1
            at = end if end >= 0 else track.find_fields(data, at)
            tracks.append(track)
        return cls(stamp, newest, tracks, frame)

    def write(self) -> bytes:
        """Return it as a serialised TrackArray."""
        parts: list[bytes | bytearray] = [_ENCAPSULATION]
        head = bytearray(_STAMP.pack(*self.stamp))
        _text(head, self.frame_id)
        head += _PAD[-len(head) % 4]
        head += _STAMP.pack(*self.newest_detection)
        head += _U32.pack(len(self.tracks))
        parts.append(head)
        at = len(head)
        for track, lead in zip(self.tracks, _leads(self.tracks), strict=True):
            before = -at % 4
            at += before + len(lead)
            between = -at % 8
            at += between + len(track.body)
            parts += (_PAD[before], lead, _PAD[between], track.body)
        return b"".join(parts)


class PictureReader:
    """Reads one picture after the other of a topic.

    From one to the next most of what is said of most tracks is the same: where the bytes are, their
    fields are known.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, PackedTrack] = {}

    def read(self, data: bytes) -> PackedPicture:
        """Return the picture in a serialised TrackArray; raises as `PackedPicture.read`."""
        picture = PackedPicture.read(data, self._known)
        self._known = {track.id: track for track in picture.tracks}
        return picture


def _leads(tracks: Iterable[PackedTrack]) -> Iterable[bytes]:
    """The part of each track before its body; it begins at a multiple of four."""
    frames: dict[str, bytes] = {}
    for track in tracks:
        frame = frames.get(track.frame_id)
        if frame is None:
            # The identity is bytes and needs no alignment; the number behind it does.
            made = bytearray()
            _text(made, track.frame_id)
            frame = frames[track.frame_id] = bytes(made)
        lead = _STAMP.pack(*track.stamp) + frame + track.id
        lead += _PAD[-len(lead) % 4] + _NUMBER_AND_STATE.pack(track.number, track.state)
        yield lead
