# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""ASTERIX category 010 against libasterix, in both directions, and hand-made blocks."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebox_sensors.dspnor import asterix, protocol

generated = pytest.importorskip("asterix.generated", reason="libasterix is not installed")
base = pytest.importorskip("asterix.base")

CAT010 = generated.Cat_010_1_1
NOON = 1757073600.0
"""2025-09-05T12:00:00Z."""
QUANTITIES = {
    ("140",): ("time_of_day", "s", 1.0),
    ("041", "LAT"): ("latitude", "°", math.radians(1)),
    ("041", "LON"): ("longitude", "°", math.radians(1)),
    ("040", "RHO"): ("range", "m", 1.0),
    ("040", "TH"): ("azimuth", "°", math.radians(1)),
    ("042", "X"): ("x", "m", 1.0),
    ("042", "Y"): ("y", "m", 1.0),
    ("200", "GSP"): ("speed", "NM/s", 1852.0),
    ("200", "TRA"): ("course", "°", math.radians(1)),
    # libasterix steps by 1/16 here, the standard (0.25 m/s, 8192 m/s at most) by 1/4.
    ("202", "VX"): ("velocity_x", "m/s", 4.0),
    ("202", "VY"): ("velocity_y", "m/s", 4.0),
    ("210", "AX"): ("acceleration_x", "m/s²", 4.0),
    ("210", "AY"): ("acceleration_y", "m/s²", 4.0),
    ("500", "DEVX"): ("sigma_x", "m", 1.0),
    ("500", "DEVY"): ("sigma_y", "m", 1.0),
    ("500", "COVXY"): ("covariance_xy", "m", 1.0),
    ("090", "FL"): ("flight_level", "FL", 30.48),
    ("091",): ("height", "ft", 0.3048),
}
EXTENDED = {
    ("020", "TYP"): ("descriptor", "technology", int),
    ("020", "DCR"): ("descriptor", "differential", bool),
    ("020", "CHN"): ("descriptor", "chain", lambda raw: raw + 1),
    ("020", "GBS"): ("descriptor", "ground_bit", bool),
    ("020", "CRT"): ("descriptor", "corrupted", bool),
    ("020", "SIM"): ("descriptor", "simulated", bool),
    ("020", "TST"): ("descriptor", "test_target", bool),
    ("020", "RAB"): ("descriptor", "field_monitor", bool),
    ("020", "LOP"): ("descriptor", "loop", int),
    ("020", "TOT"): ("descriptor", "target_type", int),
    ("020", "SPI"): ("descriptor", "special_position", bool),
    ("170", "CNF"): ("status", "tentative", bool),
    ("170", "TRE"): ("status", "last_report", bool),
    ("170", "CST"): ("status", "coasting", int),
    ("170", "MAH"): ("status", "manoeuvre", bool),
    ("170", "TCC"): ("status", "projected", bool),
    ("170", "STH"): ("status", "smoothed", bool),
    ("170", "TOM"): ("status", "movement", int),
    ("170", "DOU"): ("status", "doubt", int),
    ("170", "MRS"): ("status", "merge_split", int),
    ("170", "GHO"): ("status", "ghost", bool),
}


def random_record(rng: random.Random) -> Any:
    """Make a libasterix record of random items with random values."""

    def bits(count: int) -> int:
        return rng.getrandbits(count)

    def extension(*sizes: list[int]) -> tuple[Any, ...]:
        groups = sizes[: rng.randint(1, len(sizes))]
        return tuple(
            (*(bits(size) for size in group), None) if len(group) > 1 else (bits(group[0]), None)
            for group in groups
        )

    items: dict[str, Any] = {
        "000": 1 if rng.random() < 0.9 else rng.randint(2, 4),
        "020": extension([3, 1, 1, 1, 1], [1, 1, 1, 2, 2], [1, 6]),
        "140": rng.randrange(86_400 * 128),
        "041": (("LAT", rng.randint(-(2**30), 2**30) % 2**32), ("LON", bits(32))),
        "040": (("RHO", bits(16)), ("TH", bits(16))),
        "042": (("X", bits(16)), ("Y", bits(16))),
        "200": (("GSP", bits(16)), ("TRA", bits(16))),
        "202": (("VX", bits(16)), ("VY", bits(16))),
        "161": (bits(4), ("TRK", bits(12))),
        "170": extension([1, 1, 2, 1, 1, 1], [2, 3, 2], [1, 6]),
        "060": (bits(1), bits(1), bits(1), bits(1), bits(12)),
        "220": bits(24),
        "245": (bits(2), bits(6), bits(48)),
        "250": [(bits(56), bits(4), bits(4)) for _ in range(rng.randrange(4))],
        "300": bits(8),
        "090": (bits(1), bits(1), bits(14)),
        "091": bits(16),
        "270": extension([7], [7], [7]),
        "550": (bits(2), bits(1), bits(1), bits(1), bits(1), bits(2)),
        "310": (bits(1), bits(7)),
        "500": (bits(8), bits(8), bits(16)),
        "280": [(bits(8), bits(8)) for _ in range(rng.randrange(6))],
        "131": bits(8),
        "210": (bits(8), bits(8)),
        "SP": rng.randbytes(rng.randrange(6)),
        "RE": rng.randbytes(rng.randrange(6)),
    }
    share = rng.choice([0.2, 0.5, 0.9])
    chosen = {name: value for name, value in items.items() if rng.random() < share}
    chosen["010"] = (("SAC", bits(8)), ("SIC", bits(8)))
    return CAT010.cv_record.create(chosen)


