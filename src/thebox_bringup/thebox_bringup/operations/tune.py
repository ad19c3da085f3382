# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox tune``: what to change of the box and its kernel, from what was measured, and why."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from thebox_bringup.operations.applying import ApplyError, undo, write_kernel, write_parameters
from thebox_bringup.operations.box import (
    GOOD,
    WRONG,
    AnswerError,
    Graph,
    add_common,
    connected,
    print_json,
    run,
)
from thebox_bringup.operations.tuning import Change, Driver, Facts, changes, kernel_facts
from thebox_bringup.settings import SettingsError
from thebox_bringup.supervision import places
from thebox_bringup.upkeep.inventory import take

__all__ = ["main", "parser"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox tune",
        description="Say what to change of a running box and of this machine's kernel, and what "
        "was measured\nthat asks for it: buffers against datagrams dropped, queues, pictures a "
        "second, the\ndatabase, one process or several.",
        epilog="examples:\n  thebox tune\n  thebox tune --seconds 60 --config site.yaml --apply\n"
        "  sudo thebox tune --undo\n\n"
        "Without --apply nothing is changed. With it parameters go into the site's file (the file\n"
        "before is kept beside it) and hold from each node's next start; the kernel's values are\n"
        "set when it runs as root, now and in /etc/sysctl.d/60-thebox.conf, until --undo.\n"
        "Exit code 1 when something is left to change.",
    )
    made.add_argument("--seconds", type=float, default=10.0, help="how long to look; default 10")
    made.add_argument("--apply", action="store_true", help="make the changes that it may make")
    made.add_argument(
        "--undo", action="store_true", help="set the kernel's values back, and do nothing else"
    )
    made.add_argument(
        "--config", type=Path, metavar="FILE", help="the site's parameter file; default: the box's"
    )
    add_common(made)
    return made


def _number(values: dict[str, str], key: str) -> float:
    try:
        return float(values[key])
    except (KeyError, ValueError):
        return math.nan


def _count(values: dict[str, str], key: str) -> int:
    """A count; 0 where the node does not tell it now."""
    number = _number(values, key)
    return round(number) if math.isfinite(number) else 0


class Look:
    """Diagnostics and counters at one moment."""

    def __init__(self, graph: Graph) -> None:
        self.at = time.monotonic()
        self.kernel = kernel_facts()
        nodes, sensors = graph.expected()
        self.nodes, self.sensors = nodes, sensors
        self.values = {name: graph.reported(name).values for name in nodes}


def _driver(graph: Graph, name: str, first: Look, last: Look) -> Driver | None:
    before, now = first.values.get(name, {}), last.values.get(name, {})
    if "kernel_drops" not in now:
        return None
    try:
        buffer, queue = graph.parameters(name, ("receive_buffer", "queue_size"))
    except AnswerError:
        buffer = queue = None

    def grown(key: str) -> float:
        more = _number(now, key) - _number(before, key)
        return more if math.isfinite(more) and more > 0.0 else 0.0

    count = grown("received")
    whole = _number(now, "received")
    return Driver(
        now.get("source", ""),
        buffer,
        queue,
        now.get("notice", "").startswith("receive buffer"),
        count / (last.at - first.at),
        _number(now, "bytes") / whole if whole > 0.0 else 0.0,
        _count(now, "dropped"),
        _count(now, "kernel_drops"),
        round(grown("dropped")),
        round(grown("kernel_drops")),
    )


def _processor(look: Look) -> dict[str, psutil.Process]:
    """Processes of the nodes, by node; the one of several is called composed."""
    by_pid: dict[int, list[str]] = {}
    for name, values in look.values.items():
        if values.get("pid", "").isdigit():
            by_pid.setdefault(int(values["pid"]), []).append(name)
    found: dict[str, psutil.Process] = {}
    for pid, names in by_pid.items():
        # One on another machine, or gone, has none.
        with contextlib.suppress(psutil.Error):
            found[names[0] if len(names) == 1 else "composed"] = psutil.Process(pid)
    return found


def _spent(processes: dict[str, psutil.Process]) -> dict[str, float]:
    told: dict[str, float] = {}
    for name, process in processes.items():
        with contextlib.suppress(psutil.Error):
            told[name] = sum(process.cpu_times()[:2])
    return told


def _asked(graph: Graph, node: str, names: Sequence[str]) -> dict[str, Any]:
    try:
        return dict(zip(names, graph.parameters(node, names), strict=True))
    except AnswerError:
        return dict.fromkeys(names)


