# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A Dronnur-2D-like radar: a turning beam, CAT010 tracks over UDP, D2D control over TCP.

An object is looked at once a turn, when the beam passes it. Detection follows the radar equation in
its simplest form: the signal-to-noise ratio falls with the fourth power of range and with the
radar cross-section, which fluctuates from look to look (Swerling I), so that the probability of
detection is ``exp(-T / (1 + S))`` with a threshold set by the reference range. The radar's own
tracker needs two looks, coasts over two misses, and smooths its velocities. Clutter plots become
short tracks of their own. The radar is 2D: no height, and slant range.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from thebox_sim.config import setting
from thebox_sim.geometry import Vector, wrap_pi, wrap_two_pi
from thebox_sim.sensors.asterix import (
    MESSAGE_START_OF_UPDATE,
    MESSAGE_STATUS,
    Record,
    encode_blocks,
)
from thebox_sim.sensors.base import Measurement, Report, Sensor, look_at
from thebox_sim.tcp import Session
from thebox_sim.world import World

# Threshold over mean noise for a false-alarm probability of 1e-6: T = -ln(Pfa).
THRESHOLD = -math.log(1e-6)
COASTED_TURNS = 2
HEADER_LIMIT = 4096
BODY_LIMIT = 1_000_000
SERIAL_NUMBER = "DR2D-0042"


@dataclass(frozen=True)
class DspnorSettings:
    """What the radar sees, and its habits on the wire."""

    enabled: bool = setting(True, doc="is there such a sensor")
    rpm: float = setting(20.0, doc="turns of the antenna a minute", minimum=1.0, maximum=60.0)
    max_range_m: float = setting(5000.0, doc="instrumented range", minimum=100.0, maximum=60000.0)
    min_range_m: float = setting(40.0, doc="blind closer than this", minimum=0.0, maximum=5000.0)
    reference_range_m: float = setting(
        2200.0,
        doc="range at which 0.01 m^2 (-20 dBsm) is detected half the time",
        minimum=50.0,
        maximum=60000.0,
    )
    range_sigma_m: float = setting(4.0, doc="range noise", minimum=0.01, maximum=500.0)
    azimuth_sigma_deg: float = setting(0.6, doc="azimuth noise", minimum=0.01, maximum=10.0)
    min_radial_speed_mps: float = setting(
        0.0, doc="slower than this towards or away is blind", minimum=0.0, maximum=50.0
    )
    clutter_per_turn: float = setting(
        0.5, doc="mean false plots a turn", minimum=0.0, maximum=1000.0
    )
    mounting_deg: float = setting(
        0.0, doc="radar's zero azimuth from the bow, where it follows the bow", minimum=-360.0
    )
    north: str = setting("true", doc="what azimuths start from", choices=("true", "bow"))
    position: str = setting(
        "polar+cartesian",
        doc="position items that it sends",
        choices=("polar", "cartesian", "wgs84", "polar+cartesian", "all"),
    )
    sac: int = setting(0, doc="system area code", minimum=0, maximum=255)
    sic: int = setting(1, doc="system identification code", minimum=0, maximum=255)
    temperature_c: float = setting(52.0, doc="what its status tells", minimum=-60.0, maximum=150.0)


@dataclass
class _RadarTrack:
    number: int
    hits: int
    misses: int
    position: tuple[float, float]
    velocity: tuple[float, float]
    time: float


@dataclass
class _Ghost:
    number: int
    position: tuple[float, float]
    velocity: tuple[float, float]
    turns: int


