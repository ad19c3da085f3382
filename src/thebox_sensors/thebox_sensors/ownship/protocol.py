# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

r"""Own-ship navigation: NMEA 0183 sentences over UDP (port 60000).

With or without the header and tag blocks of IEC 61162-450 (`UdPbC`, NUL, `\s:HE0001,n:12*1F\`).
The sentences RMC, VTG, GGA, HDG, HDT, THS and ROT of any talker are used, others are counted.
Checksums are demanded and checked here; fields are read by pynmeagps.
"""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass
from typing import Literal

from pynmeagps import NMEAMessage, NMEAReader  # type: ignore[import-untyped]

from thebox_sensors.protocol_base import (
    EARLIEST_TIME,
    LATEST_TIME,
    TWO_PI,
    Parsed,
    Reject,
    checked,
    each_line,
    show,
    wrap_bearing,
)

DEFAULT_PORT = 60000
DATAGRAM_LIMIT = 16_384
"""Largest datagram that is looked at, bytes; IEC 61162-450 allows 1472."""
LINES_LIMIT = 256
"""Most sentences that are read from one datagram."""
LINE_LIMIT = 512
"""Longest sentence with its tag blocks that is read, characters."""

REASONS = {
    "empty": "a datagram without content",
    "too_long": f"more than {DATAGRAM_LIMIT} bytes, or a line of more than {LINE_LIMIT}",
    "too_many_lines": f"more than {LINES_LIMIT} lines; those after are left out",
    "not_text": "not UTF-8",
    "not_nmea": "no sentence, or a datagram of IEC 61162-450 that carries none",
    "bad_tag_block": "a tag block that is cut off or fails its checksum",
    "no_checksum": "a sentence without checksum, or cut off before it",
    "bad_checksum": "a sentence whose checksum is wrong",
    "other_sentence": "a sentence that is not used here; not an error",
    "malformed": "a sentence whose fields can't be read",
    "no_fix": "the receiver has no position",
    "invalid": "marked as not valid by the instrument",
    "simulator": "marked as simulated by the instrument",
    "no_value": "a sentence whose value is empty",
    "no_variation": "a magnetic heading without magnetic variation, from HDG or RMC",
    "bad_time": "a time that does not exist or is not in this century",
    "bad_position": "a latitude or longitude out of range",
    "bad_speed": "a speed outside 0 to 200 knots",
    "bad_course": "a course outside 0 to 360 degrees",
    "bad_heading": "a heading outside 0 to 360 degrees",
    "bad_variation": "a variation or deviation outside -180 to 180 degrees",
    "bad_rate": "a rate of turn outside -1000 to 1000 degrees a minute",
}

HeadingSource = Literal["HDT", "THS", "HDG"]

KNOT = 1852.0 / 3600.0
"""One knot in m/s."""
_DAY = 86_400.0
_HEADER = b"UdPbC\0"
_OTHER_HEADERS = (b"RaUdP\0", b"RrUdP\0", b"RpUdP\0", b"RaUdPn", b"NkPgN\0")
_USED = frozenset({"RMC", "VTG", "GGA", "HDG", "HDT", "THS", "ROT"})
_TAG_BLOCK = re.compile(r"\\([^\\*]*)\*([0-9A-Fa-f]{2})\\")
_LEAP_SECOND = re.compile(r"235960(?:\.[0-9]*)?", re.ASCII)
_SENTENCE = re.compile(r"[$!]([^*$!]*)(?:\*([0-9A-Fa-f]{2})?)?")


@dataclass(frozen=True, slots=True)
class Fix:
    """A position. Unknown numbers are NaN."""

    time: float
    """Of the fix, seconds since the epoch, UTC."""
    latitude: float
    """WGS-84, radians."""
    longitude: float
    """WGS-84, radians."""
    altitude: float
    """Above mean sea level, metres."""
    geoid_separation: float
    """Geoid above the WGS-84 ellipsoid, metres; added to `altitude` it gives the height above
    the ellipsoid."""
    quality: int
    """GGA's indicator (1 GNSS, 2 differential, 4 RTK fixed, 5 RTK float, 6 dead reckoning…);
    0 from RMC, which does not say."""
    satellites: int
    """Used in the fix, 0 when not said."""
    hdop: float
    source: Literal["GGA", "RMC"]
    talker: str


