# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""The own-ship's node on a live graph: sentences on a socket, or a fixed site, to pose and TF."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

pytest.importorskip("rclpy")

from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.parameter import Parameter
from sensor_msgs.msg import NavSatFix, NavSatStatus
from tf2_msgs.msg import TFMessage

from thebox_core.datum_listener import datum_of
from thebox_core.health import OK, STALE, WARN
from thebox_core.messages import seconds
from thebox_core.ownship_listener import OwnShip, pose_of
from thebox_core.parameters import ParameterError
from thebox_core.qos import LATCHED, STATE
from thebox_sensors.ownship.node import Navigation

pytestmark = pytest.mark.graph

PATIENCE = 30.0

LATITUDE, LONGITUDE = 53.54, 9.98
HOME = {"position__source": "fixed", "position__latitude": LATITUDE}
HOME |= {"position__longitude": LONGITUDE, "position__altitude": 45.0}
FACING = {"heading__source": "fixed", "heading__fixed": math.radians(120.0)}


def sentence(body: str) -> bytes:
    """A sentence with its checksum, by NMEA 0183."""
    total = 0
    for byte in body.encode():
        total ^= byte
    return f"${body}*{total:02X}\r\n".encode()


def degrees_minutes(value: float, width: int) -> str:
    whole = int(abs(value))
    return f"{whole:0{width}d}{60 * (abs(value) - whole):010.7f}"


def place(latitude: float, longitude: float) -> str:
    north, east = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    return f"{degrees_minutes(latitude, 2)},{north},{degrees_minutes(longitude, 3)},{east}"


def rmc(
    at: float, latitude: float, longitude: float, knots: float = 0.0, course: str = ""
) -> bytes:
    now = datetime.fromtimestamp(at, timezone.utc)
    clock, day = now.strftime("%H%M%S.%f")[:9], now.strftime("%d%m%y")
    return sentence(f"GPRMC,{clock},A,{place(latitude, longitude)},{knots},{course},{day},,,A")


def gga(at: float, latitude: float, longitude: float, quality: int = 1, hdop: float = 0.8) -> bytes:
    clock = datetime.fromtimestamp(at, timezone.utc).strftime("%H%M%S.%f")[:9]
    return sentence(
        f"GPGGA,{clock},{place(latitude, longitude)},{quality},09,{hdop},5.0,M,40.0,M,,"
    )


def hdt(degrees: float) -> bytes:
    return sentence(f"HEHDT,{degrees:.2f},T")


def start(live: Any, **parameters: Any) -> Any:
    return live.start(Navigation, **{"source": "udp://127.0.0.1:0", **parameters})


def listen(live: Any) -> list[Odometry]:
    heard: list[Odometry] = live.listen(Odometry, "ownship/odometry", STATE)
    return heard


def says(live: Any, subject: str, level: int, text: str) -> bool:
    """Whether the diagnostics of a subject have this level and text by now."""
    name = f"ownship: {subject}"
    return live.level(name) == level and text in live.told()[name]


def poses(heard: list[Odometry]) -> list[Any]:
    return [pose_of(message) for message in list(heard)]


class Ship:
    """Sends a ship's sentences over and over, until told to leave some out."""

    def __init__(self, live: Any, udp: Callable[..., None], node: Any) -> None:
        self.live, self.udp, self.node = live, udp, node
        self.talks = {"GGA", "RMC", "HDT"}
        self.heading = 350.0
        self.knots, self.course = 0.0, ""

    def talk(self) -> None:
        now = time.time()
        said = {
            "GGA": lambda: gga(now, LATITUDE, LONGITUDE),
            "RMC": lambda: rmc(now, LATITUDE, LONGITUDE, self.knots, self.course),
            "HDT": lambda: hdt(self.heading),
            "HDG": lambda: sentence(f"HCHDG,{self.heading:.1f},1.0,E,2.0,W"),
            "ZDA": lambda: sentence("GPZDA,000000.00,01,01,2026,00,00"),
        }
        self.udp(self.node, *(said[name]() for name in sorted(self.talks)))

    def until(self, what: Callable[[], Any], why: str) -> Any:
        def check() -> Any:
            self.talk()
            time.sleep(0.02)
            return what()

        return self.live.wait(check, why)


