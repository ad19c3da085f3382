# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""ROS messages to and from the values of JSON and CBOR, as the rosbridge v2 protocol has them.

Per message class a converter is put together once and kept. In JSON a number that is not finite is
null, an array of bytes is base64 text; in CBOR an array of bytes is a byte string and an array of
numbers a typed array (RFC 8746, little-endian).
"""

from __future__ import annotations

import array
import base64
import importlib
import math
import re
import struct
import zlib
from binascii import Error as Base64Error
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cbor2

__all__ = [
    "ConversionError",
    "fill",
    "interface",
    "png",
    "to_cbor",
    "to_json",
    "type_name",
]

_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)) | {
    "char",
    "octet",
    "byte",
}
_FLOATS = frozenset({"float", "double", "float32", "float64"})
_BOOLEANS = frozenset({"boolean", "bool"})
_BYTES = frozenset({"uint8", "char"})
_TIMES = frozenset({"builtin_interfaces/Time", "builtin_interfaces/Duration"})
_SEQUENCE = re.compile(r"sequence<(.+?)(?:, \d+)?>")
_ARRAY = re.compile(r"(.+)\[\d+\]")
_TEXT = re.compile(r"w?string(<\d+>)?")
#: RFC 8746 tag and struct format of a typed array, by element.
_TYPED_ARRAYS = {
    "uint16": (69, "H"),
    "uint32": (70, "I"),
    "uint64": (71, "Q"),
    "octet": (72, "b"),
    "byte": (72, "b"),
    "int8": (72, "b"),
    "int16": (77, "h"),
    "int32": (78, "i"),
    "int64": (79, "q"),
    "float": (85, "f"),
    "double": (86, "d"),
}

Converter = Callable[[Any], Any]


class ConversionError(ValueError):
    """Values that do not fit a message type, or a type that is not there; the text says which."""


def interface(name: str, kind: str) -> Any:
    """Import an interface by name: ``pkg/Type``, ``pkg/msg/Type``; kind: msg, srv or action.

    Raises:
        ConversionError: there is no such interface on this machine.
    """
    parts = [part for part in name.split("/") if part]
    if len(parts) not in (2, 3):
        raise ConversionError(f"{name} is not a valid type string")
    package, subname, title = parts[0], parts[1] if len(parts) == 3 else kind, parts[-1]
    if not all(part.isidentifier() for part in (package, subname, title)):
        raise ConversionError(f"{name} is not a valid type string")
    if subname != kind:
        subname = kind
    return _load(package, subname, title)


@lru_cache(maxsize=1024)
def _load(package: str, subname: str, title: str) -> Any:
    try:
        module = importlib.import_module(f"{package}.{subname}")
    except Exception as error:
        raise ConversionError(
            f"Unable to import {package}.{subname} from package {package}. Caused by: {error}"
        ) from None
    found = getattr(module, title, None)
    if not isinstance(found, type):
        raise ConversionError(
            f"Unable to import {subname} class {title} from package {package}. "
            f"Caused by module '{package}.{subname}' has no attribute '{title}'"
        )
    return found


def type_name(cls: Any) -> str:
    """``pkg/msg/Type`` of a class."""
    parts = cls.__module__.split(".")
    return f"{parts[0]}/{parts[1]}/{cls.__name__}"


def _short_name(cls: Any) -> str:
    return f"{cls.__module__.split('.')[0]}/{cls.__name__}"


def _element(kind: str) -> str:
    """Type of an array's elements; empty for what is no array."""
    match = _SEQUENCE.fullmatch(kind) or _ARRAY.fullmatch(kind)
    return match.group(1) if match else ""


# From messages ------------------------------------------------------------------------------------


def _finite(value: Any) -> Any:
    return value if math.isfinite(value) else None


def _octet(value: Any) -> int:
    return value[0] if isinstance(value, (bytes, bytearray)) else int(value)


def _base64(value: Any) -> str:
    return base64.standard_b64encode(bytes(value)).decode("ascii")


def _json_array(element: str) -> Converter:
    if element in _BYTES:
        return _base64
    if element in _FLOATS:
        return lambda values: [_finite(value) for value in _plain(values)]
    if element in ("octet", "byte"):
        return lambda values: [_octet(value) for value in values]
    if element in _INTEGERS or element in _BOOLEANS or _TEXT.fullmatch(element):
        return lambda values: list(_plain(values))
    one = _json_converter(element)
    return lambda values: [one(value) for value in values]


def _plain(values: Any) -> Any:
    # numpy's scalars are no JSON.
    return values.tolist() if hasattr(values, "tolist") else values


def _json_converter(kind: str) -> Converter:
    element = _element(kind)
    if element:
        return _json_array(element)
    if kind in _FLOATS:
        return _finite
    if kind in ("octet", "byte"):
        return _octet
    if kind in _INTEGERS or kind in _BOOLEANS or _TEXT.fullmatch(kind):
        return lambda value: value
    if kind in _TIMES:
        return lambda value: {"sec": value.sec, "nanosec": value.nanosec}
    return to_json


def _cbor_converter(kind: str) -> Converter:  # noqa: PLR0911 - a table of types
    element = _element(kind)
    if element in _BYTES and element:
        return bytes
    if element in ("octet", "byte") and element:
        return lambda values: cbor2.CBORTag(72, bytes(_octet(value) for value in values))
    if element in _TYPED_ARRAYS:
        tag, code = _TYPED_ARRAYS[element]
        return lambda values: cbor2.CBORTag(tag, struct.pack(f"<{len(values)}{code}", *values))
    if element in _BOOLEANS and element:
        return lambda values: [bool(value) for value in values]
    if element:
        if _TEXT.fullmatch(element):
            return list
        one = _cbor_converter(element)
        return lambda values: [one(value) for value in values]
    if kind in ("octet", "byte"):
        return _octet
    if kind in _FLOATS or kind in _INTEGERS or kind in _BOOLEANS or _TEXT.fullmatch(kind):
        return lambda value: value
    return to_cbor


