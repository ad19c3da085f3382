# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The URLs by which transports are chosen. No ROS in here.

==========================================  ====================================================
``udp://HOST:PORT``                         bind; ``?group=ADDRESS`` joins a multicast group
``tcp://HOST:PORT``                         connect as a client
``serial:///dev/ttyUSB0?baud=115200``       open a serial line
``file:///PATH?rate=1.0&loop=false``        replay a capture; ``rate=max`` as fast as possible
==========================================  ====================================================
"""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

__all__ = ["TransportUrl", "TransportUrlError", "parse_url"]


class TransportUrlError(ValueError):
    """A URL that names no transport; the text says what is wrong with it."""


@dataclass(frozen=True)
class TransportUrl:
    """A transport URL taken apart."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    group: str = ""
    baud: int = 115_200
    rate: float = 1.0
    loop: bool = False

    @property
    def text(self) -> str:
        """Short text for the operator."""
        if self.scheme in ("udp", "tcp"):
            host = f"[{self.host}]" if ":" in self.host else self.host
            return f"{self.scheme}://{host}:{self.port}"
        return f"{self.scheme}://{self.path}"


def parse_url(url: str) -> TransportUrl:
    """Take a transport URL apart.

    Raises:
        TransportUrlError: with what is wrong and an example of what is right.
    """
    example = "use udp://0.0.0.0:8888, tcp://host:port, serial:///dev/ttyUSB0 or file:///capture"
    try:
        # urlsplit drops some control characters without a word.
        if not url.isprintable():
            raise ValueError("it holds a character that cannot be printed")
        parts = urlsplit(url, allow_fragments=False)
        port = parts.port
        options = {
            key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()
        }
    except ValueError as error:
        raise TransportUrlError(f"{url!r} is no transport URL: {error}; {example}") from None
    allowed = {
        "udp": {"group"},
        "tcp": set[str](),
        "serial": {"baud"},
        "file": {"rate", "loop"},
    }.get(parts.scheme)
    if allowed is None:
        raise TransportUrlError(f"'{url}' names no known transport; {example}")
    unknown = sorted(set(options) - allowed)
    if unknown:
        raise TransportUrlError(
            f"'{url}': {parts.scheme} has no option '{unknown[0]}'"
            + (f"; it knows {', '.join(sorted(allowed))}" if allowed else "")
        )
    try:
        if parts.scheme in ("udp", "tcp"):
            return _network_url(parts, port, options)
        return _path_url(parts, options)
    except ValueError as error:
        raise TransportUrlError(f"'{url}': {error}; {example}") from None


def _network_url(parts: SplitResult, port: int | None, options: dict[str, str]) -> TransportUrl:
    if not parts.hostname or port is None:
        raise ValueError("a host and a port are needed")
    if parts.path not in ("", "/") or "@" in parts.netloc:
        raise ValueError("nothing but a host and a port may stand before the options")
    if port == 0 and parts.scheme == "tcp":
        raise ValueError("port 0 cannot be connected to")
    parts.hostname.encode("idna")  # what the socket module will do; raises UnicodeError
    group = options.get("group", "")
    if "group" in options:
        if not ipaddress.IPv4Address(group).is_multicast:
            raise ValueError(f"group {group} is no multicast address (224.x.x.x to 239.x.x.x)")
        # The host names the network interface that joins.
        ipaddress.IPv4Address(parts.hostname)
    return TransportUrl(parts.scheme, parts.hostname, port, group=group)


def _path_url(parts: SplitResult, options: dict[str, str]) -> TransportUrl:
    path = unquote(parts.netloc + parts.path)
    if not path or "\0" in path:
        raise ValueError("a path is needed")
    baud = int(options.get("baud", "115200"))
    text = options.get("rate", "1.0")
    rate = math.inf if text == "max" else float(text)
    if not 0 < baud <= 10_000_000 or not rate >= 0.001:
        raise ValueError("baud must be above 0, rate at least 0.001 (or rate=max)")
    loop = options.get("loop", "false")
    if loop not in ("true", "false"):
        raise ValueError("loop is true or false")
    return TransportUrl(parts.scheme, path=path, baud=baud, rate=rate, loop=loop == "true")
