# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of the driver processes share: the processes, their sources, an observer."""

from __future__ import annotations

import os
import platform
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

# The bytes are those that the parsers are timed and fuzzed with.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parsers"))
from recvfrom import recvfrom_rate

__all__ = ["DRIVERS", "NAMESPACE", "Rig", "Wire", "free_port", "machine", "recvfrom_rate"]

NAMESPACE = "/bench"
#: A driver that reads nothing for this long is taken for gone, seconds.
_STUCK = 5.0
#: Each driver with what it needs to make detections of the samples with no own-ship near.
DRIVERS: dict[str, tuple[str, ...]] = {
    "droneshield": (),
    "silvus": ("bearing_reference:=true",),
    "mara": (),
    "dspnor": (),
    "ownship": ("publish_rate_max:=200.0",),
    "trakka": ("bearing_reference:=true",),
}


def machine() -> str:
    """Name the machine that the figures come from."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{model}, {psutil.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def free_port(kind: int) -> int:
    """Find a port of the loopback that nobody has."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Wire:
    """The sensor's end: datagrams to the driver, or a server that the driver connects to."""

    def __init__(self, stream: bool) -> None:
        self._stream = stream
        self._connection: socket.socket | None = None
        self._listener: socket.socket | None = None
        if stream:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self._listener.setblocking(False)
            self.port = int(self._listener.getsockname()[1])
            self.url = f"tcp://127.0.0.1:{self.port}"
        else:
            self.port = free_port(socket.SOCK_DGRAM)
            self.url = f"udp://127.0.0.1:{self.port}"
            self._connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(self, chunk: bytes) -> bool:
        """Send; say whether it went out. A stream that is full, or lost, takes nothing."""
        if not self._stream:
            assert self._connection is not None
            self._connection.sendto(chunk, ("127.0.0.1", self.port))
            return True
        if self._connection is None and not self._accept():
            return False
        assert self._connection is not None
        try:
            self._read()
            while chunk:
                _, room, _ = select.select((), (self._connection,), (), _STUCK)
                if not room:
                    raise TimeoutError
                chunk = chunk[self._connection.send(chunk) :]
        except OSError:
            self._connection.close()
            self._connection = None
            return False
        return True

    def _accept(self) -> bool:
        assert self._listener is not None
        try:
            self._connection, _ = self._listener.accept()
        except BlockingIOError:
            return False
        self._connection.setblocking(False)
        return True

    def _read(self) -> None:
        assert self._connection is not None
        try:
            # What the driver asks is not answered, but read, or it would stop asking.
            self._connection.recv(65_536)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Close it."""
        for held in (self._connection, self._listener):
            if held is not None:
                held.close()


class Rig:
    """Driver processes in a ROS domain of their own, and an observer of them."""

    def __init__(self, domain: int, log: Path) -> None:
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        import rclpy  # noqa: PLC0415 - after the domain is set
        from diagnostic_msgs.msg import DiagnosticArray  # noqa: PLC0415
        from rclpy.experimental.events_executor import EventsExecutor  # noqa: PLC0415

        from thebox_core.node import spin  # noqa: PLC0415

        self._rclpy = rclpy
        self._log = log.open("ab")
        self.health: dict[str, dict[str, str]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        rclpy.init(args=[])
        self.node = rclpy.create_node("bench", namespace=NAMESPACE)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnosed, 100)
        self._executor = EventsExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=spin, args=(self._executor,), daemon=True)
        self._thread.start()

    def _diagnosed(self, message: Any) -> None:
        for status in message.status:
            self.health[status.name] = {item.key: item.value for item in status.values}

    def start(self, driver: str, *parameters: str, cores: Sequence[int] = ()) -> psutil.Process:
        """Start a driver as a process of its own, held to some cores when they are given."""
        prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(":")
        executables = (Path(p) / "lib" / "thebox_sensors" / driver for p in prefixes)
        executable = next((path for path in executables if path.exists()), None)
        if executable is None:
            sys.exit(f"thebox_sensors/{driver} is not built: ./thebox build")
        command = [str(executable), "--ros-args", "-r", f"__ns:={NAMESPACE}"]
        for parameter in (*DRIVERS[driver], *parameters):
            command += ["-p", parameter]
        process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)
        self.processes[driver] = process
        if cores:
            psutil.Process(process.pid).cpu_affinity(list(cores))
        return psutil.Process(process.pid)

    def wait(self, what: Callable[[], Any], why: str, bound: float = 30.0) -> None:
        """Wait until something is so.

        Raises:
            TimeoutError: it has not become so.
        """
        deadline = time.monotonic() + bound
        while not what():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {bound:g} s in vain: {why}")
            time.sleep(0.005)

    def wait_active(self, driver: str) -> None:
        """Wait until a driver is at work."""
        self.wait(
            lambda: self.health.get(f"{driver}: life cycle", {}).get("lifecycle") == "active",
            f"{driver} active",
        )

    def inputs(self, driver: str) -> dict[str, str]:
        """What a driver last told of its input."""
        return self.health.get(f"{driver}: input", {})

    def rejects(self, driver: str) -> Iterator[tuple[str, int]]:
        """Its rejects by reason, most often first."""
        counted = [
            (key.removeprefix("rejected."), int(value))
            for key, value in self.inputs(driver).items()
            if key.startswith("rejected.")
        ]
        yield from sorted(counted, key=lambda item: -item[1])

    def stop(self, driver: str) -> int:
        """End a driver; return its exit status."""
        process = self.processes.pop(driver)
        process.send_signal(signal.SIGINT)
        try:
            return process.wait(15.0)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def close(self) -> None:
        """Stop everything."""
        for driver in list(self.processes):
            self.stop(driver)
        self._rclpy.try_shutdown()
        self._thread.join(5.0)
        self._log.close()