@dataclass(frozen=True, slots=True)
class CourseSpeed:
    """Course and speed over ground. Unknown numbers are NaN."""

    time: float
    course: float
    """From true north, clockwise, [0, 2*pi), radians; NaN when not moving."""
    speed: float
    """m/s."""
    source: Literal["RMC", "VTG"]
    talker: str


@dataclass(frozen=True, slots=True)
class Heading:
    """A true heading."""

    time: float
    """Seconds since the epoch when a tag block says it, else NaN: the sentences don't."""
    heading: float
    """From true north, clockwise, [0, 2*pi), radians."""
    source: HeadingSource
    """HDG: magnetic heading corrected by deviation (none is taken as 0) and variation (its own,
    else the last one that an RMC gave)."""
    talker: str


@dataclass(frozen=True, slots=True)
class TurnRate:
    """A rate of turn."""

    time: float
    rate: float
    """Clockwise (to starboard) positive, rad/s."""
    talker: str


Record = Fix | CourseSpeed | Heading | TurnRate


class Parser:
    """Reads NMEA datagrams; remembers the date and the magnetic variation that RMC gave."""

    def __init__(self) -> None:
        self._variation = math.nan
        self._received = math.nan
        self._rmc_time = math.nan
        self._extra: list[Record] = []

    def parse(self, datagram: bytes, received: float = math.nan) -> Parsed[Record]:
        """Read one datagram; never raises.

        Each sentence gives a reject or one record; RMC with a speed gives two.

        Args:
            datagram: the bytes.
            received: when they came, seconds since the epoch; dates the time of day of GGA.
                Without it the last RMC does, and before that GGA's time is NaN.
        """
        if datagram.startswith(_OTHER_HEADERS):
            return Parsed(
                rejects=[
                    Reject("not_nmea", f"a datagram of kind {show(datagram[:5])} of 61162-450")
                ]
            )
        if datagram.startswith(_HEADER):
            datagram = datagram[len(_HEADER) :]
        self._received = received
        parsed: Parsed[Record] = each_line(datagram, DATAGRAM_LIMIT, LINES_LIMIT, self._read)
        parsed.records += self._extra
        self._extra.clear()
        return parsed

    def reset(self) -> None:
        """Forget date and variation."""
        self._variation = self._rmc_time = math.nan

    def _read(self, line: str) -> Record:
        if len(line) > LINE_LIMIT:
            raise Reject("too_long", f"a line of {len(line)} characters, at most {LINE_LIMIT}")
        said = math.nan
        while line.startswith("\\"):
            block = _TAG_BLOCK.match(line)
            if block is None or _checksum(block[1]) != int(block[2], 16):
                raise Reject("bad_tag_block", f"tag block cut off or damaged: {show(line)}")
            said = _tag_time(block[1]) if math.isnan(said) else said
            line = line[block.end() :].lstrip()
        match = _SENTENCE.fullmatch(line)
        if match is None:
            raise Reject("not_nmea", f"no sentence: {show(line)}")
        content, checksum = match.groups()
        if checksum is None:
            raise Reject("no_checksum", f"no checksum: {show(line)}")
        if _checksum(content) != int(checksum, 16):
            raise Reject("bad_checksum", f"checksum is not {checksum}: {show(line)}")
        formatter = content[2:5]
        if line[0] == "!" or content[5:6] != "," or content[0] == "P" or formatter not in _USED:
            raise Reject("other_sentence", f"{show(content[:5])} is not used")
        return self._sentence(formatter, line, said)

    def _sentence(self, formatter: str, line: str, said: float) -> Record:
        # Whatever the library raises on hostile fields is the sentence's fault.
        try:
            message = NMEAReader.parse(line.encode() + b"\r\n")
        except Exception as error:
            raise Reject("malformed", f"{error}: {show(line)}") from None
        if message is None:
            raise Reject("malformed", f"not read by pynmeagps: {show(line)}")
        if formatter == "RMC":
            return self._rmc(message)
        if formatter == "VTG":
            return _vtg(message, said)
        if formatter == "GGA":
            return self._gga(message)
        if formatter == "ROT":
            return _rot(message, said)
        return self._heading(formatter, message, said)

    def _rmc(self, message: NMEAMessage) -> Record:
        _check_mode(message, "posMode")
        if _text(message, "status") != "A":
            raise Reject("no_fix", "RMC is marked as not valid")
        time = _date_time(message)
        fix = Fix(
            time=time,
            latitude=_coordinate(message, "lat", 90.0),
            longitude=_coordinate(message, "lon", 180.0),
            altitude=math.nan,
            geoid_separation=math.nan,
            quality=0,
            satellites=0,
            hdop=math.nan,
            source="RMC",
            talker=message.talker,
        )
        motion = CourseSpeed(
            time=time,
            course=_course(message, "cog"),
            speed=_optional(message, "spd", 0.0, 200.0, "bad_speed") * KNOT,
            source="RMC",
            talker=message.talker,
        )
        variation = _signed(message, "mv")
        if not math.isnan(variation):
            self._variation = variation
        self._rmc_time = time
        if not math.isnan(motion.speed):
            self._extra.append(motion)
        return fix

    def _gga(self, message: NMEAMessage) -> Fix:
        quality = int(_optional(message, "quality", 0, 9, "malformed", absent=0.0))
        if quality == 0:
            raise Reject("no_fix", "GGA has no fix")
        if quality == 8:
            raise Reject("simulator", "GGA is marked as simulated")
        return Fix(
            time=self._time_of_day(message),
            latitude=_coordinate(message, "lat", 90.0),
            longitude=_coordinate(message, "lon", 180.0),
            altitude=_optional(message, "alt", -10e3, 100e3, "bad_position"),
            geoid_separation=_optional(message, "sep", -200.0, 200.0, "bad_position"),
            quality=quality,
            satellites=int(_optional(message, "numSV", 0, 999, "malformed", absent=0.0)),
            hdop=_optional(message, "HDOP", 0.0, 1e3, "malformed"),
            source="GGA",
            talker=message.talker,
        )

    def _time_of_day(self, message: NMEAMessage) -> float:
        clock = _clock(message)
        reference = self._received if math.isfinite(self._received) else self._rmc_time
        if math.isnan(clock) or math.isnan(reference):
            return math.nan
        midnight = reference - reference % _DAY
        time = midnight + clock
        # The day that brings it closest to the receiver's clock: right over midnight.
        return time + _DAY * round((reference - time) / _DAY)

    def _heading(self, formatter: str, message: NMEAMessage, said: float) -> Heading:
        if formatter == "THS":
            mode = _text(message, "mi")
            if mode == "S":
                raise Reject("simulator", "THS is marked as simulated")
            if mode in ("V", ""):
                raise Reject("invalid", "THS is marked as not valid")
            heading = _required(message, "headt", 0.0, 360.0, "bad_heading")
        elif formatter == "HDT":
            heading = _required(message, "headingT", 0.0, 360.0, "bad_heading")
        else:
            heading = _required(message, "headingM", 0.0, 360.0, "bad_heading")
            deviation, variation = _signed(message, "deviation"), _signed(message, "variation")
            if math.isnan(variation):
                variation = self._variation
            if math.isnan(variation):
                raise Reject("no_variation", "HDG without variation, and no RMC gave one")
            heading += variation + (0.0 if math.isnan(deviation) else deviation)
        source: HeadingSource = "THS" if formatter == "THS" else "HDT"
        return Heading(
            time=said,
            heading=wrap_bearing(math.radians(heading)),
            source="HDG" if formatter == "HDG" else source,
            talker=message.talker,
        )


