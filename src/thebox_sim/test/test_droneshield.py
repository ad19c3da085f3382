# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ast
import itertools
import json
import math
from collections import defaultdict

import numpy as np
import pytest

from thebox_sim.config import Section, read_settings
from thebox_sim.geometry import bearing_to, wrap_pi
from thebox_sim.scenario import load_scenario, parse_scenario
from thebox_sim.sensors import DroneShield, DroneShieldSettings
from thebox_sim.sensors.droneshield import MAX_SIGMA, signal_bars
from thebox_sim.world import World

EPOCH = 1_757_032_603.4
KEYS = [
    "AngleOfArrivalRadians",
    "AbsoluteAngleOfArrivalRadians",
    "AngleOfArrivalErrorRadians",
    "CorrelationKey",
    "SerialNumber",
    "DetectionCount",
    "EpochTimeMilliSeconds",
    "TimeUTC",
    "FrequencyHertz",
    "RSSI",
    "SignalBars",
    "Protocol",
    "Vendor",
    "Name",
    "Type",
    "IsDrone",
    "MacAddress",
]


def settings_of(**values) -> DroneShieldSettings:
    return read_settings(DroneShieldSettings, Section("test", "droneshield", values))


def still_sky(heading=90.0, emitters=40, distance=600.0, **own_ship):
    """Hovering emitters all around at one distance, so that truth is known exactly."""
    objects = []
    for i in range(emitters):
        angle = 2.0 * math.pi * i / emitters
        objects.append(
            {
                "id": f"d{i}",
                "object_class": "drone",
                "body": "quadcopter",
                "motion": {
                    "type": "hover",
                    "centre": [distance * math.sin(angle), distance * math.cos(angle), 50.0],
                    "wander_m": 0.0,
                },
                "emitters": [{"protocol": "FHSS"}],
            }
        )
    return parse_scenario(
        {
            "name": "still",
            "description": "",
            "datum": {"latitude_deg": 0.0, "longitude_deg": 0.0},
            "own_ship": {"heading_deg": heading, **own_ship},
            "propagation": {"shadowing_db": 0.0},
            "objects": objects,
        },
        "still.yaml",
    )


def play(scenario, settings, seconds, seed=1):
    world = World(scenario.world, seed)
    unit = DroneShield(settings, seed, EPOCH)
    reports, datagrams = [], []
    while world.time < seconds:
        world.step()
        new = unit.poll(world)
        reports += new
        datagrams += unit.encode(new)
    return reports, datagrams


def test_the_same_seed_sends_the_same_bytes():
    scenario = load_scenario("harbour")
    settings = scenario.sensors["droneshield"]
    first = play(scenario, settings, 30.0, seed=9)[1]
    assert first == play(scenario, settings, 30.0, seed=9)[1]
    assert first != play(scenario, settings, 30.0, seed=10)[1]
    assert len(first) > 50


def test_every_datagram_is_the_units_own_json():
    reports, datagrams = play(
        load_scenario("harbour"), settings_of(truncated_rate=0.0, bearing_reference="true"), 60.0
    )
    assert len(datagrams) == len(reports) > 100
    for report, datagram in zip(reports, datagrams, strict=True):
        message = json.loads(datagram)
        assert list(message) == ["APIVersion", "Type", "Data"]
        assert (message["APIVersion"], message["Type"]) == ("9", "Detection")
        body = message["Data"]
        assert list(body) == KEYS
        assert -math.pi <= body["AngleOfArrivalRadians"] <= math.pi
        assert body["AbsoluteAngleOfArrivalRadians"] == body["AngleOfArrivalRadians"]
        assert wrap_pi(body["AngleOfArrivalRadians"] - report.measurement.bearing) == (
            pytest.approx(0.0, abs=1e-6)
        )
        assert 0.0 < body["AngleOfArrivalErrorRadians"] <= round(MAX_SIGMA, 7)
        assert body["EpochTimeMilliSeconds"] % 1000 == 0
        assert isinstance(body["RSSI"], int)
        assert -110 < body["RSSI"] < 0
        assert 1 <= body["SignalBars"] <= 10
        assert body["FrequencyHertz"] in range(900_000_000, 6_000_000_000)
        assert body["CorrelationKey"] == body["SerialNumber"] == report.measurement.key
        assert body["CorrelationKey"].isdigit()
        assert body["IsDrone"] is True
        assert body["TimeUTC"].startswith("2025-09-05T00:3")


def test_the_relay_dialect_is_a_python_literal():
    datagrams = play(still_sky(), settings_of(dialect="python", truncated_rate=0.0), 5.0)[1]
    assert datagrams
    for datagram in datagrams:
        assert list(ast.literal_eval(datagram.decode())["Data"]) == KEYS
        with pytest.raises(json.JSONDecodeError):
            json.loads(datagram)


def test_signal_bars_are_those_of_the_capture():
    seen = {-94: 4, -91: 5, -90: 5, -88: 6, -86: 6, -85: 7, -82: 7, -80: 8, -78: 8, -76: 9, -55: 10}
    assert {rssi: signal_bars(rssi) for rssi in seen} == seen
    bars = [signal_bars(r) for r in range(-130, -30)]
    assert bars == sorted(bars)
    assert (bars[0], bars[-1]) == (1, 10)


