# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import contextlib
import itertools
import json
import math
import os
import socket
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thebox_sensors.transport import (
    CaptureEnded,
    Datagram,
    FileTransport,
    TcpTransport,
    Transport,
    TransportError,
    TransportUrlError,
    UdpTransport,
    open_transport,
    parse_url,
)

BOUND = 20.0


@contextlib.contextmanager
def opened(url: str, **options: object) -> Iterator[Transport]:
    transport = open_transport(url, **options)  # type: ignore[arg-type]
    try:
        transport.open()
        yield transport
    finally:
        transport.close()
        transport.close()  # twice is allowed


def collect(transport: Transport, count: int) -> list[Datagram]:
    """Receive until so many have come."""
    got: list[Datagram] = []
    deadline = time.monotonic() + BOUND
    while len(got) < count:
        assert time.monotonic() < deadline, f"{len(got)} of {count} came"
        got += transport.receive(0.2)
    return got


def sender() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


# URLs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("udp://0.0.0.0:8888", {"scheme": "udp", "host": "0.0.0.0", "port": 8888}),  # noqa: S104
        ("udp://[::1]:1", {"host": "::1", "text": "udp://[::1]:1"}),
        ("udp://127.0.0.1:5?group=227.228.229.230", {"group": "227.228.229.230"}),
        ("tcp://sensor.local:9000/", {"scheme": "tcp", "host": "sensor.local", "port": 9000}),
        ("serial:///dev/ttyUSB0?baud=57600", {"path": "/dev/ttyUSB0", "baud": 57600}),
        ("serial:///dev/ttyUSB0", {"baud": 115_200}),
        ("file:///a/b%20c.txt", {"path": "/a/b c.txt", "rate": 1.0, "loop": False}),
        ("file:///a#1?rate=max&loop=true", {"path": "/a#1", "rate": math.inf, "loop": True}),
        ("file://relative/x?rate=0.5", {"path": "relative/x", "rate": 0.5}),
    ],
)
def test_urls(url: str, expected: dict[str, object]) -> None:
    parsed = parse_url(url)
    assert {key: getattr(parsed, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "names no known transport"),
        ("8888", "names no known transport"),
        ("http://host:80", "names no known transport"),
        ("udp://host", "a host and a port"),
        ("udp://:8888", "a host and a port"),
        ("udp://host:99999", "out of range"),
        ("udp://host:x", "no transport URL"),
        ("udp://[::1:5", "no transport URL"),
        ("udp://h:1?baud=3", "has no option 'baud'"),
        ("tcp://h:1?group", "has no option 'group'"),
        ("udp://h:1/path", "nothing but a host and a port"),
        ("udp://user@h:1", "nothing but a host and a port"),
        ("tcp://h:0", "port 0"),
        ("udp://127.0.0.1:1?group=10.0.0.1", "no multicast address"),
        ("udp://127.0.0.1:1?group=", "Expected 4 octets|empty"),
        ("udp://name:1?group=239.0.0.1", "Expected 4 octets"),
        (f"udp://{'a' * 70}:1", "label|idna"),
        ("udp://h\x00:1", "cannot be printed"),
        ("file://", "a path is needed"),
        ("file:///a%00b", "a path is needed"),
        ("file:///a?rate=0", "rate at least"),
        ("file:///a?rate=-1", "rate at least"),
        ("file:///a?rate=nan", "rate at least"),
        ("file:///a?rate=fast", "could not convert"),
        ("file:///a?loop=yes", "loop is true or false"),
        ("serial:///dev/x?baud=0", "baud must be above 0"),
        ("serial:///dev/x?baud=1e9", "invalid literal"),
    ],
)
def test_wrong_urls_say_what_is_wrong_and_what_is_right(url: str, why: str) -> None:
    with pytest.raises(TransportUrlError, match=why):
        parse_url(url)
    with pytest.raises(TransportUrlError):
        open_transport(url)


PIECES = st.sampled_from(
    (
        *("udp", "tcp", "serial", "file", "://", ":", "/", "?", "&", "=", "[", "]", "@", "#"),
        *("group", "rate", "loop", "max", "nan", "inf", "1e999", "%00"),
        *("127.0.0.1", "::1", "8888", "9" * 30),
    )
)


@settings(max_examples=600)
@given(st.one_of(st.text(), st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join)))
def test_no_text_raises_anything_but_its_own_error(url: str) -> None:
    try:
        parsed = parse_url(url)
    except TransportUrlError as error:
        assert str(error)
    else:
        assert parsed.scheme in ("udp", "tcp", "serial", "file")
        transport = open_transport(url)
        assert transport.url == parsed
        transport.close()


