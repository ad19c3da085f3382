# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""The Trakka driver against a gimbal on a TCP socket, with a reader and writer of its own."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from action_msgs.msg import GoalStatus
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import GetParameters
from rclpy.action import ActionClient
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image

from thebox_core.qos import PICTURES, STATE
from thebox_interfaces.action import SlewTo
from thebox_interfaces.msg import Detection, GimbalState
from thebox_interfaces.srv import SetCameraLock, SetGimbalMode, SetZoom
from thebox_sensors.trakka.node import Trakka

pytestmark = pytest.mark.graph


def _checked(body: bytes) -> bytes:
    """A frame by the wire description: Fletcher's two sums modulo 255 over class to payload."""
    a = b = 0
    for byte in body:
        a = (a + byte) % 255
        b = (b + a) % 255
    return b"\xa7\x54" + body + bytes((a, b))


class GimbalPeer:
    """A gimbal with two axes that listens, obeys and answers as the camera's interface says.

    It keeps moving when its client goes away: the worst that a camera may do.

    Args:
        cut_after: bytes of a session after which the link is cut, counted in ``cut_side``.
        cut_side: "out" (bytes sent to the driver) or "in" (bytes received).
    """

    ACCELERATION = math.radians(120.0)

    def __init__(self, cut_after: int | None = None, cut_side: str = "out", port: int = 0) -> None:
        self.angles = [0.3, -0.1]
        self.rates = [0.0, 0.0]
        self.wanted = [0.0, 0.0]
        self.fastest = 0.0
        self.mode = 0
        self.zoom = [1.0, 2.0, 4.0]
        self.zoomed: list[tuple[int, int, float]] = []
        self.indication: list[tuple[int, int]] = []
        self.sessions = 0
        self.first_commands: list[list[tuple[int, int]]] = []
        self.mute = False
        self.cut_after = cut_after
        self.cut_side = cut_side
        self.history: list[tuple[float, float, float]] = []
        self.faults: list[str] = []
        self._lock = threading.Lock()
        self._sent = self._received = 0
        self._connection: socket.socket | None = None
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(0.05)
        self.port = self._listener.getsockname()[1]
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._move, self._serve)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    @property
    def still(self) -> bool:
        return not any(self.wanted) and not any(self.rates)

    def angle_at(self, stamp: float) -> tuple[float, float]:
        """True angles at a system time."""
        with self._lock:
            place = min(bisect_left(self.history, (stamp,)), len(self.history) - 1)
            return self.history[place][1:]

    def _move(self) -> None:
        before = time.monotonic()
        while not self._stopping.wait(0.002):
            now = time.monotonic()
            passed, before = now - before, now
            with self._lock:
                for axis in (0, 1):
                    limit = self.ACCELERATION * passed
                    change = self.wanted[axis] - self.rates[axis]
                    self.rates[axis] += max(-limit, min(limit, change))
                    self.angles[axis] += self.rates[axis] * passed
                    self.fastest = max(self.fastest, abs(self.rates[axis]))
                self.angles[0] = math.remainder(self.angles[0], 2 * math.pi)
                self.history.append((time.time(), *self.angles))

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                continue
            self.sessions += 1
            self.first_commands.append([])
            self._sent = self._received = 0
            with connection, contextlib.suppress(OSError):
                connection.settimeout(0.05)
                self._connection = connection
                self._attend(connection)
            self._connection = None

    def _attend(self, connection: socket.socket) -> None:
        held = b""
        while not self._stopping.is_set():
            try:
                chunk = connection.recv(4096)
            except TimeoutError:
                continue
            if not chunk:
                return
            if self.cut_side == "in" and self.cut_after is not None:
                chunk = chunk[: self.cut_after - self._received]
            self._received += len(chunk)
            held += chunk
            while len(held) >= 6:
                assert held[:2] == b"\xa7\x54", held
                length = struct.unpack_from("<H", held, 4)[0]
                if len(held) < 8 + length:
                    break
                frame, held = held[: 8 + length], held[8 + length :]
                if _checked(frame[2:-2]) != frame:
                    self.faults.append(f"bad check bytes: {frame.hex()}")
                self._obey(connection, (frame[2], frame[3]), frame[6:-2])
            if self.cut_side == "in" and self._received == self.cut_after:
                self.cut_after = None
                return

    def _obey(self, connection: socket.socket, message: tuple[int, int], content: bytes) -> None:
        self.first_commands[-1].append(message)
        if message == (1, 3):
            (register,) = struct.unpack("<H", content)
            self._answer(connection, register)
        elif message in ((2, 2), (2, 3)):
            (rate,) = struct.unpack("<f", content)
            if abs(rate) > math.radians(60.0):
                self.faults.append(f"rate {rate}")
                return
            if self.mode == 0:
                self.wanted[message[1] - 2] = rate
        elif message == (2, 0x81):
            self.mode = content[0]
            if self.mode != 0:
                self.wanted = [0.0, 0.0]
        elif message == (0x81, 2):
            self.zoomed.append(struct.unpack("<BBf", content))
        elif message == (0x82, 3):
            self.indication.append(struct.unpack("<Bh", content))
        else:
            self.faults.append(f"unexpected message {message}")

    def _answer(self, connection: socket.socket, register: int) -> None:
        if self.mute:
            return
        with self._lock:
            values = {
                0x1809: self.angles[0],
                0x180A: self.angles[1],
                0x1101: self.zoom[0],
                0x1201: self.zoom[1],
                0x1401: self.zoom[2],
            }
        if register == 0x0800:
            number = struct.pack("<I", self.mode)
        else:
            number = struct.pack("<f", values[register])
        self.send(_checked(b"\x01\x04\x06\x00" + struct.pack("<H", register) + number))

    def send(self, data: bytes) -> None:
        connection = self._connection
        if connection is None:
            return
        if self.cut_side == "out" and self.cut_after is not None:
            data = data[: self.cut_after - self._sent]
        connection.sendall(data)
        self._sent += len(data)
        if self.cut_side == "out" and self._sent == self.cut_after:
            self.cut_after = None
            connection.shutdown(socket.SHUT_RDWR)
            raise ConnectionError("cut")

    def track(self, azimuth: float, elevation: float, *, source: int = 1, status: int = 1) -> None:
        """Tell of a target, by its errors from the picture's centre."""
        content = struct.pack("<BHBBffBB", source, 7, status, 80, azimuth, elevation, 1, 90)
        self.send(_checked(b"\x82\x07" + struct.pack("<H", len(content)) + content))


