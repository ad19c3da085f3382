# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""MARA Spotter (daylight, thermal, acoustic): lines of text over UDP 8787, TCP 9000 or serial.

Each line is one observation or one status report, in any of three forms, told apart line by
line: a JSON object, `key=value` pairs (parted by blanks, commas or semicolons, values may be
quoted), or comma-separated values. A CSV line that names columns sets them for the lines after
it; without one they are in the order of `COLUMNS`. Names are read without regard to case.

JSON may hold NaN, as Python writes an unknown number; it counts as absent, as it does in CSV.
A field out of range is rejected alone (its reason is in `FIELD_REASONS`) and the record goes on
without it, unless neither a bearing nor a position is left.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal, TypeVar

from thebox_sensors.protocol_base import (
    EARLIEST_TIME,
    LATEST_TIME,
    LineFramer,
    Parsed,
    Reject,
    as_number,
    checked,
    decode_json,
    each_line,
    printable,
    show,
    wrap_bearing,
)

DEFAULT_UDP_PORT = 8787
DEFAULT_TCP_PORT = 9000
DEFAULT_BAUD = 115_200
DATAGRAM_LIMIT = 65_536
"""Largest datagram that is looked at, bytes."""
LINES_LIMIT = 512
"""Most lines that are read from one datagram."""
LINE_LIMIT = 4_096
"""Longest line that is read, bytes."""
COLUMNS_LIMIT = 64
"""Most fields of one line."""

COLUMNS = (
    "timestamp",
    "sensor_id",
    "object_id",
    "track_id",
    "confidence",
    "bearing_deg",
    "elevation_deg",
    "range_m",
    "lat",
    "lon",
    "speed_mps",
    "heading_deg",
    "label",
    "channel",
)
"""Order of the columns of CSV lines without a header line."""

FIELD_REASONS = {
    "bad_time": "a timestamp that is no ISO 8601 time of this century",
    "bad_identity": "a sensor, object or track id that is too long or no text",
    "bad_confidence": "a confidence that is no number or outside its scale (0 to 1, or 0 to 100)",
    "bad_bearing": "a bearing that is no number or beyond a full turn",
    "bad_elevation": "an elevation that is no number or outside -90 to 90 degrees",
    "bad_range": "a range that is no number or outside 0 to 200 km",
    "bad_position": "a latitude or longitude out of range, or one without the other",
    "bad_speed": "a speed that is no number or outside 0 to 1000 m/s",
    "bad_heading": "a heading that is no number or beyond a full turn",
    "bad_channel": "a channel that is none of EO, IR or acoustic",
    "bad_field": "another field of the wrong kind",
}
"""Reasons that cost a field; the record may still be there."""

REASONS = {
    "empty": "a datagram without content",
    "too_long": f"more than {DATAGRAM_LIMIT} bytes, or a line of more than {LINE_LIMIT}",
    "too_many_lines": f"more than {LINES_LIMIT} lines; those after are left out",
    "not_text": "not UTF-8",
    "not_json": "a line that begins with { and is no JSON",
    "too_deep": "brackets nested or repeated beyond reason",
    "duplicate_key": "the same field twice in a record",
    "malformed": "key=value pairs or quotes that do not end",
    "bad_columns": "CSV with another number of columns than its header, or than expected",
    "no_direction": "an observation with neither bearing nor position",
    **FIELD_REASONS,
}

