# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Trakka frames against an encoder of the test's own, cut and damaged in every way."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebox_sensors.trakka import protocol
from thebox_sensors.trakka.protocol import Register, RegisterValue, VideoTrack


def frame(message_class: int, code: int, payload: bytes) -> bytes:
    """Encode by the definition: sums of bytes and of partial sums, modulo 255."""
    content = bytes([message_class, code, len(payload) & 255, len(payload) >> 8]) + payload
    first = sum(content) % 255
    second = sum(sum(content[: end + 1]) for end in range(len(content))) % 255
    return b"\xa7\x54" + content + bytes([first, second])


def register(address: int, value: float) -> bytes:
    return frame(1, 4, struct.pack("<Hf", address, value))


def track(*values: Any) -> bytes:
    return frame(0x82, 7, struct.pack("<BHBBffBB", *values))


AZIMUTH = register(0x1809, 0.5)
ELEVATION = register(0x180A, -0.25)
TRACK = track(1, 7, 3, 80, 0.125, -0.25, 1, 90)


def test_check_bytes_of_known_frames() -> None:
    # 01 03 02 00 09 18: sums 1, 4, 6, 6, 15, 39 and 1, 5, 11, 17, 32, 71.
    assert protocol.read_register(Register.AZIMUTH) == bytes.fromhex("a754 0103 0200 0918 27 47")
    assert protocol.fletcher(b"\xff" * 10) == b"\0\0"
    assert protocol.fletcher(b"") == b"\0\0"


@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=60))
def test_frames_are_encoded_as_defined(message_class: int, code: int, payload: bytes) -> None:
    raw = protocol.encode(message_class, code, payload)
    assert raw == frame(message_class, code, payload)
    framed = protocol.Framer().feed(raw)
    if (message_class, code) not in ((1, 4), (0x82, 7)):
        assert framed.records == [protocol.Frame((message_class, code), payload)]
        assert framed.rejects == []


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (protocol.read_register(Register.GIMBAL_MODE), frame(1, 3, b"\x00\x08")),
        (protocol.set_azimuth_rate(0.5), frame(2, 2, struct.pack("<f", 0.5))),
        (protocol.set_elevation_rate(-1.0), frame(2, 3, struct.pack("<f", -1.0))),
        (protocol.set_gimbal_mode(protocol.GimbalMode.STOW), frame(2, 0x81, b"\x02")),
        (protocol.set_cage_azimuth(1.5), frame(2, 0x82, struct.pack("<f", 1.5))),
        (protocol.set_cage_elevation(-0.5), frame(2, 0x83, struct.pack("<f", -0.5))),
        (
            protocol.set_geo_point(3149785.0, 598260.0, 5495348.0),
            frame(4, 0x81, struct.pack("<ddd", 3149785.0, 598260.0, 5495348.0)),
        ),
        (protocol.start_geo_point(), frame(4, 0x8A, b"\x00")),
        (protocol.start_geo_point(toggle=True), frame(4, 0x8A, b"\x01")),
        (
            protocol.set_zoom(2, protocol.ZoomCommand.FIELD_OF_VIEW, 0.25),
            frame(0x81, 2, b"\x02\x01" + struct.pack("<f", 0.25)),
        ),
        (protocol.modify_target_indication(3, -2), frame(0x82, 3, b"\x03\xfe\xff")),
        (protocol.enable_target_messages(), frame(0x82, 3, b"\x04\x1e\x00")),
        (
            protocol.stop(),
            frame(2, 0x81, b"\0") + frame(2, 2, bytes(4)) + frame(2, 3, bytes(4)),
        ),
        (protocol.poll("angles"), frame(1, 3, b"\x09\x18") + frame(1, 3, b"\x0a\x18")),
        (
            protocol.poll("mode", "zoom"),
            frame(1, 3, b"\x00\x08")
            + frame(1, 3, b"\x01\x11")
            + frame(1, 3, b"\x01\x12")
            + frame(1, 3, b"\x01\x14"),
        ),
    ],
)
def test_commands(command: bytes, expected: bytes) -> None:
    assert command == expected


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (protocol.set_azimuth_rate, (math.radians(60.01),)),
        (protocol.set_azimuth_rate, (math.nan,)),
        (protocol.set_elevation_rate, (math.radians(-61),)),
        (protocol.set_elevation_rate, (math.inf,)),
        (protocol.set_cage_azimuth, (math.nan,)),
        (protocol.set_cage_elevation, (4.0,)),
        (protocol.set_geo_point, (0.0, 0.0, 0.0)),
        (protocol.set_geo_point, (math.nan, 0.0, 6.37e6)),
        (protocol.set_zoom, (0, protocol.ZoomCommand.RATE, 1.0)),
        (protocol.set_zoom, (4, protocol.ZoomCommand.RATE, 1.0)),
        (protocol.set_zoom, (1, protocol.ZoomCommand.FIELD_OF_VIEW, 0.0)),
        (protocol.set_zoom, (1, protocol.ZoomCommand.RATE, math.inf)),
        (protocol.modify_target_indication, (256, 0)),
        (protocol.modify_target_indication, (0, 40_000)),
        (protocol.set_gimbal_mode, (4,)),
    ],
)
def test_commands_out_of_range_are_refused(function: Any, arguments: Any) -> None:
    with pytest.raises(ValueError):
        function(*arguments)