@pytest.fixture
def gimbal() -> Iterator[Callable[..., GimbalPeer]]:
    peers: list[GimbalPeer] = []

    def make(**options: Any) -> GimbalPeer:
        peers.append(GimbalPeer(**options))
        return peers[-1]

    yield make
    for peer in peers:
        peer.close()


def start(live: Any, peer: GimbalPeer, **parameters: Any) -> Any:
    options = {"source": f"tcp://127.0.0.1:{peer.port}", "bearing_reference": "true", **parameters}
    return live.start(Trakka, **options)


class Slews:
    """Sends goals and keeps what comes of them."""

    def __init__(self, live: Any) -> None:
        self.live = live
        self.feedback: list[Any] = []
        self.client = ActionClient(live.observer, SlewTo, "trakka/slew_to")
        live.wait(self.client.server_is_ready, "the action server")

    def send(self, **fields: Any) -> Any:
        goal = SlewTo.Goal()
        goal.bearing = goal.elevation = goal.tolerance = goal.timeout = math.nan
        goal.point.x = goal.point.y = goal.point.z = math.nan
        for name, value in fields.items():
            if name == "point":
                goal.point.x, goal.point.y, goal.point.z = value
            else:
                setattr(goal, name, value)
        future = self.client.send_goal_async(
            goal, feedback_callback=lambda message: self.feedback.append(message.feedback)
        )
        handle = self.live.result(future, "the goal to be accepted")
        assert handle.accepted
        return handle

    def end(self, handle: Any) -> Any:
        return self.live.result(handle.get_result_async(), "the slew to end")


def linked(live: Any, node: Any) -> None:
    live.wait(
        lambda: node._camera is not None and not math.isnan(node._camera.view().azimuth),
        "angles of the gimbal",
    )


def turn(first: float, second: float) -> float:
    return abs(math.remainder(first - second, 2 * math.pi))


