# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A recording through the box's own nodes, without a graph: the same tracks each time, bit for bit.

The nodes are the very classes that run live. What they would hand to ROS (publishers,
subscriptions, timers, the clock) goes to a :class:`Bus` instead, which has one thread and the
recording's time: a message is heard at once by whoever subscribed, in the order in which they did,
and a timer fires when the recording reaches it. Nothing depends on how fast the machine is.

The sensors' raw bytes go through the drivers' parsers and conversions. Where a recording has none,
and for the camera, whose driver holds a conversation in real time, the recorded detections are
taken in their place.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import rclpy
from rclpy.clock import ClockType
from rclpy.parameter import Parameter as RosParameter
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.time import Time

from thebox_bringup.graph import NAMESPACE, NODES, GraphError, NodeSpec, spec
from thebox_bringup.recording.bag import BagError, BagReader, BagWriter, Qos, Recorded, Topic
from thebox_bringup.recording.tap import message_class
from thebox_bringup.settings import SettingsError, parse_assignment
from thebox_core.packed import PackedPicture
from thebox_interfaces.msg import RawDatagram, Track, TrackArray
from thebox_sensors.transport import Datagram

__all__ = ["Bus", "Outcome", "replay_offline", "run_offline"]

_RAW = "thebox_interfaces/msg/RawDatagram"
#: Drivers that talk with their sensor in real time: their detections are taken as recorded.
_CONVERSATIONAL = frozenset({"trakka"})
#: What a driver must not do offline, beside opening its source.
_QUIET: Mapping[str, Mapping[str, Any]] = {
    "dspnor": {"control.address": "", "discovery.enabled": False},
}
#: Where the live box paces itself by its processor, the recording needs a pace of its own.
_PACE: Mapping[str, Mapping[str, Any]] = {"fusion": {"publish_rate_max": 10.0}}
_STAGES = ("fusion", "range")
_AFTER = 2.0  # seconds of silence after the last message, in which the last cycles run
_INPUTS = ("detections/", "ownship/", "camera/gimbal_state")


