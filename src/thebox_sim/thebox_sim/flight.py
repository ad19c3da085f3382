# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""How objects move: what their bodies allow, and the courses they want to follow.

A motion says which velocity it would like; the body (:class:`Body`) grants it within its limits of
speed, acceleration, turn rate and climb. Multirotors may stop and fly sideways, so their velocity
is limited as a vector; wings, birds and boats keep going forward, so theirs is limited as course
and speed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from thebox_sim.config import setting
from thebox_sim.geometry import Vector, wrap_pi

# Below this ground speed a multirotor may turn on the spot, so its course is not limited, m/s.
FREE_COURSE_SPEED = 1.0


@dataclass(frozen=True)
class Body:
    """What a kind of object can do, and how big and loud it is."""

    hovers: bool = setting(doc="may stop in the air (multirotor) or must go forward")
    max_speed_mps: float = setting(doc="fastest ground speed", minimum=0.1, maximum=400.0)
    min_speed_mps: float = setting(doc="slowest speed of a wing", minimum=0.0, maximum=100.0)
    max_accel_mps2: float = setting(doc="largest acceleration", minimum=0.05, maximum=50.0)
    max_turn_rate_dps: float = setting(doc="fastest change of course", minimum=0.1, maximum=720.0)
    max_climb_mps: float = setting(doc="fastest climb and descent", minimum=0.0, maximum=100.0)
    span_m: float = setting(doc="width as a camera sees it", minimum=0.02, maximum=400.0)
    height_m: float = setting(doc="height as a camera sees it", minimum=0.02, maximum=100.0)
    radar_cross_section_dbsm: float = setting(
        doc="mean radar cross-section", minimum=-60.0, maximum=60.0
    )
    sound_level_db: float = setting(
        0.0, doc="sound level at 1 m, dB re 20 uPa; 0: silent", minimum=0.0, maximum=180.0
    )


BODIES: dict[str, Body] = {
    "quadcopter": Body(True, 20.0, 0.0, 6.0, 120.0, 5.0, 0.35, 0.12, -18.0, 78.0),
    "hexacopter": Body(True, 23.0, 0.0, 5.0, 90.0, 6.0, 1.2, 0.5, -12.0, 86.0),
    "racer": Body(True, 40.0, 0.0, 15.0, 240.0, 15.0, 0.25, 0.08, -22.0, 88.0),
    "fixed_wing": Body(False, 35.0, 12.0, 3.0, 25.0, 5.0, 2.5, 0.35, -12.0, 82.0),
    "gull": Body(False, 16.0, 5.0, 4.0, 60.0, 2.5, 1.2, 0.25, -20.0, 0.0),
    "goose": Body(False, 22.0, 9.0, 3.0, 25.0, 2.0, 1.5, 0.4, -15.0, 0.0),
    "dinghy": Body(False, 15.0, 0.0, 1.5, 25.0, 0.0, 5.0, 2.0, 3.0, 95.0),
    "yacht": Body(False, 8.0, 0.0, 0.4, 8.0, 0.0, 14.0, 18.0, 10.0, 60.0),
    "ferry": Body(False, 14.0, 0.0, 0.3, 3.0, 0.0, 80.0, 20.0, 30.0, 110.0),
    "mast": Body(True, 1.0, 0.0, 1.0, 10.0, 0.0, 1.0, 10.0, 5.0, 0.0),
}


@dataclass
class Kinematics:
    """Position and velocity in local ENU, metres and metres per second."""

    position: Vector
    velocity: Vector = (0.0, 0.0, 0.0)
    # Kept while the object stands still, radians clockwise from true north.
    course: float = 0.0

    @property
    def ground_speed(self) -> float:
        """Horizontal speed, m/s."""
        return math.hypot(self.velocity[0], self.velocity[1])


