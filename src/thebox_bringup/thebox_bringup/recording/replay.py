# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox replay``: a bag into a graph, into the drivers, or offline through the nodes' code."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.publisher import Publisher
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock as ClockMessage

from thebox_bringup.graph import NAMESPACE
from thebox_bringup.recording.bag import BagError, BagReader, Recorded, Topic
from thebox_bringup.recording.feeding import Feed, sources
from thebox_bringup.recording.tap import message_class
from thebox_bringup.transport import speak_as_the_box
from thebox_core.health import Report
from thebox_core.node import BoxNode
from thebox_core.parameters import Parameter
from thebox_interfaces.msg import RawDatagram

__all__ = ["Player", "main", "parser"]

_CLOCK_PERIOD = 0.01  # seconds of life between two messages on /clock
_DEPTH = 1000
_RAW = "thebox_interfaces/msg/RawDatagram"

PARAMETERS = (
    Parameter(
        "rate",
        1.0,
        "Seconds of the recording in a second; 0: as fast as possible.",
        minimum=0.0,
        maximum=1000.0,
    ),
    Parameter("paused", False, "Whether the recording stands still."),
    Parameter(
        "position",
        0.0,
        "Seconds from the recording's beginning; setting it goes there.",
        minimum=0.0,
        unit="s",
    ),
    Parameter("loop", False, "Begin anew at the end."),
)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox replay",
        description="Play a bag: its topics into the graph, or (--drivers) its raw bytes into "
        "the sensors' drivers, or (--offline) through the drivers' and the tracker's own code "
        "without a graph, the same way each time and as fast as it goes.",
        epilog="keys: space pauses, s steps, arrows left and right go 10 s back and on, up and "
        "down change the rate, q ends. Parameters rate, paused, position and loop of the node "
        "`replay` do the same from elsewhere. Exit codes: 0 played; 1 a bag or graph that cannot "
        "be used; 2 something given is wrong; 130 Ctrl-C.",
    )
    made.add_argument("bag", type=Path, help="folder of a bag, or an MCAP file")
    made.add_argument("--rate", type=float, default=1.0, help="default 1; 0 or max: no waiting")
    made.add_argument("--start", type=float, default=0.0, metavar="SECONDS", help="begin there")
    made.add_argument("--duration", type=float, metavar="SECONDS", help="end after so much of it")
    made.add_argument("--loop", action="store_true", help="begin anew at the end")
    made.add_argument("--paused", action="store_true", help="wait at the beginning")
    made.add_argument("--topics", default="", metavar="REGEX", help="only topics that match")
    made.add_argument("--exclude", default="", metavar="REGEX", help="not topics that match")
    made.add_argument("--no-clock", action="store_true", help="publish no /clock")
    made.add_argument("--namespace", default=NAMESPACE, help=f"of the box; default {NAMESPACE}")
    made.add_argument(
        "--drivers",
        action="store_true",
        help="send the raw bytes to the drivers; of the topics only those that no node makes",
    )
    made.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="SENSOR=URL",
        help="where a driver listens; default: where it did when it was recorded",
    )
    made.add_argument("--offline", action="store_true", help="no graph: the nodes' code alone")
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NODE.PARAMETER=VALUE",
        dest="settings",
        help="offline: a parameter other than it was recorded with",
    )
    made.add_argument("--out", type=Path, metavar="BAG", help="offline: write what came of it")
    made.add_argument("--json", action="store_true", help="say what was played as JSON")
    return made


def _profile(topic: Topic) -> QoSProfile:
    reliable = not topic.qos or all(q.reliability == "reliable" for q in topic.qos)
    latched = topic.latched
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=max((q.depth for q in topic.qos), default=1) if latched else _DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