@lru_cache(maxsize=1024)
def _fields(cls: Any, cbor: bool) -> tuple[tuple[str, Converter], ...]:
    make = _cbor_converter if cbor else _json_converter
    return tuple((name, make(kind)) for name, kind in cls.get_fields_and_field_types().items())


def to_json(message: Any) -> dict[str, Any]:
    """A message as the values that json.dumps takes."""
    return {
        name: convert(getattr(message, name)) for name, convert in _fields(type(message), False)
    }


def to_cbor(message: Any) -> dict[str, Any]:
    """A message as the values that cbor2.dumps takes."""
    return {name: convert(getattr(message, name)) for name, convert in _fields(type(message), True)}


# To messages --------------------------------------------------------------------------------------


class _Filler:
    """Fills one message; knows what to name in an error."""

    def __init__(self, root: Any, now: Callable[[], Any]) -> None:
        self.root = _short_name(root)
        self.now = now

    def mismatch(self, kind: str, path: tuple[str, ...], value: object) -> ConversionError:
        if not path:
            return ConversionError(
                f"Expected a JSON object for type {kind} but received a {type(value)}"
            )
        return ConversionError(
            f"{self.root} message requires a {kind} for field {'.'.join(path)}, "
            f"but got a {type(value)}"
        )

    def message(self, values: Any, message: Any, path: tuple[str, ...]) -> Any:
        name = _short_name(type(message))
        if not isinstance(values, dict):
            raise self.mismatch(name, path, values)
        if name == "std_msgs/Header":
            message.stamp = self.now()
        kinds = message.get_fields_and_field_types()
        for field, value in values.items():
            below = (*path, str(field))
            kind = kinds.get(field)
            if kind is None:
                raise ConversionError(
                    f"Message type {self.root} does not have a field {'.'.join(below)}"
                )
            try:
                setattr(message, field, self.value(value, kind, below))
            except ConversionError:
                raise
            except Exception as error:
                # The generated setters check ranges and bounds, each with a text of its own.
                raise ConversionError(f"{'.'.join(below)}: {error}") from None
        return message

    def value(self, value: Any, kind: str, path: tuple[str, ...]) -> Any:
        element = _element(kind)
        if element:
            return self.array(value, element, kind, path)
        if kind in _TIMES:
            return self.time(value, kind, path)
        if "/" in kind:
            return self.message(value, interface(kind, "msg")(), path)
        return self.primitive(value, kind, path)

    def time(self, value: Any, kind: str, path: tuple[str, ...]) -> Any:
        if kind == "builtin_interfaces/Time" and value == "now":
            return self.now()
        if not isinstance(value, dict):
            raise self.mismatch(kind, path, value)
        made = interface(kind, "msg")()
        for field, ros1 in (("sec", "secs"), ("nanosec", "nsecs")):
            given = value.get(field, value.get(ros1, 0))
            setattr(made, field, self.primitive(given, "int64", (*path, field)))
        return made

    def array(self, value: Any, element: str, kind: str, path: tuple[str, ...]) -> Any:
        if element in _BYTES:
            if isinstance(value, str):
                try:
                    return array.array("B", base64.b64decode(value, validate=True))
                except (Base64Error, ValueError) as error:
                    raise ConversionError(f"{'.'.join(path)}: not base64: {error}") from None
            if isinstance(value, bytes):
                return array.array("B", value)
        if not isinstance(value, list):
            raise self.mismatch(kind, path, value)
        return [
            self.value(item, element, (*path[:-1], f"{path[-1]}[{index}]"))
            for index, item in enumerate(value)
        ]

    def primitive(self, value: Any, kind: str, path: tuple[str, ...]) -> Any:
        if kind in _FLOATS:
            if value is None:
                # What JSON.stringify makes of NaN.
                return math.nan
            if isinstance(value, (int, float)):
                return float(value)
        elif kind in _BOOLEANS:
            if isinstance(value, bool):
                return value
        elif kind in ("octet", "byte"):
            if isinstance(value, int) and 0 <= value < 256:
                return bytes([value])
        elif kind in _INTEGERS:
            if type(value) is int:
                return value
        elif isinstance(value, str):
            return value
        raise self.mismatch(kind, path, value)


def fill(values: Any, message: Any, now: Callable[[], Any]) -> Any:
    """Fill ``message`` from JSON's values and return it; ``now`` gives the time message of now.

    Raises:
        ConversionError: a field that is not there, or a value that does not fit.
    """
    return _Filler(type(message), now).message(values, message, ())


def png(text: str) -> str:
    """Text as the bytes of a square RGB picture, as base64 PNG (rosbridge v2, section 3.2.2)."""
    raw = text.encode("utf-8")
    width = max(1, math.isqrt(len(raw) // 3))
    height = -(-len(raw) // (3 * width))
    raw = raw.ljust(3 * width * height, b"\n")
    row = 3 * width
    # PNG (ISO/IEC 15948): 8-bit RGB, each row after its filter byte, none.
    rows = b"".join(b"\0" + raw[at : at + row] for at in range(0, len(raw), row))

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    picture = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return base64.standard_b64encode(picture).decode("ascii")
