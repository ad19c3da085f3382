# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The pictures that the camera's verdicts rest on, as the vision node keeps them. No ROS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from thebox_core.snapshots import SNAPSHOT_NAME, snapshots_folder

__all__ = ["Snapshots"]

#: Seconds for which its answer serves.
_ASKED_AGAIN = 30.0


class Snapshots:
    """Finds a snapshot by the name that a track's verification tells.

    Args:
        parameters: present parameters of a node by its full name; raises LookupError, TimeoutError.
        vision: full name of the vision node, which knows the folder.
    """

    def __init__(self, parameters: Callable[[str], Awaitable[dict[str, Any]]], vision: str) -> None:
        self._parameters, self._vision = parameters, vision
        self._folder = snapshots_folder("")
        self._due = 0.0
        self._asking = asyncio.Lock()

    async def find(self, name: str) -> Path | None:
        """The file of a snapshot; None: there is none of that name. No other file is served."""
        if not SNAPSHOT_NAME.fullmatch(name):
            return None
        async with self._asking:
            if time.monotonic() >= self._due:
                await self._ask()
        path = self._folder / name
        there = await asyncio.get_running_loop().run_in_executor(None, path.is_file)
        return path if there else None

    async def _ask(self) -> None:
        self._due = time.monotonic() + _ASKED_AGAIN
        try:
            values = await self._parameters(self._vision)
        except (LookupError, TimeoutError, asyncio.TimeoutError):
            return  # a node that has ended has left its pictures where they were
        self._folder = snapshots_folder(str(values.get("snapshots.folder") or ""))
