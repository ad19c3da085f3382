# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox perf``: ingest, latency, processor, memory, losses and network of a running box."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from thebox_bringup.operations.box import (
    GOOD,
    WRONG,
    Graph,
    add_common,
    connected,
    print_json,
    run,
)
from thebox_bringup.operations.charts import document, over_time, table

__all__ = ["Meter", "main", "udp_drops"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox perf",
        description="What the box takes in, how long it takes, what it costs and what is lost.",
        epilog="examples:\n  thebox perf\n  thebox perf --watch\n"
        "  thebox perf --seconds 60 --report perf.html\n\n"
        "Exit code 1 when something was lost while it looked. Processor and memory are of the "
        "processes\nthat run on this machine.",
    )
    made.add_argument("--seconds", type=float, default=5.0, help="how long to look; default 5")
    made.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    made.add_argument("--report", type=Path, metavar="FILE", help="an HTML page with plots")
    add_common(made)
    return made


def udp_drops(text: str) -> dict[int, int]:
    """Datagrams that the kernel dropped, by local port, out of /proc/net/udp (last column)."""
    found: dict[int, int] = {}
    for line in text.splitlines()[1:]:
        cells = line.split()
        if len(cells) >= 13 and cells[-1].isdigit():
            port = int(cells[1].rpartition(":")[2], 16)
            found[port] = found.get(port, 0) + int(cells[-1])
    return found


def _kernel_drops() -> dict[int, int]:
    found: dict[int, int] = {}
    for path in (Path("/proc/net/udp"), Path("/proc/net/udp6")):
        with contextlib.suppress(OSError):
            for port, count in udp_drops(path.read_text()).items():
                found[port] = found.get(port, 0) + count
    return found


def _number(values: dict[str, str], key: str) -> float | None:
    try:
        number = float(values[key])
    except (KeyError, ValueError):
        return None
    return number


