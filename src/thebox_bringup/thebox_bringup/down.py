# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Stops the box that ``up`` started in this workspace, a stuck or half-dead one too."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence

import psutil

from thebox_bringup.supervision import (
    SupervisionError,
    left_over,
    places,
    read_state,
    starting,
    stop_run,
    wait_ended,
)

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when nothing runs any more, 1 when something cannot be stopped."""
    argparse.ArgumentParser(
        prog="down",
        description="Stop the graph that `up` started here. Nothing running is no error.",
    ).parse_args(argv)
    where = places()
    state = read_state(where)
    left = left_over(state.run_id) if state is not None else []
    if state is None or not left:
        print(f"nothing runs (looked in {where.run})")
        return 0
    try:
        # An `up` in a terminal stops in order when it is asked, and says so there.
        up = None if state.detached else state.up_process()
        if up is not None:
            with contextlib.suppress(psutil.Error):
                up.terminate()
                wait_ended(up, 30.0)
        killed = 0
        if left_over(state.run_id):
            with starting(where):
                killed = stop_run(state)
    except SupervisionError as error:
        print(f"down: {error}", file=sys.stderr)
        return 1
    print(
        f"stopped {len(left)} processes"
        + (f"; {killed} did not end when asked and were killed" if killed else "")
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
