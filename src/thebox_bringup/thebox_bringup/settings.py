# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Parameter files and ``node.parameter=value`` settings, checked before anything starts. No ROS.

rclpy takes a parameter file without a word about a name that no node declares, and a node that
refuses a value dies alone. Here all of it is held against the declarations first.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from thebox_bringup.graph import NODES, SIMULATION, SOURCE, GraphError, NodeSpec, spec
from thebox_core.parameters import Parameter, ParameterError

__all__ = [
    "SettingsError",
    "Values",
    "check",
    "follow_drivers",
    "load_file",
    "merge",
    "parse_assignment",
    "source_address",
    "value_of",
    "write_file",
]

#: Values by node and parameter name.
Values = dict[str, dict[str, Any]]

# rclpy's own parameters, which any node has beside its declared ones.
_BUILT_IN = re.compile(r"use_sim_time|start_type_description_service|qos_overrides\..*")
_UPDATER = re.compile(r"diagnostic_updater\..*")


class SettingsError(ValueError):
    """A parameter file or setting that cannot be used; one problem a line."""


def _flatten(prefix: str, tree: Mapping[str, Any], into: dict[str, Any]) -> None:
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            _flatten(name + ".", value, into)
        else:
            into[name] = value


def _pattern(tokens: Sequence[str]) -> re.Pattern[str]:
    # rcl's rules: * is one token, ** any number of them.
    text = ""
    for part in tokens:
        if part == "**":
            text += "(/[^/]+)*"
        elif part == "*":
            text += "/[^/]+"
        else:
            text += "/" + re.escape(part)
    return re.compile(text)


