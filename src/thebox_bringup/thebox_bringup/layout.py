# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""From what is wanted to what is to run, with every setting checked; for `up` and for launch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory

from thebox_bringup.graph import (
    BRIDGE,
    KEEPING,
    NAMESPACE,
    PANEL,
    REPLAY_PARAMETERS,
    REPLAYED,
    SIMULATION,
    SIMULATION_PARAMETERS,
    SOURCE,
    GraphError,
    NodeSpec,
    PlannedProcess,
    Selection,
    plan,
    processes,
)
from thebox_bringup.settings import (
    Origins,
    SettingsError,
    Values,
    check,
    follow_drivers,
    load_file,
    merge,
    parse_assignment,
    source_address,
    value_of,
)
from thebox_bringup.site import Site

__all__ = ["Layout", "Wanted", "lay_out"]


@dataclass(frozen=True)
class Wanted:
    """What the operator asks for.

    Attributes:
        namespace: of the box.
        sensors: names of the sensors to run; None for all.
        without: names of other nodes to leave out.
        extra: names of optional nodes to run.
        simulated: whether the simulated sky plays.
        replayed: whether a capture is fed to the DroneShield driver.
        composed: whether the box's nodes run in one process.
        config: the site's parameter file, over the shipped one.
        scenario, seed: of the simulated sky; None leaves the parameter file's.
        settings: ``node.parameter=value``, over every file.
        use_sim_time: whether the nodes take the time from /clock.
        data: folder for what outlives the run, such as the database, unless the site's file or a
            setting says where; None leaves it to the nodes.
        site: what the site's .env and the environment set, over the files.
    """

    namespace: str = NAMESPACE
    sensors: tuple[str, ...] | None = None
    without: frozenset[str] = frozenset()
    extra: frozenset[str] = frozenset()
    simulated: bool = True
    replayed: bool = False
    composed: bool = False
    config: Path | None = None
    scenario: str | None = None
    seed: int | None = None
    settings: tuple[str, ...] = ()
    use_sim_time: bool = False
    data: Path | None = None
    site: Site | None = None


@dataclass(frozen=True)
class Layout:
    """What is to run, and with what.

    Attributes:
        namespace: of the box.
        nodes: every node, in the order of the graph.
        processes: the processes that hold them.
        parameter_files: read first to last, before the overrides.
        overrides: values over those files, by node.
        values: every value in force that some file or setting gives, by node.
        simulated: whether the simulated sky plays.
        replay_to: (host, port) that a replayed capture is sent to; None without a replay.
    """

    namespace: str
    nodes: tuple[NodeSpec, ...]
    processes: tuple[PlannedProcess, ...]
    parameter_files: tuple[str, ...]
    overrides: Values
    values: Values
    simulated: bool
    replay_to: tuple[str, int] | None = None

    def source_of(self, node: NodeSpec) -> str:
        """Where a driver's bytes come from, as a URL; empty for a node that is no driver."""
        if node.group != "sensor":
            return ""
        return str(value_of(self.values, node, SOURCE))