class Motion(Protocol):
    """The velocity that an object would like to have now."""

    def start(self) -> Kinematics:
        """Return where the object begins."""

    def wanted(self, state: Kinematics, body: Body, time: float, dt: float) -> Vector:
        """Return the wanted ENU velocity, m/s, before the body's limits."""


def fly(state: Kinematics, wanted: Vector, body: Body, dt: float) -> Kinematics:
    """Return the kinematics after ``dt`` seconds of following ``wanted`` within the body's limits.

    :param wanted: ENU velocity in m/s.
    """
    if body.hovers:
        velocity, course = _fly_multirotor(state, wanted, body, dt)
    else:
        velocity, course = _fly_forward(state, wanted, body, dt)
    # Trapezoidal rule: the velocity changes linearly within one step.
    position = tuple(
        state.position[i] + 0.5 * (state.velocity[i] + velocity[i]) * dt for i in range(3)
    )
    east, north, up = position
    if up < 0.0:
        up, velocity = 0.0, (velocity[0], velocity[1], max(0.0, velocity[2]))
    return Kinematics((east, north, up), velocity, course)


def _fly_multirotor(
    state: Kinematics, wanted: Vector, body: Body, dt: float
) -> tuple[Vector, float]:
    want_e, want_n = _capped(wanted[0], wanted[1], body.max_speed_mps)
    old_e, old_n, old_u = state.velocity
    change_e, change_n = _capped(want_e - old_e, want_n - old_n, body.max_accel_mps2 * dt)
    east, north = old_e + change_e, old_n + change_n
    old_speed, speed = math.hypot(old_e, old_n), math.hypot(east, north)
    course = math.atan2(east, north) if speed > 1e-6 else state.course
    if min(old_speed, speed) > FREE_COURSE_SPEED:
        limit = math.radians(body.max_turn_rate_dps) * dt
        old_course = math.atan2(old_e, old_n)
        turn = wrap_pi(course - old_course)
        if abs(turn) > limit:
            # A smaller turn at the same two speeds is a smaller change of velocity too.
            course = old_course + math.copysign(limit, turn)
            east, north = speed * math.sin(course), speed * math.cos(course)
    return (east, north, _climb(old_u, wanted[2], body, dt)), course


def _fly_forward(state: Kinematics, wanted: Vector, body: Body, dt: float) -> tuple[Vector, float]:
    want_speed = math.hypot(wanted[0], wanted[1])
    want_course = math.atan2(wanted[0], wanted[1]) if want_speed > 1e-6 else state.course
    want_speed = min(max(want_speed, body.min_speed_mps), body.max_speed_mps)
    old_speed = state.ground_speed
    limit = body.max_accel_mps2 * dt
    speed = old_speed + min(max(want_speed - old_speed, -limit), limit)
    turn_rate = math.radians(body.max_turn_rate_dps)
    fastest = max(old_speed, speed)
    if fastest > 0.1:
        # A banked turn is an acceleration as well: v * omega stays within the body's.
        turn_rate = min(turn_rate, body.max_accel_mps2 / fastest)
    turn = wrap_pi(want_course - state.course)
    turn = min(max(turn, -turn_rate * dt), turn_rate * dt)
    course = state.course + turn
    velocity = (
        speed * math.sin(course),
        speed * math.cos(course),
        _climb(state.velocity[2], wanted[2], body, dt),
    )
    return velocity, course


def _climb(old: float, wanted: float, body: Body, dt: float) -> float:
    want = min(max(wanted, -body.max_climb_mps), body.max_climb_mps)
    limit = body.max_accel_mps2 * dt
    return old + min(max(want - old, -limit), limit)


def _capped(x: float, y: float, limit: float) -> tuple[float, float]:
    size = math.hypot(x, y)
    if size <= limit:
        return x, y
    return x * limit / size, y * limit / size


def _approach(distance: float, speed: float, accel: float) -> float:
    """Return the speed that can still be braked to nothing within ``distance`` metres."""
    return min(speed, math.sqrt(max(0.0, accel * distance)), 0.8 * distance)


