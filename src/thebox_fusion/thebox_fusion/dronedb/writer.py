# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The thread that fills the database, whatever happens to the file.

Rows wait in memory and go to the disk in batches. While the file cannot be written (no room, a
lock, a folder that went away) they wait on, events first of all, and writing is tried again; a
damaged file is moved aside and a new one begun with what could be saved of it. Nobody who hands
rows over ever waits.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thebox_fusion.dronedb.copies import quarantine, salvage
from thebox_fusion.dronedb.errors import DamagedError, StoreError
from thebox_fusion.dronedb.records import EventRow, Row, ZoneRow
from thebox_fusion.dronedb.store import Store

__all__ = ["Resumed", "Retention", "Writer"]

_EVENTS_LIMIT = 100_000
_LARGEST_BATCH = 5000
_RETRY_FIRST, _RETRY_LAST = 0.5, 10.0
_PRUNE_PERIOD = 60.0
_LOOK_PERIOD = 1.0  # seconds between two looks whether the file is still in its place
_RESUMED_SPAN = 24 * 3600 * 1_000_000_000


@dataclass(frozen=True)
class Retention:
    """How long and how much is kept.

    Attributes:
        days: of tracks, evidence and detections.
        event_days: of events.
        bytes_max: of the whole database; 0: no limit.
    """

    days: float = 30.0
    event_days: float = 365.0
    bytes_max: int = 10_000_000_000


@dataclass(frozen=True)
class Resumed:
    """What an opened database says of the time before.

    Attributes:
        zones: as they were set.
        announced: tracks reported as confirmed and not as lost, with text and severity.
        schema: version found, 0 for a new file.
    """

    zones: list[ZoneRow]
    announced: dict[str, tuple[str, int]]
    schema: int


