# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""What every sensor's `protocol.py` shares: rejects, checked numbers, bearings, line framing.

No ROS in here. A parser turns the bytes of one datagram into `Parsed`: the records that could
be read and a `Reject` for each thing that could not. Whatever the bytes, it does not raise.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

TWO_PI = 2.0 * math.pi
EARLIEST_TIME = 946_684_800.0
"""2000-01-01T00:00:00Z in seconds since the epoch; earlier stamps are an unset clock."""
LATEST_TIME = 4_102_444_800.0
"""2100-01-01T00:00:00Z in seconds since the epoch."""
DETAIL_LIMIT = 160
"""Longest `Reject.detail`, in characters."""
TEXT_LIMIT = 256
"""Longest text taken from the wire into a record, in characters."""

BearingReference = Literal["true", "bow"]

RecordT = TypeVar("RecordT")

_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff]")


class Reject(ValueError):  # noqa: N818 - it is one of two outcomes, not a failure
    """One thing on the wire that could not be used.

    `reason` is a short snake_case slug from the `REASONS` of the parser that made it and serves
    as the name of a counter. `detail` is for the operator: at most `DETAIL_LIMIT` printable
    characters.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = printable(detail, DETAIL_LIMIT)
        super().__init__(f"{reason}: {self.detail}" if self.detail else reason)

    def bare(self) -> Reject:
        """Return itself, to be kept, without the frames that it came through.

        They would hold all that was being parsed, in a cycle that only the collector breaks.
        """
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self


@dataclass(slots=True)
class Parsed(Generic[RecordT]):
    """What one datagram (or one chunk of a stream) held, in the order of the wire."""

    records: list[RecordT] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


def printable(text: str, limit: int = TEXT_LIMIT) -> str:
    """Make text safe to publish, print and log: bounded, no control characters or surrogates."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def show(value: object) -> str:
    """Show any value of the wire in a `Reject.detail`, bounded before it is formatted."""
    if isinstance(value, str):
        return repr(printable(value, 60))
    if isinstance(value, bytes):
        return repr(value[:30])
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**20 else f"an integer of {value.bit_length()} bits"
    if isinstance(value, float):
        return f"{value:.9g}"
    return f"a {type(value).__name__}"


def checked(value: object, low: float, high: float, reason: str, what: str) -> float:
    """Return a number of the wire as a finite float in [low, high].

    Raises `Reject(reason)` for anything else: text, booleans (a bool is an int in Python and in
    no sensor), NaN, infinities, integers too large for a float, values out of range.
    """
    if type(value) is not float and type(value) is not int:
        raise Reject(reason, f"{what} is {show(value)}, a number was expected")
    # Comparing is exact and cannot overflow; NaN and infinities fail it.
    if not low <= value <= high:
        raise Reject(reason, f"{what} is {show(value)}, outside {low:g} to {high:g}")
    return float(value)


def as_number(text: str) -> float:
    """Read a decimal number as instruments write it.

    Raises `ValueError` for what `float` takes as well but no instrument sends: underscores,
    `nan`, `infinity`, digits of other scripts, more than 40 characters.
    """
    if len(text) > 40 or _NUMBER.fullmatch(text) is None:
        raise ValueError(f"{show(text)} is not a number")
    return float(text)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Reject("duplicate_key", f"key {show(key)} comes twice")
            seen.add(key)
    return unique


def _no_constant(literal: str) -> object:
    raise ValueError(f"{literal} is not a JSON value")


_decode_json = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant).decode
_decode_loose_json = json.JSONDecoder(object_pairs_hook=_unique).decode


def decode_json(text: str, brackets_limit: int, constants: bool = False) -> object:
    """Decode JSON: no key twice, bounded nesting.

    Args:
        text: to be decoded.
        brackets_limit: most opening brackets.
        constants: whether NaN and Infinity are read, which JSON does not have and some
            programs write all the same; else they make it `not_json`.

    Raises:
        Reject: `too_deep` for more than `brackets_limit` opening brackets, `duplicate_key`,
            `not_json`.
    """
    if text.count("{") + text.count("[") > brackets_limit:
        raise Reject("too_deep", f"more than {brackets_limit} brackets")
    try:
        value: object = (_decode_loose_json if constants else _decode_json)(text)
    except Reject:
        raise
    except (ValueError, RecursionError):
        raise Reject("not_json", f"not JSON: {show(text)}") from None
    return value


def wrap_bearing(angle: float) -> float:
    """Wrap an angle in radians into [0, 2*pi). NaN stays NaN."""
    wrapped = angle % TWO_PI
    # A tiny negative angle comes out of the modulo as exactly 2*pi.
    return wrapped if wrapped != TWO_PI else 0.0


def wrap_angle(angle: float) -> float:
    """Wrap an angle in radians into (-pi, pi]. NaN stays NaN."""
    wrapped = math.remainder(angle, TWO_PI) if math.isfinite(angle) else math.nan
    return wrapped if wrapped != -math.pi else math.pi


