# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""One world that all simulated sensors look at: own-ship, drones, birds, boats, radio emitters.

The world is deterministic: the same specification and seed give the same states at every step, and
what looks at it never changes it. All time comes from the caller, in seconds since the start; each
object draws from a random stream of its own, so that one more bird does not move the others.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from thebox_sim.config import setting
from thebox_sim.flight import (
    BODIES,
    Body,
    FlappingMotion,
    HoverMotion,
    Motion,
    OrbitMotion,
    WaypointMotion,
    fly,
)
from thebox_sim.geometry import Datum, Vector, wrap_two_pi
from thebox_sim.radio import Emitter, EmitterSpec, Propagation

OBJECT_CLASSES = ("drone", "bird", "airplane", "helicopter", "boat", "other")


def random_stream(seed: int, *names: str) -> np.random.Generator:
    """Return the random generator that belongs to a name, independent of all other names'."""
    keys = [zlib.crc32(name.encode()) for name in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *keys])))


@dataclass(frozen=True)
class MotionSpec:
    """How an object moves, as the scenario gives it. Metres from the datum, m/s, degrees."""

    type: str = setting(doc="kind of motion", choices=("waypoints", "orbit", "hover", "flapping"))
    points: tuple[tuple[float, ...], ...] = setting(
        (), doc="waypoints [east, north, up]", minimum=-200e3, maximum=200e3, length=3
    )
    centre: tuple[float, ...] = setting(
        (),
        doc="[east, north, up] of orbit, hover or flock",
        minimum=-200e3,
        maximum=200e3,
        length=3,
    )
    radius_m: float = setting(100.0, doc="of the orbit or the flock", minimum=1.0, maximum=50e3)
    speed_mps: float = setting(10.0, doc="speed aimed at", minimum=0.0, maximum=400.0)
    loop: bool = setting(False, doc="begin again after the last waypoint")
    clockwise: bool = setting(True, doc="sense of the orbit")
    start_bearing_deg: float = setting(0.0, doc="where on the orbit", minimum=0.0, maximum=360.0)
    wander_m: float = setting(0.8, doc="sigma of the wander in hover", minimum=0.0, maximum=100.0)


@dataclass(frozen=True)
class ObjectSpec:
    """One object, or a group of like ones, as the scenario gives it."""

    id: str = setting(doc="identity in the truth; members of a group get -01, -02 …")
    object_class: str = setting(doc="what it is", choices=OBJECT_CLASSES)
    body: str = setting(doc="kind of body", choices=tuple(BODIES))
    label: str = setting("", doc="name for people")
    count: int = setting(1, doc="members of the group", minimum=1, maximum=500)
    spread_m: float = setting(
        0.0, doc="sigma of the members' horizontal offsets", minimum=0.0, maximum=20e3
    )
    spread_up_m: float = setting(
        0.0, doc="sigma of the members' vertical offsets", minimum=0.0, maximum=1000.0
    )
    stagger_s: float = setting(
        0.0, doc="time between the members' appearances", minimum=0.0, maximum=600.0
    )
    appears_s: float = setting(0.0, doc="takes off at this time", minimum=0.0)
    leaves_s: float = setting(math.inf, doc="is gone from this time", minimum=0.0)
    motion: MotionSpec = field(default=MotionSpec("hover"))
    emitters: tuple[EmitterSpec, ...] = ()


@dataclass(frozen=True)
class OwnShipSpec:
    """The own-ship, as the scenario gives it."""

    type: str = setting("fixed", doc="fixed site or moving vessel", choices=("fixed", "waypoints"))
    position: tuple[float, ...] = setting(
        (0.0, 0.0, 0.0), doc="[east, north, up] of a fixed site", length=3
    )
    heading_deg: float = setting(0.0, doc="of a fixed site", minimum=0.0, maximum=360.0)
    points: tuple[tuple[float, ...], ...] = setting(
        (), doc="waypoints [east, north, up]", minimum=-200e3, maximum=200e3, length=3
    )
    speed_mps: float = setting(5.0, doc="speed aimed at", minimum=0.1, maximum=25.0)
    loop: bool = setting(False, doc="begin again after the last waypoint")
    max_accel_mps2: float = setting(0.8, doc="of the vessel", minimum=0.01, maximum=5.0)
    max_turn_rate_dps: float = setting(4.0, doc="of the vessel", minimum=0.1, maximum=45.0)
    yaw_amplitude_deg: float = setting(
        0.0, doc="yaw of the bow about the course in waves", minimum=0.0, maximum=20.0
    )
    yaw_period_s: float = setting(9.0, doc="period of that yaw", minimum=2.0, maximum=60.0)


