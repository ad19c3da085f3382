# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Plays a scenario on real sockets, with faults on command. No ROS.

:class:`Sky` owns the world and the sensor models. :meth:`Sky.advance` steps them to a given time
and sends what is due; :meth:`Sky.start` does that in a thread of its own, in wall time.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from thebox_sim.geometry import Vector
from thebox_sim.scenario import Scenario
from thebox_sim.sensors import make_sensor
from thebox_sim.sensors.base import Sensor
from thebox_sim.sensors.dspnor import beacon
from thebox_sim.sensors.trakka import Trakka
from thebox_sim.serial_line import SerialLine
from thebox_sim.tcp import TcpServer
from thebox_sim.world import OwnShip, Visible, World, random_stream, visible

FAULT_NONE = "none"
FAULT_SILENT = "silent"
FAULT_FLOOD = "flood"
FAULT_GARBAGE = "garbage"
FAULT_CLOCK_OFFSET = "clock_offset"
FAULT_TCP_DROP = "tcp_drop"

# Size of each fault when the command gives none (NaN).
FAULT_DEFAULTS = {
    FAULT_NONE: math.nan,
    FAULT_SILENT: math.nan,
    # Datagrams a second.
    FAULT_FLOOD: 2000.0,
    FAULT_GARBAGE: 50.0,
    # Seconds by which the sensor's clock is wrong.
    FAULT_CLOCK_OFFSET: 90.0,
    # Seconds between two cuts of the connection.
    FAULT_TCP_DROP: 10.0,
}

# A late runner skips time beyond this rather than sending all of it at once, seconds.
LONGEST_CATCH_UP = 2.0

# A server whose port is taken tries again after this, seconds.
SERVER_RETRY = 5.0


@dataclass(frozen=True)
class Target:
    """Where a sensor's datagrams go."""

    host: str
    port: int


@dataclass(frozen=True)
class Fault:
    """How a sensor misbehaves at the moment; see :data:`FAULT_DEFAULTS` for ``value``."""

    kind: str = FAULT_NONE
    value: float = math.nan


@dataclass(frozen=True)
class TruthObject:
    """One object as it really is: ENU metres, m/s."""

    id: str
    object_class: str
    label: str
    position: Vector
    velocity: Vector
    emitter_keys: tuple[str, ...]


@dataclass(frozen=True)
class Truth:
    """The whole sky at ``time`` seconds since the start; ``taken`` on the monotonic clock."""

    time: float
    taken: float
    own_ship: OwnShip
    objects: tuple[TruthObject, ...]


@dataclass
class SentCounts:
    """What a sensor has sent so far, and what the kernel would not send."""

    datagrams: int = 0
    bytes: int = 0
    errors: int = 0
    clients: int | None = None
    """Who is connected, where the sensor is a server."""


