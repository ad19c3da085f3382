# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""D2D: framing under any cutting, what safe mode refuses, the judgement of a status."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebox_sensors.dspnor import d2d
from thebox_sensors.protocol_base import Reject


def framed(content: Any, end: str = "\n", more: str = "", after: str = "") -> bytes:
    body = json.dumps(content).encode()
    lines = ["PROTOCOL=D2D", "VERSION=1.0", "TYPE=TEXT", f"LENGTH={len(body)}"]
    return (end.join(lines) + more + end + end).encode() + body + after.encode()


def pick(raw: bytes) -> Any:
    """Read a request as a radar would: header lines, empty line, that many bytes."""
    header, _, body = raw.partition(b"\r\n\r\n")
    fields = dict(line.split("=", 1) for line in header.decode().split("\r\n"))
    assert fields == {
        "PROTOCOL": "D2D",
        "VERSION": "1.0",
        "TYPE": "TEXT",
        "LENGTH": str(len(body)),
    }
    return json.loads(body)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("after", ["", "\n", "\r\n", "\0"])
def test_messages_are_framed(end: str, after: str) -> None:
    content = {"TxMode": "off", "Ünit": [1, 2.5, None, True]}
    parser = d2d.Parser()
    parsed = parser.feed(framed(content, end, after=after) * 3)
    assert parsed.rejects == []
    assert [message.content for message in parsed.records] == [content] * 3
    assert parsed.records[0].version == "1.0"
    assert parser.pending == 0
    assert parser.parse(d2d.encode(content)).records[0].content == content


@given(
    st.lists(
        st.sampled_from(
            [
                framed({"GetStatus": {"a": "x" * 50}}),
                framed([1]),
                framed({"b": 1}, "\r\n", "\r\nEXTRA=1", "\n"),
                b"garbage\n",
                b'PROTOCOL=D2D\nLENGTH=5\n\n{"a":',
                b"PROTOCOL=D2X\nLENGTH=2\n\n{}",
                b"PROTO",
            ]
        ),
        max_size=6,
    ),
    st.lists(st.integers(1, 30), min_size=1),
)
def test_framing_does_not_depend_on_the_cuts(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)
    whole = d2d.Parser().feed(stream)
    parser = d2d.Parser()
    records: list[Any] = []
    rejects: list[str] = []
    position = turn = 0
    while position < len(stream):
        step = cuts[turn % len(cuts)]
        parsed = parser.feed(stream[position : position + step])
        records += parsed.records
        rejects += [reject.reason for reject in parsed.rejects]
        position += step
        turn += 1
    assert records == whole.records
    # Garbage that comes in pieces is told piece by piece.
    assert [reason for reason in rejects if reason != "garbage"] == [
        reject.reason for reject in whole.rejects if reject.reason != "garbage"
    ]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"hello" + framed({"a": 1}), "garbage"),
        (b"PROTOCOL=D2X\nLENGTH=2\n\n{}" + framed({"a": 1}), "bad_header"),
        (b"PROTOCOL=D2D\nLENGTH=-2\n\n{}" + framed({"a": 1}), "bad_header"),
        (b"PROTOCOL=D2D\nLENGTH=\xb2\n\n{}" + framed({"a": 1}), "bad_header"),
        (b"PROTOCOL=D2D\nLENGTH=99999999999\n\n{}" + framed({"a": 1}), "bad_header"),
        (b"PROTOCOL=D2D\n\n{}" + framed({"a": 1}), "bad_header"),
        (b"PROTOCOL=D2D\nnonsense\nLENGTH=2\n\n{}" + framed({"a": 1}), "bad_header"),
        (b"PROTOCOL=D2D\n" + b"X=y\n" * 500 + b"\n" + framed({"a": 1}), "bad_header"),
        (b"PROTOCOL=D2D\nTYPE=BINARY\nLENGTH=2\n\n{}" + framed({"a": 1}), "unknown_type"),
        (b"PROTOCOL=D2D\nLENGTH=9999999\n\n{}" + framed({"a": 1}), "too_long"),
        (b"PROTOCOL=D2D\nLENGTH=2\n\n\xff\xff" + framed({"a": 1}), "not_text"),
        (b"PROTOCOL=D2D\nLENGTH=2\n\n[]" + framed({"a": 1}), "not_json"),
        (b'PROTOCOL=D2D\nLENGTH=9\n\n{"a":NaN}' + framed({"a": 1}), "not_json"),
        (b"PROTOCOL=D2D\nLENGTH=13\n\n" + b'{"a":1,"a":2}' + framed({"a": 1}), "duplicate_key"),
        (b"PROTOCOL=D2D\nLENGTH=90000\n\n" + b"[" * 90_000 + framed({"a": 1}), "too_deep"),
        # A LENGTH that is too long swallows the next header: it is found again.
        (b'PROTOCOL=D2D\nLENGTH=40\n\n{"a": 0}' + framed({"a": 1}), "not_json"),
    ],
)
def test_after_a_bad_message_the_next_one_is_read(raw: bytes, expected: str) -> None:
    parsed = d2d.Parser().feed(raw)
    assert [message.content for message in parsed.records] == [{"a": 1}]
    assert expected in [reject.reason for reject in parsed.rejects]
    for reject in parsed.rejects:
        assert reject.reason in d2d.REASONS


