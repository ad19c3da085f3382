# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Hears every topic of a graph as it is, in bytes, as topics come."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.subscription import Subscription

from thebox_bringup.recording.bag import BagError, Qos, Topic, definition_of

__all__ = ["Tap", "message_class"]

_LOOK_PERIOD = 0.25
_DEPTH = 1000


def message_class(type_name: str) -> Any:
    """Return the class of a message type.

    Raises:
        BagError: its package is not installed.
    """
    package, _, name = type_name.partition("/msg/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError):
        raise BagError(f"{type_name} is not installed: install or build {package}") from None


class Tap:
    """Subscribes to every topic that matches, in whatever QoS its publishers offer.

    Args:
        node: whose subscriptions they become.
        heard: takes (topic, bytes) in the executor's thread.
        found: told of each topic before its first message.
        include: regular expression of names wanted; empty: all.
        exclude: regular expression of names not wanted; empty: none.
    """

    def __init__(
        self,
        node: Node,
        heard: Callable[[str, bytes], None],
        found: Callable[[Topic], None] = lambda topic: None,
        *,
        include: str = "",
        exclude: str = "",
    ) -> None:
        self._node = node
        self._heard = heard
        self._found = found
        self._include = re.compile(include) if include else None
        self._exclude = re.compile(exclude) if exclude else None
        self._subscriptions: dict[str, Subscription] = {}
        self._passed: dict[str, str] = {}
        self.topics: dict[str, Topic] = {}
        self._timer = node.create_timer(
            _LOOK_PERIOD, self.look, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self.look()

    @property
    def passed_over(self) -> dict[str, str]:
        """Topics that cannot be recorded, and why."""
        return self._passed

    def _wanted(self, name: str) -> bool:
        if self._include is not None and not self._include.search(name):
            return False
        return self._exclude is None or not self._exclude.search(name)

    def look(self) -> None:
        """Subscribe to what is new."""
        for name, types in self._node.get_topic_names_and_types():
            if name in self._subscriptions or name in self._passed or not self._wanted(name):
                continue
            publishers = self._node.get_publishers_info_by_topic(name)
            if not publishers:
                continue  # nobody says yet in what quality it comes
            self._subscribe(name, types, [info.qos_profile for info in publishers])

    def _subscribe(self, name: str, types: list[str], offered: list[QoSProfile]) -> None:
        try:
            if len(types) != 1:
                raise BagError(f"it has several types: {', '.join(types)}")
            definition_of(types[0])
            kind = message_class(types[0])
        except BagError as error:
            self._passed[name] = str(error)
            return
        topic = Topic(name, types[0], tuple(_words(each) for each in offered))
        best_effort = any(q.reliability == ReliabilityPolicy.BEST_EFFORT for q in offered)
        latched = all(q.durability == DurabilityPolicy.TRANSIENT_LOCAL for q in offered)
        self._found(topic)
        self.topics[name] = topic
        self._subscriptions[name] = self._node.create_subscription(
            kind,
            name,
            lambda data, name=name: self._heard(name, data),
            QoSProfile(
                history=HistoryPolicy.KEEP_LAST,
                depth=_DEPTH,
                reliability=ReliabilityPolicy.BEST_EFFORT
                if best_effort
                else ReliabilityPolicy.RELIABLE,
                durability=DurabilityPolicy.TRANSIENT_LOCAL
                if latched
                else DurabilityPolicy.VOLATILE,
            ),
            raw=True,
        )

    def close(self) -> None:
        """End every subscription."""
        self._node.destroy_timer(self._timer)
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()


def _words(profile: QoSProfile) -> Qos:
    return Qos(
        "best_effort" if profile.reliability == ReliabilityPolicy.BEST_EFFORT else "reliable",
        "transient_local" if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL else "volatile",
        # What DDS does not tell is written as rosbag2 writes it.
        "keep_last" if profile.history == HistoryPolicy.KEEP_LAST else "unknown",
        int(profile.depth),
    )