class _Outlet:
    """One sensor's way out: its socket, its server, its faults, its counts."""

    def __init__(
        self,
        sensor: Sensor,
        target: Target | None,
        listen: Target | None,
        serial: str,
        seed: int,
    ) -> None:
        self.sensor = sensor
        self.target = target
        self.listen = listen
        self.counts = SentCounts()
        self.fault = Fault()
        self.server: TcpServer | None = None
        self.problem = ""
        self._server_due = 0.0
        self._drop_due = math.inf
        # The server's thread distorts what goes out: it has a stream of its own.
        self._rng = random_stream(seed, "fault", sensor.name)
        self._stream_rng = random_stream(seed, "stream fault", sensor.name)
        self._recent: deque[bytes] = deque(maxlen=64)
        self._owed = 0.0
        self._serial = SerialLine(serial) if serial else None
        self._socket: socket.socket | None = None
        if target is not None:
            family = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM)[0][0]
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    def step(self, world: World) -> None:
        datagrams = self.sensor.encode(self.sensor.poll(world))
        self._recent.extend(datagrams)
        kind = self.fault.kind
        if kind == FAULT_SILENT:
            return
        if kind == FAULT_GARBAGE:
            datagrams = [self._garbage() for _ in range(self._due(world.dt))]
        elif kind == FAULT_FLOOD:
            datagrams = datagrams + [self._repeated() for _ in range(self._due(world.dt))]
        elif kind == FAULT_TCP_DROP and world.time >= self._drop_due:
            self._drop_due = world.time + self.fault.value
            if self.server is not None:
                self.server.drop()
        for datagram in datagrams:
            self._send(datagram)

    def serve(self, now: float) -> None:
        """Open the server where there is one; a taken port is tried again every few seconds."""
        if self.listen is None or self.server is not None or now < self._server_due:
            return
        self._server_due = now + SERVER_RETRY
        open_session = getattr(self.sensor, "open_session", None)
        if open_session is None:
            raise ValueError(f"{self.sensor.name} has no connection to listen for")
        try:
            self.server = TcpServer(
                self.listen.host, self.listen.port, open_session, self._distorted
            )
            self.problem = ""
        except OSError as error:
            self.problem = (
                f"{self.sensor.name}: cannot listen on {self.listen.host}:{self.listen.port}: "
                f"{error.strerror}; free the port or set another one"
            )

    def set_fault(self, fault: Fault, time_s: float) -> None:
        self.fault = fault
        self._owed = 0.0
        self._drop_due = time_s if fault.kind == FAULT_TCP_DROP else math.inf
        self.sensor.clock_offset = fault.value if fault.kind == FAULT_CLOCK_OFFSET else 0.0

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._serial is not None:
            self._serial.close()
            self._serial = None
        if self.server is not None:
            self.server.stop()
            self.server = None

    def _due(self, dt: float) -> int:
        self._owed += self.fault.value * dt
        count = int(self._owed)
        self._owed -= count
        return count

    def _repeated(self) -> bytes:
        if not self._recent:
            return self._garbage()
        return self._recent[int(self._rng.integers(len(self._recent)))]

    def _garbage(self) -> bytes:
        if self._recent and self._rng.random() < 0.5:
            # Half of it is a real datagram with a few bytes changed: the harder half.
            damaged = bytearray(self._recent[int(self._rng.integers(len(self._recent)))])
            for _ in range(int(self._rng.integers(1, 6))):
                damaged[int(self._rng.integers(len(damaged)))] = int(self._rng.integers(256))
            return bytes(damaged)
        return self._rng.bytes(int(self._rng.integers(1, 1400)))

    def _distorted(self, chunk: bytes) -> bytes:
        """Return what a fault makes of the server's answers; called from its thread."""
        if not chunk or self.fault.kind not in (FAULT_SILENT, FAULT_GARBAGE):
            return chunk
        if self.fault.kind == FAULT_SILENT:
            return b""
        return self._stream_rng.bytes(len(chunk))

    def _send(self, datagram: bytes) -> None:
        if self._serial is not None:
            self._count(self._serial.write(datagram), datagram)
            return
        if self._socket is None or self.target is None:
            if self.server is not None and self.server.clients:
                self.server.broadcast(datagram)
                self._count(True, datagram)
            return
        try:
            self._socket.sendto(datagram, (self.target.host, self.target.port))
        except OSError:
            # Nobody listens yet, or the send buffer is full: a real sensor would not care either.
            self._count(False, datagram)
        else:
            self._count(True, datagram)

    def _count(self, sent: bool, datagram: bytes) -> None:
        if sent:
            self.counts.datagrams += 1
            self.counts.bytes += len(datagram)
        else:
            self.counts.errors += 1


