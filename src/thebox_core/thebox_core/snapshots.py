# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the vision node keeps its pictures, and where the panel's server finds them."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["SNAPSHOT_NAME", "snapshots_folder"]

#: Name of a snapshot: the track's UUID, and the picture's time in milliseconds.
SNAPSHOT_NAME = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}_[0-9]{1,20}\.jpg", re.ASCII
)


def snapshots_folder(setting: str) -> Path:
    """The folder that the vision node's parameter `snapshots.folder` means; empty: the default."""
    return Path(setting or "~/.local/share/thebox/snapshots").expanduser()
