# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The node ``foxglove``: the box's topics for Foxglove, where there is no foxglove_bridge.

Messages go on as they came, in CDR; nothing is unpacked, and what nobody looks at is not even
subscribed to. The server is foxglove-sdk's.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import foxglove
from ament_index_python.packages import get_package_share_directory
from rclpy.clock import Clock, ClockType
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from thebox_core.health import WARN, Report
from thebox_core.node import BoxNode, run
from thebox_core.parameters import Parameter, ParameterError
from thebox_webui.parameters import FOXGLOVE
from thebox_webui.server import is_loopback

__all__ = ["Foxglove", "definition", "main"]

#: Topics outside the box's namespace that a viewer needs.
_SHARED = ("/diagnostics", "/tf", "/tf_static", "/clock", "/rosout")
_FIELD = re.compile(r"^\s*([A-Za-z][A-Za-z0-9_]*)(?:/(?:msg/)?([A-Za-z][A-Za-z0-9_]*))?[\[<\s]")
_PLAIN = re.compile(r"bool|byte|char|w?string|float(32|64)|u?int(8|16|32|64)")


@dataclass
class _Shown:
    """One topic as Foxglove sees it, with the subscription while somebody looks."""

    channel: Any
    cls: Any
    subscription: Any = None


def definition(name: str) -> str:
    """A message's text with all that it is made of, as the encoding ``ros2msg`` wants it.

    Raises:
        LookupError: its package, or one that it needs, is not here.
    """
    texts: dict[str, str] = {}

    def add(package: str, title: str) -> None:
        key = f"{package}/{title}"
        if key in texts:
            return
        path = Path(get_package_share_directory(package)) / "msg" / f"{title}.msg"
        try:
            text = path.read_text(encoding="utf-8")
        except OSError:
            raise LookupError(f"there is no {path}") from None
        texts[key] = text
        for line in text.splitlines():
            match = _FIELD.match(line.split("#", 1)[0] + " ")
            if match is None or _PLAIN.fullmatch(match.group(1)):
                continue
            if match.group(2):
                add(match.group(1), match.group(2))
            elif match.group(1) == "Header":
                add("std_msgs", "Header")
            else:
                add(package, match.group(1))

    package, _, title = name.split("/")
    add(package, title)
    first, *others = texts.items()
    parts = [first[1]]
    for key, text in others:
        parts.append(f"{'=' * 80}\nMSG: {key}\n{text}")
    return "\n".join(parts)


class Foxglove(BoxNode):
    """Serves the topics of the box's namespace, and the shared ones, to Foxglove."""

    PARAMETERS: ClassVar[tuple[Parameter, ...]] = FOXGLOVE

    def __init__(self, **options: Any) -> None:
        super().__init__("foxglove", **options)
        address = str(self.values["address"])
        self._sinks = foxglove.Context()
        try:
            self._server = foxglove.start_server(
                name="TheBox",
                host=address,
                port=int(self.values["port"]),
                context=self._sinks,
                message_backlog_size=int(self.values["backlog"]),
            )
        except (RuntimeError, OSError) as error:
            raise ParameterError(
                f"foxglove: cannot listen on {address}:{self.values['port']}: {error}; "
                "is another Foxglove server running?"
            ) from None
        self.port = int(self._server.port)
        self.get_logger().info(f"Foxglove at ws://{address}:{self.port}")
        self._shown: dict[str, _Shown] = {}
        self._unknown: set[str] = set()
        self._sent = 0
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._looker = self.create_timer(0.5, self._look, clock=steady)
        self.health.add("server", self._report)

    def _wanted(self, topic: str) -> bool:
        return topic in _SHARED or topic.startswith(self.get_namespace().rstrip("/") + "/")

    def _look(self) -> None:
        """Offer new topics; hear those that somebody looks at, and no others."""
        for topic, kinds in self.get_topic_names_and_types():
            # Services' and actions' own topics have names that the graph hides.
            if self._wanted(topic) and topic not in self._shown and topic not in self._unknown:
                self._offer(topic, kinds[0])
        for topic, shown in self._shown.items():
            looked_at = bool(shown.channel.has_sinks())
            if looked_at and shown.subscription is None:
                self._subscribe(topic, shown)
            elif not looked_at and shown.subscription is not None:
                self.destroy_subscription(shown.subscription)
                shown.subscription = None

    def _offer(self, topic: str, kind: str) -> None:
        package, _, title = kind.split("/")
        try:
            cls = getattr(importlib.import_module(f"{package}.msg"), title)
            text = definition(kind)
        except (ImportError, AttributeError, LookupError) as error:
            self._unknown.add(topic)
            self.get_logger().warning(f"{topic} is not offered: {error}")
            return
        schema = foxglove.Schema(name=kind, encoding="ros2msg", data=text.encode())
        channel = foxglove.Channel(
            topic, schema=schema, message_encoding="cdr", context=self._sinks
        )
        self._shown[topic] = _Shown(channel, cls)

    def _subscribe(self, topic: str, shown: _Shown) -> None:
        qos = QoSProfile(depth=10)
        for publisher in self.get_publishers_info_by_topic(topic):
            if publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL:
                qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
            if publisher.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT:
                qos.reliability = ReliabilityPolicy.BEST_EFFORT
        clock = self.get_clock()

        def heard(raw: bytes) -> None:
            shown.channel.log(raw, log_time=clock.now().nanoseconds)
            self._sent += 1

        shown.subscription = self.create_subscription(shown.cls, topic, heard, qos, raw=True)

    def _report(self, report: Report) -> None:
        report.put("pid", os.getpid())
        address = str(self.values["address"])
        report.put("address", f"ws://{address}:{self.port}")
        report.put("topics", len(self._shown))
        looked_at = sum(shown.subscription is not None for shown in self._shown.values())
        report.put("looked_at", looked_at)
        report.put("sent", self._sent)
        if not is_loopback(address):
            report.find(WARN, "anybody on the network can see the picture: Foxglove asks no login")
        report.findings.append(f"{looked_at} of {len(self._shown)} topics looked at")

    def close(self) -> None:
        """Stop serving."""
        self._server.stop()


def main(args: Sequence[str] | None = None) -> None:
    """Run the node until SIGINT or SIGTERM."""
    run(Foxglove, args=args)


if __name__ == "__main__":
    main()
