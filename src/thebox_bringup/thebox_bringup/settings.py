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
    "FORMAT",
    "Origins",
    "SettingsError",
    "Values",
    "check",
    "check_file",
    "follow_drivers",
    "load_file",
    "merge",
    "migrate_text",
    "parse_assignment",
    "source_address",
    "value_of",
    "write_file",
]

#: Values by node and parameter name.
Values = dict[str, dict[str, Any]]
#: Where a value was given, such as FILE:LINE, by node and parameter name.
Origins = dict[tuple[str, str], str]

#: Version of the parameter file's layout; a file says its own in a comment, see :func:`format_of`.
FORMAT = 2
_FORMAT_LINE = re.compile(r"^#\s*thebox-format:\s*(\d+)\s*$", re.MULTILINE)
# What moved, by the format that moved it: (node, old name) -> (node, new name).
_MOVED: Mapping[int, Mapping[tuple[str, str], tuple[str, str]]] = {
    # Ranging became a node of its own.
    2: {
        ("fusion", f"tracker.{name}"): ("range", name)
        for name in (
            "object_size",
            "object_size_ratio",
            "path_loss_exponent",
            "reference_power",
            "reference_power_sigma",
            "shadowing_sigma",
            "sound_reference",
            "sound_reference_sigma",
        )
    },
}

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


def _compose(text: str, path: Path) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingsError(
            f"{path}{line} is not YAML: {error.problem or error}; mend that line "
            "(indent with spaces, put texts with : or # in quotes)"
        ) from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not YAML: {error}") from None


def _lines(node: yaml.Node | None, path: Path) -> dict[tuple[str, ...], int]:
    """Line of every key, by the keys that lead to it; a key given twice is an error."""
    found: dict[tuple[str, ...], int] = {}
    problems: list[str] = []

    def walk(tree: yaml.Node | None, keys: tuple[str, ...]) -> None:
        if not isinstance(tree, yaml.MappingNode):
            return
        for key, value in tree.value:
            here = (*keys, str(key.value))
            line = key.start_mark.line + 1
            if here in found:
                problems.append(
                    f"{path}:{line}: '{key.value}' is given a second time (first in line "
                    f"{found[here]}): remove one of the two"
                )
            found[here] = line
            walk(value, here)

    walk(node, ())
    if problems:
        raise SettingsError("\n".join(problems))
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not YAML: {error}") from None


def format_of(text: str, path: Path) -> int:
    """Format that a parameter file says it has (``# thebox-format: 2``); 1 for an older one.

    Raises:
        SettingsError: a newer release wrote it.
    """
    match = _FORMAT_LINE.search(text)
    # A file without the line may be as new as it likes: what it names decides.
    said = int(match.group(1)) if match else 1
    if said > FORMAT:
        line = text[: match.start()].count("\n") + 1 if match else 1
        raise SettingsError(
            f"{path}:{line}: the file has format {said}, this release knows {FORMAT}: use the "
            "release that wrote it, or a newer one"
        )
    return said


def load_file(
    path: Path,
    namespace: str,
    nodes: Sequence[NodeSpec] = NODES,
    origins: Origins | None = None,
) -> Values:
    """Read a ROS parameter file as the nodes in ``namespace`` would.

    Args:
        path: of the file.
        namespace: of the box.
        nodes: those that a section may be for.
        origins: is told the line of each value.

    Raises:
        SettingsError: it cannot be read, is no parameter file, or has a section for no node.
    """
    text = _read(path)
    format_of(text, path)
    lines = _lines(_compose(text, path), path)
    content = yaml.safe_load(text)
    if content is None:
        return {}
    sections: list[tuple[tuple[str, ...], list[str], Mapping[str, Any]]] = []
    problems: list[str] = []

    def collect(keys: tuple[str, ...], tokens: list[str], tree: object) -> None:
        where = "/".join(tokens) or "the top"
        line = f"{path}:{lines.get(keys, 1)}"
        if not isinstance(tree, Mapping):
            problems.append(f"{line}: under {where} a mapping is expected")
            return
        for key, value in tree.items():
            here = (*keys, str(key))
            if key == "ros__parameters":
                if isinstance(value, Mapping):
                    sections.append((here, tokens, value))
                else:
                    problems.append(
                        f"{path}:{lines.get(here, 1)}: {where}: ros__parameters must be a mapping"
                    )
            else:
                collect(here, [*tokens, *(part for part in str(key).split("/") if part)], value)

    collect((), [], content)
    values: Values = {}
    for keys, tokens, tree in sections:
        pattern = _pattern(tokens)
        flat: dict[str, Any] = {}
        _flatten("", tree, flat)
        matched = [
            node.name for node in nodes if pattern.fullmatch(f"{namespace.rstrip('/')}/{node.name}")
        ]
        if not matched:
            problems.append(
                f"{path}:{lines.get(keys[:-1], 1)}: the section '/{'/'.join(tokens)}' is for no "
                f"node in {namespace}; the nodes are {', '.join(node.name for node in nodes)}"
            )
        for name in matched:
            values.setdefault(name, {}).update(flat)
            if origins is not None:
                for where, line in lines.items():
                    if where[: len(keys)] == keys and len(where) > len(keys):
                        origins[name, ".".join(where[len(keys) :])] = f"{path}:{line}"
    if not sections and not problems:
        problems.append(f"{path} has no section with ros__parameters")
    if problems:
        raise SettingsError("\n".join(problems))
    return values


