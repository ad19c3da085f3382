# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a sensor's bytes come from: UDP, TCP client, serial line or file, behind one interface.

No ROS in here. A transport is chosen by a URL (:mod:`thebox_sensors.transport_url`), so that a
capture file replays through the very code that the live socket feeds.
"""

from __future__ import annotations

import base64
import errno
import json
import math
import os
import select
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import serial

from thebox_sensors.transport_url import TransportUrl, TransportUrlError, parse_url

__all__ = [
    "CaptureEnded",
    "Datagram",
    "Transport",
    "TransportError",
    "TransportUrlError",
    "open_transport",
    "parse_url",
]

_SO_TIMESTAMPNS = 35  # Linux, asm-generic/socket.h: nanosecond arrival stamps
_SO_RXQ_OVFL = 40  # Linux: datagrams dropped so far because the socket's buffer was full
_SO_RCVBUFFORCE = 33  # Linux: SO_RCVBUF beyond net.core.rmem_max, for CAP_NET_ADMIN
_LARGEST_DATAGRAM = 65_535
_BATCH = 64
_CAPTURE_MARK = "thebox_capture"
_LONGEST_PAUSE = 3600.0  # seconds; a longer silence in a capture is a damaged time
_LAP_PAUSE = 1.0  # seconds of capture between the end of a looped replay and its next beginning


class TransportError(OSError):
    """The bytes cannot come now; the text says why and what to do. Worth another try later."""


class CaptureEnded(Exception):  # noqa: N818 - an end, not a failure
    """A capture file has been replayed to its end."""


class Datagram(NamedTuple):
    """Bytes as they came, and when: seconds on the system clock, NaN where that is not known."""

    data: bytes
    arrival: float


class Transport(ABC):
    """One source of bytes. Used by one thread, but for ``wake``, which any thread may call."""

    #: Whether chunks may split and join messages (TCP, serial) or each is whole (UDP, captures).
    is_stream = False
    #: Whether nothing is lost when bytes are taken late (a capture), so that the reader may wait.
    can_wait = False

    def __init__(self, url: TransportUrl) -> None:
        self.url = url
        #: Datagrams that the kernel dropped since the socket was opened.
        self.kernel_drops = 0
        #: What the operator should know though it works, such as a buffer smaller than asked for.
        self.notice = ""
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)

    @abstractmethod
    def open(self) -> None:
        """Take the port, connect or open the file. Raises TransportError."""

    @abstractmethod
    def receive(self, timeout: float) -> list[Datagram]:
        """Wait up to ``timeout`` seconds; return what came, oldest first, maybe nothing.

        Raises:
            TransportError: the connection is lost; ``open`` again.
            CaptureEnded: nothing more will come.
        """

    def send(self, data: bytes) -> None:
        """Send bytes to the sensor. Raises TransportError when that is not possible."""
        raise TransportError(f"{self.url.text} cannot send")

    def wake(self) -> None:
        """Make a waiting ``receive`` return at once; it stays awake until closed."""
        try:
            self._waker.send(b"x")
        except (BlockingIOError, OSError):
            return  # it is awake already, or closed

    def close(self) -> None:
        """Give back everything; may be called twice."""
        self._waker.close()
        self._woken.close()

    def _wait(self, descriptor: int | None, timeout: float) -> bool:
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        if descriptor is not None:
            poll.register(descriptor, select.POLLIN)
        ready = poll.poll(max(timeout, 0.0) * 1000.0)
        return any(fd == descriptor for fd, _ in ready)


def _explain(error: OSError, url: TransportUrl) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"{url.scheme.upper()} port {url.port} is taken by another program: stop it "
            f"(see ./thebox doctor) or change the driver's parameter 'source'"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{url.host} is not an address of this machine: change the parameter 'source'"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"not allowed to open {url.text}: check permissions and groups of this user"
    if error.errno == errno.ECONNREFUSED:
        return f"{url.text} refuses: is the sensor on, and its port right?"
    if isinstance(error, socket.gaierror):
        return f"the host name {url.host} is not known: check it, or give the address"
    return f"{url.text}: {error.strerror or error}"


def _enlarge(sock: socket.socket, wanted: int) -> int:
    """Ask for a receive buffer; return the bytes given (the kernel reports twice that)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
    got = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    if got < wanted:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, wanted)
        except OSError:
            return got
        got = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    return got


