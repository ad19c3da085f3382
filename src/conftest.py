# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Settings for the packages' tests, and nodes on a live graph of their own."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

try:
    from thebox_bringup.transport import speak_as_the_box

    # Shared memory among processes of tests that come and go loses a service now and then.
    speak_as_the_box()
except (ImportError, LookupError):
    # No ROS here, or nothing built: tests that need a graph are skipped with their reason.
    pass

# A busy machine must not fail a test: speed is measured in benchmarks/.
settings.register_profile("thebox", deadline=None)
settings.load_profile("thebox")

#: How long a slow, busy machine may take for what usually takes a blink.
PATIENCE = 30.0


class Live:
    """Nodes, and an observer that hears and asks them, on one executor in a thread."""

    def __init__(self, domain: int) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.experimental.events_executor import EventsExecutor
        from rclpy.task import Future

        self.context = rclpy.Context()
        rclpy.init(args=[], context=self.context, domain_id=domain)
        self.executor = EventsExecutor(context=self.context)
        self.observer = rclpy.create_node(
            "observer", context=self.context, namespace="/thebox", use_global_arguments=False
        )
        self.executor.add_node(self.observer)
        self.nodes: list[Any] = []
        self._clients: dict[str, Any] = {}
        self.health: dict[str, Any] = {}
        self.observer.create_subscription(DiagnosticArray, "/diagnostics", self._diagnosed, 100)
        self._ended = Future()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        self.executor.spin_until_future_complete(self._ended, timeout_sec=600.0)

    def _diagnosed(self, message: Any) -> None:
        for status in message.status:
            self.health[status.name] = status

    def start(self, kind: Callable[..., Any], **parameters: Any) -> Any:
        """Start a node with parameters; dots in their names are written as double underscores."""
        from rclpy.parameter import Parameter

        node = kind(
            context=self.context,
            namespace="/thebox",
            use_global_arguments=False,
            parameter_overrides=[
                Parameter(name.replace("__", "."), value=value)
                for name, value in parameters.items()
            ],
        )
        self.nodes.append(node)
        # In its own thread: the executor goes through the set of its nodes there.
        self.in_executor(lambda: self.executor.add_node(node))
        return node

    def listen(self, kind: Any, topic: str, qos: Any = 1000) -> list[Any]:
        """A list that fills with the messages of a topic (relative to /thebox)."""
        heard: list[Any] = []
        self.observer.create_subscription(kind, topic, heard.append, qos)
        return heard

    def wait(self, what: Callable[[], Any], why: str, patience: float = PATIENCE) -> Any:
        """Wait until ``what`` gives something true, and return that; fail after ``patience``."""
        deadline = time.monotonic() + patience
        while True:
            got = what()
            if got:
                return got
            if time.monotonic() > deadline:
                pytest.fail(f"waited {patience:g} s in vain: {why}; health {self.told()}")
            time.sleep(0.005)

    def result(self, future: Any, why: str = "an answer") -> Any:
        """Wait for a future's result."""
        self.wait(future.done, why)
        return future.result()

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service (relative to /thebox)."""
        # Kept: a client made anew for a service that has just lost one is not always matched.
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = self.observer.create_client(kind, name)
        self.wait(client.service_is_ready, f"service {name}")
        return self.result(client.call_async(request), f"an answer of {name}")

    def level(self, name: str) -> int:
        """Level of a health subject such as ``trakka: input``; -1 before it was heard."""
        status = self.health.get(name)
        return -1 if status is None else status.level[0]

    def value(self, name: str, key: str) -> str:
        """A value of a health subject; empty when it is not there."""
        status = self.health.get(name)
        found = [] if status is None else [v.value for v in status.values if v.key == key]
        return found[0] if found else ""

    def told(self) -> dict[str, str]:
        """Summaries of all health subjects."""
        return {name: status.message for name, status in self.health.items()}

    def in_executor(self, call: Callable[[], Any]) -> Any:
        """Run a call in the executor's thread, where life-cycle transitions belong."""
        return self.result(self.executor.create_task(call), "a call in the executor")

    def close(self) -> None:
        """Stop the nodes, then the graph."""
        for node in self.nodes:
            self.in_executor(node.close)
        self._ended.set_result(None)
        self._thread.join(timeout=PATIENCE)
        for node in (*self.nodes, self.observer):
            self.executor.remove_node(node)
            node.destroy_node()
        self.executor.shutdown()
        self.context.try_shutdown()


@pytest.fixture
def live(domain: int) -> Iterator[Live]:
    """A live graph, closed at the end of the test."""
    graph = Live(domain)
    try:
        yield graph
    finally:
        graph.close()


@pytest.fixture
def udp(live: Live) -> Iterator[Callable[..., None]]:
    """Sends datagrams to a driver whose source is ``udp://127.0.0.1:0``, once it listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def port(node: Any) -> int:
            ingest = node._ingest
            transport = ingest.transport if ingest is not None else None
            return getattr(transport, "port", 0)

        def send(node: Any, *datagrams: bytes) -> None:
            bound = live.wait(lambda: port(node), f"{node.get_name()} to listen")
            for datagram in datagrams:
                sender.sendto(datagram, ("127.0.0.1", bound))

        yield send


@pytest.fixture
def circle_a_hundred_times(live: Live) -> Callable[[Any], None]:
    """Goes round a node's life cycle; fails when it keeps a thread, socket, timer or endpoint."""

    def held(node: Any) -> tuple[int, ...]:
        gc.collect()
        endpoints = (node.publishers, node.subscriptions, node.services, node.clients)
        return (
            len(list(Path("/proc/self/fd").iterdir())),
            threading.active_count(),
            sum(len(list(kind)) for kind in endpoints),
            len(list(node.timers)) + len(list(node.waitables)),
        )

    def go_round(node: Any) -> None:
        def circle() -> str:
            node.trigger_configure()
            node.trigger_activate()
            reached = str(node.state)
            node.trigger_deactivate()
            node.trigger_cleanup()
            return f"{reached}, {node.state}"

        assert live.in_executor(circle) == "active, unconfigured"
        before = held(node)
        for _ in range(99):
            assert live.in_executor(circle) == "active, unconfigured"
        live.wait(
            lambda: all(now <= then for now, then in zip(held(node), before, strict=True)),
            f"no more than {before} to be held",
        )

    return go_round
