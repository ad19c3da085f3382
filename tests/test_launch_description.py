# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The launch file under the launch library, where the machine has it (a ROS distribution)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not here: it comes with a distribution")

LAUNCH_FILE = Path(__file__).resolve().parents[1] / "src/thebox_bringup/launch/thebox.launch.py"


@pytest.fixture
def launch_module() -> Any:
    specification = importlib.util.spec_from_file_location("thebox_launch", LAUNCH_FILE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _nodes(module: Any, **given: str) -> list[Any]:
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    context = LaunchContext()
    context.launch_configurations.update(given)
    made: list[Any] = []
    for entity in module.generate_launch_description().entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
        elif isinstance(entity, OpaqueFunction):
            made.extend(entity.execute(context) or [])
    return made


def test_describes_every_argument(launch_module: Any) -> None:
    described = launch_module.generate_launch_description().get_launch_arguments()
    assert {argument.name for argument in described} >= {
        "config",
        "namespace",
        "sensors",
        "sim",
        "scenario",
        "composed",
        "log_level",
        "use_sim_time",
    }
    assert all(argument.description for argument in described)


def test_one_process_a_node_each_started_again(launch_module: Any) -> None:
    nodes = _nodes(launch_module, sim="true")
    assert {node.node_executable for node in nodes} >= {"droneshield", "fusion", "markers", "sky"}
    # Upstream's bridge stands beside the box's own nodes where the machine has it.
    assert all(node.node_package.startswith(("thebox_", "rosbridge_")) for node in nodes)


def test_composed_is_one_process_and_the_sky_stays_outside(launch_module: Any) -> None:
    nodes = _nodes(launch_module, sim="true", composed="true")
    executables = [node.node_executable for node in nodes]
    # The bridge is no node of ours: where there is one, it has its own process.
    assert sorted(set(executables) - {"rosbridge_websocket"}) == ["composed", "sky"]
    assert len(executables) == len(set(executables))


def test_without_sim_there_is_no_sky(launch_module: Any) -> None:
    nodes = _nodes(launch_module)
    assert "sky" not in {node.node_executable for node in nodes}
