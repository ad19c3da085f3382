# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Sends recorded raw bytes to the drivers, as the sensors did: UDP datagrams, TCP connections."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from typing import Any

from thebox_bringup.graph import NODES, SOURCE
from thebox_bringup.recording.bag import BagError
from thebox_sensors.transport import TransportUrlError, parse_url

__all__ = ["Feed", "sources"]


class Feed:
    """One driver's source, from the sensor's side.

    Args:
        url: the driver's parameter ``source``: udp (it listens) or tcp (it connects).

    Raises:
        BagError: bytes cannot be sent there.
    """

    def __init__(self, sensor: str, url: str) -> None:
        self.sensor = sensor
        self.sent = 0
        self.lost = 0
        try:
            parsed = parse_url(url)
        except TransportUrlError as error:
            raise BagError(f"{sensor}: {error}") from None
        if parsed.scheme not in ("udp", "tcp"):
            raise BagError(
                f"{sensor}: bytes can be sent to udp:// and tcp:// sources, not to {url}"
            )
        host = "127.0.0.1" if parsed.host in ("0.0.0.0", "::") else parsed.host  # noqa: S104
        self._address = (host, parsed.port)
        self._client: socket.socket | None = None
        self._server: socket.socket | None = None
        self._lock = threading.Lock()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            if parsed.scheme == "udp":
                self._client = socket.socket(family, socket.SOCK_DGRAM)
                return
            self._server = socket.create_server(self._address, family=family)
        except OSError as error:
            raise BagError(f"{sensor}: cannot serve {url}: {error.strerror}") from None
        threading.Thread(target=self._accept, name=f"feed-{sensor}", daemon=True).start()

    def _accept(self) -> None:
        assert self._server is not None  # noqa: S101 - narrows the type for mypy
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            client.settimeout(1.0)
            with self._lock:
                if self._client is not None:
                    self._client.close()
                self._client = client

    def send(self, data: bytes) -> None:
        """Send a datagram, or the next chunk of a stream; without a listener it is lost."""
        with self._lock:
            client = self._client
            try:
                if client is None:
                    self.lost += 1
                elif self._server is None:
                    client.sendto(data, self._address)
                    self.sent += 1
                else:
                    client.sendall(data)
                    self.sent += 1
            except OSError:
                self.lost += 1
                if self._server is not None and client is not None:
                    client.close()
                    self._client = None

    def begin_connection(self) -> None:
        """Cut a stream, so that the driver connects anew."""
        with self._lock:
            if self._server is not None and self._client is not None:
                self._client.close()
                self._client = None

    def close(self) -> None:
        """Release the sockets."""
        with self._lock:
            for each in (self._client, self._server):
                if each is not None:
                    with contextlib.suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)
                    each.close()
            self._client = self._server = None


def sources(given: Mapping[str, str], recorded: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Where each driver listens: as given, else as recorded, else by its own default."""
    found: dict[str, str] = {}
    for node in NODES:
        if node.group != "sensor":
            continue
        default = next(p.default for p in node.load_parameters() if p.name == SOURCE)
        found[node.name] = str(recorded.get(node.name, {}).get(SOURCE, default))
    return {**found, **given}
