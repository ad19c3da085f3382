# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Two boxes and a console on one network, in network namespaces of this machine.

Each box has a namespace of its own in ROS, too. The network is cut for one box, and healed: the
console hears the tracks of both again. Once with simple discovery, once with a discovery server.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.graph, pytest.mark.timeout(300)]

PATIENCE = 120.0
#: A box that is not heard for so long is cut off; it publishes at least once a second.
SILENT = 4.0
BOXES = ("bow", "stern")
SERVER = "10.213.77.1"
_CONSOLE = """
import sys, rclpy
from thebox_bringup.graph import TRACKS
from thebox_interfaces.msg import TrackArray
rclpy.init()
node = rclpy.create_node("console", enable_rosout=False)
def heard(box):
    return lambda message: message.tracks and print(box, len(message.tracks), flush=True)
held = [node.create_subscription(TrackArray, f"/{b}/{TRACKS}", heard(b), 10) for b in sys.argv[1:]]
rclpy.spin(node)
"""


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Network:
    """A bridge in a namespace of its own, and one namespace for each machine on it."""

    def __init__(self, mark: str, machines: tuple[str, ...]) -> None:
        self._mark = mark
        self._made: list[str] = []
        try:
            self._add("switch")
            self._inside("switch", "link", "add", "name", "bridge", "type", "bridge")
            self._inside("switch", "link", "set", "bridge", "up")
            for number, machine in enumerate(machines, 1):
                self._add(machine)
                self._inside(
                    "switch",
                    *("link", "add", f"to_{machine}", "type", "veth", "peer", "name", "eth0"),
                    *("netns", self.name(machine)),
                )
                self._inside("switch", "link", "set", f"to_{machine}", "master", "bridge", "up")
                self._inside(machine, "addr", "add", f"10.213.77.{number}/24", "dev", "eth0")
                self._inside(machine, "link", "set", "eth0", "up")
                self._inside(machine, "route", "add", "224.0.0.0/4", "dev", "eth0")
        except BaseException:
            self.close()
            raise

    def name(self, machine: str) -> str:
        return f"tb{self._mark}{machine}"

    def _add(self, machine: str) -> None:
        ip("netns", "add", self.name(machine))
        self._made.append(machine)
        self._inside(machine, "link", "set", "lo", "up")

    def _inside(self, machine: str, *arguments: str) -> None:
        ip("-n", self.name(machine), *arguments)

    def cut(self, machine: str) -> None:
        self._inside("switch", "link", "set", f"to_{machine}", "nomaster")

    def heal(self, machine: str) -> None:
        self._inside("switch", "link", "set", f"to_{machine}", "master", "bridge")

    def close(self) -> None:
        for machine in reversed(self._made):
            ip("netns", "del", self.name(machine))


class Process:
    """A program on one of the machines, with its output as it comes."""

    def __init__(
        self, network: Network, machine: str, command: list[str], env: dict[str, str]
    ) -> None:
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", network.name(machine), *command],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self.last: dict[str, float] = {}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines = [*self.lines[-200:], line.rstrip()]
            self.last[line.partition(" ")[0]] = time.monotonic()

    def wait(self, done: Callable[[], bool], why: str) -> None:
        end = time.monotonic() + PATIENCE
        while not done():
            ended = self.process.poll() is not None
            assert time.monotonic() < end and not ended, f"{why}\n" + "\n".join(self.lines)
            time.sleep(0.1)

    def heard_since(self, box: str, moment: float) -> bool:
        return self.last.get(box, 0.0) > moment

    def close(self) -> None:
        if self.process.poll() is None:
            # To all of its group, as a terminal's Ctrl-C goes.
            os.killpg(self.process.pid, signal.SIGINT)
            try:
                self.process.wait(40.0)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10.0)
        self._thread.join(5.0)


@pytest.fixture
def network(domain: int) -> Iterator[Network]:
    if shutil.which("ip") is None:
        pytest.skip("no `ip` here (package iproute2), which makes the network namespaces")
    try:
        made = Network(str(domain), ("console", *BOXES))
    except OSError as error:
        pytest.skip(f"network namespaces are not permitted here: {error}")
    yield made
    made.close()


@pytest.mark.parametrize("discovery", ["simple", "server"])
def test_tracks_of_both_boxes_come_back_after_a_cut(
    network: Network, domain: int, tmp_path: Path, discovery: str
) -> None:
    pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")
    environment = {
        **os.environ,
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
        "THEBOX_ENV_FILE": os.devnull,
        "PYTHONUNBUFFERED": "1",
    }
    started: list[Process] = []
    try:
        if discovery == "server":
            program = shutil.which("fastdds")
            if program is None:
                pytest.skip("no fastdds here, which runs a discovery server")
            environment["ROS_DISCOVERY_SERVER"] = f"{SERVER}:11811"
            server = [program, "discovery", "-i", "0", "-l", SERVER, "-p", "11811"]
            started.append(Process(network, "console", server, dict(environment)))
        console = Process(
            network, "console", [sys.executable, "-c", _CONSOLE, *BOXES], dict(environment)
        )
        started.append(console)
        for box in BOXES:
            command = [sys.executable, "-m", "thebox_bringup.up", "--namespace", f"/{box}"]
            command += ["--scenario", "harbour", "--sensors", "droneshield", "--composed"]
            command += ["--without", "range,vision,dronedb,recorder,markers,rosbridge,panel"]
            command += ["--timeout", str(PATIENCE), "--keep"]
            own = {**environment, "THEBOX_RUN_DIR": str(tmp_path / box)}
            started.append(Process(network, box, command, own))
        for box in BOXES:
            console.wait(lambda box=box: console.heard_since(box, 0.0), f"no tracks of {box}")

        network.cut("stern")
        console.wait(
            lambda: time.monotonic() - console.last["stern"] > SILENT, "the cut cuts nothing"
        )
        moment = time.monotonic()
        console.wait(lambda: console.heard_since("bow", moment), "the other box fell silent too")
        assert not console.heard_since("stern", moment)

        network.heal("stern")
        moment = time.monotonic()
        for box in BOXES:
            console.wait(
                lambda box=box: console.heard_since(box, moment), f"no tracks of {box} again"
            )
    finally:
        for process in reversed(started):
            process.close()
