# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether this process can still be heard through Fast DDS's shared memory.

A process listens at shared memory files of its own (``fastrtps_portN``, with a lock of that name
and ``_el``). When a process was killed and its successor takes the same ports, the clean-up by the
others races with it (eProsima/Fast-DDS issues 5053 and 5469): now and then the new file is removed.
What others write then lies in another file or nowhere. The process runs on, reports that all is
well, and hears nothing for as long as it lives.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["Deafness", "lost_ports"]

_LOCK = re.compile(r"(.*fastrtps_port\d+)_el( \(deleted\))?")
_DELETED = " (deleted)"


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""  # closed meanwhile


def lost_ports(process: Path = Path("/proc/self")) -> set[str]:
    """Ports that the process listens at and that are no longer there for others.

    Args:
        process: its folder under /proc.

    Returns:
        paths of the ports; empty where there is no /proc, or another transport.
    """
    own: set[str] = set()
    there: set[str] = set()
    gone: set[str] = set()
    try:
        for file in (process / "fd").iterdir():
            match = _LOCK.fullmatch(_target(file))
            if match:
                own.add(match.group(1))
        if not own:
            return set()
        for line in (process / "maps").read_text(encoding="utf-8", errors="replace").splitlines():
            # address, rights, offset, device, inode, path (proc_pid_maps(5))
            path = line.split(maxsplit=5)[5:]
            if path and path[0].endswith(_DELETED):
                gone.add(path[0].removesuffix(_DELETED))
            elif path:
                there.add(path[0])
    except OSError:
        return set()
    # Fast DDS may have opened a port anew; the old one is mapped for a moment longer.
    return own & gone - there


class Deafness:
    """Tells when a process has become deaf: one look is not enough.

    For a moment a port that Fast DDS opens anew may look like one that is lost.
    """

    _LOOKS = 3

    def __init__(self) -> None:
        self._looks: list[set[str]] = []

    def look(self, process: Path = Path("/proc/self")) -> set[str]:
        """The ports that were lost in this look and the two before it, a second apart or so."""
        self._looks = [*self._looks[1 - self._LOOKS :], lost_ports(process)]
        return set.intersection(*self._looks) if len(self._looks) == self._LOOKS else set()
