# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox logs``: structured lines by node and level, and the runbook's figures."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import Log

from thebox_bringup.operations.box import (
    GOOD,
    NO_BOX,
    Graph,
    NoBoxError,
    add_common,
    find_box,
    run,
)
from thebox_bringup.supervision import places

__all__ = ["Line", "figures", "main", "parse", "since"]

LEVELS = ("debug", "info", "warn", "error", "fatal")
_ROS = re.compile(r"\[(DEBUG|INFO|WARN|ERROR|FATAL)\] \[(\d+)\.(\d+)\] \[([^\]]*)\]: (.*)")
_SINCE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_OF_ROS = {10: "debug", 20: "info", 30: "warn", 40: "error", 50: "fatal"}


@dataclass(frozen=True)
class Line:
    """One line: when (seconds since 1970), of which node, how grave, what."""

    time: float
    node: str
    level: str
    message: str

    @property
    def stamp(self) -> str:
        """ISO 8601, UTC, milliseconds."""
        at = datetime.fromtimestamp(self.time, timezone.utc)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox logs",
        description="What the nodes logged: from the log files of ./thebox up, or, of a box that "
        "something else started, from /rosout as it comes.",
        epilog="examples:\n  thebox logs --level warn --since 1h\n"
        "  thebox logs --node fusion --follow\n  thebox logs --figures\n\n"
        "--figures prints ingest_rate, processing_latency and memory_usage as key=value lines, "
        "from\n/diagnostics. With --json, one object a line.",
    )
    made.add_argument("--node", action="append", default=[], metavar="NAME", help="only this node")
    made.add_argument("--level", default="info", choices=LEVELS, help="this and graver; info")
    made.add_argument("--since", metavar="AGO", help="30s, 10m, 2h, 1d, or an ISO 8601 time")
    made.add_argument(
        "--lines", type=int, default=200, help="the last so many; 0: all; default 200"
    )
    made.add_argument("--follow", "-f", action="store_true", help="and what comes, until Ctrl-C")
    made.add_argument(
        "--figures", action="store_true", help="the runbook's figures, with --follow every 5 s"
    )
    add_common(made)
    return made


def since(text: str, now: float) -> float:
    """The time that ``text`` means, in seconds since 1970.

    Raises:
        ValueError: neither a span nor an ISO 8601 time.
    """
    span = _SINCE.fullmatch(text)
    if span:
        return now - float(span.group(1)) * _SECONDS[span.group(2)]
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(
            f"--since {text}: write 30s, 10m, 2h, 1d or 2026-11-24T04:00:00Z"
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()


def parse(text: str, program: str, before: Line | None) -> Line | None:
    """Read one line of a log file; one that is not ROS's belongs to the line before it.

    Such lines (a traceback, a library's words) keep the time and the level of that line; before
    any, they are of no known time and are given the time 0.
    """
    if not text.strip():
        return None
    match = _ROS.search(text)
    if match:
        level, whole, part, logger, message = match.groups()
        node = logger.rpartition(".")[2] or program
        return Line(float(f"{whole}.{part}"), node, level.lower(), message)
    if before is None:
        return Line(0.0, program, "info", text.rstrip())
    return Line(before.time, program, before.level, text.rstrip())


def _read(path: Path) -> Iterator[Line]:
    before: Line | None = None
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            line = parse(text, path.stem, before)
            if line is not None:
                before = line
                yield line


def figures(graph: Graph) -> list[tuple[str, str, str, float, str]]:
    """The runbook's figures out of /diagnostics: (name, node, key, value, unit).

    Memory is of the process that the node names by its pid, where that is on this machine.
    """
    import psutil  # noqa: PLC0415

    found: list[tuple[str, str, str, float, str]] = []
    nodes, sensors = graph.expected()
    for name in nodes:
        reported = graph.reported(name)
        for subject in reported.subjects:
            for key, value in subject.values.items():
                try:
                    number = float(value)
                except ValueError:
                    continue
                if key == "rate" and name in sensors and subject.name == "input":
                    found.append(("ingest_rate", name, "rate", number, "per_second"))
                elif key in ("latency.p50", "latency.p99"):
                    found.append(("processing_latency", name, key[8:], number, "seconds"))
        pid = reported.values.get("pid", "")
        if pid.isdigit():
            try:
                process = psutil.Process(int(pid))
                found.append(
                    ("memory_usage", name, "rss", float(process.memory_info().rss), "bytes")
                )
            except psutil.Error:
                continue
    return found


def _print(line: Line, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**asdict(line), "stamp": line.stamp}, ensure_ascii=False), flush=True)
    else:
        print(f"{line.stamp} {line.level:<5} {line.node}: {line.message}", flush=True)