_CHANNELS = {
    "EO": ("EO", "VISUAL", "VISIBLE", "CAMERA", "OPTICAL", "VIDEO", "DAY", "DAYLIGHT", "RGB", "TV"),
    "IR": ("IR", "THERMAL", "INFRARED", "FLIR", "LWIR", "MWIR", "NIGHT"),
    "ACOUSTIC": ("ACOUSTIC", "AUDIO", "SOUND", "MIC", "MICROPHONE"),
}
_CHANNEL_OF = {alias: channel for channel, aliases in _CHANNELS.items() for alias in aliases}
_KNOWN = frozenset(COLUMNS)
ValueT = TypeVar("ValueT")
ConfidenceScale = Literal["auto", "fraction", "percent"]
_KIND_KEYS = ("type", "message_type", "msg_type", "message", "event")
_HEARTBEATS = frozenset({"heartbeat", "status", "hb", "alive", "keepalive", "ping", "health"})
_AMBIGUOUS = frozenset({"status", "alive", "ping"})
"""Kinds that an observation may have as well: one with a bearing is an observation."""
_ABSENT = frozenset({"", "nan", "n/a", "na", "null", "none", "-"})
_PAIR = re.compile(
    r"""\s*([A-Za-z_][A-Za-z0-9_.\-]{0,63})\s*=\s*
    (?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s,;"']*))\s*(?:[,;]\s*|(?=\s|\Z))""",
    re.VERBOSE | re.ASCII,
)
_FIRST_KEY = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_.\-]{0,63}\s*=", re.ASCII)
_QUOTED = re.compile(r'"[^"]*"')
_COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\- ]{0,63}", re.ASCII)
_TIME = re.compile(
    r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})[Tt ]([0-9]{2}):?([0-9]{2})"
    r"(?::?([0-9]{2})(?:[.,]([0-9]{1,9})[0-9]*)?)?\s*"
    r"(?:([Zz])|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Observation:
    """One object seen or heard. Unknown numbers are NaN, unknown texts empty."""

    channel: str
    """EO, IR, ACOUSTIC, or empty when the line does not say."""
    time: float
    """When it was measured, seconds since the epoch; a stamp without a zone is UTC."""
    sensor_id: str
    object_id: str
    track_id: str
    confidence: float
    """[0, 1]. With a % sign it is a percentage, else as `confidence_scale` says."""
    bearing: float
    """Clockwise, [0, 2*pi), radians. From true north or the bow: the unit does not say, the
    driver's `bearing_reference` does."""
    elevation: float
    """Above the horizon, radians."""
    range: float
    """Metres."""
    latitude: float
    """Of the object, WGS-84, radians."""
    longitude: float
    """Of the object, WGS-84, radians."""
    speed: float
    """Of the object over ground, m/s."""
    heading: float
    """Course of the object from true north, clockwise, [0, 2*pi), radians."""
    label: str
    attributes: tuple[tuple[str, str], ...] = ()
    """Fields that have no place above, as text, in their order."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One status or heartbeat line."""

    time: float
    """Seconds since the epoch, NaN when the line does not say."""
    sensor_id: str
    status: str
    """What the unit says of itself, empty when it only shows that it is alive."""
    attributes: tuple[tuple[str, str], ...] = ()
    """All other fields, as text, in their order."""


