# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""All sensors: the same bytes for the same seed, honest errors, formats checked by others' eyes."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import defaultdict
from datetime import datetime

import numpy as np
import pytest

from thebox_sim.config import Section, read_settings
from thebox_sim.geometry import bearing_to, elevation_to, slant_range, wrap_pi
from thebox_sim.scenario import load_scenario, parse_scenario
from thebox_sim.sensors import SETTINGS, make_sensor
from thebox_sim.world import World

EPOCH = 1_790_000_000.25


def sensor(name, seed=1, **values):
    settings = read_settings(SETTINGS[name], Section("test", name, values))
    return make_sensor(name, settings, seed, EPOCH)


def sky(own_ship=None, objects=()):
    return parse_scenario(
        {
            "name": "test",
            "description": "",
            "datum": {"latitude_deg": 54.0, "longitude_deg": -10.0},
            "own_ship": own_ship or {"heading_deg": 60.0},
            "propagation": {"shadowing_db": 0.0},
            "objects": list(objects),
        },
        "test.yaml",
    )


def ring(count=24, distance=500.0, up=60.0, body="hexacopter", **more):
    return [
        {
            "id": f"o{i:02d}",
            "object_class": "drone",
            "body": body,
            "motion": {
                "type": "hover",
                "centre": [
                    distance * math.sin(2 * math.pi * i / count),
                    distance * math.cos(2 * math.pi * i / count),
                    up,
                ],
                "wander_m": 0.0,
            },
            "emitters": [{"protocol": "FHSS"}],
            **more,
        }
        for i in range(count)
    ]


def play(scenario, unit, seconds, seed=1, before=None):
    world = World(scenario.world, seed)
    reports, datagrams = [], []
    while world.time < seconds - 1e-9:
        world.step()
        if before is not None:
            before(world)
        new = unit.poll(world)
        reports += new
        datagrams += unit.encode(new)
    return reports, datagrams, world


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_the_same_seed_sends_the_same_bytes(name):
    def bytes_of(seed):
        unit = sensor(name, seed)
        if name == "trakka":
            unit.targets_on = True
        return play(load_scenario("harbour"), unit, 15.0, seed)[1]

    first = bytes_of(4)
    assert first
    assert first == bytes_of(4)
    assert first != bytes_of(5)


@pytest.mark.parametrize(
    ("name", "values", "distance", "seconds"),
    [
        ("silvus", {"false_lines_per_min": 0.0, "period_s": 0.2}, 400.0, 20.0),
        ("mara", {"ir": False, "acoustic": False, "ranging": True, "rate_hz": 5.0}, 400.0, 20.0),
        ("mara", {"eo": False, "ir": False, "rate_hz": 5.0}, 60.0, 20.0),
        ("dspnor", {"rpm": 60.0, "clutter_per_turn": 0.0}, 500.0, 80.0),
    ],
)
def test_errors_have_the_sigmas_that_they_claim(name, values, distance, seconds):
    if name == "mara":
        values = {**values, "false_per_min": 0.0}
    reports, _, world = play(sky(objects=ring(distance=distance)), sensor(name, **values), seconds)
    where = {o.id: o.position for o in world.objects}
    scaled = defaultdict(list)
    for report in reports:
        m = report.measurement
        if m is None:
            continue
        target = where[m.truth_id]
        true = bearing_to((0, 0, 0), target)
        candidates = [m.bearing]
        if not math.isnan(m.bearing_alternative):
            candidates.append(m.bearing_alternative)
        errors = [wrap_pi(c - true) for c in candidates]
        scaled["bearing"].append(min(errors, key=abs) / m.bearing_sigma)
        if not math.isnan(m.range):
            error = m.range - slant_range((0, 0, 0), target)
            scaled["range"].append(error / m.range_sigma)
        if not math.isnan(m.elevation):
            error = m.elevation - elevation_to((0, 0, 0), target)
            scaled["elevation"].append(error / m.elevation_sigma)
    assert scaled
    for kind, values_of in scaled.items():
        sample = np.array(values_of)
        assert len(sample) > 300, kind
        assert abs(sample.mean()) < 5.0 / math.sqrt(len(sample)), kind
        assert sample.std() == pytest.approx(1.0, abs=5.0 / math.sqrt(2 * len(sample))), kind