def _checksum(text: str) -> int:
    total = 0
    for byte in text.encode():
        total ^= byte
    return total


def _tag_time(block: str) -> float:
    """Read the time (`c:`, seconds or milliseconds since the epoch) of a tag block."""
    for part in block.split(","):
        if part.startswith("c:") and part[2:].isascii() and part[2:].isdigit() and len(part) < 18:
            time = float(part[2:])
            time = time / 1e3 if time > LATEST_TIME else time
            if EARLIEST_TIME <= time <= LATEST_TIME:
                return time
    return math.nan


def _text(message: NMEAMessage, name: str) -> str:
    return str(getattr(message, name, ""))


def _optional(  # noqa: PLR0917 - value, its range and its reason belong together
    message: NMEAMessage,
    name: str,
    low: float,
    high: float,
    reason: str,
    absent: float = math.nan,
) -> float:
    value = getattr(message, name, "")
    if value == "" or value is None:
        return absent
    return checked(value, low, high, reason, name)


def _required(message: NMEAMessage, name: str, low: float, high: float, reason: str) -> float:
    value = _optional(message, name, low, high, reason)
    if math.isnan(value):
        raise Reject("no_value", f"{message.talker}{message.msgID} without {name}")
    return value


def _coordinate(message: NMEAMessage, name: str, limit: float) -> float:
    hemisphere = _text(message, "NS" if name == "lat" else "EW")
    if hemisphere not in (("N", "S") if name == "lat" else ("E", "W")):
        raise Reject("bad_position", f"{name} is of hemisphere {show(hemisphere)}")
    value = _optional(message, name, -limit, limit, "bad_position")
    if math.isnan(value):
        raise Reject("no_fix", f"{message.msgID} without {name}")
    return math.radians(value)