class Player(BoxNode):
    """Plays a bag; the loop is :meth:`play`, in the caller's thread."""

    PARAMETERS = PARAMETERS

    def __init__(
        self,
        bag: BagReader,
        *,
        include: str = "",
        exclude: str = "",
        clock: bool = True,
        drivers: dict[str, str] | None = None,
        first: float = 0.0,
        length: float | None = None,
        **options: Any,
    ) -> None:
        self._bag = bag
        self._changed = threading.Condition()
        self._seek: float | None = None
        self._own = False
        self._steps = 0
        self._stopping = False
        self._at = bag.start
        self._first = bag.start + round(first * 1e9)
        self._last = self._first + round(length * 1e9) if length is not None else bag.end
        self._seek = first
        self.played = 0
        #: Topics that cannot be played, and why.
        self.passed_over: dict[str, str] = {}
        super().__init__("replay", **options)
        self._feeds: dict[str, Feed] = {}
        self._connections: dict[str, int] = {}
        self._outputs: dict[str, Publisher] = {}
        raw = {name for name, topic in bag.topics.items() if topic.type == _RAW}
        self._raw = raw if drivers is not None else set()
        for name, topic in sorted(bag.topics.items()):
            wanted = not include or re.search(include, name)
            unwanted = exclude and re.search(exclude, name)
            made_by_drivers = drivers is not None and name not in raw and not _is_world(name)
            if not wanted or unwanted or made_by_drivers or name in self._raw or name == "/clock":
                continue
            try:
                kind = message_class(topic.type)
            except BagError as error:
                self.passed_over[name] = str(error)
                continue
            self._outputs[name] = self.create_publisher(kind, name, _profile(topic))
        for sensor, url in (drivers or {}).items():
            if any(name.endswith(f"/raw/{sensor}") for name in raw):
                self._feeds[sensor] = Feed(sensor, url)
        self._clock_out = self.create_publisher(ClockMessage, "/clock", 10) if clock else None
        self._timer = self.create_timer(1.0, self._show_position)
        self.health.add("replay", self._report)

    # Control ----------------------------------------------------------------------------------

    def parameters_changed(self, names: set[str]) -> None:
        """Take the operator's wish."""
        with self._changed:
            if "position" in names and not self._own:
                self._seek = self.values["position"]
            self._changed.notify_all()

    def control(self, **values: Any) -> None:
        """Set parameters of this node, as the operator's keys do."""
        self.set_parameters(
            [rclpy.parameter.Parameter(name, value=value) for name, value in values.items()]
        )

    def step(self) -> None:
        """Play one message while it is paused."""
        with self._changed:
            self._steps += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """End :meth:`play`; from any thread, and from a signal."""
        self._stopping = True

    @property
    def position(self) -> float:
        """Seconds from the beginning."""
        return (self._at - self._bag.start) * 1e-9

    def _show_position(self) -> None:
        # As a parameter, so that a slider follows; our own change is no wish.
        self._own = True
        try:
            self.control(position=max(self.position, 0.0))
        finally:
            self._own = False

    # Playing ----------------------------------------------------------------------------------

    def play(self) -> None:
        """Play to the end, or until :meth:`stop`."""
        while not self._stopping:
            begin = self._first
            with self._changed:
                if self._seek is not None:
                    begin = self._bag.start + round(self._seek * 1e9)
                    self._seek = None
            ended = self._play_from(begin)
            if ended and not self.values["loop"]:
                return

    def _play_from(self, begin: int) -> bool:
        """Play until the end (True), or until somebody wants to be elsewhere (False)."""
        names = {*self._outputs, *self._raw}
        latched = [n for n in self._outputs if self._bag.topics[n].latched]
        self._at = begin
        self._publish_clock()
        if begin > self._bag.start and latched:
            for message in self._bag.last_before(latched, begin):
                self._send(message)
        anchor = _Anchor(begin)
        for message in self._bag.messages(names, start=begin, end=self._last + 1):
            if not self._wait_until(message.stamp, anchor):
                return False
            self._at = message.stamp
            self._send(message)
        if not self._wait_until(self._last, anchor):
            return False
        self._at = self._last
        self._publish_clock()
        return True

    def _wait_until(self, stamp: int, anchor: _Anchor) -> bool:
        """Wait until it is time for ``stamp``; False when the place or the end is another now."""
        clock_due = 0.0
        while True:
            if self._stopping or self._seek is not None:
                return False
            now = time.monotonic()
            if self.values["paused"]:
                if self._steps:
                    self._steps -= 1
                    anchor.set(now, stamp)
                    return True
                with self._changed:
                    self._changed.wait(0.05)
                anchor.set(time.monotonic(), self._at)
                continue
            rate = self.values["rate"]
            if rate != anchor.rate:
                anchor.rate = rate
                anchor.set(now, self._at)
            due = anchor.due(stamp)
            self._at = min(anchor.at(now, stamp), stamp)
            if now >= clock_due:
                clock_due = now + _CLOCK_PERIOD
                self._publish_clock()
            if due <= now:
                return True
            with self._changed:
                self._changed.wait(min(due - now, _CLOCK_PERIOD))

    def _publish_clock(self) -> None:
        if self._clock_out is None:
            return
        message = ClockMessage()
        message.clock.sec, message.clock.nanosec = divmod(max(self._at, 0), 10**9)
        self._clock_out.publish(message)

    def _send(self, message: Recorded) -> None:
        if message.topic in self._raw:
            self._feed(message)
        else:
            self._outputs[message.topic].publish(message.data)
        self.played += 1

    def _feed(self, message: Recorded) -> None:
        raw = deserialize_message(message.data, RawDatagram)
        feed = self._feeds.get(raw.sensor)
        if feed is None:
            return
        if self._connections.setdefault(raw.sensor, raw.connection) != raw.connection:
            self._connections[raw.sensor] = raw.connection
            feed.begin_connection()
        feed.send(raw.data.tobytes())

    def lost(self) -> dict[str, int]:
        """Raw messages that nobody took, by sensor."""
        return {feed.sensor: feed.lost for feed in self._feeds.values() if feed.lost}

    def close(self) -> None:
        """Release the sockets."""
        for feed in self._feeds.values():
            feed.close()

    def _report(self, report: Report) -> None:
        report.put("position", self.position)
        report.put("length", (self._bag.end - self._bag.start) * 1e-9)
        report.put("rate", self.values["rate"])
        report.put("paused", self.values["paused"])
        report.put("played", self.played)
        state = "paused" if self.values["paused"] else f"at {self.values['rate']:g} x life"
        report.findings.append(f"{self._bag.path.name}: {self.position:.1f} s, {state}")


