# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The package under test, also where the workspace is not built.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# A busy machine must not fail a test: speed is measured in benchmarks/.
settings.register_profile("thebox", deadline=None)
settings.load_profile("thebox")


@pytest.fixture
def domain() -> Iterator[int]:
    """A ROS domain that no other test has, in this process or another, on this machine."""
    folder = Path(tempfile.gettempdir()) / f"thebox-test-domains-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for number in range(10, 102):
        with (folder / str(number)).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield number
            return
    pytest.fail("every ROS domain from 10 to 101 is in use by a test")