def test_state_at_ten_hertz_tells_where_the_gimbal_points(live: Any, gimbal: Any) -> None:
    peer = gimbal()
    heard = live.listen(GimbalState, "camera/gimbal_state", STATE)
    node = start(live, peer, mounting_offset=0.5, field_of_view=0.6, zoom_sensor=2)
    linked(live, node)
    begin = len(heard)
    began = time.monotonic()
    live.wait(lambda: len(heard) >= begin + 20, "20 states")
    assert 1.2 < time.monotonic() - began < 6.0  # 2 s, on a machine that is busy or not
    state = heard[-1]
    assert state.azimuth == pytest.approx(0.3, abs=1e-6)
    assert state.elevation == pytest.approx(-0.1, abs=1e-6)
    assert state.bearing == pytest.approx(0.8, abs=1e-6)
    assert state.header.frame_id == "trakka_link"
    live.wait(lambda: heard[-1].mode == GimbalState.MODE_RATE, "the mode")
    live.wait(lambda: heard[-1].zoom_ratio == 2.0, "the zoom")
    expected = 2 * math.atan(math.tan(0.3) / 2)
    assert heard[-1].horizontal_field_of_view == pytest.approx(expected)
    assert not heard[-1].slewing and heard[-1].steered_by == ""
    assert peer.indication == [(4, 30)]
    assert not peer.faults


def test_a_session_begins_with_a_stop(live: Any, gimbal: Any) -> None:
    peer = gimbal()
    peer.wanted = [0.4, -0.2]  # somebody left it moving
    node = start(live, peer)
    linked(live, node)
    live.wait(lambda: peer.still, "the gimbal to stand still")
    assert peer.first_commands[0][:3] == [(2, 0x81), (2, 2), (2, 3)]


def test_video_tracks_become_detections(live: Any, gimbal: Any) -> None:
    peer = gimbal()
    heard = live.listen(Detection, "detections/trakka")
    node = start(live, peer, mounting_offset=0.1)
    linked(live, node)
    peer.track(0.02, 0.01)
    peer.track(-0.01, 0.0, source=2)
    live.wait(lambda: len(heard) == 2, "two detections")
    visible, infrared = heard
    # The error is an angle in the picture: at this elevation almost one of azimuth.
    assert visible.bearing == pytest.approx(0.3 + 0.1 + 0.02 / math.cos(0.1), abs=5e-4)
    assert visible.elevation == pytest.approx(-0.09, abs=5e-4)
    assert visible.modality == Detection.MODALITY_EO
    assert visible.sensor_track_id == "1:7"
    assert (visible.label, visible.confidence) == ("rotary", pytest.approx(0.9))
    assert math.isnan(visible.range) and math.isnan(visible.position.x)
    assert infrared.modality == Detection.MODALITY_IR
    peer.track(0.0, 0.0, status=0)
    peer.track(0.0, 0.0, status=3)
    live.wait(lambda: node.ignored["inactive"] and node.ignored["coasting"], "both to be counted")
    assert len(heard) == 2


def test_no_detections_of_a_moving_picture(live: Any, gimbal: Any) -> None:
    peer = gimbal()
    heard = live.listen(Detection, "detections/trakka")
    node = start(live, peer)
    linked(live, node)
    slews = Slews(live)
    handle = slews.send(bearing=2.5, elevation=0.2)
    live.wait(lambda: any(abs(r) > 0.2 for r in peer.rates), "the gimbal to move")
    for _ in range(5):
        peer.track(0.0, 0.0)
    live.wait(lambda: node.ignored["slewing"] >= 5, "tracks during the slew to be counted")
    assert not heard
    slews.end(handle)
    peer.track(0.0, 0.0)
    live.wait(lambda: heard, "a detection after the slew")
    assert turn(heard[0].bearing, 2.5) < math.radians(0.2)