@dataclass
class RadarControl:
    """What D2D commands have set; shared between the world's and the server's thread."""

    tx_mode: str = "normal"
    antenna: str = "cw"
    rpm: float = 20.0
    sector: tuple[float, float] | None = None
    blanking: list[tuple[float, float]] = field(default_factory=list)
    asterix_on: bool = True
    asterix_target: dict[str, Any] = field(default_factory=dict)
    ins: Any = None
    boots: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Dspnor(Sensor):
    """The radar's model, its blocks and its control."""

    name = "dspnor"

    def __init__(self, settings: DspnorSettings, seed: int, start_epoch: float) -> None:
        super().__init__(seed, start_epoch)
        self.settings = settings
        self.control = RadarControl(rpm=settings.rpm)
        self._azimuth = 0.0
        self._tracks: dict[str, _RadarTrack] = {}
        self._ghosts: list[_Ghost] = []
        self._numbers = 0

    def detection_probability(self, range_m: float, cross_section_dbsm: float) -> float:
        """Return the probability that one look detects a target (Swerling I)."""
        s = self.settings
        if not s.min_range_m <= range_m <= s.max_range_m:
            return 0.0
        # Half the time at the reference: exp(-T / (1 + S0)) = 0.5.
        reference = THRESHOLD / math.log(2.0) - 1.0
        gain = 10.0 ** ((cross_section_dbsm + 20.0) / 10.0)
        signal = reference * gain * (s.reference_range_m / max(range_m, 1.0)) ** 4
        return math.exp(-THRESHOLD / (1.0 + signal))

    def poll(self, world: World) -> list[Report]:
        """Return the tracks that the beam has just passed, and the marks of each turn."""
        s, time = self.settings, world.time
        with self.control.lock:
            tx_on = self.control.tx_mode != "off" and self.control.asterix_on
            turning = self.control.antenna != "off"
            rate = self.control.rpm * 2.0 * math.pi / 60.0
            sector, blanking = self.control.sector, list(self.control.blanking)
        old = self._azimuth
        new = old + (rate * world.dt if turning else 0.0)
        self._azimuth = wrap_two_pi(new)
        if not tx_on:
            self._tracks.clear()
            self._ghosts.clear()
            return []
        zero = self._zero(world)

        def swept(bearing: float) -> bool:
            """Say whether the beam passed a true bearing in this step, and may look there."""
            azimuth = wrap_two_pi(bearing - zero)
            if (azimuth - old) % (2.0 * math.pi) >= new - old:
                return False
            if sector is not None and not _between(azimuth, *sector):
                return False
            return not any(_between(azimuth, *blank) for blank in blanking)

        reports: list[Report] = []
        if new >= 2.0 * math.pi:
            reports.append(Report(time, None, {"type": MESSAGE_START_OF_UPDATE, "time": time}))
            reports.append(Report(time, None, {"type": MESSAGE_STATUS, "time": time}))
            self._new_ghosts()
        present = set()
        for item in world.objects:
            present.add(item.id)
            look = look_at(world.own_ship, item.position)
            if not swept(look.bearing):
                continue
            noise, chance = self.rng.standard_normal(2), float(self.rng.random())
            radial = _radial_speed(world, item.position, item.velocity)
            seen = chance < self.detection_probability(
                look.range, item.body.radar_cross_section_dbsm
            ) and (abs(radial) >= s.min_radial_speed_mps)
            distance = max(1.0, look.range + s.range_sigma_m * float(noise[0]))
            bearing = look.bearing + math.radians(s.azimuth_sigma_deg) * float(noise[1])
            report = self._track(world, item.id, seen, distance, bearing)
            if report is not None:
                reports.append(report)
        for lost in [key for key in self._tracks if key not in present]:
            del self._tracks[lost]
        reports += self._sweep_ghosts(world, swept)
        return reports

    def _zero(self, world: World) -> float:
        if self.settings.north == "true":
            return 0.0
        return world.own_ship.heading + math.radians(self.settings.mounting_deg)

    def _track(
        self, world: World, identity: str, seen: bool, distance: float, bearing: float
    ) -> Report | None:
        """Run the radar's own tracker for one look; return what it tells."""
        ship = world.own_ship.position
        track = self._tracks.get(identity)
        if not seen:
            if track is None:
                return None
            track.misses += 1
            if track.misses > COASTED_TURNS or track.hits < 2:
                del self._tracks[identity]
                return None
            step = world.time - track.time
            east = track.position[0] + track.velocity[0] * step
            north = track.position[1] + track.velocity[1] * step
            track.position, track.time = (east, north), world.time
            where: Vector = (east - ship[0], north - ship[1], 0.0)
            # A coasted report is a guess: it goes out on the wire, marked, but measures nothing.
            return Report(world.time, None, self._fields(world, track, where, coasting=True))
        position = (
            ship[0] + distance * math.sin(bearing),
            ship[1] + distance * math.cos(bearing),
        )
        if track is None:
            self._numbers = self._numbers % 4095 + 1
            self._tracks[identity] = _RadarTrack(
                self._numbers, 1, 0, position, (0.0, 0.0), world.time
            )
            return None
        step = max(world.time - track.time, 1e-3)
        gain = 1.0 if track.hits == 1 else 0.35
        velocity = tuple(
            track.velocity[i]
            + gain * ((position[i] - track.position[i]) / step - track.velocity[i])
            for i in range(2)
        )
        track.hits, track.misses = track.hits + 1, 0
        track.position, track.velocity, track.time = (
            position,
            (velocity[0], velocity[1]),
            world.time,
        )
        where = (position[0] - ship[0], position[1] - ship[1], 0.0)
        fields = self._fields(world, track, where, coasting=False)
        return Report(world.time, self._measurement(world, fields, identity), fields)

    def _measurement(self, world: World, fields: dict[str, Any], truth_id: str) -> Measurement:
        s = self.settings
        return Measurement(
            time=world.time,
            sensor=self.name,
            own_position=world.own_ship.position,
            bearing=wrap_two_pi(fields["azimuth"] + self._zero(world)),
            bearing_sigma=math.radians(s.azimuth_sigma_deg),
            range=fields["range"],
            range_sigma=s.range_sigma_m,
            truth_id=truth_id,
            key=str(fields["number"]),
        )

    def _fields(
        self, world: World, track: _RadarTrack | _Ghost, where: Vector, *, coasting: bool
    ) -> dict[str, Any]:
        s = self.settings
        east, north, _ = where
        azimuth = wrap_two_pi(math.atan2(east, north) - self._zero(world))
        distance = math.hypot(east, north)
        ship = world.own_ship.position
        latitude, longitude, _ = world.spec.datum.to_geodetic(
            (ship[0] + east, ship[1] + north, ship[2])
        )
        across = distance * math.radians(s.azimuth_sigma_deg)
        sin_b, cos_b = math.sin(math.atan2(east, north)), math.cos(math.atan2(east, north))
        along2, across2 = s.range_sigma_m**2, across**2
        return {
            "type": 1,
            "time": world.time,
            "number": track.number,
            "range": distance,
            "azimuth": azimuth,
            "zero": self._zero(world),
            "wgs84": (latitude, longitude),
            "velocity": track.velocity,
            "coasting": coasting,
            "deviation": (
                math.sqrt(along2 * sin_b**2 + across2 * cos_b**2),
                math.sqrt(along2 * cos_b**2 + across2 * sin_b**2),
                (along2 - across2) * sin_b * cos_b,
            ),
        }

    def _new_ghosts(self) -> None:
        s = self.settings
        for ghost in self._ghosts:
            ghost.turns -= 1
        self._ghosts = [g for g in self._ghosts if g.turns > 0]
        for _ in range(int(self.rng.poisson(s.clutter_per_turn))):
            # Uniform over the area, as rain and sea clutter are once the near ring is cut out.
            distance = s.max_range_m * math.sqrt(float(self.rng.uniform(0.001, 1.0)))
            bearing = float(self.rng.uniform(0.0, 2.0 * math.pi))
            speed, course = float(self.rng.rayleigh(4.0)), float(self.rng.uniform(0.0, 6.28))
            self._numbers = self._numbers % 4095 + 1
            self._ghosts.append(
                _Ghost(
                    self._numbers,
                    (distance * math.sin(bearing), distance * math.cos(bearing)),
                    (speed * math.sin(course), speed * math.cos(course)),
                    1 + int(self.rng.geometric(0.6)),
                )
            )

    def _sweep_ghosts(self, world: World, swept: Callable[[float], bool]) -> list[Report]:
        reports = []
        for ghost in self._ghosts:
            east, north = ghost.position
            if not swept(math.atan2(east, north)):
                continue
            fields = self._fields(world, ghost, (east, north, 0.0), coasting=False)
            reports.append(Report(world.time, self._measurement(world, fields, ""), fields))
            turn = 60.0 / self.settings.rpm
            ghost.position = (east + ghost.velocity[0] * turn, north + ghost.velocity[1] * turn)
        return reports

    def encode(self, reports: Sequence[Report]) -> list[bytes]:
        """Return the CAT010 blocks, as many records to a datagram as fit."""
        return encode_blocks([self._record(report) for report in reports])

    def _record(self, report: Report) -> Record:
        s, f = self.settings, report.fields
        record = Record(s.sac, s.sic, f["type"])
        record.time_of_day = self.epoch(f["time"]) % 86400.0
        if f["type"] == MESSAGE_STATUS:
            record.system_status = 0
        if f["type"] in (MESSAGE_START_OF_UPDATE, MESSAGE_STATUS):
            return record
        record.descriptor = b"\x60"  # TYP 3: primary radar
        if s.position in ("polar", "polar+cartesian", "all"):
            record.polar = (min(f["range"], 65535.0), f["azimuth"])
        if s.position in ("cartesian", "polar+cartesian", "all") and f["range"] < 32767.0:
            # In the radar's own frame: its zero azimuth is the y axis.
            record.cartesian = (
                f["range"] * math.sin(f["azimuth"]),
                f["range"] * math.cos(f["azimuth"]),
            )
        if s.position in ("wgs84", "all"):
            record.wgs84 = f["wgs84"]
        east, north = f["velocity"]
        speed = min(math.hypot(east, north), 3700.0)
        angle = wrap_two_pi(math.atan2(east, north) - f["zero"])
        record.polar_velocity = (speed, angle)
        record.cartesian_velocity = (speed * math.sin(angle), speed * math.cos(angle))
        record.track_number = f["number"]
        # CST 01 (predictable extrapolation) in bits 6 and 5 of I010/170 when coasting.
        record.track_status = b"\x10" if f["coasting"] else b"\x00"
        record.deviation = f["deviation"]
        record.amplitude = 120
        return record

    def open_session(self) -> Session:
        """Return the D2D conversation of a new client."""
        return D2dSession(self)


