# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""DroneShield datagrams: real-looking bytes, faults on the wire, anything at all."""

from __future__ import annotations

import ast
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebox_sensors.droneshield import protocol
from thebox_sensors.protocol_base import (
    TWO_PI,
    LineFramer,
    Reject,
    printable,
    to_true_bearing,
    wrap_angle,
    wrap_bearing,
)

DATA: dict[str, Any] = {
    "AngleOfArrivalRadians": -1.3349771,
    "AbsoluteAngleOfArrivalRadians": -1.1349771,
    "AngleOfArrivalErrorRadians": 0.2847973,
    "CorrelationKey": "1541424276",
    "SerialNumber": "1541424277",
    "DetectionCount": 3,
    "EpochTimeMilliSeconds": 1757032603250,
    "TimeUTC": "2025-09-05T00:36:43Z.125219+00:00",
    "FrequencyHertz": 5799000000,
    "RSSI": -49,
    "SignalBars": 10,
    "Protocol": "FHSS",
    "Vendor": "DJI AUT XIA",
    "Name": 'O\'Hara "drone" \\ é',
    "Type": "RADIO",
    "IsDrone": True,
    "MacAddress": "Empty_Field",
}


def message(**changes: Any) -> dict[str, Any]:
    return {"APIVersion": "9", "Type": "Detection", "Data": {**DATA, **changes}}


def one(datagram: bytes) -> protocol.Emission:
    parsed = protocol.Parser().parse(datagram)
    assert parsed.rejects == []
    assert len(parsed.records) == 1
    return parsed.records[0]


def reason(datagram: bytes | str) -> str:
    raw = datagram.encode("utf-8", "surrogatepass") if isinstance(datagram, str) else datagram
    parsed = protocol.Parser().parse(raw)
    assert parsed.records == []
    assert len(parsed.rejects) == 1
    assert parsed.rejects[0].reason in protocol.REASONS
    return parsed.rejects[0].reason


def same(left: object, right: object) -> bool:
    """Equality of values in which NaN equals NaN."""
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return left == right


