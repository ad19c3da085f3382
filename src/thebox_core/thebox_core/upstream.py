# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What a stage hears from the stage before it, and that it still does."""

from __future__ import annotations

import math

from thebox_core.health import WARN, Report
from thebox_core.measures import Rate

__all__ = ["Upstream"]


class Upstream:
    """The pictures of a topic: how often they come, and a warning when they no longer do.

    Args:
        topic: the topic, for the text.
        stage: the node that publishes it, for the text.
        silent_after: seconds without one that are worth a warning; the stages publish several
            times a second, whatever flies.
    """

    def __init__(self, topic: str, stage: str, silent_after: float = 5.0) -> None:
        self.topic, self.stage, self.silent_after = topic, stage, silent_after
        self._heard = Rate()
        self._since = math.nan

    def begin(self, now: float) -> None:
        """Listening begins: until the first picture the silence counts from here."""
        self._since = now

    def heard(self, now: float) -> None:
        """A picture came."""
        self._heard.add(now)
        self._since = now

    def silence(self, now: float) -> float:
        """Seconds since the last picture, or since listening began; NaN before that."""
        return now - self._since

    def report(self, report: Report, now: float) -> None:
        """Values ``input.rate`` [1/s] and ``input.age`` [s], and the warning."""
        report.put("input.rate", self._heard.per_second(now))
        report.put("input.age", self._heard.age(now))
        silence = self.silence(now)
        if silence > self.silent_after:
            report.find(
                WARN,
                f"nothing on {self.topic} for {silence:.0f} s: see the health of {self.stage}",
            )
