# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The graph, described once, as data. No ROS.

The launch file, the bare-machine runner, the composed process, the parameter file and the
reference are all made from :data:`NODES`; a node more is one entry more.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "BRIDGE",
    "COMPOSED",
    "KEEPING",
    "NAMESPACE",
    "NODES",
    "PANEL",
    "REPLAYED",
    "REPLAY_PARAMETERS",
    "SIMULATION",
    "SIMULATION_PARAMETERS",
    "SOURCE",
    "TRACKS",
    "GraphError",
    "NodeSpec",
    "PlannedNode",
    "PlannedProcess",
    "Selection",
    "expected_nodes",
    "plan",
    "processes",
    "ros_arguments",
    "spec",
]

Group = Literal["sensor", "processing", "support", "simulation"]

#: Namespace of the box, unless it is told another.
NAMESPACE = "/thebox"
#: Where the last enabled stage of the chain publishes.
TRACKS = "tracks"
#: Name of the process that holds the composed nodes.
COMPOSED = "composed"


class GraphError(ValueError):
    """A graph that cannot be; the text says why and what is possible."""


@dataclass(frozen=True)
class NodeSpec:
    """One node of the graph.

    Attributes:
        name: name in the ROS graph, of the process and of the parameter section.
        package, executable: as for ``ros2 run``.
        node_class: ``module:Class``, for composition.
        group: sensor, processing, support or simulation.
        purpose: a few words for the operator.
        parameters: ``module:attribute`` of its declarations; the class's PARAMETERS by default.
        managed: whether it is a life-cycle node (which reports its state in its diagnostics).
        reports: whether it publishes diagnostics at all.
        stage: place in the chain of stages that hand tracks on; None for no stage.
        stage_input, stage_output: the stage's own topic names, which the chain rule remaps.
        foreign: whether it is another project's node: it gets its name by a remapping, and a
            process of its own.
        optional: whether it runs only when it is asked for.
    """

    name: str
    package: str
    executable: str
    node_class: str
    group: Group
    purpose: str
    parameters: str = ""
    managed: bool = True
    reports: bool = True
    stage: int | None = None
    stage_input: str = ""
    stage_output: str = ""
    foreign: bool = False
    optional: bool = False

    def load_class(self) -> Any:
        """Import the node's class.

        Raises:
            ImportError: its package is not built or not sourced.
        """
        return _load(self.node_class)

    def load_parameters(self) -> tuple[Any, ...]:
        """Import the node's declarations (thebox_core.parameters.Parameter), common ones first.

        Raises:
            ImportError: its package is not built or not sourced.
        """
        if self.parameters:
            declared = tuple(_load(self.parameters))
        else:
            declared = tuple(self.load_class().PARAMETERS)
        common = _load("thebox_core.node:COMMON_PARAMETERS") if self.managed else ()
        return (*common, *declared)