def _course(message: NMEAMessage, name: str) -> float:
    course = _optional(message, name, 0.0, 360.0, "bad_course")
    return math.radians(course) % TWO_PI


def _signed(message: NMEAMessage, name: str) -> float:
    """Read a variation or deviation in degrees, east positive."""
    value = _optional(message, name, -180.0, 180.0, "bad_variation")
    side = _text(message, f"{name}EW")
    if math.isnan(value):
        return math.nan
    if side not in ("E", "W"):
        raise Reject("bad_variation", f"{name} is neither east nor west but {show(side)}")
    return value if side == "E" else -value


def _check_mode(message: NMEAMessage, name: str) -> None:
    mode = _text(message, name)
    if mode == "N":
        raise Reject("no_fix", f"{message.msgID} is marked as not valid")
    if mode == "S":
        raise Reject("simulator", f"{message.msgID} is marked as simulated")


def _clock(message: NMEAMessage) -> float:
    """Read the time of day, seconds; NaN when there is none."""
    clock = getattr(message, "time", "")
    if isinstance(clock, datetime.time):
        return 3600.0 * clock.hour + 60.0 * clock.minute + clock.second + clock.microsecond / 1e6
    # pynmeagps reads a time or date that does not exist like an empty one.
    text = message.payload[0] if message.payload else ""
    if _LEAP_SECOND.fullmatch(text):
        # As everywhere in POSIX time, a leap second is the first of the next day.
        return _DAY + float(f"0{text[6:]}")
    if text:
        raise Reject("bad_time", f"the time is {show(text)}")
    return math.nan


def _date_time(message: NMEAMessage) -> float:
    clock, day = _clock(message), getattr(message, "date", "")
    if not isinstance(day, datetime.date):
        if len(message.payload) > 8 and message.payload[8]:
            raise Reject("bad_time", f"RMC's date is {show(message.payload[8])}")
        return math.nan
    if math.isnan(clock):
        return math.nan
    midnight = datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.timezone.utc)
    time = midnight.timestamp() + clock
    return checked(time, EARLIEST_TIME, LATEST_TIME, "bad_time", "RMC's time")


def _vtg(message: NMEAMessage, said: float) -> CourseSpeed:
    _check_mode(message, "posMode")
    speed = _optional(message, "sogn", 0.0, 200.0, "bad_speed") * KNOT
    if math.isnan(speed):
        speed = _optional(message, "sogk", 0.0, 370.4, "bad_speed") / 3.6
    if math.isnan(speed):
        raise Reject("no_value", "VTG without speed")
    return CourseSpeed(
        time=said,
        course=_course(message, "cogt"),
        speed=speed,
        source="VTG",
        talker=message.talker,
    )


def _rot(message: NMEAMessage, said: float) -> TurnRate:
    if _text(message, "valid") != "A":
        raise Reject("invalid", "ROT is marked as not valid")
    rate = _required(message, "rot", -1000.0, 1000.0, "bad_rate")
    return TurnRate(time=said, rate=math.radians(rate) / 60.0, talker=message.talker)
