# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Every managed node of the graph, a hundred times round its life cycle: nothing may be left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

from thebox_bringup.graph import KEEPING, NODES, SOURCE, NodeSpec

pytestmark = pytest.mark.graph

MANAGED = [spec for spec in NODES if spec.managed]


@pytest.mark.parametrize("spec", MANAGED, ids=[spec.name for spec in MANAGED])
def test_a_hundred_times_round_the_life_cycle(
    spec: NodeSpec, live: Any, tmp_path: Path, circle_a_hundred_times: Callable[[Any], None]
) -> None:
    parameters: dict[str, Any] = {"autostart": False}
    if spec.group == "sensor":
        # A port of its own, and for the camera one that nobody listens on.
        parameters[SOURCE] = "tcp://127.0.0.1:9" if spec.name == "trakka" else "udp://127.0.0.1:0"
    if spec.name in KEEPING:
        name, place = KEEPING[spec.name]
        parameters[name] = str(tmp_path / place)
    circle_a_hundred_times(live.start(spec.load_class(), **parameters))
