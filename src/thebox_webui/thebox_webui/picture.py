# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What /diagnostics last said of every node, and what follows from it for health. No ROS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

__all__ = ["Diagnostics", "Expected", "Graph", "Subject", "health_of"]

# diagnostic_msgs/DiagnosticStatus.
OK, WARN, ERROR, STALE = 0, 1, 2, 3
_LEVELS = {OK: "ok", WARN: "warning", ERROR: "error", STALE: "stale"}
#: Diagnostics come once a second; a node that has said nothing for this long is not there.
FRESH = 5.0
_MOST_SUBJECTS = 2000
DATABASE = "dronedb"


@dataclass(frozen=True)
class Subject:
    """One status of one node; ``at`` is the steady time at which it came."""

    node: str
    subject: str
    level: int
    message: str
    values: Mapping[str, str]
    at: float

    def number(self, key: str) -> float | None:
        """A value as a number; None when it is absent or unknown."""
        try:
            return float(self.values[key])
        except (KeyError, ValueError):
            return None


class Diagnostics:
    """The newest status of every subject; written by ROS's thread, read by the server's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._subjects: dict[tuple[str, str], Subject] = {}
        self._names: frozenset[str] = frozenset()

    def heard(self, name: str, level: int, message: str, values: Mapping[str, str]) -> None:
        """Take one status; ``name`` is ``node: subject``, as REP-107 has it."""
        node, _, subject = name.partition(": ")
        node = node.rpartition("/")[2]
        with self._lock:
            key = (node, subject)
            if key not in self._subjects and len(self._subjects) >= _MOST_SUBJECTS:
                return
            self._subjects[key] = Subject(
                node, subject, level, message, dict(values), self._clock()
            )

    def saw(self, names: Sequence[str]) -> None:
        """Take the names of the nodes that the graph shows."""
        with self._lock:
            self._names = frozenset(names)

    def now(self) -> Graph:
        """What is known now; subjects that have fallen silent are left out."""
        now = self._clock()
        with self._lock:
            fresh = [s for s in self._subjects.values() if now - s.at < FRESH]
            names = self._names
        nodes: dict[str, dict[str, Subject]] = {}
        for subject in fresh:
            nodes.setdefault(subject.node, {})[subject.subject] = subject
        return Graph(nodes, names)


@dataclass(frozen=True)
class Graph:
    """The nodes that report, each with its subjects, and every name that the graph shows."""

    nodes: Mapping[str, Mapping[str, Subject]] = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    def level(self, node: str) -> int:
        """The gravest level of a node; OK for one that reports none."""
        return max((s.level for s in self.nodes.get(node, {}).values()), default=OK)

    def values(self, node: str) -> dict[str, str]:
        """All of a node's values."""
        return {k: v for s in self.nodes.get(node, {}).values() for k, v in s.values.items()}

    def status(self, node: str) -> str:
        """One word for a node.

        ``available``; ``degraded`` (it warns); ``silent`` (it works, but nothing comes from its
        sensor); ``failing``; ``inactive`` (its life cycle is not at active); ``missing``.
        """
        if node not in self.nodes:
            return "available" if node in self.names else "missing"
        lifecycle = self.values(node).get("lifecycle", "active")
        if lifecycle != "active":
            return "inactive"
        level = self.level(node)
        errors = any(s.level == ERROR for s in self.nodes[node].values())
        if errors:
            return "failing"
        return {OK: "available", WARN: "degraded", STALE: "silent"}.get(level, "failing")


#: Statuses with which a node counts as well: a sensor may be silent because nothing flies.
_WELL = ("available", "degraded", "silent")


def timestamp() -> str:
    """Now, as ISO 8601 in UTC with milliseconds."""
    now = datetime.now(timezone.utc)
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Expected:
    """What a healthy graph shows; without names, whatever reports."""

    nodes: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()

    def all(self, graph: Graph) -> tuple[str, ...]:
        """The nodes to look at."""
        return self.nodes or tuple(sorted(graph.nodes))


def plugin_status(graph: Graph, expected: Expected) -> dict[str, str]:
    """One word for every plug-in."""
    return {name: graph.status(name) for name in expected.plugins}


def plugin_detail(graph: Graph, name: str) -> dict[str, Any]:
    """All that is known of one plug-in."""
    subjects = graph.nodes.get(name, {})
    gravest = max(subjects.values(), key=lambda s: s.level, default=None)
    return {
        "name": name,
        "status": graph.status(name),
        "lifecycle": graph.values(name).get("lifecycle", ""),
        "message": gravest.message if gravest else "",
        "subjects": {
            s.subject: {
                "level": _LEVELS.get(s.level, str(s.level)),
                "message": s.message,
                "values": dict(s.values),
            }
            for s in subjects.values()
        },
    }


def database_health(graph: Graph, expected: Expected) -> dict[str, Any]:
    """The database's node; ``enabled`` says whether this graph has one."""
    enabled = DATABASE in expected.all(graph)
    status = graph.status(DATABASE) if enabled else "disabled"
    values = graph.values(DATABASE) if enabled else {}
    return {
        "healthy": not enabled or status in _WELL,
        "enabled": enabled,
        "status": "not running" if status == "missing" else status,
        "message": plugin_detail(graph, DATABASE)["message"] if enabled else "",
        "bytes": int(values["bytes"]) if values.get("bytes", "").isdigit() else None,
    }


def event_manager_health(graph: Graph, expected: Expected) -> dict[str, Any]:
    """The graph itself: nodes expected and seen, and whether topics flow."""
    wanted = expected.all(graph)
    statuses = {name: graph.status(name) for name in wanted}
    missing = [name for name, status in statuses.items() if status == "missing"]
    others = [name for name in wanted if name not in expected.plugins and name != DATABASE]
    unwell = [n for n in others if statuses[n] not in _WELL and n not in missing]
    topics = {
        f"{node}: {subject.subject}": {
            "rate": subject.number("rate"),
            "age": subject.number("age"),
        }
        for node, subjects in sorted(graph.nodes.items())
        for subject in subjects.values()
        if "rate" in subject.values
    }
    flowing = any((topic["rate"] or 0.0) > 0.0 for topic in topics.values())
    return {
        "healthy": bool(wanted) and not missing and not unwell,
        "nodes": {
            "expected": list(wanted),
            "seen": [name for name in wanted if name not in missing],
            "missing": missing,
            "unwell": unwell,
        },
        "statuses": statuses,
        "topics": topics,
        "flowing": flowing,
    }


def health_of(graph: Graph, expected: Expected, started: float) -> dict[str, Any]:
    """The answer of /health; ``started`` is time.perf_counter() at the request."""
    plugins = plugin_status(graph, expected)
    database = database_health(graph, expected)
    manager = event_manager_health(graph, expected)
    loaded = all(status not in ("missing", "inactive") for status in plugins.values())
    healthy = (
        manager["healthy"]
        and database["healthy"]
        and all(status in _WELL for status in plugins.values())
    )
    return {
        "healthy": healthy,
        "timestamp": timestamp(),
        "duration_ms": round((time.perf_counter() - started) * 1000.0, 3),
        "checks": {
            "database": database["healthy"] if database["enabled"] else "disabled",
            "plugins_loaded": loaded,
            "event_manager": manager["healthy"],
            "plugins": plugins,
        },
    }
