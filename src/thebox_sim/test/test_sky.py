# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The runner on real loopback sockets: what goes out, at what pace, under which fault."""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from contextlib import contextmanager, suppress

import pytest

from thebox_sim.scenario import load_scenario
from thebox_sim.sensors.dspnor import frame as d2d_frame
from thebox_sim.sensors.trakka import frame
from thebox_sim.sky import Sky, Target
from thebox_sim.tcp import Session, TcpServer

# Longest wait for something that should happen soon, seconds.
PATIENCE = 10.0


@contextmanager
def receiver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(PATIENCE)
        yield udp, Target("127.0.0.1", udp.getsockname()[1])


def drain(udp):
    udp.setblocking(False)
    found = []
    with suppress(BlockingIOError):
        while True:
            found.append(udp.recv(65536))
    udp.settimeout(PATIENCE)
    return found


def is_json(datagram):
    try:
        json.loads(datagram)
    except ValueError:
        return False
    return True


def until(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {PATIENCE} s"
        time.sleep(0.01)


@contextmanager
def sky_of(scenario="harbour", names=("droneshield",), seed=1, rate=1.0, listen=()):
    with receiver() as (udp, target):
        sky = Sky(
            load_scenario(scenario),
            seed,
            dict.fromkeys(names, target),
            1_790_000_000.0,
            rate,
            listen={name: Target("127.0.0.1", 0) for name in listen},
        )
        try:
            yield sky, udp
        finally:
            sky.stop()


ALL_UDP = ("droneshield", "silvus", "mara", "dspnor", "ownship")


def test_what_is_sent_arrives_and_is_counted():
    with sky_of(names=ALL_UDP) as (sky, udp):
        sky.advance(8.0)
        got = drain(udp)
        counts = sky.counts()
        assert set(counts) == set(ALL_UDP)
        assert all(c.datagrams > 0 for c in counts.values())
        assert len(got) == sum(c.datagrams for c in counts.values())
        assert sum(map(len, got)) == sum(c.bytes for c in counts.values())


def test_the_same_seed_sends_the_same_bytes_through_the_sockets():
    runs = []
    for _ in range(2):
        with sky_of(names=ALL_UDP, seed=11) as (sky, udp):
            sky.advance(5.0)
            runs.append(drain(udp))
    assert runs[0] == runs[1]


def test_the_thread_plays_at_its_rate_and_stops():
    with sky_of(rate=20.0) as (sky, udp):
        sky.start()
        udp.recv(65536)
        began, played = time.monotonic(), sky.truth().time
        until(lambda: sky.truth().time > played + 10.0, "ten seconds of the scenario")
        # Never faster than told; how much slower is the machine's affair.
        assert sky.truth().time - played <= 20.0 * (time.monotonic() - began) + 3.0
        with pytest.raises(RuntimeError, match="already"):
            sky.start()
        sky.stop()
        stopped = sky.truth().time
        drain(udp)
        assert sky.truth().time == stopped
        assert drain(udp) == []
        assert sky.failure is None


def test_silence_and_back():
    with sky_of(names=("droneshield", "ownship")) as (sky, udp):
        sky.advance(2.0)
        drain(udp)
        assert sky.set_fault("ownship", "silent") == "ownship: silent"
        sky.advance(12.0)
        got = drain(udp)
        assert got
        # The others go on: one sensor's fault is its own.
        assert all(b"APIVersion" in d or d.startswith(b"{") for d in got)
        sky.set_fault("ownship", "none")
        sky.advance(14.0)
        assert any(d.startswith(b"UdPbC") for d in drain(udp))


def test_a_flood_has_its_rate_and_real_datagrams():
    with sky_of() as (sky, udp):
        sky.advance(10.0)
        normal = set(drain(udp))
        sky.set_fault("droneshield", "flood", 500.0)
        sky.advance(12.0)
        got = drain(udp)
        assert len(got) == pytest.approx(1000, abs=60)
        assert sum(d in normal for d in got) > 500


def test_garbage_is_not_what_the_sensor_says():
    with sky_of() as (sky, udp):
        sky.advance(10.0)
        drain(udp)
        sky.set_fault("droneshield", "garbage", 300.0)
        sky.advance(12.0)
        got = drain(udp)
        assert len(got) == pytest.approx(600, abs=2)
        # A changed digit may still be JSON; random bytes never are.
        assert sum(map(is_json, got)) < 0.5 * len(got)


def test_a_wrong_clock_and_back():
    with sky_of(names=("ownship",)) as (sky, udp):

        def clocks():
            return [
                int(d.split(b"GPRMC,")[1][:2]) * 3600
                + int(d.split(b"GPRMC,")[1][2:4]) * 60
                + int(d.split(b"GPRMC,")[1][4:6])
                for d in drain(udp)
                if b"GPRMC," in d
            ]

        sky.advance(1.0)
        true = clocks()[-1]
        sky.set_fault("ownship", "clock_offset")
        sky.advance(2.0)
        assert clocks()[-1] - true == pytest.approx(91, abs=1)
        sky.set_fault("ownship", "none")
        sky.advance(3.0)
        assert clocks()[-1] - true == pytest.approx(2, abs=1)


@pytest.mark.parametrize(
    ("sensor", "fault", "value", "words"),
    [
        ("sonar", "silent", math.nan, "there are: droneshield"),
        ("droneshield", "explode", math.nan, "there are: none, silent"),
        ("droneshield", "tcp_drop", math.nan, "UDP"),
        ("droneshield", "flood", -3.0, "100000"),
        ("droneshield", "flood", math.inf, "100000"),
        ("droneshield", "clock_offset", math.inf, "ten years"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_in_words(sensor, fault, value, words):
    with sky_of() as (sky, _), pytest.raises(ValueError, match=words):
        sky.set_fault(sensor, fault, value)


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(ValueError, match="rate"):
        Sky(load_scenario("silent"), 1, {}, 0.0, 0.0)


def connect(port):
    link = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    link.settimeout(PATIENCE)
    return link


def ask_azimuth(link):
    link.sendall(frame(1, 3, struct.pack("<H", 0x1809)))
    reply = b""
    while len(reply) < 14:
        chunk = link.recv(4096)
        assert chunk, "the camera hung up"
        reply += chunk
    assert reply[:6] == b"\xa7\x54\x01\x04\x06\x00"
    return struct.unpack_from("<f", reply, 8)[0]


def test_the_camera_turns_in_wall_time_over_a_real_connection():
    with sky_of(names=(), listen=("trakka",)) as (sky, _):
        sky.start()
        with connect(sky.ports()["trakka"]) as link:
            assert ask_azimuth(link) == 0.0
            link.sendall(frame(2, 0x81, b"\x01") + frame(2, 0x82, struct.pack("<f", 1.0)))
            until(lambda: abs(ask_azimuth(link) - 1.0) < math.radians(0.1), "the slew")


def test_video_tracks_reach_the_client_and_a_cut_link_comes_back():
    with sky_of(names=(), listen=("trakka",), rate=5.0) as (sky, _):
        sky.start()
        port = sky.ports()["trakka"]
        with connect(port) as link:
            link.sendall(frame(0x82, 3, struct.pack("<Bh", 4, 30)))
            # The ferry or the drones are somewhere in a wide picture sooner or later.
            link.sendall(frame(2, 2, struct.pack("<f", 0.4)))
            stream = b""
            end = time.monotonic() + 3 * PATIENCE
            while b"\xa7\x54\x82\x07" not in stream:
                assert time.monotonic() < end, "no video track came"
                stream = stream[-3:] + link.recv(4096)
            sky.set_fault("trakka", "tcp_drop", 1000.0)
            while link.recv(4096):
                assert time.monotonic() < end + PATIENCE, "the link was not cut"
        with connect(port) as link:
            # It kept turning: stopping it is the client's duty.
            first = ask_azimuth_among_tracks(link)
            until(
                lambda: abs(ask_azimuth_among_tracks(link) - first) > 0.01, "the turn that goes on"
            )


def test_the_camera_has_no_clock_to_be_wrong():
    with (
        sky_of(names=(), listen=("trakka",)) as (sky, _),
        pytest.raises(ValueError, match="sends no time"),
    ):
        sky.set_fault("trakka", "clock_offset")


def ask_azimuth_among_tracks(link):
    link.sendall(frame(1, 3, struct.pack("<H", 0x1809)))
    stream = b""
    while True:
        chunk = link.recv(4096)
        assert chunk, "the camera hung up"
        stream += chunk
        start = stream.find(b"\xa7\x54\x01\x04\x06\x00\x09\x18")
        if 0 <= start <= len(stream) - 14:
            return struct.unpack_from("<f", stream, start + 8)[0]


def test_the_radars_control_and_its_silence():
    with sky_of(names=("dspnor",), listen=("dspnor",)) as (sky, _):
        sky.start()
        with connect(sky.ports()["dspnor"]) as link:
            link.sendall(d2d_frame({"GetStatus": ""}))
            assert b"Temperatures" in link.recv(65536)
            sky.set_fault("dspnor", "silent")
            link.sendall(d2d_frame({"GetStatus": ""}))
            link.settimeout(0.3)
            with pytest.raises(TimeoutError):
                link.recv(65536)
            sky.set_fault("dspnor", "garbage")
            link.settimeout(PATIENCE)
            link.sendall(d2d_frame({"GetStatus": ""}))
            assert b"PROTOCOL" not in link.recv(65536)


def test_a_taken_port_is_a_problem_in_words_not_a_crash():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sky = Sky(load_scenario("silent"), 1, {}, 0.0, listen={"trakka": Target("127.0.0.1", port)})
        try:
            sky.start()
            assert sky.ports() == {}
            (problem,) = sky.problems()
            assert f"127.0.0.1:{port}" in problem
            assert "free the port" in problem
        finally:
            sky.stop()


def test_the_beacon_is_heard_once_a_second():
    with receiver() as (udp, target):
        sky = Sky(
            load_scenario("silent"),
            1,
            {"dspnor": Target("127.0.0.1", 9)},
            0.0,
            beacon_target=target,
        )
        try:
            sky.advance(5.0)
            beacons = drain(udp)
        finally:
            sky.stop()
    assert len(beacons) == pytest.approx(5, abs=1)
    assert {len(b) for b in beacons} == {40}


class Echo(Session):
    def received(self, chunk):
        return chunk


def test_the_server_serves_several_and_frees_its_port():
    server = TcpServer("127.0.0.1", 0, Echo)
    port = server.port
    try:
        links = [connect(port) for _ in range(5)]
        try:
            for index, link in enumerate(links):
                link.sendall(bytes([index]) * 1000)
            for index, link in enumerate(links):
                got = b""
                while len(got) < 1000:
                    got += link.recv(4096)
                assert got == bytes([index]) * 1000
            until(lambda: server.clients == 5, "five clients")
            server.broadcast(b"all")
            assert [link.recv(16) for link in links] == [b"all"] * 5
            server.drop()
            assert [link.recv(16) for link in links] == [b""] * 5
        finally:
            for link in links:
                link.close()
    finally:
        server.stop()
    again = TcpServer("127.0.0.1", port, Echo)
    again.stop()
