# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The limit that parsers and drivers are held against: Python's ``recvfrom`` and nothing else."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Sequence

_BURST = 64


def recvfrom_rate(datagrams: Sequence[bytes], seconds: float) -> float:
    """Return datagrams per second of processor time that a loop of recvfrom alone receives."""
    received = 0
    spent = 0.0
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source,
    ):
        sink.bind(("127.0.0.1", 0))
        sink.settimeout(5.0)
        address = sink.getsockname()
        burst = list(itertools.islice(itertools.cycle(datagrams), _BURST))
        while spent < seconds:
            for datagram in burst:
                source.sendto(datagram, address)
            began = time.process_time()
            for _ in burst:
                sink.recvfrom(65_536)
            spent += time.process_time() - began
            received += len(burst)
    return received / spent