def _radial_speed(world: World, position: Vector, velocity: Vector) -> float:
    ship = world.own_ship
    away = tuple(position[i] - ship.position[i] for i in range(3))
    distance = math.hypot(*away) or 1.0
    return sum((velocity[i] - ship.velocity[i]) * away[i] for i in range(3)) / distance


def _between(azimuth: float, start: float, end: float) -> bool:
    """Say whether an azimuth lies clockwise between two others (radians)."""
    if math.isclose(wrap_pi(start - end), 0.0, abs_tol=1e-9):
        return True
    return (azimuth - start) % (2.0 * math.pi) <= (end - start) % (2.0 * math.pi)


class D2dSession(Session):
    """One client of the control protocol: text header, empty line, JSON, both ways."""

    def __init__(self, radar: Dspnor) -> None:
        self._radar = radar
        self._held = b""

    def received(self, chunk: bytes) -> bytes:
        """Return the answers to the requests that are complete by now."""
        self._held += chunk
        replies = b""
        while True:
            end = re.search(rb"\r?\n[ \t]*\r?\n", self._held)
            if end is None:
                if len(self._held) > HEADER_LIMIT:
                    self._held = b""
                    replies += frame({"Error": "header too long"})
                return replies
            length = re.search(rb"(?m)^LENGTH=(\d{1,7})\s*$", self._held[: end.end()])
            if length is None or int(length.group(1)) > BODY_LIMIT:
                self._held = self._held[end.end() :]
                replies += frame({"Error": "LENGTH is missing or too large"})
                continue
            total = end.end() + int(length.group(1))
            if len(self._held) < total:
                return replies
            body, self._held = self._held[end.end() : total], self._held[total:]
            replies += frame(self._answer(body))

    def _answer(self, body: bytes) -> dict[str, Any]:
        try:
            request = json.loads(body)
        except (ValueError, RecursionError):
            return {"Error": "not JSON"}
        if not isinstance(request, dict) or not request:
            return {"Error": "not a JSON object with a command"}
        answer: dict[str, Any] = {}
        for command, value in request.items():
            if command == "SerialNumber":
                continue
            try:
                answer[command] = self._command(command, value, request)
            except (ValueError, TypeError, KeyError) as error:
                answer[command] = {"Result": "Error", "Message": str(error)}
        return answer

    def _command(self, command: str, value: Any, request: dict[str, Any]) -> Any:
        asked: dict[str, Callable[[], dict[str, Any]]] = {
            "GetStatus": self._status,
            "GetServices": self._services,
            "GetSystemInfo": lambda: {
                "Model": "Dronnur-2D",
                "SerialNumber": SERIAL_NUMBER,
                "Software": "1.0",
            },
        }
        changes: dict[str, Callable[[RadarControl, Any], None]] = {
            "InitSystem": _init_system,
            "TxMode": _tx_mode,
            "AntennaOperation": _antenna_operation,
            "AntennaRPM": _antenna_rpm,
            "AntennaSector": _antenna_sector,
            "BlankingSectors": _blanking_sectors,
            "AsterixCat010": _asterix_cat010,
            "AsterixCat240": _asterix_cat240,
            "ExternalINS": _external_ins,
        }
        control = self._radar.control
        with control.lock:
            if command in asked:
                return asked[command]()
            if command in changes:
                changes[command](control, value)
            elif command in ("Reset", "Reboot"):
                named = value if isinstance(value, str) else request.get("SerialNumber")
                if isinstance(value, dict):
                    named = value.get("SerialNumber")
                if named != SERIAL_NUMBER:
                    raise ValueError("needs the unit's serial number")
                control.boots += 1
            else:
                raise ValueError("unknown command")
        return {"Result": "OK"}

    def _services(self) -> dict[str, Any]:
        control = self._radar.control
        return {
            "AsterixCat010": {"Enabled": control.asterix_on, **_without_enabled(control)},
            "AsterixCat240": {"Enabled": False},
        }

    def _status(self) -> dict[str, Any]:
        control, s = self._radar.control, self._radar.settings
        return {
            "TxMode": control.tx_mode,
            "AntennaOperation": control.antenna,
            "AntennaRPM": control.rpm,
            "Services": self._services(),
            "Temperatures": {"Transmitter": s.temperature_c, "Processor": s.temperature_c - 6.0},
            "Errors": [],
            "dspnor.dronnur_extractor": True,
            "dspnor.dronnur_tracker": True,
            "dspnor.asterix010_server": True,
        }