@pytest.fixture
def ship(live: Any, udp: Callable[..., None]) -> Callable[..., Ship]:
    return lambda node: Ship(live, udp, node)


def test_sentences_become_fix_datum_odometry_and_transform(live: Any, udp: Any) -> None:
    node = start(live)
    odometry = listen(live)
    fixes = live.listen(NavSatFix, "ownship/fix", STATE)
    transforms = live.listen(TFMessage, "/tf", STATE)
    # A tenth of a second, as NMEA writes it.
    at = math.floor(10 * time.time()) / 10
    udp(node, gga(at, LATITUDE, LONGITUDE))
    live.wait(lambda: node._map_datum, "a datum")
    # 100 m north, 50 m east of there by the length of a degree (Snyder 1987) at this latitude.
    north, east = 100 / 111_296.0, 50 / (111_412.84 * math.cos(math.radians(LATITUDE)) + 20.0)
    moved = (LATITUDE + north, LONGITUDE + east)
    udp(node, gga(at + 0.2, *moved) + rmc(at + 0.2, *moved, 10.0, "90.0") + hdt(30.0))
    live.wait(lambda: poses(odometry) and math.isfinite(poses(odometry)[-1].heading), "a pose")
    pose = poses(odometry)[-1]
    assert pose.time > at + 0.199  # a stamp holds the tenth only nearly
    carried = (pose.time - at - 0.2) * 10 * 1852 / 3600
    assert pose.east == pytest.approx(50 + carried, abs=0.3)
    assert pose.north == pytest.approx(100, abs=0.3)
    assert pose.up == pytest.approx(0, abs=0.01)
    assert math.degrees(pose.heading) == pytest.approx(30)
    assert pose.velocity_east == pytest.approx(10 * 1852 / 3600)
    assert pose.velocity_north == pytest.approx(0, abs=1e-6)
    message = odometry[-1]
    assert (message.header.frame_id, message.child_frame_id) == ("map", "base_link")
    # East at 10 knots with the bow at 030: 60 degrees off to starboard.
    speed = 10 * 1852 / 3600
    assert message.twist.twist.linear.x == pytest.approx(speed * 0.5)
    assert message.twist.twist.linear.y == pytest.approx(-speed * math.sqrt(0.75))
    assert math.sqrt(message.pose.covariance[0]) == pytest.approx(3 * 0.8 / math.sqrt(2), rel=0.05)
    # It grows with the age of the heading, which on a busy machine is a part of a second.
    assert 0.00869 <= math.sqrt(message.pose.covariance[35]) <= math.hypot(0.0087, 0.02)
    assert math.isnan(message.pose.covariance[21])
    live.wait(lambda: transforms, "a transform")
    transform = transforms[-1].transforms[0]
    assert (transform.header.frame_id, transform.child_frame_id) == ("map", "base_link")
    assert transform.transform.translation.x == pytest.approx(pose.east, abs=3)
    yaw = 2 * math.atan2(transform.transform.rotation.z, transform.transform.rotation.w)
    assert math.degrees(yaw) == pytest.approx(60)
    live.wait(lambda: len(fixes) >= 2, "two fixes, not one more for RMC")
    assert fixes[-1].latitude == pytest.approx(moved[0])
    assert fixes[-1].longitude == pytest.approx(moved[1])
    assert fixes[-1].altitude == pytest.approx(45.0)
    assert seconds(fixes[-1].header.stamp) == pytest.approx(at + 0.2, abs=1e-3)
    assert fixes[-1].status.status == NavSatStatus.STATUS_FIX
    assert fixes[-1].status.service == NavSatStatus.SERVICE_GPS
    assert len(fixes) == 2
    datums = live.listen(NavSatFix, "ownship/datum", LATCHED)
    live.wait(lambda: datums, "the datum for a late joiner")
    datum = datum_of(datums[0])
    assert datum is not None
    assert math.degrees(datum.latitude) == pytest.approx(LATITUDE)
    assert datum.altitude == pytest.approx(45.0)


