# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox health``: each node's level, message and values, out of /diagnostics."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from thebox_bringup.graph import NODES
from thebox_bringup.operations.box import (
    GOOD,
    NO_BOX,
    WRONG,
    Graph,
    Reported,
    add_common,
    connected,
    level_word,
    print_json,
    run,
)
from thebox_core.health import ERROR, OK, STALE, WARN

__all__ = ["look", "main", "word_of"]

_SILENT_NODES = {node.name for node in NODES if not node.reports}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox health",
        description="The health of a running box, node by node, from /diagnostics.",
        epilog="examples:\n  thebox health\n  thebox health --plugin mara --watch\n"
        "  thebox health --json | jq .status\n\n"
        "The first line is for monitoring: OK, WARNING or CRITICAL, then the counts.",
    )
    made.add_argument("--plugin", metavar="NAME", help="one node only, with all it reports")
    made.add_argument("--watch", action="store_true", help="again every 2 seconds, until Ctrl-C")
    made.add_argument("--verbose", "-v", action="store_true", help="every value of every node")
    add_common(made)
    return made


def word_of(told: Reported, sensor: bool, present: bool, reports: bool = True) -> str:
    """One word, as the panel's /health uses it."""
    if not reports:
        return "available" if present else "missing"
    lifecycle = told.values.get("lifecycle", "active")
    if not told.subjects or told.age > 5.0:
        return "missing" if not present else "silent"
    if lifecycle != "active":
        return "inactive"
    if told.level == STALE and sensor:
        return "silent"
    if told.level >= ERROR:
        return "failing"
    return "degraded" if told.level == WARN else "available"


def look(graph: Graph) -> dict[str, Any]:
    """The documented object: status, namespace, domain, and every node."""
    nodes, sensors = graph.expected()
    present = set(graph.nodes())
    reporting = graph.reporting()
    known = {node.name for node in NODES}
    told: dict[str, Any] = {}
    gravest = OK
    for name in nodes:
        reports = name not in _SILENT_NODES and (name in known or name in reporting)
        reported = graph.reported(name)
        word = word_of(reported, name in sensors, name in present, reports)
        level = OK if not reports and name in present else reported.level
        good = word in ("available", "degraded") or (word == "silent" and name in sensors)
        if not good:
            gravest = ERROR
        elif word in ("degraded", "silent"):
            gravest = max(gravest, WARN)
        told[name] = {
            "word": word,
            "level": level_word(level),
            "sensor": name in sensors,
            "message": reported.message if reports else "in the graph",
            "age_s": round(reported.age, 2) if reported.subjects else None,
            "subjects": {
                s.name: {"level": level_word(s.level), "message": s.message, "values": s.values}
                for s in reported.subjects
            },
        }
    return {
        "status": level_word(gravest),
        "healthy": gravest < ERROR,
        "namespace": graph.box.namespace,
        "domain": graph.box.domain,
        "nodes": told,
    }


def _show(told: dict[str, Any], plugin: str | None, verbose: bool) -> None:
    nodes = told["nodes"]
    counts: dict[str, int] = {}
    for one in nodes.values():
        counts[one["word"]] = counts.get(one["word"], 0) + 1
    told_counts = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    print(f"{told['status']} {told['namespace']} domain {told['domain']}: {told_counts}")
    for name, one in nodes.items():
        print(f"  {name:<14}{one['word']:<11}{one['level']:<10}{one['message']}")
        if verbose or plugin:
            for subject, said in one["subjects"].items():
                print(f"      {subject}: {said['level']}, {said['message']}")
                for key, value in said["values"].items():
                    if ".le." not in key:
                        print(f"        {key:<34}{value}")
    sick = [n for n, one in nodes.items() if one["word"] in ("failing", "inactive", "missing")]
    for name in sick:
        if nodes[name]["word"] == "inactive" and nodes[name]["sensor"]:
            print(f"  -> ./thebox sensors start {name}")
        else:
            print(f"  -> ./thebox logs --node {name} --level warn")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser().parse_args(argv)

    def work() -> int:
        with connected(options) as graph:
            while True:
                told = look(graph)
                if options.plugin:
                    if options.plugin not in told["nodes"]:
                        print(
                            f"health: there is no '{options.plugin}'; the nodes are "
                            f"{', '.join(told['nodes'])}",
                            file=sys.stderr,
                        )
                        return NO_BOX
                    one = told["nodes"][options.plugin]
                    good = one["word"] in ("available", "degraded") or (
                        one["word"] == "silent" and one["sensor"]
                    )
                    told["nodes"] = {options.plugin: one}
                    told["healthy"] = good
                    told["status"] = (
                        "CRITICAL"
                        if not good
                        else "OK"
                        if one["word"] == "available"
                        else "WARNING"
                    )
                if options.json:
                    print_json(told)
                else:
                    _show(told, options.plugin, options.verbose)
                if not options.watch:
                    return GOOD if told["healthy"] else WRONG
                if not options.json:
                    print(flush=True)
                time.sleep(2.0)

    return run("health", work)


if __name__ == "__main__":
    raise SystemExit(main())