# --- Silvus ---------------------------------------------------------------------------------

POSE = re.compile(
    r"\[(172\.16\.0\.46)\]  Lat/Lon : \((-?\d+\.\d+),(-?\d+\.\d+)\), Heading \(deg\): (\d+\.\d)"
)
ANGLE = re.compile(
    r"\[172\.16\.0\.46:(\d{16})\] (-?\d+\.\d\d), (\d+\.\d\d), (\d+\.\d\d), "
    r"\[(\d+\.\d{3}), (\d+\.\d{3})\](, \[\d+, \d+\])?"
)


@pytest.mark.parametrize("zero", ["forward", "right", "rear", "left"])
@pytest.mark.parametrize("positive", ["cw", "ccw"])
def test_silvus_lines_point_at_the_emitter(zero, positive):
    unit = sensor(
        "silvus",
        bearing_sigma_deg=0.05,
        heading_sigma_deg=0.0,
        mounting_deg=25.0,
        zero_axis=zero,
        positive=positive,
        false_lines_per_min=0.0,
    )
    true = math.radians(300.0)
    there = ring(1)
    there[0]["motion"]["centre"] = [400.0 * math.sin(true), 400.0 * math.cos(true), 0.0]
    datagrams = play(sky(objects=there), unit, 20.0)[1]
    # What an independent reader would do, from the words of the wire description.
    axis = {"forward": 0.0, "right": 90.0, "rear": 180.0, "left": 270.0}[zero]
    sign = 1.0 if positive == "cw" else -1.0
    heading, hits = math.nan, 0
    for line in b"".join(datagrams).decode("ascii").splitlines():
        pose, angle = POSE.fullmatch(line), ANGLE.fullmatch(line)
        assert pose or angle, line
        if pose:
            heading = float(pose.group(4))
            assert float(pose.group(2)) == pytest.approx(54.0)
        if angle:
            assert abs(int(angle.group(1)) / 1e6 - EPOCH) < 21.0
            both = [heading + axis + sign * float(angle.group(i)) for i in (5, 6)]
            off = [abs(wrap_pi(math.radians(b) - true)) for b in both]
            assert min(off) < math.radians(0.5)
            hits += 1
    assert heading == pytest.approx(85.0, abs=0.05)
    assert hits > 15


def test_silvus_candidates_mirror_each_other_in_no_fixed_order():
    unit = sensor("silvus", bearing_sigma_deg=0.05, false_lines_per_min=0.0)
    reports = play(sky(objects=ring(8)), unit, 30.0)[0]
    first, over = 0, 0
    for report in reports:
        if report.measurement is None:
            continue
        a, b = report.fields["angles"]
        assert math.cos(math.radians(a + b)) == pytest.approx(1.0)
        over += a >= 360.0
        true = [o for o in (a, b) if o % 360.0 < 180.0]
        first += bool(true) and true[0] == a
    assert over > 5
    assert 0.2 < first / len(reports) < 0.8


def test_silvus_says_no_heading_when_told_so():
    datagrams = play(sky(objects=ring(4)), sensor("silvus", heading_period_s=0.0), 5.0)[1]
    assert datagrams
    assert b"Lat/Lon" not in b"".join(datagrams)


