# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The box under ros2 launch: the graph of thebox_bringup.graph as launch_ros actions."""

from __future__ import annotations

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.logging import launch_config
from launch_ros.actions import Node

from thebox_bringup.graph import NAMESPACE, NODES, PlannedProcess
from thebox_bringup.layout import Layout, Wanted, lay_out
from thebox_bringup.settings import write_file
from thebox_bringup.site import read as read_site
from thebox_bringup.transport import transport

#: Seconds until a node that ended is started again.
RESPAWN_DELAY = 2.0

_YES_NO = ["true", "false"]
_SENSORS = ",".join(node.name for node in NODES if node.group == "sensor")


def arguments() -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(
            "config",
            default_value=os.environ.get("THEBOX_CONFIG", ""),
            description="Parameter file of this site.",
        ),
        DeclareLaunchArgument(
            "namespace",
            default_value=os.environ.get("THEBOX_NAMESPACE") or NAMESPACE,
            description="Namespace of the box.",
        ),
        DeclareLaunchArgument(
            "sensors",
            default_value=os.environ.get("THEBOX_SENSORS") or _SENSORS,
            description="Sensors to run, joined by commas.",
        ),
        DeclareLaunchArgument(
            "sim", default_value="false", choices=_YES_NO, description="Play the simulated sky."
        ),
        DeclareLaunchArgument(
            "scenario", default_value="", description="Scenario of the simulated sky."
        ),
        DeclareLaunchArgument("seed", default_value="", description="Seed of the simulated sky."),
        DeclareLaunchArgument(
            "composed",
            default_value="false",
            choices=_YES_NO,
            description="The box's nodes in one process.",
        ),
        DeclareLaunchArgument(
            "log_level",
            default_value="info",
            choices=["debug", "info", "warn", "error", "fatal"],
            description="Log level of every node.",
        ),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="false",
            choices=_YES_NO,
            description="Take the time from /clock, as for the replay of a bag.",
        ),
        DeclareLaunchArgument(
            "set",
            default_value="",
            description="Single parameters over every file: node.parameter=value, joined by ;.",
        ),
    ]


def wanted(context: LaunchContext) -> Wanted:
    given = {
        argument.name: context.launch_configurations[argument.name] for argument in arguments()
    }
    return Wanted(
        namespace=given["namespace"],
        sensors=tuple(name.strip() for name in given["sensors"].split(",") if name.strip()),
        simulated=given["sim"] == "true",
        composed=given["composed"] == "true",
        config=Path(given["config"]) if given["config"] else None,
        scenario=given["scenario"] or None,
        seed=int(given["seed"]) if given["seed"] else None,
        settings=tuple(part for part in given["set"].split(";") if part),
        use_sim_time=given["use_sim_time"] == "true",
        # What runs ros2 launch (systemd, Docker) gives it the site's .env as its environment.
        site=read_site(Path(os.devnull)),
    )


def action(process: PlannedProcess, layout: Layout, overrides: str, log_level: str) -> Node:
    alone = len(process.nodes) == 1 and not process.arguments
    return Node(
        package=process.package,
        executable=process.executable,
        # A name would rename every node of a process that holds several.
        name=process.name if alone else None,
        namespace=layout.namespace,
        arguments=list(process.arguments),
        ros_arguments=[
            *(
                part
                for node in process.nodes
                for old, new in node.remappings
                for part in ("-r", f"{node.spec.name}:{old}:={new}")
            ),
            "--log-level",
            log_level,
        ],
        parameters=[*layout.parameter_files, overrides],
        output="screen",
        emulate_tty=False,
        respawn=True,
        respawn_delay=RESPAWN_DELAY,
    )


def start(context: LaunchContext) -> list[Node]:
    layout = lay_out(wanted(context))
    # Beside the logs of this launch, where it documents the run.
    overrides = str(Path(launch_config.log_dir) / "thebox_overrides.yaml")
    write_file(Path(overrides), layout.namespace, layout.overrides)
    log_level = context.launch_configurations["log_level"]
    return [action(process, layout, overrides, log_level) for process in layout.processes]


def transports() -> list[SetEnvironmentVariable]:
    """Fast DDS over UDP alone, unless the site says otherwise."""
    return [SetEnvironmentVariable(*variable) for variable in transport(os.environ).items()]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*arguments(), *transports(), OpaqueFunction(function=start)])