def test_the_fastest_rate_is_allowed() -> None:
    assert protocol.set_azimuth_rate(protocol.RATE_LIMIT)
    assert protocol.set_elevation_rate(-protocol.RATE_LIMIT)


def read(raw: bytes) -> list[Any]:
    parsed = protocol.Parser().parse(raw)
    assert parsed.rejects == []
    return parsed.records


def test_register_values() -> None:
    assert read(AZIMUTH) == [RegisterValue(Register.AZIMUTH, 0.5)]
    assert read(frame(1, 4, struct.pack("<HI", 0x0800, 3))) == [
        RegisterValue(Register.GIMBAL_MODE, 3.0)
    ]
    for address in (0x180A, 0x1101, 0x1201, 0x1401):
        assert read(register(address, 1.25)) == [RegisterValue(Register(address), 1.25)]


def test_video_tracks() -> None:
    assert read(TRACK) == [VideoTrack(1, 7, True, True, 0.8, 0.125, -0.25, "rotary", 0.9)]
    (coasting,) = read(track(2, 65535, 2, 0, 0.0, 0.0, 5, 0))
    assert (coasting.active, coasting.coasting, coasting.label) == (False, True, "boat")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "garbage"),
        (b"hello", "garbage"),
        (AZIMUTH[:-1], "garbage"),
        (AZIMUTH[:-1] + b"\0", "bad_check"),
        (b"\xa7\x54\x05\x05\xff\xff" + bytes(20), "bad_length"),
        (frame(1, 4, bytes(5)), "bad_length"),
        (frame(0x82, 7, bytes(16)), "bad_length"),
        (frame(9, 9, b"abc"), "unknown_message"),
        (register(0x1234, 1.0), "unknown_register"),
        (register(0x1809, math.nan), "bad_value"),
        (register(0x1809, math.inf), "bad_value"),
        (register(0x1809, 7.0), "bad_value"),
        (register(0x180A, -3.2), "bad_value"),
        (register(0x1101, -1.0), "bad_value"),
        (frame(1, 4, struct.pack("<HI", 0x0800, 4)), "bad_value"),
        (track(1, 7, 3, 101, 0.0, 0.0, 1, 90), "bad_value"),
        (track(1, 7, 3, 80, 0.0, 0.0, 6, 90), "bad_value"),
        (track(1, 7, 3, 80, 0.0, 0.0, 1, 255), "bad_value"),
        (track(1, 7, 3, 80, math.nan, 0.0, 1, 90), "bad_value"),
        (track(1, 7, 3, 80, 0.0, 4.0, 1, 90), "bad_value"),
    ],
)
def test_unusable_bytes_are_rejected_by_reason(raw: bytes, expected: str) -> None:
    parsed = protocol.Parser().parse(raw)
    assert parsed.records == []
    assert parsed.rejects[0].reason == expected
    assert {reject.reason for reject in parsed.rejects} <= set(protocol.REASONS)


SESSION = b"".join(
    [
        b"\x54\xa7 tail of a frame",
        AZIMUTH,
        ELEVATION,
        b"\xa7",
        TRACK,
        b"\xa7\x54\xa7\x54",
        AZIMUTH,
        frame(9, 9, AZIMUTH[:6] + bytes(9)),
        TRACK,
    ]
)
EXPECTED = [
    RegisterValue(Register.AZIMUTH, 0.5),
    RegisterValue(Register.ELEVATION, -0.25),
    VideoTrack(1, 7, True, True, 0.8, 0.125, -0.25, "rotary", 0.9),
    RegisterValue(Register.AZIMUTH, 0.5),
    VideoTrack(1, 7, True, True, 0.8, 0.125, -0.25, "rotary", 0.9),
]


@given(st.lists(st.integers(1, 40), min_size=1))
def test_frames_are_found_however_the_stream_is_cut(cuts: list[int]) -> None:
    parser = protocol.Parser()
    records: list[Any] = []
    position = turn = 0
    while position < len(SESSION):
        step = cuts[turn % len(cuts)]
        records += parser.feed(SESSION[position : position + step]).records
        position += step
        turn += 1
    assert records == EXPECTED


def test_a_link_cut_anywhere_never_gives_a_wrong_value() -> None:
    for cut in range(len(SESSION)):
        for again in range(0, len(SESSION), 7):
            parser = protocol.Parser()
            records = parser.feed(SESSION[:cut]).records
            assert all(record in EXPECTED for record in records)
            parser.reset()
            records = parser.feed(SESSION[again:]).records
            assert all(record in EXPECTED for record in records)
            if again <= len(SESSION) - len(TRACK):
                assert records[-1] == EXPECTED[-1]


