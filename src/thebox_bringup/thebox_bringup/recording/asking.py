# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Asks the nodes of a box for their parameters, so that a recording says how it was made."""

from __future__ import annotations

from typing import Any

from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

__all__ = ["ParameterAsker"]

_PERIOD = 2.0
_SECRETS = ("password", "secret", "token")


class ParameterAsker:
    """The parameters of every node in a namespace, by node and name, as they become known.

    A change while it runs is not followed: it is in the recording, as /parameter_events.
    """

    def __init__(self, node: Node, namespace: str) -> None:
        self._node = node
        self._namespace = namespace.rstrip("/")
        self._clients: dict[str, tuple[Any, Any]] = {}
        self.known: dict[str, dict[str, Any]] = {}
        self._timer = node.create_timer(
            _PERIOD, self._ask, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def _ask(self) -> None:
        for name, namespace in self._node.get_node_names_and_namespaces():
            if namespace.rstrip("/") != self._namespace or name in self.known:
                continue
            if name == self._node.get_name():
                continue
            if name not in self._clients:
                full = f"{self._namespace}/{name}"
                self._clients[name] = (
                    self._node.create_client(ListParameters, f"{full}/list_parameters"),
                    self._node.create_client(GetParameters, f"{full}/get_parameters"),
                )
            lists, gets = self._clients[name]
            if lists.service_is_ready() and gets.service_is_ready():
                lists.call_async(ListParameters.Request()).add_done_callback(
                    lambda done, name=name: self._listed(name, done)
                )

    def _listed(self, name: str, future: Any) -> None:
        if future.cancelled() or future.exception() or name not in self._clients:
            return
        names = [n for n in future.result().result.names if not any(s in n for s in _SECRETS)]
        request = GetParameters.Request(names=names)
        self._clients[name][1].call_async(request).add_done_callback(
            lambda done: self._got(name, names, done)
        )

    def _got(self, node: str, names: list[str], future: Any) -> None:
        if future.cancelled() or future.exception() or node not in self._clients:
            return
        values = future.result().values
        if len(values) == len(names):
            self.known[node] = {
                name: _plain(parameter_value_to_python(value))
                for name, value in zip(names, values, strict=True)
            }
            for client in self._clients.pop(node):
                self._node.destroy_client(client)

    def close(self) -> None:
        """Stop asking."""
        self._node.destroy_timer(self._timer)
        for clients in self._clients.values():
            for client in clients:
                self._node.destroy_client(client)
        self._clients.clear()


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    return [_plain(each) for each in value]
