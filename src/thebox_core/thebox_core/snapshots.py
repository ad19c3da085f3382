# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the vision node keeps its pictures, and where the panel's server finds them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["snapshots_folder"]


def snapshots_folder(setting: str) -> Path:
    """The folder that the vision node's parameter `snapshots.folder` means; empty: the default."""
    return Path(setting or "~/.local/share/thebox/snapshots").expanduser()