def to_true_bearing(
    angle: float,
    reference: BearingReference,
    heading: float = math.nan,
    mounting_offset: float = 0.0,
) -> float:
    """Turn a sensor's angle into a bearing from true north.

    Args:
        angle: clockwise from the sensor's zero axis, radians; an anticlockwise sensor's driver
            negates it first.
        reference: `true` when the sensor's zero axis is true north, `bow` when it turns with
            the own-ship.
        heading: own-ship's true heading at the time of measurement, radians; used with `bow`
            only.
        mounting_offset: clockwise angle from the reference to the sensor's zero axis, radians;
            added with either reference.

    Returns:
        Bearing clockwise from true north in [0, 2*pi), radians.

    Raises:
        Reject: `no_bearing` when the angle is not a finite number, `no_heading` when a bow
            reference has no heading: such a measurement is dropped, not guessed.
    """
    if not math.isfinite(angle):
        raise Reject("no_bearing", "the sensor gave no angle")
    if reference == "true":
        return wrap_bearing(angle + mounting_offset)
    if reference != "bow":
        raise ValueError(f"bearing reference is {reference!r}; use 'true' or 'bow'")
    if not math.isfinite(heading):
        raise Reject(
            "no_heading",
            "bow-relative bearing without own-ship heading; check the ownship driver, "
            "or set bearing_reference to true if the sensor is told its heading",
        )
    return wrap_bearing(angle + heading + mounting_offset)


class LineFramer:
    """Cuts a byte stream into lines with a bounded buffer.

    Lines end with LF, CR or CRLF and come without their ending; empty lines are left out. A line
    longer than `limit` bytes is dropped whole and reported as `too_long` once; framing goes on
    with the line after it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rest = bytearray()
        self._skipping = False

    def reset(self) -> None:
        """Forget a part of a line, as after a reconnection."""
        self._rest.clear()
        self._skipping = False

    def tear(self) -> None:
        """Take note that bytes were lost: the line under way is dropped up to its end."""
        self._rest.clear()
        self._skipping = True

    @property
    def pending(self) -> int:
        """Bytes held of a line whose end has not come yet."""
        return len(self._rest)

    def feed(self, chunk: bytes) -> Parsed[bytes]:
        """Take the next bytes; return the lines they complete."""
        framed: Parsed[bytes] = Parsed()
        pieces = chunk.replace(b"\r", b"\n").split(b"\n")
        last = pieces.pop()
        for piece in pieces:
            if self._skipping:
                self._skipping = False
            elif len(self._rest) + len(piece) > self.limit:
                framed.rejects.append(self._too_long())
            elif self._rest:
                framed.records.append(bytes(self._rest) + piece)
            elif piece:
                framed.records.append(piece)
            self._rest.clear()
        if self._skipping:
            return framed
        if len(self._rest) + len(last) > self.limit:
            framed.rejects.append(self._too_long())
            self._rest.clear()
            self._skipping = True
        else:
            self._rest += last
        return framed

    def _too_long(self) -> Reject:
        return Reject("too_long", f"a line is longer than {self.limit} bytes")


def each_line(
    datagram: bytes,
    limit: int,
    lines_limit: int,
    read: Callable[[str], RecordT | None],
) -> Parsed[RecordT]:
    """Read a datagram of text line by line; one bad line does not harm its neighbours.

    Args:
        datagram: the bytes as received.
        limit: largest datagram that is looked at, bytes.
        lines_limit: most lines that are looked at; the rest is one `too_many_lines`.
        read: makes a record of one stripped, non-empty line; may return None for a line that
            carries no record, and raises `Reject` for one that can't be used.

    Returns:
        A record, nothing or a reject for each line. Rejects made here: `empty`, `too_long`,
        `too_many_lines`, `not_text`.
    """
    parsed: Parsed[RecordT] = Parsed()
    if len(datagram) > limit:
        parsed.rejects.append(
            Reject("too_long", f"{len(datagram)} bytes, at most {limit} are read")
        )
        return parsed
    lines = [stripped for line in datagram.splitlines() if (stripped := line.strip(b" \t\0"))]
    if not lines:
        parsed.rejects.append(Reject("empty", "a datagram without content"))
    for line in lines[:lines_limit]:
        outcome = _read_line(line, read)
        if isinstance(outcome, Reject):
            parsed.rejects.append(outcome)
        elif outcome is not None:
            parsed.records.append(outcome)
    if len(lines) > lines_limit:
        parsed.rejects.append(
            Reject("too_many_lines", f"{len(lines)} lines, at most {lines_limit} are read")
        )
    return parsed


def _read_line(line: bytes, read: Callable[[str], RecordT | None]) -> RecordT | Reject | None:
    try:
        return read(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Reject("not_text", f"not UTF-8 at byte {error.start}: {show(line)}")
    except Reject as reject:
        return reject.bare()
