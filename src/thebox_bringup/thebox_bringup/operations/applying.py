# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Changes of ``thebox tune`` put into force, and taken back. No ROS.

Parameters go into the site's parameter file, line by line, so that its comments stay; the file
before is kept. The kernel's values are set at once, and in a file of sysctl.d for the next start of
the machine. What was there before is written down first: :func:`undo` brings it back.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from thebox_bringup.settings import FORMAT, SettingsError, check_file, load_file

__all__ = ["SYSCTL_FILE", "ApplyError", "set_in_text", "undo", "write_kernel", "write_parameters"]

#: Below the system's root.
SYSCTL_FILE = Path("etc/sysctl.d/60-thebox.conf")


class ApplyError(RuntimeError):
    """It cannot be put into force; the text says why. What was there before is still in force."""


def _scalar(value: Any) -> str:
    return str(yaml.safe_dump(value, default_flow_style=True)).removesuffix("...\n").strip()


def _find(tree: yaml.MappingNode, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Key and value of a parameter, whose name may be nested, dotted, or both."""
    for key, value in tree.value:
        if key.value == name:
            return key, value
        if isinstance(value, yaml.MappingNode) and name.startswith(f"{key.value}."):
            found = _find(value, name[len(key.value) + 1 :])
            if found is not None:
                return found
    return None


def _sections_of(root: yaml.Node | None, namespace: str, node: str) -> list[yaml.Node]:
    """Parameters of each section that is for this node alone, in the file's order."""
    names = {f"{namespace.strip('/')}/{node}", f"**/{node}", f"*/{node}"}
    if not isinstance(root, yaml.MappingNode):
        return []
    return [
        tree
        for key, value in root.value
        if str(key.value).strip("/") in names and isinstance(value, yaml.MappingNode)
        for inner, tree in value.value
        if inner.value == "ros__parameters"
    ]


def set_in_text(text: str, namespace: str, node: str, name: str, value: Any) -> str:
    """Return a parameter file's text with one parameter set; all else stays as it is.

    A value that is there is replaced in its place; else a line is added to the node's section, or a
    section at the end. Where several sections are for the node the last wins, as in the nodes; one
    for several nodes is left alone.
    """
    sections = _sections_of(yaml.compose(text, Loader=yaml.SafeLoader), namespace, node)
    written = f"{name}: {_scalar(value)}"
    for tree in reversed(sections):
        found = _find(tree, name) if isinstance(tree, yaml.MappingNode) else None
        if found is not None:
            begin, end = found[1].start_mark.index, found[1].end_mark.index
            return f"{text[:begin]}{_scalar(value)}{text[end:]}"
    if not sections:
        if text and not text.endswith("\n"):
            text += "\n"
        text = text or f"# thebox-format: {FORMAT}\n"
        return f"{text}/**/{node}:\n  ros__parameters:\n    {written}\n"
    tree = sections[-1]
    if isinstance(tree, yaml.MappingNode) and tree.value:
        if tree.flow_style:
            at = tree.value[0][0].start_mark.index
            return f"{text[:at]}{written}, {text[at:]}"
        first = tree.value[0][0].start_mark
        at = first.index - first.column
        return f"{text[:at]}{' ' * first.column}{written}\n{text[at:]}"
    # A section without a parameter: its place is taken by one with it.
    head = text[: tree.start_mark.index].rstrip(" ")
    return f"{head} {{{written}}}{text[tree.end_mark.index :]}"


def write_parameters(
    path: Path, namespace: str, wanted: Mapping[tuple[str, str], Any]
) -> Path | None:
    """Set parameters in a file; return where the file before is kept, None when there was none.

    Args:
        path: of the file; made when it is not there.
        namespace: of the box.
        wanted: values by node and parameter.

    Raises:
        ApplyError: the file cannot be written, or would not say what it is to say.
    """
    kept: Path | None = None
    part = path.with_name(f".{path.name}.part")
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        before = load_file(path, namespace) if text.strip() else {}
        new = text
        for (node, name), value in wanted.items():
            new = set_in_text(new, namespace, node, name, value)
        part.write_text(new, encoding="utf-8")
        told = check_file(part, namespace)
        for (node, name), value in wanted.items():
            if told.get(node, {}).get(name) != value:
                raise ApplyError(f"{path}: {node}.{name} cannot be set there: edit it by hand")
        for node, values in before.items():
            for name, value in values.items():
                if (node, name) not in wanted and told.get(node, {}).get(name) != value:
                    raise ApplyError(f"{path}: {node}.{name} would be lost: edit it by hand")
        if path.exists():
            kept = path.with_name(
                time.strftime(f"{path.name}.before-%Y%m%dT%H%M%SZ", time.gmtime())
            )
            kept.write_text(text, encoding="utf-8")
            for each in (part, kept):
                each.chmod(path.stat().st_mode & 0o777)
        part.replace(path)
    except OSError as error:
        raise ApplyError(f"cannot write {path}: {error.strerror}") from error
    except (SettingsError, yaml.YAMLError) as error:
        raise ApplyError(str(error)) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return kept


def write_kernel(wanted: Mapping[str, int], record: Path, root: Path = Path("/")) -> None:
    """Set the kernel's values now and for the next start of the machine.

    Args:
        wanted: by sysctl's name.
        record: file that keeps what was there before; an older one's values win over today's.
        root: of the system.

    Raises:
        ApplyError: a value cannot be set; those that were set before it are set back.
    """
    before = _recorded(record)
    done: dict[str, str] = {}
    try:
        for name, value in wanted.items():
            path = root / "proc" / "sys" / name.replace(".", "/")
            old = path.read_text().strip()
            before.setdefault(name, old)
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps(before, indent=1), encoding="utf-8")
            path.write_text(f"{value}\n")
            done[name] = old
            if int(path.read_text().split()[0]) != value:
                raise ApplyError(f"{name}: the kernel keeps {path.read_text().strip()}")
        file = root / SYSCTL_FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        standing = dict(
            line.split(" = ", 1)
            for line in (file.read_text().splitlines() if file.exists() else ())
            if " = " in line and not line.startswith("#")
        )
        standing.update({name: str(value) for name, value in wanted.items()})
        lines = [f"{name} = {value}" for name, value in sorted(standing.items())]
        note = "# Written by thebox tune --apply; thebox tune --undo takes it away."
        file.write_text("\n".join([note, *lines, ""]))
    except (OSError, ApplyError) as error:
        for name, old in done.items():
            with contextlib.suppress(OSError):
                (root / "proc" / "sys" / name.replace(".", "/")).write_text(f"{old}\n")
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ApplyError(f"the kernel's settings stay as they were: {reason}") from error


def _recorded(record: Path) -> dict[str, str]:
    try:
        told = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in told.items()} if isinstance(told, dict) else {}


def undo(record: Path, root: Path = Path("/")) -> dict[str, str]:
    """Bring the kernel's values back to what they were; return them, empty for nothing to do.

    Raises:
        ApplyError: not all could be set back; the record stays.
    """
    before = _recorded(record)
    if not before:
        return {}
    try:
        for name, value in before.items():
            (root / "proc" / "sys" / name.replace(".", "/")).write_text(f"{value}\n")
        (root / SYSCTL_FILE).unlink(missing_ok=True)
        record.unlink()
    except OSError as error:
        what = error.filename or os.fspath(record)
        raise ApplyError(f"cannot write {what}: {error.strerror}") from error
    return before
