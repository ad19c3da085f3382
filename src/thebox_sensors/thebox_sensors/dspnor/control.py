# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Talks to the radar over D2D: polls its status, sends what the operator asks for. No ROS in here.

One thread holds the connection. It sends at most one request a second, waits for each answer, and
after two that stay away connects anew with back-off. A second small thread listens for the beacons
by which radars make themselves known.
"""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from thebox_sensors.dspnor import d2d
from thebox_sensors.protocol_base import Reject, printable
from thebox_sensors.transport import Transport, TransportError, open_transport

__all__ = ["Command", "ControlView", "Discovery", "RadarControl"]

BACK_OFF_FIRST, BACK_OFF_LAST = 1.0, 30.0
_QUEUE_LIMIT = 8
_MISSED_LIMIT = 2
_SERVICES_EVERY = 6
"""A poll of the services comes with every so manieth one of the status."""
_GOOD = {"ok", "success", "accepted", "done"}
_KNOWN = {
    "initsystem",
    "txmode",
    "antennaoperation",
    "antennarpm",
    "antennasector",
    "blankingsectors",
    "asterixcat010",
    "asterixcat240",
    "externalins",
    "getstatus",
    "getservices",
    "getsysteminfo",
    "reset",
    "reboot",
}


class Command(NamedTuple):
    """A request on its way to the radar."""

    name: str
    """The key that its answer will have, such as ``TxMode``."""
    data: bytes
    what: str
    """What it does, for the log."""
    by: str
    """Who asked; empty for the driver's own polling."""


@dataclass(frozen=True)
class ControlView:
    """What is known of the radar through its control port."""

    fault: str
    """Why it does not answer; empty while it does."""
    connected: bool
    address: str
    status: Mapping[str, Any]
    """The newest status, with the services in it; empty before the first."""
    status_time: float
    """When that came, steady clock, seconds; NaN before the first."""
    info: Mapping[str, Any]
    requests: int
    answers: int
    missed: int
    reconnects: int
    rejected: int
    last_command: str
    queued: int


@dataclass
class _Counts:
    requests: int = 0
    answers: int = 0
    missed: int = 0
    reconnects: int = 0
    rejected: int = 0


@dataclass
class _Known:
    status: dict[str, Any] = field(default_factory=dict)
    status_time: float = math.nan
    services: Any = None
    info: dict[str, Any] = field(default_factory=dict)