def test_a_slew_of_120_degrees_settles_and_the_node_answers_meanwhile(
    live: Any, gimbal: Any
) -> None:
    peer = gimbal()
    node = start(live, peer)
    linked(live, node)
    slews = Slews(live)
    target = 0.3 + math.radians(120.0)
    handle = slews.send(bearing=target, elevation=0.35, requested_by="vision")
    future = handle.get_result_async()
    answers = 0
    slowest = 0.0
    client = live.observer.create_client(GetParameters, "trakka/get_parameters")
    live.wait(client.service_is_ready, "the parameter service")
    while not future.done():
        asked = time.monotonic()
        live.result(client.call_async(GetParameters.Request(names=["slew.rate"])), "a parameter")
        slowest = max(slowest, time.monotonic() - asked)
        answers += 1
    result = future.result()
    assert result.status == GoalStatus.STATUS_SUCCEEDED, result.result.message
    assert result.result.outcome == SlewTo.Result.OUTCOME_SETTLED
    assert answers >= 5 and slowest < 2.0
    live.wait(lambda: peer.still, "the gimbal to stand still")
    assert turn(peer.angles[0], target) <= math.radians(0.1)
    assert abs(peer.angles[1] - 0.35) <= math.radians(0.1)
    assert result.result.error <= math.radians(0.15)
    assert peer.fastest <= math.radians(60.0)
    assert slews.feedback and slews.feedback[0].error > slews.feedback[-1].error
    assert not peer.faults
    assert node.latency.count == 0 or node.rejected.total() == 0


def test_cancel_stops_the_gimbal(live: Any, gimbal: Any) -> None:
    peer = gimbal()
    node = start(live, peer)
    linked(live, node)
    slews = Slews(live)
    handle = slews.send(bearing=3.0, elevation=0.0)
    live.wait(lambda: any(peer.rates), "the gimbal to move")
    future = handle.get_result_async()
    cancelled = live.result(handle.cancel_goal_async(), "the cancel")
    assert len(cancelled.goals_canceling) == 1
    result = live.result(future, "the result")
    assert result.status == GoalStatus.STATUS_CANCELED
    assert result.result.outcome == SlewTo.Result.OUTCOME_CANCELLED
    live.wait(lambda: peer.still, "the gimbal to stand still")


def test_a_new_goal_preempts_and_a_timeout_aborts(live: Any, gimbal: Any) -> None:
    peer = gimbal()
    node = start(live, peer)
    linked(live, node)
    slews = Slews(live)
    first = slews.send(bearing=3.0, elevation=0.0, requested_by="vision")
    live.wait(lambda: any(peer.rates), "the gimbal to move")
    second = slews.send(bearing=5.0, elevation=0.0, timeout=0.4, requested_by="operator:Ada")
    result = slews.end(first)
    assert result.status == GoalStatus.STATUS_ABORTED
    assert result.result.outcome == SlewTo.Result.OUTCOME_PREEMPTED
    assert "operator:Ada" in result.result.message
    result = slews.end(second)
    assert result.result.outcome == SlewTo.Result.OUTCOME_TIMEOUT
    live.wait(lambda: peer.still, "the gimbal to stand still")


def test_goals_that_cannot_be_met_are_refused_with_a_reason(live: Any, gimbal: Any) -> None:
    peer = gimbal()
    node = start(live, peer, bearing_reference="bow")
    linked(live, node)
    slews = Slews(live)
    for fields, reason in (
        ({"bearing": 1.0, "elevation": 0.0}, "heading is not known"),
        ({"point": (100.0, 0.0, 0.0)}, "position is not known"),
        ({}, "neither a bearing nor a whole point"),
        ({"bearing": 1.0, "point": (1.0, 2.0, 3.0)}, "a bearing or a point"),
        ({"bearing": 1.0, "tolerance": -1.0}, "tolerance"),
        ({"bearing": 1.0, "elevation": math.inf}, "heading is not known"),
    ):
        result = slews.end(slews.send(**fields))
        assert result.status == GoalStatus.STATUS_ABORTED
        assert result.result.outcome == SlewTo.Result.OUTCOME_REFUSED
        assert reason in result.result.message
    assert peer.still and peer.fastest == 0.0


