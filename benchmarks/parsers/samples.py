# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""What the parsers are timed and fuzzed with: a parser and datagrams for each sensor.

The bytes are made here by hand or by libasterix, not by anything of the drivers.
"""

from __future__ import annotations

import functools
import json
import operator
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from thebox_sensors.droneshield import protocol as droneshield
from thebox_sensors.dspnor import asterix, d2d
from thebox_sensors.mara import protocol as mara
from thebox_sensors.ownship import protocol as ownship
from thebox_sensors.silvus import protocol as silvus
from thebox_sensors.trakka import protocol as trakka

RECEIVED = 1757032605.0
"""When all the datagrams are said to have come, 2025-09-05T00:36:45Z."""


@dataclass(frozen=True)
class Subject:
    """A parser with datagrams that it reads, and how a damaged one is made plausible again."""

    protocol: ModuleType
    datagrams: Sequence[bytes]
    takes_time: bool = False
    """Whether `parse` takes the time of receipt."""
    mend: Callable[[bytes], bytes] | None = None
    """Makes checksums and lengths right again, so that damage reaches what is behind them."""
    no_outcome: str = ""
    """What it means that a datagram gave neither record nor reject; empty when it must not."""


def _droneshield() -> list[bytes]:
    content = {
        "AngleOfArrivalRadians": -1.3349771,
        "AbsoluteAngleOfArrivalRadians": -1.3349771,
        "AngleOfArrivalErrorRadians": 0.2847973,
        "CorrelationKey": "1541424276",
        "SerialNumber": "1541424276",
        "DetectionCount": 0,
        "EpochTimeMilliSeconds": 1757032603000,
        "TimeUTC": "2025-09-05T00:36:43Z.125219+00:00",
        "FrequencyHertz": 5799000000,
        "RSSI": -49,
        "SignalBars": 10,
        "Protocol": "FHSS",
        "Vendor": "DJI AUT XIA",
        "Name": "DJI AUT XIA",
        "Type": "RADIO",
        "IsDrone": True,
        "MacAddress": "Empty_Field",
    }
    detection = {"APIVersion": "9", "Type": "Detection", "Data": content}
    return [
        json.dumps(detection, separators=(",", ":")).encode(),
        json.dumps(detection).encode(),
        repr(detection).encode(),
        repr({"APIVersion": "9", "Type": "Status", "Data": {"Battery": 80}}).encode(),
    ]


def _silvus() -> list[bytes]:
    pose = b"[172.16.0.46]  Lat/Lon : (36.6009,-121.8947), Heading (deg): 101.2\n"
    arrival = (
        b"[172.16.0.46:1749599078856027] -74.69, 2462.00, 20.00, [133.109, 304.816], [130, 302]\n"
    )
    return [arrival, pose + arrival, arrival * 4, arrival.replace(b", [130, 302]", b"")]


def _mara() -> list[bytes]:
    fields: dict[str, Any] = {
        "timestamp": "2025-09-05T00:36:43.250Z",
        "sensor_id": "spotter-1",
        "object_id": 17,
        "track_id": "T4",
        "confidence": 0.87,
        "bearing_deg": 312.5,
        "elevation_deg": 3.25,
        "range_m": 1250.0,
        "lat": 59.91,
        "lon": 10.75,
        "speed_mps": 14.5,
        "heading_deg": 271.0,
        "label": "quadcopter",
        "channel": "THERMAL",
    }
    values = ",".join(map(str, fields.values())).encode()
    return [
        json.dumps(fields).encode(),
        " ".join(f'{key}="{value}"' for key, value in fields.items()).encode(),
        values,
        ",".join(fields).encode() + b"\n" + values,
        b'{"type": "heartbeat", "sensor_id": "spotter-1", "status": "ok"}',
    ]


def _checksum(content: bytes) -> bytes:
    return f"{functools.reduce(operator.xor, content, 0):02X}".encode()


def _sentence(content: bytes) -> bytes:
    return b"$" + content + b"*" + _checksum(content) + b"\r\n"


def _ownship() -> list[bytes]:
    rmc = _sentence(b"GPRMC,003643.50,A,5954.6000,N,01045.0000,E,012.4,084.4,050925,003.1,W,A,V")
    tag = b"\\s:HE0001,n:12*" + _checksum(b"s:HE0001,n:12") + b"\\"
    return [
        _sentence(b"HEHDT,274.07,T"),
        rmc,
        _sentence(b"GPGGA,003643.50,5954.6000,N,01045.0000,E,4,08,0.9,15.4,M,39.9,M,,"),
        _sentence(b"GPVTG,054.7,T,034.4,M,005.5,N,010.2,K,A"),
        _sentence(b"HCHDG,98.3,1.0,E,12.6,W"),
        _sentence(b"TIROT,-60.0,A"),
        b"UdPbC\0" + tag + _sentence(b"HETHS,77.52,A") + rmc,
    ]


def _mend_sentences(datagram: bytes) -> bytes:
    lines = []
    for line in datagram.split(b"\r\n"):
        start, end = line.find(b"$"), line.rfind(b"*")
        if 0 <= start < end:
            line = line[: end + 1] + _checksum(line[start + 1 : end])  # noqa: PLW2901
        lines.append(line)
    return b"\r\n".join(lines)


RADAR_TRACK = (
    bytes.fromhex("f7f10120")  # 010, 000, 020, 140, 040, 042; 200, 202, 161, 170; none; 131
    + bytes.fromhex("0102016002428b09c42ee0006407d000c80bb80014ffe2004d0264")
)


def block(content: bytes) -> bytes:
    """Frame records of category 010 as a block."""
    return b"\x0a" + struct.pack(">H", len(content) + 3) + content


def _dspnor() -> list[bytes]:
    status = bytes.fromhex("d10104 0102 03 02428b 40".replace(" ", ""))
    return [
        block(RADAR_TRACK * 20),
        block(RADAR_TRACK),
        block(RADAR_TRACK * 3) + b"\x22\x00\x0c" + bytes(9) + block(RADAR_TRACK),
        block(status),
    ]


def _mend_block(datagram: bytes) -> bytes:
    if len(datagram) < 3:
        return datagram
    return b"\x0a" + struct.pack(">H", len(datagram) & 0xFFFF) + datagram[3:]


def _d2d() -> list[bytes]:
    status = {
        "GetStatus": {
            "Services": {"AsterixCat010": {"Enabled": True, "IP": "127.0.0.1", "Port": 4010}},
            "Temperatures": {"CPU": 55.5, "PA": 81.0},
            "TxMode": "normal",
        }
    }
    return [_message(json.dumps(status).encode()), _message(b'{"TxMode":"off"}') * 2]


def _message(body: bytes) -> bytes:
    return b"PROTOCOL=D2D\nVERSION=1.0\nTYPE=TEXT\nLENGTH=%d\n\n" % len(body) + body


def _mend_message(datagram: bytes) -> bytes:
    _, separator, body = datagram.rpartition(b"\n\n")
    return _message(body) if separator else datagram


def _frame(message_class: int, code: int, payload: bytes) -> bytes:
    content = struct.pack("<BBH", message_class, code, len(payload)) + payload
    return b"\xa7\x54" + content + _check(content)


def _check(content: bytes) -> bytes:
    sums = [0, 0]
    for byte in content:
        sums[0] = (sums[0] + byte) % 255
        sums[1] = (sums[1] + sums[0]) % 255
    return bytes(sums)


def _trakka() -> list[bytes]:
    azimuth = _frame(0x01, 0x04, struct.pack("<Hf", 0x1809, 0.5))
    mode = _frame(0x01, 0x04, struct.pack("<HI", 0x0800, 0))
    target = _frame(0x82, 0x07, struct.pack("<BHBBffBB", 1, 7, 1, 80, 0.125, -0.25, 1, 90))
    return [azimuth, target, azimuth + mode + target * 3, _frame(0x09, 0x09, b"abc")]


def _mend_frame(datagram: bytes) -> bytes:
    if len(datagram) < 8:
        return datagram
    content = datagram[2:-2]
    content = content[:2] + struct.pack("<H", len(content) - 4) + content[4:]
    return b"\xa7\x54" + content + _check(content)


SUBJECTS: dict[str, Subject] = {
    "droneshield": Subject(droneshield, _droneshield()),
    "silvus": Subject(silvus, _silvus(), takes_time=True),
    "mara": Subject(mara, _mara(), no_outcome="only a line that names the CSV columns"),
    "ownship": Subject(ownship, _ownship(), takes_time=True, mend=_mend_sentences),
    "dspnor": Subject(asterix, _dspnor(), takes_time=True, mend=_mend_block),
    "d2d": Subject(d2d, _d2d(), mend=_mend_message, no_outcome="only line ends and NULs"),
    "trakka": Subject(trakka, _trakka(), mend=_mend_frame),
}


def parse_call(subject: Subject) -> Callable[[bytes], Any]:
    """Return what reads one datagram with a fresh parser of the subject."""
    parse: Callable[..., Any] = subject.protocol.Parser().parse
    if subject.takes_time:
        return lambda datagram: parse(datagram, RECEIVED)
    return parse


_TOKENS = (
    b"NaN",
    b"-Infinity",
    b"nan",
    b"1e400",
    b"-1e-400",
    b"9" * 400,
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b'"\\ud800"',
    b"\\U00110000",
    b"true",
    b"null",
    b"None",
    b"'",
    b'"',
    b"\\",
    b"[" * 70,
    b'{"a":' * 70,
    b"\r\n",
    b",",
    b"=",
    b"*",
    b"$",
    b"\xa7\x54",
    b"\x0a\x00\x04",
    b"PROTOCOL=D2D\n",
    "٣".encode(),
    "\ufeff".encode(),
)


def mutated(rng: random.Random, subject: Subject) -> bytes:
    """Make a damaged datagram: flipped, cut, inserted, repeated, spliced, sometimes mended."""
    datagram = bytearray(rng.choice(subject.datagrams))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(datagram) + 1)
        kind = rng.randrange(8)
        if kind == 0 and datagram:
            datagram[at - 1] ^= 1 << rng.randrange(8)
        elif kind == 1 and datagram:
            datagram[at - 1] = rng.randrange(256)
        elif kind == 2:
            del datagram[at : at + rng.randrange(1, 12)]
        elif kind == 3:
            datagram[at:at] = rng.choice(_TOKENS)
        elif kind == 4:
            datagram[at : at + rng.randrange(12)] = rng.choice(_TOKENS)
        elif kind == 5:
            datagram[at:at] = datagram[at : at + rng.randrange(1, 60)] * rng.randrange(1, 4)
        elif kind == 6:
            other = rng.choice(subject.datagrams)
            datagram[at:] = other[rng.randrange(len(other)) :]
        else:
            del datagram[at:]
    out = bytes(datagram)
    if subject.mend is not None and rng.random() < 0.6:
        out = subject.mend(out)
    return out