def _load(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


#: Every node there is, in the order in which an operator reads them.
NODES: tuple[NodeSpec, ...] = (
    NodeSpec(
        name="droneshield",
        package="thebox_sensors",
        executable="droneshield",
        node_class="thebox_sensors.droneshield.node:DroneShield",
        group="sensor",
        purpose="DroneShield RF detector",
    ),
    NodeSpec(
        name="silvus",
        package="thebox_sensors",
        executable="silvus",
        node_class="thebox_sensors.silvus.node:Silvus",
        group="sensor",
        purpose="Silvus radios: RF spectrum, angle of arrival",
    ),
    NodeSpec(
        name="mara",
        package="thebox_sensors",
        executable="mara",
        node_class="thebox_sensors.mara.node:Mara",
        group="sensor",
        purpose="MARA Spotter: EO, IR, acoustic",
    ),
    NodeSpec(
        name="dspnor",
        package="thebox_sensors",
        executable="dspnor",
        node_class="thebox_sensors.dspnor.node:Dspnor",
        group="sensor",
        purpose="Dspnor Dronnur-2D radar",
    ),
    NodeSpec(
        name="trakka",
        package="thebox_sensors",
        executable="trakka",
        node_class="thebox_sensors.trakka.node:Trakka",
        group="sensor",
        purpose="Trakka TC-300 gimbal camera",
    ),
    NodeSpec(
        name="ownship",
        package="thebox_sensors",
        executable="ownship",
        node_class="thebox_sensors.ownship.node:Navigation",
        group="sensor",
        purpose="own-ship position and heading",
    ),
    NodeSpec(
        name="fusion",
        package="thebox_fusion",
        executable="fusion",
        node_class="thebox_fusion.node:Fusion",
        group="processing",
        purpose="detections to tracks",
        stage=1,
        stage_output="tracks/fused",
    ),
    NodeSpec(
        name="range",
        package="thebox_fusion",
        executable="range",
        node_class="thebox_fusion.range_node:RangeNode",
        group="processing",
        purpose="range of tracks that no sensor ranges",
        stage=2,
        stage_input="tracks/fused",
        stage_output="tracks/ranged",
    ),
    NodeSpec(
        name="vision",
        package="thebox_vision",
        executable="vision",
        node_class="thebox_vision.node:Vision",
        group="processing",
        purpose="the camera verifies tracks",
        parameters="thebox_vision.vision_parameters:VISION_PARAMETERS",
        stage=3,
        stage_input="tracks/ranged",
        stage_output="tracks",
    ),
    NodeSpec(
        name="dronedb",
        package="thebox_fusion",
        executable="dronedb",
        node_class="thebox_fusion.dronedb_node:DroneDB",
        group="support",
        purpose="history, events, zones",
    ),
    NodeSpec(
        name="recorder",
        package="thebox_bringup",
        executable="recorder",
        node_class="thebox_bringup.recording.blackbox:Recorder",
        group="support",
        purpose="the last minutes, saved at an alert",
    ),
    NodeSpec(
        name="markers",
        package="thebox_bringup",
        executable="markers",
        node_class="thebox_bringup.markers:Markers",
        group="support",
        purpose="tracks for rviz2 and Foxglove",
        managed=False,
    ),
    NodeSpec(
        name="rosbridge",
        package="rosbridge_server",
        executable="rosbridge_websocket",
        node_class="rosbridge_server.rosbridge_websocket:RosbridgeWebsocketNode",
        group="support",
        purpose="rosbridge v2, for the panel",
        parameters="thebox_webui.parameters:BRIDGE",
        managed=False,
        reports=False,
        foreign=True,
    ),
    NodeSpec(
        name="panel",
        package="thebox_webui",
        executable="panel",
        node_class="thebox_webui.node:Panel",
        group="support",
        purpose="the operator's panel, health and metrics over HTTP",
        parameters="thebox_webui.parameters:PANEL",
        managed=False,
    ),
    NodeSpec(
        name="foxglove",
        package="thebox_webui",
        executable="foxglove",
        node_class="thebox_webui.foxglove_node:Foxglove",
        group="support",
        purpose="the topics for Foxglove, where there is no foxglove_bridge; only when asked for",
        parameters="thebox_webui.parameters:FOXGLOVE",
        managed=False,
        optional=True,
    ),
    NodeSpec(
        name="sim",
        package="thebox_sim",
        executable="sky",
        node_class="thebox_sim.node:SimNode",
        group="simulation",
        purpose="simulated sky",
        parameters="thebox_sim.parameters:PARAMETERS",
        managed=False,
    ),
)


#: Parameter of every driver that says where its bytes come from.
SOURCE = "source"
#: The simulated sky's node. Its parameters for a sensor are ``<sensor>.enabled``,
#: ``<sensor>.host`` and ``<sensor>.port``, where <sensor> is the driver's node name.
SIMULATION = "sim"

#: What a simulated sky and a replayed capture need over the parameter file: the simulated units
#: are fixed to the own-ship, and the radar's control is on this machine; the capture has no
#: own-ship, and its angles are given as absolute ones.
SIMULATION_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "droneshield": {"bearing_reference": "bow"},
    "mara": {"bearing_reference": "bow"},
    "dspnor": {"control.address": "127.0.0.1"},
    "trakka": {
        "video.source": "http://127.0.0.1:51556/",
        # Of the simulated camera at a zoom of 1: 30 degrees.
        "field_of_view": 0.5235987755982988,
        # Thirtyfold.
        "field_of_view_least": 0.017863,
    },
}
#: Nodes that keep something beyond the run: the parameter that says where, and what it is called
#: in the folder that ``up`` gives.
KEEPING: Mapping[str, tuple[str, str]] = {
    "dronedb": ("path", "dronedb.sqlite"),
    "recorder": ("folder", "recordings"),
}
#: The bridge and the panel's server, which must know of each other.
BRIDGE, PANEL = "rosbridge", "panel"
#: The driver that a replayed capture feeds.
REPLAYED = "droneshield"
REPLAY_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    REPLAYED: {"bearing_reference": "true"},
}


