# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Silvus text output: both kinds of line, axes, faults, anything at all."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebox_sensors.protocol_base import TWO_PI, to_true_bearing
from thebox_sensors.silvus import protocol

POSE = b"[172.16.0.46]  Lat/Lon : (36.6009,-121.8947), Heading (deg): 101.2"
ARRIVAL = b"[172.16.0.46:1749599078856027] -74.69, 2462.00, 20.00, [133.109, 304.816], [130, 302]"


def one(datagram: bytes, parser: protocol.Parser | None = None) -> Any:
    parsed = (parser or protocol.Parser()).parse(datagram)
    assert parsed.rejects == []
    assert len(parsed.records) == 1
    return parsed.records[0]


def reason(datagram: bytes) -> str:
    parsed = protocol.Parser().parse(datagram)
    assert parsed.records == []
    assert len(parsed.rejects) == 1
    assert parsed.rejects[0].reason in protocol.REASONS
    return parsed.rejects[0].reason


def test_pose_line() -> None:
    assert one(POSE + b"\r\n") == protocol.RadioPose(
        radio="172.16.0.46",
        latitude=pytest.approx(math.radians(36.6009)),
        longitude=pytest.approx(math.radians(-121.8947)),
        heading=pytest.approx(math.radians(101.2)),
    )


@pytest.mark.parametrize(
    ("position", "heading"), [(b"0.0,0.0", b"nan"), (b"nan,nan", b""), (b"36.6,nan", b" N/A ")]
)
def test_pose_of_a_radio_without_fix(position: bytes, heading: bytes) -> None:
    pose = one(b"[r1] Lat/Lon : (" + position + b"), Heading (deg): " + heading)
    assert math.isnan(pose.latitude)
    assert math.isnan(pose.longitude)
    assert math.isnan(pose.heading)


@pytest.mark.parametrize("copies", [b", [130, 302]", b"", b",[130,302] "])
def test_arrival_line(copies: bytes) -> None:
    line = ARRIVAL.split(b", [130")[0] + copies
    arrival = one(line)
    assert arrival.radio == "172.16.0.46"
    assert arrival.time == 1749599078.856027
    assert arrival.power == -74.69
    assert arrival.frequency == 2.462e9
    assert arrival.bandwidth == 20e6
    assert arrival.candidates == pytest.approx((math.radians(133.109), math.radians(304.816)))
    assert math.isnan(arrival.radio_heading)


def test_angles_beyond_a_turn_wrap_and_a_single_one_is_enough() -> None:
    line = b"[a:1749599078856027] -74, 2462, 20, [%s]"
    assert one(line % b"400.5, -10").candidates == pytest.approx(
        (math.radians(40.5), math.radians(350))
    )
    assert one(line % b"10").candidates == pytest.approx((math.radians(10),))


@pytest.mark.parametrize(
    ("zero_axis", "positive", "angle", "expected"),
    [
        ("forward", "cw", 10, 10),
        ("forward", "ccw", 10, 350),
        ("right", "cw", 10, 100),
        ("right", "ccw", 10, 80),
        ("left", "cw", 10, 280),
        ("left", "ccw", 10, 260),
        ("rear", "cw", 10, 190),
        ("rear", "ccw", 10, 170),
    ],
)
def test_axes_and_sense(zero_axis: Any, positive: Any, angle: float, expected: float) -> None:
    arrival = one(b"[a:1749599078856027] -74, 2462, 20, [%d, %d]" % (angle, angle + 180))
    from_bow = arrival.angles(zero_axis, positive)
    assert from_bow[0] == pytest.approx(math.radians(expected))
    assert from_bow[1] == pytest.approx(math.radians((expected + 180) % 360))
    assert to_true_bearing(from_bow[0], "bow", math.radians(100)) == pytest.approx(
        math.radians((expected + 100) % 360)
    )


