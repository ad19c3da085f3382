# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A TC-300-like gimbal camera: framed binary messages over TCP, gimbal dynamics, video tracks.

The gimbal moves within limits of rate and acceleration in every mode, and keeps the last commanded
rate until told otherwise, also when its client goes away: stopping it is the client's duty. Its
moving-target indication reports objects that are inside the picture and large enough for it.
"""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thebox_sim.config import setting
from thebox_sim.geometry import Datum, Vector, wrap_pi, wrap_two_pi
from thebox_sim.sensors.base import Measurement, Report, Sensor, look_at
from thebox_sim.tcp import Session
from thebox_sim.world import SkyObject, World

START = b"\xa7\x54"
MODE_RATE, MODE_CAGE, MODE_STOW, MODE_GEO = 0, 1, 2, 3
REGISTER_MODE, REGISTER_AZIMUTH, REGISTER_ELEVATION = 0x0800, 0x1809, 0x180A
REGISTER_ZOOMS = (0x1101, 0x1201, 0x1401)
TYPE_UNKNOWN, TYPE_ROTARY, TYPE_FIXED_WING, TYPE_BOAT = 0, 1, 2, 5
PAYLOAD_LIMIT = 1024
ASPECT = 9.0 / 16.0
# Finest step of the gimbal's dynamics, seconds.
STEP = 0.005
STOW = (0.0, math.radians(-30.0))


@dataclass(frozen=True)
class TrakkaSettings:
    """The camera's mount, optics and moving-target indication."""

    enabled: bool = setting(True, doc="is there such a sensor")
    mounting_deg: float = setting(
        0.0, doc="base's forward axis from the bow", minimum=-360.0, maximum=360.0
    )
    max_rate_dps: float = setting(60.0, doc="fastest slewing", minimum=1.0, maximum=60.0)
    max_accel_dps2: float = setting(180.0, doc="of the gimbal", minimum=1.0, maximum=2000.0)
    elevation_min_deg: float = setting(-30.0, doc="lower stop", minimum=-120.0, maximum=0.0)
    elevation_max_deg: float = setting(85.0, doc="upper stop", minimum=0.0, maximum=120.0)
    wide_fov_deg: float = setting(
        30.0, doc="horizontal field of view at zoom 1", minimum=1.0, maximum=120.0
    )
    max_zoom: float = setting(30.0, doc="largest zoom ratio", minimum=1.0, maximum=120.0)
    track_rate_hz: float = setting(10.0, doc="video tracks a second", minimum=0.5, maximum=50.0)
    track_resolution: float = setting(
        0.006,
        doc="object's width over picture's width that is tracked half the time",
        minimum=1e-4,
        maximum=1.0,
    )
    detection_probability: float = setting(
        0.9, doc="of an object well large enough, per report", minimum=0.0, maximum=1.0
    )
    sigma_deg: float = setting(0.05, doc="noise of the angle errors", minimum=0.0, maximum=5.0)
    false_tracks_per_min: float = setting(
        1.0, doc="births of tracks of nothing", minimum=0.0, maximum=600.0
    )


