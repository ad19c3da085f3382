# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thebox_sim.config import Section, read_settings
from thebox_sim.geometry import bearing_to, elevation_to, wrap_pi
from thebox_sim.scenario import load_scenario
from thebox_sim.sensors import Trakka, TrakkaSettings
from thebox_sim.sensors.trakka import Gimbal, frame
from thebox_sim.world import World

EPOCH = 1_790_000_000.0


def camera(**values):
    return Trakka(read_settings(TrakkaSettings, Section("t", "trakka", values)), 1, EPOCH)


def frames(stream):
    """Take a stream of whole frames apart, with the check bytes worked out another way."""
    while stream:
        assert stream[:2] == b"\xa7\x54"
        kind, code, length = struct.unpack_from("<BBH", stream, 2)
        body, check = stream[2 : 6 + length], stream[6 + length : 8 + length]
        # Fletcher in closed form: the second sum weighs each byte by its distance from the end.
        first = sum(body) % 255
        second = sum(b * (len(body) - i) for i, b in enumerate(body)) % 255
        assert check == bytes((first, second))
        yield kind, code, body[4:]
        stream = stream[8 + length :]


def register(session, address, form="<Hf"):
    reply = list(frames(session.received(frame(1, 3, struct.pack("<H", address)))))
    assert len(reply) == 1
    kind, code, payload = reply[0]
    assert (kind, code) == (1, 4)
    assert struct.unpack("<H", payload[:2])[0] == address
    return struct.unpack(form, payload)[1]


class Bench:
    """A camera on a clock of the test's own."""

    def __init__(self, **values):
        self.now = 0.0
        self.camera = camera(**values)
        self.camera.clock = lambda: self.now
        self.session = self.camera.open_session()
        self.camera.sync()

    def wait(self, seconds):
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            self.camera.sync()

    def send(self, kind, code, form, *values):
        return self.session.received(frame(kind, code, struct.pack(form, *values)))

    @property
    def azimuth(self):
        return register(self.session, 0x1809)

    @property
    def elevation(self):
        return register(self.session, 0x180A)


def test_rates_move_the_gimbal_until_told_otherwise():
    bench = Bench()
    assert bench.send(2, 2, "<f", math.radians(20.0)) == b""
    bench.wait(2.0)
    # Less than 40 degrees: it had to speed up first.
    assert math.degrees(bench.azimuth) == pytest.approx(39.0, abs=1.0)
    bench.send(2, 2, "<f", 0.0)
    bench.wait(1.0)
    still = bench.azimuth
    bench.wait(2.0)
    assert bench.azimuth == still
    bench.send(2, 3, "<f", math.radians(50.0))
    bench.wait(5.0)
    assert math.degrees(bench.elevation) == pytest.approx(85.0, abs=1e-3)


def test_rates_above_sixty_degrees_a_second_are_refused():
    bench = Bench()
    bench.send(2, 2, "<f", math.radians(61.0))
    bench.send(2, 2, "<f", math.nan)
    bench.wait(1.0)
    assert bench.azimuth == 0.0
    assert bench.camera.refused == 2


@pytest.mark.parametrize("target", [120.0, -170.0, 0.3])
def test_cage_settles_on_its_angles_by_the_shorter_way(target):
    bench = Bench()
    bench.send(2, 0x81, "<B", 1)
    bench.send(2, 0x82, "<f", math.radians(target))
    bench.send(2, 0x83, "<f", math.radians(20.0))
    assert register(bench.session, 0x0800, "<HI") == 1
    bench.wait(5.0)
    assert abs(wrap_pi(bench.azimuth - math.radians(target))) < math.radians(0.02)
    assert math.degrees(bench.elevation) == pytest.approx(20.0, abs=0.02)
    assert not bench.camera.gimbal.moving or abs(bench.camera.gimbal.azimuth_rate) < 1e-3


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2]), st.floats(-1.0, 1.0), st.floats(-3.2, 3.2)),
        min_size=1,
        max_size=6,
    )
)
def test_the_gimbal_never_exceeds_rate_and_acceleration(commands):
    limits = read_settings(TrakkaSettings, Section("t", "trakka", {}))
    gimbal = Gimbal(limits)
    for mode, rate, angle in commands:
        gimbal.mode, gimbal.commanded_rate, gimbal.cage = mode, [rate, rate], [angle, angle]
        for _ in range(40):
            before = (gimbal.azimuth_rate, gimbal.elevation_rate)
            gimbal.advance(0.005)
            after = (gimbal.azimuth_rate, gimbal.elevation_rate)
            assert max(map(abs, after)) <= math.radians(60.0) + 1e-9
            assert abs(after[0] - before[0]) <= math.radians(180.0) * 0.005 + 1e-9
            assert math.radians(-30.0) - 1e-9 <= gimbal.elevation <= math.radians(85.0) + 1e-9


