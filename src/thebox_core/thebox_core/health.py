# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""One node's diagnostics: the only wrapper of diagnostic_updater in the box.

REP-107: ``/diagnostics`` at 1 Hz, name ``node: subject``, hardware_id names the unit. The upstream
updater allows one instance a node, and its frequency status does not know simulated time; so each
node has exactly one, held here, and rates are measured on the node's own clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper, Updater
from rclpy.node import Node

from thebox_core.measures import LATENCY_BUCKETS, Latency

__all__ = ["ERROR", "OK", "STALE", "WARN", "Health", "Report", "latency_values"]


def _level(value: object) -> int:
    # The message's constants are bytes of length one on the Python side.
    return value[0] if isinstance(value, (bytes, bytearray)) else int(value)  # type: ignore[call-overload]


OK = _level(DiagnosticStatus.OK)
WARN = _level(DiagnosticStatus.WARN)
ERROR = _level(DiagnosticStatus.ERROR)
STALE = _level(DiagnosticStatus.STALE)


@dataclass
class Report:
    """What one subject has to say; the gravest of its findings is its level and summary."""

    level: int = OK
    findings: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)

    def find(self, level: int, text: str) -> None:
        """Add a finding; graver ones come first in the summary."""
        if level > self.level:
            self.level = level
            self.findings.insert(0, text)
        else:
            self.findings.append(text)

    def put(self, key: str, value: object) -> None:
        """Add one key and value; a number is written short, NaN as ``unknown``."""
        if isinstance(value, float):
            self.values[key] = "unknown" if math.isnan(value) else f"{value:.6g}"
        elif isinstance(value, bool):
            self.values[key] = "true" if value else "false"
        else:
            self.values[key] = str(value)

    def put_all(self, values: Mapping[str, object] | Iterable[tuple[str, object]]) -> None:
        """Add many."""
        for key, value in dict(values).items():
            self.put(key, value)


def latency_values(name: str, latency: Latency) -> dict[str, object]:
    """Percentiles in seconds and the cumulative histogram of one latency, as diagnostic values."""
    p50, p90, p99 = latency.percentiles(50, 90, 99)
    values: dict[str, object] = {f"{name}.p50": p50, f"{name}.p90": p90, f"{name}.p99": p99}
    below = 0
    for bound, count in zip((*LATENCY_BUCKETS, math.inf), latency.buckets, strict=True):
        below += count
        values[f"{name}.le.{bound:g}"] = below
    values[f"{name}.sum"] = latency.total
    values[f"{name}.count"] = latency.count
    return values


class Health:
    """The diagnostics of one node: each subject is a function that fills a Report."""

    def __init__(self, node: Node, hardware_id: str = "none") -> None:
        self._updater = Updater(node)
        self._updater.setHardwareID(hardware_id or "none")
        self._node = node

    def add(self, subject: str, fill: Callable[[Report], None]) -> None:
        """Publish ``node: subject`` once a second, as ``fill`` reports it.

        A ``fill`` that fails is itself an ERROR: health never falls silent over its own fault.
        """

        def task(status: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
            report = Report()
            try:
                fill(report)
            except Exception as error:
                self._node.get_logger().error(f"diagnostics of '{subject}' failed: {error!r}")
                report.find(ERROR, f"diagnostics failed: {error!r}")
            status.summary(bytes([report.level]), "; ".join(report.findings) or "ok")
            for key, value in report.values.items():
                status.add(key, value)
            return status

        self._updater.add(subject, task)

    def hardware_id(self, text: str) -> None:
        """Name the unit that the node serves (serial number or address)."""
        self._updater.setHardwareID(text or "none")

    def publish_now(self) -> None:
        """Publish at once, for a change that must not wait for the next second."""
        self._updater.force_update()
