# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""The Silvus driver on a live graph: a radio's lines on a UDP socket to Detections."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("rclpy")

from thebox_core.health import OK, STALE, WARN
from thebox_core.messages import seconds
from thebox_core.qos import DETECTIONS
from thebox_interfaces.msg import Detection
from thebox_sensors.ownship.node import Navigation
from thebox_sensors.silvus.node import Silvus

pytestmark = pytest.mark.graph

RADIO = "172.16.0.46"
LATITUDE, LONGITUDE = 36.6009, -121.8947
SITE = {
    "position__source": "fixed",
    "position__latitude": LATITUDE,
    "position__longitude": LONGITUDE,
    "heading__source": "fixed",
    "heading__fixed": math.radians(40.0),
}


def pose(
    heading: float | str = 101.2, latitude: float = LATITUDE, longitude: float = LONGITUDE
) -> bytes:
    return f"[{RADIO}]  Lat/Lon : ({latitude},{longitude}), Heading (deg): {heading}\n".encode()


def arrival(
    first: float = 133.109, second: float = 304.816, at: float | None = None, radio: str = RADIO
) -> bytes:
    epoch = round(1e6 * (time.time() if at is None else at))
    return (
        f"[{radio}:{epoch}] -74.69, 2462.00, 20.00, [{first}, {second}], "
        f"[{first:.0f}, {second:.0f}]\n"
    ).encode()


def start(live: Any, **parameters: Any) -> tuple[Any, list[Detection]]:
    heard = live.listen(Detection, "detections/silvus", DETECTIONS)
    return live.start(Silvus, **{"source": "udp://127.0.0.1:0", **parameters}), heard


def own_ship(live: Any, node: Any, **parameters: Any) -> None:
    live.start(Navigation, **{**SITE, **parameters})
    live.wait(lambda: node.is_active and math.isfinite(node._own_ship.history.newest.heading), "it")
    live.wait(lambda: node._datum.datum, "the datum")


def test_the_radios_heading_turns_both_candidates(live: Any, udp: Callable[..., None]) -> None:
    node, heard = start(live)
    at = time.time()
    udp(node, pose() + arrival(at=at))
    live.wait(lambda: heard, "a detection")
    detection = heard[0]
    assert math.degrees(detection.bearing) == pytest.approx(133.109 + 101.2)
    assert math.degrees(detection.bearing_alternative) == pytest.approx(304.816 + 101.2 - 360)
    assert detection.bearing_std == pytest.approx(0.17)
    assert seconds(detection.header.stamp) == pytest.approx(at, abs=2e-6)
    assert abs(seconds(detection.received) - at) < 30
    assert detection.header.frame_id == "silvus_link"
    assert (detection.sensor, detection.modality) == ("silvus", Detection.MODALITY_RF)
    assert detection.frequency == pytest.approx(2.462e9)
    assert detection.bandwidth == pytest.approx(20e6)
    assert detection.rssi == pytest.approx(-74.69)
    assert detection.sensor_track_id == ""
    assert math.isnan(detection.range)
    assert math.isnan(detection.elevation)
    assert math.isnan(detection.sensor_position.x)
    attributes = {entry.key: entry.value for entry in detection.attributes}
    assert attributes == {"radio": RADIO, "heading_source": "radio"}


@pytest.mark.parametrize(
    ("zero_axis", "positive", "expected"),
    [("right", "cw", 90 + 10), ("left", "ccw", -90 - 10), ("rear", "ccw", 180 - 10)],
)
def test_axes_and_sense(
    live: Any, udp: Callable[..., None], zero_axis: str, positive: str, expected: float
) -> None:
    node, heard = start(live, zero_axis=zero_axis, positive=positive)
    udp(node, pose(20.0) + arrival(10.0, 380.0))
    live.wait(lambda: heard, "a detection")
    assert math.degrees(heard[0].bearing) == pytest.approx((expected + 20) % 360)
    sign = 1 if positive == "cw" else -1
    other = (expected + sign * 10 + 20) % 360
    assert math.degrees(heard[0].bearing_alternative) == pytest.approx(other)


def test_without_any_heading_it_is_counted_until_one_comes(
    live: Any, udp: Callable[..., None]
) -> None:
    node, heard = start(live)
    udp(node, arrival())
    live.wait(lambda: node.rejected["no_heading"] == 1, "the count")
    live.wait(lambda: live.value("silvus: input", "rejected.no_heading") == "1", "in the health")
    assert "it told none, the own-ship has none" in node.last_reject
    live.wait(lambda: live.level("silvus: input") == WARN, "a warning that nothing can be used")
    udp(node, pose("nan") + arrival())
    live.wait(lambda: node.rejected["no_heading"] == 2, "a pose without heading is none")
    udp(node, pose(5.0) + arrival(10.0))
    live.wait(lambda: heard, "a detection")
    assert math.degrees(heard[0].bearing) == pytest.approx(15)
    assert len(heard) == 1


