# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A process that others can no longer reach through shared memory notices, and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

from thebox_core.shared_memory import Deafness, lost_ports

NODE = """
from thebox_core.node import BoxNode, run
run(lambda: BoxNode("listener"))
"""


def ports_of(pid: int) -> list[str]:
    """The files of shared memory that a process listens at."""
    files = [file.path for file in psutil.Process(pid).open_files()]
    return [path.removesuffix("_el") for path in files if "fastrtps_port" in path]


@pytest.fixture
def listener(domain: int) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A node's process, and the ports that it listens at."""
    process = subprocess.Popen(
        [sys.executable, "-c", NODE],
        env={
            **os.environ,
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60.0
    ports: list[str] = []
    while len(ports) < 2:
        assert time.monotonic() < end, "no ports"
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
        ports = ports_of(process.pid)
    yield process, ports
    process.kill()
    process.communicate()


def test_a_process_whose_port_was_removed_ends_to_be_started_again(
    listener: tuple[subprocess.Popen[str], list[str]],
) -> None:
    process, ports = listener
    assert lost_ports(Path(f"/proc/{process.pid}")) == set()
    Path(ports[0]).unlink()
    assert lost_ports(Path(f"/proc/{process.pid}")) == {ports[0]}
    _, told = process.communicate(timeout=60.0)
    assert process.returncode == os.EX_TEMPFAIL
    assert f"Fast DDS removed {ports[0]}" in told


def test_one_that_is_heard_runs_until_it_is_stopped(
    listener: tuple[subprocess.Popen[str], list[str]],
) -> None:
    process, _ = listener
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(6.0)  # longer than it takes to be sure
    process.send_signal(signal.SIGTERM)
    assert process.wait(30.0) == 0


@pytest.mark.parametrize(
    ("maps", "lost"),
    [
        ("7f04-7f05 rw-p 00000000 00:00 0 \n", set()),
        ("7f00-7f01 rw-s 00000000 fe:00 11    /shm/fastrtps_port7 (deleted)\n", {7}),
        # Another's, to which this one writes.
        ("7f00-7f01 rw-s 00000000 fe:00 11    /shm/fastrtps_port9 (deleted)\n", set()),
        # Opened anew.
        (
            "7f00-7f01 rw-s 00000000 fe:00 11    /shm/fastrtps_port7 (deleted)\n"
            "7f02-7f03 rw-s 00000000 fe:00 12    /shm/fastrtps_port7\n",
            set(),
        ),
    ],
)
def test_only_a_port_of_its_own_that_is_gone_is_lost(
    tmp_path: Path, maps: str, lost: set[int]
) -> None:
    (tmp_path / "fd").mkdir()
    (tmp_path / "fd" / "1").symlink_to("/gone/null")
    (tmp_path / "fd" / "3").symlink_to("/shm/fastrtps_port7_el")
    (tmp_path / "maps").write_text(maps)
    assert lost_ports(tmp_path) == {f"/shm/fastrtps_port{number}" for number in lost}


def test_without_proc_there_are_no_ports_to_lose(tmp_path: Path) -> None:
    assert lost_ports(tmp_path) == set()


def test_a_port_that_is_gone_for_a_moment_makes_nobody_deaf(tmp_path: Path) -> None:
    (tmp_path / "fd").mkdir()
    (tmp_path / "fd" / "3").symlink_to("/shm/fastrtps_port7_el")
    gone = "7f00-7f01 rw-s 00000000 fe:00 11    /shm/fastrtps_port7 (deleted)\n"
    deafness = Deafness()
    told = []
    for maps in (gone, gone, "", gone, gone, gone, gone):
        (tmp_path / "maps").write_text(maps)
        told.append(bool(deafness.look(tmp_path)))
    assert told == [False] * 5 + [True] * 2
