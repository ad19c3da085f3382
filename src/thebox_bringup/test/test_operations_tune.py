# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``tune`` on a live driver that loses datagrams: it sees them, says what to do, and writes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diagnostic_updater", reason="no ROS here: run through ./thebox test")

from thebox_bringup.operations.tune import main
from thebox_bringup.settings import load_file
from thebox_sensors.droneshield.node import DroneShield

pytestmark = pytest.mark.graph

INPUT = "droneshield: input"


def test_a_buffer_that_overflows_is_made_larger_in_the_sites_file(
    live: Any,
    udp: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("THEBOX_RUN_DIR", str(tmp_path / "run"))
    driver = live.start(DroneShield, source="udp://127.0.0.1:0", receive_buffer=4096)
    live.wait(lambda: driver.is_active, "active")

    def flooded() -> bool:
        # Not what the driver takes: it counts all the same.
        udp(driver, *[bytes(1000)] * 200)
        return float(live.value(INPUT, "kernel_drops") or 0) > 0

    live.wait(flooded, "a drop that the kernel tells of")
    site = tmp_path / "site.yaml"
    site.write_text("# ours\n/**/droneshield:\n  ros__parameters:\n    queue_size: 5000\n")
    command = ["--domain-id", str(live.context.get_domain_id()), "--namespace", "/thebox"]
    command += ["--seconds", "1", "--json", "--config", str(site)]
    assert main(command) == 1
    told = json.loads(capsys.readouterr().out)
    (change,) = [c for c in told["changes"] if c["what"] == "droneshield.receive_buffer"]
    assert (change["how"], change["now"], change["needed"]) == ("parameter", 4096, True)
    assert change["wanted"] >= 8192
    assert "the kernel dropped" in change["why"]
    assert told["measured"]["drivers"]["droneshield"]["size"] == pytest.approx(1000.0)
    # Without --apply nothing is written.
    assert load_file(site, "/thebox") == {"droneshield": {"queue_size": 5000}}

    # What is left by hand or for root depends on this machine; the file does not.
    monkeypatch.setattr("thebox_bringup.operations.tune.os.geteuid", lambda: 1000)
    main([*command, "--apply"])
    told = json.loads(capsys.readouterr().out)
    assert any(str(site) in line for line in told["done"])
    assert load_file(site, "/thebox") == {
        "droneshield": {"queue_size": 5000, "receive_buffer": change["wanted"]}
    }
    assert site.read_text().startswith("# ours\n")
    assert len(list(tmp_path.glob("site.yaml.before-*"))) == 1


def test_no_box_is_said(capsys: pytest.CaptureFixture[str], domain: int) -> None:
    where = ["--domain-id", str(domain), "--namespace", "/nobody"]
    assert main([*where, "--seconds", "1"]) == 2
    assert "no box in /nobody" in capsys.readouterr().err