def element(record: Any, *path: str) -> Any:
    """Find a libasterix element, None where the record has none."""
    item = record.get_item(path[0])
    for name in path[1:]:
        if item is None:
            return None
        item = item.variation.get_item(name)
    return None if item is None else item.variation


def compare(record: Any, read: Any) -> None:
    """Assert that a record was read as libasterix reads it."""
    assert read.sac == element(record, "010", "SAC").as_uint()
    assert read.sic == element(record, "010", "SIC").as_uint()
    kind = element(record, "000")
    kind = 1 if kind is None else kind.as_uint()
    expected_class = {1: asterix.TargetReport, 2: asterix.UpdateCycle}.get(
        kind, asterix.StatusMessage
    )
    assert type(read) is expected_class
    if kind == 1:
        compare_numbers(record, read)
        compare_flags(record, read)
        compare_rest(record, read)
        return
    clock = element(record, "140")
    if clock is None:
        assert math.isnan(read.time_of_day)
    else:
        assert read.time_of_day == clock.content.as_quantity("s")
    if kind in (3, 4):
        assert read.event == (kind == 4)
        assert (read.status is None) == (record.get_item("550") is None)


def compare_numbers(record: Any, read: Any) -> None:
    for path, (field, unit, scale) in QUANTITIES.items():
        found = element(record, *path)
        value = getattr(read, field)
        if found is None:
            assert math.isnan(value), field
        else:
            assert value == pytest.approx(
                found.content.as_quantity(unit) * scale, rel=1e-12, abs=1e-12
            ), field


def compare_flags(record: Any, read: Any) -> None:
    for (item, name), (group, field, convert) in EXTENDED.items():
        holder = getattr(read, group)
        if record.get_item(item) is None:
            assert holder is None
        else:
            found = element(record, item, name)
            raw = 0 if found is None else found.as_uint()
            assert getattr(holder, field) == convert(raw), (item, name)


def compare_rest(record: Any, read: Any) -> None:
    sizes = [element(record, "270", name) for name in ("LENGTH", "ORIENTATION", "WIDTH")]
    for found, value, scale in zip(
        sizes, (read.length, read.orientation, read.width), (1, math.radians(1), 1), strict=True
    ):
        if found is None:
            assert math.isnan(value)
        else:
            assert value == pytest.approx(found.content.as_quantity() * scale)
    number = element(record, "161", "TRK")
    assert read.track_number == (None if number is None else number.as_uint())
    address = element(record, "220")
    assert read.address == (None if address is None else address.as_uint())
    amplitude = element(record, "131")
    assert (
        math.isnan(read.amplitude) if amplitude is None else read.amplitude == amplitude.as_uint()
    )
    code = element(record, "060", "MODE3A")
    assert read.mode_3a == ("" if code is None else code.content.as_string())
    name = element(record, "245", "CHR")
    if name is not None and all(
        name.as_uint() >> shift & 63 in LETTERS for shift in range(0, 48, 6)
    ):
        assert read.identification == name.content.as_string().rstrip()
    fleet = element(record, "300")
    assert read.vehicle_fleet == (None if fleet is None else fleet.as_uint())
    message = element(record, "310", "MSG")
    assert read.preprogrammed == (None if message is None else message.as_uint())
    trouble = element(record, "310", "TRB")
    assert read.in_trouble == (trouble is not None and trouble.as_uint() == 1)
    presence = element(record, "280")
    assert len(read.presences) == (0 if presence is None else len(presence.get_list()))
    if presence is not None:
        for found, (across, along) in zip(presence.get_list(), read.presences, strict=True):
            assert across == found.get_item("DRHO").variation.content.as_quantity("m")
            assert along == pytest.approx(
                math.radians(found.get_item("DTHETA").variation.content.as_quantity("°"))
            )