@dataclass
class WaypointMotion:
    """Fly from point to point at a set speed; loop, or stop (wings: circle) at the last one."""

    points: list[Vector]
    speed: float
    loop: bool
    _next: int = field(default=1, init=False)

    def start(self) -> Kinematics:
        """Return the first point, heading for the second."""
        course = 0.0
        if len(self.points) > 1:
            first, second = self.points[0], self.points[1]
            course = math.atan2(second[0] - first[0], second[1] - first[1])
        return Kinematics(self.points[0], (0.0, 0.0, 0.0), course)

    def wanted(self, state: Kinematics, body: Body, time: float, dt: float) -> Vector:
        """Return the velocity towards the next waypoint."""
        del time, dt
        if len(self.points) == 1:
            return _hold(state, self.points[0], body, self.speed)
        last = len(self.points) - 1
        target = self.points[self._next]
        distance = math.hypot(target[0] - state.position[0], target[1] - state.position[1])
        speed_now = state.ground_speed
        turn_radius = speed_now / max(math.radians(body.max_turn_rate_dps), 1e-3)
        if not body.hovers:
            turn_radius = max(turn_radius, speed_now**2 / body.max_accel_mps2)
        ending = not self.loop and self._next == last
        if distance < max(3.0, 1.2 * turn_radius, speed_now * 0.5) and not ending:
            self._next = (self._next + 1) % len(self.points)
            target = self.points[self._next]
            ending = not self.loop and self._next == last
        if ending:
            return _hold(state, target, body, self.speed)
        east, north, up = (target[i] - state.position[i] for i in range(3))
        distance = max(math.hypot(east, north), 1e-6)
        # Reach the height of the waypoint when the waypoint itself is reached.
        climb = up * self.speed / max(distance, 10.0)
        return (east / distance * self.speed, north / distance * self.speed, climb)


def _hold(state: Kinematics, target: Vector, body: Body, speed: float) -> Vector:
    east, north, up = (target[i] - state.position[i] for i in range(3))
    distance = math.hypot(east, north)
    wanted_up = math.copysign(_approach(abs(up), body.max_climb_mps, body.max_accel_mps2), up)
    if not body.hovers and body.min_speed_mps > 0.0:
        # A wing cannot stop: it circles the point at its tightest comfortable radius.
        radius = 1.5 * body.min_speed_mps**2 / body.max_accel_mps2 + 20.0
        horizontal = _circle(state, target, radius, max(body.min_speed_mps, 0.0), clockwise=True)
        return (horizontal[0], horizontal[1], wanted_up)
    reach = _approach(distance, speed, body.max_accel_mps2)
    if distance < 1e-6:
        return (0.0, 0.0, wanted_up)
    if not body.hovers:
        # A boat cannot go sideways: it comes about slowly, then makes way.
        off_course = wrap_pi(math.atan2(east, north) - state.course)
        reach *= max(0.02, math.cos(off_course))
    return (east / distance * reach, north / distance * reach, wanted_up)


def _circle(
    state: Kinematics, centre: Vector, radius: float, speed: float, *, clockwise: bool
) -> tuple[float, float]:
    east, north = state.position[0] - centre[0], state.position[1] - centre[1]
    distance = max(math.hypot(east, north), 1e-6)
    outward = math.atan2(east, north)
    # Course along the tangent, bent inwards or outwards by the distance from the circle.
    side = 1.0 if clockwise else -1.0
    bend = math.atan(2.0 * (distance - radius) / radius)
    course = outward + side * (math.pi / 2.0 + bend)
    return speed * math.sin(course), speed * math.cos(course)


