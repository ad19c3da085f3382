# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Several nodes of the box in one process on one executor: ``composed NODE… [--ros-args …]``.

Saves memory (an idle rclpy process takes about 63 MB, a node more in one process about 1 MB) and
gives up isolation: what ends one node's process ends them all.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rclpy.utilities import remove_ros_args

from thebox_bringup.graph import GraphError, spec
from thebox_core.node import run

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the nodes named on the command line; return 2 when one is unknown."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    names = remove_ros_args(args=["composed", *arguments])[1:]
    if not names:
        print("composed: name the nodes to run", file=sys.stderr)
        return 2
    try:
        classes = [spec(name).load_class() for name in names]
    except GraphError as error:
        print(f"composed: {error}", file=sys.stderr)
        return 2
    run(*classes, args=arguments)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
