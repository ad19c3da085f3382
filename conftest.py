# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What holds for the tests of every package."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
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