class Meter:
    """Takes one sample after another; each tells of the time since the one before."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._processes: dict[str, psutil.Process] = {}
        self._lost: dict[str, float] = {}
        self._kernel = _kernel_drops()
        self._network = psutil.net_io_counters()
        self._at = time.monotonic()
        self._find_processes()

    def _find_processes(self) -> None:
        names = self._graph.expected()[0]
        # By pid: a composed process is several nodes'.
        seen: dict[int, str] = {}
        for name in names:
            pid = self._graph.reported(name).values.get("pid", "")
            if pid.isdigit():
                seen[int(pid)] = name if int(pid) not in seen else "composed"
        found: dict[str, psutil.Process] = {}
        for pid, name in seen.items():
            kept = self._processes.get(name)
            if kept is not None and kept.pid == pid:
                found[name] = kept
                continue
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                process.cpu_percent(None)
                found[name] = process
        self._processes = found

    def sample(self) -> dict[str, Any]:
        """The documented object."""
        now = time.monotonic()
        span = max(now - self._at, 1e-3)
        nodes, sensors = self._graph.expected()
        ingest: dict[str, float | None] = {}
        stages: dict[str, dict[str, float | None]] = {}
        counted: dict[str, float] = {}
        for name in nodes:
            reported = self._graph.reported(name)
            for subject in reported.subjects:
                values = subject.values
                if name in sensors and subject.name == "input":
                    ingest[name] = _number(values, "rate")
                for key in ("dropped", "kernel_drops"):
                    number = _number(values, key)
                    if number is not None:
                        counted[f"{name}.{key}"] = number
                for key in ("latency", "cycle", "inference"):
                    if f"{key}.p50" in values:
                        stages[f"{name}.{key}"] = {
                            part: _number(values, f"{key}.{part}") for part in ("p50", "p90", "p99")
                        }
        processes: dict[str, dict[str, float]] = {}
        self._find_processes()
        for name, process in self._processes.items():
            with contextlib.suppress(psutil.Error):
                processes[name] = {
                    "cpu_percent": process.cpu_percent(None),
                    "memory_bytes": float(process.memory_info().rss),
                    "threads": float(process.num_threads()),
                }
        kernel, network = _kernel_drops(), psutil.net_io_counters()
        lost = {key: count - self._lost.get(key, count) for key, count in counted.items()}
        told = {
            "namespace": self._graph.box.namespace,
            "domain": self._graph.box.domain,
            "time": time.time(),
            "span_s": span,
            "ingest_per_s": ingest,
            "latency_s": stages,
            "processes": processes,
            "cpu_percent_machine": psutil.cpu_percent(None),
            "memory_available_bytes": psutil.virtual_memory().available,
            "lost_total": counted,
            "lost": {key: count for key, count in lost.items() if count > 0},
            "kernel_udp_drops": {
                str(port): count - self._kernel.get(port, 0)
                for port, count in kernel.items()
                if count > self._kernel.get(port, 0)
            },
            "network": {
                "received_bytes_per_s": (network.bytes_recv - self._network.bytes_recv) / span,
                "sent_bytes_per_s": (network.bytes_sent - self._network.bytes_sent) / span,
                "dropped_in": network.dropin - self._network.dropin,
                "errors_in": network.errin - self._network.errin,
            },
        }
        self._at, self._lost, self._kernel, self._network = now, counted, kernel, network
        return told


def _show(told: dict[str, Any]) -> None:
    def cell(value: float | None, times: float = 1.0, form: str = ".1f") -> str:
        return "–" if value is None else f"{value * times:{form}}"

    print(f"{told['namespace']} domain {told['domain']}, over {told['span_s']:.1f} s")
    print(
        "  ingest, a second   "
        + "  ".join(f"{name} {cell(rate)}" for name, rate in told["ingest_per_s"].items())
    )
    print(f"  {'stage':<24}{'p50 ms':>9}{'p90 ms':>9}{'p99 ms':>9}")
    for name, row in told["latency_s"].items():
        print(f"  {name:<24}" + "".join(f"{cell(row[p], 1e3):>9}" for p in ("p50", "p90", "p99")))
    print(f"  {'process':<24}{'CPU %':>9}{'MB':>9}{'threads':>9}")
    for name, row in sorted(told["processes"].items(), key=lambda item: -item[1]["cpu_percent"]):
        print(
            f"  {name:<24}{row['cpu_percent']:>9.1f}{row['memory_bytes'] / 1e6:>9.0f}"
            f"{row['threads']:>9.0f}"
        )
    total = sum(row["cpu_percent"] for row in told["processes"].values())
    memory = sum(row["memory_bytes"] for row in told["processes"].values())
    print(f"  {'all of the box':<24}{total:>9.1f}{memory / 1e6:>9.0f}")
    network = told["network"]
    print(
        f"  machine: CPU {told['cpu_percent_machine']:.0f} %, memory free "
        f"{told['memory_available_bytes'] / 1e6:.0f} MB; network in "
        f"{network['received_bytes_per_s'] / 1e3:.1f} kB/s, out "
        f"{network['sent_bytes_per_s'] / 1e3:.1f} kB/s (loopback with it)"
    )
    gone = {**told["lost"], **{f"port {p}": n for p, n in told["kernel_udp_drops"].items()}}
    if gone:
        print(
            "  LOST: "
            + ", ".join(f"{name} {count:.0f}" for name, count in gone.items())
            + " -> ./thebox tune"
        )
    else:
        before = sum(told["lost_total"].values())
        print(f"  nothing was lost while it looked; {before:.0f} since the nodes started")


def page(samples: Sequence[dict[str, Any]]) -> str:
    """The report."""
    begin = samples[0]["time"]

    def lines(group: str, pick: Any) -> dict[str, list[tuple[float, float]]]:
        names = sorted({name for told in samples for name in told[group]})
        return {
            name: [
                (told["time"] - begin, pick(told[group][name]))
                for told in samples
                if name in told[group] and pick(told[group][name]) is not None
            ]
            for name in names
        }

    last = samples[-1]
    lost = {key: sum(told["lost"].get(key, 0) for told in samples) for key in last["lost_total"]}
    network = {
        name: [
            (told["time"] - begin, told["network"][f"{key}_bytes_per_s"] / 1e3) for told in samples
        ]
        for name, key in (("in", "received"), ("out", "sent"))
    }
    return document(
        f"Performance of {last['namespace']}",
        [
            f"<p>{len(samples)} samples over {last['time'] - begin:.0f} s.</p>",
            over_time("Ingest", "detections a second", lines("ingest_per_s", lambda v: v)),
            over_time(
                "Latency, median",
                "milliseconds",
                lines("latency_s", lambda v: None if v["p50"] is None else v["p50"] * 1e3),
            ),
            over_time("Processor", "% of a core", lines("processes", lambda v: v["cpu_percent"])),
            over_time("Memory", "MB", lines("processes", lambda v: v["memory_bytes"] / 1e6)),
            over_time("Network of the machine", "kB a second", network),
            "<h2>Lost</h2>",
            table(
                ("count", "while it looked", "since the start"),
                (
                    (key, f"{lost[key]:.0f}", f"{count:.0f}")
                    for key, count in sorted(last["lost_total"].items())
                ),
            ),
        ],
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser().parse_args(argv)
    if not options.seconds >= 1.0:
        parser().error("--seconds must be at least 1")

    def work() -> int:
        lost = False
        with connected(options) as graph:
            meter = Meter(graph)
            meter.sample()
            samples: list[dict[str, Any]] = []
            end = time.monotonic() + options.seconds
            try:
                while True:
                    single = not options.watch and options.report is None
                    step = options.seconds if single else min(2.0, options.seconds)
                    time.sleep(max(min(step, end - time.monotonic()), 1.0))
                    told = meter.sample()
                    lost = lost or bool(told["lost"] or told["kernel_udp_drops"])
                    if options.report is not None:
                        samples.append(told)
                    if options.watch:
                        print_json(told) if options.json else _show(told)
                    elif time.monotonic() >= end - 0.5:
                        break
            except KeyboardInterrupt:
                if not samples:
                    return GOOD
        if samples:
            try:
                options.report.write_text(page(samples), encoding="utf-8")
            except OSError as error:
                print(f"perf: cannot write {options.report}: {error.strerror}", file=sys.stderr)
                return WRONG
        if not options.watch:
            print_json(told) if options.json else _show(told)
        if options.report is not None and not options.json:
            print(f"  report  {options.report}")
        return WRONG if lost else GOOD

    return run("perf", work)


if __name__ == "__main__":
    raise SystemExit(main())
