# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""ASTERIX category 010 edition 1.1, the radar's plots and tracks (UDP 4010).

EUROCONTROL, Standard Document for Surveillance Data Exchange, Part 7: Category 010,
Transmission of Monosensor Surface Movement Data, edition 1.1. A datagram holds blocks
(category, length, records); a record begins with its field specification (FSPEC), one bit for
each item of the user application profile, and every item's length must be known to find the
next record.

Two of the standard's steps (LSB) are given wrongly by some public specification files:
I010/202 and I010/210 are in 0.25 m/s and 0.25 m/s2 (ranges of 8192 m/s and 31 m/s2), not in
1/16.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Any

from thebox_sensors.dspnor.reports import (
    Descriptor,
    StatusMessage,
    SystemStatus,
    TargetReport,
    TrackStatus,
    UpdateCycle,
)
from thebox_sensors.protocol_base import TWO_PI, Parsed, Reject

__all__ = [
    "CATEGORY",
    "DEFAULT_PORT",
    "REASONS",
    "RECORDS_LIMIT",
    "Descriptor",
    "Parser",
    "Record",
    "StatusMessage",
    "SystemStatus",
    "TargetReport",
    "TrackStatus",
    "UpdateCycle",
]

DEFAULT_PORT = 4010
CATEGORY = 10
RECORDS_LIMIT = 4096
"""Most records that are read from one datagram."""

REASONS = {
    "empty": "a datagram or block without content",
    "bad_block": "a block whose length is less than its header or more than what is there; "
    "the rest of the datagram is lost",
    "other_category": "a block of another category (034, 048, 240…); skipped, not an error",
    "bad_fspec": "a field specification without end, without items or with reserved ones; "
    "the rest of the block is lost",
    "truncated": "a record cut off by the end of its block",
    "bad_item": "an item longer than the standard allows, or of no length; the rest of the "
    "block is lost",
    "too_many_records": f"more than {RECORDS_LIMIT} records; those after are left out",
    "no_source": "a record without data source identifier",
    "unknown_type": "a record of an unknown message type",
    "bad_time": "a time of day beyond 24 hours",
    "bad_position": "a latitude beyond the poles",
}

_DAY = 86_400.0
_ANGLE = TWO_PI / 65_536.0
_GEODETIC = math.pi / 2**31
_SPEED = 1852.0 / 2**14
"""NM/s in steps of 2^-14, in m/s."""
_FOOT = 0.3048
_POLE = 2**30
"""A latitude of 90 degrees in steps of 180 / 2^31 degrees."""


Record = TargetReport | UpdateCycle | StatusMessage

Fields = dict[str, Any]
_U8_PAIR = Struct(">BB")
_U16 = Struct(">H")
_U16_PAIR = Struct(">HH")
_I16_PAIR = Struct(">hh")
_I16 = Struct(">h")
_I32_PAIR = Struct(">ii")
_I8_PAIR = Struct(">bb")
_DEVIATION = Struct(">BBh")


def _source(fields: Fields, content: bytes, at: int) -> int:
    fields["sac"] = content[at]
    fields["sic"] = content[at + 1]
    return at + 2


def _message_type(fields: Fields, content: bytes, at: int) -> int:
    fields["type"] = content[at]
    return at + 1


def _extent(content: bytes, at: int, limit: int) -> int:
    """Return the end of an item that goes on while the last bit of its octets is set."""
    end = at + 1
    while content[end - 1] & 1:
        end += 1
        if end - at > limit:
            raise Reject("bad_item", f"an item extended beyond {limit} octets")
    return end


@lru_cache(maxsize=4096)
def _descriptor_of(octets: bytes) -> Descriptor:
    first, second, third = octets[0], *(octets[1:] + b"\0\0")[:2]
    return Descriptor(
        technology=first >> 5,
        differential=bool(first & 16),
        chain=1 + (first >> 3 & 1),
        ground_bit=bool(first & 4),
        corrupted=bool(first & 2),
        simulated=bool(second & 128),
        test_target=bool(second & 64),
        field_monitor=bool(second & 32),
        loop=second >> 3 & 3,
        target_type=second >> 1 & 3,
        special_position=bool(third & 128),
    )


