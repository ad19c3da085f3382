# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""How soon a silent sensor is told on /diagnostics, and how soon one that speaks again.

    ./thebox run python benchmarks/drivers/silence.py [--scenario harbour]

Starts the whole box with ``up``, makes each simulated sensor silent in turn by ``sim/set_fault``
and takes the time from the service's answer to the stamp of the first diagnostics that tell it;
then the same for the end of the silence. Fails when that took over 5 s, or when any other sensor
was told stale or in error meanwhile.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from rig import DRIVERS, Rig, free_port, machine

_BOUND = 5.0
_GRAVE = (2, 3)


class Watch:
    """Levels of the sensors' health, with the stamps at which they changed."""

    def __init__(self, rig: Rig) -> None:
        from diagnostic_msgs.msg import DiagnosticArray  # noqa: PLC0415

        self._lock = threading.Lock()
        self._told: dict[str, list[tuple[float, bool]]] = {}
        self._subjects = {
            f"{name}: {'gimbal' if name == 'trakka' else 'input'}": name for name in DRIVERS
        }
        rig.node.create_subscription(DiagnosticArray, "/diagnostics", self._heard, 100)

    def _heard(self, message: Any) -> None:
        at = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        with self._lock:
            for status in message.status:
                name = self._subjects.get(status.name)
                if name is not None:
                    grave = status.level[0] in _GRAVE
                    self._told.setdefault(name, []).append((at, grave))

    def first(self, name: str, grave: bool, since: float) -> float:
        """Stamp of the first report of a sensor since a time that is grave, or not; else NaN."""
        with self._lock:
            stamps = [at for at, g in self._told.get(name, []) if at >= since and g == grave]
        return stamps[0] if stamps else math.nan


def main() -> int:
    """Run the benchmark; return the exit status."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--scenario", default="harbour")
    arguments.add_argument("--domain", type=int, default=67, help="ROS domain of its own")
    given = arguments.parse_args()
    rig = Rig(given.domain, Path(os.devnull))
    from thebox_interfaces.srv import SetFault  # noqa: PLC0415

    watch = Watch(rig)
    client = rig.node.create_client(SetFault, "/thebox/sim/set_fault")
    failed = False

    def now() -> float:
        return float(rig.node.get_clock().now().nanoseconds) * 1e-9

    def fault(sensor: str, kind: str) -> float:
        future = client.call_async(SetFault.Request(sensor=sensor, fault=kind, value=math.nan))
        rig.wait(future.done, f"an answer about {sensor}")
        return now()

    # Free ports, so that a box that runs on this machine is not disturbed.
    places = {
        f"{name}.source": f"{'tcp' if name == 'trakka' else 'udp'}://127.0.0.1:"
        f"{free_port(socket.SOCK_STREAM if name == 'trakka' else socket.SOCK_DGRAM)}"
        for name in DRIVERS
    }
    places["dspnor.control.port"] = str(free_port(socket.SOCK_STREAM))
    places["trakka.video.source"] = f"http://127.0.0.1:{free_port(socket.SOCK_STREAM)}/"
    settings = [part for place in places.items() for part in ("--set", "=".join(place))]
    with tempfile.TemporaryDirectory() as folder:
        box = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "thebox_bringup.up",
                "--scenario",
                given.scenario,
                "--without",
                "panel",
                "--without",
                "rosbridge",
                *settings,
            ],
            env={**os.environ, "THEBOX_RUN_DIR": folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            rig.wait(client.service_is_ready, "the simulated sky", 90.0)
            rig.wait(
                lambda: all(watch.first(name, False, 0.0) > 0.0 for name in DRIVERS),
                "six sensors that speak",
                90.0,
            )
            print(f"machine: {machine()}; load average {os.getloadavg()[0]:.1f}")
            print("| sensor | told after | back after | others |\n|---|---|---|---|")
            for sensor in DRIVERS:
                others = [name for name in DRIVERS if name != sensor]
                begun = fault(sensor, "silent")
                rig.wait(lambda s=sensor, t=begun: watch.first(s, True, t) > 0.0, f"{sensor} stale")
                told = watch.first(sensor, True, begun) - begun
                ended = fault(sensor, "none")
                rig.wait(lambda s=sensor, t=ended: watch.first(s, False, t) > 0.0, f"{sensor} back")
                back = watch.first(sensor, False, ended) - ended
                hurt = [name for name in others if watch.first(name, True, begun) > 0.0]
                failed |= bool(hurt) or told > _BOUND
                print(f"| {sensor} | {told:.1f} s | {back:.1f} s | {', '.join(hurt) or 'quiet'} |")
        finally:
            box.send_signal(signal.SIGINT)
            box.wait(60.0)
            rig.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
