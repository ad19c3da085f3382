# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Latency from a datagram's sending to the tracks that it went into, on the real processes.

    ./thebox run python benchmarks/latency.py --seconds 15

Starts the DroneShield driver and the fusion node as processes of their own, in a private ROS
domain and on a free port, and sends DroneShield datagrams of several emitters at each rate.

How a datagram is matched to the picture: each one carries its own millisecond in
``EpochTimeMilliSeconds``, and the driver stamps by it (``stamp_source`` sensor). The millisecond
stands for its turn, not for the true time: it runs behind the clock and is never used twice.
``TrackArray.newest_detection`` is the newest such stamp that went into the tracker. Loopback UDP,
the driver's queue and a reliable topic keep the order, so the first array whose newest_detection
has reached a datagram's stamp is the first that could contain it. The latency is from just before
``sendto`` to that array's arrival in this process (deserialised, in a callback): it contains the
kernel, parsing, two hops of DDS, the wait for the fusion's cycle, the cycle itself and this
process's own share. At the end the driver's and the fusion's counts are compared with what was
sent: a latency without every datagram accepted is no figure.
"""

from __future__ import annotations

import argparse
import bisect
import json
import math
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from thebox_bringup.transport import speak_as_the_box


def free_port() -> int:
    """Find a UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def datagram(emitter: int, at: float, stamp_ms: int) -> bytes:
    """Return an emitter's datagram; the emitters circle at different speeds."""
    angle = math.remainder(1.1 * emitter + 0.02 * (1 + emitter % 3) * at, 2 * math.pi)
    return json.dumps(
        {
            "APIVersion": "9",
            "Type": "Detection",
            "Data": {
                "AngleOfArrivalRadians": angle,
                "AbsoluteAngleOfArrivalRadians": angle,
                "AngleOfArrivalErrorRadians": 0.2,
                "CorrelationKey": f"15414242{emitter:02d}",
                "SerialNumber": f"15414242{emitter:02d}",
                "DetectionCount": 0,
                "EpochTimeMilliSeconds": stamp_ms,
                "FrequencyHertz": 2_437_000_000 + 5_000_000 * emitter,
                "RSSI": -60 - emitter,
                "SignalBars": 7,
                "Protocol": "FHSS",
                "Vendor": "DJI",
                "Name": "DJI",
                "Type": "RADIO",
                "IsDrone": True,
                "MacAddress": "Empty_Field",
            },
        }
    ).encode()


