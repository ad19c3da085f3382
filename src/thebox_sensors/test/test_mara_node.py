# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""The MARA driver on a live graph: lines over UDP, TCP and a serial line to Detections."""

from __future__ import annotations

import json
import math
import os
import socket
import time
import tty
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

pytest.importorskip("rclpy")

from rclpy.parameter import Parameter

from thebox_core.health import OK, STALE, WARN
from thebox_core.messages import seconds
from thebox_core.qos import DETECTIONS
from thebox_interfaces.msg import Detection
from thebox_sensors.mara.node import Mara
from thebox_sensors.ownship.node import Navigation

pytestmark = pytest.mark.graph

LATITUDE, LONGITUDE = 53.54, 9.98
SITE = {
    "position__source": "fixed",
    "position__latitude": LATITUDE,
    "position__longitude": LONGITUDE,
    "heading__source": "fixed",
    "heading__fixed": math.radians(300.0),
}


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="microseconds")


def observation(**fields: Any) -> bytes:
    return json.dumps({"sensor_id": "S1", "bearing_deg": 45.0, "channel": "EO", **fields}).encode()


def start(live: Any, **parameters: Any) -> tuple[Any, list[Detection]]:
    heard = live.listen(Detection, "detections/mara", DETECTIONS)
    return live.start(Mara, **{"source": "udp://127.0.0.1:0", **parameters}), heard


def own_ship(live: Any, node: Any) -> None:
    live.start(Navigation, **SITE)
    live.wait(lambda: node.is_active and math.isfinite(node._own_ship.history.newest.heading), "it")
    live.wait(lambda: node._datum.datum, "the datum")


def test_an_observation_becomes_a_detection(live: Any, udp: Callable[..., None]) -> None:
    node, heard = start(live)
    at = time.time()
    udp(
        node,
        observation(
            timestamp=iso(at),
            object_id="o7",
            track_id=12,
            confidence=83,
            elevation_deg=10.0,
            range_m=400.0,
            speed_mps=10.0,
            heading_deg=90.0,
            label="quadcopter",
            zoom=4,
        ),
    )
    live.wait(lambda: heard, "a detection")
    detection = heard[0]
    assert (detection.sensor, detection.modality) == ("mara", Detection.MODALITY_EO)
    assert detection.header.frame_id == "mara_link"
    assert seconds(detection.header.stamp) == pytest.approx(at, abs=2e-6)
    assert detection.sensor_track_id == "S1/12"
    assert math.degrees(detection.bearing) == pytest.approx(45)
    assert detection.bearing_std == pytest.approx(0.0087)
    assert math.degrees(detection.elevation) == pytest.approx(10)
    assert detection.elevation_std == pytest.approx(0.0087)
    assert detection.range == 400
    assert detection.range_std == pytest.approx(math.hypot(10, 40))
    assert (detection.velocity.x, detection.velocity.y) == pytest.approx((10, 0), abs=1e-9)
    assert math.isnan(detection.velocity.z)
    assert detection.velocity_covariance[4] == pytest.approx(9)
    assert math.isnan(detection.position.x)
    assert math.isnan(detection.velocity_covariance[8])
    assert detection.confidence == pytest.approx(0.83)
    assert detection.label == "quadcopter"
    attributes = {entry.key: entry.value for entry in detection.attributes}
    assert attributes["zoom"] == "4"
    assert attributes["object_id"] == "o7"


def test_modality_and_errors_follow_the_channel_in_each_form(
    live: Any, udp: Callable[..., None]
) -> None:
    node, heard = start(live)
    udp(
        node,
        b"sensor_id=S1 bearing_deg=10 channel=THERMAL",
        b'sensor_id="ear" bearing_deg=20 elevation_deg=5 channel=audio',
        b"sensor_id,bearing_deg,channel",
        b"S2,30,CAMERA\nS2,40,\nS2,50,XRAY",
    )
    live.wait(lambda: len(heard) == 5, "five detections")
    assert [d.modality for d in heard] == [
        Detection.MODALITY_IR,
        Detection.MODALITY_ACOUSTIC,
        Detection.MODALITY_EO,
        Detection.MODALITY_UNKNOWN,
        Detection.MODALITY_UNKNOWN,
    ]
    assert [round(math.degrees(d.bearing)) for d in heard] == [10, 20, 30, 40, 50]
    assert [d.bearing_std for d in heard] == pytest.approx([0.0087, 0.087, 0.0087, 0.087, 0.087])
    assert heard[1].elevation_std == pytest.approx(0.17)
    assert dict(node.rejected.items()) == {"bad_channel": 1}