def test_every_single_damaged_byte_is_noticed() -> None:
    for position in range(len(AZIMUTH)):
        for change in range(1, 256):
            damaged = bytearray(AZIMUTH)
            damaged[position] ^= change
            parsed = protocol.Parser().parse(bytes(damaged) + TRACK)
            # Modulo 255 the bytes 00 and FF are one: the only change that a sum can't see.
            twins = {AZIMUTH[position], damaged[position]} == {0, 255}
            if not twins:
                assert RegisterValue not in {type(record) for record in parsed.records}
                assert parsed.rejects
            assert len(parsed.records) <= 2


def test_angles_of_two_polls_are_told_from_a_pair() -> None:
    damaged = bytes((*ELEVATION[:-1], ELEVATION[-1] ^ 1))
    other = bytes((*AZIMUTH[:-1], AZIMUTH[-1] ^ 1))
    parser = protocol.Parser()

    def unbroken(stream: bytes) -> list[bool]:
        return [
            record.unbroken
            for record in parser.feed(stream).records
            if isinstance(record, RegisterValue)
        ]

    assert unbroken(AZIMUTH + ELEVATION) == [True, True]
    assert unbroken(AZIMUTH + TRACK + ELEVATION) == [True, True]
    # An elevation and the azimuth of the next poll are lost.
    assert unbroken(AZIMUTH + damaged + other + ELEVATION) == [True, False]
    assert unbroken(AZIMUTH + damaged + other + TRACK + ELEVATION) == [True, False]
    assert unbroken(AZIMUTH + b"noise" + ELEVATION) == [True, False]
    # A value that cannot be is lost as well.
    assert unbroken(AZIMUTH + register(0x180A, math.nan) + ELEVATION) == [True, False]
    assert unbroken(AZIMUTH) == [True]
    parser.tear()
    assert unbroken(ELEVATION + AZIMUTH + ELEVATION) == [False, True, True]
    assert unbroken(AZIMUTH + ELEVATION[:5]) == [True]
    parser.reset()
    assert unbroken(ELEVATION[5:] + AZIMUTH + ELEVATION) == [False, True]


def test_a_good_frame_waits_for_little_behind_a_false_start() -> None:
    parser = protocol.Parser()
    parser.feed(b"\xa7\x54\x33\x33\x00\x01")
    seen: list[Any] = []
    for _ in range(30):
        seen += parser.feed(AZIMUTH).records
    assert len(seen) == 30
    assert parser.pending == 0


def test_memory_is_bounded() -> None:
    parser = protocol.Parser()
    for chunk in (
        b"\xa7" * 1000,
        b"\xa7\x54" * 1000,
        b"\xa7\x54\x01\x05\x00\x01" * 1000,
        b"x" * 1000,
    ):
        for _ in range(20):
            parser.feed(chunk)
            assert parser.pending <= protocol.PAYLOAD_LIMIT + 8
    assert parser.feed(b"y" * 300 + TRACK).records[-1:] == EXPECTED[-1:]


@given(st.lists(st.binary(max_size=60), max_size=12))
def test_any_bytes_are_read_without_an_exception(chunks: list[bytes]) -> None:
    parser = protocol.Parser()
    for chunk in chunks:
        for reject in parser.feed(chunk).rejects:
            assert reject.reason in protocol.REASONS
            assert reject.detail.isprintable()
        assert parser.pending <= protocol.PAYLOAD_LIMIT + 8


@given(st.binary(min_size=6, max_size=15))
def test_any_payload_is_read_or_rejected(payload: bytes) -> None:
    for raw in (frame(1, 4, payload[:6]), frame(0x82, 7, payload.ljust(15, b"\0"))):
        parsed = protocol.Parser().parse(raw)
        assert len(parsed.records) + len(parsed.rejects) == 1
        for record in parsed.records:
            for name in record.__slots__:
                value = getattr(record, name)
                assert not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize(
    ("pose", "error", "expected"),
    [
        ((10, 0), (5, 0), (15, 0)),
        ((10, 0), (0, 5), (10, 5)),
        ((350, 0), (20, 0), (10, 0)),
        ((90, 30), (0, 10), (90, 40)),
        ((0, 85), (0, 10), (180, 85)),
    ],
)
def test_line_of_sight(pose: Any, error: Any, expected: Any) -> None:
    angles = protocol.line_of_sight(*map(math.radians, (*pose, *error)))
    assert [math.degrees(angle) for angle in angles] == pytest.approx(expected, abs=1e-9)


def test_to_the_right_high_up_is_wide_in_azimuth() -> None:
    azimuth, elevation = protocol.line_of_sight(0, math.radians(60), math.radians(1), 0)
    assert math.degrees(azimuth) == pytest.approx(2, abs=0.01)
    assert math.degrees(elevation) == pytest.approx(60, abs=0.02)
