# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A small TCP server for simulated sensors: one thread, several clients, faults on command."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

# How often connections are asked for what they have to say of their own accord, seconds.
TICK = 0.01
# A client that reads nothing is cut off when this much waits for it, bytes.
BACKLOG_LIMIT = 1_000_000


class Session(ABC):
    """One client's conversation with a sensor; called from the server's thread only."""

    @abstractmethod
    def received(self, chunk: bytes) -> bytes:
        """Return the reply to the next bytes of the stream."""

    def spontaneous(self) -> bytes:
        """Return what the sensor says unasked by now."""
        return b""

    def closed(self) -> None:  # noqa: B027 - most sessions hold nothing
        """Take notice that the client has gone."""


@dataclass
class _Client:
    session: Session
    backlog: bytearray = field(default_factory=bytearray)


class TcpServer:
    """Serves sessions on an address until :meth:`stop`.

    :param open_session: makes the session of a new client.
    :param distort: what a fault makes of bytes on their way out.
    :raises OSError: when the address cannot be bound.
    """

    def __init__(
        self,
        host: str,
        port: int,
        open_session: Callable[[], Session],
        distort: Callable[[bytes], bytes] = lambda chunk: chunk,
    ) -> None:
        self._open_session = open_session
        self._distort = distort
        self._clients: dict[socket.socket, _Client] = {}
        self._stopping = threading.Event()
        self._drop = threading.Event()
        self._selector = selectors.DefaultSelector()
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind((host, port))
            self._listener.listen()
        except OSError:
            self._listener.close()
            self._selector.close()
            raise
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._broadcasts: deque[bytes] = deque(maxlen=1000)
        self.accepted = 0
        self.sent = 0
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name=f"tcp:{self.port}", daemon=True)
        self._thread.start()

    @property
    def clients(self) -> int:
        """Number of clients connected now."""
        return len(self._clients)

    def broadcast(self, chunk: bytes) -> None:
        """Say something to every client that is connected by the next tick."""
        self._broadcasts.append(chunk)

    def drop(self) -> None:
        """Cut all connections; clients may come back at once."""
        self._drop.set()

    def stop(self) -> None:
        """Cut all connections, free the address and end the thread."""
        self._stopping.set()
        self._thread.join()

    def _serve(self) -> None:
        spoken = 0.0
        try:
            while not self._stopping.is_set():
                for key, _ in self._selector.select(TICK):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket):
                        self._read(key.fileobj)
                if self._drop.is_set():
                    self._drop.clear()
                    self._close_all()
                if time.monotonic() - spoken >= TICK:
                    spoken = time.monotonic()
                    shared = self._shared()
                    for connection, client in list(self._clients.items()):
                        self._say(connection, client, shared + client.session.spontaneous())
        finally:
            self._close_all()
            self._selector.close()
            self._listener.close()

    def _shared(self) -> bytes:
        chunks = []
        while self._broadcasts:
            chunks.append(self._broadcasts.popleft())
        return b"".join(chunks)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._clients[connection] = _Client(self._open_session())
            self._selector.register(connection, selectors.EVENT_READ)
            self.accepted += 1

    def _read(self, connection: socket.socket) -> None:
        client = self._clients.get(connection)
        if client is None:
            return
        try:
            chunk = connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._close(connection)
            return
        self._say(connection, client, client.session.received(chunk))

    def _say(self, connection: socket.socket, client: _Client, chunk: bytes) -> None:
        client.backlog += self._distort(chunk)
        if not client.backlog:
            return
        try:
            count = connection.send(client.backlog)
        except BlockingIOError:
            count = 0
        except OSError:
            self._close(connection)
            return
        self.sent += count
        del client.backlog[:count]
        if len(client.backlog) > BACKLOG_LIMIT:
            self._close(connection)

    def _close(self, connection: socket.socket) -> None:
        client = self._clients.pop(connection, None)
        if client is not None:
            self._selector.unregister(connection)
            connection.close()
            client.session.closed()

    def _close_all(self) -> None:
        for connection in list(self._clients):
            self._close(connection)
