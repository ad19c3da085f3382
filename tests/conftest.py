# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests on a live graph: a ROS domain of their own, free ports, ``up`` as a process.

``graph(...)`` starts a box and returns a :class:`LiveGraph`; ``observer(...)`` looks at it from
outside. Both are closed at the end of the test, and a graph that leaves a process behind fails it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: How long a slow, busy machine may take for what usually takes seconds.
PATIENCE = 90.0
#: Drivers and the scheme of their sources.
DRIVERS = {
    "droneshield": "udp",
    "silvus": "udp",
    "mara": "udp",
    "dspnor": "udp",
    "ownship": "udp",
    "trakka": "tcp",
}


def capture_file() -> Path | None:
    """The recorded DroneShield capture, where this machine has it."""
    given = os.environ.get("THEBOX_SHARED")
    base = Path(given) if given else ROOT.parent / "shared"
    path = base / "data" / "droneshield_capture_sample.txt"
    return path if path.is_file() else None


@pytest.fixture
def capture() -> Path:
    """The recorded DroneShield capture; skips the test where it is absent."""
    path = capture_file()
    if path is None:
        pytest.skip(
            "the recorded capture is not here (THEBOX_SHARED, or shared/data beside the workspace)"
        )
    return path


class LiveGraph:
    """``up`` as a process of its own, with its output as it comes."""

    def __init__(
        self, arguments: Sequence[str], domain: int, ports: Callable[[], int], run_dir: Path
    ) -> None:
        self.domain = domain
        # Every port a free one, so that a test disturbs no box that runs on this machine.
        running = set(DRIVERS)
        if "--sensors" in arguments:
            running = set(arguments[arguments.index("--sensors") + 1].split(","))
        elif "--replay" in arguments:
            running = {"droneshield"}
        settings = [
            f"{driver}.source={scheme}://127.0.0.1:{ports()}"
            for driver, scheme in DRIVERS.items()
            if driver in running
        ]
        if "dspnor" in running:
            settings.append(f"dspnor.control.port={ports()}")
        left_out = arguments[arguments.index("--without") + 1] if "--without" in arguments else ""
        settings += [
            f"{server}.port={ports()}"
            for server in ("rosbridge", "panel")
            if server not in left_out.split(",")
        ]
        if "trakka" in running:
            settings.append(f"trakka.video.source=http://127.0.0.1:{ports()}/")
        self.run_dir = run_dir
        self.environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "THEBOX_RUN_DIR": str(run_dir),
            # Not the settings of the site that this workspace may be in use at.
            "THEBOX_ENV_FILE": os.devnull,
            "PYTHONUNBUFFERED": "1",
        }
        self.environment.pop("THEBOX_LOG_DIR", None)
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "thebox_bringup.up",
                *(part for setting in settings for part in ("--set", setting)),
                *arguments,
            ],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def output(self) -> str:
        """All that it has said."""
        return "\n".join(self.lines)

    def wait_for(self, pattern: str, patience: float = PATIENCE) -> re.Match[str]:
        """Wait until a line matches; fail when it ends first or the time is up."""
        end = time.monotonic() + patience
        with self._changed:
            while True:
                for line in self.lines:
                    match = re.search(pattern, line)
                    if match:
                        return match
                left = end - time.monotonic()
                ended = not self._reader.is_alive()
                if left <= 0 or ended:
                    why = "it ended" if ended else f"nothing for {patience:.0f} s"
                    raise AssertionError(
                        f"no line like {pattern!r}: {why}\n{self.output}\n{self.logs()}"
                    )
                self._changed.wait(min(left, 0.5))

    def wait_healthy(self) -> None:
        """Wait until ``up`` calls the graph healthy."""
        self.wait_for(r"TheBox is up after")

    def logs(self) -> str:
        """The ends of all logs, for a failure's message."""
        parts = []
        for path in sorted((self.run_dir / "log").glob("*.log")):
            text = path.read_text(errors="replace").splitlines()[-15:]
            parts.append("\n".join([f"--- {path.name}", *text]))
        return "\n".join(parts)

    def processes(self) -> dict[str, int]:
        """Process id of every living process of the run, by the name of its program."""
        from thebox_bringup.supervision import left_over, places, read_state

        state = read_state(places({"THEBOX_RUN_DIR": str(self.run_dir)}))
        if state is None:
            return {}
        found: dict[str, int] = {}
        for process in left_over(state.run_id):
            name = "supervisord" if process.pid == state.supervisor_pid else ""
            with contextlib.suppress(Exception):
                command = process.cmdline()
                for part in command:
                    match = re.search(r"/lib/\w+/(\w+)$", part)
                    if match:
                        name = match.group(1)
                        break
            found[name or str(process.pid)] = process.pid
        return found

    def send(self, number: int) -> None:
        """Send a signal to ``up``."""
        self.process.send_signal(number)

    def wait_ended(self, patience: float = 40.0) -> int:
        """Wait until ``up`` ends; return its exit status."""
        status = self.process.wait(patience)
        self._reader.join(5.0)
        return status

    def close(self) -> None:
        """Stop it, whatever state it is in."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(40.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10.0)
        subprocess.run(
            [sys.executable, "-m", "thebox_bringup.down"],
            env=self.environment,
            check=False,
            capture_output=True,
            timeout=60.0,
        )
        self._reader.join(5.0)


def _start_graphs(
    domain: int, free_port: Callable[[], int], folder: Path
) -> Iterator[Callable[..., LiveGraph]]:
    pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")
    started: list[LiveGraph] = []

    def start(*arguments: str) -> LiveGraph:
        run_dir = folder / f"run{len(started)}"
        live = LiveGraph(arguments, domain, free_port, run_dir)
        started.append(live)
        return live

    yield start
    for live in started:
        live.close()
    for live in started:
        assert live.processes() == {}, "processes were left behind"


@pytest.fixture
def graph(
    domain: int, free_port: Callable[[], int], tmp_path: Path
) -> Iterator[Callable[..., LiveGraph]]:
    """Starts boxes: ``graph("--scenario", "harbour")`` returns a :class:`LiveGraph`."""
    yield from _start_graphs(domain, free_port, tmp_path)


@pytest.fixture(scope="module")
def module_graph(
    module_domain: int, free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., LiveGraph]]:
    """As ``graph``, for boxes that all tests of a module share."""
    yield from _start_graphs(module_domain, free_port, tmp_path_factory.mktemp("graph"))


class Observer:
    """A node in the graph's domain that waits for messages."""

    def __init__(self, domain: int) -> None:
        import rclpy
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from rclpy.signals import SignalHandlerOptions

        self._previous = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE")
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        self.context = Context()
        rclpy.init(
            context=self.context,
            domain_id=domain,
            args=["--ros-args", "--disable-external-lib-logs"],
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self.node = Node("observer", context=self.context, enable_rosout=False)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def wait(self, done: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Spin until ``done`` says so; fail when the time is up."""
        end = time.monotonic() + patience
        while not done():
            assert time.monotonic() < end, f"still waiting after {patience:.0f} s"
            self.executor.spin_once(timeout_sec=0.2)

    def wait_message(
        self,
        kind: Any,
        topic: str,
        accept: Callable[[Any], bool] = lambda message: True,
        patience: float = PATIENCE,
        qos: Any = 10,
    ) -> Any:
        """Wait for a message that ``accept`` takes, and return it."""
        found: list[Any] = []
        newest: list[Any] = []

        def on_message(message: Any) -> None:
            newest[:] = [message]
            if accept(message):
                found.append(message)

        subscription = self.node.create_subscription(kind, topic, on_message, qos)
        try:
            self.wait(lambda: bool(found), patience)
        except AssertionError:
            raise AssertionError(
                f"no such message on {topic} in {patience:.0f} s; the last was {newest or None}"
            ) from None
        finally:
            self.node.destroy_subscription(subscription)
        return found[0]

    def close(self) -> None:
        """Leave the graph."""
        import rclpy

        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)
        if self._previous is None:
            os.environ.pop("ROS_AUTOMATIC_DISCOVERY_RANGE", None)
        else:
            os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = self._previous


@pytest.fixture
def observer(domain: int) -> Iterator[Observer]:
    """A node of the test's own in its ROS domain."""
    pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")
    made = Observer(domain)
    yield made
    made.close()