def _show_figures(options: argparse.Namespace) -> int:
    with Graph(find_box(options)) as graph:
        graph.meet()
        while True:
            now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
            stamp = now.replace("+00:00", "Z")
            for name, node, key, value, unit in figures(graph):
                if options.node and node not in options.node:
                    continue
                if options.json:
                    told: dict[str, Any] = {
                        "stamp": stamp,
                        "figure": name,
                        "node": node,
                        key: value,
                        "unit": unit,
                    }
                    print(json.dumps(told), flush=True)
                else:
                    print(f"{stamp} {name} node={node} {key}={value:.6g} unit={unit}", flush=True)
            if not options.follow:
                return GOOD
            time.sleep(5.0)


class _Tail:
    """Follows log files, also when they are turned over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._at: dict[Path, tuple[int, int]] = {}
        self._before: dict[Path, Line] = {}
        for path in folder.glob("*.log"):
            status = path.stat()
            self._at[path] = (status.st_ino, status.st_size)

    def more(self) -> Iterator[Line]:
        for path in sorted(self._folder.glob("*.log")):
            status = path.stat()
            inode, at = self._at.get(path, (status.st_ino, 0))
            if inode != status.st_ino or status.st_size < at:
                at = 0
            if status.st_size > at:
                with path.open("rb") as file:
                    file.seek(at)
                    block = file.read()
                # The last line may still be being written.
                whole = block[: block.rfind(b"\n") + 1]
                for text in whole.decode(errors="replace").splitlines():
                    line = parse(text, path.stem, self._before.get(path))
                    if line is not None:
                        self._before[path] = line
                        yield line
                at += len(whole)
            self._at[path] = (status.st_ino, at)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser().parse_args(argv)
    try:
        earliest = since(options.since, time.time()) if options.since else 0.0
    except ValueError as error:
        parser().error(str(error))

    def wanted(line: Line) -> bool:
        return (
            line.time >= earliest
            and LEVELS.index(line.level) >= LEVELS.index(options.level)
            and (not options.node or line.node in options.node)
        )

    def work() -> int:
        if options.figures:
            return _show_figures(options)
        folder = places().log
        files = sorted(folder.glob("*.log")) if folder.is_dir() else []
        if not files:
            return _rosout(options, wanted)
        if options.node:
            known = {path.stem for path in files}
            missing = [name for name in options.node if name not in known]
            if missing and "composed" not in known:
                print(
                    f"logs: {missing[0]} has no log in {folder}; there are "
                    f"{', '.join(sorted(known))}",
                    file=sys.stderr,
                )
                return NO_BOX
        tail = _Tail(folder) if options.follow else None
        kept: deque[Line] = deque(maxlen=options.lines or None)
        # Stable: lines of one time stay in the order of their file.
        lines = [line for path in files for line in _read(path) if wanted(line)]
        kept.extend(sorted(lines, key=lambda line: line.time))
        for line in kept:
            _print(line, options.json)
        while tail is not None:
            time.sleep(0.3)
            for line in tail.more():
                if wanted(line):
                    _print(line, options.json)
        return GOOD

    return run("logs", work)


def _rosout(options: argparse.Namespace, wanted: Any) -> int:
    if not options.follow:
        raise NoBoxError(
            f"there are no logs in {places().log}: this box was not started by ./thebox up. "
            "ros2 launch keeps its logs in ~/.ros/log; --follow shows /rosout as it comes"
        )
    with Graph(find_box(options)) as graph:
        graph.meet()
        prefix = graph.box.namespace.strip("/").replace("/", ".") + "."

        def heard(message: Log) -> None:
            at = message.stamp.sec + message.stamp.nanosec * 1e-9
            level = _OF_ROS.get(
                int.from_bytes(message.level, "little")
                if isinstance(message.level, bytes)
                else int(message.level),
                "info",
            )
            line = Line(at, message.name.removeprefix(prefix), level, message.msg)
            if wanted(line):
                _print(line, options.json)

        graph.node.create_subscription(Log, "/rosout", heard, 1000)
        while True:
            time.sleep(1.0)


if __name__ == "__main__":
    raise SystemExit(main())
