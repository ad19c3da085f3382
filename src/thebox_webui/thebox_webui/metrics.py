# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The diagnostics as Prometheus metrics. No ROS."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from thebox_webui.picture import Expected, Graph, Subject, health_of

__all__ = ["CONTENT_TYPE", "Own", "Usage", "exposition"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Usage:
    """What one node's process uses."""

    cpu_seconds: float
    memory_bytes: int


@dataclass(frozen=True)
class Own:
    """What the panel's server counts about itself."""

    consoles: int = 0
    connections: int = 0
    sent: int = 0
    dropped: int = 0
    refused: dict[str, int] = field(default_factory=dict)


_COUNTERS = {
    "received": "Datagrams, lines or frames that came in.",
    "accepted": "Measurements taken.",
    "dropped": "What was dropped because a queue was full.",
    "kernel_drops": "Datagrams that the kernel dropped before the driver could read them.",
    "reconnects": "Connections that had to be made again.",
    "bytes_received": "Bytes that came in.",
}
_GAUGES = {
    "rate": ("ingest_rate", "What comes or goes, a second."),
    "age": ("age_seconds", "Age of the newest message."),
    "queue.depth": ("queue_depth", "Waiting in the node's queue."),
}


def exposition(
    graph: Graph, expected: Expected, usage: dict[str, Usage], own: Own, started: float
) -> bytes:
    """The answer of /metrics, in the text format of Prometheus, version 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(lambda: _families(graph, expected, usage, own, started)))
    return generate_latest(registry)


class _Collector:
    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families()


def _subjects(graph: Graph) -> Iterator[Subject]:
    for _, subjects in sorted(graph.nodes.items()):
        yield from (subjects[name] for name in sorted(subjects))


def _families(
    graph: Graph, expected: Expected, usage: dict[str, Usage], own: Own, started: float
) -> Iterator[Metric]:
    health = health_of(graph, expected, started)
    yield GaugeMetricFamily(
        "thebox_healthy", "1 when /health says so.", value=float(health["healthy"])
    )
    level = GaugeMetricFamily(
        "thebox_level",
        "Level of a subject: 0 ok, 1 warning, 2 error, 3 stale.",
        labels=["node", "subject"],
    )
    status = GaugeMetricFamily(
        "thebox_node_status", "1 for the status that a node has.", labels=["node", "status"]
    )
    for subject in _subjects(graph):
        level.add_metric([subject.node, subject.subject], subject.level)
    for name in expected.all(graph):
        status.add_metric([name, graph.status(name)], 1.0)
    yield level
    yield status
    yield from _plain(graph)
    yield from _labelled(graph)
    yield from _histograms(graph)
    yield from _processes(usage)
    yield from _server(own)


def _plain(graph: Graph) -> Iterator[Metric]:
    for key, text in _COUNTERS.items():
        counter = CounterMetricFamily(f"thebox_{key}", text, labels=["node", "subject"])
        for subject in _subjects(graph):
            number = subject.number("bytes" if key == "bytes_received" else key)
            # The database's bytes are its size, not what came in.
            if number is not None and not (key == "bytes_received" and subject.node == "dronedb"):
                counter.add_metric([subject.node, subject.subject], number)
        yield counter
    for key, (name, text) in _GAUGES.items():
        gauge = GaugeMetricFamily(f"thebox_{name}", text, labels=["node", "subject"])
        for subject in _subjects(graph):
            number = subject.number(key)
            if number is not None and math.isfinite(number):
                gauge.add_metric([subject.node, subject.subject], number)
        yield gauge
    size = GaugeMetricFamily("thebox_database_bytes", "Size of the database on disk.")
    for subject in graph.nodes.get("dronedb", {}).values():
        number = subject.number("bytes")
        if number is not None:
            size.add_metric([], number)
    yield size


def _labelled(graph: Graph) -> Iterator[Metric]:
    rejected = CounterMetricFamily(
        "thebox_rejected",
        "What a node could not use, by reason.",
        labels=["node", "subject", "reason"],
    )
    tracks = GaugeMetricFamily("thebox_tracks", "Tracks now, by state.", labels=["state"])
    for subject in _subjects(graph):
        for key in sorted(subject.values):
            kind, _, rest = key.partition(".")
            number = subject.number(key)
            if number is None or not rest:
                continue
            if kind == "rejected":
                rejected.add_metric([subject.node, subject.subject, rest], number)
            elif kind == "tracks" and (subject.node, subject.subject) == ("fusion", "tracking"):
                tracks.add_metric([rest], number)
    yield rejected
    yield tracks


def _histograms(graph: Graph) -> Iterator[Metric]:
    for name, text in (
        ("latency", "From a measurement's arrival to its publication."),
        ("cycle", "Time of one computation."),
    ):
        family = HistogramMetricFamily(f"thebox_{name}_seconds", text, labels=["node", "subject"])
        for subject in _subjects(graph):
            prefix = f"{name}.le."
            try:
                buckets = sorted(
                    (float(key[len(prefix) :]), float(value))
                    for key, value in subject.values.items()
                    if key.startswith(prefix)
                )
            except ValueError:
                # Not one of ours: another project's node may use such a key for its own.
                continue
            total = subject.number(f"{name}.sum")
            if not buckets or total is None or buckets[-1][0] != math.inf:
                continue
            family.add_metric(
                [subject.node, subject.subject],
                [("+Inf" if bound == math.inf else f"{bound:g}", n) for bound, n in buckets],
                sum_value=total,
            )
        yield family


def _processes(usage: dict[str, Usage]) -> Iterator[Metric]:
    cpu = CounterMetricFamily(
        "thebox_node_cpu_seconds", "Processor time of a node's process.", labels=["node"]
    )
    memory = GaugeMetricFamily(
        "thebox_node_memory_bytes", "Resident memory of a node's process.", labels=["node"]
    )
    for node, used in sorted(usage.items()):
        cpu.add_metric([node], used.cpu_seconds)
        memory.add_metric([node], used.memory_bytes)
    yield cpu
    yield memory


def _server(own: Own) -> Iterator[Metric]:
    yield GaugeMetricFamily("thebox_panel_consoles", "Open panels.", value=own.consoles)
    yield GaugeMetricFamily("thebox_panel_connections", "Open connections.", value=own.connections)
    yield CounterMetricFamily("thebox_panel_sent", "Frames sent to panels.", value=own.sent)
    yield CounterMetricFamily(
        "thebox_panel_dropped", "Frames that a panel was too slow for.", value=own.dropped
    )
    refused = CounterMetricFamily(
        "thebox_panel_refused", "Refused requests and operations.", labels=["reason"]
    )
    for reason, count in sorted(own.refused.items()):
        refused.add_metric([reason], count)
    yield refused