def test_a_consumer_interpolates_the_heading_between_two_sentences(live: Any, udp: Any) -> None:
    node = start(live, **HOME, publish_rate_fixed=1.0)
    own = OwnShip(live.observer)
    udp(node, hdt(350.0))
    live.wait(lambda: math.isfinite(own.history.newest.heading), "the first heading")
    first = next(p for p in own.history._poses if math.isfinite(p.heading))
    while time.time() < first.time + 0.3:
        time.sleep(0.01)
    udp(node, hdt(10.0))
    live.wait(
        lambda: (
            abs(math.remainder(own.history.newest.heading - math.radians(10), 6.2831853)) < 1e-4
        ),
        "the second heading",
    )
    second = own.history.newest
    between = [p.time for p in own.history._poses if first.time < p.time < second.time]
    middle = 0.5 * (max([first.time, *between]) + second.time)
    assert abs(math.remainder(own.history.at(middle).heading, 2 * math.pi)) < math.radians(10)
    own.close()


def test_without_a_heading_its_variance_is_nan_and_there_is_no_transform(
    live: Any, ship: Any
) -> None:
    node = start(live, heading__course_speed_min=5.0)
    odometry = listen(live)
    transforms = live.listen(TFMessage, "/tf", STATE)
    sender = ship(node)
    sender.talks = {"GGA", "RMC"}
    sender.knots, sender.course = 6.0, "45.0"
    sender.until(lambda: poses(odometry) and poses(odometry)[-1].velocity_east > 0, "a pose")
    message = odometry[-1]
    assert math.isnan(message.pose.covariance[35])
    pose = pose_of(message)
    assert math.isnan(pose.heading)
    assert pose.velocity_east == pytest.approx(6 * 1852 / 3600 * math.sqrt(0.5))
    assert pose.velocity_north == pytest.approx(pose.velocity_east)
    assert not transforms
    sender.until(lambda: says(live, "heading", WARN, "check the compass"), "a warning")


def test_course_stands_in_for_a_lost_compass_and_says_so(live: Any, ship: Any) -> None:
    node = start(live, max_age=1.0)
    odometry = listen(live)
    sender = ship(node)
    sender.knots, sender.course = 12.0, "355.0"
    sender.until(lambda: says(live, "heading", OK, "HDT"), "the compass")
    sender.talks.remove("HDT")
    sender.until(lambda: live.value("ownship: heading", "source") == "COG", "the course")
    sender.until(lambda: says(live, "heading", WARN, "course over ground stands in"), "the warning")
    sender.until(
        lambda: abs(math.degrees(poses(odometry)[-1].heading) - 355.0) < 1e-3, "its heading"
    )
    assert math.sqrt(odometry[-1].pose.covariance[35]) == pytest.approx(0.1, rel=0.1)
    sender.knots = 1.0
    sender.until(lambda: says(live, "heading", STALE, "no heading for"), "no heading at rest")
    sender.talks.add("HDG")
    sender.until(lambda: live.value("ownship: heading", "source") == "HDG", "the magnetic one")
    sender.until(lambda: says(live, "heading", WARN, "gyrocompass"), "the warning")
    sender.until(lambda: abs(math.degrees(poses(odometry)[-1].heading) - 349.0) < 0.06, "349")
    sender.talks.add("HDT")
    sender.until(lambda: live.level("ownship: heading") == OK, "the compass again")


def test_a_lost_receiver_leaves_the_heading_and_is_reported(live: Any, ship: Any) -> None:
    node = start(live, max_age=1.0)
    odometry = listen(live)
    sender = ship(node)
    sender.until(lambda: says(live, "position", OK, "GNSS fix, 9 satellites"), "a position")
    sender.talks = {"HDT"}
    sender.until(
        lambda: says(live, "position", STALE, "check the GNSS receiver"), "its loss to be seen"
    )
    sender.until(lambda: math.isnan(odometry[-1].pose.covariance[0]), "an unknown position")
    pose = poses(odometry)[-1]
    assert math.isnan(pose.east)
    assert math.degrees(pose.heading) == pytest.approx(350.0)
    assert live.level("ownship: heading") == OK
    sender.talks = {"GGA", "HDT"}
    sender.until(lambda: live.level("ownship: position") == OK, "the position again")


