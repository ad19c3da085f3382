# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""When the next cycle may begin, for a share of a core."""

from __future__ import annotations

import math

__all__ = ["Pace"]

SAVED = 0.05
"""Seconds of processor time that quiet cycles may save up for a dear one."""
LONGEST = 0.25
"""Seconds: however busy, the picture is no older than this ..."""
READING = 2.0
"""... but so many times a cycle's cost is left for reading: else each takes in one detection."""


class Pace:
    """Spaces cycles so that they take a share of a core in the mean (a token bucket).

    A radar's look costs several times what the emissions between two looks do. Were each cycle
    followed by a wait in proportion to its cost, what comes right after a look would wait longest.
    """

    def __init__(self) -> None:
        self._saved = SAVED
        self._begun = -math.inf

    def after(self, begun: float, cost: float, *, share: float, spacing: float) -> float:
        """Return when the next cycle may begin, on the same clock as ``begun``.

        Args:
            begun: when this cycle began, seconds.
            cost: of it, seconds.
            share: of a core, above 0.
            spacing: least seconds from the beginning of one cycle to that of the next.
        """
        since = max(begun - self._begun, 0.0)
        self._begun = begun
        self._saved = min(self._saved + share * since, SAVED) - cost
        wait = min(max(-self._saved, 0.0) / share, max(LONGEST, READING * cost))
        # What that bound lets through is not owed for ever.
        self._saved = max(self._saved, -share * wait)
        return begun + max(spacing, wait)
