# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Kills every process of a running box at random, and measures what comes of it.

``./thebox run python benchmarks/upkeep/kills.py [--times 10]``

A box on a simulated sky; each of its processes (nodes, the bridge, the database) is killed with
SIGKILL so many times, in a random order. Measured for each kill: until its process is there again,
until its node reports again, and whether tracks went on. Before each kill an alert is acknowledged
where there is one; at the end every acknowledgement that was answered must be in the database.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from thebox_bringup.supervision import left_over, places, read_state
from thebox_interfaces.msg import Event, TrackArray
from thebox_interfaces.srv import AcknowledgeEvents, QueryEvents

BACK = 30.0


class Observer:
    """Hears tracks, events and health of the box."""

    def __init__(self, domain: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(
            args=[],
            context=self.context,
            domain_id=domain,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self.node = rclpy.create_node(
            "kills", namespace="/thebox", context=self.context, enable_rosout=False
        )
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.tracks: list[float] = []
        self.alerts: list[str] = []
        self.told: list[tuple[float, str, str]] = []
        self.reports: dict[str, float] = {}
        self.node.create_subscription(TrackArray, "tracks", self._tracks, 10)
        self.node.create_subscription(Event, "events", self._event, 100)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._health, 100)
        self.acknowledge = self.node.create_client(AcknowledgeEvents, "dronedb/acknowledge_events")
        self.query = self.node.create_client(QueryEvents, "dronedb/query_events")
        threading.Thread(target=self.executor.spin, daemon=True).start()

    def _tracks(self, message: TrackArray) -> None:
        if message.tracks:
            self.tracks.append(time.monotonic())

    def _event(self, message: Event) -> None:
        self.told.append((time.monotonic(), message.kind, message.text))
        if message.severity == Event.SEVERITY_ALERT and not message.acknowledged:
            self.alerts.append(message.id)

    def _health(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.reports[status.name.partition(":")[0]] = time.monotonic()

    def call(self, client: Any, request: Any, patience: float = 10.0) -> Any:
        if not client.wait_for_service(timeout_sec=patience):
            return None
        future = client.call_async(request)
        end = time.monotonic() + patience
        while not future.done() and time.monotonic() < end:
            time.sleep(0.02)
        return future.result() if future.done() else None


def processes(run_dir: Path) -> dict[str, int]:
    """Program and process id of what may be killed: neither the supervisor nor the sky."""
    state = read_state(places({"THEBOX_RUN_DIR": str(run_dir)}))
    found: dict[str, int] = {}
    if state is None:
        return found
    for process in left_over(state.run_id):
        try:
            match = re.search(r"/lib/\w+/(\w+)( |$)", " ".join(process.cmdline()))
        except psutil.Error:
            continue
        if match and match.group(1) != "sky" and process.pid != state.supervisor_pid:
            found[match.group(1)] = process.pid
    return found


def wait(done: Any, patience: float = BACK) -> float:
    """Seconds until ``done``; infinite when it never is."""
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > patience:
            return float("inf")
        time.sleep(0.02)
    return time.monotonic() - began


class Kills:
    """What came of the kills."""

    def __init__(self, observer: Observer, run_dir: Path) -> None:
        self.observer = observer
        self.run_dir = run_dir
        self.loads: list[float] = []
        self.process_times: dict[str, list[float]] = defaultdict(list)
        self.report_times: dict[str, list[float]] = defaultdict(list)
        self.gaps: list[float] = []
        # Kills after which no picture came for as long as was waited.
        self.silences: list[str] = []
        self.stories = 0
        self.acknowledged: list[str] = []

    def one(self, name: str) -> None:
        """Kill one process and wait until all is as before."""
        seen = self.observer
        self.loads.append(os.getloadavg()[0])
        self._acknowledge()
        before = processes(self.run_dir).get(name)
        if before is None:
            self.process_times[name].append(float("inf"))
            return
        killed = time.monotonic()
        os.kill(before, signal.SIGKILL)
        back = wait(lambda: processes(self.run_dir).get(name, before) != before)
        self.process_times[name].append(back)
        if name in seen.reports:
            again = wait(lambda: seen.reports[name] > killed + max(back, 0.2))
            self.report_times[name].append(back + again)
        if wait(lambda: bool(seen.tracks) and seen.tracks[-1] > killed) > BACK:
            self.silences.append(name)
        heard = [moment for moment in seen.tracks if moment > killed - 5.0]
        self.gaps.append(max((b - a for a, b in itertools.pairwise(heard)), default=0.0))
        self.stories += any(moment > killed for moment, _, _ in seen.told)

    def _acknowledge(self) -> None:
        seen = self.observer
        if not seen.alerts:
            return
        request = AcknowledgeEvents.Request(event_ids=[seen.alerts[0]], acknowledged_by="kills")
        answer = seen.call(seen.acknowledge, request)
        if answer is not None and answer.success:
            self.acknowledged.extend(answer.acknowledged)
            seen.alerts.pop(0)

    def lost(self) -> list[str]:
        """Acknowledgements that were answered and are not in the database."""
        there: set[str] = set()
        cursor = ""
        while True:
            answer = self.observer.call(
                self.observer.query, QueryEvents.Request(page_size=200, cursor=cursor), BACK
            )
            if answer is None or not answer.success:
                raise SystemExit(f"the events cannot be read: {answer}")
            there |= {event.id for event in answer.events if event.acknowledged}
            cursor = answer.next_cursor
            if not cursor:
                return [one for one in self.acknowledged if one not in there]

    def told(self) -> dict[str, Any]:
        """The figures."""
        times = [value for values in self.process_times.values() for value in values]
        lost = self.lost()
        return {
            "kills": len(times),
            "load_average": [round(min(self.loads), 1), round(max(self.loads), 1)],
            "process_back_s": {
                name: [round(value, 2) for value in values]
                for name, values in self.process_times.items()
            },
            "node_reports_again_s": {
                name: [round(value, 2) for value in values]
                for name, values in self.report_times.items()
            },
            "longest_until_process_is_back_s": round(max(times), 2),
            "longest_gap_in_tracks_s": round(max(self.gaps, default=0.0), 2),
            "no_tracks_after_kills_of": self.silences,
            "kills_after_which_an_event_told": self.stories,
            "acknowledged": len(self.acknowledged),
            "acknowledgements_lost": len(lost),
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--domain-id", type=int, default=int(os.environ.get("ROS_DOMAIN_ID") or 90))
    parser.add_argument("--up", default="", help="further arguments of up, such as --set …")
    parser.add_argument("--seconds", type=float, default=3600.0, help="end after that long")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "THEBOX_RUN_DIR": folder,
            "ROS_DOMAIN_ID": str(options.domain_id),
            "THEBOX_ENV_FILE": os.devnull,
        }
        command = [sys.executable, "-m", "thebox_bringup.up", "--scenario", "harbour", "--detach"]
        command += ["--timeout", "180", *options.up.split()]
        started = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        try:
            if started.returncode:
                print(started.stdout[-2000:], started.stderr[-2000:], file=sys.stderr)
                return 1
            observer = Observer(options.domain_id)
            wait(lambda: bool(observer.tracks) and len(observer.reports) > 8)
            plan = [n for n in processes(Path(folder)) for _ in range(options.times)]
            chance.shuffle(plan)
            kills = Kills(observer, Path(folder))
            end = time.monotonic() + options.seconds
            for name in plan:
                if time.monotonic() < end:
                    kills.one(name)
            told = kills.told()
        finally:
            down = [sys.executable, "-m", "thebox_bringup.down"]
            subprocess.run(down, env=environment, check=False, stdout=sys.stderr)
    print(json.dumps({"planned": len(plan), **told}, indent=1))
    well = told["longest_until_process_is_back_s"] < 3.0 and not told["acknowledgements_lost"]
    well = well and not told["no_tracks_after_kills_of"]
    return 0 if well else 1


if __name__ == "__main__":
    raise SystemExit(main())
