# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""The slew controller on a simulated gimbal with inertia, delay and coarse polling."""

from __future__ import annotations

import math
import struct
import time
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thebox_sensors.protocol_base import wrap_angle
from thebox_sensors.trakka import protocol
from thebox_sensors.trakka.camera import Camera, Ended, PoseHistory, Slew
from thebox_sensors.trakka.gimbal import SETTLE_TOLERANCE, GimbalController, Limits, SlewState

STOP = protocol.stop()


class Gimbal:
    """Two axes with limited rate and acceleration that obey the bytes they are sent."""

    def __init__(self, azimuth: float = 0.0, elevation: float = 0.0) -> None:
        self.angles = [azimuth, elevation]
        self.rates = [0.0, 0.0]
        self.wanted = [0.0, 0.0]
        self.acceleration = math.radians(120)
        self.fastest = 0.0

    def obey(self, commands: bytes) -> None:
        for frame in protocol.Framer().feed(commands).records:
            if frame.message in ((2, 2), (2, 3)):
                (rate,) = struct.unpack("<f", frame.payload)
                assert abs(rate) <= protocol.RATE_LIMIT
                self.wanted[frame.message[1] - 2] = rate

    def step(self, seconds: float) -> None:
        for axis in (0, 1):
            change = self.wanted[axis] - self.rates[axis]
            limit = self.acceleration * seconds
            self.rates[axis] += max(-limit, min(limit, change))
            self.angles[axis] += self.rates[axis] * seconds
        self.fastest = max(self.fastest, *map(abs, self.rates))


def slew(
    controller: GimbalController,
    gimbal: Gimbal,
    target: tuple[float, float],
    *,
    tick: float = 0.1,
    delay: float = 0.04,
    timeout: float = 30.0,
) -> tuple[float, Any]:
    """Run a slew to its end in simulated time; return when it ended and the last update."""
    now = 0.0
    gimbal.obey(controller.start(now, *target, timeout=timeout))
    past: deque[tuple[float, float, float]] = deque([(now, *gimbal.angles)], maxlen=200)
    steps = 0
    while True:
        if steps % round(tick / 0.005) == 0:
            measured, azimuth, elevation = next(
                (sample for sample in reversed(past) if now - sample[0] >= delay - 1e-9), past[0]
            )
            rounded = [struct.unpack("<f", struct.pack("<f", a))[0] for a in (azimuth, elevation)]
            rounded[0] = wrap_angle(rounded[0])
            update = controller.update(now, rounded[0], rounded[1], measured)
            gimbal.obey(update.commands)
            if not controller.moving:
                return now, update
        gimbal.step(0.005)
        now += 0.005
        past.append((now, *gimbal.angles))
        steps += 1


def error(gimbal: Gimbal, target: tuple[float, float]) -> float:
    return max(abs(wrap_angle(gimbal.angles[0] - target[0])), abs(gimbal.angles[1] - target[1]))


