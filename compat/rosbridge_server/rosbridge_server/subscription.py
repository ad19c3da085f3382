# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""One topic as a client of the bridge hears it."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from rosbridge_server.graph import Incoming, Listener

__all__ = ["Subscription"]


@dataclass(eq=False)
class Subscription:
    """One topic as this client hears it: the sum of all its subscribe operations."""

    topic: str
    listener: Listener
    wishes: dict[object, dict[str, Any]] = field(default_factory=dict)
    throttle: float = 0.0
    queue_length: int = 0
    fragment_size: int | None = None
    compression: str = "none"
    last: float = -math.inf
    held: deque[Incoming] = field(default_factory=deque)
    timer: asyncio.TimerHandle | None = None

    def settle(self) -> None:
        """Work out what serves all of the client's wishes, as upstream does."""
        wishes = list(self.wishes.values())
        self.throttle = min(w["throttle_rate"] for w in wishes) / 1000.0
        self.queue_length = min(w["queue_length"] for w in wishes)
        sizes = [w["fragment_size"] for w in wishes if w["fragment_size"] is not None]
        self.fragment_size = min(sizes) if sizes else None
        asked = {w["compression"] for w in wishes}
        order = ("cbor-raw", "cbor", "png")
        self.compression = next((name for name in order if name in asked), "none")
        self.held = deque(self.held, maxlen=self.queue_length or 1)