ENCODINGS = {
    "json": lambda value: json.dumps(value).encode(),
    "json, not ASCII": lambda value: json.dumps(value, ensure_ascii=False).encode(),
    "json, indented": lambda value: json.dumps(value, indent=1).encode() + b"\r\n",
    "json, byte order mark and padding": lambda value: (
        b"\xef\xbb\xbf" + json.dumps(value).encode() + b"\0\0"
    ),
    "python literal": lambda value: repr(value).encode(),
    "python literal, ASCII": lambda value: ascii(value).encode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_field_of_a_detection(encoding: str) -> None:
    emission = one(ENCODINGS[encoding](message()))
    assert emission == protocol.Emission(
        emitter="1541424276",
        relative_angle=pytest.approx(TWO_PI - 1.3349771),
        absolute_angle=pytest.approx(TWO_PI - 1.1349771),
        sigma=0.2847973,
        time=1757032603.25,
        frequency=5.799e9,
        rssi=-49.0,
        signal_bars=10.0,
        protocol="FHSS",
        vendor="DJI AUT XIA",
        name='O\'Hara "drone" \\ é',
        kind="RADIO",
        is_drone=True,
        serial_number="1541424277",
        mac_address="",
        detection_count=3.0,
        api_version="9",
    )
    assert emission.angle("bow") == emission.relative_angle
    assert emission.angle("true") == emission.absolute_angle


def test_absent_values_are_nan_empty_or_none() -> None:
    for absent in ("Empty_Field", None):
        emission = one(json.dumps(message(**dict.fromkeys(DATA, absent))).encode())
        for name in ("relative_angle", "absolute_angle", "sigma", "time", "frequency", "rssi"):
            assert math.isnan(getattr(emission, name)), name
        assert emission.emitter == emission.protocol == emission.vendor == ""
        assert emission.is_drone is None
        for reference in ("true", "bow"):
            with pytest.raises(Reject, match="no_bearing"):
                emission.angle(reference)
    assert one(b'{"Type": "Detection", "Data": {}}').emitter == ""


def test_identity_falls_back_to_serial_number_and_address() -> None:
    assert one(json.dumps(message(CorrelationKey=7)).encode()).emitter == "7"
    gone = message(CorrelationKey="Empty_Field")
    assert one(json.dumps(gone).encode()).emitter == "1541424277"
    gone = message(CorrelationKey=None, SerialNumber="", MacAddress="60:60:1f:00:00:01")
    assert one(json.dumps(gone).encode()).emitter == "60:60:1f:00:00:01"


def test_unknown_fields_become_attributes() -> None:
    emission = one(json.dumps(message(Zone="A\x00", Level=2, Gone=None, Nested={"a": 1})).encode())
    assert emission.attributes == (("Zone", "A�"), ("Level", "2"), ("Nested", "a dict"))


def test_zero_angle_error_says_nothing() -> None:
    assert math.isnan(one(json.dumps(message(AngleOfArrivalErrorRadians=0)).encode()).sigma)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"AngleOfArrivalRadians": 90.0}, "bad_bearing"),
        ({"AngleOfArrivalRadians": True}, "bad_bearing"),
        ({"AbsoluteAngleOfArrivalRadians": "1.5"}, "bad_bearing"),
        ({"AbsoluteAngleOfArrivalRadians": [1.5]}, "bad_bearing"),
        ({"AngleOfArrivalRadians": 10**400}, "bad_bearing"),
        ({"AngleOfArrivalErrorRadians": -0.1}, "bad_sigma"),
        ({"AngleOfArrivalErrorRadians": 4}, "bad_sigma"),
        ({"EpochTimeMilliSeconds": 1757032603}, "bad_time"),
        ({"EpochTimeMilliSeconds": "1757032603000"}, "bad_time"),
        ({"EpochTimeMilliSeconds": False}, "bad_time"),
        ({"FrequencyHertz": 5799}, "bad_frequency"),
        ({"FrequencyHertz": -5799000000}, "bad_frequency"),
        ({"RSSI": 1e9}, "bad_rssi"),
        ({"RSSI": {}}, "bad_rssi"),
        ({"CorrelationKey": "x" * 200}, "bad_identity"),
        ({"CorrelationKey": "\ud800"}, "bad_identity"),
        ({"CorrelationKey": "a\x00b"}, "bad_identity"),
        ({"CorrelationKey": 1.5}, "bad_identity"),
        ({"CorrelationKey": 1 << 200}, "bad_identity"),
        ({"SerialNumber": True}, "bad_identity"),
        ({"IsDrone": 1}, "bad_field"),
        ({"Name": ["x"]}, "bad_field"),
        ({"Name": True}, "bad_field"),
        ({"SignalBars": -1}, "bad_field"),
    ],
)
def test_out_of_range_values_are_rejected_by_reason(changes: dict[str, Any], expected: str) -> None:
    assert reason(json.dumps(message(**changes))) == expected
    assert reason(ascii(message(**changes))) == expected


