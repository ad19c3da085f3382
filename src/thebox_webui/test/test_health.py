# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Health and metrics from diagnostics, and the files: all without ROS."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from thebox_webui.metrics import Own, Usage, exposition
from thebox_webui.picture import (
    FRESH,
    Diagnostics,
    Expected,
    database_health,
    event_manager_health,
    health_of,
)
from thebox_webui.settings_file import SettingsFileError, save, writable
from thebox_webui.static import Files

EXPECTED = Expected(("mara", "fusion", "dronedb", "rosbridge"), ("mara",))


class World:
    """Diagnostics with a clock that stands still."""

    def __init__(self) -> None:
        self.now = 100.0
        self.diagnostics = Diagnostics(clock=lambda: self.now)

    def all_well(self) -> None:
        for node in ("mara", "fusion", "dronedb"):
            self.say(f"{node}: life cycle", values={"lifecycle": "active", "pid": "1"})
        self.diagnostics.saw(["mara", "fusion", "dronedb", "rosbridge"])

    def say(
        self, name: str, level: int = 0, text: str = "", values: dict[str, str] | None = None
    ) -> None:
        self.diagnostics.heard(name, level, text, values or {})

    def health(self, expected: Expected = EXPECTED) -> dict[str, Any]:
        return health_of(self.diagnostics.now(), expected, 0.0)


@pytest.fixture
def world() -> World:
    made = World()
    made.all_well()
    return made


def test_all_well(world: World) -> None:
    health = world.health()
    assert health["healthy"] is True
    assert health["checks"] == {
        "database": True,
        "plugins_loaded": True,
        "event_manager": True,
        "plugins": {"mara": "available"},
    }
    assert health["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    ("level", "status", "healthy"),
    [(0, "available", True), (1, "degraded", True), (3, "silent", True), (2, "failing", False)],
)
def test_a_plugin_by_its_gravest_subject(
    world: World, level: int, status: str, healthy: bool
) -> None:
    world.say("mara: input", level)
    assert world.health()["checks"]["plugins"] == {"mara": status}
    assert world.health()["healthy"] is healthy


def test_an_error_counts_beside_silence(world: World) -> None:
    world.say("mara: input", 3)
    world.say("mara: unit", 2)
    assert world.health()["checks"]["plugins"] == {"mara": "failing"}


def test_a_node_that_falls_silent_or_stops_is_not_healthy(world: World) -> None:
    world.say("mara: life cycle", values={"lifecycle": "inactive"})
    health = world.health()
    assert (health["healthy"], health["checks"]["plugins_loaded"]) == (False, False)
    world.all_well()
    world.now += FRESH
    world.say("fusion: life cycle", values={"lifecycle": "active"})
    world.say("dronedb: life cycle", values={"lifecycle": "active"})
    world.diagnostics.saw(["fusion", "dronedb", "rosbridge"])
    assert world.health()["checks"]["plugins"] == {"mara": "missing"}


def test_the_graph_names_what_is_missing(world: World) -> None:
    world.diagnostics.saw(["mara", "fusion", "dronedb"])
    manager = event_manager_health(world.diagnostics.now(), EXPECTED)
    assert manager["healthy"] is False
    assert manager["nodes"]["missing"] == ["rosbridge"]
    assert world.health()["checks"]["event_manager"] is False
    assert event_manager_health(Diagnostics().now(), Expected())["healthy"] is False


def test_the_database_is_expected_or_disabled(world: World) -> None:
    world.say("dronedb: database", values={"bytes": "4096"})
    database = database_health(world.diagnostics.now(), EXPECTED)
    assert (database["healthy"], database["bytes"]) == (True, 4096)
    without = Expected(("mara", "fusion"), ("mara",))
    assert world.health(without)["checks"]["database"] == "disabled"
    world.now += FRESH
    world.diagnostics.saw([])
    database = database_health(world.diagnostics.now(), EXPECTED)
    assert (database["healthy"], database["status"]) == (False, "not running")


def metrics(world: World, own: Own) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    usage = {"mara": Usage(1.5, 2048)}
    text = exposition(world.diagnostics.now(), EXPECTED, usage, own, 0.0).decode()
    samples = [
        ((s.name, tuple(sorted(s.labels.items()))), s.value)
        for family in text_string_to_metric_families(text)
        for s in family.samples
    ]
    assert len(dict(samples)) == len(samples), "a series twice"
    return dict(samples)


