# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A node under test and a listener to /diagnostics, in a ROS domain of their own."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.time import Time

WAIT_S = 20.0


class Graph:
    """Makes nodes and hears what they publish on /diagnostics."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.executor = SingleThreadedExecutor(context=context)
        self.heard: list[DiagnosticArray] = []
        self.listener = Node(f"listener_{uuid.uuid4().hex}", context=context)
        self.subscription = self.listener.create_subscription(
            DiagnosticArray, "/diagnostics", self.heard.append, QoSProfile(depth=100)
        )
        self.executor.add_node(self.listener)
        self.nodes = [self.listener]

    def node(self, *, namespace: str = "", kind: type[Node] = Node, **parameters: object) -> Node:
        """Make a node of a name nobody else has, its updater's own timer out of the way."""
        values = {"diagnostic_updater.period": 3600.0}
        values.update({name.replace("__", "."): value for name, value in parameters.items()})
        node = kind(
            f"node_{uuid.uuid4().hex}",
            namespace=namespace,
            context=self.context,
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
        )
        self.executor.add_node(node)
        self.nodes.append(node)
        return node

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Spin until the condition holds."""
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, f"waited {WAIT_S} s in vain for {what}"
            self.executor.spin_once(timeout_sec=0.05)

    def array_after(
        self, node: Node, publisher: object, action: Callable[[], object]
    ) -> DiagnosticArray:
        """The first array that the node stamped after the action was called."""
        self.wait(lambda: publisher.get_subscription_count() > 0, "the listener's subscription")
        began = node.get_clock().now().nanoseconds

        def answers() -> list[DiagnosticArray]:
            return [
                array
                for array in tuple(self.heard)
                if all(node.get_name() in status.name for status in array.status)
                and Time.from_msg(array.header.stamp).nanoseconds >= began
            ]

        action()
        self.wait(lambda: bool(answers()), "an array on /diagnostics")
        return answers()[0]

    def close(self) -> None:
        self.executor.shutdown()
        for node in self.nodes:
            node.destroy_node()
        self.context.shutdown()


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch) -> Iterator[Graph]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = Context()
    context.init(domain_id=1 + os.getpid() % 100)
    made = Graph(context)
    yield made
    made.close()