@pytest.mark.parametrize("tick", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("delay", [0.0, 0.04, 0.1])
def test_a_slew_of_120_degrees_settles(tick: float, delay: float) -> None:
    target = (math.radians(120), math.radians(20))
    gimbal = Gimbal()
    controller = GimbalController()
    ended, update = slew(controller, gimbal, target, tick=tick, delay=delay)
    assert controller.state is SlewState.SETTLED
    assert update.commands == STOP
    assert abs(update.azimuth_error) <= SETTLE_TOLERANCE
    assert ended < 6.0
    for _ in range(200):
        gimbal.step(0.005)
    assert gimbal.rates == [0.0, 0.0]
    assert error(gimbal, target) <= SETTLE_TOLERANCE


@settings(max_examples=40)
@given(
    st.tuples(st.floats(-180, 180), st.floats(-100, 80), st.floats(-180, 180), st.floats(-100, 80)),
    st.sampled_from([0.02, 0.1]),
    st.sampled_from([0.0, 0.06]),
)
def test_any_slew_settles_by_the_shorter_side(
    degrees: tuple[float, ...], tick: float, delay: float
) -> None:
    azimuth, elevation, to_azimuth, to_elevation = map(math.radians, degrees)
    gimbal = Gimbal(azimuth, elevation)
    controller = GimbalController()
    slew(controller, gimbal, (to_azimuth, to_elevation), tick=tick, delay=delay)
    assert controller.state is SlewState.SETTLED
    assert error(gimbal, (to_azimuth, to_elevation)) <= 1.5 * SETTLE_TOLERANCE
    assert gimbal.fastest <= protocol.RATE_LIMIT
    assert abs(gimbal.angles[0] - azimuth) <= math.pi + math.radians(2)


def test_a_limited_gimbal_goes_round_its_stop() -> None:
    limits = Limits(azimuth_minimum=math.radians(-175), azimuth_maximum=math.radians(175))
    gimbal = Gimbal(math.radians(170))
    controller = GimbalController(limits)
    target = (math.radians(-170), 0.0)
    slew(controller, gimbal, target)
    assert controller.state is SlewState.SETTLED
    assert math.degrees(gimbal.angles[0]) == pytest.approx(-170, abs=0.15)
    with pytest.raises(ValueError, match="reaches"):
        controller.start(0.0, math.radians(178), 0.0)


def test_a_new_target_replaces_the_old_one() -> None:
    gimbal = Gimbal()
    controller = GimbalController()
    controller.start(0.0, 2.0, 0.0)
    controller.update(0.0, 0.0, 0.0)
    slew(controller, gimbal, (-1.0, 0.5))
    assert controller.state is SlewState.SETTLED
    assert error(gimbal, (-1.0, 0.5)) <= SETTLE_TOLERANCE


def test_cancelling_stops_the_gimbal() -> None:
    controller = GimbalController()
    controller.start(0.0, 2.0, 0.0)
    assert controller.moving
    assert controller.update(0.1, 0.0, 0.0).commands != b""
    assert controller.cancel() == STOP
    assert controller.state is SlewState.CANCELLED
    assert controller.update(0.2, 0.0, 0.0).commands == b""
    assert GimbalController().cancel() == STOP


def test_a_gimbal_that_does_not_move_times_out_and_is_stopped() -> None:
    controller = GimbalController()
    controller.start(0.0, 2.0, 0.0, timeout=5.0)
    now = 0.0
    while controller.moving:
        update = controller.update(now, 0.0, 0.0)
        now += 0.1
    assert controller.state is SlewState.TIMED_OUT
    assert update.commands == STOP
    assert now == pytest.approx(5.1, abs=0.11)


def test_stale_angles_stop_the_gimbal() -> None:
    controller = GimbalController(stale_after=0.5)
    controller.start(0.0, 2.0, 0.0)
    assert controller.update(0.1, 0.0, 0.0, 0.1).state is SlewState.SLEWING
    assert controller.update(0.6, 0.0, 0.0, 0.1).state is SlewState.SLEWING
    update = controller.update(0.7, 0.0, 0.0, 0.1)
    assert update.state is SlewState.LOST
    assert update.commands == STOP


def test_the_first_angles_may_be_on_their_way() -> None:
    controller = GimbalController(stale_after=0.5)
    controller.start(0.0, 2.0, 0.0)
    waiting = controller.update(0.3, math.nan, math.nan)
    assert (waiting.state, waiting.commands) == (SlewState.SLEWING, b"")
    assert math.isnan(waiting.azimuth_error)
    lost = controller.update(0.6, math.nan, math.nan)
    assert (lost.state, lost.commands) == (SlewState.LOST, STOP)


def test_a_lost_connection_ends_the_slew() -> None:
    controller = GimbalController()
    controller.disconnected()
    assert controller.state is SlewState.IDLE
    controller.start(0.0, 2.0, 0.0)
    controller.disconnected()
    assert controller.state is SlewState.LOST
    assert controller.update(0.1, 0.0, 0.0).commands == b""


@pytest.mark.parametrize(
    ("azimuth", "elevation", "timeout"),
    [(math.nan, 0.0, 1.0), (math.inf, 0.0, 1.0), (0.0, math.nan, 1.0), (0.0, 2.0, 1.0)]
    + [(0.0, 0.0, timeout) for timeout in (0.0, -1.0, math.nan, math.inf)],
)
def test_targets_that_are_none_are_refused(
    azimuth: float, elevation: float, timeout: float
) -> None:
    controller = GimbalController()
    with pytest.raises(ValueError):
        controller.start(0.0, azimuth, elevation, timeout)
    assert not controller.moving


def test_rates_above_the_cameras_are_refused() -> None:
    with pytest.raises(ValueError, match="60"):
        GimbalController(Limits(rate=math.radians(61)))
    with pytest.raises(ValueError, match="positive"):
        GimbalController(tolerance=0.0)


def test_a_target_that_turns_steadily_is_reached_and_held() -> None:
    """An own-ship turning at 6 deg/s under the camera leaves no lag of more than the tolerance."""
    controller, gimbal = GimbalController(), Gimbal()
    turning = -math.radians(6.0)
    gimbal.obey(controller.start(0.0, 0.5, 0.1))
    errors = []
    for step in range(1, 2001):
        now = 0.01 * step
        gimbal.step(0.01)
        if step % 5 == 0:
            controller.retarget(now, wrap_angle(0.5 + turning * now), 0.1)
            gimbal.obey(controller.update(now, wrap_angle(gimbal.angles[0]), 0.1).commands)
            if controller.state is SlewState.SETTLED:
                controller.hold()
            if controller.holding and now > 12.0:
                errors.append(abs(wrap_angle(0.5 + turning * now - gimbal.angles[0])))
    assert errors and max(errors) < math.radians(0.5)
    gimbal.obey(controller.cancel())
    assert controller.state is SlewState.CANCELLED
    assert gimbal.wanted == [0.0, 0.0]


def test_the_turn_under_it_is_known_to_the_next_slew() -> None:
    """Cued anew four times a second on an own-ship that turns, the camera does not lag."""
    controller, gimbal = GimbalController(), Gimbal()
    turning = -math.radians(6.0)
    errors = []
    for step in range(2001):
        now = 0.01 * step
        gimbal.step(0.01)
        azimuth = wrap_angle(0.5 + turning * now)
        if step % 25 == 0:
            gimbal.obey(controller.start(now, azimuth, 0.1))
        elif step % 5 == 0:
            controller.retarget(now, azimuth, 0.1)
        if step % 5 == 0:
            gimbal.obey(controller.update(now, wrap_angle(gimbal.angles[0]), 0.1).commands)
            if now > 5.0:
                errors.append(abs(wrap_angle(azimuth - gimbal.angles[0])))
    # Without that it would be 6 degrees a second over a proportion of 4 a second.
    assert max(errors) < math.radians(0.5)


def test_a_target_moved_out_of_reach_is_refused_and_the_one_before_stays() -> None:
    controller = GimbalController(Limits(azimuth_minimum=-1.0, azimuth_maximum=1.0))
    controller.start(0.0, 0.9, 0.0)
    with pytest.raises(ValueError, match="reaches"):
        controller.retarget(0.1, 1.1, 0.0)
    with pytest.raises(ValueError, match="elevation"):
        controller.retarget(0.1, 0.5, math.nan)
    assert controller.target == (pytest.approx(0.9), 0.0)


def test_poses_between_and_shortly_after_those_read() -> None:
    poses = PoseHistory(reach=0.25)
    assert all(map(math.isnan, poses.at(1.0)))
    poses.add(10.0, math.pi - 0.01, 0.0)
    poses.add(10.1, -math.pi + 0.01, 0.1)  # across the back, the shorter way
    azimuth, elevation = poses.at(10.05)
    assert abs(azimuth) == pytest.approx(math.pi)
    assert elevation == pytest.approx(0.05)
    assert poses.rates() == (pytest.approx(0.2), pytest.approx(1.0))
    azimuth, elevation = poses.at(10.2)
    assert wrap_angle(azimuth - math.pi) == pytest.approx(0.03)
    assert elevation == pytest.approx(0.2)
    for unknown in (9.9, 10.36, math.nan):
        assert all(map(math.isnan, poses.at(unknown)))
    poses.add(5.0, 0.0, 0.0)  # the clock was set back
    assert poses.at(5.0) == (0.0, 0.0)
    assert all(map(math.isnan, poses.at(10.05)))


def test_an_elevation_after_a_loss_makes_no_pair() -> None:
    camera = Camera(lambda: None, lambda reason: None, lambda line: None)

    def tell(register: protocol.Register, value: float, stamp: float, unbroken: bool) -> None:
        camera.take(protocol.RegisterValue(register, value, unbroken), stamp)

    tell(protocol.Register.AZIMUTH, 0.5, 100.0, True)
    tell(protocol.Register.ELEVATION, 0.1, 100.0, True)
    assert camera.poses.at(100.0) == pytest.approx((0.5, 0.1))
    tell(protocol.Register.AZIMUTH, 0.6, 101.0, True)
    tell(protocol.Register.ELEVATION, 0.2, 101.0, False)
    assert math.isnan(camera.poses.at(101.0)[0])
    # An azimuth after a loss begins a pair.
    tell(protocol.Register.AZIMUTH, 0.7, 102.0, False)
    tell(protocol.Register.ELEVATION, 0.3, 102.0, True)
    assert camera.poses.at(102.0) == pytest.approx((0.7, 0.3))


def test_angles_read_late_are_not_those_of_now() -> None:
    camera = Camera(lambda: None, lambda reason: None, lambda line: None, angles_stale_after=0.5)
    for register, value in ((protocol.Register.AZIMUTH, 0.5), (protocol.Register.ELEVATION, 0.1)):
        camera.take(protocol.RegisterValue(register, value), 100.0, age=0.4)
    _, _, read, stamp = camera._pair
    assert time.monotonic() - read >= 0.4
    assert stamp == 100.0


class Link:
    """A connection that takes everything and says nothing."""

    url = SimpleNamespace(scheme="tcp")

    def send(self, data: bytes) -> None:
        """Take it."""


def test_who_aims_again_and_again_does_not_fill_the_log() -> None:
    lines: list[str] = []
    link: Any = Link()
    camera = Camera(lambda: link, lambda reason: None, lines.append)
    ends: list[Ended] = []
    camera.start("test")
    camera.connected(link)
    deadline = time.monotonic() + 30.0
    while not camera.linked:
        assert time.monotonic() < deadline, "the connection was not taken note of"
        time.sleep(0.001)
    for number, by in enumerate(["vision"] * 20 + ["anna"]):
        angles = (0.01 * number, 0.0)
        camera.slew(
            Slew(lambda a=angles: a, 0.002, 30.0, by, False, lambda progress: None, ends.append)
        )
        camera.command(protocol.set_zoom(1, protocol.ZoomCommand.RATE, 0.0), "zoom", by, False)
    camera.stop()
    assert [end.outcome for end in ends] == ["preempted"] * 20 + ["cancelled"]
    assert [line.partition(" after")[0] for line in lines] == [
        "slew to azimuth 0.0, elevation 0.0 deg, asked for by vision",
        "zoom, asked for by vision",
        "slew ended",
        "slew to azimuth 11.5, elevation 0.0 deg, asked for by anna",
        "zoom, asked for by anna",
        "slew ended",
    ]
