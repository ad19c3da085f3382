# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Becomes the command given, on a leash: the kernel signals it when its parent ends.

Run as ``python -I -S leash.py SIGNAL COMMAND…``, where SIGNAL is ``SIGTERM``, ``SIGKILL`` or
``none``; it costs one bare interpreter start. A supervisor that is killed with SIGKILL can take
nothing with it: without a leash its processes would go on for ever, holding the sensors' ports.

The environment variable ``THEBOX_PARENT_PID``, when set, names the parent that is meant, so that a
parent that ended before the leash was set is noticed; it is passed on as this process's own id.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> int:
    """Set the leash and become the command."""
    name, command = sys.argv[1], sys.argv[2:]
    if name != "none":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(signal.Signals[name]), 0, 0, 0) != 0:
            print(f"prctl: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
            return 1
        parent = os.environ.get("THEBOX_PARENT_PID", "")
        if parent and os.getppid() != int(parent):
            return 1
    os.environ["THEBOX_PARENT_PID"] = str(os.getpid())
    try:
        os.execv(command[0], command)  # noqa: S606 - becoming the command is the purpose
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    raise SystemExit(main())