LETTERS = {32, *range(1, 27), *range(48, 58)}


@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=4))
def test_records_of_libasterix_are_read_alike(seeds: list[int]) -> None:
    records = [random_record(random.Random(seed)) for seed in seeds]
    datagram = CAT010.create(records).unparse().to_bytes()
    parsed = protocol.Parser().parse(datagram, NOON)
    assert parsed.rejects == []
    assert len(parsed.records) == len(records)
    for record, read in zip(records, parsed.records, strict=True):
        compare(record, read)


STRUCTURAL = {"bad_block", "bad_fspec", "truncated", "bad_item", "too_many_records"}


@given(
    st.lists(st.integers(0, 2**32), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(3, 200), st.integers(0, 255)), max_size=3),
    st.integers(0, 3),
)
def test_what_libasterix_refuses_is_refused_and_else_the_same(
    seeds: list[int], changes: list[tuple[int, int]], cut: int
) -> None:
    records = [random_record(random.Random(seed)) for seed in seeds]
    raw = bytearray(CAT010.create(records).unparse().to_bytes())
    for position, value in changes:
        raw[3 + position % (len(raw) - 3)] = value
    compare_damaged(bytes(raw[3 : len(raw) - cut]))


def compare_damaged(content: bytes) -> None:
    """Assert that a block that may be damaged is read or refused as libasterix does."""
    datagram = b"\x0a" + (len(content) + 3).to_bytes(2, "big") + content
    oracle = CAT010.cv_uap.parse(base.Bits.from_bytes(content))
    parsed = protocol.Parser().parse(datagram, NOON)
    assert len(parsed.records) + len(parsed.rejects) >= 1
    for reject in parsed.rejects:
        assert reject.reason in protocol.REASONS
    structural = [reject for reject in parsed.rejects if reject.reason in STRUCTURAL]
    if isinstance(oracle, ValueError):
        assert len(structural) == 1
    elif not structural:
        assert len(oracle) == len(parsed.records) + len(parsed.rejects)
        if not parsed.rejects:
            for record, read in zip(oracle, parsed.records, strict=True):
                compare(record, read)
    else:
        # libasterix lets a record without any item through.
        assert structural[0].reason == "bad_fspec"
        assert "without items" in structural[0].detail


RECORD = bytes.fromhex(
    # 010, 000, 020, 140, 040, 042; 200, 202, 161, 170; none; 131
    "f7f10120"
) + bytes.fromhex(
    "0102 01 60 181c80 09c4 2ee0 0064 07d0 00c8 0bb8 0014ffe2 004d 02 64".replace(" ", "")
)


def block(content: bytes, category: int = 10) -> bytes:
    return bytes([category]) + (len(content) + 3).to_bytes(2, "big") + content


def test_a_block_made_by_hand() -> None:
    (read,) = protocol.Parser().parse(block(RECORD), NOON).records
    assert isinstance(read, asterix.TargetReport)
    assert (read.sac, read.sic, read.track_number) == (1, 2, 77)
    assert read.time_of_day == 12345.0
    assert read.time == NOON - 43200 + 12345
    assert read.range == 2500
    assert read.azimuth == pytest.approx(math.radians(12000 * 360 / 65536))
    assert (read.x, read.y) == (100, 2000)
    assert read.speed == pytest.approx(200 * 1852 / 16384)
    assert (read.velocity_x, read.velocity_y) == (5.0, -7.5)
    assert read.amplitude == 100
    assert read.status is not None
    assert read.status.smoothed
    assert read.descriptor is not None
    assert read.descriptor.technology == 3
    assert read.polar() == (read.range, read.azimuth)
    assert read.velocity() == (5.0, -7.5)


def test_polar_and_velocity_from_the_other_items() -> None:
    plot = asterix.TargetReport(1, 2, x=-3000.0, y=4000.0, speed=10.0, course=math.pi / 2)
    distance, azimuth = plot.polar()
    assert distance == 5000
    assert azimuth == pytest.approx(math.radians(360 - 36.8698976))
    assert plot.velocity() == pytest.approx((10.0, 0.0), abs=1e-9)
    assert all(math.isnan(value) for value in asterix.TargetReport(1, 2).polar())
    assert all(math.isnan(value) for value in asterix.TargetReport(1, 2).velocity())


