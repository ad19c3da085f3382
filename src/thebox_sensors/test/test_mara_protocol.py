# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""MARA lines in their three forms, over datagrams and streams, with every kind of damage."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebox_sensors.mara import protocol
from thebox_sensors.protocol_base import TWO_PI

SAID: dict[str, Any] = {
    "timestamp": "2025-09-05T00:36:43.250Z",
    "sensor_id": "spotter-1",
    "object_id": "17",
    "track_id": "T 4",
    "confidence": 0.87,
    "bearing_deg": -12.5,
    "elevation_deg": 3.25,
    "range_m": 1250.0,
    "lat": 59.91,
    "lon": 10.75,
    "speed_mps": 14.5,
    "heading_deg": 271.0,
    "label": "quad, small",
    "channel": "THERMAL",
}
READ = protocol.Observation(
    channel="IR",
    time=1757032603.25,
    sensor_id="spotter-1",
    object_id="17",
    track_id="T 4",
    confidence=0.87,
    bearing=pytest.approx(math.radians(347.5)),
    elevation=pytest.approx(math.radians(3.25)),
    range=1250.0,
    latitude=pytest.approx(math.radians(59.91)),
    longitude=pytest.approx(math.radians(10.75)),
    speed=14.5,
    heading=pytest.approx(math.radians(271)),
    label="quad, small",
)


def as_json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


def quoted(value: Any) -> str:
    text = str(value)
    if text and not set(text) & set(" ,;\"'\\"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def as_pairs(fields: dict[str, Any]) -> bytes:
    return " ".join(f"{key}={quoted(value)}" for key, value in fields.items()).encode()


def as_csv(fields: dict[str, Any]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(fields.keys())
    writer.writerow(fields.values())
    return out.getvalue().encode()


FORMS = {"json": as_json, "pairs": as_pairs, "csv": as_csv}


def one(datagram: bytes) -> Any:
    parsed = protocol.Parser().parse(datagram)
    assert parsed.rejects == []
    assert len(parsed.records) == 1
    return parsed.records[0]


def reasons(datagram: bytes) -> list[str]:
    parsed = protocol.Parser().parse(datagram)
    for reject in parsed.rejects:
        assert reject.reason in protocol.REASONS
    return [reject.reason for reject in parsed.rejects]


@pytest.mark.parametrize("form", FORMS)
def test_every_field_of_an_observation(form: str) -> None:
    assert one(FORMS[form](SAID)) == READ


def test_csv_without_a_header_is_in_the_documented_order() -> None:
    lines = as_csv({key: SAID[key] for key in protocol.COLUMNS}).splitlines()
    assert one(lines[1]) == READ


def test_columns_named_by_a_header_hold_until_the_next_one_or_a_reset() -> None:
    parser = protocol.Parser()
    assert parser.parse(b"# Bearing_Deg , LABEL,channel,zoom").rejects == []
    (record,) = parser.parse(b"90,boat,EO,x4").records
    assert isinstance(record, protocol.Observation)
    assert record.bearing == pytest.approx(math.pi / 2)
    assert (record.label, record.channel) == ("boat", "EO")
    assert record.attributes == (("zoom", "x4"),)
    assert parser.parse(b"90,boat,EO").rejects[0].reason == "bad_columns"
    parser.parse(b"label;bearing_deg")
    (record,) = parser.parse(b"kite;180").records
    assert isinstance(record, protocol.Observation)
    assert record.label == "kite"
    parser.reset()
    assert parser.parse(b"kite;180").rejects[0].reason == "bad_columns"


@pytest.mark.parametrize(
    ("line", "status", "attributes"),
    [
        (b'{"type": "heartbeat", "sensor_id": "s", "uptime": 12}', "", (("uptime", "12"),)),
        (b'{"Type": "STATUS", "sensor_id": "s", "status": "cooling"}', "cooling", ()),
        (b"sensor_id=s status=ok temp=31.5", "ok", (("temp", "31.5"),)),
        (b"heartbeat=1, sensor_id=s", "", (("heartbeat", "1"),)),
    ],
)
def test_heartbeats(line: bytes, status: str, attributes: Any) -> None:
    beat = one(line)
    assert isinstance(beat, protocol.Heartbeat)
    assert (beat.sensor_id, beat.status, beat.attributes) == ("s", status, attributes)
    assert math.isnan(beat.time)


@pytest.mark.parametrize("line", [b"HEARTBEAT", b"$HB,ok,31", b"status,ok,31"])
def test_bare_heartbeats(line: bytes) -> None:
    assert isinstance(one(line), protocol.Heartbeat)


def test_a_heartbeat_with_a_time() -> None:
    beat = one(b'{"type":"heartbeat","timestamp":"2025-09-05T02:36:43+02:00"}')
    assert beat.time == 1757032603.0


def test_where_a_unit_is_does_not_become_an_object() -> None:
    beat = one(b'{"type": "heartbeat", "sensor_id": "s", "lat": 59.9, "lon": 10.7}')
    assert isinstance(beat, protocol.Heartbeat)
    assert beat.attributes == (("lat", "59.9"), ("lon", "10.7"))
    beat = one(b'{"type": "status", "sensor_id": "s", "lat": 59.9, "lon": 10.7}')
    assert isinstance(beat, protocol.Heartbeat)
    assert isinstance(one(b"type=ping bearing_deg=5"), protocol.Observation)


def test_an_observation_may_carry_a_status() -> None:
    assert one(b"bearing_deg=5 status=tracking").attributes == (("status", "tracking"),)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2025-09-05T00:36:43Z", 1757032603.0),
        ("2025-09-05 00:36:43.5", 1757032603.5),
        ("20250905T003643,25Z", 1757032603.25),
        ("2025-09-05T00:36:43.123456789Z", 1757032603.123457),
        ("2025-09-04T19:06:43-05:30", 1757032603.0),
        ("2025-09-05T02:36:43+02", 1757032603.0),
        ("2016-12-31T23:59:60Z", 1483228800.0),
        ("2025-09-05T00:36Z", 1757032560.0),
        ("20250905T0036-0100", 1757036160.0),
    ],
)
def test_iso_8601_times(written: str, expected: float) -> None:
    record = one(as_json({"timestamp": written, "bearing_deg": 1}))
    assert record.time == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("written", "expected"),
    [(0, 0.0), (1, 1.0), (0.5, 0.5), (87, 0.87), (100, 1.0), ("87%", 0.87), ("0.5 %", 0.005)],
)
def test_confidence_of_either_scale(written: Any, expected: float) -> None:
    record = one(as_json({"confidence": written, "bearing_deg": 1}))
    assert record.confidence == pytest.approx(expected)


