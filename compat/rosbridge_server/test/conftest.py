# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A bridge on a live graph of its own, and clients that talk to it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

#: How long a slow, busy machine may take for what usually takes a blink.
PATIENCE = 30.0


class Bench:
    """The bridge and a node beside it, each spun in a thread of its own."""

    def __init__(self, domain: int, parameters: dict[str, Any]) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.experimental.events_executor import EventsExecutor
        from rclpy.parameter import Parameter
        from rclpy.task import Future
        from rosbridge_server.rosbridge_websocket import RosbridgeWebsocketNode

        self.context = rclpy.Context()
        rclpy.init(args=[], context=self.context, domain_id=domain)
        given = {"port": 0, "address": "127.0.0.1", **parameters}
        self.bridge = RosbridgeWebsocketNode(
            context=self.context,
            use_global_arguments=False,
            parameter_overrides=[Parameter(k, value=v) for k, v in given.items()],
        )
        self.node = rclpy.create_node("beside", context=self.context, use_global_arguments=False)
        self._ended = Future()
        self._executors = [
            EventsExecutor(context=self.context),
            SingleThreadedExecutor(context=self.context),
        ]
        self._threads = []
        for executor, node in zip(self._executors, (self.bridge, self.node), strict=True):
            executor.add_node(node)
            thread = threading.Thread(
                target=executor.spin_until_future_complete, args=(self._ended, 600.0), daemon=True
            )
            thread.start()
            self._threads.append(thread)
        self.wait(lambda: self.bridge.actual_port, "the bridge to listen")

    @property
    def url(self) -> str:
        """Address of the bridge."""
        return f"ws://127.0.0.1:{self.bridge.actual_port}/"

    def wait(self, what: Callable[[], Any], why: str) -> Any:
        """Wait until ``what`` gives something true, and return that."""
        end = time.monotonic() + PATIENCE
        while True:
            got = what()
            if got:
                return got
            if time.monotonic() > end:
                pytest.fail(f"waited {PATIENCE:g} s in vain for {why}")
            time.sleep(0.005)

    def publisher(self, kind: Any, topic: str, qos: Any = 10) -> Any:
        """A publisher of the node beside."""
        return self.node.create_publisher(kind, topic, qos)

    def heard(self, kind: Any, topic: str) -> list[Any]:
        """A list that fills with the messages of a topic."""
        messages: list[Any] = []
        self.node.create_subscription(kind, topic, messages.append, 100)
        return messages

    def close(self) -> None:
        """Stop everything."""
        self.bridge.close()
        self._ended.set_result(None)
        for executor in self._executors:
            executor.wake()
        for thread in self._threads:
            thread.join(PATIENCE)
        for executor in self._executors:
            executor.shutdown()
        self.bridge.destroy_node()
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def bench(domain: int) -> Iterator[Callable[..., Bench]]:
    """Starts bridges: ``bench(max_clients=2)``."""
    pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")
    started: list[Bench] = []

    def start(**parameters: Any) -> Bench:
        made = Bench(domain, parameters)
        started.append(made)
        return made

    yield start
    for made in started:
        made.close()


class Client:
    """A client of the bridge inside an event loop."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.aside: list[Any] = []

    async def say(self, **operation: Any) -> None:
        """Send an operation."""
        await self.socket.send_str(json.dumps(operation))

    async def hear(self, accept: Callable[[Any], bool] = lambda operation: True) -> Any:
        """The next operation that ``accept`` takes; the others are put aside."""
        import cbor2
        from aiohttp import WSMsgType

        while True:
            frame = await asyncio.wait_for(self.socket.receive(), PATIENCE)
            if frame.type is WSMsgType.TEXT:
                operation = json.loads(frame.data)
            elif frame.type is WSMsgType.BINARY:
                operation = cbor2.loads(frame.data)
            else:
                pytest.fail(f"the connection ended: {frame.type} {frame.data!r} {frame.extra!r}")
            if accept(operation):
                return operation
            self.aside.append(operation)

    async def closed(self) -> int:
        """Wait for the end of the connection; its code."""
        while not self.socket.closed:
            await asyncio.wait_for(self.socket.receive(), PATIENCE)
        return int(self.socket.close_code)


@pytest.fixture
def talk() -> Callable[..., Any]:
    """Runs a conversation: ``talk(bench, script)``, with ``script(connect)`` a coroutine."""

    def run(bench: Bench, script: Callable[[Any], Awaitable[Any]]) -> Any:
        import aiohttp

        async def main() -> Any:
            async with aiohttp.ClientSession() as session:
                made = []

                async def connect(**options: Any) -> Client:
                    options.setdefault("max_msg_size", 0)
                    socket = await session.ws_connect(bench.url, **options)
                    made.append(socket)
                    return Client(socket)

                try:
                    return await asyncio.wait_for(script(connect), 2 * PATIENCE)
                finally:
                    for socket in made:
                        await socket.close()

        return asyncio.run(main())

    return run
