# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The ROS side of the bridge: shared subscriptions and publishers, service and action clients.

Everything here runs in the executor's thread. Messages are taken raw, and turned into values once,
when the first client asks for that form of them.
"""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cbor2
from rclpy.action import ActionClient
from rclpy.expand_topic_name import expand_topic_name
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.time import Duration

from rosbridge_server.conversion import (
    ConversionError,
    fill,
    interface,
    to_cbor,
    to_json,
    type_name,
)

__all__ = ["Crossing", "Graph", "Incoming", "Listener"]

#: Messages that may wait for the event loop; beyond that the oldest is dropped.
_WAITING = 2048
#: Service and action clients kept for the next call.
_KEPT_CLIENTS = 256


class Incoming:
    """One message of a topic, in every form that was asked for so far."""

    __slots__ = ("_cls", "_forms", "raw", "stamp", "topic")

    def __init__(self, topic: str, raw: bytes, cls: Any, stamp: tuple[int, int]) -> None:
        self.topic = topic
        self.raw = raw
        self.stamp = stamp
        self._cls = cls
        self._forms: dict[str, bytes | str] = {}

    def form(self, topic: str, compression: str) -> bytes | str:
        """The publish operation as it goes to a client: text, or bytes for CBOR.

        Args:
            topic: the name under which the client asked for it.
            compression: none, cbor or cbor-raw.
        """
        key = f"{compression} {topic}"
        made = self._forms.get(key)
        if made is None:
            made = self._forms[key] = self._make(topic, compression)
        return made

    def _make(self, topic: str, compression: str) -> bytes | str:
        operation: dict[str, Any] = {"op": "publish", "topic": topic}
        if compression == "cbor-raw":
            seconds, nanoseconds = self.stamp
            operation["msg"] = {"secs": seconds, "nsecs": nanoseconds, "bytes": self.raw}
            return cbor2.dumps(operation)
        message = deserialize_message(self.raw, self._cls)
        if compression == "cbor":
            operation["msg"] = to_cbor(message)
            return cbor2.dumps(operation)
        operation["msg"] = to_json(message)
        return json.dumps(operation)


@dataclass(eq=False)
class Listener:
    """A client's wish to hear a topic; ``deliver`` is called in the executor's thread."""

    topic: str
    kind: str | None
    deliver: Callable[[Incoming], None]


@dataclass(eq=False)
class _Feed:
    """A subscription of the node, with all who listen to it."""

    cls: Any
    qos: QoSProfile
    subscription: Any = None
    listeners: list[Listener] = field(default_factory=list)


@dataclass(eq=False)
class _Outlet:
    """A publisher of the node, with the clients that advertise it."""

    cls: Any
    publisher: Any
    latched: bool
    clients: set[object] = field(default_factory=set)
    #: Steady time at which it goes, once no client is left; None while there is one.
    ends: float | None = None


class Graph:
    """What the clients share of one node. All methods: executor's thread only."""

    def __init__(self, node: Node, unregister_timeout: float) -> None:
        self._node = node
        self._unregister_timeout = unregister_timeout
        self._feeds: dict[str, list[_Feed]] = {}
        self._outlets: dict[str, _Outlet] = {}
        self._services: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._actions: OrderedDict[tuple[str, str], ActionClient] = OrderedDict()

    def expand(self, name: str) -> str:
        """The full name of a topic, service or action.

        Raises:
            ConversionError: it is no name.
        """
        try:
            return expand_topic_name(name, self._node.get_name(), self._node.get_namespace())
        except Exception as error:
            raise ConversionError(f"{name!r} is not a valid name: {error}") from None

    def _now(self) -> Any:
        return self._node.get_clock().now().to_msg()

    def _established(self, topic: str) -> str | None:
        types = dict(self._node.get_topic_names_and_types()).get(topic)
        return types[0] if types else None

    def _class_of(self, topic: str, kind: str | None) -> Any:
        established = self._established(topic)
        if kind is None and established is None:
            raise ConversionError(
                f"Cannot infer topic type for topic {topic} as it is not yet advertised"
            )
        cls = interface(kind or established or "", "msg")
        if established is not None and type_name(cls) != established:
            raise ConversionError(
                f"Tried to register topic {topic} with type {type_name(cls)} "
                f"but it is already established with type {established}"
            )
        return cls

    # Subscriptions ----------------------------------------------------------------------------

    def _fitting_qos(self, topic: str) -> QoSProfile:
        """What hears all present publishers of the topic, and misses no latched message."""
        qos = QoSProfile(depth=10)
        for publisher in self._node.get_publishers_info_by_topic(topic):
            if publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL:
                qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
            if publisher.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT:
                qos.reliability = ReliabilityPolicy.BEST_EFFORT
        return qos

    def listen(self, listener: Listener) -> None:
        """Begin to deliver a topic.

        Raises:
            ConversionError: its type is not known, or another than asked for.
        """
        topic = self.expand(listener.topic)
        cls = self._class_of(topic, listener.kind)
        qos = self._fitting_qos(topic)
        feeds = self._feeds.setdefault(topic, [])
        # A latched message comes once to a subscription: who joins later needs one of his own.
        latched = qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
        feed = None if latched else next((f for f in feeds if f.cls is cls), None)
        if feed is None:
            feed = _Feed(cls, qos)
            self._subscribe(topic, feed)
            feeds.append(feed)
        feed.listeners.append(listener)

    def _subscribe(self, topic: str, feed: _Feed) -> None:
        clock = self._node.get_clock()

        def heard(raw: bytes) -> None:
            message = Incoming(topic, raw, feed.cls, clock.now().seconds_nanoseconds())
            for listener in feed.listeners:
                listener.deliver(message)

        feed.subscription = self._node.create_subscription(
            feed.cls, topic, heard, feed.qos, raw=True
        )

    def leave(self, listener: Listener) -> None:
        """Stop to deliver."""
        for topic, feeds in list(self._feeds.items()):
            for feed in list(feeds):
                if listener not in feed.listeners:
                    continue
                feed.listeners.remove(listener)
                if not feed.listeners:
                    self._node.destroy_subscription(feed.subscription)
                    feeds.remove(feed)
            if not feeds:
                del self._feeds[topic]

    def tend(self, now: float) -> None:
        """Once a second: follow publishers that came later, let go of unused publishers."""
        for topic, feeds in self._feeds.items():
            fitting = self._fitting_qos(topic)
            for feed in feeds:
                if (
                    fitting.reliability == feed.qos.reliability
                    and fitting.durability == feed.qos.durability
                ) or not self._node.count_publishers(topic):
                    continue
                self._node.destroy_subscription(feed.subscription)
                feed.qos = fitting
                self._subscribe(topic, feed)
        for topic, outlet in list(self._outlets.items()):
            if outlet.clients:
                outlet.ends = None
            elif outlet.ends is None:
                outlet.ends = now + self._unregister_timeout
            elif now >= outlet.ends:
                self._node.destroy_publisher(outlet.publisher)
                del self._outlets[topic]

    # Publishers -------------------------------------------------------------------------------

    def advertise(
        self, client: object, topic: str, kind: str | None, latch: bool, queue_size: int
    ) -> _Outlet:
        """Make a publisher, or share the one there is.

        Raises:
            ConversionError: its type is not known, or another than asked for.
        """
        topic = self.expand(topic)
        outlet = self._outlets.get(topic)
        if outlet is None:
            cls = self._class_of(topic, kind)
            # As upstream: a second's memory, so that a subscriber that is just being matched
            # does not miss the first message; a latched topic remembers its last for ever.
            qos = QoSProfile(
                depth=1 if latch else max(1, min(queue_size, 10_000)),
                durability=DurabilityPolicy.TRANSIENT_LOCAL,
            )
            if not latch:
                qos.lifespan = Duration(seconds=1)
            publisher = self._node.create_publisher(cls, topic, qos)
            outlet = self._outlets[topic] = _Outlet(cls, publisher, latch)
        elif kind is not None and interface(kind, "msg") is not outlet.cls:
            raise ConversionError(
                f"Tried to register topic {topic} with type {kind} "
                f"but it is already established with type {type_name(outlet.cls)}"
            )
        outlet.clients.add(client)
        return outlet

    def unadvertise(self, client: object, topic: str | None = None) -> None:
        """Forget a client's advertisement, or all of them."""
        wanted = None if topic is None else self.expand(topic)
        for name, outlet in self._outlets.items():
            if wanted in (None, name):
                outlet.clients.discard(client)

    def publish(self, client: object, topic: str, values: Any, latch: bool, size: int) -> None:
        """Publish values.

        Raises:
            ConversionError: the topic's type is not known, or the values do not fit it.
        """
        outlet = self.advertise(client, topic, None, latch, size)
        outlet.publisher.publish(fill(values, outlet.cls(), self._now))

    # Services and actions ---------------------------------------------------------------------

    def _kept(
        self,
        store: OrderedDict[tuple[str, str], Any],
        key: tuple[str, str],
        make: Callable[[], Any],
    ) -> Any:
        client = store.pop(key, None)
        store[key] = client = client or make()
        while len(store) > _KEPT_CLIENTS:
            _, oldest = store.popitem(last=False)
            if store is self._services:
                self._node.destroy_client(oldest)
            else:
                oldest.destroy()
        return client

    def service(self, name: str) -> tuple[Any, Any]:
        """A client of a service that is there, and its type's class.

        Raises:
            ConversionError: no such service.
        """
        full = self.expand(name)
        types = dict(self._node.get_service_names_and_types()).get(full)
        if not types:
            raise ConversionError(f"Service {full} does not exist")
        cls = interface(types[0], "srv")
        client = self._kept(
            self._services, (full, types[0]), lambda: self._node.create_client(cls, full)
        )
        return client, cls

    def request(self, cls: Any, args: Any) -> Any:
        """A service's request from its arguments, an object or a list in the order of the fields.

        Raises:
            ConversionError: they do not fit.
        """
        request = cls.Request()
        if isinstance(args, list):
            args = dict(zip(request.get_fields_and_field_types(), args, strict=False))
        return fill(args if isinstance(args, dict) else {}, request, self._now)

    def drop_call(self, client: Any, future: Any) -> None:
        """Forget a call whose answer did not come."""
        client.remove_pending_request(future)

    def action(self, name: str, kind: str) -> tuple[ActionClient, Any]:
        """A client of an action, and its type's class.

        Raises:
            ConversionError: no such type.
        """
        full = self.expand(name)
        cls = interface(kind, "action")
        client = self._kept(
            self._actions, (full, kind), lambda: ActionClient(self._node, cls, full)
        )
        return client, cls

    def goal(self, cls: Any, args: Any) -> Any:
        """An action's goal from its arguments.

        Raises:
            ConversionError: they do not fit.
        """
        goal = cls.Goal()
        if isinstance(args, list):
            args = dict(zip(goal.get_fields_and_field_types(), args, strict=False))
        return fill(args if isinstance(args, dict) else {}, goal, self._now)

    def close(self) -> None:
        """Let go of everything."""
        for feeds in self._feeds.values():
            for feed in feeds:
                self._node.destroy_subscription(feed.subscription)
        self._feeds.clear()
        for outlet in self._outlets.values():
            self._node.destroy_publisher(outlet.publisher)
        self._outlets.clear()
        for client in self._services.values():
            self._node.destroy_client(client)
        self._services.clear()
        for action in self._actions.values():
            action.destroy()
        self._actions.clear()


class Crossing:
    """Hands messages from the executor's thread to the event loop: bounded, the oldest dropped."""

    def __init__(self, wake: Callable[[Callable[[], None]], None]) -> None:
        self._wake = wake
        self._waiting: deque[tuple[Callable[[Incoming], None], Incoming]] = deque()
        self._scheduled = False
        self.dropped = 0

    def put(self, deliver: Callable[[Incoming], None], message: Incoming) -> None:
        """From the executor's thread."""
        if len(self._waiting) >= _WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append((deliver, message))
        if not self._scheduled:
            self._scheduled = True
            self._wake(self._hand_over)

    def _hand_over(self) -> None:
        # Cleared first: what is put from here on schedules another round.
        self._scheduled = False
        while True:
            try:
                deliver, message = self._waiting.popleft()
            except IndexError:
                return
            deliver(message)