@pytest.mark.parametrize(
    ("datagram", "expected"),
    [
        (b"", "empty"),
        (b" \r\n\0\0", "empty"),
        (b"{" * 20_000, "too_long"),
        (b"[" * 10_000, "too_deep"),
        (b'{"a":' * 3_000, "too_deep"),
        (b"\xff\xfe{}", "not_text"),
        ('{"a": "\ud800"}', "not_text"),
        (b"hello", "not_json"),
        (b'Data": {"x": 1}}', "not_json"),
        (b'{"Type": "Detection", "Data": {}} x', "not_json"),
        (b"{'Type': 'Detection', 'Data': {'RSSI': nan}}", "not_json"),
        (b'{"Type": "Detection", "Data": {"RSSI": NaN}}', "not_json"),
        (b'{"Type": "Detection", "Data": {"RSSI": -Infinity}}', "not_json"),
        (b"{'Type': __import__('os').system('true')}", "not_json"),
        (b"{'Type': 'Detection', 'Data': {}, 'x': '\\U00110000'}", "not_json"),
        (b"{'Type': 'Detection', 'Data': {}, 'x': '\\UFFFFFFFF'}", "not_json"),
        (b"{'Type': 'Detection', 'Data': {}, 'x': '\\N{DIGIT ONE}'}", "not_json"),
        (b'{"Type": "Detection", "Data": {"RSSI": 1e400}}', "bad_rssi"),
        (b'{"Type": "Detection", "Data": {"RSSI": ' + b"9" * 5_000 + b"}}", "not_json"),
        (b'{"Type": "Detection", "Type": "Status", "Data": {}}', "duplicate_key"),
        (b"{'Type': 'Detection', 'Data': {'RSSI': -1, 'RSSI': -2}}", "duplicate_key"),
        (b"[1, 2]", "not_an_object"),
        (b"'Detection'", "not_an_object"),
        (b"None", "not_an_object"),
        (b'{"Type": "Status", "Data": {"Battery": 80}}', "not_a_detection"),
        (b'{"Type": "Heartbeat"}', "not_a_detection"),
        (b"{}", "not_a_detection"),
        (b'{"Type": ["Detection"]}', "not_a_detection"),
        (b'{"Type": "Detection"}', "no_content"),
        (b'{"Type": "Detection", "Data": "Empty_Field"}', "no_content"),
    ],
)
def test_unusable_datagrams_are_rejected_by_reason(datagram: bytes | str, expected: str) -> None:
    assert reason(datagram) == expected


def test_a_lone_surrogate_in_a_name_is_made_publishable() -> None:
    emission = one(json.dumps(message(Name="A\ud800\x1b[31m", Vendor="x" * 10_000)).encode())
    assert emission.name == "A��[31m"
    emission.name.encode()
    assert len(emission.vendor) == 256


@pytest.mark.parametrize("encoding", ["json", "python literal"])
def test_a_message_cut_off_anywhere_is_called_truncated(encoding: str) -> None:
    whole = ENCODINGS[encoding](message(Name="plain"))
    for end in range(1, len(whole)):
        assert reason(whole[:end]) == "truncated", whole[:end]


def test_lines_of_one_datagram_do_not_harm_each_other() -> None:
    good = json.dumps(message()).encode()
    parsed = protocol.Parser().parse(
        good + b"\n" + good[:200] + b"\r\n\n" + repr(message()).encode()
    )
    assert [record.emitter for record in parsed.records] == ["1541424276"] * 2
    assert [reject.reason for reject in parsed.rejects] == ["truncated"]
    parsed = protocol.Parser().parse(b"x\n" * 100)
    assert [reject.reason for reject in parsed.rejects] == ["not_json"] * 64 + ["too_many_lines"]