def test_memory_is_bounded() -> None:
    parser = d2d.Parser()
    for _ in range(300):
        parser.feed(b"PROTOCOL=D2D\nLENGTH=1000000\n\n" + b"x" * 10_000)
        assert parser.pending <= d2d.CONTENT_LIMIT + d2d.HEADER_LIMIT + 10_100
    parser.reset()
    for _ in range(20):
        parser.feed(b"PROTOCOL=" * 1000)
        assert parser.pending <= d2d.HEADER_LIMIT + 9_000
    parser.reset()
    assert parser.pending == 0


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes_are_read_without_an_exception(chunks: list[bytes]) -> None:
    parser = d2d.Parser()
    for chunk in chunks:
        for reject in parser.feed(chunk).rejects:
            assert reject.reason in d2d.REASONS
            assert reject.detail.isprintable()
        assert parser.pending <= 1200


CHANGES: list[tuple[str, tuple[Any, ...], Any]] = [
    ("init_system", (), {"InitSystem": True}),
    ("tx_mode", ("normal",), {"TxMode": "normal"}),
    ("antenna_operation", ("sector",), {"AntennaOperation": "sector"}),
    ("antenna_rpm", (2 * math.pi * 24 / 60,), {"AntennaRPM": 24.0}),
    (
        "antenna_sector",
        (d2d.Sector(math.radians(350), math.radians(20)),),
        {"AntennaSector": {"StartAzimuth": 350.0, "EndAzimuth": 20.0}},
    ),
    (
        "blanking_sectors",
        ([d2d.Sector(math.radians(-10), math.radians(400))],),
        {"BlankingSectors": [{"StartAzimuth": 350.0, "EndAzimuth": 40.0}]},
    ),
    ("blanking_sectors", ([],), {"BlankingSectors": []}),
    (
        "asterix_service",
        ("010", True, "127.0.0.1", 4010),
        {"AsterixCat010": {"Enabled": True, "IP": "127.0.0.1", "Port": 4010, "Protocol": "UDP"}},
    ),
    (
        "asterix_service",
        ("240", False),
        {"AsterixCat240": {"Enabled": False, "IP": "", "Port": 0, "Protocol": "UDP"}},
    ),
    (
        "external_ins",
        (math.radians(-10), math.radians(59.91), math.radians(10.75), math.radians(20), 5.25),
        {
            "ExternalINS": {
                "TrueBearing": 350.0,
                "Latitude": 59.91,
                "Longitude": 10.75,
                "CourseOverGround": 20.0,
                "SpeedOverGround": 5.25,
            }
        },
    ),
    ("reset", ("SN7",), {"Reset": True, "SerialNumber": "SN7"}),
    ("reboot", ("SN7",), {"Reboot": True, "SerialNumber": "SN7"}),
]


@pytest.mark.parametrize(("method", "arguments", "content"), CHANGES)
def test_requests_that_change_something(method: str, arguments: Any, content: Any) -> None:
    free = d2d.Commands(safe_mode=False, serial_number="SN7")
    assert pick(getattr(free, method)(*arguments)) == content
    with pytest.raises(d2d.Refused, match="safe_mode"):
        getattr(d2d.Commands(serial_number="SN7"), method)(*arguments)


@pytest.mark.parametrize("safe_mode", [True, False])
def test_requests_that_read_always_go(safe_mode: bool) -> None:
    commands = d2d.Commands(safe_mode)
    assert pick(commands.get_status()) == {"GetStatus": True}
    assert pick(commands.get_services()) == {"GetServices": True}
    assert pick(commands.get_system_info()) == {"GetSystemInfo": True}


def test_no_request_is_forgotten_by_the_tests() -> None:
    tested = {method for method, _, _ in CHANGES} | {
        "get_status",
        "get_services",
        "get_system_info",
    }
    assert tested == {name for name in vars(d2d.Commands) if not name.startswith("_")}


