# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""One client of the bridge: what it may ask, and the bounded queue of what is sent to it.

Runs in the event loop. ROS is reached through ``in_ros``, which runs a call in the executor's
thread and gives a future of the loop.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fnmatch
import json
import math
import struct
import time
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from action_msgs.msg import GoalStatus

from rosbridge_server.conversion import ConversionError, to_json
from rosbridge_server.graph import Crossing, Graph, Incoming, Listener

__all__ = ["Globs", "Limits", "Session"]

#: Messages of one topic that wait for a client when it names no queue_length.
_DEPTH = 10
#: Seconds that a frame may take to be sent before a client counts as one that takes nothing, and
#: the messages of a topic that are then held for it unconverted.
_STUCK = 1.0
_MOST_LATE = 10
#: Bytes that may wait for one client. Published messages are dropped for it, oldest first.
_QUEUE_BYTES = 16 * 2**20
#: Calls and goals of one client that may be under way.
_PENDING = 256
#: Topics that one client may hear and advertise.
_TOPICS = 1024
#: Frames that are no operation after which a client is sent away.
_MALFORMED = 100
#: Fragments of one message, and messages of which fragments are held.
_FRAGMENTS, _FRAGMENTED = 10_000, 16
_LEVELS = {"info": 0, "warning": 1, "error": 2, "none": 3}


@dataclass(frozen=True)
class Globs:
    """Names that clients may touch; an empty tuple allows all, as upstream's empty glob does."""

    topics: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()

    @staticmethod
    def parse(text: str) -> tuple[str, ...]:
        """Take upstream's form apart: ``['/a/*', '/b']``."""
        parts = (part.strip().strip("'\"") for part in text.strip()[1:-1].split(","))
        return tuple(part for part in parts if part)

    @staticmethod
    def allow(globs: tuple[str, ...], name: str) -> bool:
        """Whether a name matches one of them."""
        return not globs or any(fnmatch.fnmatchcase(name, glob) for glob in globs)


@dataclass(frozen=True)
class Limits:
    """The bridge's parameters that hold for each client."""

    max_message_size: int = 10_000_000
    fragment_timeout: float = 600.0
    delay_between_messages: float = 0.0
    service_timeout: float = 5.0


class RefusedError(ValueError):
    """An operation that is not done; the text says why."""


@dataclass(frozen=True)
class _Call:
    """A service call as it was asked for; ``service`` as the client wrote it."""

    name: str
    service: str
    args: Any
    identity: object
    fragment_size: int | None
    timeout: float


@dataclass(frozen=True)
class _Goal:
    """An action goal as it was asked for."""

    name: str
    kind: str
    args: Any
    identity: str
    feedback: bool
    fragment_size: int | None


@dataclass(eq=False)
class _Waiting:
    """One frame in the queue; ``payload`` is None once it was dropped."""

    payload: bytes | str | None
    topic: str | None


@dataclass(eq=False)
class _Subscription:
    """One topic as this client hears it: the sum of all its subscribe operations."""

    topic: str
    listener: Listener
    wishes: dict[object, dict[str, Any]] = field(default_factory=dict)
    throttle: float = 0.0
    queue_length: int = 0
    fragment_size: int | None = None
    compression: str = "none"
    last: float = -math.inf
    held: deque[Incoming] = field(default_factory=deque)
    timer: asyncio.TimerHandle | None = None

    def settle(self) -> None:
        """Work out what serves all of the client's wishes, as upstream does."""
        wishes = list(self.wishes.values())
        self.throttle = min(w["throttle_rate"] for w in wishes) / 1000.0
        self.queue_length = min(w["queue_length"] for w in wishes)
        sizes = [w["fragment_size"] for w in wishes if w["fragment_size"] is not None]
        self.fragment_size = min(sizes) if sizes else None
        asked = {w["compression"] for w in wishes}
        order = ("cbor-raw", "cbor", "png")
        self.compression = next((name for name in order if name in asked), "none")
        self.held = deque(self.held, maxlen=self.queue_length or 1)


