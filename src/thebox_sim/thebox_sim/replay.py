# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Sends a captured file of DroneShield datagrams again, at life speed, a multiple, or flat out.

A capture holds one datagram a line: JSON, or a Python literal. Each line is sent as the bytes it
is, a damaged one too. The pace comes from the records' own stamps (``EpochTimeMilliSeconds``),
which are whole seconds, out of order and repeated: file order is kept, time is the running maximum
of the stamps, and the lines of one such second are spread evenly over it.
"""

from __future__ import annotations

import argparse
import math
import re
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

# Works on damaged lines and on both dialects, which a parser would not.
_EPOCH = re.compile(rb"""["']EpochTimeMilliSeconds["']\s*:\s*(\d{1,15})\b(?!\s*$)""")
# A jump of the stamps beyond this is a clock set anew, not a pause worth waiting for; seconds.
LONGEST_GAP = 60.0


class CaptureError(ValueError):
    """The capture cannot be replayed; says why."""


@dataclass(frozen=True)
class Datagram:
    """One line of a capture: its bytes and when it is due, in seconds since the first."""

    due: float
    payload: bytes


def read_capture(path: Path) -> list[Datagram]:
    """Read a capture and lay its lines out in time.

    :raises CaptureError: when the file cannot be read or holds no line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CaptureError(f"cannot read {path}: {error.strerror}") from error
    lines = [line.rstrip(b"\r") for line in content.split(b"\n")]
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise CaptureError(f"{path} holds no line to send")
    return lay_out(lines)


def lay_out(lines: Sequence[bytes]) -> list[Datagram]:
    """Return the lines with the times that they are due, in file order."""
    seconds: list[float] = []
    newest, shift, first = -math.inf, 0.0, math.nan
    for line in lines:
        match = _EPOCH.search(line)
        if match is not None:
            stamp = int(match.group(1)) / 1000.0
            if math.isnan(first):
                first = newest = stamp
            elif stamp - newest > LONGEST_GAP:
                # Keep one second of the jump and drop the rest from the time line.
                shift += stamp - newest - 1.0
                newest = stamp
            newest = max(newest, stamp)
        seconds.append(0.0 if math.isnan(first) else newest - first - shift)
    datagrams: list[Datagram] = []
    start = 0
    while start < len(lines):
        end = start
        while end < len(lines) and seconds[end] == seconds[start]:
            end += 1
        following = seconds[end] if end < len(lines) else seconds[start] + 1.0
        # Lines of one second fill that second, not the silence after it.
        span = min(1.0, following - seconds[start])
        for index in range(start, end):
            due = seconds[start] + span * (index - start) / (end - start)
            datagrams.append(Datagram(due, lines[index]))
        start = end
    return datagrams


def parse_target(url: str) -> tuple[str, int]:
    """Return (host, port) of ``udp://host:port``.

    :raises ValueError: says what the address should look like.
    """
    wanted = f"'{url}' is not an address to send to; write udp://HOST:PORT"
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(wanted) from error
    if parts.scheme != "udp" or not host or not port or parts.path not in ("", "/"):
        raise ValueError(wanted)
    return host, port


def parse_rate(text: str) -> float:
    """Return a rate: a number above 0, or infinity for ``max``.

    :raises ValueError: says what a rate looks like.
    """
    if text == "max":
        return math.inf
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not (rate > 0.0 and math.isfinite(rate)):
        raise ValueError(f"'{text}' is not a rate; write a number above 0, or max")
    return rate


def replay(
    datagrams: Sequence[Datagram],
    target: tuple[str, int],
    rate: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Send the datagrams once; return how many were sent.

    :param rate: 1 for life speed, infinity for as fast as the socket takes them.
    :raises OSError: when the target does not resolve or the kernel refuses to send.
    """
    family, _, _, _, address = socket.getaddrinfo(*target, type=socket.SOCK_DGRAM)[0]
    sent = 0
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        start = clock()
        for datagram in datagrams:
            if math.isfinite(rate):
                wait = start + datagram.due / rate - clock()
                if wait > 0.0:
                    sleep(wait)
            sender.sendto(datagram.payload, address)
            sent += 1
    return sent


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="replay", description="Send a captured file of datagrams again."
    )
    parser.add_argument("file", type=Path, help="capture: one datagram a line")
    parser.add_argument("--to", default="udp://127.0.0.1:8888", help="udp://HOST:PORT")
    parser.add_argument("--rate", default="1.0", help="1.0 is life speed; a multiple; or max")
    parser.add_argument("--loop", action="store_true", help="begin again after the last datagram")
    options = parser.parse_args(argv)
    try:
        target, rate = parse_target(options.to), parse_rate(options.rate)
    except ValueError as error:
        parser.error(str(error))
    sent, start = 0, time.monotonic()
    status = 0
    try:
        datagrams = read_capture(options.file)
        while True:
            sent += replay(datagrams, target, rate)
            if not options.loop:
                break
            if math.isfinite(rate):
                # The last second of the capture, before the first one comes again.
                time.sleep(max(0.0, 1.0 / rate / len(datagrams)))
    except CaptureError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"replay: cannot send to {options.to}: {error.strerror}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    print(f"{sent} datagrams sent in {time.monotonic() - start:.1f} s")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