def _is_world(name: str) -> bool:
    """Whether a topic tells of the world, not of the box: nothing that the drivers make."""
    return "/sim/" in name


class _Anchor:
    """A moment of life and the moment of the recording that belongs to it."""

    def __init__(self, stamp: int) -> None:
        self.rate = -1.0
        self._life = time.monotonic()
        self._stamp = stamp

    def set(self, life: float, stamp: int) -> None:
        """Let them belong together from now on."""
        self._life, self._stamp = life, stamp

    def due(self, stamp: int) -> float:
        """When a stamp's time has come."""
        if not self.rate:
            return -1.0
        return self._life + (stamp - self._stamp) * 1e-9 / self.rate

    def at(self, life: float, otherwise: int) -> int:
        """The stamp whose time it is."""
        if not self.rate:
            return otherwise
        return self._stamp + round((life - self._life) * self.rate * 1e9)


@contextlib.contextmanager
def _keys(player: Player) -> Iterator[None]:
    """Let the terminal's keys control the player, where there is a terminal."""
    if not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            if not select.select([descriptor], [], [], 0.2)[0]:
                continue
            _press(player, os.read(descriptor, 8))

    thread = threading.Thread(target=read, daemon=True)
    tty.setcbreak(descriptor)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _press(player: Player, key: bytes) -> None:
    if key == b" ":
        player.control(paused=not player.values["paused"])
    elif key == b"s":
        player.step()
    elif key == b"q":
        player.stop()
    elif key in (b"\x1b[C", b"\x1b[D"):
        player.control(position=max(player.position + (10.0 if key == b"\x1b[C" else -10.0), 0.0))
    elif key in (b"\x1b[A", b"\x1b[B"):
        rate = (player.values["rate"] or 1.0) * (1.25 if key == b"\x1b[A" else 0.8)
        player.control(rate=min(max(rate, 0.01), 1000.0))


def _assignments(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        sensor, equals, url = text.partition("=")
        if not equals:
            raise BagError(f"--to {text}: write SENSOR=URL, such as mara=udp://127.0.0.1:8787")
        found[sensor] = url
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Play a bag; return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = parser().parse_args(["0" if a == "max" else a for a in arguments])
    if not 0.0 <= options.rate <= 1000.0:
        parser().error("--rate must be from 0 (no waiting) to 1000")
    try:
        with BagReader(options.bag.absolute()) as bag:
            if not bag.topics:
                raise BagError(f"{options.bag} is empty")
            if options.offline:
                # Imported late: it needs the drivers and the tracker.
                from thebox_bringup.recording.offline import run_offline  # noqa: PLC0415

                return run_offline(bag, options)
            return _play(bag, options)
    except BagError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 1


def _play(bag: BagReader, options: argparse.Namespace) -> int:
    drivers = sources(_assignments(options.to), bag.parameters) if options.drivers else None
    if options.drivers and not any(t.type == _RAW for t in bag.topics.values()):
        raise BagError(f"{bag.path} holds no raw bytes of sensors: play its topics")
    speak_as_the_box()
    rclpy.init(args=[], signal_handler_options=rclpy.SignalHandlerOptions.NO)
    player = Player(
        bag,
        include=options.topics,
        exclude=options.exclude,
        clock=not options.no_clock,
        drivers=drivers,
        first=options.start,
        length=options.duration,
        namespace=options.namespace,
        use_global_arguments=False,
        parameter_overrides=[
            rclpy.parameter.Parameter(name, value=getattr(options, name))
            for name in ("rate", "paused", "loop")
        ],
    )
    stopped = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.append(number)
        player.stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    executor = SingleThreadedExecutor()
    executor.add_node(player)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    for name, why in player.passed_over.items():
        print(f"not played: {name}: {why}", file=sys.stderr)
    began = time.monotonic()
    with _keys(player):
        player.play()
    told = {
        "bag": str(bag.path),
        "messages": player.played,
        "seconds": round(time.monotonic() - began, 3),
        "lost": player.lost(),
    }
    print(json.dumps(told) if options.json else f"{told['messages']} messages played")
    for sensor, count in player.lost().items():
        print(f"{sensor}: {count} lost, nobody listened", file=sys.stderr)
    executor.shutdown(timeout_sec=2.0)
    thread.join(5.0)
    player.close()
    player.destroy_node()
    rclpy.try_shutdown()
    return 130 if signal.SIGINT in stopped else 0


if __name__ == "__main__":
    raise SystemExit(main())