@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_bearing_errors_have_the_sigma_that_they_claim(ratio):
    settings = settings_of(
        repeats=0, false_emitters_per_min=0.0, update_period_s=0.5, reported_sigma_ratio=ratio
    )
    scenario = still_sky()
    reports = play(scenario, settings, 60.0)[0]
    world = World(scenario.world, 1)
    where = {o.id: o.position for o in world.objects}
    errors = np.array(
        [
            wrap_pi(r.measurement.bearing - bearing_to((0, 0, 0), where[r.measurement.truth_id]))
            / (r.measurement.bearing_sigma / ratio)
            for r in reports
        ]
    )
    assert len(errors) > 2000
    # Four sigma of the estimates themselves.
    assert abs(errors.mean()) < 4.0 / math.sqrt(len(errors))
    assert errors.std() == pytest.approx(1.0, abs=4.0 / math.sqrt(2 * len(errors)))


def test_weak_signals_are_noisier_and_missed_more():
    unit = DroneShield(settings_of(), 1, EPOCH)
    levels = [-97.0, -90.0, -80.0, -67.0, -50.0]
    sigmas = [unit.true_sigma(r) for r in levels]
    assert sigmas == sorted(sigmas, reverse=True)
    assert sigmas[0] == pytest.approx(math.radians(14.0))
    assert sigmas[-1] == pytest.approx(math.radians(6.0))
    chances = [unit.detection_probability(r) for r in levels]
    assert chances == sorted(chances)
    assert unit.detection_probability(-97.1) == 0.0
    assert chances[-1] == pytest.approx(0.9)


def test_nothing_is_heard_beyond_reach_or_outside_the_sector():
    quiet = settings_of(false_emitters_per_min=0.0, sensitivity_dbm=-60.0)
    assert play(still_sky(), quiet, 20.0)[0] == []
    # Bow to the east; the sector looks 30 degrees to starboard of it.
    sector = settings_of(
        false_emitters_per_min=0.0,
        sector_centre_deg=30.0,
        sector_width_deg=60.0,
        bearing_sigma_deg=0.1,
        weak_sigma_deg=0.1,
    )
    reports = play(still_sky(heading=90.0), sector, 20.0)[0]
    bearings = [math.degrees(r.measurement.bearing) for r in reports]
    assert bearings
    assert min(bearings) > 89.0
    assert max(bearings) < 151.0


def test_the_sent_angle_is_from_the_bow_and_the_mounting():
    settings = settings_of(
        mounting_deg=20.0, false_emitters_per_min=0.0, truncated_rate=0.0, bearing_reference="bow"
    )
    reports, datagrams = play(still_sky(heading=90.0), settings, 10.0)
    assert reports
    for report, datagram in zip(reports, datagrams, strict=True):
        angle = json.loads(datagram)["Data"]["AngleOfArrivalRadians"]
        back = angle + math.radians(110.0)
        assert wrap_pi(back - report.measurement.bearing) == pytest.approx(0.0, abs=1e-6)


def test_repeats_keep_stamp_and_angle_and_lose_certainty():
    settings = settings_of(false_emitters_per_min=0.0, update_period_s=6.0, repeats=4)
    reports = play(still_sky(emitters=6), settings, 60.0)[0]
    by_key = defaultdict(list)
    for report in reports:
        by_key[report.measurement.key].append(report)
    repeated = 0
    for series in by_key.values():
        for old, new in itertools.pairwise(series):
            a, b = old.measurement, new.measurement
            if a.bearing == b.bearing:
                repeated += 1
                assert (a.time, a.frequency, a.rssi) == (b.time, b.frequency, b.rssi)
                grown = min(math.hypot(a.bearing_sigma, 0.15), MAX_SIGMA)
                assert b.bearing_sigma == pytest.approx(grown)
                assert new.sent - old.sent == pytest.approx(0.5, abs=0.051)
    assert repeated > 50


def test_stamps_are_whole_seconds_and_some_come_out_of_order():
    datagrams = play(still_sky(emitters=5), settings_of(truncated_rate=0.0), 60.0)[1]
    stamps = [json.loads(d)["Data"]["EpochTimeMilliSeconds"] for d in datagrams]
    newest, late, worst = 0, 0, 0
    for stamp in stamps:
        late += stamp < newest
        worst = max(worst, newest - stamp)
        newest = max(newest, stamp)
    assert 0.05 < late / len(stamps) < 0.9
    assert 1000 <= worst <= 10_000
    assert all(s <= (EPOCH + 60.0) * 1000 for s in stamps)


def test_lines_are_cut_at_the_given_rate():
    datagrams = play(still_sky(), settings_of(truncated_rate=0.1), 60.0)[1]
    cut = sum(not datagram.endswith(b"}}") for datagram in datagrams)
    assert cut / len(datagrams) == pytest.approx(0.1, abs=0.02)


def test_a_wrong_clock_shows_in_the_stamps_only():
    scenario, settings = still_sky(emitters=3), settings_of(truncated_rate=0.0)
    world, unit = World(scenario.world, 1), DroneShield(settings, 1, EPOCH)
    unit.clock_offset = 90.0
    checked = 0
    while world.time < 10.0:
        world.step()
        for report in unit.poll(world):
            body = json.loads(unit.encode([report])[0])["Data"]
            shown = body["EpochTimeMilliSeconds"] / 1000.0
            assert shown == pytest.approx(EPOCH + report.measurement.time + 90.0, abs=1.0)
            checked += 1
    assert checked


def test_a_silent_sky_has_false_emitters_only_when_asked():
    sky = load_scenario("silent")
    assert play(sky, sky.sensors["droneshield"], 60.0)[0] == []
    reports = play(sky, settings_of(false_emitters_per_min=30.0), 60.0)[0]
    assert len(reports) > 30
    assert all(r.measurement.truth_id == "" for r in reports)
