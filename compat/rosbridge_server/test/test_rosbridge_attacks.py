# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What a hostile, broken or stalled client can do to the bridge: nothing to the others."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.graph


async def echo(client: Any, number: int) -> None:
    """Show that the client is served: what it publishes comes back."""
    await client.say(op="subscribe", topic="/echo", type="std_msgs/Int32")
    hearing = asyncio.ensure_future(
        client.hear(lambda o: o["op"] == "publish" and o["msg"]["data"] == number)
    )
    while not hearing.done():
        await client.say(op="publish", topic="/echo", msg={"data": number})
        await asyncio.wait([hearing], timeout=0.05)
    hearing.result()


def test_frames_that_are_nothing_end_with_the_client_sent_away(bench: Any, talk: Any) -> None:
    at = bench()

    async def script(connect: Any) -> None:
        good, bad = await connect(), await connect()
        for number in range(10_000):
            frame = [b"\xff\xfe", b"{", b"[]", b"7", b'{"op": 3}', b'{"no": "op"}'][number % 6]
            try:
                await bad.socket.send_bytes(frame)
            except ConnectionError:
                break
        # 1006 when the flood behind the last frame swept the reason away.
        assert await bad.closed() in (1006, 1008)
        await echo(good, 1)

    talk(at, script)


def test_a_frame_above_the_limit_ends_the_connection(bench: Any, talk: Any) -> None:
    at = bench(max_message_size=100_000)

    async def script(connect: Any) -> None:
        good, bad = await connect(), await connect()
        text = json.dumps({"op": "publish", "topic": "/x", "msg": {"data": "x" * 100_000}})
        await bad.socket.send_str(text)
        assert await bad.closed() in (1006, 1009)
        # Nor does it come in by fragments.
        sneak = await connect()
        await sneak.say(op="set_level", level="error")
        for number in range(11):
            await sneak.say(op="fragment", id="f", num=number, total=11, data="x" * 10_000)
        assert "max_message_size" in (await sneak.hear())["msg"]
        await echo(good, 2)

    talk(at, script)


def test_pages_from_elsewhere_and_too_many_clients_are_refused(bench: Any, talk: Any) -> None:
    import aiohttp

    at = bench(max_clients=2)

    async def script(connect: Any) -> None:
        for origin in ("http://evil.example", "null", "http://localhost.evil.example"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await connect(headers={"Origin": origin})
            assert refused.value.status == 403
        first = await connect(headers={"Origin": "http://localhost:5173"})
        await connect()
        for _ in range(20):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await connect()
            assert refused.value.status == 503
        await echo(first, 3)

    talk(at, script)


def test_a_client_that_takes_nothing_costs_bounded_memory(bench: Any, talk: Any) -> None:
    from std_msgs.msg import String

    at = bench()
    heavy = at.publisher(String, "/heavy", 5)
    word = "x" * 400_000

    async def script(connect: Any) -> None:
        good, bad = await connect(), await connect(max_msg_size=0)
        for client in (good, bad):
            await client.say(op="subscribe", topic="/heavy", type="std_msgs/String")
        # The stalled client reads nothing: its socket's buffers fill, then its queue.
        bad.socket._response.connection.transport.pause_reading()

        def stalled() -> Any:
            return next((s for s in list(at.bridge._sessions) if s.dropped), None)

        number = 0
        loop = asyncio.get_running_loop()
        end = loop.time() + 40.0
        while not stalled():
            assert loop.time() < end, "the stalled client's queue never filled"
            number += 1
            heavy.publish(String(data=f"{number} {word}"))
            await asyncio.sleep(0.01)
        await good.hear(lambda o: o["op"] == "publish" and o["topic"] == "/heavy")
        queue = stalled()
        assert queue is not None
        assert queue.waiting <= 16 * 2**20
        await echo(good, 4)
        # When it reads again it gets the newest, for which nothing was made meanwhile.
        heavy.publish(String(data="last"))
        bad.socket._response.connection.transport.resume_reading()
        await bad.hear(lambda o: o["op"] == "publish" and o["msg"]["data"] == "last")

    talk(at, script)


def test_half_a_handshake_and_plain_http_are_harmless(bench: Any, talk: Any) -> None:
    at = bench()
    sockets = [
        socket.create_connection(("127.0.0.1", at.bridge.actual_port), timeout=10.0)
        for _ in range(20)
    ]
    for index, each in enumerate(sockets):
        each.sendall(
            [b"GET / HTTP/1.1\r\n", b"\x00" * 64, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"][index % 3]
        )

    async def script(connect: Any) -> None:
        await echo(await connect(), 5)

    talk(at, script)
    for each in sockets:
        each.close()


FIELDS = (
    *("id", "topic", "type", "msg", "service", "args", "action", "action_type", "feedback"),
    *("throttle_rate", "queue_length", "fragment_size", "compression", "latch", "queue_size"),
    *("num", "total", "data", "level", "timeout"),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
operations = st.fixed_dictionaries(
    {
        "op": st.sampled_from(
            [
                "advertise",
                "unadvertise",
                "publish",
                "subscribe",
                "unsubscribe",
                "call_service",
                "send_action_goal",
                "cancel_action_goal",
                "fragment",
                "set_level",
            ]
        )
    },
    optional={
        key: json_values
        | st.sampled_from(["/a", "a b", "", "/", "std_msgs/msg/String", "x/y", "../z", "/a#b"])
        for key in FIELDS
    },
)


def test_no_operation_however_strange_ends_the_bridge(bench: Any, talk: Any) -> None:
    at = bench(default_call_service_timeout=0.2)

    @settings(
        max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
    )
    @given(st.lists(operations, min_size=10, max_size=30))
    def strange(many: list[dict[str, Any]]) -> None:
        async def script(connect: Any) -> None:
            bad = await connect()
            for operation in many:
                await bad.socket.send_str(json.dumps(operation))
            await echo(await connect(), 6)

        talk(at, script)

    strange()


def test_values_that_fit_no_type_are_refused_with_a_reason() -> None:
    pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")
    from geometry_msgs.msg import PoseWithCovarianceStamped
    from rosbridge_server.conversion import ConversionError, fill, to_cbor, to_json

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "header": json_values | st.fixed_dictionaries({"stamp": json_values}),
                "pose": json_values
                | st.fixed_dictionaries({"covariance": json_values, "pose": json_values}),
            },
        )
    )
    def check(values: Any) -> None:
        message = PoseWithCovarianceStamped()
        try:
            fill(values, message, lambda: PoseWithCovarianceStamped().header.stamp)
        except ConversionError as error:
            assert str(error)
        json.dumps(to_json(message), allow_nan=False)
        to_cbor(message)

    check()