class Writer:
    """Owns the :class:`~.store.Store`, in a thread of its own.

    Args:
        path: of the database.
        resumed: told in the thread once the database is open, and again after a quarantine.
        now: the time in nanoseconds, for retention.
        batch_period: seconds that rows wait for others.
        queue_size: rows of history held while they wait; beyond it the oldest is dropped.
        retention: how much is kept.
    """

    def __init__(
        self,
        path: Path,
        resumed: Callable[[Resumed], None] = lambda resumed: None,
        *,
        now: Callable[[], int] = time.time_ns,
        batch_period: float = 0.5,
        queue_size: int = 50_000,
        retention: Retention | None = None,
        page_limit: int = 0,
    ) -> None:
        self.path = path
        self.batch_period = batch_period
        self.queue_size = queue_size
        self.retention = retention or Retention()
        self._resumed = resumed
        self._now = now
        self._store = Store(path, page_limit=page_limit)
        self._events: deque[EventRow] = deque()
        self._rows: deque[Row] = deque()
        self._calls: deque[tuple[Callable[[Store], Any], Future[Any]]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._suspected = False
        self._thread: threading.Thread | None = None
        self._delay = _RETRY_FIRST
        self._next_prune = 0.0
        self._next_look = 0.0
        #: Why the database cannot be written now; empty while it can.
        self.fault = "it is being opened"
        #: Rows written, and those dropped because they waited too long, since the start.
        self.written = 0
        self.dropped = 0
        self.dropped_events = 0
        self.commits = 0
        #: Files moved aside because they were damaged.
        self.quarantined: list[str] = []
        self.bytes_used = 0
        self.schema = 0

    def start(self) -> None:
        """Start the thread, which opens the database."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="dronedb-writer", daemon=True)
        self._thread.start()

    def stop(self, patience: float = 10.0) -> None:
        """Write what waits, close the file and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(patience)
            self._thread = None

    @property
    def depth(self) -> int:
        """Rows that wait."""
        return len(self._events) + len(self._rows)

    def put(self, *rows: Row) -> None:
        """Hand rows over; returns at once."""
        with self._changed:
            for row in rows:
                if isinstance(row, EventRow):
                    self._events.append(row)
                else:
                    self._rows.append(row)
            while len(self._rows) > self.queue_size:
                self._rows.popleft()
                self.dropped += 1
            while len(self._events) > _EVENTS_LIMIT:
                self._events.popleft()
                self.dropped_events += 1
            self._changed.notify_all()

    def call(self, work: Callable[[Store], Any]) -> Future[Any]:
        """Do something with the store in the thread, after the events that wait.

        The future holds what ``work`` returned, then on the disk, or a StoreError: at once when
        the database cannot be written now.
        """
        future: Future[Any] = Future()
        with self._changed:
            if self._stopping or self._thread is None:
                future.set_exception(StoreError("the database is closed: activate dronedb"))
            else:
                self._calls.append((work, future))
                self._changed.notify_all()
        return future

    def suspect(self) -> None:
        """A reader found the file damaged: have it looked at."""
        with self._changed:
            self._suspected = True
            self._changed.notify_all()

    # In the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                if not self._store.is_open:
                    self._open()
                self._work()
                if self._stopping:
                    break
            except DamagedError as error:
                self._put_aside(error)
            except StoreError as error:
                self._fail(error)
            except Exception as error:
                # The thread must outlive any fault, and say it.
                self._fail(StoreError(f"fault in the database writer: {error!r}; please report it"))
            if self._stopping and self.fault:
                break
        self._store.close()
        self._refuse(StoreError("the database was closed"))
        self.fault = "closed"

    def _open(self) -> None:
        self.schema = self._store.open()
        self._next_prune = time.monotonic()
        self._resumed(
            Resumed(
                self._store.zones(),
                self._store.announced(self._now() - _RESUMED_SPAN),
                self.schema,
            )
        )
        self._well()

    def _well(self) -> None:
        self.fault = ""
        self._delay = _RETRY_FIRST

    def _work(self) -> None:
        """Write until something goes wrong or the end is near."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: (
                        self._stopping
                        or self._calls
                        or self._events
                        or self._suspected
                        or len(self._rows) >= _LARGEST_BATCH
                    ),
                    timeout=self.batch_period,
                )
                stopping = self._stopping
            self._look()
            self._flush()
            self._answer()
            if stopping:
                while self.depth:
                    self._flush()
                return
            if time.monotonic() >= self._next_prune:
                self._prune()

    def _look(self) -> None:
        if self._suspected:
            self._suspected = False
            self._store.abandon()
            self._store.open()  # not marked as closed in order: it is checked
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_PERIOD
            if not self._store.is_in_place:
                self._store.abandon()
                raise StoreError(f"{self.path} was moved or deleted: a new one is begun")
            self.bytes_used = self._store.bytes_used

    def _flush(self) -> None:
        """Write what waits, up to a batch; it leaves the queues once it is on the disk."""
        with self._changed:
            events = [self._events[i] for i in range(min(len(self._events), _LARGEST_BATCH))]
            room = _LARGEST_BATCH - len(events)
            rows = [self._rows.popleft() for _ in range(min(len(self._rows), room))]
        if not events and not rows:
            return
        try:
            self._store.write([*events, *rows])
        except BaseException:
            with self._changed:
                self._rows.extendleft(reversed(rows))
            raise
        with self._changed:
            for _ in range(min(len(events), len(self._events))):
                self._events.popleft()
        self.written += len(events) + len(rows)
        self.commits += 1
        self._well()

    def _answer(self) -> None:
        while True:
            with self._changed:
                if not self._calls or self._events:
                    return  # what waits goes first: it may be what the call is about
                work, future = self._calls.popleft()
            try:
                result = work(self._store)
            except StoreError as error:
                future.set_exception(error)
                raise
            except Exception as error:
                future.set_exception(error)
                continue
            future.set_result(result)

    def _prune(self) -> None:
        # A bounded piece of work; what is left over is done after the next batch.
        now, day = self._now(), 86_400_000_000_000
        deleted = self._store.prune(
            int(now - self.retention.days * day),
            int(now - self.retention.event_days * day),
            self.retention.bytes_max,
        )
        self._next_prune = time.monotonic() + (0.0 if deleted else _PRUNE_PERIOD)

    def _refuse(self, error: StoreError) -> None:
        with self._changed:
            calls, self._calls = self._calls, deque()
        for _, future in calls:
            future.set_exception(error)

    def _fail(self, error: StoreError) -> None:
        self.fault = str(error)
        self._refuse(error)
        # A fresh connection: one whose file went away never recovers.
        self._store.abandon()
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._calls, timeout=self._delay)
        self._delay = min(2 * self._delay, _RETRY_LAST)

    def _put_aside(self, error: DamagedError) -> None:
        self._store.abandon()
        try:
            kept = quarantine(self.path, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
            self.quarantined.append(str(kept))
            events, zones = salvage(kept)
            self._store.open()
            for begin in range(0, len(events), _LARGEST_BATCH):
                self._store.write(events[begin : begin + _LARGEST_BATCH])
            self._store.set_zones(zones)
            self._resumed(Resumed(zones, self._store.announced(self._now() - _RESUMED_SPAN), 0))
            self._well()
        except StoreError as second:
            self._fail(StoreError(f"{error}; {second}"))
