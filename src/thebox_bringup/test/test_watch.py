# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What the graph shows of a node, as `up` takes it."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")
pytestmark = pytest.mark.graph


def test_a_node_that_is_only_starting_up_is_not_there_yet(domain: int) -> None:
    """Its first status has level OK and no values: `up` would tell an address not yet known."""
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

    from thebox_bringup.graph import NODES
    from thebox_bringup.watch import Watch

    panel = next(node for node in NODES if node.name == "panel")
    with Watch(domain, "/thebox") as watch:

        def say(message: str, *values: KeyValue) -> None:
            status = DiagnosticStatus(level=DiagnosticStatus.OK, name="panel: server")
            status.message, status.values = message, list(values)
            watch._on_diagnostics(DiagnosticArray(status=[status]))

        assert not watch.health(panel).seen
        say("Node starting up")
        assert watch.health(panel).problem(panel, silence_allowed=True) == "not seen yet"
        say("0 panels open", KeyValue(key="address", value="http://127.0.0.1:8080/"))
        health = watch.health(panel)
        assert health.problem(panel, silence_allowed=True) == ""
        assert (health.values or {})["address"] == "http://127.0.0.1:8080/"