@dataclass
class OrbitMotion:
    """Circle a centre at a radius, a height and a speed."""

    centre: Vector
    radius: float
    speed: float
    clockwise: bool
    start_bearing: float

    def start(self) -> Kinematics:
        """Return the point of the circle at ``start_bearing`` from its centre."""
        east, north, up = self.centre
        side = math.pi / 2.0 if self.clockwise else -math.pi / 2.0
        return Kinematics(
            (
                east + self.radius * math.sin(self.start_bearing),
                north + self.radius * math.cos(self.start_bearing),
                up,
            ),
            (0.0, 0.0, 0.0),
            self.start_bearing + side,
        )

    def wanted(self, state: Kinematics, body: Body, time: float, dt: float) -> Vector:
        """Return the velocity along the circle."""
        del time, dt
        limit = min(self.speed, math.sqrt(0.7 * body.max_accel_mps2 * self.radius))
        east, north = _circle(state, self.centre, self.radius, limit, clockwise=self.clockwise)
        up = self.centre[2] - state.position[2]
        return (east, north, math.copysign(min(abs(up), body.max_climb_mps), up))


@dataclass
class HoverMotion:
    """Hold a point against gusts: the held point itself wanders by a metre or two."""

    point: Vector
    wander: float
    rng: np.random.Generator
    _offset: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0], init=False)

    def start(self) -> Kinematics:
        """Return the held point."""
        return Kinematics(self.point)

    def wanted(self, state: Kinematics, body: Body, time: float, dt: float) -> Vector:
        """Return the velocity that brings the object back to its point."""
        del time
        # Ornstein-Uhlenbeck wander, 6 s of memory, `wander` metres standard deviation.
        keep = math.exp(-dt / 6.0)
        spread = self.wander * math.sqrt(1.0 - keep * keep)
        noise = self.rng.standard_normal(3)
        vertical = 0.3 if body.max_climb_mps > 0.0 else 0.0
        for i, scale in enumerate((1.0, 1.0, vertical)):
            self._offset[i] = keep * self._offset[i] + spread * scale * float(noise[i])
        target = tuple(self.point[i] + self._offset[i] for i in range(3))
        east, north, up = target
        return _hold(state, (east, north, max(0.0, up)), body, body.max_speed_mps)


@dataclass
class FlappingMotion:
    """A bird foraging: random turns and speeds near a centre, with the bob of its wing beats."""

    centre: Vector
    radius: float
    speed: float
    rng: np.random.Generator
    start_position: Vector
    start_course: float
    _turn: float = field(default=0.0, init=False)
    _pace: float = field(default=1.0, init=False)
    _height: float = field(default=0.0, init=False)

    def start(self) -> Kinematics:
        """Return the random place and course that the seed gave."""
        return Kinematics(self.start_position, (0.0, 0.0, 0.0), self.start_course)

    def wanted(self, state: Kinematics, body: Body, time: float, dt: float) -> Vector:
        """Return the next flap's velocity."""
        keep = math.exp(-dt / 3.0)
        spread = math.sqrt(1.0 - keep * keep)
        noise = self.rng.standard_normal(3)
        self._turn = keep * self._turn + spread * 0.35 * float(noise[0])
        self._pace = 1.0 + keep * (self._pace - 1.0) + spread * 0.15 * float(noise[1])
        slow = math.exp(-dt / 20.0)
        self._height = slow * self._height + math.sqrt(1.0 - slow * slow) * 0.3 * float(noise[2])
        east, north = self.centre[0] - state.position[0], self.centre[1] - state.position[1]
        distance = math.hypot(east, north)
        # The look-ahead of one second turns the wanted turn rate into a wanted course.
        course = state.course + self._turn
        if distance > self.radius:
            course = state.course + 0.8 * wrap_pi(math.atan2(east, north) - state.course)
        speed = self.speed * max(0.3, self._pace)
        height = self.centre[2] * max(0.1, 1.0 + self._height)
        bob = 0.25 * math.sin(2.0 * math.pi * 3.0 * time)
        climb = 0.3 * (height - state.position[2]) + bob
        return (speed * math.sin(course), speed * math.cos(course), climb)