class Sky:
    """A scenario being played.

    :param targets: where each sensor sends; a sensor of the scenario that is not named here is not
        played.
    :param start_epoch: UTC of the scenario's start in seconds since 1970: what sensors stamp with.
    :param rate: seconds of the scenario per second of wall time, for :meth:`start`.
    :raises ValueError: for a rate that is not above zero.
    :param listen: where the sensors that speak TCP (trakka, dspnor's control, mara where it is not
        named in ``targets``) wait for the box.
    :param serial: path of the pseudo-terminal's link, for the sensors on a serial line.
    :param beacon_target: where the radar's discovery beacon goes, once a second.
    :raises OSError: for a host that does not resolve, or a link that cannot be made.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        targets: Mapping[str, Target],
        start_epoch: float,
        rate: float = 1.0,
        *,
        listen: Mapping[str, Target] | None = None,
        serial: Mapping[str, str] | None = None,
        beacon_target: Target | None = None,
    ) -> None:
        if not (rate > 0.0 and math.isfinite(rate)):
            raise ValueError(f"rate must be a finite number above 0, got {rate}")
        self.scenario = scenario
        self.rate = rate
        self.world = World(scenario.world, seed)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.skipped = 0.0
        self.failure: BaseException | None = None
        served, lines = dict(listen or {}), dict(serial or {})
        self._outlets = {
            name: _Outlet(
                make_sensor(name, settings, seed, start_epoch),
                targets.get(name),
                served.get(name),
                lines.get(name, ""),
                seed,
            )
            for name, settings in scenario.sensors.items()
            if name in targets or name in served or name in lines
        }
        self._beacon = beacon_target if "dspnor" in self._outlets else None
        self._beacon_due = 0.0
        self._beacon_socket: socket.socket | None = None
        if self._beacon is not None:
            self._beacon_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._beacon_socket.setblocking(False)

    @property
    def sensors(self) -> list[str]:
        """Names of the sensors that are played."""
        return list(self._outlets)

    def advance(self, time_s: float) -> None:
        """Step the world up to ``time_s`` seconds since the start, sending what comes due."""
        while self.world.time + self.world.dt <= time_s + 1e-9:
            with self._lock:
                self.world.step()
                for outlet in self._outlets.values():
                    outlet.step(self.world)
                self._send_beacon()

    def _send_beacon(self) -> None:
        if self._beacon is None or self._beacon_socket is None:
            return
        if self.world.time >= self._beacon_due:
            self._beacon_due = self.world.time + 1.0
            if self._outlets["dspnor"].fault.kind != FAULT_SILENT:
                # Nobody need be there to hear it.
                with contextlib.suppress(OSError):
                    self._beacon_socket.sendto(beacon(), (self._beacon.host, self._beacon.port))

    @property
    def camera(self) -> Trakka | None:
        """The simulated gimbal camera, where one is played."""
        outlet = self._outlets.get("trakka")
        return outlet.sensor if outlet and isinstance(outlet.sensor, Trakka) else None

    def scene(self) -> tuple[Vector, list[Visible], float]:
        """Return what a camera needs for a picture: its ENU position, the objects, the time."""
        with self._lock:
            position = self.world.own_ship.position
            return position, visible(self.world.objects), self.world.time

    def ports(self) -> dict[str, int]:
        """Return the ports that the servers listen on, by sensor (those that listen)."""
        return {n: o.server.port for n, o in self._outlets.items() if o.server is not None}

    def problems(self) -> list[str]:
        """Return what keeps a sensor from being played, in words for the operator."""
        return [o.problem for o in self._outlets.values() if o.problem]

    def truth(self) -> Truth:
        """Return the sky as it really is now."""
        with self._lock:
            objects = tuple(
                TruthObject(
                    item.id,
                    item.object_class,
                    item.label,
                    item.position,
                    item.velocity,
                    tuple(e.key for e in item.emitters),
                )
                for item in self.world.objects
            )
            return Truth(self.world.time, time.monotonic(), self.world.own_ship, objects)

    def counts(self) -> dict[str, SentCounts]:
        """Return what each sensor has sent so far."""
        with self._lock:
            return {
                name: replace(o.counts, clients=o.server.clients if o.server else None)
                for name, o in self._outlets.items()
            }

    def faults(self) -> dict[str, Fault]:
        """Return how each sensor misbehaves at the moment."""
        with self._lock:
            return {name: o.fault for name, o in self._outlets.items()}

    def set_fault(self, sensor: str, kind: str, value: float = math.nan) -> str:
        """Make a sensor misbehave, or behave again (``none``); return what now holds, in words.

        :param value: size of the fault; NaN: its default.
        :raises ValueError: for an unknown sensor or fault, or a size that makes no sense.
        """
        outlet = self._outlets.get(sensor)
        if outlet is None:
            raise ValueError(
                f"no simulated sensor '{sensor}'; there are: {', '.join(self.sensors)}"
            )
        if kind not in FAULT_DEFAULTS:
            raise ValueError(f"no fault '{kind}'; there are: {', '.join(FAULT_DEFAULTS)}")
        size = FAULT_DEFAULTS[kind] if math.isnan(value) else value
        if kind in (FAULT_FLOOD, FAULT_GARBAGE) and not 0.0 < size <= 100_000.0:
            raise ValueError(f"{kind} takes 0 to 100000 datagrams a second, got {size:g}")
        if kind == FAULT_CLOCK_OFFSET and not abs(size) <= 10 * 365 * 86400.0:
            raise ValueError(f"{kind} takes seconds within ten years, got {size:g}")
        if kind == FAULT_CLOCK_OFFSET and not outlet.sensor.stamps:
            raise ValueError(f"{sensor} sends no time: no clock of it can be wrong")
        if kind == FAULT_TCP_DROP:
            if outlet.listen is None:
                raise ValueError(f"{sensor} speaks UDP: it has no connection to drop")
            if not 0.1 <= size <= 86400.0:
                raise ValueError(f"{kind} takes 0.1 to 86400 seconds, got {size:g}")
        with self._lock:
            outlet.set_fault(Fault(kind, size), self.world.time)
        return f"{sensor}: {kind}" + ("" if math.isnan(size) else f" {size:g}")

    def set_start(self, start_epoch: float) -> None:
        """Say anew when the scenario begins (or has begun), seconds since 1970."""
        with self._lock:
            for outlet in self._outlets.values():
                outlet.sensor.start_epoch = start_epoch

    def start(self) -> None:
        """Play in wall time, in a thread, until :meth:`stop`."""
        if self._thread is not None:
            raise RuntimeError("the sky is already playing")
        self._stopping.clear()
        camera = self.camera
        if camera is not None:
            # Between two steps of the world the gimbal moves on: its client polls it often.
            camera.clock = lambda: time.monotonic() * self.rate
        for outlet in self._outlets.values():
            outlet.serve(time.monotonic())
        self._thread = threading.Thread(target=self._play, name="sky", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop playing and close the sockets; harmless when it is not playing."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for outlet in self._outlets.values():
            outlet.close()
        if self._beacon_socket is not None:
            self._beacon_socket.close()

    def _play(self) -> None:
        origin = time.monotonic() - self.world.time / self.rate
        try:
            while not self._stopping.is_set():
                now = (time.monotonic() - origin) * self.rate
                late = now - self.world.time
                if late > LONGEST_CATCH_UP * max(1.0, self.rate):
                    # The machine slept: the story goes on from here, with stamps of now.
                    self.skipped += late
                    origin += late / self.rate
                    with self._lock:
                        for outlet in self._outlets.values():
                            outlet.sensor.start_epoch += late
                    now = (time.monotonic() - origin) * self.rate
                self.advance(now)
                for outlet in self._outlets.values():
                    outlet.serve(time.monotonic())
                due = origin + (self.world.time + self.world.dt) / self.rate
                self._stopping.wait(max(0.001, due - time.monotonic()))
        except BaseException as error:
            self.failure = error
            raise
