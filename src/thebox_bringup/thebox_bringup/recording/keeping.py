# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The threads that keep what was heard: into a bag at once, or in a ring that may become one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from thebox_bringup.recording.bag import BagError, BagWriter, Recorded, Topic

__all__ = ["BagThread", "Ring"]


class BagThread:
    """Writes a bag in a thread of its own, so that a slow disk holds nothing up.

    Args:
        path: of the bag.
        bytes_max: of messages that wait; beyond it the oldest is dropped and counted.
    """

    def __init__(self, path: Path, bytes_max: int = 200_000_000) -> None:
        self.writer = BagWriter(path)
        self._bytes_max = bytes_max
        self._waiting: deque[Recorded] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self.dropped = 0
        #: Why the bag cannot be written; empty while it can.
        self.fault = ""
        self._thread = threading.Thread(target=self._run, name="bag-writer", daemon=True)
        self._thread.start()

    def add(self, topic: Topic) -> None:
        """Announce a topic before its messages.

        Raises:
            BagError: its type's definition is not installed.
        """
        self.writer.add(topic)

    def put(self, *messages: Recorded) -> None:
        """Hand messages over; returns at once."""
        with self._changed:
            for message in messages:
                self._waiting.append(message)
                self._bytes += len(message.data)
            while self._bytes > self._bytes_max:
                self._bytes -= len(self._waiting.popleft().data)
                self.dropped += 1
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                batch = list(self._waiting)
                self._waiting.clear()
                self._bytes = 0
                if not batch and self._closing:
                    return
            for message in batch:
                try:
                    self.writer.write(*message)
                except BagError as error:  # noqa: PERF203 - one message must not cost the rest
                    self.fault = str(error)
                    self.dropped += 1

    def close(self, parameters: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Write what waits, and finish the bag.

        Raises:
            BagError: it could not be finished.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        if parameters:
            self.writer.set_parameters({name: dict(values) for name, values in parameters.items()})
        self.writer.close()


class Ring:
    """The last minutes in memory; a bag that is begun has them and all that follows.

    Args:
        seconds: kept.
        bytes_max: kept at most, whatever the time.
        make: begins a bag; replaced in tests.
    """

    def __init__(
        self,
        seconds: float,
        bytes_max: int,
        make: Callable[[Path], BagThread] = BagThread,
    ) -> None:
        self.seconds = seconds
        self.bytes_max = bytes_max
        self._make = make
        self._kept: deque[Recorded] = deque()
        self._latched: dict[str, Recorded] = {}
        self._topics: dict[str, Topic] = {}
        self._lock = threading.Lock()
        self.bytes = 0
        self._bag: BagThread | None = None
        self._until = 0

    def add(self, topic: Topic) -> None:
        """Announce a topic before its messages."""
        with self._lock:
            self._topics[topic.name] = topic
            if self._bag is not None:
                self._bag.add(topic)

    def put(self, message: Recorded) -> None:
        """Take a message."""
        with self._lock:
            self._kept.append(message)
            self.bytes += len(message.data)
            oldest = message.stamp - round(self.seconds * 1e9)
            # A clock that was set back begins the ring anew, in time.
            while self._kept and (
                not oldest <= self._kept[0].stamp <= message.stamp + 10**9
                or self.bytes > self.bytes_max
            ):
                gone = self._kept.popleft()
                self.bytes -= len(gone.data)
                if self._topics[gone.topic].latched:
                    self._latched[gone.topic] = gone
            if self._bag is not None:
                self._bag.put(message)

    @property
    def span(self) -> float:
        """Seconds held."""
        with self._lock:
            if not self._kept:
                return 0.0
            return (self._kept[-1].stamp - self._kept[0].stamp) * 1e-9

    @property
    def saving(self) -> Path | None:
        """The bag that is being written; None for none."""
        bag = self._bag
        return bag.writer.path if bag is not None else None

    @property
    def fault(self) -> str:
        """Why the bag that is being written cannot be; empty while it can."""
        bag = self._bag
        return bag.fault if bag is not None else ""

    def save(self, path: Path, until: int) -> Path:
        """Begin a bag with all that is held; one that is being written goes on in its place.

        Args:
            path: of the bag.
            until: stamp up to which it goes on, nanoseconds.

        Returns:
            where it is written.

        Raises:
            BagError: it cannot be begun.
        """
        with self._lock:
            if self._bag is None:
                bag = self._make(path)
                for topic in self._topics.values():
                    bag.add(topic)
                begin = self._kept[0].stamp if self._kept else 0
                # What was latched before is still in force: it opens the bag.
                bag.put(*(Recorded(m.topic, begin, m.data) for m in self._latched.values()))
                bag.put(*self._kept)
                self._bag = bag
            self._until = max(self._until, until)
            return self._bag.writer.path

    def finish(
        self, now: int, parameters: Mapping[str, Mapping[str, Any]], *, at_once: bool = False
    ) -> Path | None:
        """Finish the bag when its time is over; return it then, None while there is none.

        Raises:
            BagError: it could not be finished.
        """
        with self._lock:
            if self._bag is None or (now < self._until and not at_once):
                return None
            bag, self._bag = self._bag, None
            self._until = 0
        bag.close(parameters)
        return bag.writer.path


def bag_name(reason: str) -> str:
    """Name of a bag that begins now: time in UTC and why."""
    return time.strftime(f"%Y%m%dT%H%M%SZ-{reason}", time.gmtime())
