# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""The Dspnor driver on live sockets: CAT010 by hand over UDP, and a D2D radar on TCP."""

from __future__ import annotations

import contextlib
import gc
import json
import math
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from nav_msgs.msg import Odometry
from sensor_msgs.msg import NavSatFix

from thebox_core.qos import LATCHED, STATE
from thebox_interfaces.msg import Detection
from thebox_interfaces.srv import RestartRadar, SetSector, SetTransmitMode
from thebox_sensors.dspnor.node import Dspnor

pytestmark = pytest.mark.graph

#: Item number to its bit of the field specification, counted from 0 without extension bits.
_ITEMS = (
    ("010", "000", "020", "140", "041", "040", "042"),
    ("200", "202", "161", "170", "060", "220", "245"),
    ("250", "300", "090", "091", "270", "550", "310"),
    ("500", "280", "131", "210"),
)
PROFILE = {
    name: 7 * octet + bit for octet, row in enumerate(_ITEMS) for bit, name in enumerate(row)
}


def record(**items: bytes) -> bytes:
    """A CAT010 record of items, given as ``i040=bytes``; source 25/201 unless given."""
    given = {"i010": b"\x19\xc9", "i000": b"\x01", **items}
    octets = [0, 0, 0, 0]
    for name in given:
        place = PROFILE[name[1:]]
        octets[place // 7] |= 128 >> (place % 7)
    used = max(place for place, octet in enumerate(octets) if octet) + 1
    fspec = bytes(octet | (place < used - 1) for place, octet in enumerate(octets[:used]))
    ordered = sorted(given, key=lambda name: PROFILE[name[1:]])
    return fspec + b"".join(given[name] for name in ordered)


def block(*records: bytes, category: int = 10) -> bytes:
    content = b"".join(records)
    return struct.pack(">BH", category, 3 + len(content)) + content


def time_of_day(when: float) -> bytes:
    return int(when % 86400.0 * 128).to_bytes(3, "big")


def polar(distance: int, degrees: float) -> bytes:
    return struct.pack(">HH", distance, round(degrees / 360.0 * 65536) % 65536)


class Radar:
    """A D2D server that notes what it is asked and answers what it is told to."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[tuple[float, dict[str, Any]]] = []
        self.status: dict[str, Any] = {
            "Mode": "normal",
            "Temperatures": {"Amplifier": 55.0, "Board": 41.5},
            "Services": {"AsterixCat010": {"Enabled": True, "IP": "127.0.0.1", "Port": 4010}},
            "Errors": [],
        }
        self.mute = False
        self.sessions = 0
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(0.05)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._listener.close()

    @property
    def names(self) -> list[str]:
        return [next(iter(request)) for _, request in self.requests]

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                continue
            self.sessions += 1
            with connection, contextlib.suppress(OSError):
                connection.settimeout(0.05)
                self._attend(connection)

    def _attend(self, connection: socket.socket) -> None:
        held = b""
        while not self._stopping.is_set():
            try:
                chunk = connection.recv(4096)
            except TimeoutError:
                continue
            if not chunk:
                return
            held += chunk
            while b"\r\n\r\n" in held:
                header, rest = held.split(b"\r\n\r\n", 1)
                fields = dict(line.split("=") for line in header.decode().split("\r\n"))
                assert fields["PROTOCOL"] == "D2D" and fields["VERSION"] == "1.0"
                length = int(fields["LENGTH"])
                if len(rest) < length:
                    break
                request = json.loads(rest[:length])
                held = rest[length:]
                self.requests.append((time.monotonic(), request))
                if not self.mute:
                    self._answer(connection, request)

    def _answer(self, connection: socket.socket, request: dict[str, Any]) -> None:
        name = next(iter(request))
        answer: dict[str, Any] = {name: request[name]}
        if name == "AntennaSector":
            answer = {name: {"Result": "Error", "Message": "the antenna is off"}}
        if name == "GetStatus":
            answer = self.status
        elif name == "GetSystemInfo":
            answer = {name: {"SerialNumber": "D2D-0042", "Version": "3.1"}}
        elif name == "GetServices":
            answer = {name: self.status.get("Services", {})}
        body = json.dumps(answer).encode()
        header = f"PROTOCOL=D2D\nVERSION=1.0\nTYPE=TEXT\nLENGTH={len(body)}\n\n"
        whole = header.encode() + body
        # In two parts, as TCP may split it anywhere.
        connection.sendall(whole[:20])
        connection.sendall(whole[20:])


@pytest.fixture
def radar() -> Iterator[Callable[..., Radar]]:
    radars: list[Radar] = []

    def make(**options: Any) -> Radar:
        radars.append(Radar(**options))
        return radars[-1]

    yield make
    for one in radars:
        one.close()


class Feed:
    """Sends datagrams to a driver's UDP port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def __call__(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self._socket.sendto(datagram, ("127.0.0.1", self.port))


@pytest.fixture
def feeds(free_port: Callable[[], int]) -> Callable[[], Feed]:
    """Makes feeds, each to a port that is free."""
    return lambda: Feed(free_port())


def start(live: Any, feed: Feed, **parameters: Any) -> Any:
    node = live.start(Dspnor, source=f"udp://127.0.0.1:{feed.port}", **parameters)
    live.wait(
        lambda: (
            node.is_active
            and node._ingest.transport is not None
            and node._ingest.transport._socket is not None
        ),
        "an open port",
    )
    return node


def own_ship(live: Any, node: Any, east: float, north: float, heading: float) -> None:
    """Tell where the own-ship is, once the driver has heard of it."""
    publisher = live.observer.create_publisher(Odometry, "ownship/odometry", STATE)

    def told() -> bool:
        now = time.time()
        message = Odometry()
        message.header.stamp.sec, message.header.stamp.nanosec = int(now), int(now % 1 * 1e9)
        yaw = math.pi / 2 - heading
        message.pose.pose.position.x, message.pose.pose.position.y = east, north
        message.pose.pose.orientation.z = math.sin(yaw / 2)
        message.pose.pose.orientation.w = math.cos(yaw / 2)
        publisher.publish(message)
        return len(node._own_ship.history) > 0

    live.wait(told, "the own-ship to be heard")


def test_a_track_becomes_a_detection_with_position_and_velocity(live: Any, feeds: Any) -> None:
    feed = feeds()
    heard = live.listen(Detection, "detections/dspnor")
    node = start(live, feed, bearing_reference="bow", mounting_offset=0.1, range_sigma=7.0)
    own_ship(live, node, 1000.0, -500.0, heading=0.4)
    now = time.time()
    feed(
        block(
            record(
                i020=b"\x60",
                i140=time_of_day(now),
                i040=polar(2000, 90.0),
                i202=struct.pack(">hh", 40, -20),  # 10 m/s to the right, 5 m/s back
                i161=b"\x01\x2c",
                i170=b"\x80",
                i131=b"\x64",
                i091=struct.pack(">h", 80),  # 500 ft
            )
        )
    )
    live.wait(lambda: heard, "a detection")
    got = heard[0]
    axis = 0.4 + 0.1
    bearing = math.pi / 2 + axis
    assert got.modality == Detection.MODALITY_RADAR
    assert got.sensor_track_id == "300"
    assert got.range == 2000.0 and got.range_std == 7.0
    assert got.bearing == pytest.approx(bearing, abs=1e-6)
    assert got.bearing_std == pytest.approx(0.01)
    stamp = got.header.stamp.sec + got.header.stamp.nanosec * 1e-9
    assert 0.0 <= now - stamp < 1 / 128 + 1e-6
    assert got.position.x == pytest.approx(1000.0 + 2000.0 * math.sin(bearing), abs=1e-3)
    assert got.position.y == pytest.approx(-500.0 + 2000.0 * math.cos(bearing), abs=1e-3)
    # 10 m/s to the right of the axis, 5 m/s against it.
    assert got.velocity.x == pytest.approx(10 * math.cos(axis) - 5 * math.sin(axis))
    assert got.velocity.y == pytest.approx(-5 * math.cos(axis) - 10 * math.sin(axis))
    assert math.isnan(got.velocity.z) and math.isnan(got.range_rate)
    assert got.elevation == pytest.approx(math.asin(500 * 0.3048 / 2000.0))
    covariance = np.asarray(got.position_covariance).reshape(3, 3)[:2, :2]
    along = np.array([math.sin(bearing), math.cos(bearing)])
    assert along @ covariance @ along == pytest.approx(49.0)
    across = np.array([along[1], -along[0]])
    assert across @ covariance @ across == pytest.approx((0.01 * 2000.0) ** 2)
    assert {v.key: v.value for v in got.attributes} == {"amplitude": "100", "tentative": "true"}


def test_stated_deviations_are_turned_with_the_axes(live: Any, feeds: Any) -> None:
    feed = feeds()
    heard = live.listen(Detection, "detections/dspnor")
    node = start(live, feed, mounting_offset=math.pi / 2)
    own_ship(live, node, 0.0, 0.0, heading=0.0)
    # 300 m to the right of the zero axis, which points east: that is south.
    position = struct.pack(">hh", 300, 0)
    deviation = struct.pack(">BBh", 80, 20, 0)  # 20 m along x, 5 m along y
    feed(block(record(i042=position, i500=deviation)))
    live.wait(lambda: heard, "a detection")
    got = heard[0]
    assert got.bearing == pytest.approx(math.pi)
    assert (got.position.x, got.position.y) == (pytest.approx(0, abs=1e-9), pytest.approx(-300.0))
    assert got.range_std == pytest.approx(20.0)
    assert got.bearing_std == pytest.approx(5.0 / 300.0)
    covariance = np.asarray(got.position_covariance).reshape(3, 3)
    assert covariance[0, 0] == pytest.approx(25.0) and covariance[1, 1] == pytest.approx(400.0)


def test_wgs_84_plots_need_the_datum_and_the_own_ship(live: Any, feeds: Any) -> None:
    feed = feeds()
    heard = live.listen(Detection, "detections/dspnor")
    node = start(live, feed)
    latitude, longitude = 59.01, 10.0
    place = struct.pack(">ii", round(latitude / 180.0 * 2**31), round(longitude / 180.0 * 2**31))
    plot = block(record(i041=place))
    feed(plot)
    live.wait(lambda: node.rejected["no_datum"], "the plot to be counted")
    datum = live.observer.create_publisher(NavSatFix, "ownship/datum", LATCHED)
    datum.publish(NavSatFix(latitude=59.0, longitude=10.0, altitude=0.0))
    live.wait(lambda: node._datum.datum is not None, "the datum")
    feed(plot)
    live.wait(lambda: node.rejected["no_own_ship"], "the plot to be counted")
    own_ship(live, node, 0.0, 100.0, heading=1.0)
    feed(plot)
    live.wait(lambda: heard, "a detection")
    # A hundredth of a degree of latitude is 1114 m there.
    assert heard[0].position.y == pytest.approx(1114.0, abs=1.0)
    assert heard[0].range == pytest.approx(1014.0, abs=1.0)
    assert math.remainder(heard[0].bearing, 2 * math.pi) == pytest.approx(0.0, abs=1e-5)


def test_time_of_day_over_midnight_belongs_to_the_right_day() -> None:
    from thebox_sensors.dspnor.asterix import Parser

    midnight = 20_000 * 86_400.0
    parser = Parser()
    for told, arrived in ((midnight - 0.5, midnight + 0.2), (midnight + 0.1, midnight - 0.2)):
        datagram = block(record(i040=polar(10, 0.0), i140=time_of_day(told)))
        assert parser.parse(datagram, arrived).records[0].time == pytest.approx(told, abs=0.01)


def test_what_is_no_measurement_is_counted_not_published(live: Any, feeds: Any) -> None:
    feed = feeds()
    heard = live.listen(Detection, "detections/dspnor")
    node = start(live, feed)
    where = {"i040": polar(1000, 10.0)}
    feed(
        block(record(**where, i170=b"\x30")),  # coasting: not seen
        block(record(**where, i020=b"\x61\x80")),  # simulated
        block(record(**where, i020=b"\x62")),  # corrupted
        block(record(i161=b"\x00\x01")),  # no position
        block(b"\x00" * 8, category=48),
        block(record(**where))[:-1],
        b"\xff" * 40,
        block(record(**where)) + block(record(**where), record(**where)),
    )
    live.wait(lambda: len(heard) == 3, "the three good ones")
    assert node.ignored["coasted"] == node.ignored["test_target"] == 1
    assert node.ignored["other_category"] == 1
    for reason in ("corrupted", "no_position"):
        assert node.rejected[reason] == 1, node.rejected.items()
    assert node.rejected.total() == 4
    # No bearing reference of the bow is needed, and no own-ship: no position is claimed.
    assert math.isnan(heard[0].position.x) and heard[0].range == 1000.0
    assert node.accepted == 3


def test_the_radars_own_messages_are_health(live: Any, feeds: Any) -> None:
    feed = feeds()
    node = start(live, feed, stale_after=1.0)
    live.wait(lambda: live.level("dspnor: input") == 3, "stale before anything is heard")

    def told(level: int, octet: bytes) -> None:
        def looks() -> bool:
            feed(block(record(i000=b"\x02", i140=time_of_day(time.time()))))
            feed(block(record(i000=b"\x03", i140=time_of_day(time.time()), i550=octet)))
            time.sleep(0.05)
            return live.level("dspnor: input") == level

        live.wait(looks, f"level {level}")

    told(0, b"\x00")
    told(1, b"\x60")  # degraded, overload
    assert "overloaded" in live.told()["dspnor: input"]
    told(2, b"\x80")  # not to be used
    told(0, b"\x00")
    live.wait(lambda: live.level("dspnor: input") == 3, "stale again")
    assert node.rejected.total() == 0


def test_status_is_polled_once_a_second_at_most_and_told(live: Any, feeds: Any, radar: Any) -> None:
    server = radar()
    feed = feeds()
    start(
        live,
        feed,
        control__address="127.0.0.1",
        control__port=server.port,
        control__poll_interval=1.0,
    )
    live.wait(
        lambda: live.value("dspnor: radar", "temperature Amplifier") == "55.0 °C", "the status"
    )
    live.wait(lambda: live.level("dspnor: radar") == 0, "a radar without fault")
    server.status["Temperatures"]["Amplifier"] = 84.0
    live.wait(lambda: live.level("dspnor: radar") == 1, "a warning from 80 degrees")
    server.status["Temperatures"]["Amplifier"] = 93.0
    live.wait(lambda: live.level("dspnor: radar") == 2, "an error from 90 degrees")
    server.status["Temperatures"]["Amplifier"] = 50.0
    server.status["Services"]["AsterixCat010"]["Enabled"] = False
    live.wait(
        lambda: "AsterixCat010" in live.told().get("dspnor: radar", ""), "the service to be missed"
    )
    live.wait(
        lambda: (
            live.value("dspnor: radar", "info.GetSystemInfo")
            or live.value("dspnor: radar", "info.SerialNumber")
        ),
        "the system's information",
    )
    assert live.value("dspnor: radar", "info.SerialNumber") == "D2D-0042"
    times = [when for when, _ in server.requests]
    # The radar's own clock of arrivals jitters; the driver's spacing is one second.
    assert min(np.diff(times)) > 0.8
    assert set(server.names) <= {"GetStatus", "GetServices", "GetSystemInfo"}


def test_safe_mode_refuses_all_that_changes_the_radar(live: Any, feeds: Any, radar: Any) -> None:
    server = radar()
    feed = feeds()
    start(live, feed, control__address="127.0.0.1", control__port=server.port)
    live.wait(lambda: "GetStatus" in server.names, "the first poll")
    sector = SetSector.Request(azimuth_start=[0.0], azimuth_end=[1.0], requested_by="operator:Ada")
    for kind, name, request in (
        (SetTransmitMode, "set_transmit_mode", SetTransmitMode.Request(mode=1)),
        (SetSector, "set_sector", sector),
        (SetSector, "set_blanking", sector),
        (RestartRadar, "restart", RestartRadar.Request(kind=1, serial_number="D2D-0042")),
    ):
        answer = live.call(kind, f"dspnor/{name}", request)
        assert not answer.success and "safe_mode" in answer.message
    assert all(name.startswith("Get") for name in server.names)


def test_commands_reach_the_radar_and_its_answer_the_operator(
    live: Any, feeds: Any, radar: Any
) -> None:
    server = radar()
    feed = feeds()
    start(
        live,
        feed,
        control__address="127.0.0.1",
        control__port=server.port,
        safe_mode=False,
        serial_number="D2D-0042",
    )
    live.wait(lambda: live.value("dspnor: radar", "connected") == "true", "a connection")

    def asked(name: str) -> Any:
        return [request[name] for _, request in server.requests if name in request]

    answer = live.call(
        SetTransmitMode,
        "dspnor/set_transmit_mode",
        SetTransmitMode.Request(mode=SetTransmitMode.Request.MODE_TEST, requested_by="op:Ada"),
    )
    assert answer.success, answer.message
    live.wait(lambda: asked("TxMode") == ["test"], "the mode to reach the radar")
    live.wait(
        lambda: "op:Ada: answered: test" in live.value("dspnor: radar", "last_command"),
        "the radar's answer in the diagnostics",
    )
    sector = SetSector.Request(azimuth_start=[-0.5], azimuth_end=[1.0])
    assert live.call(SetSector, "dspnor/set_sector", sector).success
    live.wait(lambda: asked("AntennaSector"), "the sector to reach the radar")
    got = asked("AntennaSector")[0]
    assert got["StartAzimuth"] == pytest.approx(360.0 - math.degrees(0.5), abs=1e-3)
    live.wait(
        lambda: (
            "refused by the radar: the antenna is off"
            in live.value("dspnor: radar", "last_command")
        ),
        "the radar's refusal",
    )
    two = SetSector.Request(azimuth_start=[0.0, 1.0], azimuth_end=[0.5, 1.5])
    assert not live.call(SetSector, "dspnor/set_sector", two).success
    assert live.call(SetSector, "dspnor/set_blanking", two).success
    live.wait(lambda: asked("BlankingSectors"), "the blanking to reach the radar")
    assert len(asked("BlankingSectors")[0]) == 2
    crooked = SetSector.Request(azimuth_start=[0.0, 1.0], azimuth_end=[0.5])
    assert not live.call(SetSector, "dspnor/set_blanking", crooked).success
    wrong = live.call(RestartRadar, "dspnor/restart", RestartRadar.Request(serial_number="other"))
    assert not wrong.success
    right = RestartRadar.Request(kind=RestartRadar.Request.KIND_REBOOT, serial_number="D2D-0042")
    assert live.call(RestartRadar, "dspnor/restart", right).success
    live.wait(lambda: asked("Reboot"), "the reboot to reach the radar")
    assert not live.call(
        SetTransmitMode, "dspnor/set_transmit_mode", SetTransmitMode.Request(mode=7)
    ).success
    assert min(np.diff([when for when, _ in server.requests])) > 0.8


def test_a_radar_that_stops_answering_degrades_health_and_is_tried_again(
    live: Any, feeds: Any, radar: Any
) -> None:
    server = radar()
    feed = feeds()
    start(
        live,
        feed,
        control__address="127.0.0.1",
        control__port=server.port,
        control__poll_interval=1.0,
        control__answer_timeout=0.5,
    )
    live.wait(lambda: live.value("dspnor: radar", "Mode") == "normal", "the status")
    server.mute = True
    live.wait(lambda: live.level("dspnor: radar") == 2, "an error")
    assert "does not answer" in live.told()["dspnor: radar"]
    live.wait(lambda: server.sessions >= 2, "a new connection")
    server.mute = False
    live.wait(lambda: live.level("dspnor: radar") == 0, "health ok again")


def test_a_radar_is_discovered_by_its_beacon(live: Any, feeds: Any, radar: Any) -> None:
    server = radar()
    feed, beacons = feeds(), feeds()
    start(
        live,
        feed,
        control__address="discover",
        control__port=server.port,
        discovery__enabled=True,
        discovery__group="",
        discovery__interface="127.0.0.1",
        discovery__port=beacons.port,
    )
    live.wait(lambda: "made itself known" in live.told().get("dspnor: radar", ""), "no radar yet")
    live.wait(lambda: beacons(b"\x00" * 39, b"D" * 40) or server.sessions, "a connection")
    live.wait(lambda: live.value("dspnor: radar", "beacon.127.0.0.1"), "the beacon to be told")
    live.wait(lambda: int(live.value("dspnor: radar", "beacons_rejected")) > 0, "short ones")


def test_a_hundred_circles_leave_nothing_behind(live: Any, feeds: Any, radar: Any) -> None:
    server = radar()
    feed, beacons = feeds(), feeds()
    node = live.start(
        Dspnor,
        autostart=False,
        source=f"udp://127.0.0.1:{feed.port}",
        control__address="127.0.0.1",
        control__port=server.port,
        discovery__enabled=True,
        discovery__group="",
        discovery__interface="127.0.0.1",
        discovery__port=beacons.port,
    )

    def circle() -> None:
        node.trigger_configure()
        node.trigger_activate()
        node.trigger_deactivate()
        node.trigger_cleanup()

    def held() -> tuple[int, int, int]:
        gc.collect()
        return (
            len(list(Path("/proc/self/fd").iterdir())),
            threading.active_count(),
            len([*node.publishers, *node.subscriptions, *node.services, *node.timers]),
        )

    live.in_executor(circle)
    before = held()
    for _ in range(99):
        live.in_executor(circle)
    live.wait(
        lambda: all(now <= then for now, then in zip(held(), before, strict=True)),
        f"nothing more than {before} to be held",
    )


def test_discovery_alone_without_radar_is_refused_only_where_it_must_be(live: Any) -> None:
    from thebox_core.parameters import ParameterError

    with pytest.raises(ParameterError, match=r"discovery\.enabled"):
        live.start(Dspnor, autostart=False, control__address="discover")