def test_a_bad_field_is_counted_and_the_rest_is_used(live: Any, udp: Callable[..., None]) -> None:
    node, heard = start(live)
    udp(
        node,
        observation(elevation_deg=95, range_m=-3, confidence=500),
        observation(bearing_deg=900),
        observation(),
    )
    live.wait(lambda: len(heard) == 2, "the first and the last")
    assert math.isnan(heard[0].elevation)
    assert math.isnan(heard[0].elevation_std)
    assert math.isnan(heard[0].range)
    assert math.isnan(heard[0].confidence)
    assert dict(node.rejected.items()) == {
        "bad_bearing": 1,
        "bad_confidence": 1,
        "bad_elevation": 1,
        "bad_range": 1,
        "no_direction": 1,
    }


def test_confidence_counts_in_what_the_operator_says(live: Any, udp: Callable[..., None]) -> None:
    node, heard = start(live)
    udp(node, b"bearing_deg=5 confidence=1")
    live.wait(lambda: len(heard) == 1, "a detection")
    done = live.in_executor(
        lambda: node.set_parameters([Parameter("confidence_scale", value="percent")])
    )
    assert done[0].successful
    udp(node, b"bearing_deg=5 confidence=1")
    live.wait(lambda: len(heard) == 2, "a second detection")
    assert [detection.confidence for detection in heard] == pytest.approx([1.0, 0.01])


def test_bow_relative_bearings_need_the_own_ship(live: Any, udp: Callable[..., None]) -> None:
    node, heard = start(live, bearing_reference="bow", mounting_offset=math.radians(30.0))
    udp(node, observation(bearing_deg=90.0))
    live.wait(lambda: node.rejected["no_heading"] == 1, "no heading")
    own_ship(live, node)
    udp(node, observation(bearing_deg=90.0))
    live.wait(lambda: heard, "a detection")
    assert math.degrees(heard[0].bearing) == pytest.approx(300 + 30 + 90 - 360)


def test_positions_go_through_the_datum(live: Any, udp: Callable[..., None]) -> None:
    node, heard = start(live, position_sigma=12.0)
    there = {"lat": LATITUDE + 0.01, "lon": LONGITUDE}
    udp(node, observation(**there), observation(bearing_deg=None, **there))
    live.wait(lambda: node.rejected["no_datum"] == 2, "both without a datum")
    live.wait(lambda: len(heard) == 1, "the one that has a bearing")
    assert math.isnan(heard[0].position.x)
    own_ship(live, node)
    udp(node, observation(bearing_deg=None, object_id="o1", **there))
    live.wait(lambda: len(heard) == 2, "a position")
    detection = heard[1]
    # 0.01 degrees of latitude are 1112.96 m here (Snyder 1987, at 53.5 degrees).
    assert (detection.position.x, detection.position.y) == pytest.approx((0, 1112.96), abs=0.5)
    assert math.isnan(detection.position.z)
    assert math.isnan(detection.bearing)
    covariance = list(detection.position_covariance)
    assert [covariance[0], covariance[1], covariance[3], covariance[4]] == [144, 0, 0, 144]
    assert math.isnan(covariance[8])
    assert detection.sensor_track_id == "S1/o1"


def test_a_position_counts_where_the_bearing_cannot(live: Any, udp: Callable[..., None]) -> None:
    node, heard = start(live, bearing_reference="bow")
    live.start(Navigation, **{**SITE, "heading__source": "nmea", "source": "udp://127.0.0.1:0"})
    live.wait(lambda: node.is_active and node._datum.datum, "the datum")
    udp(node, observation(lat=LATITUDE, lon=LONGITUDE))
    live.wait(lambda: heard, "a detection")
    assert math.isnan(heard[0].bearing)
    assert math.isnan(heard[0].bearing_std)
    assert heard[0].position.x == pytest.approx(0, abs=1e-6)
    assert node.rejected["no_heading"] == 1