@dataclass(frozen=True)
class WorldSpec:
    """Everything that a world is made of."""

    datum: Datum
    own_ship: OwnShipSpec = field(default_factory=OwnShipSpec)
    objects: tuple[ObjectSpec, ...] = ()
    propagation: Propagation = field(default_factory=Propagation)
    step_s: float = 0.05


@dataclass(frozen=True)
class OwnShip:
    """The own-ship now: ENU metres and m/s, heading in radians clockwise from true north."""

    position: Vector
    velocity: Vector
    heading: float
    heading_rate: float
    course: float

    @property
    def speed(self) -> float:
        """Speed over ground, m/s."""
        return math.hypot(self.velocity[0], self.velocity[1])


class SkyObject:
    """One object of the world and what it does now."""

    def __init__(
        self,
        identity: str,
        spec: ObjectSpec,
        motion: Motion,
        emitters: list[Emitter],
        appears: float,
    ) -> None:
        self.id = identity
        self.object_class = spec.object_class
        self.label = spec.label or spec.body
        self.body = BODIES[spec.body]
        self.emitters = emitters
        self.appears = appears
        self.leaves = spec.leaves_s
        self._motion = motion
        self._state = motion.start()
        # A wing or a bird is already flying when the scenario first shows it.
        if self.body.min_speed_mps > 0.0:
            speed = self.body.min_speed_mps
            course = self._state.course
            self._state.velocity = (speed * math.sin(course), speed * math.cos(course), 0.0)

    @property
    def position(self) -> Vector:
        """ENU metres from the datum."""
        return self._state.position

    @property
    def velocity(self) -> Vector:
        """ENU metres per second."""
        return self._state.velocity

    @property
    def course(self) -> float:
        """Direction over ground, radians clockwise from true north in [0, 2*pi)."""
        return wrap_two_pi(self._state.course)

    def present(self, time: float) -> bool:
        """Say whether it is in the world at ``time``."""
        return self.appears <= time < self.leaves

    def step(self, time: float, dt: float) -> None:
        """Fly to ``time``."""
        wanted = self._motion.wanted(self._state, self.body, time, dt)
        self._state = fly(self._state, wanted, self.body, dt)


class World:
    """The world, stepped by a fixed ``dt``; see the module's words on determinism.

    :param spec: what is in it.
    :param seed: of all its randomness, 0 or more.
    """

    def __init__(self, spec: WorldSpec, seed: int) -> None:
        if seed < 0:
            raise ValueError(f"seed must be 0 or more, got {seed}")
        self.spec = spec
        self.seed = seed
        self.dt = spec.step_s
        self.steps = 0
        self._all = [o for s in spec.objects for o in _build_objects(s, spec, seed)]
        ship = spec.own_ship
        self._ship_body = Body(
            False, 25.0, 0.0, ship.max_accel_mps2, ship.max_turn_rate_dps, 0.0, 20.0, 8.0, 25.0
        )
        self._ship_motion = WaypointMotion(
            [_vector(p) for p in ship.points] or [_vector(ship.position)],
            ship.speed_mps,
            ship.loop,
        )
        self._ship = self._ship_motion.start()
        if ship.type == "waypoints":
            # Under way from the start, so that course over ground is there at once.
            course = self._ship.course
            self._ship.velocity = (
                ship.speed_mps * math.sin(course),
                ship.speed_mps * math.cos(course),
                0.0,
            )
        self._turn_rate = 0.0
        for item in self._all:
            for emitter in item.emitters:
                emitter.step(0.0, self.dt)

    @property
    def time(self) -> float:
        """Seconds since the start."""
        return self.steps * self.dt

    @property
    def objects(self) -> list[SkyObject]:
        """The objects that are in the world now."""
        time = self.time
        return [item for item in self._all if item.present(time)]

    @property
    def own_ship(self) -> OwnShip:
        """The own-ship now."""
        spec = self.spec.own_ship
        if spec.type == "fixed":
            heading = math.radians(spec.heading_deg)
            return OwnShip(_vector(spec.position), (0.0, 0.0, 0.0), wrap_two_pi(heading), 0.0, 0.0)
        omega = 2.0 * math.pi / spec.yaw_period_s
        amplitude = math.radians(spec.yaw_amplitude_deg)
        yaw = amplitude * math.sin(omega * self.time)
        yaw_rate = amplitude * omega * math.cos(omega * self.time)
        return OwnShip(
            self._ship.position,
            self._ship.velocity,
            wrap_two_pi(self._ship.course + yaw),
            self._turn_rate + yaw_rate,
            wrap_two_pi(self._ship.course),
        )

    def step(self) -> None:
        """Advance the world by one fixed step."""
        self.steps += 1
        time, dt = self.time, self.dt
        if self.spec.own_ship.type == "waypoints":
            old_course = self._ship.course
            wanted = self._ship_motion.wanted(self._ship, self._ship_body, time, dt)
            self._ship = fly(self._ship, wanted, self._ship_body, dt)
            self._turn_rate = (self._ship.course - old_course) / dt
        for item in self._all:
            if item.present(time):
                item.step(time, dt)
                for emitter in item.emitters:
                    emitter.step(time, dt)