def test_the_own_ships_heading_stands_in(live: Any, udp: Callable[..., None]) -> None:
    node, heard = start(live, mounting_offset=math.radians(5.0), heading_max_age=0.2)
    own_ship(live, node, publish_rate_fixed=10.0)
    udp(node, arrival(10.0, 100.0))
    live.wait(lambda: heard, "a detection by the own-ship's heading")
    assert math.degrees(heard[0].bearing) == pytest.approx(40 + 5 + 10)
    assert math.degrees(heard[0].bearing_alternative) == pytest.approx(40 + 5 + 100)
    udp(node, pose(200.0) + arrival(10.0))
    live.wait(lambda: len(heard) == 2, "a detection by the radio's heading")
    assert math.degrees(heard[1].bearing) == pytest.approx(210)

    def aged() -> bool:
        udp(node, arrival(10.0))
        time.sleep(0.02)
        return heard[-1].attributes[1].value == "ownship"

    live.wait(aged, "the radio's heading to be too old")
    assert math.degrees(heard[-1].bearing) == pytest.approx(55)


def test_heading_source_and_reference_are_obeyed(live: Any, udp: Callable[..., None]) -> None:
    node, heard = start(live, heading_source="ownship")
    udp(node, pose(200.0) + arrival(10.0))
    live.wait(lambda: node.rejected["no_heading"] == 1, "no own-ship, no heading")
    own_ship(live, node)
    udp(node, arrival(10.0))
    live.wait(lambda: heard, "a detection")
    assert math.degrees(heard[0].bearing) == pytest.approx(50)


def test_a_radio_told_its_heading_gives_true_bearings(live: Any, udp: Callable[..., None]) -> None:
    node, heard = start(live, bearing_reference="true", mounting_offset=math.radians(-2.0))
    udp(node, arrival(10.0, 20.0))
    live.wait(lambda: heard, "a detection")
    assert math.degrees(heard[0].bearing) == pytest.approx(8)
    assert math.degrees(heard[0].bearing_alternative) == pytest.approx(18)


def test_a_radio_apart_from_the_own_ship_has_its_own_position(
    live: Any, udp: Callable[..., None]
) -> None:
    node, heard = start(live)
    own_ship(live, node)
    udp(node, pose(0.0) + arrival())
    live.wait(lambda: len(heard) == 1, "a detection from the own-ship")
    assert math.isnan(heard[0].sensor_position.x)
    # 0.01 degrees of latitude are 1109.7 m here (Snyder 1987, at 36.6 degrees).
    udp(node, pose(0.0, latitude=LATITUDE + 0.01) + arrival())
    live.wait(lambda: len(heard) == 2, "a detection from 1.1 km north")
    stood = heard[1].sensor_position
    assert (stood.x, stood.y, stood.z) == pytest.approx((0, 1109.7, 0), abs=0.5)


def test_lines_of_a_datagram_stand_alone(live: Any, udp: Callable[..., None]) -> None:
    node, heard = start(live)
    good = pose(0.0) + arrival(1.0) + b"[172.16.0.46:17495] cut off\n" + arrival(2.0)
    udp(node, b"\x08\x96\x01\x12\x00", good)
    live.wait(lambda: len(heard) == 2, "both detections")
    assert [round(math.degrees(d.bearing)) for d in heard] == [1, 2]
    assert dict(node.rejected.items()) == {"binary_mode": 1, "malformed": 1}


def test_each_radio_has_its_own_heading_and_is_in_the_health(
    live: Any, udp: Callable[..., None]
) -> None:
    node, heard = start(live)
    udp(node, pose(50.0), pose(90.0).replace(b"0.46", b"0.47"))
    udp(node, arrival(10.0), arrival(10.0, radio="172.16.0.47"))
    live.wait(lambda: len(heard) == 2, "both detections")
    assert [round(math.degrees(d.bearing)) for d in heard] == [60, 100]
    key = "radio.172.16.0.47.heading"
    live.wait(lambda: live.value("silvus: input", key), "the radio in the health")
    assert float(live.value("silvus: input", key)) == pytest.approx(math.pi / 2, abs=1e-4)


def test_a_wrong_clock_of_the_radio_is_not_believed(live: Any, udp: Callable[..., None]) -> None:
    node, heard = start(live)
    udp(node, pose() + arrival(at=time.time() - 90))
    live.wait(lambda: heard, "a detection")
    assert abs(seconds(heard[0].header.stamp) - time.time()) < 30
    live.wait(lambda: "clock is off" in live.told().get("silvus: input", ""), "it to be said")
    assert "s behind this box's" in live.told()["silvus: input"]
    assert live.level("silvus: input") == WARN

    # And no longer when it is right again.
    def right_again() -> bool:
        udp(node, pose() + arrival(at=time.time()))
        time.sleep(0.05)
        return live.level("silvus: input") == OK

    live.wait(right_again, "the warning to end")
    udp(node, pose() + arrival(at=time.time() + 7 * 86_400.0))
    live.wait(lambda: node.clock_error > 86_400.0, "a clock that is days ahead")


def test_silence_is_stale_and_ends(live: Any, udp: Callable[..., None]) -> None:
    node, _ = start(live, stale_after=0.5)
    udp(node, pose())
    live.wait(lambda: live.level("silvus: input") == STALE, "stale")

    def again() -> bool:
        udp(node, pose() + arrival())
        time.sleep(0.02)
        return live.level("silvus: input") == OK

    live.wait(again, "well again")


def test_a_hundred_circles_leave_nothing_behind(live: Any, circle_a_hundred_times: Any) -> None:
    node, _ = start(live, autostart=False)
    circle_a_hundred_times(node)