def test_silence_is_stale_and_ends(live: Any, ship: Any) -> None:
    node = start(live, stale_after=0.5)
    sender = ship(node)
    sender.until(lambda: live.level("ownship: input") == OK, "sentences")
    live.wait(lambda: says(live, "input", STALE, "nothing heard"), "stale")
    sender.until(lambda: live.level("ownship: input") == OK, "sentences again")


def test_other_sentences_are_no_fault_and_garbage_is_counted(
    live: Any, ship: Any, udp: Any
) -> None:
    node = start(live)
    sender = ship(node)
    sender.talks = {"ZDA", "HDT"}
    udp(node, b"\xff\x00garbage", b"$GPGGA,bad*00\r\n")
    sender.until(lambda: node.ignored["other_sentence"] > 0 and node.accepted, "both")
    assert node.rejected["not_text"] + node.rejected["not_nmea"] == 1
    assert node.rejected["bad_checksum"] == 1
    sender.until(lambda: live.value("ownship: input", "rejected.bad_checksum") == "1", "its count")
    assert live.level("ownship: input") == OK


def test_a_fixed_site_needs_no_input(live: Any) -> None:
    odometry = listen(live)
    transforms = live.listen(TFMessage, "/tf", STATE)
    fixes = live.listen(NavSatFix, "ownship/fix", STATE)
    node = start(live, **HOME, **FACING, publish_rate_fixed=10.0)
    live.wait(lambda: len(odometry) >= 5 and len(transforms) >= 5, "poses")
    assert node._ingest is None
    for pose in poses(odometry):
        assert (pose.east, pose.north, pose.up) == pytest.approx((0, 0, 0), abs=1e-6)
        assert (pose.velocity_east, pose.velocity_north) == (0, 0)
        assert math.degrees(pose.heading) == pytest.approx(120)
    assert odometry[-1].pose.covariance[0] == pytest.approx(1.0)
    assert fixes[-1].altitude == pytest.approx(45.0)
    datums = live.listen(NavSatFix, "ownship/datum", LATCHED)
    live.wait(lambda: datums, "the datum")
    assert datums[0].latitude == pytest.approx(LATITUDE)
    assert datums[0].altitude == pytest.approx(45.0)
    live.wait(lambda: says(live, "input", OK, "no input is needed"), "health")
    live.wait(lambda: says(live, "position", OK, "fixed site"), "a position")
    live.wait(lambda: says(live, "heading", OK, "120.0 degrees from static"), "a heading")


def test_a_fixed_heading_with_a_measured_position(live: Any, ship: Any) -> None:
    node = start(live, **FACING)
    odometry = listen(live)
    sender = ship(node)
    sender.talks = {"GGA"}
    sender.until(lambda: odometry and math.isfinite(poses(odometry)[-1].east), "a pose")
    assert math.degrees(poses(odometry)[-1].heading) == pytest.approx(120)
    assert live.wait(lambda: live.level("ownship: heading") == OK, "health")


def test_a_fixed_datum_and_the_warning_far_from_it(live: Any, ship: Any) -> None:
    node = start(live, datum__source="fixed", datum__latitude=53.0, datum__longitude=LONGITUDE)
    odometry = listen(live)
    sender = ship(node)
    sender.until(lambda: odometry and math.isfinite(poses(odometry)[-1].east), "a pose")
    pose = poses(odometry)[-1]
    assert pose.east == pytest.approx(0, abs=1)
    assert pose.north == pytest.approx(0.54 * 111_290, rel=2e-3)
    sender.until(
        lambda: says(live, "position", WARN, "60 km from the map's origin"), "far from the datum"
    )


def test_the_first_fix_waits_for_an_altitude_but_not_for_ever(live: Any, ship: Any) -> None:
    node = start(live, **FACING)
    sender = ship(node)
    sender.talks = {"RMC"}
    sender.until(lambda: node._heard_position == node._heard_position, "a position")
    assert node._map_datum is None
    begun = time.monotonic()
    sender.until(lambda: node._map_datum is not None, "a datum without altitude")
    assert time.monotonic() - begun > 1.0
    assert node._map_datum.altitude == 0.0