@settings(max_examples=100)
@given(
    st.lists(PIECES | st.text(max_size=5), max_size=6).map("".join),
    st.sampled_from(["file:///nowhere/", "serial:///nowhere/"]),
)
def test_no_path_makes_open_raise_anything_but_its_own_error(tail: str, head: str) -> None:
    with contextlib.suppress(TransportUrlError, TransportError), opened(head + tail):
        pytest.fail("a path that is not there was opened")


# UDP -------------------------------------------------------------------------------------------


def test_udp_datagrams_come_whole_in_order_with_the_kernels_stamp() -> None:
    with opened("udp://127.0.0.1:0") as transport, sender() as sending:
        assert isinstance(transport, UdpTransport)
        before = time.time()
        sent = [b"", b"\x00\xff", b"x" * 60_000, *(str(i).encode() for i in range(200))]
        for data in sent:
            sending.sendto(data, ("127.0.0.1", transport.port))
        after = time.time()
        got = collect(transport, len(sent))
    assert [datagram.data for datagram in got] == sent
    arrivals = [datagram.arrival for datagram in got]
    # The stamp is taken at arrival, not when it was read; the kernel's clock is coarser.
    assert before - 0.02 <= min(arrivals)
    assert max(arrivals) <= after + 0.02
    assert arrivals == sorted(arrivals)


def test_udp_batches_are_bounded_and_empty_after_the_timeout() -> None:
    with opened("udp://127.0.0.1:0") as transport, sender() as sending:
        assert isinstance(transport, UdpTransport)
        assert transport.receive(0.0) == []
        for _ in range(300):
            sending.sendto(b"x", ("127.0.0.1", transport.port))
        assert 0 < len(transport.receive(1.0)) <= 64


def test_udp_ipv6() -> None:
    try:
        with opened("udp://[::1]:0") as transport:
            assert isinstance(transport, UdpTransport)
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sending:
                sending.sendto(b"six", ("::1", transport.port))
                assert collect(transport, 1)[0].data == b"six"
    except TransportError as error:
        if "address" not in str(error):
            raise
        pytest.skip("this machine has no IPv6 loopback")


def test_udp_multicast_group() -> None:
    with opened("udp://127.0.0.1:0?group=239.77.66.55") as transport, sender() as sending:
        assert isinstance(transport, UdpTransport)
        sending.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sending.sendto(b"beacon", ("239.77.66.55", transport.port))
        assert collect(transport, 1)[0].data == b"beacon"


def test_udp_port_taken_says_what_to_do_and_is_taken_once_free() -> None:
    with sender() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        taken = open_transport(f"udp://127.0.0.1:{port}")
        with pytest.raises(TransportError, match=f"UDP port {port} is taken.*source"):
            taken.open()
        taken.close()
    with opened(f"udp://127.0.0.1:{port}") as transport, sender() as sending:
        sending.sendto(b"free", ("127.0.0.1", port))
        assert collect(transport, 1)[0].data == b"free"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("udp://192.0.2.1:5555", "not an address of this machine"),
        ("udp://no-such-host.invalid:5555", "is not known"),
    ],
)
def test_udp_addresses_that_cannot_be_bound(url: str, why: str) -> None:
    transport = open_transport(url)
    with pytest.raises(TransportError, match=why):
        transport.open()
    transport.close()


def test_udp_counts_what_the_kernel_dropped() -> None:
    with opened("udp://127.0.0.1:0", receive_buffer=4096) as transport, sender() as sending:
        assert isinstance(transport, UdpTransport)
        sent = 500
        for _ in range(sent):
            sending.sendto(b"y" * 1000, ("127.0.0.1", transport.port))
        got = 0
        while batch := transport.receive(0.0):
            got += len(batch)
        assert got < sent
        # The count travels with the datagrams: the next one to arrive tells it.
        sending.sendto(b"z", ("127.0.0.1", transport.port))
        collect(transport, 1)
        assert transport.kernel_drops == sent - got


def test_udp_answers_whoever_sent_last() -> None:
    with opened("udp://127.0.0.1:0") as transport, sender() as sending:
        assert isinstance(transport, UdpTransport)
        with pytest.raises(TransportError, match="nobody has sent"):
            transport.send(b"a")
        sending.settimeout(BOUND)
        sending.sendto(b"q", ("127.0.0.1", transport.port))
        collect(transport, 1)
        transport.send(b"answer")
        assert sending.recv(100) == b"answer"


# Any -------------------------------------------------------------------------------------------


def test_wake_ends_a_wait_at_once_and_from_another_thread() -> None:
    with opened("udp://127.0.0.1:0") as transport:
        returned = threading.Event()

        def wait() -> None:
            transport.receive(600.0)
            returned.set()

        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        transport.wake()
        assert returned.wait(BOUND)
        waiting.join()
        for _ in range(100_000):  # more than the waking socket holds
            transport.wake()
        assert transport.receive(600.0) == []
    transport.wake()  # closed: harmless