def machine() -> str:
    """Name the machine that the figures come from."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = psutil.virtual_memory().total / 2**30
    return f"{model}, {psutil.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"


class Bench:
    """The two processes, and the ears of this one."""

    def __init__(self, log: Path) -> None:
        import rclpy  # noqa: PLC0415 - after the domain is set
        from diagnostic_msgs.msg import DiagnosticArray  # noqa: PLC0415
        from rclpy.experimental.events_executor import EventsExecutor  # noqa: PLC0415

        from thebox_core.node import spin  # noqa: PLC0415

        self._rclpy = rclpy
        self.port = free_port()
        self.health: dict[str, Any] = {}
        #: (newest stamp in milliseconds, arrival), in order of arrival.
        self.pictures: list[tuple[int, float]] = []
        self.tracks = 0
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._log = log.open("wb")
        rclpy.init(args=[])
        self.node = rclpy.create_node("bench", namespace="/bench")
        self._listen()
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnosed, 100)
        self._executor = EventsExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=spin, args=(self._executor,), daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        from thebox_core.qos import STATE  # noqa: PLC0415
        from thebox_interfaces.msg import TrackArray  # noqa: PLC0415

        self.node.create_subscription(TrackArray, "tracks/fused", self._heard, STATE)

    def _heard(self, message: Any) -> None:
        at = time.monotonic()
        stamp = message.newest_detection
        self.pictures.append((stamp.sec * 1000 + round(stamp.nanosec / 1e6), at))
        self.tracks = sum(track.state == 2 for track in message.tracks)

    def _diagnosed(self, message: Any) -> None:
        for status in message.status:
            self.health[status.name] = {item.key: item.value for item in status.values}

    def start(self, name: str, package: str, *parameters: str) -> None:
        """Start a node of the box as its own process."""
        prefix = next(
            (
                Path(path)
                for path in os.environ.get("AMENT_PREFIX_PATH", "").split(":")
                if (Path(path) / "lib" / package / name).exists()
            ),
            None,
        )
        if prefix is None:
            sys.exit(f"{package}/{name} is not built: ./thebox build")
        command = [str(prefix / "lib" / package / name), "--ros-args", "-r", "__ns:=/bench"]
        for parameter in parameters:
            command += ["-p", parameter]
        self.processes[name] = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)

    def wait(self, what: Callable[[], Any], why: str, bound: float = 20.0) -> None:
        """Wait until something is so; end the benchmark when it does not become so."""
        deadline = time.monotonic() + bound
        while not what():
            if time.monotonic() > deadline:
                for subject, values in self.health.items():
                    told = {k: v for k, v in values.items() if ".le." not in k}
                    print(f"{subject}: {told}", file=sys.stderr)
                raise TimeoutError(f"waited {bound:g} s in vain: {why}")
            time.sleep(0.01)

    def value(self, subject: str, key: str) -> float:
        """Return a number of the diagnostics; 0 before it was heard."""
        return float(self.health.get(subject, {}).get(key, 0))

    def connect(self) -> None:
        """Send now and then, until the two have found each other and one goes all the way."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:

            def knock() -> bool:
                packet = datagram(0, 0.0, int(time.time() * 1000))
                sending.sendto(packet, ("127.0.0.1", self.port))
                time.sleep(0.25)
                return self.value("fusion: tracking", "detections.droneshield") > 0

            self.wait(knock, "a first datagram all the way")
        time.sleep(2.0)  # those under way are counted in the diagnostics

    def run(self, rate: float, seconds: float, emitters: int) -> dict[str, Any]:
        """Send at one rate; return the figures."""
        time.sleep(1.5)  # the diagnostics of what was before
        before = {
            "received": self.value("droneshield: input", "received"),
            "accepted": self.value("droneshield: input", "accepted"),
            "fused": self.value("fusion: tracking", "detections.droneshield"),
        }
        self.pictures.clear()
        processes = {name: psutil.Process(p.pid) for name, p in self.processes.items()}
        spent = {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
        count = round(rate * seconds)
        stamps, sent = [], []
        last_ms = 0
        behind = 0.0
        begun = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            for number in range(count):
                due = begun + number / rate
                while (left := due - time.monotonic()) > 0:
                    time.sleep(left)
                behind = max(behind, -left)
                at = time.monotonic()
                last_ms = max(last_ms + 1, int(time.time() * 1000) - 1)
                packet = datagram(number % emitters, at - begun, last_ms)
                sent.append(time.monotonic())
                stamps.append(last_ms)
                sending.sendto(packet, ("127.0.0.1", self.port))
        took = time.monotonic() - begun
        share = {
            name: (sum(process.cpu_times()[:2]) - spent[name]) / took
            for name, process in processes.items()
        }
        self.wait(lambda: self.pictures and self.pictures[-1][0] >= stamps[-1], "the last datagram")
        self.wait(
            lambda: (
                self.value("fusion: tracking", "detections.droneshield") - before["fused"] >= count
                and self.value("droneshield: input", "accepted") - before["accepted"] >= count
            ),
            "every datagram counted",
        )
        newest = [stamp for stamp, _ in self.pictures]
        if newest != sorted(newest):
            raise RuntimeError("the pictures came out of order: no datagram can be matched")
        latencies = np.array(
            [
                self.pictures[bisect.bisect_left(newest, stamp)][1] - at
                for stamp, at in zip(stamps, sent, strict=True)
            ]
        )
        p50, p90, p99 = np.percentile(latencies, [50, 90, 99])
        return {
            "rate": rate,
            "sent": count,
            "received": self.value("droneshield: input", "received") - before["received"],
            "fused": self.value("fusion: tracking", "detections.droneshield") - before["fused"],
            "dropped": self.value("droneshield: input", "dropped"),
            "kernel_drops": self.value("droneshield: input", "kernel_drops"),
            "median_ms": 1e3 * float(p50),
            "p90_ms": 1e3 * float(p90),
            "p99_ms": 1e3 * float(p99),
            "max_ms": 1e3 * float(latencies.max()),
            "pictures_per_second": len(self.pictures) / took,
            "confirmed_tracks": self.tracks,
            "driver_cpu": share["droneshield"],
            "fusion_cpu": share["fusion"],
            "driver_p99_ms": 1e3 * self.value("droneshield: input", "latency.p99"),
            "fusion_p99_ms": 1e3 * self.value("fusion: tracking", "latency.p99"),
            "cycle_median_ms": 1e3 * self.value("fusion: tracking", "cycle.p50"),
            "sender_late_ms": 1e3 * behind,
        }

    def close(self) -> None:
        """Stop everything."""
        for process in self.processes.values():
            process.send_signal(signal.SIGINT)
        for name, process in self.processes.items():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:  # noqa: PERF203 - each is to be waited for
                process.kill()
                print(f"{name} did not stop on SIGINT", file=sys.stderr)
        self._rclpy.try_shutdown()
        self._thread.join(5)
        self._log.close()


def main() -> int:
    """Run the benchmark; return the exit status."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--rates", type=float, nargs="+", default=[10.0, 100.0, 1000.0])
    arguments.add_argument("--seconds", type=float, default=15.0, help="at each rate")
    arguments.add_argument("--emitters", type=int, default=5)
    arguments.add_argument("--json", type=Path, help="write the figures here as well")
    arguments.add_argument("--domain", type=int, default=64, help="ROS domain of its own")
    arguments.add_argument("--log", type=Path, default=Path(os.devnull))
    given = arguments.parse_args()
    os.environ["ROS_DOMAIN_ID"] = str(given.domain)
    speak_as_the_box()
    bench = Bench(given.log)
    rows = []
    try:
        bench.start(
            "droneshield",
            "thebox_sensors",
            f"source:=udp://127.0.0.1:{bench.port}",
            "stamp_source:=sensor",
        )
        bench.start("fusion", "thebox_fusion")
        bench.wait(
            lambda: (
                bench.value("fusion: tracking", "rate") > 0
                and bench.health.get("droneshield: life cycle", {}).get("lifecycle") == "active"
            ),
            "driver and fusion active",
        )
        bench.connect()
        bench.run(20.0, 3.0, given.emitters)  # warm: the tracks are confirmed
        rows += [bench.run(rate, given.seconds, given.emitters) for rate in given.rates]
    finally:
        bench.close()
    print(f"machine: {machine()}; load average {os.getloadavg()[0]:.1f} at the end")
    print(f"{given.emitters} emitters, {given.seconds:g} s at each rate")
    head = ("datagrams/s", "sent", "fused", "drops", "median", "p90", "p99", "max")
    print("".join(f"{title:>12}" for title in (*head, "driver CPU", "fusion CPU")))
    for row in rows:
        drops = row["dropped"] + row["kernel_drops"]
        times = [f"{row[key]:.1f} ms" for key in ("median_ms", "p90_ms", "p99_ms", "max_ms")]
        cells = (f"{row['rate']:g}", row["sent"], f"{row['fused']:g}", f"{drops:g}", *times)
        shares = (f"{row['driver_cpu']:.0%}", f"{row['fusion_cpu']:.0%}")
        print("".join(f"{cell:>12}" for cell in (*cells, *shares)))
    result = {"machine": machine(), "python": platform.python_version(), "rows": rows}
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=2) + "\n")
    else:
        print(json.dumps(result))
    return 0 if all(row["fused"] == row["sent"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