def measure(graph: Graph, seconds: float) -> Facts:
    """Look for some seconds."""
    first = Look(graph)
    processes = _processor(first)
    spent = _spent(processes)
    time.sleep(seconds)
    last = Look(graph)
    span = last.at - first.at
    processor = {
        name: 100.0 * (now - spent[name]) / span
        for name, now in _spent(processes).items()
        if name in spent
    }
    drivers = {name: _driver(graph, name, first, last) for name in last.sensors}
    fusion = last.values.get("fusion", {})
    rate = _asked(graph, "fusion", ("publish_rate_max",)) if fusion else {}
    base = last.values.get("dronedb", {})
    asked = (
        _asked(
            graph,
            "dronedb",
            ("queue_size", "batch_period", "retention.megabytes", "detections.keep"),
        )
        if base
        else {}
    )
    folder = Path(base.get("path", "")).parent
    here = base.get("path") and folder.is_dir()
    return Facts(
        cores=len(os.sched_getaffinity(0)),
        memory_available=float(psutil.virtual_memory().available),
        drivers={name: driver for name, driver in drivers.items() if driver is not None},
        kernel=last.kernel,
        kernel_before=first.kernel,
        processor=processor,
        composed="composed" in processes,
        nodes=len(processes),
        fusion={
            "publish_rate_max": float(rate.get("publish_rate_max") or math.nan),
            "cycle_p99": _number(fusion, "cycle.p99"),
            "dropped": _grown(first, last, "fusion", "dropped"),
        },
        database={
            "queue_size": asked.get("queue_size"),
            "queue_depth": _count(base, "queue.depth"),
            "dropped": _count(base, "dropped"),
            "writes_rate": _number(base, "writes.rate"),
            "batch_period": asked.get("batch_period"),
            "bytes": _count(base, "bytes"),
            "megabytes": asked.get("retention.megabytes"),
            "disk_free": float(shutil.disk_usage(folder).free) if here else None,
            "keep": asked.get("detections.keep"),
        }
        if base
        else {},
    )


def _grown(first: Look, last: Look, node: str, key: str) -> float:
    more = _number(last.values.get(node, {}), key) - _number(first.values.get(node, {}), key)
    return max(more, 0.0) if math.isfinite(more) else 0.0


# Putting into force -----------------------------------------------------------------------------


def _apply(
    found: Sequence[Change], config: Path | None, namespace: str
) -> tuple[list[str], list[str]]:
    """What was done, and what was not and why."""
    done: list[str] = []
    left: list[str] = []
    parameters = {
        tuple(change.what.split(".", 1)): change.wanted
        for change in found
        if change.how == "parameter"
    }
    if parameters:
        path = config
        if path is None:
            inside = take(places(), namespace=namespace).of("parameters")
            path = inside[0] if inside else None
        if path is None:
            left.append("no parameter file of the site is known: give --config FILE")
        else:
            try:
                kept = write_parameters(path, namespace, parameters)  # type: ignore[arg-type]
                before = f"; the file before: {kept}" if kept else ""
                done.append(f"{path}: {len(parameters)} set{before}")
            except ApplyError as error:
                left.append(str(error))
    kernel = {change.what: int(change.wanted) for change in found if change.how == "kernel"}
    if kernel:
        command = "sysctl -w " + " ".join(f"{name}={value}" for name, value in kernel.items())
        if os.geteuid() != 0:
            left.append(f"only root may: sudo {command}")
        else:
            try:
                write_kernel(kernel, _record())
                done.append(command)
            except ApplyError as error:
                left.append(str(error))
    left += [f"{change.what}: by hand: {change.wanted}" for change in found if change.how == "hand"]
    return done, left


def _record() -> Path:
    return places().data / "kernel-before-tune.json"


def _show(found: Sequence[Change], done: Sequence[str], left: Sequence[str]) -> None:
    if not found:
        print("nothing to change: nothing was lost, and nothing is short")
    for change in found:
        word = "NEEDED " if change.needed else "advised"
        print(f"{word}  {change.what}: {change.now} -> {change.wanted}")
        print(f"         {change.why}")
    for line in done:
        print(f"done     {line}")
    for line in left:
        print(f"left     {line}")
    if done:
        print("parameters hold from each node's next start; drivers: ./thebox sensors restart NAME")
    elif found and not left:
        print("nothing was changed; --apply makes the changes")


def _undo(as_json: bool) -> int:
    try:
        back = undo(_record())
    except ApplyError as error:
        print(f"tune: {error}", file=sys.stderr)
        return WRONG
    if as_json:
        print_json({"set_back": back})
    else:
        for name, value in back.items():
            print(f"{name} = {value}")
        print("set back" if back else "nothing to set back")
    return GOOD


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    made = parser()
    options = made.parse_args(argv)
    if not 1.0 <= options.seconds < math.inf:
        made.error("--seconds must be at least 1")
    if options.undo:
        if options.apply:
            made.error("--apply or --undo, not both")
        return _undo(options.json)

    def work() -> int:
        with connected(options) as graph:
            facts = measure(graph, options.seconds)
            namespace = graph.box.namespace
        found = changes(facts)
        done: list[str] = []
        left: list[str] = []
        if options.apply:
            try:
                done, left = _apply(found, options.config, namespace)
            except SettingsError as error:
                left = [str(error)]
        if options.json:
            print_json(
                {
                    "namespace": namespace,
                    "seconds": options.seconds,
                    "changes": [asdict(change) for change in found],
                    "measured": asdict(facts),
                    "done": done,
                    "left": left,
                }
            )
        else:
            _show(found, done, left)
        return WRONG if (left if options.apply else found) else GOOD

    return run("tune", work)


if __name__ == "__main__":
    raise SystemExit(main())
