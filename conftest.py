# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What holds for the tests of every package."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a failed test of a live graph once more; the summary names those that needed it.

    A graph shares the machine with whatever else runs there, and its discovery has time limits
    of its own. What fails twice is a fault. Tests without a graph get no second try.
    """
    for item in items:
        live = {"domain", "module_domain"} & set(getattr(item, "fixturenames", ()))
        if live or item.get_closest_marker("graph") is not None:
            item.add_marker(pytest.mark.flaky(reruns=1))


def _take_domain() -> Iterator[int]:
    """A ROS domain that no other test has, in this process or another, on this machine.

    Domains up to 101 have their ports below Linux's ephemeral ones; the first ten are left to
    people.
    """
    folder = Path(tempfile.gettempdir()) / f"thebox-test-domains-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for number in range(10, 102):
        lock = (folder / str(number)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        with lock:
            yield number
        return
    pytest.fail("every ROS domain from 10 to 101 is in use by a test")


domain = pytest.fixture(_take_domain, name="domain")
module_domain = pytest.fixture(_take_domain, scope="module", name="module_domain")


# Above what Linux gives to sockets that name no port, and the ports of the domains above: a port
# that was free when a test asked for it must still be free when its node takes it, and every
# participant of every graph takes some of those.
_PORTS = range(61000, 65536)


class FreePorts:
    """Gives UDP ports of the loopback that are free; each call another."""

    def __init__(self) -> None:
        self._given: set[int] = set()

    def __call__(self) -> int:
        for port in random.sample(_PORTS, len(_PORTS)):
            if port in self._given:
                continue
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            self._given.add(port)
            return port
        pytest.fail(f"no free UDP port from {_PORTS.start} to {_PORTS.stop - 1}")


@pytest.fixture(scope="module")
def free_port() -> Callable[[], int]:
    """Gives UDP ports of the loopback that are free; each call another."""
    return FreePorts()