def test_the_datum_outlives_a_life_cycle_circle(live: Any, ship: Any) -> None:
    node = start(live)
    sender = ship(node)
    sender.until(lambda: node._map_datum, "a datum")
    datum = node._map_datum
    for transition in ("deactivate", "cleanup", "configure", "activate"):
        live.in_executor(getattr(node, f"trigger_{transition}"))
    datums = live.listen(NavSatFix, "ownship/datum", LATCHED)
    live.wait(lambda: datums, "the datum again")
    assert datum_of(datums[-1]).latitude == pytest.approx(datum.latitude)
    assert node._map_datum == datum


def test_a_site_is_given_while_the_node_runs(live: Any) -> None:
    node = start(live)
    odometry = listen(live)
    wrong = [Parameter("position.source", value="fixed").to_parameter_msg()]
    request = SetParametersAtomically.Request(parameters=wrong)
    answer = live.call(SetParametersAtomically, "ownship/set_parameters_atomically", request)
    assert not answer.result.successful
    assert "give the place" in answer.result.reason
    request.parameters = [
        Parameter(name.replace("__", "."), value=value).to_parameter_msg()
        for name, value in {**HOME, **FACING}.items()
    ]
    answer = live.call(SetParametersAtomically, "ownship/set_parameters_atomically", request)
    assert answer.result.successful, answer.result.reason
    live.wait(lambda: odometry and math.isfinite(poses(odometry)[-1].heading), "the site's pose")
    assert node._ingest is None or not node._ingest._threads


def test_a_site_without_a_place_is_refused_at_start(live: Any) -> None:
    with pytest.raises(ParameterError, match="give the place"):
        start(live, position__source="fixed")


def test_a_taken_port_is_said_and_retried(live: Any, ship: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        node = start(live, source=f"udp://127.0.0.1:{port}")
        live.wait(lambda: "is taken" in live.told().get("ownship: input", ""), "the fault")
    sender = ship(node)
    sender.until(lambda: node.accepted > 0, "sentences after the port is free")


def test_sentences_over_tcp_in_pieces(live: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        node = start(live, source=f"tcp://127.0.0.1:{server.getsockname()[1]}")
        connection, _ = server.accept()
        with connection:
            stream = hdt(77.0) + gga(time.time(), LATITUDE, LONGITUDE) + hdt(78.0)
            for place_ in range(0, len(stream), 7):
                connection.sendall(stream[place_ : place_ + 7])
            live.wait(lambda: node.accepted == 3, "three sentences")
    assert node.rejected.total() == 0
    assert math.degrees(node._navigation.heading(time.time()).heading) == pytest.approx(78.0)


def test_a_hundred_circles_leave_nothing_behind(live: Any, circle_a_hundred_times: Any) -> None:
    circle_a_hundred_times(start(live, autostart=False))


def test_a_hundred_circles_of_a_fixed_site(live: Any, circle_a_hundred_times: Any) -> None:
    circle_a_hundred_times(start(live, autostart=False, **HOME))


def test_cleaned_up_in_the_middle_of_a_datagram(live: Any, udp: Callable[..., None]) -> None:
    """An activation that Ctrl-C cuts short leaves the source open: cleanup waits for its worker."""
    reached, go_on = threading.Event(), threading.Event()

    class Slow(Navigation):
        def taken(self, arrival: float) -> None:
            reached.set()
            go_on.wait(PATIENCE)
            super().taken(arrival)

    node = live.start(Slow, source="udp://127.0.0.1:0")
    udp(node, gga(time.time(), LATITUDE, LONGITUDE))
    live.wait(reached.is_set, "the worker to hold the datagram")
    ingest = node._ingest
    cleaned = live.executor.create_task(node.cleanup)
    live.wait(lambda: ingest._stopping, "cleanup to end the worker first")
    go_on.set()
    live.result(cleaned, "the cleanup")
    assert node.rejected.total() == 0
    assert node._ingest is None


def test_an_expiry_that_was_under_way_when_its_timer_was_destroyed(live: Any) -> None:
    node = start(live, **HOME, **FACING)
    live.wait(lambda: node.is_active, "the node")

    def late() -> None:
        node.trigger_deactivate()
        node.trigger_cleanup()
        node._publish_site()

    live.in_executor(late)
    assert node.state == "unconfigured"