class RadarControl:
    """The control connection to one radar.

    Args:
        address: gives host and port, or None while it is not known (discovery).
        log: takes a line for the operator, and whether it is a warning.
        poll_interval: time between two polls of the status, seconds.
        answer_timeout: how long an answer may take, seconds.
        clock: spaces the requests; handed on from one control to the next of the same driver, so
            that a radar that is controlled anew is not asked twice within a second.
    """

    def __init__(
        self,
        address: Callable[[], tuple[str, int] | None],
        log: Callable[[str, bool], None],
        poll_interval: float = 5.0,
        answer_timeout: float = 5.0,
        clock: d2d.RequestClock | None = None,
    ) -> None:
        self._address = address
        self._log = log
        self._poll_interval = poll_interval
        self._answer_timeout = answer_timeout
        self._clock = clock or d2d.RequestClock()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._transport: Transport | None = None
        self._queue: deque[Command] = deque()
        self._counts = _Counts()
        self._known = _Known()
        self._connected = False
        self._place = ""
        self._fault = "not connected yet"
        self._last_command = ""

    def start(self, name: str) -> None:
        """Start the thread."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"{name}-control", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and the connection; commands still queued are given up and logged."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            if self._transport is not None:
                self._transport.wake()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._drop_queue("the driver is stopped")

    def request(self, command: Command) -> str:
        """Queue a command.

        Returns:
            Why it cannot be sent; empty when it is on its way.
        """
        with self._changed:
            if self._thread is None or self._stopping:
                return "the control connection is off: set control.address and activate the driver"
            if not self._connected:
                return f"the radar cannot be controlled now: {self._fault}"
            if len(self._queue) >= _QUEUE_LIMIT:
                return f"{_QUEUE_LIMIT} commands are waiting already: one goes each second"
            self._queue.append(command)
        self._log(f"{command.what}, asked for by {command.by}: queued", False)
        return ""

    def view(self) -> ControlView:
        """Tell what is known."""
        with self._changed:
            counts, known = self._counts, self._known
            status = dict(known.status)
            told = {key.lower() for key in status}
            if status and "services" not in told and known.services is not None:
                status["Services"] = known.services
            return ControlView(
                self._fault,
                self._connected,
                self._place,
                status,
                known.status_time,
                known.info,
                counts.requests,
                counts.answers,
                counts.missed,
                counts.reconnects,
                counts.rejected,
                self._last_command,
                len(self._queue),
            )

    # The thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        delay = BACK_OFF_FIRST
        while not self._stopping:
            address = self._address()
            if address is None:
                self._fault = "no radar has made itself known yet (discovery)"
                self._pause(BACK_OFF_FIRST)
                continue
            answered = self._counts.answers
            try:
                self._talk(address)
            except TransportError as error:
                with self._changed:
                    told = self._fault == str(error)
                    self._fault = str(error)
                    self._counts.reconnects += 1
                if not told:
                    self._log(f"control: {error}", True)
            finally:
                with self._changed:
                    self._connected = False
                    self._transport = None
            self._drop_queue(self._fault)
            if self._counts.answers > answered:
                delay = BACK_OFF_FIRST
            self._pause(delay)
            delay = min(2.0 * delay, BACK_OFF_LAST)

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, timeout=seconds)

    def _talk(self, address: tuple[str, int]) -> None:
        """Hold one connection; TransportError when it ends."""
        host, port = address
        place = f"[{host}]" if ":" in host else host
        transport = self._open(f"tcp://{place}:{port}")
        try:
            parser = d2d.Parser()
            pending: Command | None = None
            sent = math.nan
            missed = 0
            polls = 0
            due = time.monotonic()
            while not self._stopping:
                now = time.monotonic()
                if pending is not None and now - sent > self._answer_timeout:
                    missed += 1
                    self._counts.missed += 1
                    self._unanswered(pending)
                    pending = None
                    if missed >= _MISSED_LIMIT:
                        raise TransportError(
                            f"the radar at {self._place} does not answer: is its control port "
                            "used by another client?"
                        )
                if pending is None and self._clock.wait(now) <= 0.0:
                    pending, polls, due = self._next(now, polls, due)
                    if pending is not None:
                        self._clock.take(now)
                        sent = now
                        self._counts.requests += 1
                        transport.send(pending.data)
                for data, _ in transport.receive(self._patience(pending, sent, due)):
                    parsed = parser.feed(data)
                    self._counts.rejected += len(parsed.rejects)
                    for message in parsed.records:
                        if pending is not None and _answers(pending.name, message.content):
                            missed = 0
                            self._answered(pending, message.content)
                            pending = None
        finally:
            transport.close()

    def _open(self, url: str) -> Transport:
        transport = open_transport(url, 1_048_576)
        with self._changed:
            self._transport = transport
            self._place = transport.url.text
        try:
            transport.open()
        except TransportError:
            transport.close()
            raise
        with self._changed:
            self._connected = True
        self._log(f"control: connected to {self._place}", False)
        return transport

    def _patience(self, pending: Command | None, sent: float, due: float) -> float:
        """Say how long nothing but an answer can change anything, seconds."""
        now = time.monotonic()
        if pending is not None:
            return max(0.0, min(0.2, sent + self._answer_timeout - now)) + 0.01
        wait = self._clock.wait(now)
        if not self._queue:
            wait = max(wait, due - now)
        return max(0.0, min(wait, 0.2)) + 0.001

    def _next(self, now: float, polls: int, due: float) -> tuple[Command | None, int, float]:
        with self._changed:
            if self._queue:
                return self._queue.popleft(), polls, due
        if now < due:
            return None, polls, due
        build = d2d.Commands()
        if not self._known.info and polls == 1:
            return Command("GetSystemInfo", build.get_system_info(), "", ""), polls + 1, due
        if polls % _SERVICES_EVERY == 2:
            return Command("GetServices", build.get_services(), "", ""), polls + 1, due
        due = now + (0.0 if polls < 2 else self._poll_interval)
        return Command("GetStatus", build.get_status(), "", ""), polls + 1, due

    def _answered(self, command: Command, content: Mapping[str, Any]) -> None:
        value = _value_of(command.name, content)
        with self._changed:
            self._counts.answers += 1
            self._fault = ""
            if command.name == "GetStatus":
                # Some answers are wrapped in the name of the request.
                self._known.status = dict(value if isinstance(value, Mapping) else content)
                self._known.status_time = time.monotonic()
            elif command.name == "GetServices":
                inner = value if isinstance(value, Mapping) else content
                services = _value_of("Services", inner)
                self._known.services = services if services is not None else dict(inner)
            elif command.name == "GetSystemInfo":
                self._known.info = dict(value if isinstance(value, Mapping) else content)
        if command.by:
            error = _value_of("Error", content) or _value_of("Errors", content)
            if isinstance(value, Mapping):
                error = error or _value_of("Error", value)
                result = _value_of("Result", value)
                if isinstance(result, str) and result.lower() not in _GOOD:
                    error = error or _value_of("Message", value) or result
            told = f"refused by the radar: {error}" if error else f"answered: {value}"
            self._tell(command, printable(told, 160), bool(error))

    def _unanswered(self, command: Command) -> None:
        if command.by:
            self._tell(command, f"not answered within {self._answer_timeout:g} s", True)
        else:
            self._log(f"control: {command.name} was not answered", True)

    def _tell(self, command: Command, outcome: str, warn: bool) -> None:
        text = f"{command.what}, asked for by {command.by}: {outcome}"
        with self._changed:
            self._last_command = text
        self._log(text, warn)

    def _drop_queue(self, reason: str) -> None:
        with self._changed:
            dropped = list(self._queue)
            self._queue.clear()
        for command in dropped:
            self._tell(command, f"not sent: {reason}", True)


def _value_of(name: str, content: Mapping[str, Any]) -> Any:
    for key, value in content.items():
        if str(key).lower() == name.lower():
            return value
    return None


def _answers(name: str, content: Mapping[str, Any]) -> bool:
    """Whether a message answers a request: it has its key, or, for a reading, no other's."""
    keys = {str(key).lower() for key in content}
    if name.lower() in keys or "error" in keys:
        return True
    return name.startswith("Get") and not keys & {k for k in _KNOWN if k.startswith("get")}