@pytest.mark.parametrize(
    ("time_of_day", "received", "expected"),
    [
        (43200.0, NOON, NOON),
        (86399.5, NOON + 43200.2, NOON + 43199.5),
        (0.5, NOON + 43199.9, NOON + 43200.5),
        (86399.0, NOON - 43200 + 1, NOON - 43200 - 1),
        (10.0, math.nan, math.nan),
    ],
)
def test_time_of_day_over_midnight(time_of_day: float, received: float, expected: float) -> None:
    content = b"\xd0\x01\x02\x01" + int(time_of_day * 128).to_bytes(3, "big")
    (read,) = protocol.Parser().parse(block(content), received).records
    assert read.time_of_day == time_of_day
    assert read.time == expected or (math.isnan(expected) and math.isnan(read.time))


def test_several_blocks_and_foreign_categories() -> None:
    datagram = (
        block(RECORD * 2)
        + block(b"\x00" * 9, 34)
        + block(b"", 48)
        + block(RECORD)
        + block(b"1", 240)
    )
    parsed = protocol.Parser().parse(datagram, NOON)
    assert len(parsed.records) == 3
    assert [reject.reason for reject in parsed.rejects] == ["other_category"] * 3
    assert parsed.rejects[0].detail == "category 034, 12 octets"


def test_a_bad_block_does_not_hide_good_ones() -> None:
    parsed = protocol.Parser().parse(block(RECORD + RECORD[:-1]) + block(RECORD), NOON)
    assert len(parsed.records) == 2
    assert [reject.reason for reject in parsed.rejects] == ["truncated"]


@pytest.mark.parametrize(
    ("datagram", "expected"),
    [
        (b"", "empty"),
        (block(b""), "empty"),
        (b"\x0a", "bad_block"),
        (b"\x0a\x00", "bad_block"),
        (b"\x0a\x00\x02", "bad_block"),
        (b"\x0a\x00\x04", "bad_block"),
        (b"\x0a\xff\xff" + RECORD, "bad_block"),
        (block(b"\x00"), "bad_fspec"),
        (block(b"\x01\x01\x01\x01\x00"), "bad_fspec"),
        (block(b"\x01\x01\x01\x08"), "bad_fspec"),
        (block(b"\x01"), "truncated"),
        (block(b"\x80\x01"), "truncated"),
        (block(b"\xa0\x01\x02\x01\x01\x01\x01\x00"), "bad_item"),
        (block(b"\x81\x01\x01\x04\x01\x02\x00"), "bad_item"),
        (block(b"\x40\x01"), "no_source"),
        (block(b"\xc0\x01\x02\x00"), "unknown_type"),
        (block(b"\xc0\x01\x02\x05"), "unknown_type"),
        (block(b"\x90\x01\x02\xff\xff\xff"), "bad_time"),
        (block(b"\x90\x01\x02\xa8\xc0\x00"), "bad_time"),
        (block(b"\x88\x01\x02\x40\x00\x00\x01\x00\x00\x00\x00"), "bad_position"),
    ],
)
def test_unusable_blocks_are_rejected_by_reason(datagram: bytes, expected: str) -> None:
    parsed = protocol.Parser().parse(datagram, NOON)
    assert parsed.records == []
    assert [reject.reason for reject in parsed.rejects] == [expected]
    assert expected in protocol.REASONS


def test_the_number_of_records_is_bounded() -> None:
    parsed = protocol.Parser().parse(block(b"\x80\x01\x02" * 20_000), NOON)
    assert len(parsed.records) == asterix.RECORDS_LIMIT
    assert [reject.reason for reject in parsed.rejects] == ["too_many_records"]


def test_a_status_message_and_an_update_cycle() -> None:
    records = [
        CAT010.cv_record.create({"010": (1, 2), "000": 3, "550": (2, 1, 0, 1, 1, 0)}),
        CAT010.cv_record.create({"010": (1, 2), "000": 2, "140": 128}),
    ]
    content = CAT010.create(records).unparse().to_bytes()
    status, cycle = protocol.Parser().parse(content, NOON).records
    assert isinstance(status, protocol.StatusMessage)
    assert status.status == asterix.SystemStatus(2, True, False, True, True)
    assert isinstance(cycle, protocol.UpdateCycle)
    assert cycle.time_of_day == 1.0


@given(st.binary(max_size=400) | st.binary(max_size=300).map(block))
def test_any_bytes_are_accounted_for(datagram: bytes) -> None:
    parsed = protocol.Parser().parse(datagram, NOON)
    assert len(parsed.records) + len(parsed.rejects) >= 1
    for reject in parsed.rejects:
        assert reject.reason in protocol.REASONS
        assert reject.detail.isprintable()
