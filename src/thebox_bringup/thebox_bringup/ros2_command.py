# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``ros2 thebox COMMAND``: the operator's commands as an extension of ros2cli.

Loaded by ros2cli alone, through the entry point ``ros2cli.command``: where ros2cli is not (a bare
machine with the wheels) nothing imports this module, and ``./thebox COMMAND`` is the same.
"""

from __future__ import annotations

import argparse
from typing import Any

from ros2cli.command import CommandExtension

from thebox_bringup.commands import COMMANDS, call

__all__ = ["TheBoxCommand"]


class TheBoxCommand(CommandExtension):
    """Operate TheBox: start, look after, record, back up."""

    def add_arguments(self, parser: argparse.ArgumentParser, cli_name: str, **_: Any) -> None:
        """Take the command's name, and hand on all that comes after it."""
        wide = max(map(len, COMMANDS))
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = "commands:\n" + "\n".join(
            f"  {name.ljust(wide)}  {purpose}" for name, (_, purpose) in COMMANDS.items()
        )
        parser.epilog += f"\n\n{cli_name} COMMAND --help tells more of each."
        parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND")
        parser.add_argument(
            "arguments", nargs=argparse.REMAINDER, metavar="…", help="the command's own arguments"
        )

    def main(self, *, parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
        """Run the command; its exit status is ros2's."""
        return call(args.command, args.arguments)