# --- MARA -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "reference"), [("json", "bow"), ("kv", "true"), ("csv", "bow")]
)
def test_mara_lines_are_their_dialect(dialect, reference):
    unit = sensor("mara", dialect=dialect, bearing_reference=reference)
    reports, datagrams, _ = play(load_scenario("harbour"), unit, 12.0)
    lines = b"".join(datagrams).decode().splitlines()
    records, beats = [], 0
    columns = None
    for line in lines:
        if dialect == "json":
            record = json.loads(line)
        elif line.startswith("timestamp,"):
            columns = line.split(",")
            continue
        elif "=" in line:
            pairs = re.findall(r'(\w+)=("[^"]*"|\S+)', line)
            record = {k: v.strip('"') for k, v in pairs}
        else:
            assert columns is not None, "CSV without a header line"
            record = {k: v for k, v in zip(columns, line.split(","), strict=True) if v}
        stamp = datetime.fromisoformat(record["timestamp"].replace("Z", "+00:00")).timestamp()
        assert abs(stamp - EPOCH) < 13.0
        if "status" in record:
            beats += 1
            continue
        records.append(record)
        assert 0.0 <= float(record["bearing_deg"]) < 360.0
        assert 0.0 <= float(record["confidence"]) <= 1.0
        assert record["channel"] in ("EO", "IR", "ACOUSTIC")
        if "elevation_deg" in record:
            assert -90.0 <= float(record["elevation_deg"]) <= 90.0
    measured = [r.measurement for r in reports if r.measurement is not None]
    assert len(records) == len(measured) > 100
    assert 2 <= beats <= 3
    headings = [r.fields["heading"] for r in reports if r.measurement is not None]
    assert min(headings) > 0.5, "a harbour where the bow points north would tell nothing"
    for record, m, heading in zip(records, measured, headings, strict=True):
        start = heading if reference == "bow" else 0.0
        sent = math.radians(float(record["bearing_deg"]))
        assert math.remainder(sent - (m.bearing - start), math.tau) == pytest.approx(0.0, abs=2e-5)


def test_mara_sees_what_is_large_and_hears_what_is_loud():
    unit = sensor("mara")
    world = World(load_scenario("harbour").world, 1)
    items = {o.id: o for o in world.objects}
    drone, gull, ferry = items["survey"], items["gull-01"], items["ferry"]
    chances = [unit.chance(drone, r, "EO") for r in (100.0, 400.0, 700.0, 1500.0)]
    assert chances == sorted(chances, reverse=True)
    # 0.35 m in 0.5 mrad is 700 m: half the detection probability.
    assert unit.chance(drone, 700.0, "EO") == pytest.approx(0.425, abs=0.001)
    assert unit.chance(ferry, 2000.0, "EO") > 0.8
    assert unit.chance(gull, 30.0, "ACOUSTIC") == 0.0
    assert unit.chance(drone, 50.0, "ACOUSTIC") > unit.chance(drone, 300.0, "ACOUSTIC")
    assert unit.chance(ferry, 2600.0, "EO") == 0.0


def test_mara_gives_each_channel_its_own_tracks_and_a_new_one_after_a_gap():
    world = World(load_scenario("silent").world, 1)
    unit = sensor("mara")
    one = unit._number("x", "EO", 0.0)
    assert unit._number("x", "EO", 4.0) == one
    assert unit._number("x", "IR", 4.0) != one
    assert unit._number("x", "EO", 9.5) not in (one, unit._number("x", "IR", 9.5))
    assert world.objects == []


# --- own-ship -------------------------------------------------------------------------------


def sentences_of(datagram, header):
    """Take a datagram apart as IEC 61162-450 says, checking tag blocks and checksums."""
    if header:
        assert datagram.startswith(b"UdPbC\x00")
        datagram = datagram[6:]
    lines = datagram.decode("ascii").split("\r\n")
    assert lines.pop() == ""
    for line in lines:
        if header:
            match = re.fullmatch(r"\\(s:GP0001,n:\d{1,3})\*([0-9A-F]{2})\\(\$.*)", line)
            assert match, line
            tag, check, said = match.groups()
            assert xor(tag) == int(check, 16)
        else:
            said = line
        body, check = re.fullmatch(r"\$([^*]+)\*([0-9A-F]{2})", said).groups()
        assert xor(body) == int(check, 16)
        yield said