def _descriptor(fields: Fields, content: bytes, at: int) -> int:
    end = _extent(content, at, 3)
    fields["descriptor"] = _descriptor_of(content[at:end])
    return end


@lru_cache(maxsize=4096)
def _track_status_of(octets: bytes) -> TrackStatus:
    first, second, third = octets[0], *(octets[1:] + b"\0\0")[:2]
    return TrackStatus(
        tentative=bool(first & 128),
        last_report=bool(first & 64),
        coasting=first >> 4 & 3,
        manoeuvre=bool(first & 8),
        projected=bool(first & 4),
        smoothed=bool(first & 2),
        movement=second >> 6,
        doubt=second >> 3 & 7,
        merge_split=second >> 1 & 3,
        ghost=bool(third & 128),
    )


def _track_status(fields: Fields, content: bytes, at: int) -> int:
    end = _extent(content, at, 3)
    fields["status"] = _track_status_of(content[at:end])
    return end


def _time_of_day(fields: Fields, content: bytes, at: int) -> int:
    fields["time_of_day"] = (content[at] << 16 | content[at + 1] << 8 | content[at + 2]) / 128.0
    return at + 3


def _geodetic(fields: Fields, content: bytes, at: int) -> int:
    latitude, longitude = _I32_PAIR.unpack_from(content, at)
    fields["latitude"] = latitude * _GEODETIC
    fields["longitude"] = longitude * _GEODETIC
    if not -_POLE <= latitude <= _POLE:
        fields["fault"] = Reject("bad_position", "a latitude beyond the poles")
    return at + 8


def _polar(fields: Fields, content: bytes, at: int) -> int:
    distance, azimuth = _U16_PAIR.unpack_from(content, at)
    fields["range"] = float(distance)
    fields["azimuth"] = azimuth * _ANGLE
    return at + 4


def _cartesian(fields: Fields, content: bytes, at: int) -> int:
    x, y = _I16_PAIR.unpack_from(content, at)
    fields["x"] = float(x)
    fields["y"] = float(y)
    return at + 4


def _polar_velocity(fields: Fields, content: bytes, at: int) -> int:
    speed, course = _U16_PAIR.unpack_from(content, at)
    fields["speed"] = speed * _SPEED
    fields["course"] = course * _ANGLE
    return at + 4


def _cartesian_velocity(fields: Fields, content: bytes, at: int) -> int:
    x, y = _I16_PAIR.unpack_from(content, at)
    fields["velocity_x"] = x * 0.25
    fields["velocity_y"] = y * 0.25
    return at + 4


def _track_number(fields: Fields, content: bytes, at: int) -> int:
    fields["track_number"] = (content[at] & 15) << 8 | content[at + 1]
    return at + 2


def _mode_3a(fields: Fields, content: bytes, at: int) -> int:
    (code,) = _U16.unpack_from(content, at)
    fields["mode_3a"] = f"{code & 0xFFF:04o}"
    return at + 2


def _address(fields: Fields, content: bytes, at: int) -> int:
    fields["address"] = content[at] << 16 | content[at + 1] << 8 | content[at + 2]
    return at + 3


_ICAO = " ABCDEFGHIJKLMNOPQRSTUVWXYZ     " + " " * 16 + "0123456789      "


@lru_cache(maxsize=4096)
def _identification_of(octets: bytes) -> str:
    bits = int.from_bytes(octets, "big")
    return "".join(_ICAO[bits >> shift & 63] for shift in range(42, -6, -6)).rstrip()


def _identification(fields: Fields, content: bytes, at: int) -> int:
    fields["identification"] = _identification_of(content[at + 1 : at + 7])
    return at + 7


def _mode_s(fields: Fields, content: bytes, at: int) -> int:
    # Comm-B messages say nothing about where a target is: stepped over.
    return at + 1 + 8 * content[at]


