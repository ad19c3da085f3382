# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""An hour of the whole box at life speed: does memory grow, does latency, is anything lost?

    ./thebox run python benchmarks/upkeep/soak.py [--minutes 60] [--scenario harbour] [--json FILE]

A box of its own on a simulated sky, every node a process. Every ten seconds its diagnostics and
its processes are looked at (the sampling of ``thebox perf``); a subscriber beside it times every
picture on ``tracks`` and counts those on ``tracks/fused``. At the end:

- memory of each process: private pages (USS) in the first and the last minutes, and the slope of a
  least-squares line through the second half of the run, MB an hour. Start-up is not in it: the
  first minutes begin after ``--settle`` seconds;
- latency of the first and of the last minutes: of each stage as it tells itself, and age of the
  newest detection in a picture when it arrives here (the sensors' own delays are in it);
- what was lost: datagrams that the sky sent and the drivers did not receive, the drivers' and the
  kernel's drops, the fusion's and the database's, sequence of pictures published and heard;
- processor of each process, and the machine's load: other work beside it is in every figure.

The ends do not show the same objects in the sky; the number of tracks is told with them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from thebox_bringup.operations.box import Graph, find_box
from thebox_bringup.operations.perf import Meter
from thebox_bringup.supervision import left_over, places, read_state
from thebox_core.messages import seconds
from thebox_core.qos import STATE
from thebox_interfaces.msg import TrackArray

PERIOD = 10.0
#: Sensors whose every datagram is one of the driver's receptions.
DATAGRAMS = ("droneshield", "silvus", "mara", "dspnor", "ownship")


class Ears:
    """Times the pictures; in the graph's own thread."""

    def __init__(self, graph: Graph) -> None:
        self.pictures: list[tuple[float, float, float, int]] = []
        self.fused = 0
        graph.node.create_subscription(TrackArray, "tracks", self._tracks, STATE)
        graph.node.create_subscription(TrackArray, "tracks/fused", self._fused, STATE)

    def _tracks(self, message: TrackArray) -> None:
        now = time.time()
        stamp, newest = seconds(message.header.stamp), seconds(message.newest_detection)
        self.pictures.append((now, now - stamp, now - newest, len(message.tracks)))

    def _fused(self, message: TrackArray) -> None:
        self.fused += 1


def processes(run_dir: Path) -> dict[str, psutil.Process]:
    """Every process of the box by its program; the supervisor is one of them."""
    state = read_state(places({"THEBOX_RUN_DIR": str(run_dir)}))
    found: dict[str, psutil.Process] = {}
    for process in left_over(state.run_id) if state is not None else ():
        with contextlib.suppress(psutil.Error):
            match = re.search(r"/lib/\w+/(\w+)( |$)", " ".join(process.cmdline()))
            name = match.group(1) if match else "supervisor"
            while name in found:
                name += "+"
            found[name] = process
    return found


class Soak:
    """Samples, and what is made of them."""

    def __init__(self, graph: Graph, run_dir: Path) -> None:
        self.graph = graph
        self.run_dir = run_dir
        self.ears = Ears(graph)
        self.meter = Meter(graph)
        self.times: list[float] = []
        self.loads: list[float] = []
        self.private: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.cpu: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
        self.stages: list[tuple[float, dict[str, dict[str, float | None]]]] = []
        self.lost: dict[str, float] = defaultdict(float)
        self.kernel: dict[str, float] = defaultdict(float)
        self.restarts: set[str] = set()
        self.levels: dict[str, int] = defaultdict(int)
        self.known = processes(run_dir)

    def sample(self) -> None:
        """Look once."""
        now = time.time()
        told = self.meter.sample()
        self.times.append(now)
        self.loads.append(os.getloadavg()[0])
        self.stages.append((now, told["latency_s"]))
        for name, count in told["lost"].items():
            self.lost[name] += count
        for port, count in told["kernel_udp_drops"].items():
            self.kernel[port] += count
        running = processes(self.run_dir)
        for name, process in running.items():
            if name in self.known and self.known[name].pid != process.pid:
                self.restarts.add(name)
            with contextlib.suppress(psutil.Error):
                spent = sum(process.cpu_times()[:2])
                self.private[name].append((now, process.memory_full_info().uss / 1e6))
                self.cpu[name].append((now, spent, process.pid))
        self.restarts |= set(self.known) - set(running)
        self.known = running
        for node in self.graph.expected()[0]:
            # rosbridge reports nothing: it is no node of ours.
            if self.graph.reported(node).subjects and self.graph.reported(node).level:
                self.levels[node] += 1

    def counts(self) -> dict[str, dict[str, float]]:
        """Counts of each sensor: what the sky sent, what its driver received, what fusion took."""

        def number(node: str, key: str) -> float:
            return float(self.graph.reported(node).values.get(key, "nan"))

        return {
            sensor: {
                "sent": number("sim", f"{sensor}.datagrams"),
                "received": number(sensor, "received"),
                "rejected": number(sensor, "rejected"),
                "fused": number("fusion", f"detections.{sensor}"),
            }
            for sensor in DATAGRAMS
        }

    def told(self, ends: float, settle: float, before: Any, after: Any) -> dict[str, Any]:
        """The figures; ``ends`` and ``settle`` in seconds."""
        begin, end = self.times[0], self.times[-1]
        first = (begin + settle, begin + settle + ends)
        last = (end - ends, end)
        growth = {}
        for name, places_ in self.private.items():
            t, mb = np.array(places_).T
            half = t > (begin + end) / 2
            slope = np.polyfit(t[half] / 3600.0, mb[half], 1)[0] if half.sum() > 2 else np.nan
            growth[name] = {
                "first_mb": mean(places_, first),
                "last_mb": mean(places_, last),
                "slope_second_half_mb_per_h": round(float(slope), 2),
            }
        pictures = np.array(self.ears.pictures).reshape(-1, 4)
        return {
            "seconds": round(end - begin, 1),
            "load_average": [round(float(v), 1) for v in np.percentile(self.loads, [0, 50, 100])],
            "load_average_first": mean(zip(self.times, self.loads, strict=True), first),
            "load_average_last": mean(zip(self.times, self.loads, strict=True), last),
            "memory": growth,
            "memory_all_first_mb": round(sum(v["first_mb"] or 0.0 for v in growth.values()), 1),
            "memory_all_last_mb": round(sum(v["last_mb"] or 0.0 for v in growth.values()), 1),
            "cpu_percent": {name: spent(rows) for name, rows in self.cpu.items()},
            "stages_ms": {"first": self._stages(first), "last": self._stages(last)},
            "pictures": {
                label: _pictures(pictures, window)
                for label, window in (("first", first), ("last", last), ("all", (begin, end)))
            },
            "pictures_fused": self.ears.fused,
            "lost": dict(self.lost),
            "kernel_udp_drops": dict(self.kernel),
            "counts": {
                sensor: {key: after[sensor][key] - row[key] for key in row}
                for sensor, row in before.items()
            },
            "processes_restarted": sorted(self.restarts),
            "samples": len(self.times),
            "samples_not_ok": dict(self.levels),
        }

    def _stages(self, window: tuple[float, float]) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for at, stages in self.stages:
            if window[0] <= at <= window[1]:
                for name, row in stages.items():
                    for part, value in row.items():
                        if value is not None and np.isfinite(value):
                            found[name][part].append(value)
        return {
            name: {part: round(float(np.median(v)) * 1e3, 2) for part, v in row.items()}
            for name, row in found.items()
        }


def mean(rows: Iterable[tuple[float, float]], window: tuple[float, float]) -> float | None:
    """Mean of what lies in a window of time; None for nothing."""
    inside = [value for at, value in rows if window[0] <= at <= window[1]]
    return round(float(np.mean(inside)), 2) if inside else None


def spent(rows: list[tuple[float, float, int]]) -> float | None:
    """Percent of a core over the run, of the process that ran last under the name."""
    same = [row for row in rows if row[2] == rows[-1][2]]
    span = same[-1][0] - same[0][0]
    return round(100.0 * (same[-1][1] - same[0][1]) / span, 1) if span > 0 else None


def _pictures(rows: np.ndarray, window: tuple[float, float]) -> dict[str, Any]:
    inside = rows[(rows[:, 0] >= window[0]) & (rows[:, 0] <= window[1])]
    if len(inside) < 2:
        return {"heard": len(inside)}
    gaps = np.diff(inside[:, 0])
    return {
        "heard": len(inside),
        "tracks_mean": round(float(inside[:, 3].mean()), 1),
        "longest_gap_s": round(float(gaps.max()), 2),
        "from_fusion_ms": [round(float(v) * 1e3, 1) for v in np.percentile(inside[:, 1], [50, 99])],
        "newest_detection_ms": [
            round(float(v) * 1e3, 1) for v in np.percentile(inside[:, 2], [50, 99])
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--scenario", default="harbour")
    parser.add_argument("--settle", type=float, default=180.0, help="seconds of start-up")
    parser.add_argument("--ends", type=float, default=300.0, help="seconds of each end")
    parser.add_argument("--domain-id", type=int, default=int(os.environ.get("ROS_DOMAIN_ID") or 91))
    parser.add_argument("--up", default="", help="further arguments of up, such as --composed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also there, at every minute")
    options = parser.parse_args()
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    # A shell starts what runs in its background with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            THEBOX_RUN_DIR=folder,
            ROS_DOMAIN_ID=str(options.domain_id),
            THEBOX_ENV_FILE=os.devnull,
        )
        command = [sys.executable, "-m", "thebox_bringup.up", "--scenario", options.scenario]
        command += ["--detach", "--timeout", "180", *options.up.split()]
        started = subprocess.run(command, capture_output=True, text=True, check=False)
        told: dict[str, Any] = {}
        try:
            if started.returncode:
                print(started.stdout[-2000:], started.stderr[-2000:], file=sys.stderr)
                return 1
            look = argparse.Namespace(domain_id=options.domain_id, namespace=None)
            with Graph(find_box(look)) as graph:
                graph.meet()
                soak = Soak(graph, Path(folder))
                before = soak.counts()
                end = time.monotonic() + 60.0 * options.minutes
                due = time.monotonic()
                while time.monotonic() < end:
                    soak.sample()
                    due = max(due + PERIOD, time.monotonic())
                    if len(soak.times) > 1:
                        told = soak.told(options.ends, options.settle, before, soak.counts())
                        if options.json is not None and len(soak.times) % 6 == 0:
                            options.json.write_text(json.dumps(told, indent=1), encoding="utf-8")
                    time.sleep(max(0.0, due - time.monotonic()))
        except KeyboardInterrupt:
            pass
        finally:
            down = [sys.executable, "-m", "thebox_bringup.down"]
            subprocess.run(down, check=False, stdout=sys.stderr)
    text = json.dumps(told, indent=1)
    if options.json is not None:
        options.json.write_text(text, encoding="utf-8")
    print(text)
    return 0 if told and not told["lost"] and not told["processes_restarted"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
