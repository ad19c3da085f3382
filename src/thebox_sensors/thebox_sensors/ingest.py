# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Takes bytes from a transport and hands them on, whatever happens to either. No ROS in here.

Two threads: the reader empties the socket as soon as bytes come, so that a burst waits here and
not in the kernel's small buffer; the worker parses and publishes. Between them a bounded queue
drops the oldest when full, and counts; a capture waits for room instead. A transport that cannot
be opened or is lost is opened again with back-off.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from thebox_sensors.transport import CaptureEnded, Datagram, Transport, TransportError

__all__ = ["Ingest"]


class Ingest:
    """The flow of bytes from one transport to one consumer.

    Args:
        make: makes a fresh transport, not yet opened; called for every connection.
        consume: takes datagrams, oldest first, in the worker's thread; it must not raise.
        connected: told in the worker's thread that a new connection begins, before its bytes.
        torn: told in the worker's thread that chunks of a stream were dropped before those that
            come next: what was begun in those before must not be ended by these.
        queue_size: datagrams held at most.
    """

    BACK_OFF_FIRST, BACK_OFF_LAST = 0.5, 10.0
    _POLL = 0.5
    _SHARE = 64
    #: Bytes held at most, whatever the number of datagrams: chunks of a stream may be large.
    BYTES_LIMIT = 8_388_608

    def __init__(
        self,
        make: Callable[[], Transport],
        consume: Callable[[Sequence[Datagram]], None],
        connected: Callable[[Transport], None] = lambda transport: None,
        queue_size: int = 5000,
        torn: Callable[[], None] = lambda: None,
    ) -> None:
        self._make = make
        self._consume = consume
        self._connected = connected
        self._torn = torn
        self._is_torn = False
        # A transport marks the beginning of its connection, so that a parser is reset in order.
        self._queue: deque[Datagram | Transport] = deque()
        self._queue_size = queue_size
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._threads: list[threading.Thread] = []
        self._transport: Transport | None = None
        #: Datagrams or chunks received, and those dropped because the queue was full.
        self.received = 0
        self.dropped = 0
        self.bytes = 0
        #: Connections lost or not had so far.
        self.reconnects = 0
        self._kernel_drops_before = 0
        self._given_up = ""
        self._delay = self.BACK_OFF_FIRST
        self._begun: Transport | None = None
        #: Why bytes cannot come now; empty while they can.
        self.fault = ""
        self.ended = False

    def start(self, name: str) -> None:
        """Start the two threads, named after the sensor."""
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._read_on, name=f"{name}-reader", daemon=True),
            threading.Thread(target=self._work_on, name=f"{name}-worker", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop both threads and close the transport; what is still queued is given up."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            transport = self._transport
        if transport is not None:
            transport.wake()
        for thread in self._threads:
            if thread.ident is not None:  # a start that was cut short leaves some not begun
                thread.join()
        self._threads = []
        self._queue.clear()
        self._queued_bytes = 0

    def reconnect(self, reason: str) -> None:
        """Give the connection up, because it is open but dead, and make a new one."""
        with self._changed:
            self._given_up = reason
            transport = self._transport
        if transport is not None:
            transport.wake()

    @property
    def depth(self) -> int:
        """Datagrams waiting."""
        return len(self._queue)

    @property
    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped, over all connections."""
        transport = self._transport
        return self._kernel_drops_before + (transport.kernel_drops if transport else 0)

    @property
    def notice(self) -> str:
        """What the operator should know though bytes flow."""
        transport = self._transport
        return transport.notice if transport is not None else ""

    @property
    def transport(self) -> Transport | None:
        """The open transport, to send on; None while there is none."""
        return self._transport if not self.fault else None

    def _read_on(self) -> None:
        self._delay = self.BACK_OFF_FIRST
        while not self._stopping:
            try:
                self._connect_once()
            except CaptureEnded:
                self.ended = True
                return
            except TransportError as error:
                self._fail(str(error))
            except Exception as error:  # the reader must outlive any fault, and say it
                self._fail(f"fault in the reader: {error!r}; please report it")
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, timeout=self._delay)
            self._delay = min(2 * self._delay, self.BACK_OFF_LAST)

    def _fail(self, why: str) -> None:
        self.fault = why
        self.reconnects += 1

    def _connect_once(self) -> None:
        """Read one connection until it ends."""
        transport = self._make()
        with self._changed:
            self._transport = transport
            self._given_up = ""
        try:
            # Looked at after the transport is known, so that stop() either is seen or wakes it.
            if self._stopping:
                return
            transport.open()
            self.fault = ""
            self._put(transport)
            while not self._stopping:
                batch = transport.receive(self._POLL)
                if self._given_up:
                    raise TransportError(self._given_up)
                if batch:
                    self._delay = self.BACK_OFF_FIRST
                    if transport.can_wait:
                        self._wait_for_room(len(batch))
                    self._put(*batch)
        finally:
            with self._changed:
                self._kernel_drops_before += transport.kernel_drops
                self._transport = None
            transport.close()

    def _wait_for_room(self, count: int) -> None:
        room = max(self._queue_size - count, 0)
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._stopping
                    or (len(self._queue) <= room and self._queued_bytes <= self.BYTES_LIMIT // 2)
                )
            )

    def _put(self, *items: Datagram | Transport) -> None:
        with self._changed:
            for item in items:
                if isinstance(item, Datagram):
                    self.received += 1
                    self.bytes += len(item.data)
                    self._queued_bytes += len(item.data)
                self._queue.append(item)
            while len(self._queue) > self._queue_size or self._queued_bytes > self.BYTES_LIMIT:
                oldest = self._queue.popleft()
                if isinstance(oldest, Datagram):
                    self.dropped += 1
                    self._queued_bytes -= len(oldest.data)
                    transport = self._transport
                    self._is_torn = self._is_torn or bool(transport and transport.is_stream)
                else:
                    # Its parser must be made anew all the same, before what is left.
                    self._begun = oldest
            self._changed.notify_all()

    def _work_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._stopping)
                if self._stopping:
                    return
                share: list[Datagram | Transport | None] = []
                if self._begun is not None:
                    share.append(self._begun)
                    self._begun = None
                if self._is_torn:
                    # What was dropped was the oldest: the tear is right before what is left.
                    share.append(None)
                    self._is_torn = False
                taken = [self._queue.popleft() for _ in range(min(len(self._queue), self._SHARE))]
                self._queued_bytes -= sum(len(i.data) for i in taken if isinstance(i, Datagram))
                share += taken
                self._changed.notify_all()  # a reader may wait for room
            self._take(share)

    def _take(self, share: Sequence[Datagram | Transport | None]) -> None:
        batch: list[Datagram] = []
        for item in share:
            if isinstance(item, Datagram):
                batch.append(item)
                continue
            if batch:
                self._consume(batch)
                batch = []
            if item is None:
                self._torn()
            else:
                self._connected(item)
        if batch:
            self._consume(batch)