def _vehicle_fleet(fields: Fields, content: bytes, at: int) -> int:
    fields["vehicle_fleet"] = content[at]
    return at + 1


def _flight_level(fields: Fields, content: bytes, at: int) -> int:
    (raw,) = _U16.unpack_from(content, at)
    level = raw & 0x3FFF
    fields["flight_level"] = (level - 0x4000 if level & 0x2000 else level) * 25.0 * _FOOT
    return at + 2


def _height(fields: Fields, content: bytes, at: int) -> int:
    fields["height"] = _I16.unpack_from(content, at)[0] * 6.25 * _FOOT
    return at + 2


def _size(fields: Fields, content: bytes, at: int) -> int:
    end = _extent(content, at, 3)
    fields["length"] = float(content[at] >> 1)
    if end > at + 1:
        fields["orientation"] = (content[at + 1] >> 1) * TWO_PI / 128.0
    if end > at + 2:
        fields["width"] = float(content[at + 2] >> 1)
    return end


@lru_cache(maxsize=256)
def _system_status_of(octet: int) -> SystemStatus:
    return SystemStatus(
        operation=octet >> 6,
        overload=bool(octet & 32),
        time_source_invalid=bool(octet & 16),
        diversity_degraded=bool(octet & 8),
        test_target_failure=bool(octet & 4),
    )


def _system_status(fields: Fields, content: bytes, at: int) -> int:
    fields["system_status"] = _system_status_of(content[at])
    return at + 1


def _preprogrammed(fields: Fields, content: bytes, at: int) -> int:
    fields["in_trouble"] = bool(content[at] & 128)
    fields["preprogrammed"] = content[at] & 127
    return at + 1


def _deviation(fields: Fields, content: bytes, at: int) -> int:
    x, y, covariance = _DEVIATION.unpack_from(content, at)
    fields["sigma_x"] = x * 0.25
    fields["sigma_y"] = y * 0.25
    fields["covariance_xy"] = covariance * 0.25
    return at + 4


def _presences(fields: Fields, content: bytes, at: int) -> int:
    end = at + 1 + 2 * content[at]
    step = math.radians(0.15)
    fields["presences"] = tuple(
        (float(across), along * step)
        for across, along in _I8_PAIR.iter_unpack(content[at + 1 : end])
    )
    return end


def _amplitude(fields: Fields, content: bytes, at: int) -> int:
    fields["amplitude"] = float(content[at])
    return at + 1


def _acceleration(fields: Fields, content: bytes, at: int) -> int:
    x, y = _I8_PAIR.unpack_from(content, at)
    fields["acceleration_x"] = x * 0.25
    fields["acceleration_y"] = y * 0.25
    return at + 2


def _explicit(fields: Fields, content: bytes, at: int) -> int:
    # SP and RE: the first octet counts itself.
    length = content[at]
    if length == 0:
        raise Reject("bad_item", "a special purpose or expansion field of no length")
    return at + length


Reader = Callable[[Fields, bytes, int], int]
_PROFILE: tuple[Reader | None, ...] = (
    _source,
    _message_type,
    _descriptor,
    _time_of_day,
    _geodetic,
    _polar,
    _cartesian,
    _polar_velocity,
    _cartesian_velocity,
    _track_number,
    _track_status,
    _mode_3a,
    _address,
    _identification,
    _mode_s,
    _vehicle_fleet,
    _flight_level,
    _height,
    _size,
    _system_status,
    _preprogrammed,
    _deviation,
    _presences,
    _amplitude,
    _acceleration,
    None,
    _explicit,
    _explicit,
)
"""The user application profile: what reads each item, in the order of the FSPEC bits."""


@lru_cache(maxsize=4096)
def _readers(fspec: bytes) -> tuple[Reader, ...]:
    readers = []
    for place, octet in enumerate(fspec):
        for bit in range(7):
            if octet & (128 >> bit):
                reader = _PROFILE[7 * place + bit] if 7 * place + bit < len(_PROFILE) else None
                if reader is None:
                    raise Reject("bad_fspec", f"reserved item {7 * place + bit + 1}")
                readers.append(reader)
    if not readers:
        raise Reject("bad_fspec", "a record without items")
    return tuple(readers)


