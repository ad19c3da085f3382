# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from thebox_sensors.ingest import Ingest
from thebox_sensors.transport import (
    Datagram,
    Transport,
    TransportError,
    TransportUrl,
    UdpTransport,
    open_transport,
)

BOUND = 20.0


def wait(what: Callable[[], object], why: str) -> None:
    deadline = time.monotonic() + BOUND
    while not what():
        assert time.monotonic() < deadline, f"waited in vain: {why}"
        time.sleep(0.002)


class Sink:
    """Takes what an Ingest hands on; closes its gate to be slow."""

    def __init__(self) -> None:
        self.taken: list[object] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def consume(self, batch: Sequence[Datagram]) -> None:
        self.entered.set()
        assert self.gate.wait(BOUND)
        self.taken += [datagram.data for datagram in batch]

    def connected(self, transport: Transport) -> None:
        self.taken.append(transport.url.text)


@pytest.fixture
def sink() -> Iterator[Sink]:
    each = Sink()
    yield each
    each.gate.set()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and "sensor-" in t.name]
    assert not left


class Flaky(Transport):
    """A transport of the test's own: fails as told, hands on what it is given."""

    def __init__(self, failures: list[Exception], given: list[list[bytes]]) -> None:
        super().__init__(TransportUrl("udp", "flaky", 1))
        self._failures, self._given = failures, given

    def open(self) -> None:
        if self._failures:
            raise self._failures.pop(0)

    def receive(self, timeout: float) -> list[Datagram]:
        if self._given:
            return [Datagram(data, math.nan) for data in self._given.pop(0)]
        self._wait(None, timeout)
        return []


