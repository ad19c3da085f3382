# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thebox_sim.config import Section, read_settings
from thebox_sim.geometry import bearing_to, slant_range, wrap_pi
from thebox_sim.scenario import load_scenario
from thebox_sim.sensors import Dspnor, DspnorSettings
from thebox_sim.sensors.asterix import Record, encode_blocks
from thebox_sim.sensors.dspnor import SERIAL_NUMBER, beacon, frame
from thebox_sim.world import World

base = pytest.importorskip("asterix.base", reason="libasterix is the independent decoder here")
generated = pytest.importorskip("asterix.generated")

EPOCH = 1_790_000_000.0


def decoded(datagram):
    """All records of a datagram, decoded by libasterix, as {item: integer or group}."""
    blocks = base.RawDatablock.parse(base.Bits.from_bytes(datagram))
    assert not isinstance(blocks, ValueError), blocks
    records = []
    for block in blocks:
        assert block.get_category() == 10
        parsed = generated.Cat_010_1_1.cv_uap.parse(block.get_raw_records())
        assert not isinstance(parsed, ValueError), parsed
        records += parsed
    return records


def raw(record, item):
    found = record.get_item(item)
    return None if found is None else found.unparse().to_bytes()


def number(octets, signed=False):
    return int.from_bytes(octets, "big", signed=signed)


def radar(**values):
    return Dspnor(read_settings(DspnorSettings, Section("t", "dspnor", values)), 1, EPOCH)