class Parser:
    """Reads datagrams of ASTERIX blocks. Keeps no state."""

    def parse(self, datagram: bytes, received: float = math.nan) -> Parsed[Record]:
        """Read one datagram; never raises.

        Each record gives a record or a reject; a fault of structure gives one reject for all
        that it makes unreadable; each block of another category gives one reject.

        Args:
            datagram: the bytes.
            received: when they came, seconds since the epoch: it dates the radar's time of
                day, right over midnight too. Without it `time` is NaN.
        """
        parsed: Parsed[Record] = Parsed()
        if not datagram:
            parsed.rejects.append(Reject("empty", "a datagram without content"))
        at = 0
        while at < len(datagram):
            length = int.from_bytes(datagram[at + 1 : at + 3], "big")
            if length < 3 or at + length > len(datagram):
                detail = f"a block of length {length} with {len(datagram) - at} octets left"
                parsed.rejects.append(Reject("bad_block", detail))
                break
            if datagram[at] == CATEGORY:
                self._block(datagram[at + 3 : at + length], received, parsed)
            else:
                detail = f"category {datagram[at]:03d}, {length} octets"
                parsed.rejects.append(Reject("other_category", detail))
            at += length
        return parsed

    def reset(self) -> None:
        """Forget the state of a connection; there is none."""

    def _block(self, content: bytes, received: float, parsed: Parsed[Record]) -> None:
        if not content:
            parsed.rejects.append(Reject("empty", "a block without records"))
        at = 0
        end = len(content)
        try:
            while at < end:
                if len(parsed.records) + len(parsed.rejects) >= RECORDS_LIMIT:
                    raise Reject("too_many_records", f"more than {RECORDS_LIMIT} records")
                start = at
                at += 1
                while content[at - 1] & 1:
                    at += 1
                    if at - start > 4:
                        raise Reject("bad_fspec", "a field specification of more than 4 octets")
                fields: Fields = {}
                for reader in _readers(content[start:at]):
                    at = reader(fields, content, at)
                if at > end:
                    raise Reject("truncated", "a record cut off by the end of its block")
                outcome = _record(fields, received)
                if isinstance(outcome, Reject):
                    parsed.rejects.append(outcome)
                else:
                    parsed.records.append(outcome)
        except Reject as reject:
            parsed.rejects.append(reject.bare())
        except (IndexError, struct.error):
            # Reading past the end is how a cut shows: checked once, not at each item.
            parsed.rejects.append(Reject("truncated", "a record cut off by the end of its block"))


def _record(fields: Fields, received: float) -> Record | Reject:
    if "sac" not in fields:
        fields["fault"] = Reject("no_source", "a record without I010/010")
    if "fault" in fields:
        fault: Reject = fields["fault"]
        return fault
    time_of_day = fields.get("time_of_day", math.nan)
    if time_of_day >= _DAY:
        return Reject("bad_time", f"a time of day of {time_of_day:.3f} s")
    time = _dated(time_of_day, received)
    message_type = fields.pop("type", 1)
    if message_type == 1:
        return TargetReport(time=time, **fields)
    if not 2 <= message_type <= 4:
        return Reject("unknown_type", f"message type {message_type}")
    sac, sic = fields["sac"], fields["sic"]
    if message_type == 2:
        return UpdateCycle(sac, sic, time, time_of_day)
    status = fields.get("system_status")
    return StatusMessage(sac, sic, time, time_of_day, status, message_type == 4)


def _dated(time_of_day: float, received: float) -> float:
    if math.isnan(time_of_day) or not math.isfinite(received):
        return math.nan
    time = received - received % _DAY + time_of_day
    # The day that brings it closest to the receiver's clock: right over midnight.
    return time + _DAY * round((received - time) / _DAY)