@dataclass(frozen=True)
class Selection:
    """Which part of the graph is wanted.

    Attributes:
        sensors: names of the sensor nodes; None for all.
        simulation: whether the simulated sky plays.
        without: names of other nodes to leave out.
        extra: names of optional nodes to run.
    """

    sensors: tuple[str, ...] | None = None
    simulation: bool = True
    without: frozenset[str] = field(default_factory=frozenset)
    extra: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class PlannedNode:
    """A node that is to run, with the topics that the chain rule gives it."""

    spec: NodeSpec
    remappings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class PlannedProcess:
    """A process that is to run: one node, or several composed."""

    name: str
    package: str
    executable: str
    nodes: tuple[PlannedNode, ...]
    #: Arguments before ``--ros-args``.
    arguments: tuple[str, ...] = ()


def spec(name: str, nodes: Iterable[NodeSpec] = NODES) -> NodeSpec:
    """The node of that name.

    Raises:
        GraphError: there is none; the text lists those there are.
    """
    known = {node.name: node for node in nodes}
    try:
        return known[name]
    except KeyError:
        raise GraphError(
            f"there is no node '{name}'; the nodes are {', '.join(sorted(known))}"
        ) from None


def plan(selection: Selection, nodes: Sequence[NodeSpec] = NODES) -> tuple[PlannedNode, ...]:
    """The nodes that are to run, each with its remappings.

    The chain rule: each enabled stage reads what the enabled stage before it publishes, and the
    last one publishes ``tracks``.

    Raises:
        GraphError: a name that is no sensor, or a stage's input that nothing publishes.
    """
    sensors = [node.name for node in nodes if node.group == "sensor"]
    for name in selection.sensors or ():
        if name not in sensors:
            raise GraphError(f"'{name}' is no sensor; the sensors are {', '.join(sensors)}")
    for name in selection.without | selection.extra:
        spec(name, nodes)

    def wanted(node: NodeSpec) -> bool:
        if node.name in selection.without or (node.optional and node.name not in selection.extra):
            return False
        if node.group == "sensor":
            return selection.sensors is None or node.name in selection.sensors
        if node.group == "simulation":
            return selection.simulation
        return True

    chosen = [node for node in nodes if wanted(node)]
    stages = sorted(
        (node for node in chosen if node.stage is not None), key=lambda node: node.stage or 0
    )
    renamed: dict[str, list[tuple[str, str]]] = {node.name: [] for node in chosen}
    previous = ""
    for stage in stages:
        if stage.stage_input:
            if not previous:
                raise GraphError(
                    f"'{stage.name}' reads {stage.stage_input}, which no enabled node publishes"
                )
            if stage.stage_input != previous:
                renamed[stage.name].append((stage.stage_input, previous))
        previous = stage.stage_output
    if stages and previous != TRACKS:
        renamed[stages[-1].name].append((previous, TRACKS))
    return tuple(PlannedNode(node, tuple(renamed[node.name])) for node in chosen)


def processes(planned: Sequence[PlannedNode], composed: bool) -> tuple[PlannedProcess, ...]:
    """The processes that run these nodes: one each, or the box composed into one.

    The simulation always stays outside: it stands for the world, not for the box.
    """
    alone = [
        PlannedProcess(node.spec.name, node.spec.package, node.spec.executable, (node,))
        for node in planned
        if not composed or node.spec.group == "simulation" or node.spec.foreign
    ]
    inside = tuple(
        node
        for node in planned
        if composed and node.spec.group != "simulation" and not node.spec.foreign
    )
    if not inside:
        return tuple(alone)
    names = tuple(node.spec.name for node in inside)
    return (PlannedProcess(COMPOSED, "thebox_bringup", COMPOSED, inside, names), *alone)


def ros_arguments(
    process: PlannedProcess, namespace: str, parameter_files: Sequence[str], log_level: str
) -> tuple[str, ...]:
    """The ROS arguments of one process, from ``--ros-args`` on."""
    arguments = ["--ros-args", "-r", f"__ns:={namespace}"]
    if process.nodes[0].spec.foreign:
        arguments += ["-r", f"__node:={process.nodes[0].spec.name}"]
    for node in process.nodes:
        # Named, because one process may hold several nodes that use the same topic.
        for old, new in node.remappings:
            arguments += ["-r", f"{node.spec.name}:{old}:={new}"]
    for path in parameter_files:
        arguments += ["--params-file", path]
    arguments += ["--log-level", log_level]
    return tuple(arguments)


def expected_nodes(planned: Sequence[PlannedNode]) -> tuple[NodeSpec, ...]:
    """The nodes that a healthy graph shows, in the order of the plan."""
    return tuple(node.spec for node in planned)
