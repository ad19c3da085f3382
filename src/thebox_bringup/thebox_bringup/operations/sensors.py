# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox sensors``: list, start, stop, restart, through the standard life-cycle services."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from lifecycle_msgs.msg import Transition

from thebox_bringup.operations.box import (
    GOOD,
    NO_BOX,
    WRONG,
    AnswerError,
    Graph,
    add_common,
    connected,
    print_json,
    run,
)

__all__ = ["main", "move"]

_ACTIONS = ("list", "start", "stop", "restart")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox sensors",
        description="The box's sensors: list them, or start, stop and restart some.",
        epilog="examples:\n  thebox sensors\n  thebox sensors stop mara\n"
        "  thebox sensors restart silvus droneshield\n\n"
        "A stopped sensor has closed its socket; the process runs on. It stays stopped until it "
        "is\nstarted, or its process is.",
    )
    made.add_argument("action", nargs="?", default="list", choices=_ACTIONS)
    made.add_argument("names", nargs="*", metavar="NAME")
    add_common(made)
    return made


def _row(graph: Graph, name: str) -> dict[str, Any]:
    reported = graph.reported(name)
    try:
        state = graph.state_of(name)
    except AnswerError:
        state = "missing"
    source = reported.subject("input")
    values = reported.values if source is None else source.values

    def number(key: str) -> float | None:
        try:
            return float(values[key])
        except (KeyError, ValueError):
            return None

    active = state == "active"
    return {
        "state": state,
        "rate": number("rate") if active else None,
        "age_s": number("age") if active else None,
        "received": number("received"),
        "rejected": number("rejected"),
        "dropped": number("dropped"),
        "kernel_drops": number("kernel_drops"),
        "source": values.get("source", ""),
        "message": reported.message,
    }


def move(graph: Graph, name: str, action: str) -> tuple[bool, str]:
    """Start, stop or restart one sensor; return whether that was reached, and what it says.

    Raises:
        AnswerError: the node does not answer.
    """
    if action in ("stop", "restart"):
        if graph.state_of(name) == "active":
            graph.transition(name, Transition.TRANSITION_DEACTIVATE)
        if graph.state_of(name) == "inactive":
            graph.transition(name, Transition.TRANSITION_CLEANUP)
    if action in ("start", "restart"):
        if graph.state_of(name) == "unconfigured":
            graph.transition(name, Transition.TRANSITION_CONFIGURE)
        if graph.state_of(name) == "inactive":
            graph.transition(name, Transition.TRANSITION_ACTIVATE)
    state = graph.state_of(name)
    reached = state == ("unconfigured" if action == "stop" else "active")
    if reached:
        return True, state
    # Its reason comes with the next diagnostics.
    subject = None

    def explained() -> bool:
        nonlocal subject
        subject = graph.reported(name).subject("life cycle")
        return subject is not None and subject.message not in ("active", "inactive", state)

    graph.wait(explained, 3.0)
    return False, f"is {state}: {subject.message if subject is not None else 'it gives no reason'}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser().parse_args(argv)
    if options.action != "list" and not options.names:
        parser().error(f"which sensor? e.g. thebox sensors {options.action} mara")

    def work() -> int:
        with connected(options) as graph:
            _, sensors = graph.expected()
            unknown = [name for name in options.names if name not in sensors]
            if unknown:
                print(
                    f"sensors: there is no sensor '{unknown[0]}'; the sensors are "
                    f"{', '.join(sensors) or 'none'}",
                    file=sys.stderr,
                )
                return NO_BOX
            chosen = options.names or sensors
            results: dict[str, Any] = {}
            if options.action != "list":
                for name in chosen:
                    try:
                        good, text = move(graph, name, options.action)
                    except AnswerError as error:
                        good, text = False, str(error)
                    results[name] = {"success": good, "message": text}
                    if not options.json:
                        print(f"{name}: {text}", file=sys.stdout if good else sys.stderr)
            rows = {name: _row(graph, name) for name in chosen}
            failed = any(not one["success"] for one in results.values())
            if options.json:
                print_json({"action": options.action, "results": results, "sensors": rows})
            elif options.action == "list":
                _show(rows)
            if options.action == "list":
                return GOOD if all(r["state"] != "missing" for r in rows.values()) else WRONG
            return WRONG if failed else GOOD

    return run("sensors", work)


def _show(rows: dict[str, dict[str, Any]]) -> None:
    def cell(value: float | None, form: str) -> str:
        return "–" if value is None else f"{value:{form}}"

    print(
        f"  {'sensor':<14}{'state':<14}{'rate/s':>8}{'age s':>8}{'received':>10}{'rejected':>10}"
        f"{'lost':>6}  source"
    )
    for name, row in rows.items():
        lost = (row["dropped"] or 0) + (row["kernel_drops"] or 0)
        print(
            f"  {name:<14}{row['state']:<14}{cell(row['rate'], '.1f'):>8}"
            f"{cell(row['age_s'], '.1f'):>8}{cell(row['received'], '.0f'):>10}"
            f"{cell(row['rejected'], '.0f'):>10}{lost:>6.0f}  {row['source']}"
        )


if __name__ == "__main__":
    raise SystemExit(main())