def _init_system(control: RadarControl, value: Any) -> None:
    del value
    control.tx_mode, control.antenna, control.sector = "normal", "cw", None
    control.blanking = []


def _tx_mode(control: RadarControl, value: Any) -> None:
    control.tx_mode = _one_of(value, ("off", "normal", "test"))


def _antenna_operation(control: RadarControl, value: Any) -> None:
    control.antenna = _one_of(value, ("off", "cw", "sector", "blanking", "tilt"))


def _antenna_rpm(control: RadarControl, value: Any) -> None:
    rpm = float(value)
    if not 1.0 <= rpm <= 60.0:
        raise ValueError(f"AntennaRPM is 1 to 60, not {rpm:g}")
    control.rpm = rpm


def _antenna_sector(control: RadarControl, value: Any) -> None:
    control.sector = _sector(value)


def _blanking_sectors(control: RadarControl, value: Any) -> None:
    control.blanking = [_sector(item) for item in value]


def _asterix_cat010(control: RadarControl, value: Any) -> None:
    control.asterix_on = bool(value["Enabled"])
    control.asterix_target = dict(value)


def _asterix_cat240(control: RadarControl, value: Any) -> None:
    del control
    if bool(value["Enabled"]):
        raise ValueError("this radar has no video output")


def _external_ins(control: RadarControl, value: Any) -> None:
    control.ins = value


def _without_enabled(control: RadarControl) -> dict[str, Any]:
    return {k: v for k, v in control.asterix_target.items() if k != "Enabled"}


def _one_of(value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"one of {', '.join(allowed)}, not {value!r}")
    return str(value)


def _sector(value: Any) -> tuple[float, float]:
    start, end = float(value["StartAzimuth"]), float(value["EndAzimuth"])
    if not (math.isfinite(start) and math.isfinite(end)):
        raise ValueError("azimuths must be finite")
    return wrap_two_pi(math.radians(start)), wrap_two_pi(math.radians(end))


def frame(content: dict[str, Any]) -> bytes:
    """Return a D2D message."""
    body = json.dumps(content).encode()
    head = f"PROTOCOL=D2D\r\nVERSION=1.0\r\nTYPE=TEXT\r\nLENGTH={len(body)}\r\n\r\n"
    return head.encode() + body


def beacon(serial_number: str = SERIAL_NUMBER) -> bytes:
    """Return a discovery beacon: 40 bytes, whose layout is not public; name, serial, padding."""
    return f"Dronnur-2D {serial_number}".encode().ljust(40, b"\x00")[:40]