def xor(text):
    value = 0
    for character in text:
        value ^= ord(character)
    return value


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("said", ["HDT", "THS", "HDG", "none"])
def test_nmea_is_read_by_an_independent_parser(header, said):
    pynmeagps = pytest.importorskip("pynmeagps")
    scenario = load_scenario("moving_vessel")
    unit = sensor("ownship", header=header, heading_sentence=said, position_sigma_m=0.0)
    world = World(scenario.world, 1)
    seen = defaultdict(int)
    while world.time < 20.0:
        world.step()
        ship = world.own_ship
        latitude, longitude, _ = world.spec.datum.to_geodetic(ship.position)
        for datagram in unit.encode(unit.poll(world)):
            for line in sentences_of(datagram, header):
                message = pynmeagps.NMEAReader.parse(f"{line}\r\n".encode())
                seen[message.msgID] += 1
                if message.msgID in ("GGA", "RMC"):
                    assert message.lat == pytest.approx(latitude, abs=2e-7)
                    assert message.lon == pytest.approx(longitude, abs=2e-7)
                    clock = message.time
                    at = clock.hour * 3600 + clock.minute * 60 + clock.second
                    at += clock.microsecond / 1e6
                    assert at == pytest.approx((EPOCH + world.time) % 86400, abs=0.011)
                if message.msgID == "RMC":
                    assert message.status == "A"
                    assert message.spd * 1852 / 3600 == pytest.approx(ship.speed, abs=0.5)
                    assert wrap_pi(math.radians(message.cog) - ship.course) == (
                        pytest.approx(0.0, abs=0.1)
                    )
                if message.msgID in ("HDT", "THS"):
                    given = message.headingT if message.msgID == "HDT" else message.headt
                    assert wrap_pi(math.radians(float(given)) - ship.heading) == (
                        pytest.approx(0.0, abs=math.radians(2.0))
                    )
                if message.msgID == "HDG":
                    true = float(message.headingM) + 2.0
                    assert wrap_pi(math.radians(true) - ship.heading) == (
                        pytest.approx(0.0, abs=math.radians(2.0))
                    )
                if message.msgID == "ROT":
                    assert float(message.rot) == pytest.approx(
                        math.degrees(ship.heading_rate) * 60.0, abs=0.06
                    )
    assert seen["GGA"] == seen["RMC"] == seen["VTG"] == pytest.approx(40, abs=1)
    assert seen[said] == (0 if said == "none" else pytest.approx(200, abs=2))


def test_every_sensor_with_a_clock_shows_a_wrong_one():
    for name, pattern in (
        ("silvus", rb":(\d{10})\d{6}\]"),
        ("ownship", rb"GPRMC,(\d{6})"),
        ("mara", rb'"timestamp":"([^"]+)"'),
    ):
        stamps = []
        for offset in (0.0, 90.0):
            unit = sensor(name)
            unit.clock_offset = offset
            datagrams = play(sky(objects=ring(4)), unit, 5.0)[1]
            stamps.append(re.findall(pattern, b"".join(datagrams)))
        assert stamps[0]
        assert len(stamps[0]) == len(stamps[1])
        if name == "silvus":
            assert all(int(b) - int(a) == 90 for a, b in zip(*stamps, strict=True))
        else:
            assert all(a != b for a, b in zip(*stamps, strict=True))


def test_a_compass_wanders_slowly_and_jitters_little():
    unit = sensor("ownship", heading_sigma_deg=0.3, heading_jitter_deg=0.05)
    world = World(load_scenario("harbour").world, 1)
    errors = []
    while world.time < 600.0:
        world.step()
        errors += [
            math.degrees(wrap_pi(report.fields["heading"] - world.own_ship.heading))
            for report in unit.poll(world)
            if "fix" not in report.fields
        ]
    steps = [b - a for a, b in itertools.pairwise(errors)]
    assert len(errors) == pytest.approx(6000, abs=10)
    # From one heading to the next the jitter and what 0.1 s of a minute's wander adds.
    expected = math.sqrt(2 * 0.05**2 + 2 * 0.3**2 * 0.1 / 60.0)
    assert math.sqrt(sum(s * s for s in steps) / len(steps)) == pytest.approx(expected, rel=0.1)
    # Ten minutes are ten times its memory: it has been about on both sides.
    spread = math.sqrt(sum(e * e for e in errors) / len(errors))
    assert 0.15 < spread < 0.6
    assert min(errors) < 0.0 < max(errors)