def _vector(values: tuple[float, ...]) -> Vector:
    east, north, up = values
    return (east, north, up)


def _build_objects(spec: ObjectSpec, world: WorldSpec, seed: int) -> list[SkyObject]:
    members = []
    for index in range(spec.count):
        identity = spec.id if spec.count == 1 else f"{spec.id}-{index + 1:02d}"
        rng = random_stream(seed, "object", identity)
        offset: Vector = (0.0, 0.0, 0.0)
        if spec.count > 1:
            noise = rng.standard_normal(3)
            offset = (
                spec.spread_m * float(noise[0]),
                spec.spread_m * float(noise[1]),
                spec.spread_up_m * float(noise[2]),
            )
        emitters = []
        for number, emitter in enumerate(spec.emitters):
            stream = random_stream(seed, "emitter", identity, str(number))
            drawn = str(int(stream.integers(1_000_000_000, 2_147_483_647)))
            key = emitter.key if emitter.key and spec.count == 1 else drawn
            emitters.append(Emitter(emitter, key, world.propagation, stream))
        motion = _build_motion(spec.motion, offset, rng)
        appears = spec.appears_s + index * spec.stagger_s
        members.append(SkyObject(identity, spec, motion, emitters, appears))
    return members


def _build_motion(spec: MotionSpec, offset: Vector, rng: np.random.Generator) -> Motion:
    def moved(point: tuple[float, ...]) -> Vector:
        east, north, up = (point[i] + offset[i] for i in range(3))
        return (east, north, max(0.0, up))

    if spec.type == "waypoints":
        return WaypointMotion([moved(p) for p in spec.points], spec.speed_mps, spec.loop)
    centre = moved(spec.centre or (0.0, 0.0, 0.0))
    if spec.type == "orbit":
        start = math.radians(spec.start_bearing_deg)
        if any(offset):
            start = float(rng.uniform(0.0, 2.0 * math.pi))
        return OrbitMotion(centre, spec.radius_m, spec.speed_mps, spec.clockwise, start)
    if spec.type == "hover":
        return HoverMotion(centre, spec.wander_m, rng)
    angle, distance = float(rng.uniform(0.0, 2.0 * math.pi)), float(rng.uniform(0.0, 1.0))
    reach = spec.radius_m * math.sqrt(distance)
    start_position = (
        centre[0] + reach * math.sin(angle),
        centre[1] + reach * math.cos(angle),
        centre[2],
    )
    return FlappingMotion(
        centre,
        spec.radius_m,
        spec.speed_mps,
        rng,
        start_position,
        float(rng.uniform(0.0, 2.0 * math.pi)),
    )


@dataclass(frozen=True)
class Visible:
    """What a picture needs of an object: ENU metres, m/s."""

    id: str
    object_class: str
    hovers: bool
    span: float
    height: float
    position: Vector
    velocity: Vector


def visible(objects: Sequence[SkyObject]) -> list[Visible]:
    """Return what a picture needs of the world's objects."""
    return [
        Visible(
            o.id,
            o.object_class,
            o.body.hovers,
            o.body.span_m,
            o.body.height_m,
            o.position,
            o.velocity,
        )
        for o in objects
    ]
