# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The book of open connections: how many, from where, and which of them ask for nothing. No ROS."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import Callable
from typing import Any, cast

__all__ = ["FIRST_REQUEST", "Connections"]

#: Seconds until a connection must have asked for something.
FIRST_REQUEST = 15.0


class Connections:
    """Bounds the connections of a server: ``most`` in all, half of them from one address.

    Args:
        most: connections that may be open.
        make: aiohttp's protocol for one more.
        refused: is told the reason and the text of each refusal.
    """

    def __init__(
        self, most: int, make: Callable[[], Any], refused: Callable[[str, str], None]
    ) -> None:
        self._most = most
        self._make = make
        self._refused = refused
        self._open: dict[asyncio.BaseTransport, tuple[str, float]] = {}
        self._asked: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()

    def __len__(self) -> int:
        return len(self._open)

    def connected(self) -> asyncio.BaseProtocol:
        """The protocol for a new connection; for asyncio's ``create_server``."""
        if len(self._open) >= self._most:
            self._refused("connections", f"{self._most} connections are open")
            return _Turned()
        return self._watched(self._make())

    def asked(self, transport: asyncio.BaseTransport | None) -> None:
        """A request came over this connection."""
        if transport is not None:
            self._asked.add(transport)

    def end_idle(self) -> None:
        """Close the connections that have asked for nothing for too long."""
        now = time.monotonic()
        for transport, (_, since) in list(self._open.items()):
            if transport.is_closing():
                self._open.pop(transport, None)
            elif transport not in self._asked and now - since > FIRST_REQUEST:
                self._refused("idle", "a connection asked for nothing")
                cast(asyncio.Transport, transport).abort()

    def _watched(self, protocol: Any) -> asyncio.BaseProtocol:
        """Keep the book around aiohttp's own protocol."""
        made, lost = protocol.connection_made, protocol.connection_lost

        def connection_made(transport: asyncio.BaseTransport) -> None:
            peer = str((transport.get_extra_info("peername") or ("",))[0])
            from_there = sum(1 for address, _ in self._open.values() if address == peer)
            if from_there >= max(1, self._most // 2):
                self._refused("connections", f"{from_there} connections are open from {peer}")
                cast(asyncio.Transport, transport).abort()
                return
            self._open[transport] = (peer, time.monotonic())
            made(transport)

        def connection_lost(error: Exception | None) -> None:
            transport = protocol.transport
            if transport is not None:
                self._open.pop(transport, None)
                lost(error)

        # aiohttp's class has slots for all but methods: wrapped in an object of our own.
        return _Wrapped(protocol, connection_made, connection_lost)


class _Turned(asyncio.Protocol):
    """Turns a connection away."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        answer = (
            b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        transport = cast(asyncio.Transport, transport)
        with contextlib.suppress(Exception):
            transport.write(answer)
        transport.close()


class _Wrapped(asyncio.Protocol):
    """aiohttp's protocol with its first and last call led past us."""

    def __init__(
        self,
        inner: Any,
        made: Callable[[asyncio.BaseTransport], None],
        lost: Callable[[Exception | None], None],
    ) -> None:
        self._inner = inner
        self._made = made
        self._lost = lost
        # Called for every chunk and drain: straight to aiohttp.
        for name in ("data_received", "eof_received", "pause_writing", "resume_writing"):
            setattr(self, name, getattr(inner, name))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost(error)