class _Wire:
    """A publisher that ends in the bus."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._bus = bus
        self.topic_name = name

    def publish(self, message: Any) -> None:
        """Let every subscriber hear it, now."""
        self._bus.publish(self.topic_name, message)

    def get_subscription_count(self) -> int:
        """How many listen."""
        return len(self._bus.listeners.get(self.topic_name, ()))


@dataclass(eq=False)
class _Ear:
    """Attributes: kind: the message class that is wanted; None: as it was published."""

    topic: str
    callback: Callable[[Any], None]
    kind: Any = None
    raw: bool = False

    def hear(self, message: Any) -> None:
        """Take a message in the form that is wanted, as DDS would give it."""
        packed = isinstance(message, bytes)
        if self.raw and not packed:
            message = serialize_message(message)
        elif packed and not self.raw and self.kind is not None:
            message = deserialize_message(message, self.kind)
        self.callback(message)


@dataclass(eq=False)
class _Timer:
    period: int
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        """Fire no more."""
        self.cancelled = True


class _Absent:
    """A service or client that nobody is behind."""

    def service_is_ready(self) -> bool:
        """Nobody answers."""
        return False


class _Clock:
    """The recording's time, as a node's clock."""

    clock_type = ClockType.ROS_TIME
    ros_time_is_active = True

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def now(self) -> Time:
        """The time."""
        return Time(nanoseconds=self._bus.time, clock_type=ClockType.ROS_TIME)


class Bus:
    """Topics, timers and time of one run."""

    def __init__(self, begin: int) -> None:
        self.time = begin
        self.clock = _Clock(self)
        self.listeners: dict[str, list[_Ear]] = {}
        self.types: dict[str, str] = {}
        self._timers: list[tuple[int, int, _Timer]] = []
        self._serial = itertools.count()

    def publish(self, name: str, message: Any) -> None:
        """Let every subscriber hear a message."""
        for ear in tuple(self.listeners.get(name, ())):
            ear.hear(message)

    def listen(
        self, name: str, callback: Callable[[Any], None], kind: Any = None, *, raw: bool = False
    ) -> _Ear:
        """Hear a topic from now on; without a ``kind``, in the form that it is published in."""
        ear = _Ear(name, callback, kind, raw)
        self.listeners.setdefault(name, []).append(ear)
        return ear

    def timer(self, period: float, callback: Callable[[], None]) -> _Timer:
        """Call something every ``period`` seconds of the recording."""
        made = _Timer(max(round(period * 1e9), 1), callback)
        heapq.heappush(self._timers, (self.time + made.period, next(self._serial), made))
        return made

    def advance(self, to: int) -> None:
        """Let the time pass, firing the timers in their order."""
        while self._timers and self._timers[0][0] <= to:
            due, _, timer = heapq.heappop(self._timers)
            if timer.cancelled:
                continue
            self.time = max(self.time, due)
            heapq.heappush(self._timers, (due + timer.period, next(self._serial), timer))
            timer.callback()
        self.time = max(self.time, to)


def _destroyed(node: Any, kind: str, what: Any) -> bool:
    return bool(getattr(super(_OfflineNode, node), f"destroy_{kind}")(what))


class _OfflineNode:
    """Laid over a node's class: what would go to ROS goes to the bus."""

    bus: Bus

    def _full(self, name: str) -> str:
        space = self.get_namespace().rstrip("/")  # type: ignore[attr-defined]
        if name.startswith("~/"):
            return f"{space}/{self.get_name()}/{name[2:]}"  # type: ignore[attr-defined]
        return name if name.startswith("/") else f"{space}/{name}"

    @property
    def listens(self) -> bool:
        """A driver opens no source: its bytes are handed to it."""
        return False

    def steady(self) -> float:
        """The recording's time: the machine's speed is nothing that a node may see."""
        return self.bus.time * 1e-9

    def get_clock(self) -> _Clock:
        """The recording's clock."""
        return self.bus.clock

    def create_publisher(self, kind: Any, topic: str, *_: Any, **__: Any) -> _Wire:
        """A publisher to the bus."""
        name = self._full(topic)
        package = kind.__module__.partition(".")[0]
        self.bus.types[name] = f"{package}/msg/{kind.__name__}"
        return _Wire(self.bus, name)

    def create_subscription(
        self,
        kind: Any,
        topic: str,
        callback: Callable[[Any], None],
        *_: Any,
        raw: bool = False,
        **__: Any,
    ) -> _Ear:
        """A subscription to the bus."""
        return self.bus.listen(self._full(topic), callback, kind, raw=raw)

    def create_timer(
        self, timer_period_sec: float, callback: Callable[[], None], *_: Any, **__: Any
    ) -> _Timer:
        """A timer of the recording's time, whatever clock was asked for."""
        return self.bus.timer(timer_period_sec, callback)

    def create_service(self, *_: Any, **__: Any) -> _Absent:
        """A service that nobody calls."""
        return _Absent()

    def create_client(self, *_: Any, **__: Any) -> _Absent:
        """A client that nobody answers."""
        return _Absent()

    def destroy_publisher(self, publisher: Any) -> bool:
        """Nothing is held of a wire; what rclpy made itself is destroyed."""
        return isinstance(publisher, _Wire) or _destroyed(self, "publisher", publisher)

    def destroy_service(self, service: Any) -> bool:
        """The same for a service."""
        return isinstance(service, _Absent) or _destroyed(self, "service", service)

    def destroy_client(self, client: Any) -> bool:
        """The same for a client."""
        return isinstance(client, _Absent) or _destroyed(self, "client", client)

    def destroy_subscription(self, subscription: Any) -> bool:
        """Hear no more."""
        if isinstance(subscription, _Ear):
            self.bus.listeners[subscription.topic].remove(subscription)
            return True
        return _destroyed(self, "subscription", subscription)

    def destroy_timer(self, timer: Any) -> bool:
        """Fire no more."""
        if isinstance(timer, _Timer):
            timer.cancel()
            return True
        return _destroyed(self, "timer", timer)

    def get_topic_names_and_types(self, *_: Any, **__: Any) -> list[tuple[str, list[str]]]:
        """The topics of the bus."""
        return [(name, [kind]) for name, kind in sorted(self.bus.types.items())]


@dataclass
class Outcome:
    """What came of a run.

    Attributes:
        digest: SHA-256 over every TrackArray published, bit for bit.
        pictures: TrackArrays published.
        detections: by sensor.
        rejected: records that a driver could not use, by sensor.
        tracks: identities of the tracks that were ever confirmed, in order.
        seconds: of the recording.
        took: seconds that it took.
        level: ``raw`` or ``detections``: what it began with.
    """

    digest: str = ""
    pictures: int = 0
    detections: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    tracks: list[str] = field(default_factory=list)
    seconds: float = 0.0
    took: float = 0.0
    level: str = ""