@pytest.mark.parametrize("unit", [b"'\\", b"\\'", b"'", b'"', b"'\"", b"'\\\\", b"\\", b"None'"])
def test_hostile_repetition_is_read_in_linear_time(unit: bytes) -> None:
    # Backtracking here would take minutes; the suite's time is the bound.
    for lead in (b"", b"'", b'"', b"{'"):
        assert reason(lead + unit * ((protocol.DATAGRAM_LIMIT - 2) // len(unit))) in (
            "not_json",
            "truncated",
        )


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ANGLE = st.floats(-TWO_PI, TWO_PI)
DETECTION = st.fixed_dictionaries(
    {
        "AngleOfArrivalRadians": ANGLE,
        "AbsoluteAngleOfArrivalRadians": ANGLE,
        "AngleOfArrivalErrorRadians": st.floats(1e-6, math.pi),
        "CorrelationKey": st.text("0123456789abcdef'\"", min_size=1, max_size=20),
        "EpochTimeMilliSeconds": st.integers(946684800000, 4102444800000),
        "FrequencyHertz": st.integers(1_000_000, 300_000_000_000),
        "RSSI": st.integers(-200, 60) | st.floats(-200, 60),
        "Name": st.text(st.characters(exclude_categories=["C", "Z"]), max_size=50),
        "IsDrone": st.booleans(),
    }
)


@given(DETECTION, st.sampled_from(sorted(ENCODINGS)))
def test_what_a_unit_says_is_what_is_read(values: dict[str, Any], encoding: str) -> None:
    datagram = ENCODINGS[encoding]({"Type": "Detection", "Data": values})
    emission = one(datagram)
    assert emission.emitter == values["CorrelationKey"]
    assert emission.name == ("" if values["Name"] == "Empty_Field" else values["Name"])
    assert emission.time == values["EpochTimeMilliSeconds"] / 1e3
    assert emission.frequency == values["FrequencyHertz"]
    assert emission.rssi == values["RSSI"]
    assert emission.sigma == values["AngleOfArrivalErrorRadians"]
    assert emission.is_drone is values["IsDrone"]
    for said, read in (
        (values["AngleOfArrivalRadians"], emission.relative_angle),
        (values["AbsoluteAngleOfArrivalRadians"], emission.absolute_angle),
    ):
        assert 0.0 <= read < TWO_PI
        assert math.isclose(math.sin(said), math.sin(read), abs_tol=1e-9)
        assert math.isclose(math.cos(said), math.cos(read), abs_tol=1e-9)


@given(VALUES)
def test_the_literal_reader_agrees_with_python(value: Any) -> None:
    # ast.literal_eval is the oracle for values; it is no fit for hostile bytes.
    assert ast.literal_eval(repr(value)) == value
    parsed = protocol.Parser().parse(repr(message(Extra=value)).encode("utf-8", "surrogatepass"))
    assert len(parsed.records) + len(parsed.rejects) == 1
    if parsed.rejects:
        assert parsed.rejects[0].reason in ("too_deep", "not_text", "too_long")
    else:
        assert parsed.records[0].emitter == "1541424276"


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode()))
def test_any_bytes_are_accounted_for(datagram: bytes) -> None:
    check_accounted(datagram)


@given(
    st.sampled_from(sorted(ENCODINGS)),
    st.lists(st.tuples(st.integers(0, 700), st.binary(max_size=3)), min_size=1, max_size=4),
)
def test_mutated_messages_are_accounted_for(
    encoding: str, changes: list[tuple[int, bytes]]
) -> None:
    datagram = bytearray(ENCODINGS[encoding](message()))
    for position, new in changes:
        datagram[position : position + 2] = new
    check_accounted(bytes(datagram))


@given(st.dictionaries(st.sampled_from(sorted(DATA)), VALUES))
def test_fields_of_any_kind_are_accounted_for(changes: dict[str, Any]) -> None:
    check_accounted(json.dumps(message(**changes)).encode())


def check_accounted(datagram: bytes) -> None:
    parsed = protocol.Parser().parse(datagram)
    assert len(parsed.records) + len(parsed.rejects) >= 1
    for reject in parsed.rejects:
        assert reject.reason in protocol.REASONS
        assert len(reject.detail) <= 160
        assert reject.detail.isprintable()
    for emission in parsed.records:
        for name in protocol.Emission.__slots__:
            value = getattr(emission, name)
            if isinstance(value, str):
                value.encode()
            elif isinstance(value, float):
                assert not math.isinf(value)


CAPTURE = (
    Path(os.environ.get("THEBOX_SHARED", Path(__file__).resolve().parents[3].parent / "shared"))
    / "data"
    / "droneshield_capture_sample.txt"
)