class Gimbal:
    """Two axes with rate and acceleration limits; angles in radians from the base."""

    def __init__(self, settings: TrakkaSettings) -> None:
        self.settings = settings
        self.mode = MODE_RATE
        self.azimuth, self.elevation = 0.0, 0.0
        self.azimuth_rate, self.elevation_rate = 0.0, 0.0
        self.commanded_rate = [0.0, 0.0]
        self.cage = [0.0, 0.0]
        # Where the geo set-point lies from the base now; None: no set-point started.
        self.geo: Callable[[], tuple[float, float] | None] = lambda: None
        self.geo_on = False

    def advance(self, dt: float) -> None:
        """Move for ``dt`` seconds."""
        while dt > 1e-9:
            step = min(dt, STEP)
            self._step(step)
            dt -= step

    @property
    def moving(self) -> bool:
        """Say whether either axis turns."""
        return abs(self.azimuth_rate) > 1e-6 or abs(self.elevation_rate) > 1e-6

    def _step(self, dt: float) -> None:
        s = self.settings
        top, accel = math.radians(s.max_rate_dps), math.radians(s.max_accel_dps2)
        low, high = math.radians(s.elevation_min_deg), math.radians(s.elevation_max_deg)
        goal: tuple[float, float] | None = None
        if self.mode == MODE_CAGE:
            goal = (self.cage[0], self.cage[1])
        elif self.mode == MODE_STOW:
            goal = STOW
        elif self.mode == MODE_GEO and self.geo_on:
            goal = self.geo()
        if self.mode == MODE_RATE:
            wanted = (self.commanded_rate[0], self.commanded_rate[1])
        elif goal is None:
            wanted = (0.0, 0.0)
        else:
            elevation = min(max(goal[1], low), high)
            wanted = (
                _closing(wrap_pi(goal[0] - self.azimuth), top, accel),
                _closing(elevation - self.elevation, top, accel),
            )
        self.azimuth_rate = _towards(self.azimuth_rate, _limit(wanted[0], top), accel * dt)
        self.elevation_rate = _towards(self.elevation_rate, _limit(wanted[1], top), accel * dt)
        self.azimuth = wrap_pi(self.azimuth + self.azimuth_rate * dt)
        self.elevation += self.elevation_rate * dt
        if not low <= self.elevation <= high:
            self.elevation = min(max(self.elevation, low), high)
            self.elevation_rate = 0.0


def _closing(error: float, top: float, accel: float) -> float:
    """Return the rate that closes an angle error and still can be braked in time."""
    return math.copysign(min(top, math.sqrt(1.2 * accel * abs(error)), 12.0 * abs(error)), error)


def _towards(value: float, wanted: float, change: float) -> float:
    return value + min(max(wanted - value, -change), change)


def _limit(value: float, top: float) -> float:
    return min(max(value, -top), top)


@dataclass
class _Seen:
    index: int
    hits: int = 0
    misses: int = 0
    error: tuple[float, float] = (0.0, 0.0)


@dataclass
class _GhostTrack:
    index: int
    error: tuple[float, float]
    reports: int


@dataclass(frozen=True)
class CameraPose:
    """Where the picture's centre points: true bearing and elevation, field of view, radians."""

    bearing: float
    elevation: float
    horizontal_field_of_view: float