class Vessel:
    """An own-ship that turns and moves, told at 20 Hz."""

    def __init__(self, live: Any, heading: float, turning: float, speed: float = 0.0) -> None:
        self.publisher = live.observer.create_publisher(Odometry, "ownship/odometry", STATE)
        self.heading, self.turning, self.speed = heading, turning, speed
        self.began = time.time()
        self.timer = live.observer.create_timer(0.05, self.tell)

    def at(self, now: float) -> tuple[float, float]:
        passed = now - self.began
        return self.heading + self.turning * passed, self.speed * passed

    def tell(self) -> None:
        now = time.time()
        heading, north = self.at(now)
        message = Odometry()
        message.header.stamp.sec, message.header.stamp.nanosec = int(now), int(now % 1 * 1e9)
        yaw = math.pi / 2 - heading
        message.pose.pose.orientation.z = math.sin(yaw / 2)
        message.pose.pose.orientation.w = math.cos(yaw / 2)
        message.pose.pose.position.y = north
        # The twist is in base_link, which the velocity northwards is turned into.
        message.twist.twist.linear.x = self.speed * math.cos(heading)
        message.twist.twist.linear.y = self.speed * math.sin(heading)
        self.publisher.publish(message)


def test_a_point_is_followed_while_the_own_ship_moves(live: Any, gimbal: Any) -> None:
    peer = gimbal()
    states = live.listen(GimbalState, "camera/gimbal_state", STATE)
    node = start(live, peer, bearing_reference="bow", slew__tolerance=math.radians(0.3))
    linked(live, node)
    vessel = Vessel(live, heading=0.2, turning=math.radians(4.0), speed=8.0)
    live.wait(lambda: not math.isnan(node._own_ship.history.newest.heading), "the own-ship")
    slews = Slews(live)
    point = (800.0, 600.0, 120.0)
    result = slews.end(slews.send(point=point, requested_by="vision"))
    assert result.status == GoalStatus.STATUS_SUCCEEDED, result.result.message
    errors: list[float] = []

    def followed() -> bool:
        now = time.time()
        heading, north = vessel.at(now)
        bearing = math.atan2(point[0], point[1] - north)
        azimuth, _ = peer.angle_at(now)
        errors.append(turn(azimuth + heading, bearing))
        return now > ends

    ends = time.time() + 3.0
    live.wait(followed, "3 s of following")
    assert float(np.percentile(errors, 90)) < math.radians(1.0)
    live.wait(lambda: states[-1].following and states[-1].steered_by == "vision", "following")
    assert not states[-1].slewing
    answer = live.call(
        SetGimbalMode,
        "trakka/set_gimbal_mode",
        SetGimbalMode.Request(mode=GimbalState.MODE_RATE, requested_by="operator:Ada"),
    )
    assert answer.success
    live.wait(lambda: peer.still, "the gimbal to stand still")


def test_zoom_mode_and_lock(live: Any, gimbal: Any) -> None:
    peer = gimbal()
    states = live.listen(GimbalState, "camera/gimbal_state", STATE)
    node = start(live, peer, field_of_view=1.0)
    linked(live, node)

    def zoom(**fields: Any) -> Any:
        given = {"horizontal_field_of_view": math.nan, "zoom_ratio": math.nan, **fields}
        return live.call(SetZoom, "trakka/set_zoom", SetZoom.Request(**given))

    def lock(locked: bool, by: str) -> Any:
        request = SetCameraLock.Request(locked=locked, requested_by=by)
        return live.call(SetCameraLock, "trakka/set_camera_lock", request)

    assert zoom(horizontal_field_of_view=0.25).success
    live.wait(lambda: peer.zoomed, "the zoom")
    assert peer.zoomed[0] == (1, 1, pytest.approx(0.25))
    live.wait(lambda: states, "a state")
    live.wait(lambda: states[-1].horizontal_field_of_view == pytest.approx(0.25), "the view")
    assert zoom(zoom_ratio=4.0, sensor=2).success
    live.wait(lambda: len(peer.zoomed) == 2, "the zoom by ratio")
    assert peer.zoomed[1] == (2, 1, pytest.approx(2 * math.atan(math.tan(0.5) / 4), rel=1e-6))
    assert not zoom().success
    assert not zoom(horizontal_field_of_view=9.0).success

    assert not lock(True, "").success
    answer = lock(True, "operator:Ada")
    assert answer.success and answer.held_by == "operator:Ada"
    assert not lock(True, "operator:Bob").success
    refused = zoom(horizontal_field_of_view=0.3, requested_by="vision")
    assert not refused.success and "operator:Ada" in refused.message
    slews = Slews(live)
    result = slews.end(slews.send(bearing=1.0, elevation=0.0, requested_by="vision"))
    assert result.result.outcome == SlewTo.Result.OUTCOME_REFUSED
    assert zoom(horizontal_field_of_view=0.3, requested_by="operator:Ada").success
    live.wait(lambda: states[-1].held_by == "operator:Ada", "the holder to be told")
    assert lock(False, "operator:Ada").held_by == ""

    handle = slews.send(bearing=3.0, elevation=0.0, requested_by="vision")
    live.wait(lambda: any(peer.rates), "the gimbal to move")
    request = SetGimbalMode.Request(mode=GimbalState.MODE_STOW, requested_by="operator:Ada")
    assert live.call(SetGimbalMode, "trakka/set_gimbal_mode", request).success
    assert slews.end(handle).result.outcome == SlewTo.Result.OUTCOME_PREEMPTED
    live.wait(lambda: peer.mode == 2, "stow")
    live.wait(lambda: states[-1].mode == GimbalState.MODE_STOW, "stow to be told")
    wrong = SetGimbalMode.Request(mode=9)
    assert not live.call(SetGimbalMode, "trakka/set_gimbal_mode", wrong).success


