# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The page "a sixth sensor", as a reader would follow it: its code is built, tested and run."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "sensors" / "a-sixth-sensor.md"
SENSORS = "src/thebox_sensors/thebox_sensors"
PATIENCE = 60.0
#: Puts the reader's new folder beside the drivers that there are.
FOUND = "import sys, thebox_sensors; thebox_sensors.__path__.append(sys.argv.pop(1))\n"


def blocks() -> Iterator[tuple[str, str]]:
    """The first line of each block of code, without its hash, and the rest."""
    for match in re.finditer(
        r"^```(?:python|text)\n# ([^\n]+)\n(.*?)^```$", PAGE.read_text(), re.M | re.S
    ):
        yield match.group(1), match.group(2)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that the page names, where it says."""
    folder = tmp_path_factory.mktemp("sixth")
    written = []
    for head, code in blocks():
        if head.startswith("file: "):
            path = folder / head.removeprefix("file: ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
            written.append(path.name)
    assert {"protocol.py", "node.py", "hark_capture.txt"} <= set(written)
    # As in the workspace: the fixtures of all packages lie beside them and above.
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (folder / "src" / "conftest.py").write_text(
        f"import thebox_sensors\nthebox_sensors.__path__.append({str(folder / SENSORS)!r})\n"
        + (ROOT / "src" / "conftest.py")
        .read_text()
        .replace("from __future__ import annotations\n", "")
    )
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    return folder


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, check=False, capture_output=True, text=True, timeout=110.0
    )


def test_the_code_passes_the_houses_checks(workspace: Path) -> None:
    files = [str(path) for path in workspace.rglob("*.py") if path.name != "conftest.py"]
    for check in (("check",), ("format", "--check")):
        done = run(sys.executable, "-m", "ruff", *check, *files, cwd=workspace)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_pages_protocol_tests_pass(workspace: Path) -> None:
    test = "src/thebox_sensors/test/test_hark_protocol.py"
    done = run(sys.executable, "-m", "pytest", "-q", test, cwd=workspace)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.graph
def test_the_pages_node_tests_pass(workspace: Path) -> None:
    pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")
    test = "src/thebox_sensors/test/test_hark_node.py"
    done = run(sys.executable, "-m", "pytest", "-q", test, cwd=workspace)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_the_entry_of_the_graph_names_what_there_is(workspace: Path) -> None:
    pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")
    from thebox_bringup.graph import NODES, NodeSpec, Selection, plan

    (entry,) = (code for head, code in blocks() if head == "graph")
    code = (
        FOUND + "from thebox_bringup.graph import NodeSpec\n"
        f"spec = ({entry.strip().rstrip(',')})\n"
        "print(*sorted(p.name for p in spec.load_parameters()))\n"
    )
    done = run(sys.executable, "-c", code, str(workspace / SENSORS), cwd=workspace)
    assert done.returncode == 0, done.stderr
    assert {"bearing_sigma", "source", "stale_after", "autostart"} <= set(done.stdout.split())
    spec = eval(entry.strip().rstrip(","), {"NodeSpec": NodeSpec})  # noqa: S307 - the page's own
    planned = plan(Selection(sensors=("hark",)), (*NODES, spec))
    assert "hark" in [node.spec.name for node in planned]


def test_the_trackers_model_is_one(workspace: Path) -> None:
    import math

    from thebox_fusion.tracker.parameters import SensorModel

    (entry,) = (code for head, code in blocks() if head == "fusion")
    models = eval(f"{{{entry}}}", {"SensorModel": SensorModel, "math": math})  # noqa: S307
    assert models["hark"].modality == "ACOUSTIC"


@pytest.mark.graph
def test_the_driver_runs_as_a_process_on_a_live_socket(
    workspace: Path, domain: int, free_port: Callable[[], int], observer: Any
) -> None:
    from thebox_core.qos import DETECTIONS
    from thebox_interfaces.msg import Detection

    port = free_port()
    line = (workspace / "src/thebox_sensors/test/hark_capture.txt").read_bytes().splitlines()[0]
    log = workspace / "hark.log"
    with log.open("w") as out, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unit:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                FOUND + "from thebox_sensors.hark.node import main\nmain()\n",
                str(workspace / SENSORS),
                *("--ros-args", "-r", "__ns:=/thebox", "-p", "bearing_reference:='true'"),
                *("-p", f"source:=udp://127.0.0.1:{port}"),
            ],
            env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
            stdout=out,
            stderr=out,
        )
        heard: list[Any] = []
        observer.node.create_subscription(
            Detection, "/thebox/detections/hark", heard.append, DETECTIONS
        )
        try:

            def spoken() -> bool:
                assert process.poll() is None, log.read_text()
                unit.sendto(line, ("127.0.0.1", port))
                return bool(heard)

            observer.wait(spoken, PATIENCE)
            assert heard[0].sensor == "hark"
            assert heard[0].bearing == pytest.approx(0.7243, abs=1e-3)
        finally:
            process.terminate()
            try:
                process.wait(20.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