class Trakka(Sensor):
    """The camera's model, its frames and its conversation."""

    name = "trakka"
    stamps = False

    def __init__(self, settings: TrakkaSettings, seed: int, start_epoch: float) -> None:
        super().__init__(seed, start_epoch)
        self.settings = settings
        self.gimbal = Gimbal(settings)
        self.zoom = 1.0
        self.zoom_rate = 0.0
        self.targets_on = False
        # Clock that moves the gimbal between the world's steps; None: only the world's time does.
        self.clock: Callable[[], float] | None = None
        self.lock = threading.RLock()
        self.refused = 0
        self._last: float | None = None
        self._next_tracks = 0.0
        self._seen: dict[str, _Seen] = {}
        self._ghosts: list[_GhostTrack] = []
        self._indices = 0
        self._base_bearing = 0.0
        self._ship: Vector = (0.0, 0.0, 0.0)
        self._datum = Datum(0.0, 0.0)
        self._geo_point: Vector | None = None
        self.gimbal.geo = self._geo_angles

    def pose(self) -> CameraPose:
        """Return where the camera looks now."""
        with self.lock:
            self.sync()
            return CameraPose(
                wrap_two_pi(self._base_bearing + self.gimbal.azimuth),
                self.gimbal.elevation,
                self._fov(),
            )

    def sync(self, now: float | None = None) -> None:
        """Move gimbal and zoom to ``now`` (seconds of the sensor's clock)."""
        with self.lock:
            if now is None:
                if self.clock is None:
                    return
                now = self.clock()
            dt = 0.0 if self._last is None else min(max(now - self._last, 0.0), 1.0)
            self._last = now
            self.gimbal.advance(dt)
            zoom = self.zoom * math.exp(self.zoom_rate * dt)
            self.zoom = min(max(zoom, 1.0), self.settings.max_zoom)

    def _fov(self) -> float:
        wide = math.radians(self.settings.wide_fov_deg)
        return 2.0 * math.atan(math.tan(wide / 2.0) / self.zoom)

    def _geo_angles(self) -> tuple[float, float] | None:
        if self._geo_point is None:
            return None
        look_from, point = self._ship, self._datum.from_ecef(self._geo_point)
        east, north, up = (point[i] - look_from[i] for i in range(3))
        azimuth = wrap_pi(math.atan2(east, north) - self._base_bearing)
        return azimuth, math.atan2(up, math.hypot(east, north))

    def poll(self, world: World) -> list[Report]:
        """Return the video tracks that are due."""
        s, time, ship = self.settings, world.time, world.own_ship
        with self.lock:
            self._base_bearing = ship.heading + math.radians(s.mounting_deg)
            self._ship, self._datum = ship.position, world.spec.datum
            self.sync(time if self.clock is None else None)
            if time < self._next_tracks:
                return []
            self._next_tracks = max(self._next_tracks + 1.0 / s.track_rate_hz, time)
            if not self.targets_on:
                self._seen.clear()
                self._ghosts.clear()
                return []
            bearing = self._base_bearing + self.gimbal.azimuth
            elevation, fov = self.gimbal.elevation, self._fov()
        reports = []
        for item in world.objects:
            report = self._track(world, item, bearing, elevation, fov)
            if report is not None:
                reports.append(report)
        return reports + self._false(world, bearing, elevation, fov)

    def _track(
        self, world: World, item: SkyObject, bearing: float, elevation: float, fov: float
    ) -> Report | None:
        s = self.settings
        look = look_at(world.own_ship, item.position)
        azimuth_error = wrap_pi(look.bearing - bearing)
        elevation_error = look.elevation - elevation
        inside = abs(azimuth_error) < fov / 2.0 and abs(elevation_error) < ASPECT * fov / 2.0
        seen = self._seen.get(item.id)
        if not inside:
            self._seen.pop(item.id, None)
            return None
        noise, chance = self.rng.standard_normal(2), float(self.rng.random())
        share = item.body.span_m / max(look.range, 1.0) / fov
        over = min(max(5.0 * math.log(share / s.track_resolution), -50.0), 50.0)
        likely = s.detection_probability / (1.0 + math.exp(-over))
        hit = chance < likely
        if seen is None:
            if not hit:
                return None
            self._indices = self._indices % 65535 + 1
            seen = self._seen[item.id] = _Seen(self._indices)
        if hit:
            sigma = math.radians(s.sigma_deg)
            seen.hits, seen.misses = seen.hits + 1, 0
            seen.error = (
                azimuth_error + sigma * float(noise[0]),
                elevation_error + sigma * float(noise[1]),
            )
        else:
            seen.misses += 1
            if seen.misses > 10:
                del self._seen[item.id]
                return None
        kind, confidence = _type_of(item.object_class, item.body.hovers, likely)
        return self._report(
            world,
            seen.index,
            bearing=bearing,
            elevation=elevation,
            error=seen.error,
            coasting=not hit,
            quality=round(100.0 * likely),
            kind=kind,
            confidence=confidence,
            truth_id=item.id,
        )

    def _report(
        self,
        world: World,
        index: int,
        *,
        bearing: float,
        elevation: float,
        error: tuple[float, float],
        coasting: bool,
        quality: int,
        kind: int,
        confidence: int,
        truth_id: str,
    ) -> Report:
        sigma = math.radians(self.settings.sigma_deg)
        measurement = None
        if not coasting:
            measurement = Measurement(
                time=world.time,
                sensor=self.name,
                own_position=world.own_ship.position,
                bearing=wrap_two_pi(bearing + error[0]),
                bearing_sigma=sigma,
                elevation=elevation + error[1],
                elevation_sigma=sigma,
                truth_id=truth_id,
                key=str(index),
                confidence=quality / 100.0,
            )
        fields = {
            "index": index,
            "status": 3 if coasting else 1,
            "quality": quality,
            "error": error,
            "type": kind,
            "type_confidence": confidence,
        }
        return Report(world.time, measurement, fields)

    def _false(self, world: World, bearing: float, elevation: float, fov: float) -> list[Report]:
        s = self.settings
        births = int(self.rng.poisson(s.false_tracks_per_min / 60.0 / s.track_rate_hz))
        for _ in range(births):
            self._indices = self._indices % 65535 + 1
            error = (
                float(self.rng.uniform(-fov / 2.0, fov / 2.0)),
                float(self.rng.uniform(-ASPECT * fov / 2.0, ASPECT * fov / 2.0)),
            )
            self._ghosts.append(
                _GhostTrack(self._indices, error, 1 + int(self.rng.geometric(0.15)))
            )
        reports = []
        for ghost in self._ghosts:
            ghost.reports -= 1
            reports.append(
                self._report(
                    world,
                    ghost.index,
                    bearing=bearing,
                    elevation=elevation,
                    error=ghost.error,
                    coasting=False,
                    quality=25,
                    kind=TYPE_UNKNOWN,
                    confidence=0,
                    truth_id="",
                )
            )
        self._ghosts = [g for g in self._ghosts if g.reports > 0]
        return reports

    def encode(self, reports: Sequence[Report]) -> list[bytes]:
        """Return one video-track frame a report."""
        frames = []
        for report in reports:
            f = report.fields
            payload = struct.pack(
                "<BHBBffBB",
                1,
                f["index"],
                f["status"],
                f["quality"],
                f["error"][0],
                f["error"][1],
                f["type"],
                f["type_confidence"],
            )
            frames.append(frame(0x82, 0x07, payload))
        return frames

    def open_session(self) -> Session:
        """Return the conversation of a new client."""
        return TrakkaSession(self)

    def command(self, kind: int, code: int, payload: bytes) -> bytes:
        """Carry out one message; return the reply, empty for most. A bad one is refused."""
        with self.lock:
            self.sync()
            try:
                return self._command(kind, code, payload)
            except (struct.error, ValueError):
                self.refused += 1
                return b""

    def _command(self, kind: int, code: int, payload: bytes) -> bytes:
        if (kind, code) == (0x01, 0x03):
            return self._register(struct.unpack("<H", payload)[0])
        if kind == 0x02:
            self._steer(code, payload)
        elif (kind, code) == (0x04, 0x81):
            x, y, z = (_finite(v) for v in struct.unpack("<3d", payload))
            self._geo_point = (x, y, z)
        elif (kind, code) == (0x04, 0x8A):
            (what,) = struct.unpack("<B", payload)
            self.gimbal.geo_on = True if what == 0 else not self.gimbal.geo_on
            if self.gimbal.geo_on:
                self.gimbal.mode = MODE_GEO
        elif (kind, code) == (0x81, 0x02):
            self._zoom(*struct.unpack("<BBf", payload))
        elif (kind, code) == (0x82, 0x03):
            command, parameter = struct.unpack("<Bh", payload)
            # (4, 30) is what is known to switch target messages on; 0 ends them.
            if command == 4:
                self.targets_on = parameter != 0
        else:
            raise ValueError("unknown message")
        return b""

    def _steer(self, code: int, payload: bytes) -> None:
        gimbal = self.gimbal
        if code in (0x02, 0x03):
            rate = _finite(struct.unpack("<f", payload)[0])
            if abs(rate) > math.radians(60.0) * (1.0 + 1e-6):
                raise ValueError("rates above 60 deg/s are refused")
            gimbal.commanded_rate[code - 0x02] = rate
        elif code == 0x81:
            (mode,) = struct.unpack("<B", payload)
            if mode > MODE_GEO:
                raise ValueError("no such mode")
            if mode == MODE_RATE and gimbal.mode != MODE_RATE:
                gimbal.commanded_rate = [0.0, 0.0]
            gimbal.mode = mode
        elif code in (0x82, 0x83):
            gimbal.cage[code - 0x82] = _finite(struct.unpack("<f", payload)[0])
        else:
            raise ValueError("unknown message")

    def _zoom(self, sensor: int, command: int, value: float) -> None:
        value = _finite(value)
        if not 1 <= sensor <= 3 or command > 3:
            raise ValueError("no such sensor or zoom command")
        if command in (0, 2, 3):
            self.zoom_rate = min(max(value, -2.0), 2.0)
            return
        if not 0.0 < value < math.pi:
            raise ValueError("a field of view lies between 0 and 180 degrees")
        wide = math.tan(math.radians(self.settings.wide_fov_deg) / 2.0)
        self.zoom_rate = 0.0
        self.zoom = min(max(wide / math.tan(value / 2.0), 1.0), self.settings.max_zoom)

    def _register(self, address: int) -> bytes:
        if address == REGISTER_MODE:
            return frame(0x01, 0x04, struct.pack("<HI", address, self.gimbal.mode))
        if address in REGISTER_ZOOMS:
            value = self.zoom
        elif address == REGISTER_AZIMUTH:
            value = self.gimbal.azimuth
        elif address == REGISTER_ELEVATION:
            value = self.gimbal.elevation
        else:
            raise ValueError("no such register")
        return frame(0x01, 0x04, struct.pack("<Hf", address, value))


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def _type_of(object_class: str, hovers: bool, likely: float) -> tuple[int, int]:
    sure = round(100.0 * min(likely, 0.95))
    if object_class in ("drone", "helicopter"):
        return (TYPE_ROTARY if hovers else TYPE_FIXED_WING), sure
    if object_class == "airplane":
        return TYPE_FIXED_WING, sure
    if object_class == "boat":
        return TYPE_BOAT, sure
    return TYPE_UNKNOWN, 0


