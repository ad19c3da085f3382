# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A serial cable without a cable: a pseudo-terminal under a name of its own."""

from __future__ import annotations

import contextlib
import os
import termios
import tty
from pathlib import Path

__all__ = ["SerialLine"]


class SerialLine:
    """The sensor's end of a serial line; the driver opens the link's path.

    :param link: path of the symbolic link to the terminal; one left by an earlier run is replaced.
    :raises OSError: the link cannot be made, or something that is no link is in its place.
    """

    def __init__(self, link: str) -> None:
        self._link = Path(link).expanduser()
        self._ours, self._theirs = os.openpty()
        try:
            # Raw, or the terminal would echo and translate line ends.
            tty.setraw(self._theirs)
            os.set_blocking(self._ours, False)
            if self._link.is_symlink():
                self._link.unlink()
            self._link.symlink_to(os.ttyname(self._theirs))
        except OSError:
            os.close(self._ours)
            os.close(self._theirs)
            raise

    def write(self, chunk: bytes) -> bool:
        """Send bytes; say whether they all went. A line that nobody reads forgets what was sent."""
        try:
            if os.write(self._ours, chunk) == len(chunk):
                return True
        except BlockingIOError:
            pass
        # A cable holds nothing back for who opens the port later.
        termios.tcflush(self._theirs, termios.TCIFLUSH)
        return False

    def close(self) -> None:
        """Hang up and take the link away."""
        with contextlib.suppress(OSError):
            if self._link.is_symlink():
                self._link.unlink()
        os.close(self._ours)
        os.close(self._theirs)