def test_each_radio_keeps_its_own_heading() -> None:
    parser = protocol.Parser()
    lines = [
        b"[r1] Lat/Lon : (36.6,-121.8), Heading (deg): 10",
        b"[r1:1749599078856027] -74, 2462, 20, [1, 2]",
        b"[r2:1749599078856027] -74, 2462, 20, [1, 2]",
        b"[r2] Lat/Lon : (36.6,-121.8), Heading (deg): -20",
        b"[r2:1749599078856027] -74, 2462, 20, [1, 2]",
    ]
    records: list[Any] = parser.parse(b"\n".join(lines), received=5.0).records
    assert records[1].radio_heading == pytest.approx(math.radians(10))
    assert records[1].radio_heading_received == 5.0
    assert math.isnan(records[2].radio_heading)
    assert records[4].radio_heading == pytest.approx(math.radians(340))
    pose = parser.pose("r1")
    assert pose is not None
    assert pose.heading == pytest.approx(math.radians(10))
    again: list[Any] = parser.parse(lines[1], received=9.0).records
    assert again[0].radio_heading_received == 5.0
    parser.reset()
    assert parser.pose("r1") is None
    assert math.isnan(one(lines[1], parser).radio_heading)


def test_memory_of_radios_is_bounded() -> None:
    parser = protocol.Parser()
    for number in range(1000):
        parser.parse(b"[r%d] Lat/Lon : (1,2), Heading (deg): 3" % number)
        parser.parse(b"[r0] Lat/Lon : (1,2), Heading (deg): 4")
    assert parser.pose("r0") is not None
    assert parser.pose("r999") is not None
    assert sum(parser.pose(f"r{number}") is not None for number in range(1000)) == 64


def test_a_bad_line_does_not_hide_good_ones() -> None:
    parsed = protocol.Parser().parse(b"\n".join([ARRIVAL, ARRIVAL[:-20], b"", b"\xff", POSE]))
    assert [type(record).__name__ for record in parsed.records] == ["AngleOfArrival", "RadioPose"]
    assert [reject.reason for reject in parsed.rejects] == ["malformed", "not_text"]


@pytest.mark.parametrize(
    ("datagram", "expected"),
    [
        (b"", "empty"),
        (b"\r\n \0", "empty"),
        (b"[" * 70_000, "too_long"),
        (b"[a:1749599078856027]" + b" " * 60_000 + b"x", "too_long"),
        (b"\x0a\x12\x08\x01\x10\x96\x01", "binary_mode"),
        (b"\x08\x96\x01", "binary_mode"),
        (b"hello", "malformed"),
        (b"[]", "malformed"),
        (ARRIVAL[:60], "malformed"),
        (ARRIVAL.replace(b"-74.69,", b""), "malformed"),
        (ARRIVAL.replace(b"-74.69", b""), "bad_power"),
        (ARRIVAL + b"x", "malformed"),
        (ARRIVAL.replace(b"1749599078856027", b"1749599078"), "bad_time"),
        (ARRIVAL.replace(b"1749599078856027", b"9" * 20), "bad_time"),
        (ARRIVAL.replace(b"1749599078856027", b"9" * 25), "malformed"),
        (ARRIVAL.replace(b"-74.69", b"nan"), "bad_power"),
        (ARRIVAL.replace(b"-74.69", b"1e400"), "bad_power"),
        (ARRIVAL.replace(b"-74.69", b"-1_0"), "bad_power"),
        (ARRIVAL.replace(b"2462.00", b"0"), "bad_frequency"),
        (ARRIVAL.replace(b"2462.00", "２４６２".encode()), "bad_frequency"),
        (ARRIVAL.replace(b"20.00", b"inf"), "bad_bandwidth"),
        (ARRIVAL.replace(b"133.109", b"1e3"), "bad_angle"),
        (ARRIVAL.replace(b"133.109", b""), "bad_angle"),
        (ARRIVAL.replace(b"133.109", b"1, 2"), "bad_angle"),
        (ARRIVAL.replace(b"130", b"x"), "bad_angle"),
        (POSE.replace(b"36.6009", b"96.6"), "bad_position"),
        (POSE.replace(b"-121.8947", b"-190"), "bad_position"),
        (POSE.replace(b"101.2", b"1012"), "bad_heading"),
        (POSE[:40], "malformed"),
    ],
)
def test_unusable_lines_are_rejected_by_reason(datagram: bytes, expected: str) -> None:
    assert reason(datagram) == expected