def _namespace(bag: BagReader) -> str:
    """The box's namespace in a bag."""
    for name, topic in sorted(bag.topics.items()):
        for marked in ("/raw/", "/detections/"):
            if marked in name and topic.type.startswith("thebox_interfaces/"):
                return name.partition(marked)[0] or "/"
    return NAMESPACE


def _make(node: NodeSpec, bus: Bus, context: Any, space: str, values: Mapping[str, Any]) -> Any:
    kind = node.load_class()
    declared = {p.name for p in node.load_parameters()}
    wanted = {**values, **_QUIET.get(node.name, {}), "autostart": False}
    overrides = [
        RosParameter(name, value=value)
        for name, value in sorted(wanted.items())
        # rclpy takes an empty list for one of bytes; it is the default wherever it may be empty.
        if name in declared and value is not None and value != []
    ]
    offline = type(f"Offline{kind.__name__}", (_OfflineNode, kind), {"bus": bus})
    made = offline(
        name=node.name,
        context=context,
        namespace=space,
        use_global_arguments=False,
        enable_rosout=False,
        parameter_overrides=overrides,
    )
    made.trigger_configure()
    made.trigger_activate()
    if not made.is_active:
        made.close()
        raise BagError(f"{node.name} cannot be activated offline: see the log above")
    return made


class _Run:
    """The nodes and inputs of one run."""

    def __init__(
        self, bag: BagReader, settings: Mapping[str, Mapping[str, Any]], context: Any
    ) -> None:
        self.bag = bag
        self.space = _namespace(bag)
        self.bus = Bus(bag.start)
        self.nodes: dict[str, Any] = {}
        prefix = self.space.rstrip("/")
        raw = {
            name.rpartition("/")[2]
            for name, topic in bag.topics.items()
            if topic.type == _RAW and name.startswith(f"{prefix}/raw/")
        }
        drivers = [n for n in NODES if n.name in raw - _CONVERSATIONAL]
        self.level = "raw" if drivers else "detections"
        stages = [spec(name) for name in _STAGES if any(n.name == name for n in NODES)]
        for node in (*drivers, *stages):
            values = {
                **bag.parameters.get(node.name, {}),
                **_PACE.get(node.name, {}),
                **settings.get(node.name, {}),
            }
            self.nodes[node.name] = _make(node, self.bus, context, self.space, values)
        made = set(self.bus.types)
        self.raw = {f"{prefix}/raw/{node.name}": node.name for node in drivers}
        # The rest of what the stages read comes as it was recorded.
        self.taken = {
            name: message_class(topic.type)
            for name, topic in bag.topics.items()
            if name not in made and name.startswith(tuple(f"{prefix}/{part}" for part in _INPUTS))
        }
        for name in self.taken:
            self.bus.types[name] = bag.topics[name].type
        self.tracks_topic = f"{prefix}/{stages[-1].stage_output}"
        self._connections: dict[str, int] = {}

    def inputs(self) -> Iterator[tuple[int, str, Any]]:
        """What is played: (time in nanoseconds, topic, message), in order of time."""
        found = []
        for index, message in enumerate(self.bag.messages({*self.raw, *self.taken})):
            if message.topic in self.raw:
                raw = deserialize_message(message.data, RawDatagram)
                at = raw.arrival.sec * 10**9 + raw.arrival.nanosec
                found.append((at, index, message.topic, raw))
            else:
                made = deserialize_message(message.data, self.taken[message.topic])
                found.append((message.stamp, index, message.topic, made))
        found.sort(key=lambda each: each[:2])
        for at, _, topic, message in found:
            yield at, topic, message

    def play(self) -> None:
        """Play all, and let the last cycles run."""
        for at, topic, message in self.inputs():
            self.bus.advance(at)
            sensor = self.raw.get(topic)
            if sensor is None:
                self.bus.publish(topic, message)
                continue
            node = self.nodes[sensor]
            if self._connections.get(sensor) != message.connection:
                self._connections[sensor] = message.connection
                node.begin_connection(message.stream)
            node.consume([Datagram(message.data.tobytes(), at * 1e-9)])
        self.bus.advance(self.bus.time + round(_AFTER * 1e9))

    def close(self) -> None:
        """Release the nodes."""
        for node in self.nodes.values():
            node.close()
            node.destroy_node()