@pytest.mark.parametrize(
    ("scale", "written", "expected"),
    [
        ("percent", 1, 0.01),
        ("percent", 0.5, 0.005),
        ("percent", "100", 1.0),
        ("fraction", 1, 1.0),
        ("fraction", 1.5, math.nan),
        ("fraction", "87 %", 0.87),
    ],
)
def test_confidence_of_a_scale_that_is_told(scale: Any, written: Any, expected: float) -> None:
    line = as_json({"confidence": written, "bearing_deg": 1})
    parsed = protocol.Parser(scale).parse(line)
    (record,) = parsed.records
    assert isinstance(record, protocol.Observation)
    assert record.confidence == pytest.approx(expected, nan_ok=True)
    assert bool(parsed.rejects) == math.isnan(expected)


def test_nan_in_json_is_an_absent_value() -> None:
    record = one(b'{"bearing_deg": 1, "range_m": NaN, "confidence": NaN, "label": "x"}')
    assert math.isnan(record.range)
    assert math.isnan(record.confidence)
    assert record.label == "x"


def test_a_quoted_comma_does_not_part_columns_of_semicolons() -> None:
    parser = protocol.Parser()
    parser.parse(b"bearing_deg;label;channel")
    (record,) = parser.parse(b'90;"quad, ""small""";EO').records
    assert isinstance(record, protocol.Observation)
    assert (record.label, record.channel) == ('quad, "small"', "EO")