@settings(max_examples=150, deadline=None)
@given(
    records=st.lists(
        st.builds(
            Record,
            sac=st.integers(0, 255),
            sic=st.integers(0, 255),
            message_type=st.sampled_from([1, 2, 3, 4]),
            time_of_day=st.none() | st.floats(0.0, 86400.0),
            descriptor=st.none() | st.just(b"\x60") | st.just(b"\x61\x00"),
            wgs84=st.none() | st.tuples(st.floats(-90.0, 90.0), st.floats(-180.0, 179.9)),
            polar=st.none() | st.tuples(st.floats(0.0, 65000.0), st.floats(0.0, 6.28)),
            cartesian=st.none() | st.tuples(st.floats(-32e3, 32e3), st.floats(-32e3, 32e3)),
            polar_velocity=st.none() | st.tuples(st.floats(0.0, 3700.0), st.floats(0.0, 6.28)),
            cartesian_velocity=st.none() | st.tuples(st.floats(-8e3, 8e3), st.floats(-8e3, 8e3)),
            track_number=st.none() | st.integers(0, 4095),
            track_status=st.none() | st.just(b"\x00") | st.just(b"\x10"),
            deviation=st.none()
            | st.tuples(st.floats(0.0, 63.0), st.floats(0.0, 63.0), st.floats(-8e3, 8e3)),
            presence=st.lists(
                st.tuples(st.floats(-127.0, 127.0), st.floats(-0.3, 0.3)), max_size=3
            ),
            amplitude=st.none() | st.integers(0, 255),
            acceleration=st.none() | st.tuples(st.floats(-31.0, 31.0), st.floats(-31.0, 31.0)),
            system_status=st.none() | st.integers(0, 255),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_blocks_say_what_the_records_say_to_libasterix(records):
    datagrams = encode_blocks(records)
    assert all(len(d) <= 1400 for d in datagrams)
    back = [r for d in datagrams for r in decoded(d)]
    assert len(back) == len(records)
    for record, got in zip(records, back, strict=True):
        assert raw(got, "010") == bytes([record.sac, record.sic])
        assert raw(got, "000") == bytes([record.message_type])
        assert raw(got, "020") == record.descriptor
        assert raw(got, "170") == record.track_status
        check_numbers(record, got)


def check_numbers(record, got):
    if record.time_of_day is not None:
        off = (number(raw(got, "140")) / 128.0 - record.time_of_day) % 86400.0
        assert min(off, 86400.0 - off) <= 1 / 256 + 1e-9
    else:
        assert raw(got, "140") is None
    pairs = [
        ("041", record.wgs84, 4, 180.0 / 2**31, True),
        ("042", record.cartesian, 2, 1.0, True),
        ("202", record.cartesian_velocity, 2, 0.25, True),
        ("210", record.acceleration, 1, 0.25, True),
    ]
    for item, values, size, step, signed in pairs:
        octets = raw(got, item)
        assert (octets is None) == (values is None)
        if values is not None:
            for index, value in enumerate(values):
                part = octets[index * size : (index + 1) * size]
                assert number(part, signed) * step == pytest.approx(value, abs=step / 2 + 1e-12)
    polars = [("040", record.polar, 1.0), ("200", record.polar_velocity, 1852.0 * 2.0**-14)]
    for item, values, step in polars:
        octets = raw(got, item)
        assert (octets is None) == (values is None)
        if values is not None:
            assert number(octets[:2]) * step == pytest.approx(values[0], abs=step / 2 + 1e-9)
            angle = number(octets[2:]) * 2 * math.pi / 65536
            assert wrap_pi(angle - values[1]) == pytest.approx(0.0, abs=5e-5)
    if record.track_number is not None:
        assert number(raw(got, "161")) == record.track_number
    if record.deviation is not None:
        octets = raw(got, "500")
        assert octets[0] * 0.25 == pytest.approx(record.deviation[0], abs=0.125)
        assert octets[1] * 0.25 == pytest.approx(record.deviation[1], abs=0.125)
        assert number(octets[2:], True) * 0.25 == pytest.approx(record.deviation[2], abs=0.125)
    if record.presence:
        octets = raw(got, "280")
        assert octets[0] == len(record.presence)
    if record.amplitude is not None:
        assert raw(got, "131") == bytes([record.amplitude])
    if record.system_status is not None:
        assert raw(got, "550") == bytes([record.system_status])


@pytest.mark.parametrize(
    "record",
    [
        Record(0, 1, track_number=4096),
        Record(0, 1, polar=(-1.0, 0.0)),
        Record(0, 1, polar=(70_000.0, 0.0)),
        Record(0, 1, cartesian=(40_000.0, 0.0)),
        Record(0, 1, amplitude=256),
    ],
)
def test_a_value_that_its_item_cannot_hold_is_refused(record):
    with pytest.raises(ValueError, match="I010/"):
        encode_blocks([record])


@pytest.mark.parametrize("position", ["polar", "cartesian", "wgs84", "all"])
def test_tracks_are_where_the_objects_are(position):
    scenario = load_scenario("harbour")
    world = World(scenario.world, 1)
    unit = radar(clutter_per_turn=0.0, position=position)
    found = set()
    midnight = EPOCH - EPOCH % 86400.0
    while world.time < 60.0:
        world.step()
        reports = unit.poll(world)
        records = [r for d in unit.encode(reports) for r in decoded(d)]
        assert len(records) == len(reports)
        for report, record in zip(reports, records, strict=True):
            assert midnight + number(raw(record, "140")) / 128 == pytest.approx(
                EPOCH + world.time, abs=0.01
            )
            if report.measurement is None:
                continue
            item = next(o for o in world.objects if o.id == report.measurement.truth_id)
            eye = world.own_ship.position
            bearing, distance = bearing_to(eye, item.position), slant_range(eye, item.position)
            if position in ("polar", "all"):
                octets = raw(record, "040")
                assert number(octets[:2]) == pytest.approx(distance, abs=25.0)
                azimuth = number(octets[2:]) * 2 * math.pi / 65536
                assert abs(wrap_pi(azimuth - bearing)) < math.radians(3.5)
            if position in ("cartesian", "all"):
                octets = raw(record, "042")
                x, y = number(octets[:2], True), number(octets[2:], True)
                assert abs(wrap_pi(math.atan2(x, y) - bearing)) < math.radians(3.6)
                assert math.hypot(x, y) == pytest.approx(distance, abs=25.0)
            if position in ("wgs84", "all"):
                octets = raw(record, "041")
                latitude = number(octets[:4], True) * 180 / 2**31
                true = world.spec.datum.to_geodetic(item.position)[0]
                assert abs(latitude - true) * 111_000.0 < 0.065 * distance + 40.0
            assert number(raw(record, "161")) == int(report.measurement.key)
            found.add(item.id)
    assert {"survey", "intruder", "hobby", "ferry", "yacht"} <= found


def test_detection_follows_the_radar_equation():
    unit = radar()
    assert unit.detection_probability(2200.0, -20.0) == pytest.approx(0.5)
    # Ten times the cross-section: the same at 10^(1/4) times the range.
    assert unit.detection_probability(2200.0 * 10**0.25, -10.0) == pytest.approx(0.5)
    assert unit.detection_probability(20.0, -20.0) == 0.0
    assert unit.detection_probability(5001.0, 30.0) == 0.0
    chances = [unit.detection_probability(r, -20.0) for r in range(100, 5000, 100)]
    assert chances == sorted(chances, reverse=True)


def test_one_look_a_turn_and_clutter_at_its_rate():
    world = World(load_scenario("silent").world, 1)
    unit = radar(clutter_per_turn=3.0, rpm=30.0)
    marks, clutter = 0, set()
    while world.time < 200.0 - 1e-9:
        world.step()
        for report in unit.poll(world):
            marks += report.fields["type"] == 2
            if report.measurement is not None:
                assert report.measurement.truth_id == ""
                clutter.add(report.measurement.key)
    assert marks == pytest.approx(100, abs=1)
    # 100 turns of 3: within 5 sigma of a Poisson count; the last turn's may not be swept yet.
    assert len(clutter) == pytest.approx(300, abs=90)


def talk(session, content, pieces=1):
    message = frame(content)
    size = max(1, math.ceil(len(message) / pieces))
    answer = b""
    for start in range(0, len(message), size):
        answer += session.received(message[start : start + size])
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[:3] == ["PROTOCOL=D2D", "VERSION=1.0", "TYPE=TEXT"]
    assert lines[3] == f"LENGTH={len(body)}"
    return json.loads(body)


@pytest.mark.parametrize("pieces", [1, 2, 7, 1000])
def test_control_answers_whatever_the_pieces(pieces):
    unit = radar(temperature_c=85.0)
    session = unit.open_session()
    status = talk(session, {"GetStatus": ""}, pieces)["GetStatus"]
    assert status["Temperatures"]["Transmitter"] == 85.0
    assert status["Services"]["AsterixCat010"]["Enabled"] is True
    assert talk(session, {"GetSystemInfo": ""})["GetSystemInfo"]["SerialNumber"] == SERIAL_NUMBER


def test_commands_change_what_the_radar_sends():
    world = World(load_scenario("harbour").world, 1)
    unit = radar(rpm=60.0, clutter_per_turn=0.0)
    session = unit.open_session()

    def heard(seconds):
        end, bearings = world.time + seconds, []
        while world.time < end - 1e-9:
            world.step()
            bearings += [
                math.degrees(r.measurement.bearing)
                for r in unit.poll(world)
                if r.measurement is not None
            ]
        return bearings

    assert heard(6.0)
    assert talk(session, {"TxMode": "off"}) == {"TxMode": {"Result": "OK"}}
    assert heard(6.0) == []
    talk(session, {"InitSystem": ""})
    talk(session, {"AntennaSector": {"StartAzimuth": 350, "EndAzimuth": 60}})
    inside = heard(10.0)
    assert inside
    assert all(b > 347.0 or b < 63.0 for b in inside)
    talk(session, {"AntennaSector": {"StartAzimuth": 0, "EndAzimuth": 360}})
    talk(session, {"BlankingSectors": [{"StartAzimuth": 350, "EndAzimuth": 60}]})
    outside = heard(10.0)
    assert outside
    assert all(57.0 < b < 353.0 for b in outside)
    talk(session, {"AsterixCat010": {"Enabled": False, "IP": "x", "Port": 1, "Protocol": "UDP"}})
    assert heard(4.0) == []


def test_wrong_commands_are_answered_with_an_error():
    session = radar().open_session()
    assert talk(session, {"TxMode": "loud"})["TxMode"]["Result"] == "Error"
    assert talk(session, {"AntennaRPM": 1000})["AntennaRPM"]["Result"] == "Error"
    assert talk(session, {"Nonsense": 1})["Nonsense"]["Message"] == "unknown command"
    assert talk(session, {"Reboot": "other"})["Reboot"]["Result"] == "Error"
    assert talk(session, {"Reboot": SERIAL_NUMBER})["Reboot"]["Result"] == "OK"
    bad = session.received(b"PROTOCOL=D2D\nLENGTH=3\n\n{]}")
    assert b"not JSON" in bad
    assert b"LENGTH" in session.received(b"PROTOCOL=D2D\n\n")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=8))
def test_no_bytes_break_the_control(chunks):
    session = radar().open_session()
    for chunk in chunks:
        assert isinstance(session.received(chunk), bytes)


def test_the_beacon_has_forty_bytes():
    assert len(beacon()) == 40
    assert SERIAL_NUMBER.encode() in beacon()
