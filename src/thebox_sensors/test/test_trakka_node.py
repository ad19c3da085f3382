# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""The Trakka driver against a gimbal on a TCP socket, with a reader and writer of its own."""

from __future__ import annotations

import gc
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from action_msgs.msg import GoalStatus
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import GetParameters
from rclpy.action import ActionClient

from thebox_core.qos import STATE
from thebox_interfaces.action import SlewTo
from thebox_interfaces.msg import Detection, GimbalState
from thebox_interfaces.srv import SetCameraLock, SetGimbalMode, SetZoom
from thebox_sensors.trakka.node import Trakka

pytestmark = pytest.mark.graph


def start(live: Any, peer: Any, **parameters: Any) -> Any:
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

    def settled() -> bool:
        result = slews.end(slews.send(point=point, requested_by="vision"))
        # On a machine too busy to read the angles in time a slew is given up, and rightly so.
        assert result.result.outcome in (
            SlewTo.Result.OUTCOME_SETTLED,
            SlewTo.Result.OUTCOME_DISCONNECTED,
        ), result.result.message
        return bool(result.status == GoalStatus.STATUS_SUCCEEDED)

    live.wait(settled, "the slew to settle")
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