@pytest.mark.capture
@pytest.mark.skipif(not CAPTURE.is_file(), reason="no recorded capture; set THEBOX_SHARED")
def test_the_recorded_capture() -> None:
    parser = protocol.Parser()
    emissions = []
    for line in CAPTURE.read_bytes().splitlines():
        parsed = parser.parse(line)
        assert parsed.rejects == []
        said = ast.literal_eval(line.decode())["Data"]
        (emission,) = parsed.records
        emissions.append(emission)
        assert emission.emitter == said["CorrelationKey"]
        assert wrap_angle(emission.relative_angle - said["AngleOfArrivalRadians"]) == pytest.approx(
            0
        )
        assert emission.sigma == said["AngleOfArrivalErrorRadians"]
        assert emission.frequency == said["FrequencyHertz"]
        assert emission.time == said["EpochTimeMilliSeconds"] / 1e3
        assert emission.rssi == said["RSSI"]
        assert parser.parse(line[:-40]).rejects[0].reason == "truncated"
    assert len(emissions) == 300
    assert len({emission.emitter for emission in emissions}) == 5


@pytest.mark.parametrize(
    ("angle", "reference", "heading", "offset", "expected"),
    [
        (0.1, "true", math.nan, 0.0, 0.1),
        (0.1, "true", 2.0, 0.2, 0.3),
        (0.1, "bow", 2.0, 0.2, 2.3),
        (math.radians(350), "bow", math.radians(20), 0.0, math.radians(10)),
        (math.radians(-170), "bow", math.radians(10), math.radians(-30), math.radians(170)),
        (-1e-30, "true", 0.0, 0.0, 0.0),
    ],
)
def test_true_bearing(
    angle: float, reference: Any, heading: float, offset: float, expected: float
) -> None:
    bearing = to_true_bearing(angle, reference, heading, offset)
    assert bearing == pytest.approx(expected)
    assert 0.0 <= bearing < TWO_PI


def test_true_bearing_is_never_made_up() -> None:
    with pytest.raises(Reject, match="no_heading"):
        to_true_bearing(0.1, "bow")
    with pytest.raises(Reject, match="no_bearing"):
        to_true_bearing(math.nan, "true")
    with pytest.raises(ValueError, match="'true' or 'bow'"):
        to_true_bearing(0.1, "north")  # type: ignore[arg-type]


@given(st.floats(-1e6, 1e6))
def test_wrapping(angle: float) -> None:
    assert 0.0 <= wrap_bearing(angle) < TWO_PI
    assert -math.pi < wrap_angle(angle) <= math.pi
    assert math.isclose(math.sin(wrap_bearing(angle)), math.sin(angle), abs_tol=1e-6)
    assert math.isclose(math.cos(wrap_angle(angle)), math.cos(angle), abs_tol=1e-6)


@given(st.text())
def test_printable_text_can_be_published(text: str) -> None:
    shown = printable(text, 20)
    shown.encode()
    assert len(shown) <= 20
    if text.isprintable() and len(text) <= 20:
        assert shown == text


@given(
    st.lists(st.binary(max_size=12).filter(lambda line: not set(line) & {10, 13})),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_line_framing_does_not_depend_on_the_cuts(
    lines: list[bytes], end: bytes, cuts: list[int]
) -> None:
    stream = b"".join(line + end for line in lines)
    framer = LineFramer(limit=10)
    got: list[bytes] = []
    long = position = turn = 0
    while position < len(stream):
        step = cuts[turn % len(cuts)]
        framed = framer.feed(stream[position : position + step])
        got += framed.records
        long += len(framed.rejects)
        assert framer.pending <= 10
        position += step
        turn += 1
    assert got == [line for line in lines if 0 < len(line) <= 10]
    assert long == sum(len(line) > 10 for line in lines)
    assert framer.pending == 0


def test_a_line_is_not_made_of_the_halves_of_two() -> None:
    framer = LineFramer(limit=30)
    assert framer.feed(b"one\nbearing=12").records == [b"one"]
    framer.tear()
    assert framer.pending == 0
    assert framer.feed(b"3.4 speed=5").records == []
    assert framer.feed(b"6\nnext\n").records == [b"next"]