def load_file(path: Path, namespace: str, nodes: Sequence[NodeSpec] = NODES) -> Values:
    """Read a ROS parameter file as the nodes in ``namespace`` would.

    Raises:
        SettingsError: it cannot be read, is no parameter file, or has a section for no node.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not YAML: {error}") from None
    if content is None:
        return {}
    sections: list[tuple[list[str], Mapping[str, Any]]] = []
    problems: list[str] = []

    def collect(tokens: list[str], tree: object) -> None:
        where = "/".join(tokens) or "the top"
        if not isinstance(tree, Mapping):
            problems.append(f"{path}: under {where} a mapping is expected")
            return
        for key, value in tree.items():
            if key == "ros__parameters":
                if isinstance(value, Mapping):
                    sections.append((tokens, value))
                else:
                    problems.append(f"{path}: {where}: ros__parameters must be a mapping")
            else:
                collect([*tokens, *(part for part in str(key).split("/") if part)], value)

    collect([], content)
    values: Values = {}
    for tokens, tree in sections:
        pattern = _pattern(tokens)
        flat: dict[str, Any] = {}
        _flatten("", tree, flat)
        matched = [
            node.name for node in nodes if pattern.fullmatch(f"{namespace.rstrip('/')}/{node.name}")
        ]
        if not matched:
            problems.append(
                f"{path}: the section '/{'/'.join(tokens)}' is for no node in {namespace}; "
                f"the nodes are {', '.join(node.name for node in nodes)}"
            )
        for name in matched:
            values.setdefault(name, {}).update(flat)
    if not sections and not problems:
        problems.append(f"{path} has no section with ros__parameters")
    if problems:
        raise SettingsError("\n".join(problems))
    return values


def parse_assignment(text: str) -> tuple[str, str, Any]:
    """Take ``node.parameter=value`` apart; the value is read as YAML.

    Raises:
        SettingsError: it is not of that form, or names no node.
    """
    left, equals, right = text.partition("=")
    node, dot, name = left.strip().partition(".")
    if not (equals and dot and node and name):
        raise SettingsError(
            f"'{text}' is not a setting; write node.parameter=value, "
            "such as fusion.publish_rate=5.0"
        )
    try:
        spec(node)
        value = yaml.safe_load(right)
    except GraphError as error:
        raise SettingsError(f"'{text}': {error}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"'{text}': the value is not YAML: {error}") from None
    return node, name, "" if value is None else value


def merge(*layers: Mapping[str, Mapping[str, Any]]) -> Values:
    """The layers as one; a later layer wins."""
    merged: Values = {}
    for layer in layers:
        for node, values in layer.items():
            merged.setdefault(node, {}).update(values)
    return merged


def declarations(nodes: Sequence[NodeSpec]) -> dict[str, dict[str, Parameter]]:
    """What each of these nodes declares, by name."""
    return {node.name: {p.name: p for p in node.load_parameters()} for node in nodes}


def check(values: Mapping[str, Mapping[str, Any]], nodes: Sequence[NodeSpec]) -> Values:
    """Hold values against the declarations of ``nodes``; return them in the declared types.

    Values of nodes that are not among ``nodes`` are left out.

    Raises:
        SettingsError: with every problem, one a line.
    """
    declared = declarations(nodes)
    good: Values = {}
    problems: list[str] = []
    for node, given in values.items():
        if node not in declared:
            continue
        for name, value in given.items():
            parameter = declared[node].get(name)
            if parameter is None:
                if _BUILT_IN.fullmatch(name) or _UPDATER.fullmatch(name):
                    good.setdefault(node, {})[name] = value
                    continue
                near = difflib.get_close_matches(name, declared[node], n=3)
                problems.append(
                    f"{node} has no parameter '{name}'"
                    + (f"; did you mean {' or '.join(near)}?" if near else "")
                )
                continue
            try:
                good.setdefault(node, {})[name] = parameter.coerce(value)
            except ParameterError as error:
                problems.append(f"{node}.{error}")
    if problems:
        raise SettingsError("\n".join(problems))
    return good


def follow_drivers(values: Mapping[str, Mapping[str, Any]], nodes: Sequence[NodeSpec]) -> Values:
    """Where the simulated sensors must send or listen, so that they reach these drivers.

    One setting of a driver's port moves both. A sensor whose driver does not run is not played:
    its port may be another box's. What is set for the simulation itself stays.

    Args:
        values: settings in force; a driver's own default fills what they leave out.
        nodes: every node that is to run.
    """
    running = {node.name: node for node in nodes}
    given = values.get(SIMULATION, {})
    declared = {parameter.name for parameter in running[SIMULATION].load_parameters()}
    derived: dict[str, Any] = {}
    for name in sorted(declared):
        sensor, _, rest = name.partition(".")
        # The pictures are the camera's, below.
        if rest != "enabled" or sensor == "video":
            continue
        if sensor not in running:
            derived[name] = False
            continue
        host, port = source_address(values, running[sensor])
        if port:
            derived[f"{sensor}.host"], derived[f"{sensor}.port"] = host, port
        if f"{sensor}.control_port" in declared:
            derived[f"{sensor}.control_port"] = value_of(values, running[sensor], "control.port")
        if f"{sensor}.transport" in declared:
            scheme, _, path = str(value_of(values, running[sensor], SOURCE)).partition("://")
            derived[f"{sensor}.transport"] = scheme if scheme in ("tcp", "serial") else "udp"
            if scheme == "serial":
                derived[f"{sensor}.serial_link"] = path.partition("?")[0]
    # The camera's pictures come over a connection of their own.
    camera = running.get("trakka")
    if camera is not None:
        host, port = source_address(values, camera, "http", "video.source")
        if port:
            derived["video.host"], derived["video.port"] = host, port
    # The own-ship's driver and the simulation must not both publish the own-ship.
    derived["publish_ownship"] = "ownship" not in running
    derived = {k: v for k, v in derived.items() if k in declared and k not in given}
    return {SIMULATION: derived} if derived else {}


def value_of(values: Mapping[str, Mapping[str, Any]], node: NodeSpec, name: str) -> Any:
    """Return a parameter as the settings in force have it, else its default."""
    given = values.get(node.name, {})
    if name in given:
        return given[name]
    return next(p.default for p in node.load_parameters() if p.name == name)


def source_address(
    values: Mapping[str, Mapping[str, Any]],
    driver: NodeSpec,
    schemes: str = "udp|tcp",
    parameter: str = SOURCE,
) -> tuple[str, int]:
    """Where a sensor must be to feed a driver; ("", 0) when its source is none of ``schemes``.

    For udp that is where to send, for tcp where to listen. A driver that listens on all addresses
    is reached on the loopback.
    """
    url = value_of(values, driver, parameter)
    match = re.fullmatch(rf"(?:{schemes})://(\[[^\]]*\]|[^:/?]+):(\d+).*", str(url))
    if match is None:
        return "", 0
    host = match.group(1).strip("[]")
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(match.group(2))  # noqa: S104


def write_file(path: Path, namespace: str, values: Mapping[str, Mapping[str, Any]]) -> None:
    """Write values as a ROS parameter file for the nodes in ``namespace``."""
    tree = {
        f"{namespace.rstrip('/')}/{node}": {"ros__parameters": dict(given)}
        for node, given in values.items()
    }
    path.write_text(yaml.safe_dump(tree, sort_keys=True, allow_unicode=True), encoding="utf-8")
