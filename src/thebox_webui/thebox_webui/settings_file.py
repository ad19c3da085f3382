# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes a node's present parameters into the site's parameter file. No ROS."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

__all__ = ["SettingsFileError", "save", "writable"]

#: rclpy's own parameters, which a site does not set.
_BUILT_IN = re.compile(
    r"use_sim_time|start_type_description_service|(qos_overrides|diagnostic_updater)\..*"
)


class SettingsFileError(OSError):
    """The file cannot be read or written; the text says why and what to do."""


def writable(path: Path | None) -> bool:
    """Whether settings can be saved there."""
    if path is None:
        return False
    return os.access(path if path.exists() else path.parent, os.W_OK)


def save(path: Path, node: str, values: Mapping[str, Any]) -> Path:
    """Put ``values`` in the section of ``node`` (its full name); return the backup's path.

    The file before is kept as ``<name>.previous``; the new one is written whole or not at all.
    Comments of the file are not kept in the new one.

    Raises:
        SettingsFileError: it cannot be read, is no parameter file, or cannot be written.
    """
    backup = path.with_name(f"{path.name}.previous")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsFileError(f"cannot read {path}: {error}") from None
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise SettingsFileError(f"{path} is no parameter file: it does not hold sections")
    section = content.pop(node, None)
    before = section.get("ros__parameters") if isinstance(section, dict) else None
    kept = dict(before) if isinstance(before, dict) else {}
    kept.update({k: v for k, v in values.items() if not _BUILT_IN.fullmatch(k)})
    # Last, because of two sections for one node the later one wins.
    content[node] = {"ros__parameters": kept}
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yaml.safe_dump(content, file, sort_keys=False, allow_unicode=True)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
            shutil.copy2(path, backup)
        else:
            Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise SettingsFileError(
            f"cannot write {path}: {error.strerror}; check its folder's permissions"
        ) from None
    return backup