@pytest.mark.parametrize(
    ("written", "expected"),
    [("eo", "EO"), ("Visual", "EO"), ("CAMERA", "EO"), ("thermal", "IR"), ("Audio", "ACOUSTIC")],
)
def test_channels(written: str, expected: str) -> None:
    assert one(as_json({"channel": written, "bearing_deg": 1})).channel == expected


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("absent", ["", "NaN", "N/A", "null", "-"])
def test_absent_values(form: str, absent: str) -> None:
    fields = {key: absent for key in SAID if key != "bearing_deg"}
    record = one(FORMS[form]({"bearing_deg": 1, **fields}))
    for name in ("time", "confidence", "elevation", "range", "latitude", "longitude", "speed"):
        assert math.isnan(getattr(record, name)), name
    assert record.channel == record.label == record.object_id == ""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("timestamp", "yesterday", "bad_time"),
        ("timestamp", "2025-02-30T00:00:00Z", "bad_time"),
        ("timestamp", "2025-09-05T00:36:61Z", "bad_time"),
        ("timestamp", "2025-09-05T00:36:43+24:00", "bad_time"),
        ("timestamp", "2025-09-05T00:36:43+02:60", "bad_time"),
        ("timestamp", "1970-01-01T00:00:00Z", "bad_time"),
        ("timestamp", "9999-12-31T23:59:60Z", "bad_time"),
        ("sensor_id", "x" * 200, "bad_identity"),
        ("object_id", "a\x01b", "bad_identity"),
        ("track_id", "﻿x", "bad_identity"),
        ("confidence", -0.1, "bad_confidence"),
        ("confidence", 101, "bad_confidence"),
        ("bearing_deg", 361, "bad_bearing"),
        ("bearing_deg", "12d", "bad_bearing"),
        ("elevation_deg", 91, "bad_elevation"),
        ("range_m", -1, "bad_range"),
        ("range_m", "1e400", "bad_range"),
        ("lat", 91, "bad_position"),
        ("lon", "1_0", "bad_position"),
        ("speed_mps", 1001, "bad_speed"),
        ("heading_deg", "inf", "bad_heading"),
        ("channel", "RADAR", "bad_channel"),
    ],
)
def test_a_bad_field_is_rejected_alone(form: str, field: str, value: Any, expected: str) -> None:
    parsed = protocol.Parser().parse(FORMS[form]({**SAID, field: value}))
    assert [reject.reason for reject in parsed.rejects] == [expected]
    assert expected in protocol.FIELD_REASONS
    (record,) = parsed.records
    assert isinstance(record, protocol.Observation)
    assert record.label == "quad, small"
    assert math.isnan(record.bearing) == (field == "bearing_deg")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "bad_bearing"),
        ([1], "bad_bearing"),
        ({"a": 1}, "bad_bearing"),
        (10**400, "bad_bearing"),
    ],
)
def test_json_values_of_the_wrong_kind(value: Any, expected: str) -> None:
    assert reasons(as_json({"bearing_deg": value})) == ["no_direction", expected]
    assert reasons(as_json({"bearing_deg": 1, "label": 3})) == ["bad_field"]
    assert reasons(as_json({"bearing_deg": 1, "channel": 3})) == ["bad_channel"]
    assert reasons(as_json({"bearing_deg": 1, "sensor_id": True})) == ["bad_identity"]
    assert reasons(as_json({"bearing_deg": 1, "timestamp": 1757032603})) == ["bad_time"]


@pytest.mark.parametrize(
    ("datagram", "expected"),
    [
        (b"", ["empty"]),
        (b"\0\0\r\n", ["empty"]),
        (b"x" * 70_000, ["too_long"]),
        (b"x" * 5_000, ["too_long"]),
        (b"\xff\xfe", ["not_text"]),
        (b"hello", ["bad_columns"]),
        (b'{"bearing_deg": 1', ["not_json"]),
        (b'{"bearing_deg": NaN}', ["no_direction"]),
        (b'{"bearing_deg": Infinity}', ["no_direction", "bad_bearing"]),
        (b'{"bearing_deg": nan}', ["not_json"]),
        (b'{"lat": 59.9, "lon": NaN}', ["no_direction", "bad_position"]),
        (b'{"lat": 91, "lon": 181}', ["no_direction", "bad_position", "bad_position"]),
        (b'{"bearing_deg": 1e400}', ["no_direction", "bad_bearing"]),
        (b'{"bearing_deg": 1, "bearing_deg": 2}', ["duplicate_key"]),
        (b'{"bearing_deg": 1, "Bearing_deg": 2}', ["duplicate_key"]),
        (b"bearing_deg=1 bearing_deg=2", ["duplicate_key"]),
        (b"bearing_deg,label,label", ["duplicate_key"]),
        (b'{"a":' * 100, ["too_deep"]),
        (b"{}", ["no_direction"]),
        (b'{"lat": 5, "label": "x"}', ["no_direction", "bad_position"]),
        (b'label="x bearing_deg=1', ["malformed"]),
        (b"bearing_deg=1 hello", ["malformed"]),
        (b"bearing_deg=1 'x'=2", ["malformed"]),
        (b'"1,2', ["malformed"]),
        (b"a=1 " * 500, ["malformed"]),
        (b"1,2,3", ["bad_columns"]),
    ],
)
def test_unusable_lines_are_rejected_by_reason(datagram: bytes, expected: list[str]) -> None:
    parsed = protocol.Parser().parse(datagram)
    assert parsed.records == []
    assert reasons(datagram) == expected