def fletcher(chunk: bytes) -> bytes:
    """Return Fletcher's two sums modulo 255: the sum of the bytes, and the sum of those sums."""
    first = second = 0
    for byte in chunk:
        first = (first + byte) % 255
        second = (second + first) % 255
    return bytes((first, second))


def frame(kind: int, code: int, payload: bytes) -> bytes:
    """Return a whole frame: start, class, code, payload length, payload, check bytes."""
    body = struct.pack("<BBH", kind, code, len(payload)) + payload
    return START + body + fletcher(body)


class TrakkaSession(Session):
    """One client: finds frames in the stream, skips what is none."""

    def __init__(self, camera: Trakka) -> None:
        self._camera = camera
        self._held = b""

    def received(self, chunk: bytes) -> bytes:
        """Return the replies to the frames that are complete by now."""
        self._held += chunk
        replies = b""
        while True:
            start = self._held.find(START)
            if start < 0:
                # The last byte may be the first half of a start.
                self._held = self._held[-1:] if self._held[-1:] == START[:1] else b""
                return replies
            self._held = self._held[start:]
            if len(self._held) < 6:
                return replies
            kind, code, length = struct.unpack_from("<BBH", self._held, 2)
            if length > PAYLOAD_LIMIT:
                self._held = self._held[2:]
                continue
            end = 6 + length + 2
            if len(self._held) < end:
                return replies
            body, check = self._held[2 : end - 2], self._held[end - 2 : end]
            if fletcher(body) != check:
                self._held = self._held[2:]
                continue
            replies += self._camera.command(kind, code, body[4:])
            self._held = self._held[end:]