class Parser:
    """Reads MARA datagrams (`parse`) or a stream (`feed`); remembers the CSV columns.

    Args:
        confidence_scale: what a confidence counts in; `auto` takes a number above 1 for a
            percentage, which reads a unit's 1 % as certainty.
    """

    def __init__(self, confidence_scale: ConfidenceScale = "auto") -> None:
        self.confidence_scale = confidence_scale
        self._framer = LineFramer(LINE_LIMIT)
        self._columns: tuple[str, ...] | None = None
        self._field_rejects: list[Reject] = []

    def parse(self, datagram: bytes) -> Parsed[Observation | Heartbeat]:
        """Read one datagram; never raises.

        Each line gives one record or one reject, or nothing when it names columns; rejects of
        single fields (`FIELD_REASONS`) come on top.
        """
        parsed: Parsed[Observation | Heartbeat] = each_line(
            datagram, DATAGRAM_LIMIT, LINES_LIMIT, self._read
        )
        parsed.rejects += self._field_rejects
        self._field_rejects.clear()
        return parsed

    def feed(self, chunk: bytes) -> Parsed[Observation | Heartbeat]:
        """Read the next bytes of a stream; never raises. Parts of lines wait for their rest."""
        framed = self._framer.feed(chunk)
        parsed: Parsed[Observation | Heartbeat] = Parsed(rejects=framed.rejects)
        for line in framed.records:
            if line.strip(b" \t\0"):
                outcome = self.parse(line)
                parsed.records += outcome.records
                parsed.rejects += outcome.rejects
        return parsed

    def reset(self) -> None:
        """Forget columns and a part of a line, as after a reconnection."""
        self._framer.reset()
        self._columns = None

    def _read(self, line: str) -> Observation | Heartbeat | None:
        if len(line) > LINE_LIMIT:
            raise Reject("too_long", f"a line of {len(line)} characters, at most {LINE_LIMIT}")
        line = line.lstrip("\ufeff")
        if line.startswith("{"):
            fields = _json_fields(line)
        elif _FIRST_KEY.match(line):
            fields = _pairs(line)
        else:
            values = _split_csv(line)
            if values[0].strip().lstrip("$#").lower() in _HEARTBEATS:
                return _bare_heartbeat(values)
            if self._is_header(values):
                return None
            fields = self._name_columns(values)
        return self._record(fields)

    def _is_header(self, values: list[str]) -> bool:
        names = tuple(value.strip().lstrip("#").strip().lower() for value in values)
        if sum(name in _KNOWN for name in names) < min(2, len(names)) or not all(
            _COLUMN_NAME.fullmatch(name) for name in names
        ):
            return False
        if len(set(names)) != len(names):
            raise Reject("duplicate_key", f"a header names a column twice: {show(','.join(names))}")
        self._columns = names
        return True

    def _name_columns(self, values: list[str]) -> dict[str, object]:
        columns = self._columns or COLUMNS
        if len(values) != len(columns):
            raise Reject(
                "bad_columns", f"{len(values)} columns, {len(columns)} expected: {show(values[0])}"
            )
        return dict(zip(columns, values, strict=True))

    def _record(self, fields: dict[str, object]) -> Observation | Heartbeat:
        kind = next((str(fields[key]).lower() for key in _KIND_KEYS if key in fields), "")
        # A heartbeat may tell where the unit is, which must not become an object's position.
        if kind in _HEARTBEATS and not (kind in _AMBIGUOUS and "bearing_deg" in fields):
            return self._heartbeat(fields, kind)
        measured = any(key in fields for key in ("bearing_deg", "lat", "lon"))
        if not measured and ("status" in fields or "heartbeat" in fields):
            return self._heartbeat(fields, kind)
        return self._observation(fields)

    def _heartbeat(self, fields: dict[str, object], kind: str) -> Heartbeat:
        taken = {"timestamp", "sensor_id", "status", *_KIND_KEYS}
        status = fields.get("status")
        return Heartbeat(
            time=self._field(_time, fields, "timestamp", math.nan),
            sensor_id=self._field(_identity, fields, "sensor_id", ""),
            status="" if status is None or str(status).lower() == kind else _shown(status),
            attributes=_attributes(fields, taken),
        )

    def _observation(self, fields: dict[str, object]) -> Observation:
        bearing = self._field(_bearing, fields, "bearing_deg", math.nan)
        latitude = self._field(_latitude, fields, "lat", math.nan)
        longitude = self._field(_longitude, fields, "lon", math.nan)
        if math.isnan(latitude) != math.isnan(longitude):
            latitude = longitude = math.nan
            # Where the other one was sent, it has been rejected already.
            if _is_absent(fields.get("lat")) or _is_absent(fields.get("lon")):
                self._field_rejects.append(
                    Reject("bad_position", "latitude or longitude without the other")
                )
        if math.isnan(bearing) and math.isnan(latitude):
            raise Reject("no_direction", "an observation with neither bearing nor position")
        return Observation(
            channel=self._field(_channel, fields, "channel", ""),
            time=self._field(_time, fields, "timestamp", math.nan),
            sensor_id=self._field(_identity, fields, "sensor_id", ""),
            object_id=self._field(_identity, fields, "object_id", ""),
            track_id=self._field(_identity, fields, "track_id", ""),
            confidence=self._field(self._confidence, fields, "confidence", math.nan),
            bearing=bearing,
            elevation=self._field(_elevation, fields, "elevation_deg", math.nan),
            range=self._field(_range, fields, "range_m", math.nan),
            latitude=latitude,
            longitude=longitude,
            speed=self._field(_speed, fields, "speed_mps", math.nan),
            heading=self._field(_heading, fields, "heading_deg", math.nan),
            label=self._field(_label, fields, "label", ""),
            attributes=() if _KNOWN.issuperset(fields) else _attributes(fields, _KNOWN),
        )

    def _confidence(self, value: object) -> float:
        percent = isinstance(value, str) and value.strip().endswith("%")
        if isinstance(value, str):
            value = value.strip().rstrip("%")
        highest = 1.0 if self.confidence_scale == "fraction" and not percent else 100.0
        number = _number(value, 0.0, highest, "bad_confidence", "confidence")
        if self.confidence_scale == "auto":
            percent = percent or number > 1.0
        return number / 100.0 if percent or self.confidence_scale == "percent" else number

    def _field(
        self,
        read: Callable[[object], ValueT],
        fields: Mapping[str, object],
        name: str,
        absent: ValueT,
    ) -> ValueT:
        value = fields.get(name)
        if _is_absent(value):
            return absent
        try:
            return read(value)
        except Reject as reject:
            self._field_rejects.append(reject.bare())
            return absent