def check_file(path: Path, namespace: str, nodes: Sequence[NodeSpec] = NODES) -> Values:
    """Read a parameter file and hold it against the declarations.

    Raises:
        SettingsError: with every problem, one a line, each with file and line.
    """
    origins: Origins = {}
    return check(load_file(path, namespace, nodes, origins), nodes, origins)


def _moved(node: str, name: str) -> tuple[str, str] | None:
    """What a parameter of an older format is called now."""
    now: tuple[str, str] | None = None
    for number in sorted(_MOVED):
        now = _MOVED[number].get(now or (node, name), now)
    return now


def migrate_text(text: str, path: Path) -> tuple[str, list[str]]:
    """Bring a parameter file's text to this release's format; tell each change.

    A file in which something moved is written anew: of its comments only whole lines without an
    indent stay, at its head.

    Raises:
        SettingsError: it is no YAML, or of a newer format.
    """
    said = format_of(text, path)
    root = _compose(text, path)
    changes: list[str] = []
    if isinstance(root, yaml.MappingNode):
        content = yaml.safe_load(text)
        for section, tree in list(content.items()):
            *above, node = [part for part in str(section).split("/") if part] or [""]
            given = tree.get("ros__parameters") if isinstance(tree, Mapping) else None
            if not isinstance(given, Mapping):
                continue
            flat: dict[str, Any] = {}
            _flatten("", given, flat)
            for name, value in flat.items():
                now = _moved(node, name)
                if now is None:
                    continue
                other = "/" + "/".join([*above, now[0]])
                target = content.setdefault(other, {}).setdefault("ros__parameters", {})
                # What is given by its new name already was meant.
                target.setdefault(now[1], value)
                _forget(given, name)
                changes.append(f"{node}.{name} is {now[0]}.{now[1]} now")
            if not given:
                del content[section]
        if changes:
            changes.append("the file was written anew: its comments are in the file before it")
            comments = [line for line in text.splitlines() if line.startswith("#")]
            kept = [line for line in comments if not _FORMAT_LINE.match(line)]
            body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
            text = "\n".join([*kept, body]) if kept else body
    if said < FORMAT and (changes or not _FORMAT_LINE.search(text)):
        changes.append(f"format {said} to {FORMAT}")
        text = f"# thebox-format: {FORMAT}\n" + _FORMAT_LINE.sub("", text).lstrip("\n")
    return text, changes


def _forget(tree: Any, name: str) -> None:
    """Take a flattened name out of a tree, with the mappings that it leaves empty."""
    for key in list(tree):
        if key == name:
            del tree[key]
        elif name.startswith(f"{key}.") and isinstance(tree[key], Mapping):
            _forget(tree[key], name[len(key) + 1 :])
            if not tree[key]:
                del tree[key]


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
            "such as fusion.publish_rate_max=5.0"
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


def check(
    values: Mapping[str, Mapping[str, Any]],
    nodes: Sequence[NodeSpec],
    origins: Mapping[tuple[str, str], str] | None = None,
) -> Values:
    """Hold values against the declarations of ``nodes``; return them in the declared types.

    Values of nodes that are not among ``nodes`` are left out. ``origins`` says where each value
    was given, for the problems' texts.

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
            origin = (origins or {}).get((node, name), "")
            where = f"{origin}: " if origin else ""
            if parameter is None:
                if _BUILT_IN.fullmatch(name) or _UPDATER.fullmatch(name):
                    good.setdefault(node, {})[name] = value
                    continue
                moved = _moved(node, name)
                near = difflib.get_close_matches(name, declared[node], n=3)
                if moved is not None:
                    advice = (
                        f"; it is {'.'.join(moved)} now: ./thebox config migrate FILE rewrites it"
                    )
                elif near:
                    advice = f"; did you mean {' or '.join(near)}?"
                else:
                    advice = "; docs/parameters.md lists those it has"
                problems.append(f"{where}{node} has no parameter '{name}'{advice}")
                continue
            try:
                good.setdefault(node, {})[name] = parameter.coerce(value)
            except ParameterError as error:
                problems.append(f"{where}{node}.{error}")
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
