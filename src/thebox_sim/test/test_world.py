# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thebox_sim.flight import BODIES, Kinematics, fly
from thebox_sim.geometry import Datum, ecef_to_geodetic, geodetic_to_ecef, wrap_pi
from thebox_sim.radio import PROTOCOLS, Emitter, EmitterSpec, Propagation
from thebox_sim.scenario import load_scenario, scenario_names
from thebox_sim.world import World, random_stream

STEP = 0.05


def states(name: str, seed: int, seconds: float) -> list[tuple]:
    world = World(load_scenario(name).world, seed)
    seen = []
    while world.time < seconds:
        world.step()
        seen.append(
            (
                world.own_ship,
                [(o.id, o.position, o.velocity) for o in world.objects],
                [
                    (e.key, e.frequency_hz, e.rssi_dbm(500.0))
                    for o in world.objects
                    for e in o.emitters
                ],
            )
        )
    return seen


@pytest.mark.parametrize("name", scenario_names())
def test_the_same_seed_plays_the_same_world(name):
    assert states(name, 5, 20.0) == states(name, 5, 20.0)


def test_another_seed_plays_another_world():
    assert states("harbour", 5, 5.0) != states("harbour", 6, 5.0)


def test_one_more_object_does_not_move_the_others():
    spec = load_scenario("low_slow_among_birds").world
    fewer = dataclasses.replace(spec, objects=spec.objects[:2])
    all_of_it, part = World(spec, 3), World(fewer, 3)
    for _ in range(200):
        all_of_it.step()
        part.step()
    positions = {o.id: o.position for o in all_of_it.objects}
    assert part.objects
    assert all(positions[o.id] == o.position for o in part.objects)


@pytest.mark.parametrize("name", scenario_names())
def test_objects_stay_within_what_their_bodies_allow(name):
    world = World(load_scenario(name).world, 2)
    last = {}
    for _ in range(int(120.0 / world.dt)):
        world.step()
        for item in world.objects:
            body, velocity = item.body, item.velocity
            speed = math.hypot(velocity[0], velocity[1])
            assert speed <= body.max_speed_mps + 1e-6
            assert abs(velocity[2]) <= body.max_climb_mps + 1e-6
            assert item.position[2] >= 0.0
            if body.min_speed_mps:
                assert speed >= body.min_speed_mps - 1e-6
            if item.id in last:
                position, old = last[item.id]
                moved = math.dist(position, item.position)
                assert moved <= (body.max_speed_mps + body.max_climb_mps) * world.dt + 1e-6
                old_speed = math.hypot(old[0], old[1])
                change = math.hypot(velocity[0] - old[0], velocity[1] - old[1])
                # Braking and banking together: no more than the two at right angles.
                assert change <= math.sqrt(2.0) * body.max_accel_mps2 * world.dt + 1e-6
                if min(speed, old_speed) > 1.0:
                    turn = wrap_pi(
                        math.atan2(velocity[0], velocity[1]) - math.atan2(old[0], old[1])
                    )
                    assert abs(turn) <= math.radians(body.max_turn_rate_dps) * world.dt + 1e-6
            last[item.id] = (item.position, velocity)


@settings(max_examples=300, deadline=None)
@given(
    body=st.sampled_from(sorted(BODIES)),
    wanted=st.tuples(*[st.floats(-100.0, 100.0)] * 3),
    course=st.floats(-10.0, 10.0),
    share=st.floats(0.0, 1.0),
)
def test_no_wish_takes_a_body_beyond_its_limits(body, wanted, course, share):
    limits = BODIES[body]
    speed = limits.min_speed_mps + share * (limits.max_speed_mps - limits.min_speed_mps)
    before = Kinematics(
        (0.0, 0.0, 50.0), (speed * math.sin(course), speed * math.cos(course), 0.0), course
    )
    after = fly(before, wanted, limits, STEP)
    assert all(math.isfinite(v) for v in (*after.position, *after.velocity, after.course))
    assert after.ground_speed <= limits.max_speed_mps + 1e-6
    change = math.hypot(
        after.velocity[0] - before.velocity[0], after.velocity[1] - before.velocity[1]
    )
    assert change <= math.sqrt(2.0) * limits.max_accel_mps2 * STEP + 1e-6


def test_a_drone_passes_its_waypoints_and_stops_at_the_last():
    world = World(load_scenario("low_slow_among_birds").world, 1)
    points = [(200.0, -500.0, 12.0), (150.0, -300.0, 15.0), (60.0, -180.0, 15.0)]
    nearest = [math.inf] * len(points)
    while world.time < 290.0:
        world.step()
        position = next(o.position for o in world.objects if o.id == "creeper")
        nearest = [min(n, math.dist(p, position)) for n, p in zip(nearest, points, strict=True)]
    creeper = next(o for o in world.objects if o.id == "creeper")
    assert max(nearest) < 5.0
    assert math.dist(creeper.position, points[-1]) < 1.0
    assert math.hypot(*creeper.velocity) < 0.3