@pytest.mark.parametrize(
    "url", ["udp://127.0.0.1:0", "tcp://127.0.0.1:9", "serial:///dev/null", "file:///dev/null"]
)
def test_not_open(url: str) -> None:
    transport = open_transport(url)
    with pytest.raises(TransportError):
        transport.receive(0.0)
    with pytest.raises(TransportError):
        transport.send(b"x")
    transport.close()


def test_no_descriptor_is_leaked(tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    capture.write_bytes(b"a\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        urls = (
            "udp://127.0.0.1:0",
            f"file://{capture}",
            f"tcp://127.0.0.1:{server.getsockname()[1]}",
        )
        for url in urls:
            with opened(url):
                pass
        before = len(list(Path("/proc/self/fd").iterdir()))
        for url in urls * 20:
            with opened(url):
                pass
        for url in ("udp://192.0.2.1:1", "file:///nowhere", "serial:///nowhere"):
            with pytest.raises(TransportError), opened(url):
                pass
        assert len(list(Path("/proc/self/fd").iterdir())) == before


# TCP -------------------------------------------------------------------------------------------


def test_tcp_stream_both_ways_and_its_end() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        opened(f"tcp://127.0.0.1:{server.getsockname()[1]}") as transport,
    ):
        assert transport.is_stream
        peer, _ = server.accept()
        with peer:
            peer.settimeout(BOUND)
            assert transport.receive(0.0) == []
            peer.sendall(b"hello")
            assert collect(transport, 1)[0].data == b"hello"
            big = os.urandom(300_000)
            reading = bytearray()
            done = threading.Thread(
                target=lambda: [
                    reading.extend(peer.recv(65_536))
                    for _ in iter(lambda: len(reading) < len(big), False)
                ]
            )
            done.start()
            transport.send(big)
            done.join(BOUND)
            assert bytes(reading) == big
        with pytest.raises(TransportError, match="closed the connection"):
            collect(transport, 1)


def test_tcp_refused_and_had_once_somebody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    refused = open_transport(f"tcp://127.0.0.1:{port}")
    with pytest.raises(TransportError, match="refuses: is the sensor on"):
        refused.open()
    refused.close()
    with socket.create_server(("127.0.0.1", port)), opened(f"tcp://127.0.0.1:{port}"):
        pass


def test_tcp_a_peer_that_takes_nothing_is_given_up() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        opened(f"tcp://127.0.0.1:{server.getsockname()[1]}") as transport,
        pytest.raises(TransportError, match="takes no bytes"),
    ):
        transport.send(b"x" * 50_000_000)


def test_tcp_a_connect_that_hangs_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TcpTransport, "CONNECT_TIMEOUT", 600.0)
    with socket.socket() as full:
        # A backlog that is full leaves further connects unanswered.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        crowd = []
        try:
            for _ in range(4):
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex(full.getsockname())
                crowd.append(one)
            transport = open_transport(f"tcp://127.0.0.1:{full.getsockname()[1]}")
            failed = threading.Event()

            def connect() -> None:
                with contextlib.suppress(TransportError):
                    transport.open()
                failed.set()

            threading.Thread(target=connect, daemon=True).start()
            transport.wake()
            assert failed.wait(BOUND)
            transport.close()
        finally:
            for one in crowd:
                one.close()


# Serial ----------------------------------------------------------------------------------------


@pytest.fixture
def line() -> Iterator[tuple[int, str]]:
    """The far end of a pseudo terminal, and the path of the near end."""
    far, near = os.openpty()
    tty.setraw(near)
    try:
        yield far, os.ttyname(near)
    finally:
        os.close(near)
        with contextlib.suppress(OSError):
            os.close(far)


def test_serial_both_ways(line: tuple[int, str]) -> None:
    far, path = line
    with opened(f"serial://{path}?baud=57600") as transport:
        assert transport.is_stream
        os.write(far, b"$HEHDT,1,T\r\n")
        got = b""
        while len(got) < 12:
            got += b"".join(d.data for d in collect(transport, 1))
        assert got == b"$HEHDT,1,T\r\n"
        transport.send(b"\x00\xffok")
        assert os.read(far, 100) == b"\x00\xffok"


def test_serial_unplugged_is_lost(line: tuple[int, str]) -> None:
    far, path = line
    with opened(f"serial://{path}") as transport:
        os.close(far)
        with pytest.raises(TransportError, match="lost"):
            collect(transport, 1)


