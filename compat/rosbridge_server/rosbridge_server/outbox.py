# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What is sent to one client of the bridge: a bounded queue, the oldest of a topic dropped first.

Runs in the event loop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rosbridge_server.fragments import parts_of

__all__ = ["Outbox"]

#: Bytes that may wait for one client. Published messages are dropped for it, oldest first.
_QUEUE_BYTES = 16 * 2**20
#: Places of dropped messages that the queue may carry along.
_EMPTY_PLACES = 4096


@dataclass(eq=False)
class _Waiting:
    """One frame in the queue; ``payload`` is None once it was dropped."""

    payload: bytes | str | None
    topic: str | None


class Outbox:
    """The queue of one client.

    Args:
        send: sends one frame; waits while the client does not take it.
        overflow: told once when more waits than may, and nothing of it can be dropped: answers.
        fragment_size: characters beyond which a text goes in parts; None or 0: never.
        delay: seconds to wait between two frames.
    """

    def __init__(
        self,
        send: Callable[[bytes | str], Awaitable[None]],
        overflow: Callable[[], None],
        *,
        fragment_size: int | None,
        delay: float,
    ) -> None:
        self.fragment_size = fragment_size
        #: Frames sent, published messages dropped.
        self.sent = self.dropped = 0
        self._send = send
        self._overflow = overflow
        self._delay = delay
        self._queue: deque[_Waiting] = deque()
        self._per_topic: dict[str, deque[_Waiting]] = {}
        self._bytes = 0
        self._something = asyncio.Event()
        self._sending_since = math.inf
        self._next_fragment = 0

    @property
    def sending_for(self) -> float:
        """Seconds that the client has not taken the frame that is being sent; 0: none is."""
        return max(0.0, time.monotonic() - self._sending_since)

    @property
    def waiting(self) -> int:
        """Bytes that wait to be sent."""
        return self._bytes

    async def pump(self, taken: Callable[[], None]) -> None:
        """Send what is queued, until cancelled; ``taken`` is called after each frame."""
        while True:
            await self._something.wait()
            while self._queue:
                waiting = self._queue.popleft()
                if waiting.payload is None:
                    continue
                payload = waiting.payload
                self._bytes -= len(payload)
                if waiting.topic is not None:
                    self._per_topic[waiting.topic].popleft()
                self._sending_since = time.monotonic()
                await self._send(payload)
                self._sending_since = math.inf
                self.sent += 1
                taken()
                if self._delay > 0:
                    await asyncio.sleep(self._delay)
            self._something.clear()

    def put(self, payload: bytes | str, topic: str | None = None, depth: int = 0) -> None:
        """Queue one frame; of a topic's, the newest ``depth`` wait."""
        waiting = _Waiting(payload, topic)
        if topic is not None:
            line = self._per_topic.setdefault(topic, deque())
            while len(line) >= depth:
                self._drop_oldest(topic)
            line.append(waiting)
        self._queue.append(waiting)
        self._bytes += len(payload)
        while self._bytes > _QUEUE_BYTES:
            heaviest = max(
                self._per_topic,
                key=lambda name: sum(len(w.payload or b"") for w in self._per_topic[name]),
                default=None,
            )
            if heaviest is None or not self._per_topic[heaviest]:
                self._overflow()
                self._queue.clear()
                self._bytes = 0
                return
            self._drop_oldest(heaviest)
        self._something.set()

    def put_text(
        self,
        text: str,
        identity: object,
        fragment_size: int | None,
        topic: str | None = None,
        depth: int = 0,
    ) -> None:
        """Queue a text; in fragments where it is larger than they may be."""
        size = fragment_size or self.fragment_size
        if not size or len(text) <= size:
            self.put(text, topic, depth)
            return
        if identity is None:
            identity = self._next_fragment
            self._next_fragment += 1
        # A message with a part missing is lost whole: parts are not dropped one by one.
        for part in parts_of(text, size, identity):
            self.put(part)

    def _drop_oldest(self, topic: str) -> None:
        waiting = self._per_topic[topic].popleft()
        self._bytes -= len(waiting.payload or b"")
        # Left in its place in the queue, empty: to find it there would take a search.
        waiting.payload = None
        self.dropped += 1
        # A client that takes nothing must not pile up the empty places either.
        if len(self._queue) > _EMPTY_PLACES:
            self._queue = deque(each for each in self._queue if each.payload is not None)