class UdpTransport(Transport):
    """Datagrams on a bound socket, each with the kernel's own arrival stamp."""

    def __init__(self, url: TransportUrl, receive_buffer: int) -> None:
        super().__init__(url)
        self._receive_buffer = receive_buffer
        self._socket: socket.socket | None = None
        self._peer: tuple[str, int] | None = None
        self.port = url.port
        """Port bound; differs from the URL's when that is 0."""

    def open(self) -> None:
        """Bind. The buffer asked for is beyond the usual limit, which the notice then says."""
        family = socket.AF_INET6 if ":" in self.url.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            got = _enlarge(sock, self._receive_buffer)
            self.notice = ""
            if got < self._receive_buffer:
                self.notice = (
                    f"receive buffer is {got} of {self._receive_buffer} bytes: raise it with "
                    f"sysctl -w net.core.rmem_max={self._receive_buffer}"
                )
            try:
                sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
                sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            except OSError:
                self.notice = self.notice or "the kernel gives no arrival stamps or drop counts"
            if self.url.group:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.setsockopt(
                    socket.IPPROTO_IP,
                    socket.IP_ADD_MEMBERSHIP,
                    socket.inet_aton(self.url.group) + socket.inet_aton(self.url.host),
                )
                sock.bind((self.url.group, self.url.port))
            else:
                sock.bind((self.url.host, self.url.port))
        except OSError as error:
            sock.close()
            raise TransportError(_explain(error, self.url)) from error
        self.port = sock.getsockname()[1]
        self._socket = sock

    def receive(self, timeout: float) -> list[Datagram]:
        """Return up to a batch of waiting datagrams."""
        sock = self._socket
        if sock is None:
            raise TransportError(f"{self.url.text} is not open")
        if not self._wait(sock.fileno(), timeout):
            return []
        batch: list[Datagram] = []
        try:
            while len(batch) < _BATCH:
                data, ancillary, _, peer = sock.recvmsg(_LARGEST_DATAGRAM, 128)
                batch.append(Datagram(data, self._arrival(ancillary)))
                self._peer = peer
        except BlockingIOError:
            return batch
        except OSError as error:
            if not batch:
                raise TransportError(_explain(error, self.url)) from error
        return batch

    def _arrival(self, ancillary: list[tuple[int, int, bytes]]) -> float:
        arrival = math.nan
        for _, kind, value in ancillary:
            if kind == _SO_TIMESTAMPNS and len(value) >= 16:
                sec, nanosec = struct.unpack_from("@ll", value)
                arrival = sec + nanosec * 1e-9
            elif kind == _SO_RXQ_OVFL and len(value) >= 4:
                (self.kernel_drops,) = struct.unpack_from("@I", value)
        return arrival

    def send(self, data: bytes) -> None:
        """Send to whoever sent last."""
        if self._socket is None or self._peer is None:
            raise TransportError(f"{self.url.text}: nobody has sent yet, so there is no answerer")
        try:
            self._socket.sendto(data, self._peer)
        except OSError as error:
            raise TransportError(_explain(error, self.url)) from error

    def close(self) -> None:
        """Release the port."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        super().close()


class TcpTransport(Transport):
    """A connection to a sensor that listens."""

    is_stream = True
    CONNECT_TIMEOUT = 3.0

    def __init__(self, url: TransportUrl, receive_buffer: int) -> None:
        super().__init__(url)
        self._receive_buffer = receive_buffer
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Connect; a wait for an absent host ends when ``wake`` is called."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                self.url.host, self.url.port, type=socket.SOCK_STREAM
            )[0]
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            raise TransportError(_explain(error, self.url)) from error
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = sock.connect_ex(address)
            if code == errno.EINPROGRESS:
                code = self._connected(sock)
            if code:
                raise OSError(code, os.strerror(code))
        except OSError as error:
            sock.close()
            raise TransportError(_explain(error, self.url)) from error
        self._socket = sock

    def _connected(self, sock: socket.socket) -> int:
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        poll.register(sock, select.POLLOUT)
        ready = dict(poll.poll(self.CONNECT_TIMEOUT * 1000))
        if sock.fileno() not in ready:
            return errno.ETIMEDOUT
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def receive(self, timeout: float) -> list[Datagram]:
        """Return the next chunk of the stream."""
        sock = self._socket
        if sock is None:
            raise TransportError(f"{self.url.text} is not connected")
        if not self._wait(sock.fileno(), timeout):
            return []
        try:
            data = sock.recv(_LARGEST_DATAGRAM)
        except BlockingIOError:
            return []
        except OSError as error:
            raise TransportError(_explain(error, self.url)) from error
        if not data:
            raise TransportError(f"{self.url.text} closed the connection")
        return [Datagram(data, time.time())]

    def send(self, data: bytes) -> None:
        """Send all bytes, or fail within a second."""
        sock = self._socket  # the reading thread may close meanwhile
        if sock is None:
            raise TransportError(f"{self.url.text} is not connected")
        view = memoryview(data)
        poll = select.poll()
        deadline = time.monotonic() + 1.0
        try:
            poll.register(sock, select.POLLOUT)
            while view:
                left = deadline - time.monotonic()
                if left <= 0 or not poll.poll(left * 1000):
                    raise TransportError(f"{self.url.text} takes no bytes for 1 s")
                view = view[sock.send(view) :]
        except TransportError:
            raise
        except (OSError, ValueError) as error:
            # A socket closed by the reading thread has no descriptor, which is a ValueError.
            if isinstance(error, OSError):
                raise TransportError(_explain(error, self.url)) from error
            raise TransportError(f"{self.url.text} was closed") from error

    def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        super().close()


class SerialTransport(Transport):
    """A serial line, 8N1."""

    is_stream = True

    def __init__(self, url: TransportUrl) -> None:
        super().__init__(url)
        self._port: serial.Serial | None = None

    def open(self) -> None:
        """Open the line."""
        try:
            self._port = serial.Serial(
                self.url.path, self.url.baud, timeout=0, write_timeout=1.0, exclusive=True
            )
        except (serial.SerialException, OSError, ValueError) as error:
            raise TransportError(
                f"cannot open {self.url.path}: {error}; check the cable, the name and that this "
                "user is in the group dialout"
            ) from error

    def receive(self, timeout: float) -> list[Datagram]:
        """Return what has come in."""
        if self._port is None:
            raise TransportError(f"{self.url.text} is not open")
        if not self._wait(self._port.fileno(), timeout):
            return []
        try:
            data = self._port.read(_LARGEST_DATAGRAM)
        except (serial.SerialException, OSError) as error:
            raise TransportError(f"{self.url.path} is lost: {error}") from error
        if not data:
            # The line was readable and gave nothing: the device is gone.
            raise TransportError(f"{self.url.path} is lost: it was unplugged or hung up")
        return [Datagram(data, time.time())]

    def send(self, data: bytes) -> None:
        """Send all bytes, or fail within a second."""
        if self._port is None:
            raise TransportError(f"{self.url.text} is not open")
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise TransportError(f"{self.url.path}: {error}") from error

    def close(self) -> None:
        """Close the line."""
        if self._port is not None:
            self._port.close()
            self._port = None
        super().close()


TimeOfLine = Callable[[bytes], float]


class FileTransport(Transport):
    """Replays a capture: TheBox's own (arrival times kept), or a text file with a datagram a line.

    TheBox's capture is JSON lines: a first line ``{"thebox_capture": 1}``, then
    ``{"t": seconds, "data": base64}``. A text file has no arrival times: its lines are paced by the
    times they carry themselves (``time_of``), as far as these go forward, and come at once where
    there are none. A silence of over an hour is taken for a damaged time and not waited for.
    """

    can_wait = True

    def __init__(self, url: TransportUrl, time_of: TimeOfLine | None = None) -> None:
        super().__init__(url)
        self._time_of = time_of
        self._file: BinaryIO | None = None
        self._own = False
        self._newest = math.nan
        self._held: bytes | None = None
        self._due = 0.0
        self._empty = True

    def open(self) -> None:
        """Open the file at its beginning."""
        try:
            path = Path(self.url.path).expanduser()
            self._file = path.open("rb")
            self._rewind(time.monotonic())
        except (OSError, RuntimeError) as error:
            # expanduser raises RuntimeError for a user that is not known.
            raise TransportError(self._unreadable(error)) from error

    def _unreadable(self, error: Exception) -> str:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        return f"cannot read the capture {self.url.path}: {why}; check the path in 'source'"

    def _rewind(self, begin: float) -> None:
        assert self._file is not None  # noqa: S101 - narrows the type for mypy
        self._file.seek(0)
        self._own = _CAPTURE_MARK.encode() in self._file.readline(_LARGEST_DATAGRAM)
        if not self._own:
            self._file.seek(0)
        self._newest = math.nan
        self._due = begin
        self._empty = True

    def _next_line(self) -> bytes | None:
        """Read the next line, None at the end; ``_due`` is set to when it is to come."""
        assert self._file is not None  # noqa: S101 - narrows the type for mypy
        while line := self._file.readline(_LARGEST_DATAGRAM):
            line = line.rstrip(b"\r\n")
            if not line:
                continue
            if self._own:
                at, line = self._own_line(line)
            else:
                at = self._time_of(line) if self._time_of is not None else math.nan
            step = at - self._newest
            if step <= _LONGEST_PAUSE or (math.isnan(self._newest) and math.isfinite(at)):
                if step > 0:
                    self._due += step / self.url.rate
                self._newest = at if math.isnan(self._newest) else max(self._newest, at)
            self._empty = False
            return line
        return None

    @staticmethod
    def _own_line(line: bytes) -> tuple[float, bytes]:
        try:
            entry = json.loads(line)
            return float(entry["t"]), base64.b64decode(entry["data"], validate=True)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            # Hand the damaged line on: the parser counts it as rejected, nothing is lost.
            return math.nan, line

    def receive(self, timeout: float) -> list[Datagram]:
        """Return the lines that are due by now."""
        if self._file is None:
            raise TransportError(f"{self.url.text} is not open")
        batch: list[Datagram] = []
        try:
            while len(batch) < _BATCH:
                if self._held is None:
                    self._held = self._next_line()
                if self._held is None:
                    if batch:
                        return batch
                    if not self.url.loop or self._empty:  # an empty file would go round for ever
                        raise CaptureEnded
                    self._rewind(self._due + _LAP_PAUSE / self.url.rate)
                    continue
                wait = self._due - time.monotonic()
                if wait > 0:
                    if not batch:
                        self._wait(None, min(wait, timeout))
                    return batch
                batch.append(Datagram(self._held, math.nan))
                self._held = None
        except OSError as error:
            raise TransportError(self._unreadable(error)) from error
        return batch

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()


def open_transport(
    url: str, receive_buffer: int = 8_388_608, time_of: TimeOfLine | None = None
) -> Transport:
    """Make the transport that a URL names; it is not opened yet.

    Args:
        url: see :mod:`thebox_sensors.transport_url`.
        receive_buffer: bytes of socket buffer to ask for.
        time_of: the time in seconds that a line of a text capture carries, NaN for none.

    Raises:
        TransportUrlError: the URL is wrong.
    """
    parsed = parse_url(url)
    if parsed.scheme == "udp":
        return UdpTransport(parsed, receive_buffer)
    if parsed.scheme == "tcp":
        return TcpTransport(parsed, receive_buffer)
    if parsed.scheme == "serial":
        return SerialTransport(parsed)
    return FileTransport(parsed, time_of)