def replay_offline(
    bag: BagReader,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    out: BagWriter | None = None,
) -> Outcome:
    """Run a recording through the drivers and the tracker.

    Args:
        bag: what was recorded.
        settings: parameters, by node, over those that it was recorded with.
        out: takes what came of it: tracks, detections, and the truth where there is one.

    Raises:
        BagError: there is nothing to track in it.
    """
    before = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE")
    # Its nodes belong to no graph.
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "OFF"
    context = rclpy.Context()
    rclpy.init(
        args=["--ros-args", "--log-level", "error", "--disable-external-lib-logs"],
        context=context,
        signal_handler_options=rclpy.SignalHandlerOptions.NO,
    )
    began = time.monotonic()
    try:
        run = _Run(bag, settings or {}, context)
        try:
            if not run.raw and not any("/detections/" in name for name in run.taken):
                raise BagError(f"{bag.path} holds neither raw bytes nor detections")
            outcome = _listen_and_play(run, out)
        finally:
            run.close()
    finally:
        context.try_shutdown()
        if before is None:
            os.environ.pop("ROS_AUTOMATIC_DISCOVERY_RANGE", None)
        else:
            os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = before
    outcome.took = time.monotonic() - began
    outcome.seconds = (bag.end - bag.start) * 1e-9
    return outcome


def _listen_and_play(run: _Run, out: BagWriter | None) -> Outcome:
    outcome = Outcome(level=run.level)
    digest = hashlib.sha256()
    tracks: dict[bytes, int] = {}
    kept: list[Recorded] = []
    tracks_name = f"{run.space.rstrip('/')}/tracks"

    def on_tracks(message: bytes) -> None:
        digest.update(message)
        outcome.pictures += 1
        for track in PackedPicture.read(message).tracks:
            if track.state >= Track.STATE_CONFIRMED:
                tracks.setdefault(track.id, track.number)
        if out is not None:
            kept.append(Recorded(tracks_name, run.bus.time, message))

    run.bus.listen(run.tracks_topic, on_tracks, TrackArray, raw=True)

    def on_detection(message: Any, name: str) -> None:
        outcome.detections[message.sensor] = outcome.detections.get(message.sensor, 0) + 1
        if out is not None:
            kept.append(Recorded(name, run.bus.time, serialize_message(message)))

    for name in sorted(run.bus.types):
        if "/detections/" in name:
            run.bus.listen(name, lambda message, name=name: on_detection(message, name))
    run.play()
    for name, node in run.nodes.items():
        if name in run.raw.values() and node.rejected.total():
            outcome.rejected[name] = node.rejected.total()
    outcome.digest = digest.hexdigest()
    outcome.tracks = [bytes(key).hex() for key in tracks]
    if out is not None:
        _write(out, run, kept, tracks_name)
    return outcome


def _write(out: BagWriter, run: _Run, kept: Sequence[Recorded], tracks_name: str) -> None:
    out.add(Topic(tracks_name, "thebox_interfaces/msg/TrackArray", (Qos(),)))
    for name in sorted({message.topic for message in kept} - {tracks_name}):
        out.add(Topic(name, run.bus.types[name], (Qos(),)))
    others = {
        name
        for name in run.bag.topics
        if "/sim/" in name or (name in run.taken and "/ownship/" in name)
    }
    for name in sorted(others):
        out.add(run.bag.topics[name])
    for message in heapq.merge(kept, run.bag.messages(others), key=lambda message: message.stamp):
        out.write(*message)


def run_offline(bag: BagReader, options: argparse.Namespace) -> int:
    """``thebox replay --offline``; return the exit status."""
    settings: dict[str, dict[str, Any]] = {}
    try:
        for text in options.settings:
            node, name, value = parse_assignment(text)
            found = spec(node)
            if name not in {p.name for p in found.load_parameters()}:
                raise SettingsError(f"'{text}': {node} has no parameter {name}")
            settings.setdefault(node, {})[name] = value
    except (GraphError, SettingsError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    out = BagWriter(options.out.absolute()) if options.out is not None else None
    try:
        outcome = replay_offline(bag, settings, out)
    finally:
        if out is not None:
            out.close()
    if options.json:
        print(json.dumps(outcome.__dict__))
        return 0
    print(f"{outcome.seconds:.1f} s of recording in {outcome.took:.1f} s, from {outcome.level}")
    print(f"  pictures           {outcome.pictures}")
    print(f"  confirmed tracks   {len(outcome.tracks)}")
    for sensor, count in sorted(outcome.detections.items()):
        print(f"  detections         {count:>7}  {sensor}")
    for sensor, count in sorted(outcome.rejected.items()):
        print(f"  rejected           {count:>7}  {sensor}")
    print(f"  tracks' digest     {outcome.digest}")
    if out is not None:
        print(f"  written to         {out.path}")
    return 0