def test_a_camera_that_falls_silent_is_stale_and_connected_anew(live: Any, gimbal: Any) -> None:
    peer = gimbal()
    node = start(live, peer, stale_after=1.0, link_timeout=1.5)
    linked(live, node)
    live.wait(lambda: live.level("trakka: input") == 0, "health ok")
    peer.mute = True
    live.wait(lambda: live.level("trakka: input") >= 2, "stale or error", patience=15.0)
    live.wait(lambda: live.level("trakka: gimbal") == 2, "no angles")
    live.wait(lambda: peer.sessions >= 2, "a new connection")
    states = live.listen(GimbalState, "camera/gimbal_state", STATE)
    live.wait(lambda: states, "states while silent")
    assert math.isnan(states[-1].azimuth)
    peer.mute = False
    live.wait(lambda: live.level("trakka: input") == 0, "health ok again")
    live.wait(lambda: live.level("trakka: gimbal") == 0, "angles again")


def test_deactivation_in_the_middle_of_a_slew_stops_the_gimbal(live: Any, gimbal: Any) -> None:
    peer = gimbal()
    node = start(live, peer)
    linked(live, node)
    slews = Slews(live)
    handle = slews.send(bearing=3.0, elevation=0.0)
    live.wait(lambda: any(peer.rates), "the gimbal to move")
    future = handle.get_result_async()
    live.in_executor(node.trigger_deactivate)
    live.wait(lambda: peer.still, "the gimbal to stand still")
    assert live.result(future, "the result").status == GoalStatus.STATUS_ABORTED
    live.in_executor(node.trigger_activate)
    linked(live, node)
    result = slews.end(slews.send(bearing=0.5, elevation=0.0))
    assert result.result.outcome == SlewTo.Result.OUTCOME_SETTLED


def test_cleaning_up_in_the_middle_of_a_slew_harms_nobody(live: Any, gimbal: Any) -> None:
    peer = gimbal()
    node = start(live, peer)
    linked(live, node)
    slews = Slews(live)
    handle = slews.send(bearing=3.0, elevation=0.0)
    live.wait(lambda: any(peer.rates), "the gimbal to move")
    handle.get_result_async()

    def away() -> None:
        node.trigger_deactivate()
        node.trigger_cleanup()

    live.in_executor(away)
    live.wait(lambda: peer.still, "the gimbal to stand still")
    request = GetParameters.Request(names=["slew.rate"])
    assert live.call(GetParameters, "trakka/get_parameters", request).values
    live.in_executor(node.trigger_configure)
    live.in_executor(node.trigger_activate)
    linked(live, node)
    live.wait(slews.client.server_is_ready, "the action server")
    result = slews.end(slews.send(bearing=0.5, elevation=0.0))
    assert result.result.outcome == SlewTo.Result.OUTCOME_SETTLED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end_of_the_process_stops_the_gimbal(domain: int, gimbal: Any, number: int) -> None:
    peer = gimbal()
    arguments = ["-p", f"source:=tcp://127.0.0.1:{peer.port}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "thebox_sensors.trakka.node", "--ros-args", *arguments],
        env={
            **os.environ,
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        },
    )
    try:
        deadline = time.monotonic() + 60.0
        while not peer.first_commands or peer.first_commands[0].count((1, 3)) < 10:
            assert process.poll() is None and time.monotonic() < deadline, "no polls came"
            time.sleep(0.02)
        peer.wanted = [0.5, -0.1]
        process.send_signal(number)
        assert process.wait(timeout=30.0) == 0
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 10.0
    while not peer.still:
        assert time.monotonic() < deadline, "the gimbal was left moving"
        time.sleep(0.01)
    assert peer.sessions == 1


