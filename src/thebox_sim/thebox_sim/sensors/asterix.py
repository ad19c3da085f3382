# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""EUROCONTROL ASTERIX category 010 edition 1.1, encoding only.

From SUR.ET1.ST05.2000-STD-07-01 (Transmission of Monosensor Surface Movement Data). Values are
given in SI units and radians and rounded to the item's step; a value that its item cannot hold is
refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

CATEGORY = 10
# Bytes that fit one unfragmented datagram on Ethernet.
DATAGRAM_LIMIT = 1400
NAUTICAL_MILE = 1852.0

MESSAGE_TARGET_REPORT = 1
MESSAGE_START_OF_UPDATE = 2
MESSAGE_STATUS = 3

# Field reference numbers of the user application profile.
_FRN = {
    "010": 1,
    "000": 2,
    "020": 3,
    "140": 4,
    "041": 5,
    "040": 6,
    "042": 7,
    "200": 8,
    "202": 9,
    "161": 10,
    "170": 11,
    "245": 14,
    "550": 20,
    "310": 21,
    "500": 22,
    "280": 23,
    "131": 24,
    "210": 25,
}


@dataclass
class Record:
    """One CAT010 record; an item that is None is left out. Metres, m/s, radians, seconds."""

    sac: int
    sic: int
    message_type: int = MESSAGE_TARGET_REPORT
    # Seconds since midnight UTC.
    time_of_day: float | None = None
    # Primary radar (TYP 3) and the other bits of the first octet of I010/020.
    descriptor: bytes | None = None
    # Degrees.
    wgs84: tuple[float, float] | None = None
    # Slant range and azimuth from true north.
    polar: tuple[float, float] | None = None
    # East and north.
    cartesian: tuple[float, float] | None = None
    # Ground speed and track angle.
    polar_velocity: tuple[float, float] | None = None
    cartesian_velocity: tuple[float, float] | None = None
    track_number: int | None = None
    track_status: bytes | None = None
    # Standard deviations east and north, and covariance in square metres.
    deviation: tuple[float, float, float] | None = None
    # Differences of range and azimuth of the plots in a target's extent.
    presence: list[tuple[float, float]] = field(default_factory=list)
    amplitude: int | None = None
    acceleration: tuple[float, float] | None = None
    system_status: int | None = None


def encode_record(record: Record) -> bytes:
    """Return the record's field specification and items.

    :raises ValueError: for a value that its item cannot hold.
    """
    items = dict(_items(record))
    return _fspec(items) + b"".join(items[key] for key in sorted(items, key=_FRN.__getitem__))


def encode_blocks(records: Sequence[Record], limit: int = DATAGRAM_LIMIT) -> list[bytes]:
    """Return data blocks, each within ``limit`` bytes and holding at least one record."""
    blocks: list[bytes] = []
    body = b""
    for record in records:
        encoded = encode_record(record)
        if body and 3 + len(body) + len(encoded) > limit:
            blocks.append(_block(body))
            body = b""
        body += encoded
    if body:
        blocks.append(_block(body))
    return blocks


def _block(body: bytes) -> bytes:
    return bytes([CATEGORY]) + (3 + len(body)).to_bytes(2, "big") + body


def _fspec(items: dict[str, bytes]) -> bytes:
    numbers = [_FRN[key] for key in items]
    octets = bytearray((max(numbers) - 1) // 7 + 1)
    for number in numbers:
        octets[(number - 1) // 7] |= 0x80 >> ((number - 1) % 7)
    for index in range(len(octets) - 1):
        octets[index] |= 1
    return bytes(octets)


def _items(r: Record) -> list[tuple[str, bytes]]:
    items = [
        ("010", bytes([r.sac, r.sic])),
        ("000", bytes([r.message_type])),
    ]
    if r.descriptor is not None:
        items.append(("020", r.descriptor))
    if r.time_of_day is not None:
        # The day's last 1/256 s rounds to midnight, which is 0 of the next day.
        ticks = round(r.time_of_day * 128.0) % (86400 * 128)
        items.append(("140", ticks.to_bytes(3, "big")))
    items += _position_items(r)
    items += _motion_items(r)
    if r.track_number is not None:
        items.append(("161", _unsigned("161", r.track_number, 1.0, 2, 4095)))
    if r.track_status is not None:
        items.append(("170", r.track_status))
    if r.deviation is not None:
        east, north, covariance = r.deviation
        items.append(
            (
                "500",
                _unsigned("500 east", min(east, 63.75), 0.25, 1)
                + _unsigned("500 north", min(north, 63.75), 0.25, 1)
                + _signed("500 covariance", covariance, 0.25, 2),
            )
        )
    if r.presence:
        body = b"".join(
            _signed("280 range", d_range, 1.0, 1)
            + _signed("280 azimuth", math.degrees(d_azimuth), 0.15, 1)
            for d_range, d_azimuth in r.presence
        )
        items.append(("280", bytes([len(r.presence)]) + body))
    if r.amplitude is not None:
        items.append(("131", _unsigned("131", r.amplitude, 1.0, 1)))
    if r.system_status is not None:
        items.append(("550", bytes([r.system_status])))
    return items


def _position_items(r: Record) -> list[tuple[str, bytes]]:
    items = []
    if r.wgs84 is not None:
        step = 180.0 / 2**31
        latitude, longitude = r.wgs84
        items.append(
            ("041", _signed("041", latitude, step, 4) + _signed("041", longitude, step, 4))
        )
    if r.polar is not None:
        distance, azimuth = r.polar
        items.append(("040", _unsigned("040 range", distance, 1.0, 2) + _azimuth(azimuth)))
    if r.cartesian is not None:
        items.append(("042", b"".join(_signed("042", v, 1.0, 2) for v in r.cartesian)))
    return items


def _motion_items(r: Record) -> list[tuple[str, bytes]]:
    items = []
    if r.polar_velocity is not None:
        speed, angle = r.polar_velocity
        step = NAUTICAL_MILE * 2.0**-14
        items.append(("200", _unsigned("200 speed", speed, step, 2) + _azimuth(angle)))
    if r.cartesian_velocity is not None:
        items.append(("202", b"".join(_signed("202", v, 0.25, 2) for v in r.cartesian_velocity)))
    if r.acceleration is not None:
        items.append(("210", b"".join(_signed("210", v, 0.25, 1) for v in r.acceleration)))
    return items


def _azimuth(angle: float) -> bytes:
    return (round(angle / (2.0 * math.pi) * 65536.0) % 65536).to_bytes(2, "big")


def _unsigned(item: str, value: float, step: float, size: int, highest: int = 0) -> bytes:
    number = round(value / step)
    top = highest or 256**size - 1
    if not 0 <= number <= top:
        raise ValueError(f"I010/{item} holds 0 to {top * step:g}, not {value:g}")
    return number.to_bytes(size, "big")


def _signed(item: str, value: float, step: float, size: int) -> bytes:
    number = round(value / step)
    top = 2 ** (8 * size - 1)
    if not -top <= number < top:
        raise ValueError(f"I010/{item} holds up to {top * step:g} either way, not {value:g}")
    return number.to_bytes(size, "big", signed=True)