def test_serial_that_is_not_there_says_what_to_check() -> None:
    transport = open_transport("serial:///dev/ttyNoSuch")
    with pytest.raises(TransportError, match=r"check the cable.*dialout"):
        transport.open()
    transport.close()


# Captures --------------------------------------------------------------------------------------


def replayed(transport: Transport) -> list[bytes]:
    got: list[bytes] = []
    deadline = time.monotonic() + BOUND
    while time.monotonic() < deadline:
        try:
            got += [datagram.data for datagram in transport.receive(0.5)]
        except CaptureEnded:  # noqa: PERF203 - it ends the loop
            return got
    raise AssertionError(f"no end after {len(got)} lines")


def own_capture(path: Path, entries: list[tuple[float, bytes]], *damaged: bytes) -> None:
    lines = [b'{"thebox_capture": 1}']
    lines += [
        json.dumps({"t": t, "data": base64.b64encode(data).decode()}).encode()
        for t, data in entries
    ]
    path.write_bytes(b"\n".join([*lines, *damaged]) + b"\n")


def test_text_capture_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"one\r\n\r\n{'cut': \n\xff\xfe\n" + b"last without end")
    with opened(f"file://{path}?rate=max") as transport:
        assert replayed(transport) == [b"one", b"{'cut': ", b"\xff\xfe", b"last without end"]


def test_own_capture_is_bytes_exact_and_damaged_lines_are_handed_on(tmp_path: Path) -> None:
    path = tmp_path / "capture.jsonl"
    data = [bytes(range(256)), b"", b"\n\r\n"]
    damaged = [
        b'{"t": 1, "data": "***"}',
        b'{"t": null, "data": ""}',
        b'{"t": 1' + b"0" * 400 + b', "data": ""}',
        b'{"data": "AA=="}',
        b"[" * 30_000,
        b"[]",
        b"\xff\xfe",
    ]
    own_capture(path, [(float(i), d) for i, d in enumerate(data)], *damaged)
    with opened(f"file://{path}?rate=max") as transport:
        assert replayed(transport) == [*data, *damaged]


@pytest.mark.parametrize("rate", [1.0, 4.0])
def test_own_capture_is_paced(tmp_path: Path, rate: float) -> None:
    path = tmp_path / "capture.jsonl"
    times = [100.0, 100.3, 100.1, 100.8]  # the third is out of order: it comes with the second
    own_capture(path, [(t, str(t).encode()) for t in times])
    came: list[float] = []
    got: list[bytes] = []
    with opened(f"file://{path}?rate={rate}") as transport:
        begun = time.monotonic()
        while len(got) < len(times):
            batch = collect(transport, 1)
            got += [datagram.data for datagram in batch]
            came += [time.monotonic() - begun] * len(batch)
    assert got == [str(t).encode() for t in times]
    # Never early; a busy machine may be late.
    assert came[1] >= 0.3 / rate - 0.01
    assert came[3] >= 0.8 / rate - 0.01


@pytest.mark.parametrize("wrong", [4e9, math.inf, math.nan, -1e300, 1e300])
def test_a_damaged_time_is_not_waited_for(tmp_path: Path, wrong: float) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"10.0\nwrong\n10.1\n10.2\n")
    with opened(
        f"file://{path}", time_of=lambda line: wrong if line == b"wrong" else float(line)
    ) as transport:
        assert replayed(transport) == [b"10.0", b"wrong", b"10.1", b"10.2"]


def test_a_damaged_first_time_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"nan\n5.0\n1e300\n5.1\n")
    with opened(f"file://{path}", time_of=float) as transport:
        assert len(replayed(transport)) == 4


def test_loop_goes_round_and_an_empty_capture_ends(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"a\nb\n")
    with opened(f"file://{path}?rate=max&loop=true") as transport:
        got = [datagram.data for datagram in collect(transport, 100)]
    assert got[:100] == list(itertools.islice(itertools.cycle([b"a", b"b"]), 100))
    for content in (b"", b"\n\n", b'{"thebox_capture": 1}\n'):
        path.write_bytes(content)
        with opened(f"file://{path}?rate=max&loop=true") as transport:
            assert replayed(transport) == []


def test_a_wait_in_a_capture_is_woken(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"0\n3000\n")
    with opened(f"file://{path}", time_of=float) as transport:
        assert collect(transport, 1)[0].data == b"0"
        transport.wake()
        assert transport.receive(600.0) == []


@pytest.mark.parametrize("path", ["/nowhere/at/all", "/", "~nobody-of-this-name/x"])
def test_a_capture_that_cannot_be_read(path: str) -> None:
    transport = open_transport(f"file://{path}")
    assert isinstance(transport, FileTransport)
    with pytest.raises(TransportError, match=r"cannot read the capture.*source"):
        transport.open()
    transport.close()
