# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""A gimbal on a TCP socket, for the tests of the camera's driver."""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any

import pytest


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
