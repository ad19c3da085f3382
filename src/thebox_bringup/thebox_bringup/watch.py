# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Looks at a running graph from outside: diagnostics, tracks, nodes seen."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions

from thebox_bringup.graph import TRACKS, NodeSpec
from thebox_core.health import ERROR, OK, STALE, WARN
from thebox_core.qos import STATE
from thebox_interfaces.msg import Track, TrackArray

__all__ = ["LEVELS", "NodeHealth", "Watch"]

LEVELS = {OK: "ok", WARN: "warning", ERROR: "error", STALE: "stale"}
#: A node that has said nothing for this long is not there; diagnostics come once a second.
_FRESH = 4.0
#: What diagnostic_updater says of a node, at level OK, before the node has said anything.
_STARTING = "Node starting up"


@dataclass(frozen=True)
class NodeHealth:
    """What the graph shows of one node.

    Attributes:
        seen: whether it is there (its diagnostics are fresh, or its name is in the graph).
        level: the gravest of its statuses; OK for one that reports none.
        lifecycle: the state it reports; empty when it reports none.
        summary: the message of the gravest status.
        pid: process id that it reports; 0 when it reports none.
        values: every key and value of its statuses.
    """

    seen: bool = False
    level: int = OK
    lifecycle: str = ""
    summary: str = ""
    pid: int = 0
    values: dict[str, str] | None = None

    def problem(self, node: NodeSpec, silence_allowed: bool) -> str:
        """Why the node is not healthy; empty when it is."""
        if not self.seen:
            return "not seen yet" if node.reports else "not in the graph yet"
        if node.managed and self.lifecycle != "active":
            return f"{self.lifecycle or 'no life-cycle state'}: {self.summary}"
        silent = self.level == STALE and silence_allowed and node.group == "sensor"
        if self.level >= ERROR and not silent:
            return f"{LEVELS.get(self.level, str(self.level))}: {self.summary}"
        return ""


class Watch:
    """A node of its own that watches one box, in a thread of its own; a context manager.

    Args:
        domain: ROS domain.
        namespace: of the box.
    """

    def __init__(self, domain: int, namespace: str) -> None:
        self._namespace = namespace.rstrip("/")
        self._changed = threading.Condition()
        self._statuses: dict[str, dict[str, tuple[float, DiagnosticStatus]]] = {}
        self._last_tracks = b""
        self._arrays = 0
        self._followed: dict[bytes, Track] | None = None
        self._context = Context()
        rclpy.init(
            args=["--ros-args", "--disable-external-lib-logs", "--log-level", "fatal"],
            context=self._context,
            domain_id=domain,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self._node = Node(
            "up_watch",
            namespace=namespace,
            context=self._context,
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._node.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=100)
        )
        # Raw: a picture of 500 tracks takes milliseconds to unpack, and mostly it need only flow.
        self._node.create_subscription(TrackArray, TRACKS, self._on_tracks, STATE, raw=True)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="watch", daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown(timeout_sec=2.0)
        self._thread.join(5.0)
        self._node.destroy_node()
        self._context.try_shutdown()

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        now = time.monotonic()
        with self._changed:
            for status in message.status:
                node, _, subject = status.name.partition(": ")
                self._statuses.setdefault(node.rpartition("/")[2], {})[subject] = (now, status)
            self._changed.notify_all()

    def _on_tracks(self, message: bytes) -> None:
        with self._changed:
            self._last_tracks = message
            self._arrays += 1
            if self._followed is not None:
                for track in self._unpack(message).tracks:
                    identity = bytes(bytearray(track.id.uuid))
                    if track.state == Track.STATE_CONFIRMED or identity in self._followed:
                        self._followed[identity] = track
            self._changed.notify_all()

    @staticmethod
    def _unpack(message: bytes) -> TrackArray:
        return deserialize_message(message, TrackArray)

    def wait(self, patience: float, done: Callable[[], bool]) -> bool:
        """Wait until ``done`` says so, asked at every change and once a second at least."""
        end = time.monotonic() + patience
        while True:
            if done():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            with self._changed:
                self._changed.wait(min(left, 0.25))

    def health(self, node: NodeSpec) -> NodeHealth:
        """What the graph shows of a node now."""
        if not node.reports:
            names = self._node.get_node_names_and_namespaces()
            return NodeHealth(seen=(node.name, self._namespace or "/") in names)
        now = time.monotonic()
        with self._changed:
            fresh = [
                status
                for seen, status in self._statuses.get(node.name, {}).values()
                if now - seen < _FRESH
            ]
        if not fresh or any(status.message == _STARTING for status in fresh):
            return NodeHealth()
        values = {pair.key: pair.value for status in fresh for pair in status.values}
        gravest = max(fresh, key=_level)
        summary = "; ".join(status.message for status in fresh if _level(status) == _level(gravest))
        return NodeHealth(
            seen=True,
            level=_level(gravest),
            lifecycle=values.get("lifecycle", ""),
            summary=summary,
            pid=int(values.get("pid", "0")),
            values=values,
        )

    @property
    def arrays(self) -> int:
        """TrackArrays received so far."""
        return self._arrays

    def tracks(self) -> Sequence[Track]:
        """The newest picture."""
        with self._changed:
            message = self._last_tracks
        return self._unpack(message).tracks if message else ()

    def follow_confirmed(self) -> None:
        """Begin to remember every track that is ever confirmed."""
        with self._changed:
            self._followed = {}

    def confirmed(self) -> list[Track]:
        """The tracks confirmed since :meth:`follow_confirmed`, each as last seen, by number."""
        with self._changed:
            return sorted((self._followed or {}).values(), key=lambda track: track.number)


def _level(status: DiagnosticStatus) -> int:
    return status.level[0] if isinstance(status.level, bytes) else int(status.level)
