# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What holds for the tests of every package."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a failed test of a live graph once more; the summary names those that needed it.

    A graph shares the machine with whatever else runs there, and its discovery has time limits
    of its own. What fails twice is a fault. Tests without a graph get no second try.
    """
    for item in items:
        if item.get_closest_marker("graph") is not None:
            item.add_marker(pytest.mark.flaky(reruns=1))