def test_reset_and_reboot_need_the_serial_number() -> None:
    for name in ("reset", "reboot"):
        with pytest.raises(d2d.Refused, match="serial_number is empty"):
            getattr(d2d.Commands(safe_mode=False), name)("")
        with pytest.raises(d2d.Refused, match="SN8"):
            getattr(d2d.Commands(safe_mode=False, serial_number="SN7"), name)("SN8")


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("tx_mode", ("loud",)),
        ("antenna_operation", ("spin",)),
        ("antenna_rpm", (0.0,)),
        ("antenna_rpm", (math.nan,)),
        ("antenna_rpm", (100.0,)),
        ("antenna_sector", (d2d.Sector(math.nan, 1.0),)),
        ("blanking_sectors", ([d2d.Sector(0.0, math.inf)],)),
        ("asterix_service", ("034", True, "127.0.0.1", 4010)),
        ("asterix_service", ("010", True, "example", 4010)),
        ("asterix_service", ("010", True, "127.0.0.1", 0)),
        ("asterix_service", ("010", True, "127.0.0.1", 4010, "SCTP")),
        ("external_ins", (math.nan, 0, 0, 0, 0)),
        ("external_ins", (0, 2.0, 0, 0, 0)),
    ],
)
def test_values_out_of_range_are_refused(method: str, arguments: Any) -> None:
    with pytest.raises(ValueError):
        getattr(d2d.Commands(safe_mode=False), method)(*arguments)


def test_requests_are_spaced() -> None:
    clock = d2d.RequestClock()
    assert clock.take(100.0)
    assert not clock.take(100.5)
    assert clock.wait(100.25) == pytest.approx(0.75)
    assert clock.take(101.0)
    # The clock is set back by an hour: at most one interval is lost.
    assert clock.wait(-3500.0) == pytest.approx(1.0)
    assert clock.take(-3499.0)


@given(st.lists(st.floats(0, 20), max_size=100))
def test_no_two_requests_within_a_second(times: list[float]) -> None:
    clock = d2d.RequestClock()
    sent = [now for now in sorted(times) if clock.take(now)]
    for before, after in itertools.pairwise(sent):
        assert after - before >= 1.0 - 1e-9


STATUS = {
    "Services": {
        "AsterixCat010": {"Enabled": True, "IP": "10.0.0.2", "Port": 4010},
        "AsterixCat240": {"Enabled": False},
        "Odd": 3,
    },
    "dspnor.dronnur_tracker": [{"LastUpdate": "x"}],
    "dspnor.dronnur_extractor": [],
    "Temperatures": {"CPU": 71.5, "PA": 80, "FPGA": 90.0, "Broken": "hot", "Also": True},
    "TxMode": "normal",
    "Errors": ["fan", {"code": 3}],
    "Uptime": 123,
}


@pytest.mark.parametrize("wrap", [False, True])
def test_a_status_is_judged(wrap: bool) -> None:
    found = d2d.findings({"GetStatus": STATUS} if wrap else STATUS)
    assert {finding.name: (finding.level, finding.value) for finding in found} == {
        "service AsterixCat010": ("ok", "on to 10.0.0.2:4010"),
        "service AsterixCat240": ("ok", "off"),
        "service Odd": ("warning", "3"),
        "process dronnur_tracker": ("ok", '[{"LastUpdate": "x"}]'),
        "process dronnur_extractor": ("error", "not running"),
        "temperature CPU": ("ok", "71.5 °C"),
        "temperature PA": ("warning", "80.0 °C"),
        "temperature FPGA": ("error", "90.0 °C"),
        "temperature Broken": ("warning", "unreadable: hot"),
        "temperature Also": ("warning", "unreadable: True"),
        "error 1": ("error", "fan"),
        "error 2": ("error", '{"code": 3}'),
        "TxMode": ("ok", "normal"),
        "Uptime": ("ok", "123"),
    }
    levels = [finding.level for finding in found]
    assert levels == sorted(levels, key=["error", "warning", "ok"].index)


def test_what_a_status_does_not_say_is_noticed() -> None:
    assert d2d.findings({})[0].level == "warning"
    names = {finding.name: finding for finding in d2d.findings({"Services": {}})}
    assert names["service AsterixCat010"].level == "error"
    names = {
        finding.name: finding for finding in d2d.findings({"dspnor.dronnur_tracker": ["running"]})
    }
    assert names["process dronnur_extractor"].level == "error"
    off = d2d.findings({"Services": {"AsterixCat010": {"Enabled": False}}})
    assert (off[0].name, off[0].level) == ("service AsterixCat010", "error")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["Services", "Temperatures", "Errors", "Mode", "GetStatus", "dspnor.x"])
        | st.text(max_size=10),
        JSON,
        max_size=6,
    )
)
def test_any_status_is_judged(status: dict[str, Any]) -> None:
    for finding in d2d.findings(status):
        assert finding.level in ("ok", "warning", "error")
        finding.value.encode()
        finding.name.encode()
        assert len(finding.value) <= 160
    assert len(d2d.findings({str(number): 1 for number in range(1000)})) == d2d.FINDINGS_LIMIT


def test_beacons() -> None:
    beacon = d2d.read_beacon(bytes(range(40)), "192.0.2.7")
    assert (beacon.address, beacon.raw) == ("192.0.2.7", bytes(range(40)))
    for length in (0, 39, 41, 1500):
        with pytest.raises(Reject, match="bad_beacon"):
            d2d.read_beacon(bytes(length), "192.0.2.7")