def test_an_orbit_keeps_its_radius():
    world = World(load_scenario("harbour").world, 1)
    radii = []
    while world.time < 120.0:
        world.step()
        hobby = [o.position for o in world.objects if o.id == "hobby" and world.time > 40.0]
        radii += [math.hypot(p[0] + 420.0, p[1] + 260.0) for p in hobby]
    assert radii
    assert max(abs(r - 90.0) for r in radii) < 8.0


def test_birds_stay_near_their_centre_and_an_anchored_yacht_near_its_buoy():
    world = World(load_scenario("harbour").world, 4)
    furthest = {}
    while world.time < 300.0:
        world.step()
        for item in world.objects:
            east, north, _ = item.position
            if item.id.startswith("gull"):
                distance = math.hypot(east - 150.0, north + 350.0)
                furthest["gull"] = max(furthest.get("gull", 0.0), distance)
            if item.id == "yacht":
                distance = math.hypot(east - 300.0, north - 180.0)
                furthest["yacht"] = max(furthest.get("yacht", 0.0), distance)
    assert furthest["gull"] < 200.0 + 3 * 120.0 + 150.0
    assert furthest["yacht"] < 30.0


def test_the_moving_vessel_follows_its_points_and_yaws_about_its_course():
    world = World(load_scenario("moving_vessel").world, 1)
    yaw, nearest = [], math.inf
    while world.time < 200.0:
        world.step()
        ship = world.own_ship
        assert 0.0 <= ship.heading < 2.0 * math.pi
        yaw.append(wrap_pi(ship.heading - ship.course))
        nearest = min(nearest, math.hypot(ship.position[0] - 300.0, ship.position[1] - 1100.0))
    assert max(yaw) == pytest.approx(math.radians(2.5), rel=0.02)
    assert nearest < 60.0


def test_rssi_follows_the_log_distance_law():
    air = Propagation(exponent=2.4, shadowing_db=0.0)
    # Friis at 1 m for 5.8 GHz is 47.7 dB.
    assert air.mean_rssi_dbm(27.0, 5.8e9, 1.0) == pytest.approx(27.0 - 47.7, abs=0.05)
    drop = air.mean_rssi_dbm(27.0, 5.8e9, 100.0) - air.mean_rssi_dbm(27.0, 5.8e9, 1000.0)
    assert drop == pytest.approx(24.0)
    assert air.mean_rssi_dbm(0.0, 5.8e9, 0.01) == air.mean_rssi_dbm(0.0, 5.8e9, 1.0)


def test_free_space_matches_friis():
    distance, frequency, power = 700.0, 2.44e9, 20.0
    wavelength = 299_792_458.0 / frequency
    friis = power + 20.0 * math.log10(wavelength / (4.0 * math.pi * distance))
    air = Propagation(exponent=2.0, shadowing_db=0.0)
    assert air.mean_rssi_dbm(power, frequency, distance) == pytest.approx(friis, abs=0.02)


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_emitters_hop_within_their_band_and_shadowing_has_its_sigma(protocol):
    air = Propagation(exponent=2.0, shadowing_db=3.0, shadowing_time_s=1.0)
    emitter = Emitter(EmitterSpec(protocol), "1", air, random_stream(1, protocol))
    frequencies, excess = set(), []
    for step in range(20_000):
        emitter.step(step * STEP, STEP)
        frequencies.add(emitter.frequency_hz)
        mean = air.mean_rssi_dbm(emitter.power_dbm, emitter.frequency_hz, 300.0)
        excess.append(emitter.rssi_dbm(300.0) - mean)
    assert len(frequencies) >= 8
    assert all(
        0.9e9 <= f <= 0.93e9 or 2.4e9 <= f <= 2.4835e9 or 5.725e9 <= f <= 5.85e9
        for f in frequencies
    )
    assert np.std(excess) == pytest.approx(3.0, rel=0.15)
    assert abs(np.mean(excess)) < 0.5


@given(st.floats(-85.0, 85.0), st.floats(-180.0, 180.0), st.floats(-100.0, 9000.0))
def test_geodetic_and_ecef_are_inverse(latitude, longitude, height):
    lat, lon, alt = ecef_to_geodetic(geodetic_to_ecef(latitude, longitude, height))
    assert lat == pytest.approx(latitude, abs=1e-9)
    assert math.cos(math.radians(lon - longitude)) == pytest.approx(1.0, abs=1e-12)
    assert alt == pytest.approx(height, abs=1e-3)


@given(st.tuples(*[st.floats(-20e3, 20e3)] * 3))
def test_enu_and_ecef_are_inverse(position):
    datum = Datum(54.3, 10.1, 12.0)
    assert datum.from_ecef(datum.to_ecef(position)) == pytest.approx(position, abs=1e-6)


def test_a_metre_of_latitude_is_a_metre_north():
    datum = Datum(45.0, 7.0)
    lat, lon, _ = datum.to_geodetic((0.0, 1000.0, 0.0))
    # One minute of latitude at 45 degrees is 1852.2 m (meridian radius 6 367 382 m).
    assert (lat - 45.0) * 60.0 * 1852.2 == pytest.approx(1000.0, rel=1e-3)
    assert lon == pytest.approx(7.0, abs=1e-9)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed"):
        World(load_scenario("silent").world, -1)
