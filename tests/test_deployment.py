# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The images, compose files, systemd unit and Windows script: linted, and held to the house rules.

No container engine runs here: nothing below pulls or builds an image.
"""

from __future__ import annotations

import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
COMPOSE = sorted((ROOT / "docker").glob("compose*.yaml"))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfile(path: Path) -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert hadolint is not None, "hadolint is among the tests' packages (locks/test.in)"
    done = subprocess.run(
        [hadolint, "--failure-threshold", "style", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60.0,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = path.read_text()
    bases = re.findall(r"^FROM (\S+) AS (\w+)$", text, re.MULTILINE)
    # Each stage is on a base with a tag of its own, never on whatever is the newest.
    assert [stage for _, stage in bases] == ["node", "build", "run"]
    assert all(":" in base and not base.endswith(":latest") for base, _ in bases)
    last = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    for source in re.findall(r"^COPY (?!--from)(?:--\S+ )*(\S+) ", text, re.MULTILINE):
        assert (ROOT / source).exists(), f"{path.name} copies {source}"
    assert "build-essential" not in last


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_compose_file(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert set(content) <= {"name", "services", "volumes"}
    for service in content["services"].values():
        build = service["build"]
        assert (path.parent / build["context"] / build["dockerfile"]).is_file()
        assert service["network_mode"] == "host"
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert "privileged" not in service
        assert "environment" not in service or "PASSWORD" not in str(service["environment"])
        for volume in service["volumes"]:
            assert volume.partition(":")[0] in content["volumes"]
    ignored = (ROOT / ".dockerignore").read_text().split()
    # No secret of the site gets into an image.
    assert ".env" in ignored


def test_packages_script_asks_for_what_it_is_for() -> None:
    script = ROOT / "docker" / "install_ros_packages.sh"
    done = subprocess.run(
        ["bash", str(script)], capture_output=True, text=True, check=False, timeout=30.0
    )
    assert done.returncode == 2
    assert "install_ros_packages.sh build|run" in done.stderr


@pytest.fixture
def answering() -> Iterator[tuple[int, list[int]]]:
    status = [200]

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1], status
        server.shutdown()


def test_health_check_of_the_images(answering: tuple[int, list[int]]) -> None:
    port, status = answering

    def check(number: int) -> int:
        return subprocess.run(
            [sys.executable, str(ROOT / "docker" / "health.py")],
            env={**os.environ, "THEBOX_PANEL_PORT": str(number), "THEBOX_PANEL_CERTIFICATE": ""},
            check=False,
            capture_output=True,
            timeout=30.0,
        ).returncode

    assert check(port) == 0
    status[0] = 503
    assert check(port) == 1
    # Nobody there.
    assert check(1) == 1


def test_systemd_unit(tmp_path: Path) -> None:
    unit = ROOT / "deploy" / "systemd" / "thebox.service"
    text = unit.read_text()
    assert "User=thebox" in text
    assert "PASSWORD" not in text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    # The program is where the tests are, not where it will be installed.
    here = tmp_path / unit.name
    here.write_text(text.replace("/opt/thebox/thebox", str(ROOT / "thebox")))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(here)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60.0,
    )
    said = [line for line in done.stderr.splitlines() if "thebox.service" in line]
    assert said == [], done.stderr


def test_windows_script() -> None:
    script = ROOT / "deploy" / "windows" / "thebox.ps1"
    text = script.read_text()
    for one, other in (("{", "}"), ("(", ")"), ("[", "]")):
        assert text.count(one) == text.count(other)
    assert "docker\\compose.yaml" in text
    pwsh = shutil.which("pwsh")
    if pwsh is None:
        pytest.skip("no PowerShell here: only the brackets and the paths were looked at")
    parse = (
        "$e = $null; [void][System.Management.Automation.Language.Parser]::ParseFile("
        f"'{script}', [ref]$null, [ref]$e); $e | Out-String; exit $e.Count"
    )
    done = subprocess.run(
        [pwsh, "-NoProfile", "-Command", parse], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