class Discovery:
    """Listens for the beacons of radars.

    Args:
        group: multicast group; empty: beacons come to the address itself.
        port: UDP port.
        interface: address of the interface to listen on.
    """

    def __init__(
        self,
        group: str = d2d.DISCOVERY_GROUP,
        port: int = d2d.DISCOVERY_PORT,
        interface: str = "0.0.0.0",  # noqa: S104 - a multicast group is joined, on any interface
    ) -> None:
        self._group, self._port, self._interface = group, port, interface
        self._waker, self._woken = socket.socketpair()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        #: When each radar was last heard, by address, steady clock, seconds.
        self.heard: dict[str, float] = {}
        self.rejected = 0
        #: Why nothing can be heard; empty while it can.
        self.fault = ""

    def start(self, name: str) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name=f"{name}-discovery", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the socket."""
        self._stopping.set()
        self._waker.send(b"x")
        if self._thread is not None:
            self._thread.join()
        self._waker.close()
        self._woken.close()

    def newest(self) -> str:
        """Return the address of the radar that was heard last; empty before the first."""
        heard = dict(self.heard)
        return max(heard, key=lambda address: heard[address], default="")

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._socket() as listener:
                    self.fault = ""
                    self._listen(listener)
            except OSError as error:
                self.fault = (
                    f"beacons cannot be heard on {self._interface} port {self._port}: "
                    f"{error.strerror or error}"
                )
            self._stopping.wait(5.0)

    def _socket(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            if self._group:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                membership = socket.inet_aton(self._group) + socket.inet_aton(self._interface)
                listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            listener.bind((self._group or self._interface, self._port))
        except OSError:
            listener.close()
            raise
        return listener

    def _listen(self, listener: socket.socket) -> None:
        poll = select.poll()
        for one in (listener, self._woken):
            poll.register(one, select.POLLIN)
        while not self._stopping.is_set():
            ready = [descriptor for descriptor, _ in poll.poll(1000)]
            if listener.fileno() not in ready:
                continue
            data, (address, _) = listener.recvfrom(2048)
            try:
                d2d.read_beacon(data, address)
            except Reject:
                self.rejected += 1
                continue
            if address in self.heard or len(self.heard) < 64:
                self.heard[address] = time.monotonic()
