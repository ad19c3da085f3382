# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""DroneShield RF detector: one JSON object to a UDP datagram (port 8888).

Some relays send the same object as a Python literal (single quotes, `True`, `None`); it is read
when JSON fails, without evaluating anything. Relays that put several objects into a datagram
separate them by line ends.

`TimeUTC` is not used: the unit writes `2025-09-05T00:36:43Z.125219+00:00`, which is no ISO 8601
time. `EpochTimeMilliSeconds` is; real units give whole seconds and repeat one with a refined
angle.
"""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import dataclass

from thebox_sensors.protocol_base import (
    EARLIEST_TIME,
    LATEST_TIME,
    TWO_PI,
    BearingReference,
    Parsed,
    Reject,
    checked,
    decode_json,
    each_line,
    printable,
    show,
    wrap_bearing,
)

DEFAULT_PORT = 8888
DATAGRAM_LIMIT = 16_384
"""Largest datagram that is looked at, bytes; real ones are about 500."""
LINES_LIMIT = 64
"""Most objects that are read from one datagram."""

REASONS = {
    "empty": "a datagram without content",
    "too_long": f"more than {DATAGRAM_LIMIT} bytes",
    "too_many_lines": f"more than {LINES_LIMIT} lines; those after are left out",
    "not_text": "not UTF-8",
    "truncated": "an object cut off before its end",
    "not_json": "neither JSON nor a Python literal",
    "too_deep": "brackets nested or repeated beyond reason",
    "duplicate_key": "the same key twice in an object",
    "not_an_object": "valid, but no JSON object",
    "not_a_detection": "a message of another Type (status, heartbeat); not an error",
    "no_content": "a Detection without its Data object",
    "no_bearing": "no angle of arrival for the chosen bearing reference",
    "bad_bearing": "an angle of arrival that is no number or beyond a full turn",
    "bad_sigma": "an angle error that is no number or outside 0 to pi",
    "bad_time": "an epoch that is no number or not in this century",
    "bad_frequency": "a frequency that is no number or outside 1 MHz to 300 GHz",
    "bad_rssi": "a signal strength that is no number or outside -200 to 60 dBm",
    "bad_identity": "a key, serial number or address that is too long or no text",
    "bad_field": "another field of the wrong kind",
}

_ABSENT = "Empty_Field"
_BRACKETS_LIMIT = 64
_IDENTITY_LIMIT = 128
_MIN_FREQUENCY = 1e6
_MAX_FREQUENCY = 300e9
_READ_FIELDS = frozenset(
    {
        "AngleOfArrivalRadians",
        "AbsoluteAngleOfArrivalRadians",
        "AngleOfArrivalErrorRadians",
        "CorrelationKey",
        "SerialNumber",
        "MacAddress",
        "DetectionCount",
        "EpochTimeMilliSeconds",
        "FrequencyHertz",
        "RSSI",
        "SignalBars",
        "Protocol",
        "Vendor",
        "Name",
        "Type",
        "IsDrone",
        "TimeUTC",
    }
)
_ATTRIBUTES_LIMIT = 32

_PYTHON_TOKEN = re.compile(
    # A text may end with the input, so that a match never backtracks: linear on any input.
    r"""'((?:[^'\\]|\\.?)*)('|\Z)|"((?:[^"\\]|\\.?)*)("|\Z)|\b(True|False|None)\b""",
    re.DOTALL,
)
_BRACKET_OR_TEXT = re.compile(
    r"""[{}\[\]]|'(?:[^'\\]|\\.?)*('|\Z)|"(?:[^"\\]|\\.?)*("|\Z)""", re.DOTALL
)
_PYTHON_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([\\'\"abfnrtv])|(.?))", re.DOTALL
)
_SHORT_ESCAPES = {
    "\\": "\\",
    "'": "'",
    '"': '"',
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_CONSTANTS = {"True": "true", "False": "false", "None": "null"}


@dataclass(frozen=True, slots=True)
class Emission:
    """One emission that the unit heard. Unknown numbers are NaN, unknown texts empty."""

    emitter: str
    """The unit's own identity for the emitter: CorrelationKey, else SerialNumber, else
    MacAddress, else empty."""
    relative_angle: float
    """AngleOfArrivalRadians: clockwise from the unit's boresight, [0, 2*pi), radians."""
    absolute_angle: float
    """AbsoluteAngleOfArrivalRadians: from true north when the unit is told its heading (then
    only does it differ from `relative_angle`), [0, 2*pi), radians."""
    sigma: float
    """Standard deviation of the angle, radians. The vendor does not say which quantile
    AngleOfArrivalErrorRadians is; it is taken as one standard deviation (a real unit gives 0.19
    to pi/6). An error of 0 says nothing and reads as NaN."""
    time: float
    """When it was measured, seconds since the epoch, UTC."""
    frequency: float
    """Centre frequency, Hz."""
    rssi: float
    """Received signal strength, dBm."""
    signal_bars: float
    """The unit's own strength scale, 0 to 10."""
    protocol: str
    """Modulation or link protocol as the unit names it, for example OS_OFDM, FHSS, DSMX."""
    vendor: str
    name: str
    kind: str
    """Data.Type, for example RADIO."""
    is_drone: bool | None
    """What the unit thinks; None when it does not say."""
    serial_number: str
    mac_address: str
    detection_count: float
    api_version: str
    attributes: tuple[tuple[str, str], ...] = ()
    """Fields of the object that have no place above, as text, in their order."""

    def angle(self, reference: BearingReference) -> float:
        """Return the angle that goes with a bearing reference, for `to_true_bearing`.

        Raises:
            Reject: `no_bearing` when the unit sent no such angle.
        """
        angle = self.absolute_angle if reference == "true" else self.relative_angle
        if math.isnan(angle):
            other = "bow" if reference == "true" else "true"
            raise Reject(
                "no_bearing",
                f"no angle of arrival for bearing_reference {reference}; "
                f"if the unit sends only the other one, set it to {other}",
            )
        return angle


class Parser:
    """Reads DroneShield datagrams. Keeps no state."""

    def parse(self, datagram: bytes) -> Parsed[Emission]:
        """Read one datagram; never raises. A record or a reject for each object in it."""
        parsed: Parsed[Emission] = Parsed()
        try:
            text = _text(datagram)
        except Reject as reject:
            parsed.rejects.append(reject.bare())
            return parsed
        try:
            parsed.records.append(_read_emission(text))
        except Reject as reject:
            if "\n" in text and reject.reason in _MAYBE_LINES:
                return each_line(datagram, DATAGRAM_LIMIT, LINES_LIMIT, _read_emission)
            parsed.rejects.append(reject.bare())
        return parsed

    def reset(self) -> None:
        """Forget the state of a connection; there is none."""


_MAYBE_LINES = frozenset({"not_json", "truncated", "too_deep"})


def _text(datagram: bytes) -> str:
    if len(datagram) > DATAGRAM_LIMIT:
        raise Reject("too_long", f"{len(datagram)} bytes, at most {DATAGRAM_LIMIT} are read")
    try:
        text = datagram.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Reject("not_text", f"not UTF-8 at byte {error.start}: {show(datagram)}") from None
    text = text.strip("\ufeff \t\r\n\0")
    if not text:
        raise Reject("empty", "a datagram without content")
    return text


def _read_object(text: str) -> dict[str, object]:
    try:
        value = decode_json(text, _BRACKETS_LIMIT)
    except Reject as reject:
        if reject.reason != "not_json":
            raise
        value = _read_python_literal(text)
    if not isinstance(value, dict):
        raise Reject("not_an_object", f"{show(value)} instead of an object")
    return value


def _read_python_literal(text: str) -> object:
    # What holds none of these is the same text after the rewriting.
    if "'" in text or "True" in text or "None" in text or "False" in text:
        try:
            return decode_json(_json_of_python_literal(text), _BRACKETS_LIMIT)
        except Reject as reject:
            if reject.reason != "not_json":
                raise
        except ValueError:
            pass
    if _is_cut_off(text):
        raise Reject("truncated", f"cut off at {show(text[-40:])}")
    raise Reject("not_json", f"neither JSON nor a Python literal: {show(text)}")


def _json_of_python_literal(text: str) -> str:
    """Rewrite a Python literal of dicts, lists, texts, numbers, True, False, None as JSON.

    Only tokens are rewritten and the JSON decoder judges the outcome, so nothing is evaluated
    and the work is linear in the text.
    """
    return _PYTHON_TOKEN.sub(_json_token, text)


def _json_token(match: re.Match[str]) -> str:
    word = match[5]
    if word:
        return _CONSTANTS[word]
    single = match[1] is not None
    content, end = (match[1], match[2]) if single else (match[3], match[4])
    if not end:
        raise ValueError("a text without its end")
    if "\\" in content:
        content = _PYTHON_ESCAPE.sub(_unescaped, content)
    elif content.isprintable() and '"' not in content:
        return f'"{content}"'
    return json.dumps(content)


def _unescaped(match: re.Match[str]) -> str:
    hexadecimal = match[1] or match[2] or match[3]
    if hexadecimal is not None:
        code = int(hexadecimal, 16)
        if code > sys.maxunicode:
            raise ValueError("an escape beyond Unicode")
        return chr(code)
    if match[4]:
        return _SHORT_ESCAPES[match[4]]
    raise ValueError("an escape that no relay writes")


def _is_cut_off(text: str) -> bool:
    """Whether an object begins, and its brackets or a text are still open at the end."""
    if not text.startswith("{"):
        return False
    depth = 0
    for match in _BRACKET_OR_TEXT.finditer(text):
        sign = match[0]
        if sign in "{[":
            depth += 1
        elif sign in "}]":
            depth -= 1
            if depth == 0:
                return False
        elif not (match[1] or match[2]):
            return True
    return True


def _read_emission(text: str) -> Emission:
    return _emission(_read_object(text))


def _emission(message: dict[str, object]) -> Emission:
    kind = message.get("Type")
    if kind != "Detection":
        raise Reject("not_a_detection", f"message type {show(kind)}")
    content = message.get("Data")
    if not isinstance(content, dict):
        raise Reject("no_content", f"Data is {show(content)}, an object was expected")
    key = _identity(content, "CorrelationKey")
    serial_number = _identity(content, "SerialNumber")
    mac_address = _identity(content, "MacAddress")
    sigma = _number(content, "AngleOfArrivalErrorRadians", 0.0, math.pi, "bad_sigma")
    return Emission(
        emitter=key or serial_number or mac_address,
        relative_angle=_angle(content, "AngleOfArrivalRadians"),
        absolute_angle=_angle(content, "AbsoluteAngleOfArrivalRadians"),
        sigma=sigma if sigma > 0.0 else math.nan,
        time=_number(
            content,
            "EpochTimeMilliSeconds",
            EARLIEST_TIME * 1e3,
            LATEST_TIME * 1e3,
            "bad_time",
        )
        / 1e3,
        frequency=_number(
            content, "FrequencyHertz", _MIN_FREQUENCY, _MAX_FREQUENCY, "bad_frequency"
        ),
        rssi=_number(content, "RSSI", -200.0, 60.0, "bad_rssi"),
        signal_bars=_number(content, "SignalBars", 0.0, 100.0, "bad_field"),
        protocol=_word(content, "Protocol"),
        vendor=_word(content, "Vendor"),
        name=_word(content, "Name"),
        kind=_word(content, "Type"),
        is_drone=_flag(content, "IsDrone"),
        serial_number=serial_number,
        mac_address=mac_address,
        detection_count=_number(content, "DetectionCount", 0.0, 2.0**63, "bad_field"),
        api_version=_word(message, "APIVersion"),
        attributes=_attributes(content) if not _READ_FIELDS.issuperset(content) else (),
    )


def _number(content: dict[str, object], key: str, low: float, high: float, reason: str) -> float:
    value = content.get(key)
    if value is None or value == _ABSENT:
        return math.nan
    return checked(value, low, high, reason, key)


def _angle(content: dict[str, object], key: str) -> float:
    # Beyond a full turn it is most likely degrees: better rejected than wrapped to nonsense.
    return wrap_bearing(_number(content, key, -TWO_PI, TWO_PI, "bad_bearing"))


def _identity(content: dict[str, object], key: str) -> str:
    value = content.get(key)
    if value is None or value == _ABSENT:
        return ""
    if type(value) is int and value.bit_length() <= 128:
        value = str(value)
    # Cutting an identity or mending its characters could make one of two: refuse instead.
    if not isinstance(value, str) or len(value) > _IDENTITY_LIMIT or printable(value) != value:
        raise Reject("bad_identity", f"{key} is {show(value)}")
    return value


def _word(content: dict[str, object], key: str) -> str:
    value = content.get(key)
    if value is None or value == _ABSENT:
        return ""
    if type(value) is int or type(value) is float:
        return show(value)
    if not isinstance(value, str):
        raise Reject("bad_field", f"{key} is {show(value)}, text was expected")
    return printable(value)


def _flag(content: dict[str, object], key: str) -> bool | None:
    value = content.get(key)
    if value is None or value == _ABSENT:
        return None
    if not isinstance(value, bool):
        raise Reject("bad_field", f"{key} is {show(value)}, true or false was expected")
    return value


def _attributes(content: dict[str, object]) -> tuple[tuple[str, str], ...]:
    rest = [
        (printable(key, 64), printable(value) if isinstance(value, str) else show(value))
        for key, value in content.items()
        if key not in _READ_FIELDS and value != _ABSENT and value is not None
    ]
    return tuple(rest[:_ATTRIBUTES_LIMIT])