def test_many_lines_are_bounded() -> None:
    parsed = protocol.Parser().parse(b"x\n" * 1000)
    assert len(parsed.rejects) == protocol.LINES_LIMIT + 1
    assert parsed.rejects[-1].reason == "too_many_lines"


ADDRESS = st.from_regex(r"[0-9a-z.:\-]{1,30}", fullmatch=True)


SAID = st.fixed_dictionaries(
    {
        "epoch": st.integers(946684800_000000, 4102444800_000000),
        "power": st.floats(-200, 60),
        "frequency": st.floats(1, 3e5),
        "bandwidth": st.floats(0.01, 1e4),
        "angles": st.tuples(st.floats(-720, 720), st.floats(-720, 720)),
    }
)


@given(ADDRESS, SAID)
def test_what_a_radio_says_is_what_is_read(radio: str, said: dict[str, Any]) -> None:
    epoch, angles, power = said["epoch"], said["angles"], said["power"]
    frequency, bandwidth = said["frequency"], said["bandwidth"]
    line = (
        f"[{radio}:{epoch}] {power:.2f}, {frequency:.3f}, {bandwidth:.2f}, "
        f"[{angles[0]:.3f}, {angles[1]:.3f}], [{angles[0]:.0f}, {angles[1]:.0f}]"
    )
    arrival = one(line.encode())
    assert arrival.radio == radio
    assert arrival.time == epoch / 1e6
    assert arrival.power == pytest.approx(power, abs=0.006)
    assert arrival.frequency == pytest.approx(frequency * 1e6, abs=600)
    assert arrival.bandwidth == pytest.approx(bandwidth * 1e6, abs=6000)
    for angle, read in zip(angles, arrival.candidates, strict=True):
        assert 0.0 <= read < TWO_PI
        assert math.cos(math.radians(angle) - read) > 1 - 1e-9


@given(ADDRESS, st.floats(-90, 90), st.floats(-180, 180), st.floats(-360, 720))
def test_poses_round_trip(radio: str, latitude: float, longitude: float, heading: float) -> None:
    line = f"[{radio}]  Lat/Lon : ({latitude:.6f},{longitude:.6f}), Heading (deg): {heading:.1f}"
    pose = one(line.encode())
    if f"{latitude:.6f}".strip("-0.") or f"{longitude:.6f}".strip("-0."):
        assert math.degrees(pose.latitude) == pytest.approx(latitude, abs=1e-6)
        assert math.degrees(pose.longitude) == pytest.approx(longitude, abs=1e-6)
    else:
        assert math.isnan(pose.latitude)
    assert math.cos(math.radians(heading) - pose.heading) > 1 - 1e-5


def check_accounted(datagram: bytes) -> None:
    parsed = protocol.Parser().parse(datagram)
    assert len(parsed.records) + len(parsed.rejects) >= 1
    for reject in parsed.rejects:
        assert reject.reason in protocol.REASONS
        assert reject.detail.isprintable()
        assert len(reject.detail) <= 160


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: b"[" + text.encode()))
def test_any_bytes_are_accounted_for(datagram: bytes) -> None:
    check_accounted(datagram)


@given(st.lists(st.tuples(st.integers(0, 160), st.binary(max_size=3)), min_size=1, max_size=4))
def test_mutated_lines_are_accounted_for(changes: list[tuple[int, bytes]]) -> None:
    datagram = bytearray(ARRIVAL + b"\n" + POSE)
    for position, new in changes:
        datagram[position : position + 2] = new
    check_accounted(bytes(datagram))