class Session:
    """A client.

    Args:
        name: of the client, for the log.
        send: sends one frame; waits while the client does not take it.
        close: ends the connection with a code and a reason.
        graph: the shared ROS side, used only inside ``in_ros``.
        in_ros: runs a call in the executor's thread.
        crossing: carries messages from that thread.
        log: takes a level (debug, info, warning, error) and a text.
    """

    def __init__(
        self,
        name: str,
        *,
        send: Callable[[bytes | str], Awaitable[None]],
        close: Callable[[int, str], Awaitable[None]],
        graph: Graph,
        in_ros: Callable[[Callable[[], Any]], Awaitable[Any]],
        crossing: Crossing,
        limits: Limits,
        globs: Globs,
        log: Callable[[str, str], None],
    ) -> None:
        self.name = name
        self._send = send
        self._close = close
        self._graph = graph
        self._in_ros = in_ros
        self._crossing = crossing
        self._limits = limits
        self._globs = globs
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Waiting] = deque()
        self._per_topic: dict[str, deque[_Waiting]] = {}
        self._queued_bytes = 0
        self._something = asyncio.Event()
        self._subscriptions: dict[str, _Subscription] = {}
        self._advertised: dict[str, set[object]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._goals: dict[str, Any] = {}
        self._fragments: dict[str, tuple[float, dict[int, str], int]] = {}
        self._fragment_size: int | None = limits.max_message_size
        self._next_fragment = 0
        self._status_level = _LEVELS["none"]
        self._told: set[str] = set()
        self._order = asyncio.Lock()
        #: Since when one frame is being sent; messages that are converted once it is.
        self._sending_since = math.inf
        self._late: dict[str, tuple[_Subscription, deque[Incoming]]] = {}
        #: Frames sent, published messages dropped, frames that were no operation.
        self.sent = self.dropped = self.malformed = 0
        self._operations: dict[str, Callable[[dict[str, Any]], Awaitable[None]]] = {
            "advertise": self._advertise,
            "unadvertise": self._unadvertise,
            "publish": self._publish,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "call_service": self._call_service,
            "send_action_goal": self._send_action_goal,
            "cancel_action_goal": self._cancel_action_goal,
            "fragment": self._fragment,
            "set_level": self._set_level,
        }

    # What is sent -----------------------------------------------------------------------------

    async def pump(self) -> None:
        """Send what is queued, until cancelled."""
        while True:
            await self._something.wait()
            while self._queue:
                waiting = self._queue.popleft()
                if waiting.payload is None:
                    continue
                payload = waiting.payload
                self._queued_bytes -= len(payload)
                if waiting.topic is not None:
                    self._per_topic[waiting.topic].popleft()
                self._sending_since = time.monotonic()
                await self._send(payload)
                self._sending_since = math.inf
                self.sent += 1
                self._catch_up()
                if self._limits.delay_between_messages > 0:
                    await asyncio.sleep(self._limits.delay_between_messages)
            self._something.clear()

    def _catch_up(self) -> None:
        """Convert what came while the client took nothing: the newest of each topic."""
        late, self._late = self._late, {}
        for topic, (known, messages) in late.items():
            if self._subscriptions.get(topic) is known:
                for message in messages:
                    self._forward(known, message)

    def _drop_oldest(self, topic: str) -> None:
        waiting = self._per_topic[topic].popleft()
        self._queued_bytes -= len(waiting.payload or b"")
        # Left in its place in the queue, empty: to find it there would take a search.
        waiting.payload = None
        self.dropped += 1
        # A client that takes nothing must not pile up the empty places either.
        if len(self._queue) > 4096:
            self._queue = deque(each for each in self._queue if each.payload is not None)

    def _enqueue(self, payload: bytes | str, topic: str | None = None, depth: int = 0) -> None:
        waiting = _Waiting(payload, topic)
        if topic is not None:
            line = self._per_topic.setdefault(topic, deque())
            while len(line) >= depth:
                self._drop_oldest(topic)
            line.append(waiting)
        self._queue.append(waiting)
        self._queued_bytes += len(payload)
        while self._queued_bytes > _QUEUE_BYTES:
            heaviest = max(
                self._per_topic,
                key=lambda name: sum(len(w.payload or b"") for w in self._per_topic[name]),
                default=None,
            )
            if heaviest is None or not self._per_topic[heaviest]:
                self._start(self._close(1008, "the client does not take its answers"))
                self._queue.clear()
                self._queued_bytes = 0
                return
            self._drop_oldest(heaviest)
        self._something.set()

    def answer(self, operation: dict[str, Any], fragment_size: int | None = None) -> None:
        """Queue an operation for the client, as JSON, in fragments when it is larger than asked."""
        text = json.dumps(operation)
        self._enqueue_text(text, operation.get("id"), fragment_size)

    def _enqueue_text(
        self,
        text: str,
        identity: object,
        fragment_size: int | None,
        topic: str | None = None,
        depth: int = 0,
    ) -> None:
        size = fragment_size or self._fragment_size
        if not size or len(text) <= size:
            self._enqueue(text, topic, depth)
            return
        if identity is None:
            identity = self._next_fragment
            self._next_fragment += 1
        total = -(-len(text) // size)
        for number in range(total):
            part = {
                "op": "fragment",
                "id": identity,
                "data": text[number * size : (number + 1) * size],
                "num": number,
                "total": total,
            }
            # A message with a part missing is lost whole: parts are not dropped one by one.
            self._enqueue(json.dumps(part))

    def tell(self, level: str, text: str, identity: object = None) -> None:
        """Log, each text once a client, and send a status to a client that asked for that level."""
        if text not in self._told and len(self._told) < 100:
            self._told.add(text)
            self._log(level, f"[{self.name}] {text}")
        if _LEVELS.get(level, 0) >= self._status_level and self._status_level < _LEVELS["none"]:
            operation = {"op": "status", "level": level, "msg": text}
            if identity is not None:
                operation["id"] = str(identity)
            self.answer(operation)

    # What comes in ----------------------------------------------------------------------------

    async def incoming(self, frame: bytes | str) -> None:
        """Do what one frame asks."""
        try:
            text = frame.decode("utf-8") if isinstance(frame, bytes) else frame
            operation = json.loads(text)
        except (UnicodeDecodeError, ValueError, RecursionError):
            await self._not_understood("a frame that is not JSON")
            return
        if not isinstance(operation, dict):
            await self._not_understood("a frame that is no JSON object")
            return
        await self._operate(operation)

    async def _not_understood(self, what: str, identity: object = None) -> None:
        self.malformed += 1
        self.tell("error", f"received {what}", identity)
        if self.malformed == _MALFORMED:
            self._log("warning", f"[{self.name}] sent {_MALFORMED} frames that are no operation")
            await self._close(1008, "too many frames that are no operation")

    async def _operate(self, operation: dict[str, Any]) -> None:
        identity = operation.get("id")
        name = operation.get("op")
        perform = self._operations.get(name) if isinstance(name, str) else None
        if perform is None:
            what = "a message without an op" if name is None else f"the unknown operation {name!r}"
            await self._not_understood(
                f"{what[:80]}; the operations are {', '.join(self._operations)}", identity
            )
            return
        size = operation.get("fragment_size")
        if isinstance(size, int) and size > 0:
            self._fragment_size = size
        try:
            await perform(operation)
        except (ConversionError, RefusedError) as error:
            self.tell("error", f"{name}: {error}", identity)

    def _take(self, operation: dict[str, Any], name: str, kind: type, default: object = ...) -> Any:
        value = operation.get(name, default)
        if value is ...:
            raise RefusedError(f"Expected a {name} field but none was found.")
        if value is default and name not in operation:
            return default
        good = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
        if kind is int and isinstance(value, float) and value.is_integer():
            return int(value)
        if not good:
            raise RefusedError(
                f"Expected field {name} to be one of {kind}. Invalid value: {value!r}"
            )
        return value

    def _check_glob(self, globs: tuple[str, ...], what: str, name: str) -> None:
        if not Globs.allow(globs, name):
            raise RefusedError(f"No match found for {what}, cancelling: {name}")

    # Topics -----------------------------------------------------------------------------------

    async def _subscribe(self, operation: dict[str, Any]) -> None:
        topic = self._take(operation, "topic", str)
        wish = {
            "throttle_rate": max(0, self._take(operation, "throttle_rate", int, 0)),
            "queue_length": min(max(0, self._take(operation, "queue_length", int, 0)), 10_000),
            "fragment_size": self._take(operation, "fragment_size", int, None),
            "compression": self._take(operation, "compression", str, "none"),
        }
        kind = self._take(operation, "type", str, None)
        self._check_glob(self._globs.topics, "topic", topic)
        identity = operation.get("id")
        # In turn: a subscription must not overtake the end of the one before it.
        async with self._order:
            known = self._subscriptions.get(topic)
            if known is None:
                if len(self._subscriptions) >= _TOPICS:
                    raise RefusedError(f"a client may hear {_TOPICS} topics")
                known = _Subscription(topic, Listener(topic, kind, lambda message: None))
                deliver = self._receiver(known)
                known.listener.deliver = lambda message: self._crossing.put(deliver, message)
                known.wishes[identity] = wish
                known.settle()
                await self._in_ros(lambda: self._graph.listen(known.listener))
                self._subscriptions[topic] = known
            else:
                known.wishes[identity] = wish
                known.settle()
        self._log("debug", f"[{self.name}] Subscribed to {topic}")

    async def _unsubscribe(self, operation: dict[str, Any]) -> None:
        topic = self._take(operation, "topic", str)
        identity = operation.get("id")
        async with self._order:
            known = self._subscriptions.get(topic)
            if known is None:
                return
            if identity is None:
                known.wishes.clear()
            else:
                known.wishes.pop(identity, None)
            if known.wishes:
                known.settle()
                return
            del self._subscriptions[topic]
            if known.timer is not None:
                known.timer.cancel()
            await self._in_ros(lambda: self._graph.leave(known.listener))

    def _receiver(self, known: _Subscription) -> Callable[[Incoming], None]:
        def receive(message: Incoming) -> None:
            if self._subscriptions.get(known.topic) not in (known, None):
                return
            if known.throttle <= 0:
                self._forward(known, message)
                return
            now = time.monotonic()
            if now >= known.last + known.throttle and not known.held:
                known.last = now
                self._forward(known, message)
            elif known.queue_length:
                if len(known.held) == known.queue_length:
                    self.dropped += 1
                known.held.append(message)
                if known.timer is None:
                    known.timer = self._loop.call_later(
                        max(0.0, known.last + known.throttle - now), self._release, known
                    )

        return receive

    def _release(self, known: _Subscription) -> None:
        known.timer = None
        if not known.held or self._subscriptions.get(known.topic) is not known:
            return
        known.last = time.monotonic()
        self._forward(known, known.held.popleft())
        if known.held:
            known.timer = self._loop.call_later(known.throttle, self._release, known)

    def _forward(self, known: _Subscription, message: Incoming) -> None:
        depth = known.queue_length or _DEPTH
        if known.compression != "cbor-raw" and time.monotonic() - self._sending_since > _STUCK:
            # Values cost the bridge much: none are made for a client that takes nothing.
            _, late = self._late.setdefault(
                known.topic, (known, deque(maxlen=min(depth, _MOST_LATE)))
            )
            if len(late) == late.maxlen:
                self.dropped += 1
            late.append(message)
            return
        try:
            if known.compression in ("cbor", "cbor-raw"):
                self._enqueue(message.form(known.topic, known.compression), known.topic, depth)
                return
            text = str(message.form(known.topic, "none"))
            if known.compression == "png":
                text = json.dumps({"op": "png", "data": _png(text)})
        except Exception as error:
            self.tell("error", f"cannot convert a message of {known.topic}: {error!r}")
            return
        self._enqueue_text(text, None, known.fragment_size, known.topic, depth)

    async def _advertise(self, operation: dict[str, Any]) -> None:
        topic = self._take(operation, "topic", str)
        kind = self._take(operation, "type", str)
        self._check_glob(self._globs.topics, "topic", topic)
        if topic not in self._advertised and len(self._advertised) >= _TOPICS:
            raise RefusedError(f"a client may advertise {_TOPICS} topics")
        latch = bool(operation.get("latch", False))
        size = self._take(operation, "queue_size", int, 100)
        await self._in_ros(lambda: self._graph.advertise(self, topic, kind, latch, size))
        self._advertised.setdefault(topic, set()).add(operation.get("id"))

    async def _unadvertise(self, operation: dict[str, Any]) -> None:
        topic = self._take(operation, "topic", str)
        identities = self._advertised.get(topic)
        if identities is None:
            return
        identity = operation.get("id")
        if identity is None:
            identities.clear()
        identities.discard(identity)
        if not identities:
            del self._advertised[topic]
            await self._in_ros(lambda: self._graph.unadvertise(self, topic))

    async def _publish(self, operation: dict[str, Any]) -> None:
        topic = self._take(operation, "topic", str)
        self._check_glob(self._globs.topics, "topic", topic)
        values = operation.get("msg", {})
        latch = bool(operation.get("latch", False))
        size = self._take(operation, "queue_size", int, 100)
        if topic not in self._advertised and len(self._advertised) >= _TOPICS:
            raise RefusedError(f"a client may advertise {_TOPICS} topics")
        await self._in_ros(lambda: self._graph.publish(self, topic, values, latch, size))
        self._advertised.setdefault(topic, set()).add(None)

    # Services ---------------------------------------------------------------------------------

    def _start(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        task = self._loop.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _one_more(self) -> None:
        if len(self._tasks) >= _PENDING:
            raise RefusedError(f"{_PENDING} calls and goals of this client are under way already")

    async def _call_service(self, operation: dict[str, Any]) -> None:
        service = self._take(operation, "service", str)
        name, _, tail = service.partition("#")
        identity = operation.get("id") or tail or None
        fragment_size = self._take(operation, "fragment_size", int, None)
        timeout = operation.get("timeout", self._limits.service_timeout)
        if not isinstance(timeout, (int, float)) or not math.isfinite(timeout):
            raise RefusedError("Expected field timeout to be a number")
        self._check_glob(self._globs.services, "service", name)
        self._one_more()
        call = _Call(name, service, operation.get("args", {}), identity, fragment_size, timeout)
        self._start(self._called(call))

    async def _called(self, wanted: _Call) -> None:
        name, identity, timeout = wanted.name, wanted.identity, wanted.timeout
        response: dict[str, Any] = {"op": "service_response", "service": wanted.service}
        if identity is not None:
            response["id"] = identity
        answered: asyncio.Future[Any] = self._loop.create_future()
        calls: list[tuple[Any, Any]] = []

        def settle(future: Any) -> None:
            _hand_over(self._loop, answered, future)

        def call() -> None:
            client, cls = self._graph.service(name)
            future = client.call_async(self._graph.request(cls, wanted.args))
            calls.append((client, future))
            future.add_done_callback(settle)

        try:
            await self._in_ros(call)
            result = await asyncio.wait_for(answered, timeout if timeout > 0 else None)
            response |= {"values": to_json(result), "result": True}
        except asyncio.TimeoutError:
            await self._in_ros(lambda: [self._graph.drop_call(*each) for each in calls])
            text = f"Timeout exceeded while waiting for service response ({timeout:g} s)"
            self.tell("error", f"call_service {name}: {text}", identity)
            response |= {"values": text, "result": False}
        except Exception as error:
            self.tell("error", f"call_service {type(error).__name__}: {error}", identity)
            response |= {"values": str(error), "result": False}
        self.answer(response, wanted.fragment_size)

    # Actions ----------------------------------------------------------------------------------

    async def _send_action_goal(self, operation: dict[str, Any]) -> None:
        action = self._take(operation, "action", str)
        kind = self._take(operation, "action_type", str)
        name, _, tail = action.partition("#")
        identity = str(operation.get("id") or tail or "")
        fragment_size = self._take(operation, "fragment_size", int, None)
        self._check_glob(self._globs.actions, "action", name)
        self._one_more()
        goal = _Goal(
            name,
            kind,
            operation.get("args", {}),
            identity,
            bool(operation.get("feedback", False)),
            fragment_size,
        )
        self._start(self._pursued(goal))

    async def _pursued(self, wanted: _Goal) -> None:
        name, identity, fragment_size = wanted.name, wanted.identity, wanted.fragment_size

        def base(op: str) -> dict[str, Any]:
            made: dict[str, Any] = {"op": op, "action": name}
            if identity:
                made["id"] = identity
            return made

        def on_feedback(message: Any) -> None:
            values = to_json(message.feedback)
            self._loop.call_soon_threadsafe(
                lambda: self.answer(base("action_feedback") | {"values": values}, fragment_size)
            )

        accepted: asyncio.Future[Any] = self._loop.create_future()
        ended: asyncio.Future[Any] = self._loop.create_future()

        def send() -> None:
            client, cls = self._graph.action(name, wanted.kind)
            goal = self._graph.goal(cls, wanted.args)
            future = client.send_goal_async(
                goal, feedback_callback=on_feedback if wanted.feedback else None
            )
            future.add_done_callback(lambda done: _hand_over(self._loop, accepted, done))

        def ready() -> bool:
            return bool(self._graph.action(name, wanted.kind)[0].server_is_ready())

        result = base("action_result")
        try:
            for _ in range(20):
                if await self._in_ros(ready):
                    break
                # A client made just now needs a moment to be matched.
                await asyncio.sleep(0.05)
            else:
                raise RefusedError(f"Action {name} does not exist")
            await self._in_ros(send)
            handle = await asyncio.wait_for(accepted, self._limits.service_timeout or None)
            if not handle.accepted:
                raise RefusedError("Action goal was rejected")
            if identity:
                self._goals[identity] = handle

            def get_result() -> None:
                handle.get_result_async().add_done_callback(
                    lambda done: _hand_over(self._loop, ended, done)
                )

            await self._in_ros(get_result)
            outcome = await ended
            result |= {
                "values": to_json(outcome.result),
                "status": outcome.status,
                "result": True,
            }
        except Exception as error:
            text = str(error) or type(error).__name__
            self.tell("error", f"send_action_goal {name}: {text}", identity)
            result |= {"values": text, "status": GoalStatus.STATUS_UNKNOWN, "result": False}
        finally:
            self._goals.pop(identity, None)
        self.answer(result, fragment_size)

    async def _cancel_action_goal(self, operation: dict[str, Any]) -> None:
        action = self._take(operation, "action", str)
        identity = str(operation.get("id") or action.partition("#")[2])
        handle = self._goals.get(identity)
        if handle is None:
            raise RefusedError(f"no goal with the id {identity!r} is under way")
        await self._in_ros(handle.cancel_goal_async)

    # Others -----------------------------------------------------------------------------------

    async def _set_level(self, operation: dict[str, Any]) -> None:
        level = self._take(operation, "level", str)
        if level not in _LEVELS:
            raise RefusedError(f"level must be one of {', '.join(_LEVELS)}")
        self._status_level = _LEVELS[level]

    async def _fragment(self, operation: dict[str, Any]) -> None:
        identity = str(self._take(operation, "id", object))
        text = self._take(operation, "data", str)
        number = self._take(operation, "num", int)
        total = self._take(operation, "total", int)
        now = time.monotonic()
        for name, (since, _, _) in list(self._fragments.items()):
            if now - since > self._limits.fragment_timeout:
                del self._fragments[name]
        if not 0 <= number < total <= _FRAGMENTS:
            raise RefusedError(f"fragment {number} of {total}: a message has up to {_FRAGMENTS}")
        if identity not in self._fragments and len(self._fragments) >= _FRAGMENTED:
            raise RefusedError(f"fragments of {_FRAGMENTED} messages are held already")
        _, parts, wanted = self._fragments.setdefault(identity, (now, {}, total))
        parts.setdefault(number, text)
        held = sum(len(p) for _, each, _ in self._fragments.values() for p in each.values())
        if total != wanted or held > self._limits.max_message_size:
            del self._fragments[identity]
            raise RefusedError(
                "the fragments do not agree"
                if total != wanted
                else f"more than max_message_size, {self._limits.max_message_size} bytes"
            )
        if len(parts) < total:
            return
        del self._fragments[identity]
        whole = "".join(parts[each] for each in range(total))
        try:
            inner = json.loads(whole)
        except (ValueError, RecursionError):
            await self._not_understood("fragments that are not JSON together", identity)
            return
        if not isinstance(inner, dict) or inner.get("op") == "fragment":
            await self._not_understood("fragments that are no operation together", identity)
            return
        await self._operate(inner)

    async def finish(self) -> None:
        """Let go of everything that the client asked for."""
        for task in list(self._tasks):
            task.cancel()
        for known in self._subscriptions.values():
            if known.timer is not None:
                known.timer.cancel()
        listeners = [known.listener for known in self._subscriptions.values()]
        self._subscriptions.clear()

        def leave() -> None:
            for listener in listeners:
                self._graph.leave(listener)
            self._graph.unadvertise(self)

        with contextlib.suppress(Exception):
            await self._in_ros(leave)


def _hand_over(loop: asyncio.AbstractEventLoop, to: asyncio.Future[Any], future: Any) -> None:
    """Carry the outcome of an rclpy future over to one of the loop."""
    error = future.exception()
    result = None if error is not None else future.result()

    def settle() -> None:
        if to.done():
            return
        if error is not None:
            to.set_exception(error)
        else:
            to.set_result(result)

    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(settle)


def _png(text: str) -> str:
    """Text as the bytes of a square RGB picture, as base64 PNG (rosbridge v2, section 3.2.2)."""
    raw = text.encode("utf-8")
    width = max(1, math.isqrt(len(raw) // 3))
    height = -(-len(raw) // (3 * width))
    raw = raw.ljust(3 * width * height, b"\n")
    row = 3 * width
    # PNG (ISO/IEC 15948): 8-bit RGB, each row after its filter byte, none.
    rows = b"".join(b"\0" + raw[at : at + row] for at in range(0, len(raw), row))

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    picture = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return base64.standard_b64encode(picture).decode("ascii")