def test_a_bad_line_does_not_hide_good_ones() -> None:
    datagram = b"\n".join([as_json(SAID), b"{", as_pairs(SAID), b"\xff", as_csv(SAID)])
    parsed = protocol.Parser().parse(datagram)
    assert parsed.records == [READ] * 3
    assert [reject.reason for reject in parsed.rejects] == ["not_json", "not_text"]


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12)


@given(
    st.sampled_from(sorted(FORMS)),
    st.fixed_dictionaries(
        {"bearing_deg": st.floats(-360, 360)},
        optional={
            "elevation_deg": st.floats(-90, 90),
            "range_m": st.floats(0, 200e3),
            "confidence": st.floats(0, 1),
            "speed_mps": st.floats(0, 1000),
            "heading_deg": st.floats(-360, 360),
            "object_id": TEXT,
            "label": TEXT,
        },
    ),
)
def test_what_a_unit_says_is_what_is_read(form: str, said: dict[str, Any]) -> None:
    # A CSV line that begins with a brace or an equation is taken for another form.
    record = one(FORMS[form]({"sensor_id": "s", **said}))
    assert 0 <= record.bearing < TWO_PI
    assert math.cos(record.bearing - math.radians(said["bearing_deg"])) > 1 - 1e-9
    absent = {"", "nan", "n/a", "na", "null", "none", "-"}
    for key, name in (("object_id", "object_id"), ("label", "label")):
        written = said.get(key, "").strip()
        assert getattr(record, name) == ("" if written.lower() in absent else written)
    for key, name, scale in (
        ("elevation_deg", "elevation", math.radians(1)),
        ("range_m", "range", 1.0),
        ("confidence", "confidence", 1.0),
        ("speed_mps", "speed", 1.0),
    ):
        if key in said:
            assert getattr(record, name) == pytest.approx(said[key] * scale)
        else:
            assert math.isnan(getattr(record, name))


@given(st.lists(st.integers(1, 40), min_size=1))
def test_a_stream_is_read_alike_however_it_is_cut(cuts: list[int]) -> None:
    stream = (
        b"cut off line}\n" + as_csv(SAID) + as_json(SAID) + b"\r\n" + b"y" * 5000 + b"\n"
        + as_pairs(SAID) + b"\n\n" + b"heartbeat\n"
    )  # fmt: skip
    parser = protocol.Parser()
    records: list[Any] = []
    rejects: list[str] = []
    position = turn = 0
    while position < len(stream):
        step = cuts[turn % len(cuts)] * (50 if position > 900 else 1)
        parsed = parser.feed(stream[position : position + step])
        records += parsed.records
        rejects += [reject.reason for reject in parsed.rejects]
        position += step
        turn += 1
    assert records[:3] == [READ] * 3
    assert isinstance(records[3], protocol.Heartbeat)
    assert rejects == ["bad_columns", "too_long"]


def check_accounted(datagram: bytes) -> None:
    parsed = protocol.Parser().parse(datagram)
    for reject in parsed.rejects:
        assert reject.reason in protocol.REASONS
        assert reject.detail.isprintable()
        assert len(reject.detail) <= 160
    for record in parsed.records:
        for name in record.__slots__:
            value = getattr(record, name)
            if isinstance(value, str):
                value.encode()
            elif isinstance(value, float):
                assert not math.isinf(value)


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_accounted_for(datagram: bytes) -> None:
    check_accounted(datagram)


@given(
    st.sampled_from(sorted(FORMS)),
    st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), min_size=1, max_size=4),
)
def test_mutated_lines_are_accounted_for(form: str, changes: list[tuple[int, bytes]]) -> None:
    datagram = bytearray(FORMS[form](SAID))
    for position, new in changes:
        datagram[position : position + 2] = new
    check_accounted(bytes(datagram))


@pytest.mark.parametrize(
    "unit", [b'"\\', b"a='", b'a="\\', b" =", b"a= ", b"\\", b'",', b";", b'""']
)
def test_hostile_repetition_is_read_in_linear_time(unit: bytes) -> None:
    # Backtracking here would take minutes; the suite's time is the bound.
    for lead in (b"", b"a=", b'a="', b'"'):
        check_accounted(lead + unit * ((protocol.LINE_LIMIT - 4) // len(unit)))