def test_a_geo_set_point_is_followed_as_the_ship_turns():
    scenario = load_scenario("moving_vessel")
    world = World(scenario.world, 1)
    unit = camera(mounting_deg=30.0)
    session = unit.open_session()
    point = (900.0, 1200.0, 80.0)
    unit.poll(world)
    session.received(frame(4, 0x81, struct.pack("<3d", *world.spec.datum.to_ecef(point))))
    session.received(frame(4, 0x8A, struct.pack("<B", 0)))
    worst = 0.0
    while world.time < 40.0:
        world.step()
        unit.poll(world)
        if world.time > 6.0:
            true = bearing_to(world.own_ship.position, point)
            pose = world.own_ship.heading + math.radians(30.0) + register(session, 0x1809)
            worst = max(worst, abs(wrap_pi(pose - true)))
            up = elevation_to(world.own_ship.position, point)
            assert register(session, 0x180A) == pytest.approx(up, abs=math.radians(0.5))
    assert worst < math.radians(1.0)


def test_zoom_sets_the_field_of_view():
    bench = Bench()
    assert register(bench.session, 0x1101) == 1.0
    bench.send(0x81, 2, "<BBf", 1, 1, math.radians(3.0))
    ratio = math.tan(math.radians(15.0)) / math.tan(math.radians(1.5))
    assert register(bench.session, 0x1101) == pytest.approx(ratio, rel=1e-5)
    assert bench.camera.pose().horizontal_field_of_view == pytest.approx(math.radians(3.0))
    bench.send(0x81, 2, "<BBf", 1, 0, -1.0)
    bench.wait(10.0)
    assert register(bench.session, 0x1101) == 1.0


def test_video_tracks_point_at_what_is_in_the_picture():
    world = World(load_scenario("harbour").world, 1)
    unit = camera(false_tracks_per_min=0.0, sigma_deg=0.05)
    session = unit.open_session()
    unit.poll(world)
    session.received(frame(0x81, 2, struct.pack("<BBf", 1, 1, math.radians(5.0))))
    session.received(frame(2, 0x81, struct.pack("<B", 3)))
    errors, sent = [], []
    for step in range(1200):
        world.step()
        target = next(o for o in world.objects if o.id == "survey").position
        session.received(frame(4, 0x81, struct.pack("<3d", *world.spec.datum.to_ecef(target))))
        if step == 0:
            session.received(frame(4, 0x8A, struct.pack("<B", 0)))
        reports = unit.poll(world)
        if step < 100:
            assert reports == []
        if step == 100:
            session.received(frame(0x82, 3, struct.pack("<Bh", 4, 30)))
        sent += unit.encode(reports)
        errors += [
            wrap_pi(r.measurement.bearing - bearing_to(world.own_ship.position, target))
            for r in reports
            if r.measurement is not None and r.measurement.truth_id == "survey"
        ]
    assert len(errors) > 200
    assert np.std(errors) == pytest.approx(math.radians(0.05), rel=0.2)
    assert abs(np.mean(errors)) < math.radians(0.01)
    kinds = set()
    for kind, code, payload in frames(b"".join(sent)):
        assert (kind, code) == (0x82, 7)
        source, index, status, quality, az, el, what, sure = struct.unpack("<BHBBffBB", payload)
        assert source == 1
        assert index > 0
        assert status in (1, 3)
        assert quality <= 100
        assert sure <= 100
        assert abs(az) < math.radians(2.6)
        assert abs(el) < math.radians(1.5)
        kinds.add(what)
    assert 1 in kinds
    session.received(frame(0x82, 3, struct.pack("<Bh", 4, 0)))
    world.step()
    assert unit.poll(world) == []


def test_frames_are_found_in_any_pieces_and_among_garbage():
    ask = frame(1, 3, struct.pack("<H", 0x1809))
    damaged = ask[:-1] + bytes([ask[-1] ^ 1])
    stream = b"\x00\xa7\x54junk" + ask + damaged + b"\xa7" + ask + b"\xa7\x54\x01\x03\xff\xff" + ask
    whole = camera().open_session().received(stream)
    assert len(list(frames(whole))) == 3
    for size in range(1, 12):
        session = camera().open_session()
        pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
        assert b"".join(session.received(p) for p in pieces) == whole


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=6))
def test_no_bytes_break_the_camera(chunks):
    unit = camera()
    session = unit.open_session()
    for chunk in chunks:
        session.received(b"\xa7\x54" + chunk)
    session.received(b"\x00" * 1100)
    # Whatever was held of a long frame is over by now: it answers again.
    assert register(session, 0x1809) == 0.0