def lay_out(wanted: Wanted) -> Layout:
    """Decide what is to run.

    Raises:
        GraphError: a node, sensor or namespace that cannot be.
        SettingsError: a parameter file or setting that cannot be used.
    """
    namespace = wanted.namespace
    if not re.fullmatch(r"(/[A-Za-z_][A-Za-z0-9_]*)+", namespace):
        raise GraphError(f"'{namespace}' is no namespace; write one like {NAMESPACE}")
    sensors = wanted.sensors
    if wanted.replayed and sensors is None:
        # A capture is of one sensor: the others would only report that nothing comes.
        sensors = (REPLAYED,)
    planned = plan(Selection(sensors, wanted.simulated, wanted.without, wanted.extra))
    nodes = tuple(node.spec for node in planned)

    shipped = Path(get_package_share_directory("thebox_bringup")) / "config" / "thebox.yaml"
    files = [shipped, *([wanted.config.absolute()] if wanted.config else [])]
    origins: Origins = {}
    layers = [load_file(path, namespace, origins=origins) for path in files]
    environment: Values = {}
    if wanted.site is not None:
        running = {node.name for node in nodes}
        # A site's variable of a sensor that does not run this time is no mistake.
        environment = {n: dict(v) for n, v in wanted.site.values.items() if n in running}
        origins.update(wanted.site.origins)
    layers.append(environment)
    settings = _settings(wanted, nodes)
    mode: Mapping[str, Mapping[str, Any]] = {}
    if wanted.simulated or wanted.replayed:
        mode = SIMULATION_PARAMETERS if wanted.simulated else REPLAY_PARAMETERS
    sky = _sky(wanted)
    kept: Values = {}
    if wanted.data is not None:
        given = merge(*layers[1:])
        for node in nodes:
            parameter, name = KEEPING.get(node.name, ("", ""))
            if parameter and not given.get(node.name, {}).get(parameter):
                kept[node.name] = {parameter: str(wanted.data.absolute() / name)}
    clock = {node.name: {"use_sim_time": True} for node in nodes} if wanted.use_sim_time else {}

    origins.update({(n, p): "--set" for n, given in settings.items() for p in given})
    site = merge(*layers, kept, mode, clock, environment, sky, settings)
    # The simulated sensors follow the drivers' ports, unless a setting or the site's own file
    # sends them elsewhere.
    asked = merge(*layers[1:], settings).get(SIMULATION, {})
    derived: Values = {}
    if wanted.simulated:
        derived = follow_drivers({**site, SIMULATION: asked}, nodes)
    derived = derived | _panel(wanted, nodes, site, merge(*layers[1:], settings).get(PANEL, {}))
    overrides = check(merge(kept, mode, clock, derived, environment, sky, settings), nodes, origins)
    values = check(merge(site, derived), nodes, origins)

    replay_to = None
    if wanted.replayed:
        driver = next((node for node in nodes if node.name == REPLAYED), None)
        if driver is None:
            raise GraphError("the capture is a DroneShield's: the sensors must include droneshield")
        replay_to = source_address(values, driver, "udp")
        if not replay_to[1]:
            raise SettingsError(
                "the capture is sent as UDP: droneshield.source must be udp://ADDRESS:PORT, "
                f"it is {values.get(driver.name, {}).get('source')}"
            )
    return Layout(
        namespace=namespace,
        nodes=nodes,
        processes=processes(planned, wanted.composed),
        parameter_files=tuple(str(path) for path in files),
        overrides=overrides,
        values=values,
        simulated=wanted.simulated,
        replay_to=replay_to,
    )


def _panel(
    wanted: Wanted,
    nodes: tuple[NodeSpec, ...],
    values: Mapping[str, Mapping[str, Any]],
    asked: Mapping[str, Any],
) -> Values:
    """What the panel's server must know of the graph, unless the site says otherwise."""
    running = {node.name: node for node in nodes}
    if PANEL not in running:
        return {}
    box = [node for node in nodes if node.group != "simulation"]
    known: dict[str, Any] = {
        "nodes": [node.name for node in box],
        "plugins": [node.name for node in box if node.group == "sensor"],
    }
    if wanted.config is not None:
        known["settings_file"] = str(wanted.config.absolute())
    if BRIDGE in running:
        port = value_of(values, running[BRIDGE], "port")
        known["bridge"] = f"ws://127.0.0.1:{port}/"
    return {PANEL: {name: value for name, value in known.items() if name not in asked}}


def _settings(wanted: Wanted, nodes: tuple[NodeSpec, ...]) -> Values:
    settings: Values = {}
    running = {node.name for node in nodes}
    for text in wanted.settings:
        node, name, value = parse_assignment(text)
        if node not in running:
            raise SettingsError(f"'{text}': {node} does not run in this graph")
        settings.setdefault(node, {})[name] = value
    return settings


def _sky(wanted: Wanted) -> Values:
    sky: dict[str, Any] = {}
    if wanted.scenario is not None:
        path = Path(wanted.scenario)
        # A file is given from where the operator stands; the node runs elsewhere.
        sky["scenario"] = str(path.absolute()) if path.suffix in (".yaml", ".yml") else str(path)
    if wanted.seed is not None:
        sky["seed"] = wanted.seed
    if sky and not wanted.simulated:
        raise SettingsError("a scenario or a seed is for the simulated sky, which is not to play")
    return {SIMULATION: sky} if sky else {}
