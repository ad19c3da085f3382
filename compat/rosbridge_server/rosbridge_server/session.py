# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""One client of the bridge: what it asks, and what comes of it.

Runs in the event loop. ROS is reached through ``in_ros``, which runs a call in the executor's
thread and gives a future of the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from action_msgs.msg import GoalStatus

from rosbridge_server.conversion import ConversionError, png, to_json
from rosbridge_server.fragments import Assembly
from rosbridge_server.graph import Crossing, Graph, Incoming, Listener
from rosbridge_server.limits import Globs, Limits, RefusedError
from rosbridge_server.outbox import Outbox
from rosbridge_server.subscription import Subscription

__all__ = ["Session"]

#: Messages of one topic that wait for a client when it names no queue_length.
_DEPTH = 10
#: Seconds that a frame may take to be sent before a client counts as one that takes nothing, and
#: the messages of a topic that are then held for it unconverted.
_STUCK = 1.0
_MOST_LATE = 10
#: Calls and goals of one client that may be under way.
_PENDING = 256
#: Topics that one client may hear and advertise.
_TOPICS = 1024
#: Frames that are no operation after which a client is sent away.
_MALFORMED = 100
_LEVELS = {"info": 0, "warning": 1, "error": 2, "none": 3}


@dataclass(frozen=True)
class _Call:
    """A service call as it was asked for; ``service`` as the client wrote it."""

    name: str
    service: str
    args: Any
    identity: object
    fragment_size: int | None
    timeout: float


@dataclass
class _Goal:
    """An action goal as it was asked for, and what became of it.

    ``handle`` is there once the server has accepted it. Its first feedback may come before that,
    and with it a client's wish to cancel.
    """

    name: str
    kind: str
    args: Any
    identity: str
    feedback: bool
    fragment_size: int | None
    handle: Any = None
    cancelled: bool = False


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
        self._close = close
        self._graph = graph
        self._in_ros = in_ros
        self._crossing = crossing
        self._limits = limits
        self._globs = globs
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(
            send,
            self._too_slow,
            fragment_size=limits.max_message_size,
            delay=limits.delay_between_messages,
        )
        self._subscriptions: dict[str, Subscription] = {}
        self._advertised: dict[str, set[object]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._goals: dict[str, _Goal] = {}
        self._fragments = Assembly(limits)
        self._status_level = _LEVELS["none"]
        self._told: set[str] = set()
        self._order = asyncio.Lock()
        #: Messages that are converted once the client takes what is being sent.
        self._late: dict[str, tuple[Subscription, deque[Incoming]]] = {}
        #: Frames that were no operation.
        self.malformed = 0
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

    @property
    def dropped(self) -> int:
        """Published messages that the client did not get."""
        return self._outbox.dropped

    @property
    def waiting(self) -> int:
        """Bytes that wait for the client."""
        return self._outbox.waiting

    # What is sent -----------------------------------------------------------------------------

    async def pump(self) -> None:
        """Send what is queued, until cancelled."""
        await self._outbox.pump(self._catch_up)

    def _catch_up(self) -> None:
        """Convert what came while the client took nothing: the newest of each topic."""
        late, self._late = self._late, {}
        for topic, (known, messages) in late.items():
            if self._subscriptions.get(topic) is known:
                for message in messages:
                    self._forward(known, message)

    def answer(self, operation: dict[str, Any], fragment_size: int | None = None) -> None:
        """Queue an operation for the client, as JSON, in fragments when it is larger than asked."""
        self._outbox.put_text(json.dumps(operation), operation.get("id"), fragment_size)

    def _too_slow(self) -> None:
        self._start(self._close(1008, "the client does not take its answers"))

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
            self._outbox.fragment_size = size
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
                known = Subscription(topic, Listener(topic, kind, lambda message: None))
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

    def _receiver(self, known: Subscription) -> Callable[[Incoming], None]:
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
                    self._outbox.dropped += 1
                known.held.append(message)
                if known.timer is None:
                    known.timer = self._loop.call_later(
                        max(0.0, known.last + known.throttle - now), self._release, known
                    )

        return receive

    def _release(self, known: Subscription) -> None:
        known.timer = None
        if not known.held or self._subscriptions.get(known.topic) is not known:
            return
        known.last = time.monotonic()
        self._forward(known, known.held.popleft())
        if known.held:
            known.timer = self._loop.call_later(known.throttle, self._release, known)

    def _forward(self, known: Subscription, message: Incoming) -> None:
        depth = known.queue_length or _DEPTH
        if known.compression != "cbor-raw" and self._outbox.sending_for > _STUCK:
            # Values cost the bridge much: none are made for a client that takes nothing.
            _, late = self._late.setdefault(
                known.topic, (known, deque(maxlen=min(depth, _MOST_LATE)))
            )
            if len(late) == late.maxlen:
                self._outbox.dropped += 1
            late.append(message)
            return
        try:
            if known.compression in ("cbor", "cbor-raw"):
                self._outbox.put(message.form(known.topic, known.compression), known.topic, depth)
                return
            text = str(message.form(known.topic, "none"))
            if known.compression == "png":
                text = json.dumps({"op": "png", "data": png(text)})
        except Exception as error:
            self.tell("error", f"cannot convert a message of {known.topic}: {error!r}")
            return
        self._outbox.put_text(text, None, known.fragment_size, known.topic, depth)

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
        if identity:
            self._goals[identity] = goal
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
            wanted.handle = handle
            if wanted.cancelled:
                await self._in_ros(handle.cancel_goal_async)

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
            if self._goals.get(identity) is wanted:
                del self._goals[identity]
        self.answer(result, fragment_size)

    async def _cancel_action_goal(self, operation: dict[str, Any]) -> None:
        action = self._take(operation, "action", str)
        identity = str(operation.get("id") or action.partition("#")[2])
        goal = self._goals.get(identity)
        if goal is None:
            raise RefusedError(f"no goal with the id {identity!r} is under way")
        goal.cancelled = True
        if goal.handle is not None:
            await self._in_ros(goal.handle.cancel_goal_async)

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
        whole = self._fragments.put(identity, text, number, total)
        if whole is None:
            return
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