@pytest.mark.parametrize("side", ["out", "in"])
def test_link_cut_at_every_tenth_byte(live: Any, gimbal: Any, side: str) -> None:
    """No wrong angle is published, and the gimbal is not left moving, wherever the link is cut.

    The session is one of polls and a slew; ``out`` cuts what the camera sends, ``in`` what the
    driver sends.
    """
    peer = gimbal(cut_side=side)
    states = live.listen(GimbalState, "camera/gimbal_state", STATE)
    node = start(live, peer, state_rate=50.0, poll_rate=50.0)
    node.RECONNECT_FIRST = 0.02
    linked(live, node)
    node._ingest.BACK_OFF_FIRST = 0.02
    slews = Slews(live)
    outcomes: set[int] = set()
    for number, cut in enumerate(range(1, 400, 10)):
        before = peer.sessions
        bearing = 2.5 if number % 2 else -0.5
        handle = slews.send(bearing=bearing % (2 * math.pi), elevation=0.2)
        peer._sent = peer._received = 0
        peer.cut_after = cut
        result = slews.end(handle)
        outcomes.add(result.result.outcome)
        live.wait(lambda before=before: peer.sessions > before, f"a connection after {cut} bytes")
        live.wait(lambda: peer.still, f"the gimbal to stand still after a cut at {cut} bytes")
        linked(live, node)
    assert outcomes <= {SlewTo.Result.OUTCOME_DISCONNECTED, SlewTo.Result.OUTCOME_SETTLED}
    assert SlewTo.Result.OUTCOME_DISCONNECTED in outcomes
    assert not peer.faults
    known = [state for state in states if not math.isnan(state.azimuth)]
    assert len(known) > 100
    for state in known:
        stamp = state.header.stamp.sec + state.header.stamp.nanosec * 1e-9
        # The angles are those of some instant shortly before they came.
        around = [peer.angle_at(stamp - back) for back in np.arange(0.0, 0.4, 0.004)]
        assert min(turn(a, state.azimuth) for a, _ in around) < math.radians(0.3)
        assert min(abs(e - state.elevation) for _, e in around) < math.radians(0.3)


def test_a_hundred_circles_leave_nothing_behind(live: Any, gimbal: Any) -> None:
    peer = gimbal()
    node = start(live, peer, autostart=False)

    def circle() -> None:
        node.trigger_configure()
        node.trigger_activate()
        node.trigger_deactivate()
        node.trigger_cleanup()

    def held() -> tuple[int, int, int, int]:
        gc.collect()
        return (
            len(list(Path("/proc/self/fd").iterdir())),
            threading.active_count(),
            len(list(node.publishers)) + len(list(node.subscriptions)) + len(list(node.services)),
            len(list(node.timers)) + len(list(node.waitables)),
        )

    live.in_executor(circle)
    live.wait(lambda: peer._connection is None, "the peer to be free")
    before = held()
    for _ in range(99):
        live.in_executor(circle)
    live.wait(lambda: peer._connection is None, "the peer to be free")
    live.wait(lambda: held() <= before, f"nothing more than {before} to be held")
    live.in_executor(node.trigger_configure)
    live.in_executor(node.trigger_activate)
    linked(live, node)


