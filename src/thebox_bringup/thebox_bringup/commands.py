# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The operator's commands by name: the module of each, and a few words. No ROS.

``./thebox`` has the same list in scripts/lib/commands.sh (a test holds the two together); here it
is for ``ros2 thebox``.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

__all__ = ["COMMANDS", "call"]

#: Module and purpose by name. ``up`` and ``down`` first: without the workspace's own ``./thebox``,
#: as in an installed package, they are found here.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("thebox_bringup.up", "start the whole system and watch over it"),
    "down": ("thebox_bringup.down", "stop a system started with up -d"),
    "record": ("thebox_bringup.recording.record", "a running graph into a bag, raw bytes too"),
    "replay": ("thebox_bringup.recording.replay", "a bag into a graph, the drivers, or offline"),
    "score": ("thebox_bringup.score.command", "how good a recording's tracks are"),
    "analyze": ("thebox_bringup.operations.analyze", "detections and tracks over time"),
    "health": ("thebox_bringup.operations.health", "each node of a running box"),
    "sensors": ("thebox_bringup.operations.sensors", "list, start, stop, restart"),
    "smoke": ("thebox_bringup.operations.smoke", "whether the whole chain works"),
    "validate": ("thebox_bringup.operations.validate", "whether nodes or a file keep the rules"),
    "perf": ("thebox_bringup.operations.perf", "what a box takes in, costs and loses"),
    "tune": ("thebox_bringup.operations.tune", "what to change for it, and why"),
    "logs": ("thebox_bringup.operations.logs", "what the nodes logged"),
    "config": ("thebox_bringup.upkeep.config", "the site's settings"),
    "backup": ("thebox_bringup.upkeep.backup", "everything of a box into one archive"),
    "restore": ("thebox_bringup.upkeep.restore", "such an archive put back"),
    "support-bundle": ("thebox_bringup.upkeep.support_bundle", "what a developer needs to help"),
    "audit": ("thebox_bringup.upkeep.audit", "known vulnerabilities, bill of materials"),
}


def call(name: str, arguments: Sequence[str]) -> int:
    """Run a command; return its exit status.

    Raises:
        KeyError: there is no such command.
    """
    return int(importlib.import_module(COMMANDS[name][0]).main(list(arguments)) or 0)