def test_metrics(world: World) -> None:
    values = {
        "received": "12",
        "accepted": "10",
        "rejected": "2",
        "rejected.no_heading": "2",
        "rate": "3.5",
        "age": "unknown",
        "bytes": "999",
        "latency.le.0.001": "1",
        "latency.le.0.01": "4",
        "latency.le.inf": "5",
        "latency.sum": "0.25",
        "latency.count": "5",
    }
    world.say("mara: input", values=values)
    world.say("mara: other", values={"received": "1"})
    world.say("fusion: tracking", values={"tracks.confirmed": "7", "tracks.tentative": "2"})
    world.say("dronedb: database", values={"bytes": "4096"})
    found = metrics(world, Own(consoles=2, refused={"origin": 3}))
    at = (("node", "mara"), ("subject", "input"))
    assert found["thebox_healthy", ()] == 1
    assert found["thebox_received_total", at] == 12
    assert found["thebox_rejected_total", (at[0], ("reason", "no_heading"), at[1])] == 2
    assert found["thebox_ingest_rate", at] == 3.5
    assert not any(name == "thebox_age_seconds" for name, _ in found)
    assert found["thebox_bytes_received_total", at] == 999
    assert found["thebox_latency_seconds_bucket", (("le", "0.01"), *at)] == 4
    assert found["thebox_latency_seconds_bucket", (("le", "+Inf"), *at)] == 5
    assert found["thebox_latency_seconds_count", at] == 5
    assert found["thebox_tracks", (("state", "confirmed"),)] == 7
    assert found["thebox_database_bytes", ()] == 4096
    assert found["thebox_node_cpu_seconds_total", (("node", "mara"),)] == 1.5
    assert found["thebox_node_memory_bytes", (("node", "mara"),)] == 2048
    assert found["thebox_panel_refused_total", (("reason", "origin"),)] == 3
    assert found["thebox_panel_consoles", ()] == 2


def test_metrics_survive_what_a_node_may_say(world: World) -> None:
    world.say(
        'x"y\n: z',
        77,
        values={"rate": "nan", "latency.le.x": "1", "received": "-", "rejected.": "1"},
    )
    world.say("no colon", values={"rate": "inf", "cycle.le.inf": "3", "cycle.sum": "1"})
    assert not math.isnan(metrics(world, Own())["thebox_healthy", ()])


def test_diagnostics_are_bounded() -> None:
    diagnostics = Diagnostics()
    for number in range(5000):
        diagnostics.heard(f"n{number}: s", 0, "", {})
    assert len(diagnostics.now().nodes) <= 2000


# Settings -----------------------------------------------------------------------------------------


def test_settings_are_saved_beside_what_the_file_had(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        "/**/mara:\n  ros__parameters: {source: 'udp://0.0.0.0:1'}\n"
        "/thebox/fusion:\n  ros__parameters: {publish_rate: 5.0, kept: 1}\n"
    )
    path.chmod(0o640)
    assert writable(path)
    backup = save(path, "/thebox/fusion", {"publish_rate": 9.0, "use_sim_time": True, "l": [1.0]})
    content = yaml.safe_load(path.read_text())
    assert content["/**/mara"]["ros__parameters"] == {"source": "udp://0.0.0.0:1"}
    assert content["/thebox/fusion"]["ros__parameters"] == {
        "publish_rate": 9.0,
        "kept": 1,
        "l": [1.0],
    }
    assert "publish_rate: 5.0" in backup.read_text()
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["site.yaml", "site.yaml.previous"]


def test_settings_that_cannot_be_saved_leave_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("- a list\n")
    with pytest.raises(SettingsFileError, match="is no parameter file"):
        save(path, "/thebox/fusion", {"a": 1})
    assert path.read_text() == "- a list\n"
    with pytest.raises(SettingsFileError, match="cannot write"):
        save(tmp_path / "nowhere" / "site.yaml", "/thebox/fusion", {"a": 1})
    assert not writable(None)
    assert not writable(tmp_path / "nowhere" / "site.yaml")


# Files --------------------------------------------------------------------------------------------


def test_only_files_of_the_index_are_found(tmp_path: Path) -> None:
    (tmp_path / "secret.html").write_text("no")
    folder = tmp_path / "panel"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "assets" / "a.js").write_text("1")
    (folder / "assets" / "a.sh").write_text("1")
    (folder / ".hidden.json").write_text("1")
    files = Files(folder)
    assert files.built
    found = files.find("")
    assert found is not None
    assert found[1] == "text/html; charset=utf-8"
    assert files.find("assets/a.js") is not None
    for path in (
        "../secret.html",
        "assets/../../secret.html",
        "/etc/passwd",
        "assets",
        "assets/a.sh",
        ".hidden.json",
        "assets//a.js",
        "..\\secret.html",
        "%2e%2e/secret.html",
        "index.html\x00",
    ):
        assert files.find(path) is None, path
    assert not Files(tmp_path / "none").built
    assert Files(tmp_path / "none").find("") is None


# Dashboard ----------------------------------------------------------------------------------------


def test_the_dashboard_asks_for_metrics_that_there_are(world: World) -> None:
    path = Path(__file__).resolve().parents[3] / "docs" / "grafana" / "thebox.json"
    dashboard = json.loads(path.read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"thebox_[a-z_]+", target["expr"])
    }
    text = exposition(world.diagnostics.now(), EXPECTED, {}, Own(), 0.0).decode()
    there = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    there |= {f"{name}_bucket" for name in there}
    assert asked <= there
    assert len(asked) > 8