def test_pictures_of_a_topic_are_passed_on(live: Any, gimbal: Any) -> None:
    peer = gimbal()
    node = start(live, peer, video__source="topic:/thebox/raw_pictures")
    linked(live, node)
    heard = live.listen(Image, "camera/image_raw", PICTURES)
    publisher = live.observer.create_publisher(Image, "raw_pictures", PICTURES)
    image = Image(height=2, width=3, encoding="bgr8", step=9)
    image.data = bytes(range(18))
    live.wait(lambda: publisher.publish(image) or heard, "a picture")
    assert bytes(heard[0].data) == bytes(range(18))


def test_pictures_of_a_file_come_while_somebody_looks(
    live: Any, gimbal: Any, tmp_path: Any
) -> None:
    cv = pytest.importorskip("cv2", reason="OpenCV is not installed")
    path = tmp_path / "sky.avi"
    writer = cv.VideoWriter(str(path), cv.VideoWriter_fourcc(*"MJPG"), 20.0, (64, 48))
    for step in range(10):
        writer.write(np.full((48, 64, 3), 20 * step, dtype=np.uint8))
    writer.release()
    peer = gimbal()
    node = start(live, peer, video__source=str(path))
    linked(live, node)
    live.wait(lambda: live.level("trakka: video") == 0, "the video's health")
    assert node._reader.pictures == 0
    raw = live.listen(Image, "camera/image_raw", PICTURES)
    compressed = live.listen(CompressedImage, "camera/image_raw/compressed", PICTURES)
    live.wait(lambda: len(raw) >= 12 and len(compressed) >= 12, "pictures, also after the end")
    image = raw[-1]
    assert (image.height, image.width, image.encoding, image.step) == (48, 64, "bgr8", 192)
    assert len(image.data) == 48 * 64 * 3
    picture = cv.imdecode(np.frombuffer(compressed[-1].data, np.uint8), cv.IMREAD_COLOR)
    assert picture.shape == (48, 64, 3)


class Mjpeg(BaseHTTPRequestHandler):
    """A network camera: grey pictures, one after the other, for as long as somebody reads."""

    def do_GET(self) -> None:
        import cv2

        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        for shade in range(100_000):
            pixels = np.full((48, 64, 3), shade % 256, dtype=np.uint8)
            jpeg = cv2.imencode(".jpg", pixels)[1].tobytes()
            head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + jpeg + b"\r\n")
            except OSError:
                return
            time.sleep(0.02)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


def test_pictures_of_a_network_stream_and_of_one_that_is_lost(live: Any, gimbal: Any) -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mjpeg)
    server.daemon_threads = True
    port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    peer = gimbal()
    try:
        node = start(live, peer, video__source=f"http://127.0.0.1:{port}/")
        linked(live, node)
        raw = live.listen(Image, "camera/image_raw", PICTURES)
        live.wait(lambda: len(raw) >= 5, "pictures of the stream")
        assert (raw[-1].height, raw[-1].width, raw[-1].encoding) == (48, 64, "bgr8")
        assert raw[-1].header.frame_id == "trakka_link"
    finally:
        server.shutdown()
        server.server_close()
    changed = live.in_executor(
        lambda: node.set_parameters([Parameter("video.source", value="http://127.0.0.1:9/")])
    )
    assert changed[0].successful
    live.wait(lambda: live.level("trakka: video") == 2, "the loss told")
    assert "no pictures from" in live.told()["trakka: video"]


def test_a_missing_video_file_is_told(live: Any, gimbal: Any) -> None:
    peer = gimbal()
    node = start(live, peer, video__source="/nowhere/sky.avi")
    linked(live, node)
    live.listen(Image, "camera/image_raw", PICTURES)
    live.wait(lambda: live.level("trakka: video") == 2, "an error")
    # Without OpenCV that is what is told, and what to install.
    assert "video file" in live.told()["trakka: video"] or "OpenCV" in live.told()["trakka: video"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slew__rate", math.radians(61.0)),
        ("video__source", "gopher://x"),
        ("source", "nonsense"),
        ("limits__elevation_max", 9.0),
    ],
)
def test_parameters_out_of_range_are_refused(live: Any, name: str, value: Any) -> None:
    from thebox_core.parameters import ParameterError

    with pytest.raises(ParameterError, match=name.replace("__", r"\.")):
        live.start(Trakka, **{"autostart": False, name: value})