def test_bytes_flow_from_a_socket_in_order(sink: Sink) -> None:
    made: list[UdpTransport] = []

    def make() -> Transport:
        transport = open_transport("udp://127.0.0.1:0")
        assert isinstance(transport, UdpTransport)
        made.append(transport)
        return transport

    ingest = Ingest(make, sink.consume, sink.connected)
    ingest.start("sensor")
    wait(lambda: sink.taken, "the connection")
    assert sink.taken == ["udp://127.0.0.1:0"]
    sent = [str(number).encode() for number in range(500)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        for data in sent:
            sending.sendto(data, ("127.0.0.1", made[0].port))
    wait(lambda: len(sink.taken) == 501, "all datagrams")
    assert sink.taken[1:] == sent
    assert (ingest.received, ingest.bytes) == (500, sum(map(len, sent)))
    assert (ingest.dropped, ingest.kernel_drops, ingest.fault) == (0, 0, "")
    ingest.stop()
    # The port is free again.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", made[0].port))


def test_a_full_queue_drops_the_oldest_and_counts(sink: Sink) -> None:
    numbers = [str(number).encode() for number in range(101)]
    ingest = Ingest(lambda: Flaky([], [[numbers[0]], numbers[1:]]), sink.consume, queue_size=10)
    sink.gate.clear()
    ingest.start("sensor")
    wait(lambda: ingest.received == 101, "all received")
    sink.gate.set()
    wait(lambda: sink.taken[-1:] == [numbers[-1]], "the newest")
    assert sink.taken[-10:] == numbers[-10:]
    assert ingest.dropped + len(sink.taken) == 101
    assert ingest.dropped in (90, 91)  # 90 once the first had been taken
    assert ingest.depth == 0
    ingest.stop()


def test_large_chunks_are_bounded_by_their_bytes(sink: Sink) -> None:
    chunks = [bytes([number]) * 65_536 for number in range(200)]
    ingest = Ingest(lambda: Flaky([], [[b"x"], chunks]), sink.consume, queue_size=5000)
    sink.gate.clear()
    ingest.start("sensor")
    wait(lambda: ingest.received == 201, "all received")
    assert ingest.depth * 65_536 <= Ingest.BYTES_LIMIT + 65_536
    sink.gate.set()
    wait(lambda: sink.taken[-1:] == [chunks[-1]], "the newest")
    assert sink.taken[-100:] == chunks[-100:]
    assert ingest.dropped + len(sink.taken) == 201
    assert ingest._queued_bytes == 0
    ingest.stop()


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_stream_that_lost_chunks_is_torn_before_what_is_left(sink: Sink, is_stream: bool) -> None:
    numbers = [str(number).encode() for number in range(101)]

    def make() -> Flaky:
        made = Flaky([], [[numbers[0]], numbers[1:]])
        made.is_stream = is_stream
        return made

    ingest = Ingest(
        make, sink.consume, sink.connected, queue_size=10, torn=lambda: sink.taken.append("torn")
    )
    sink.gate.clear()
    ingest.start("sensor")
    wait(lambda: ingest.received == 101, "all received")
    sink.gate.set()
    wait(lambda: sink.taken[-1:] == [numbers[-1]], "the newest")
    # Datagrams are whole: one that is missing takes nothing from the others.
    assert sink.taken[-11:-10] == (["torn"] if is_stream else sink.taken[-11:-10])
    assert sink.taken.count("torn") == is_stream
    assert sink.taken[-10:] == numbers[-10:]
    # The connection's beginning comes first, also where it was dropped itself.
    assert sink.taken[0] == "udp://flaky:1"
    ingest.stop()


def test_a_flood_never_drops_the_beginning_of_a_connection(sink: Sink) -> None:
    numbers = [str(number).encode() for number in range(100)]
    again = [Flaky([], [numbers]), Flaky([], [[b"x"], numbers[:50]])]
    ingest = Ingest(again.pop, sink.consume, sink.connected, queue_size=10)
    sink.gate.clear()
    ingest.start("sensor")
    wait(lambda: ingest.received == 51, "the first connection")
    ingest.reconnect("it was dead")
    ingest._delay = 0.0
    wait(lambda: ingest.received == 151, "the second connection")
    sink.gate.set()
    wait(lambda: sink.taken[-1:] == [numbers[-1]], "the newest")
    # Its parser is made anew before anything of the second connection is read.
    mark = len(sink.taken) - 1 - sink.taken[::-1].index("udp://flaky:1")
    assert sink.taken[mark + 1 :] == numbers[-10:]
    assert sink.taken.count("udp://flaky:1") == 2
    ingest.stop()


def test_a_capture_waits_for_room_and_loses_nothing(tmp_path: Path, sink: Sink) -> None:
    lines = [str(number).encode() for number in range(3000)]
    path = tmp_path / "capture.txt"
    path.write_bytes(b"\n".join(lines) + b"\n")
    ingest = Ingest(lambda: open_transport(f"file://{path}?rate=max"), sink.consume, queue_size=100)
    sink.gate.clear()
    ingest.start("sensor")
    assert sink.entered.wait(BOUND)
    wait(lambda: ingest.depth > 36, "a queue without room")
    sink.gate.set()
    wait(lambda: ingest.ended and len(sink.taken) == len(lines), "the end of the capture")
    assert sink.taken == lines
    assert ingest.dropped == 0
    assert ingest.fault == ""
    ingest.stop()


def test_a_stop_ends_a_capture_that_waits_for_room(tmp_path: Path, sink: Sink) -> None:
    path = tmp_path / "capture.txt"
    path.write_bytes(b"x\n" * 10_000)
    ingest = Ingest(
        lambda: open_transport(f"file://{path}?rate=max&loop=true"), sink.consume, queue_size=100
    )
    ingest.start("sensor")
    wait(lambda: len(sink.taken) > 20_000, "the second lap")
    stop_within_bound(ingest)


def test_back_off_doubles_up_to_its_last_and_the_fault_is_told(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ingest, "BACK_OFF_FIRST", 0.01)
    monkeypatch.setattr(Ingest, "BACK_OFF_LAST", 0.04)
    delays: list[float] = []
    failures: list[Exception] = [TransportError(f"failure {n}") for n in range(5)]
    told: list[str] = []

    def make() -> Transport:
        delays.append(ingest._delay)
        told.append(ingest.fault)
        return Flaky(failures, [[b"data"]])

    ingest = Ingest(make, sink.consume, sink.connected)
    ingest.start("sensor")
    wait(lambda: b"data" in sink.taken, "bytes after five failures")
    assert delays == [0.01, 0.02, 0.04, 0.04, 0.04, 0.04]
    assert told == ["", *(f"failure {n}" for n in range(5))]
    assert ingest.reconnects == 5
    assert ingest.fault == ""
    wait(lambda: ingest._delay == 0.01, "back-off begins anew once bytes flow")
    ingest.stop()


def test_no_fault_of_a_transport_ends_the_reader(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ingest, "BACK_OFF_FIRST", 0.01)
    failures: list[Exception] = [ValueError("odd"), RuntimeError("odder"), KeyError("oddest")]
    told: list[str] = []

    def make() -> Transport:
        told.append(ingest.fault)
        if len(told) == 4:
            raise TransportError("it could not even be made")
        return Flaky(failures, [[b"data"]])

    ingest = Ingest(make, sink.consume)
    ingest.start("sensor")
    wait(lambda: b"data" in sink.taken, "bytes after all failures")
    assert told[4:] == ["it could not even be made"]
    assert "fault in the reader: ValueError('odd')" in told[1]
    assert "oddest" in told[3]
    ingest.stop()


def test_a_dead_connection_is_made_anew(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ingest, "BACK_OFF_FIRST", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(BOUND)
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        ingest = Ingest(lambda: open_transport(url), sink.consume, sink.connected)
        ingest.start("sensor")
        first, _ = server.accept()
        first.sendall(b"one")
        wait(lambda: b"one" in sink.taken, "the first connection's bytes")
        first.close()
        second, _ = server.accept()
        second.sendall(b"two")
        wait(lambda: b"two" in sink.taken, "the second connection's bytes")
        ingest.reconnect("silent")
        third, _ = server.accept()
        third.sendall(b"three")
        wait(lambda: b"three" in sink.taken, "the third connection's bytes")
        assert sink.taken == [url, b"one", url, b"two", url, b"three"]
        assert ingest.reconnects == 2
        ingest.stop()
        second.close()
        third.close()


def stop_within_bound(ingest: Ingest) -> None:
    stopping = threading.Thread(target=ingest.stop)
    stopping.start()
    stopping.join(BOUND)
    assert not stopping.is_alive()


@pytest.mark.parametrize(
    "url",
    [
        "udp://127.0.0.1:0",  # waits in receive
        "udp://192.0.2.1:1",  # in back-off
        "tcp://127.0.0.1:1",  # refused, in back-off
        "file:///nowhere",
    ],
)
def test_stop_joins_in_any_state(url: str, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    # A stop that were not to wake these waits would not come back within the bound.
    monkeypatch.setattr(Ingest, "_POLL", 600.0)
    monkeypatch.setattr(Ingest, "BACK_OFF_FIRST", 600.0)
    ingest = Ingest(lambda: open_transport(url), sink.consume, sink.connected)
    ingest.start("sensor")
    wait(lambda: sink.taken or ingest.fault, "open or failed")
    stop_within_bound(ingest)


def test_a_hundred_starts_and_stops_at_any_moment_leak_nothing(sink: Sink) -> None:
    def once() -> None:
        ingest = Ingest(lambda: open_transport("udp://127.0.0.1:0"), sink.consume)
        ingest.start("sensor")
        ingest.stop()
        ingest.stop()  # twice is allowed

    once()
    threads, descriptors = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(100):
        once()
    assert threading.active_count() == threads
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_kernel_drops_are_kept_over_connections(sink: Sink) -> None:
    made: list[UdpTransport] = []

    def make() -> Transport:
        transport = open_transport("udp://127.0.0.1:0")
        assert isinstance(transport, UdpTransport)
        made.append(transport)
        return transport

    ingest = Ingest(make, sink.consume, sink.connected)
    ingest.start("sensor")
    wait(lambda: sink.taken, "the first connection")
    made[0].kernel_drops = 7
    assert ingest.kernel_drops == 7
    ingest.reconnect("dead")
    wait(lambda: len(sink.taken) == 2, "the second connection")
    assert ingest.kernel_drops == 7
    made[1].kernel_drops = 2
    assert ingest.kernel_drops == 9
    ingest.stop()
    assert ingest.kernel_drops == 9
