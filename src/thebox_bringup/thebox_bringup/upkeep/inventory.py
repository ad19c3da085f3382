# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Which files a box consists of, beside the release itself. No ROS."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thebox_bringup.graph import KEEPING, NAMESPACE, spec
from thebox_bringup.settings import SettingsError, Values, load_file, merge, value_of
from thebox_bringup.supervision import Places

__all__ = ["KINDS", "Inventory", "Item", "env_file", "take", "workspace"]

#: What a backup can hold, in the order in which it is told.
KINDS = ("parameters", "environment", "accounts", "database", "models", "logs", "recordings")
#: Written by the supervised run: what it gave its nodes over the files.
OVERRIDES = "overrides.yaml"


@dataclass(frozen=True)
class Item:
    """One file of the box."""

    kind: str
    path: Path


@dataclass(frozen=True)
class Inventory:
    """The files of a box.

    Attributes:
        items: those that are there.
        absent: kinds of which there is nothing, with the place that was looked at.
        values: settings of the site and of the last run, by node.
        namespace: of the box.
    """

    items: tuple[Item, ...]
    absent: Mapping[str, str]
    values: Values = field(default_factory=dict)
    namespace: str = NAMESPACE

    def of(self, kind: str) -> tuple[Path, ...]:
        """The files of one kind."""
        return tuple(item.path for item in self.items if item.kind == kind)


def workspace() -> Path:
    """The workspace that holds this package, else the current folder."""
    for start in (Path(__file__).resolve(), Path.cwd()):
        for folder in start.parents if start.is_file() else (start, *start.parents):
            if (folder / "src" / "thebox_bringup" / "package.xml").is_file():
                return folder
    return Path.cwd()


def env_file(environment: Mapping[str, str] = os.environ) -> Path:
    """The site's ``.env``: THEBOX_ENV_FILE, else in the workspace."""
    given = environment.get("THEBOX_ENV_FILE")
    return Path(given).expanduser().absolute() if given else workspace() / ".env"


def _last_run(where: Places, namespace: str) -> Values:
    try:
        return load_file(where.run / OVERRIDES, namespace)
    except SettingsError:
        return {}


def take(
    where: Places,
    *,
    config: Path | None = None,
    namespace: str = NAMESPACE,
    environment: Mapping[str, str] = os.environ,
) -> Inventory:
    """Find the files of the box that runs, or ran last, at ``where``.

    Args:
        where: places of the supervised run.
        config: the site's parameter file; None takes the one of the last run.
        namespace: of the box.
        environment: THEBOX_CONFIG and THEBOX_ENV_FILE are looked at.

    Raises:
        SettingsError: the site's parameter file cannot be read.
    """
    last = _last_run(where, namespace)
    site = config
    if site is None:
        named = environment.get("THEBOX_CONFIG") or str(
            last.get("panel", {}).get("settings_file", "")
        )
        site = Path(named).expanduser().absolute() if named else None
    if config is not None and not config.is_file():
        raise SettingsError(f"cannot read {config}: no such file")
    own = load_file(site, namespace) if site is not None and site.is_file() else {}
    values = merge(own, last)
    items: list[Item] = []
    absent: dict[str, str] = {}

    def add(kind: str, path: Path | None, looked: str) -> None:
        if path is not None and path.is_file():
            items.append(Item(kind, path.absolute()))
        else:
            absent[kind] = str(path) if path is not None else looked

    add("parameters", site, "no parameter file of the site is set (--config, THEBOX_CONFIG)")
    add("environment", env_file(environment), "")
    add("accounts", _path(values, "panel", "accounts_file"), "")
    add("database", kept_at(where, values, "dronedb"), "")
    add("models", _path(values, "vision", "model.path"), "the shipped model is in use")
    _folder(items, absent, "logs", where.log, ("*.log", "*.log.[0-9]", "*.previous"))
    _folder(items, absent, "recordings", kept_at(where, values, "recorder"), ("**/*",))
    return Inventory(tuple(items), absent, values, namespace)


def kept_at(where: Places, values: Mapping[str, Mapping[str, Any]], node: str) -> Path:
    """Where a node of KEEPING keeps what outlives the run."""
    parameter, name = KEEPING[node]
    given = str(values.get(node, {}).get(parameter) or "")
    return Path(given).expanduser() if given else where.data / name


def _path(values: Mapping[str, Mapping[str, Any]], node: str, name: str) -> Path | None:
    given = str(value_of(values, spec(node), name) or "")
    return Path(given).expanduser() if given else None


def _folder(
    items: list[Item], absent: dict[str, str], kind: str, folder: Path, patterns: tuple[str, ...]
) -> None:
    found = sorted({p for pattern in patterns for p in folder.glob(pattern) if p.is_file()})
    items.extend(Item(kind, path.absolute()) for path in found)
    if not found:
        absent[kind] = str(folder)