def _is_absent(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _ABSENT
    return value is None or value != value  # noqa: PLR0124 - only NaN differs from itself


def _json_fields(line: str) -> dict[str, object]:
    value = decode_json(line, COLUMNS_LIMIT, constants=True)
    if not isinstance(value, dict):
        raise Reject("not_json", f"{show(value)} instead of an object")
    return _lower_keys(list(value.items()))


def _lower_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(pairs) > COLUMNS_LIMIT:
        raise Reject("malformed", f"{len(pairs)} fields, at most {COLUMNS_LIMIT} are read")
    fields = {key.lower(): value for key, value in pairs}
    if len(fields) != len(pairs):
        raise Reject("duplicate_key", f"a field comes twice: {show(','.join(fields))}")
    return fields


def _pairs(line: str) -> dict[str, object]:
    pairs: list[tuple[str, object]] = []
    position = 0
    while position < len(line):
        pair = _PAIR.match(line, position)
        if pair is None or pair.end() == position:
            raise Reject("malformed", f"no key=value pair at {show(line[position:])}")
        quoted = pair[2] if pair[2] is not None else pair[3]
        value = pair[4] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        pairs.append((pair[1], value))
        position = pair.end()
    return _lower_keys(pairs)


def _split_csv(line: str) -> list[str]:
    bare = _QUOTED.sub("", line) if '"' in line else line
    separator = ";" if "," not in bare and ";" in bare else ","
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator, strict=True, skipinitialspace=True))
    except (csv.Error, StopIteration) as error:
        raise Reject("malformed", f"{error}: {show(line)}") from None


def _bare_heartbeat(values: list[str]) -> Heartbeat:
    if len(values) > COLUMNS_LIMIT:
        raise Reject("malformed", f"{len(values)} fields, at most {COLUMNS_LIMIT} are read")
    rest = [printable(value.strip()) for value in values[1:] if value.strip()]
    return Heartbeat(
        time=math.nan,
        sensor_id="",
        status=rest[0] if rest else "",
        attributes=tuple((f"field {place}", value) for place, value in enumerate(rest[1:], 2)),
    )


def _shown(value: object) -> str:
    return printable(value) if isinstance(value, str) else show(value)


def _attributes(
    fields: dict[str, object], taken: frozenset[str] | set[str]
) -> tuple[tuple[str, str], ...]:
    return tuple(
        (printable(key, 64), _shown(value))
        for key, value in fields.items()
        if key not in taken and value is not None and value != ""
    )


def _number(value: object, low: float, high: float, reason: str, what: str) -> float:
    if isinstance(value, str):
        try:
            value = as_number(value.strip())
        except ValueError as error:
            raise Reject(reason, f"{what}: {error}") from None
    return checked(value, low, high, reason, what)


def _bearing(value: object) -> float:
    degrees = _number(value, -360.0, 360.0, "bad_bearing", "bearing_deg")
    return wrap_bearing(math.radians(degrees))


def _heading(value: object) -> float:
    degrees = _number(value, -360.0, 360.0, "bad_heading", "heading_deg")
    return wrap_bearing(math.radians(degrees))


def _elevation(value: object) -> float:
    return math.radians(_number(value, -90.0, 90.0, "bad_elevation", "elevation_deg"))


def _range(value: object) -> float:
    return _number(value, 0.0, 200e3, "bad_range", "range_m")


def _speed(value: object) -> float:
    return _number(value, 0.0, 1000.0, "bad_speed", "speed_mps")


def _latitude(value: object) -> float:
    return math.radians(_number(value, -90.0, 90.0, "bad_position", "lat"))


def _longitude(value: object) -> float:
    return math.radians(_number(value, -180.0, 180.0, "bad_position", "lon"))


def _identity(value: object) -> str:
    if type(value) is int and value.bit_length() <= 128:
        return str(value)
    if not isinstance(value, str) or len(value) > 128 or printable(value) != value:
        raise Reject("bad_identity", f"an id is {show(value)}")
    return value.strip()


def _label(value: object) -> str:
    if not isinstance(value, str):
        raise Reject("bad_field", f"label is {show(value)}, text was expected")
    return printable(value.strip())


def _channel(value: object) -> str:
    channel = _CHANNEL_OF.get(value.strip().upper()) if isinstance(value, str) else None
    if channel is None:
        raise Reject("bad_channel", f"channel is {show(value)}; known: EO, IR, ACOUSTIC")
    return channel


def _time(value: object) -> float:
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise Reject("bad_time", f"timestamp is {show(value)}, no ISO 8601 time")
    year, month, day, hour, minute, second, fraction, _, sign, zone_hour, zone_minute = (
        match.groups()
    )
    offset = 60 * (60 * int(zone_hour) + int(zone_minute or 0)) if sign else 0
    try:
        # A leap second (60) is the first of the next minute.
        whole = datetime(
            int(year), int(month), int(day), int(hour), int(minute), tzinfo=timezone.utc
        ) + timedelta(seconds=_sexagesimal(second or "0"))
    except (ValueError, OverflowError):
        raise Reject("bad_time", f"timestamp is {show(value)}, no such time") from None
    time = whole.timestamp() - (-offset if sign == "-" else offset)
    if fraction:
        time += float(f"0.{fraction}")
    return checked(time, EARLIEST_TIME, LATEST_TIME, "bad_time", "timestamp")


def _sexagesimal(second: str) -> int:
    if int(second) > 60:
        raise ValueError("more than 60 seconds")
    return int(second)