def test_heartbeats_are_in_the_health(live: Any, udp: Callable[..., None]) -> None:
    node, heard = start(live, heartbeat_max_age=1.0, stale_after=60.0)

    def beat(status: str) -> Callable[[], bool]:
        line = json.dumps(
            {"type": "heartbeat", "sensor_id": "S9", "status": status, "battery": "81 %"}
        )

        def said() -> bool:
            udp(node, line.encode())
            time.sleep(0.02)
            return live.value("mara: input", "unit.S9.status") == status

        return said

    live.wait(beat("nominal"), "the status")
    assert live.value("mara: input", "unit.S9.battery") == "81 %"
    assert live.level("mara: input") == OK
    live.wait(beat("camera fault"), "the fault")
    assert live.level("mara: input") == WARN
    assert "unit S9 says: camera fault" in live.told()["mara: input"]
    live.wait(lambda: "unit S9: no heartbeat for" in live.told()["mara: input"], "it to be missed")
    assert live.level("mara: input") == WARN
    live.wait(beat("nominal again"), "the heartbeat again")
    assert live.level("mara: input") == OK
    live.wait(beat("running, no faults, errors: 0"), "a status that denies trouble")
    assert live.level("mara: input") == OK
    assert not heard
    assert node.rejected.total() == 0


def test_lines_over_tcp_in_pieces_and_after_a_reconnection(live: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        node, heard = start(live, source=f"tcp://127.0.0.1:{server.getsockname()[1]}")
        stream = b"object_id,bearing_deg\nA,10\r\n\r\n" + observation(bearing_deg=20.0) + b"\nB,3"
        first, _ = server.accept()
        with first:
            for place in range(0, len(stream), 5):
                first.sendall(stream[place : place + 5])
            live.wait(lambda: len(heard) == 2, "two whole lines")
        second, _ = server.accept()
        with second:
            # Neither the cut line nor the columns belong to the new connection.
            second.sendall(b"0\nbearing_deg=40\n")
            live.wait(lambda: len(heard) == 3, "a line of the new connection")
            live.wait(lambda: node.rejected.total() == 1, "the rest of a line")
    assert [round(math.degrees(d.bearing)) for d in heard] == [10, 20, 40]
    assert dict(node.rejected.items()) == {"bad_columns": 1}
    assert node._ingest.reconnects >= 1


def test_lines_over_a_serial_line(live: Any) -> None:
    controller, line = os.openpty()
    try:
        tty.setraw(line)
        node, heard = start(live, source=f"serial://{os.ttyname(line)}?baud=115200")
        live.wait(lambda: node._ingest and node._ingest.transport, "the line to be open")

        def arrives() -> bool:
            os.write(controller, b"bearing_deg=70 channel=IR\nbearing_")
            os.write(controller, b"deg=71 channel=IR\n")
            time.sleep(0.05)
            return len(heard) >= 2

        live.wait(arrives, "two detections")
    finally:
        live.in_executor(node.trigger_deactivate)
        os.close(controller)
        os.close(line)
    assert [round(math.degrees(d.bearing)) for d in heard[:2]] == [70, 71]
    assert heard[0].modality == Detection.MODALITY_IR


def test_garbage_is_counted_and_said(live: Any, udp: Callable[..., None]) -> None:
    node, heard = start(live)

    def noisy() -> bool:
        udp(node, b"\xff\xfe\x00", b"{broken", b"")
        time.sleep(0.02)
        return "nothing that comes can be used" in live.told().get("mara: input", "")

    live.wait(noisy, "the warning")
    assert live.level("mara: input") == WARN
    assert set(dict(node.rejected.items())) == {"not_text", "not_json", "empty"}
    udp(node, observation())
    live.wait(lambda: heard, "a detection after all that")


def test_silence_is_stale_and_ends(live: Any, udp: Callable[..., None]) -> None:
    node, _ = start(live, stale_after=0.5)
    udp(node, observation())
    live.wait(lambda: live.level("mara: input") == STALE, "stale")

    def again() -> bool:
        udp(node, observation())
        time.sleep(0.02)
        return live.level("mara: input") == OK

    live.wait(again, "well again")


def test_a_hundred_circles_leave_nothing_behind(live: Any, circle_a_hundred_times: Any) -> None:
    node, _ = start(live, autostart=False)
    circle_a_hundred_times(node)
