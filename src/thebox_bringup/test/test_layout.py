# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The graph as data, its settings, and what is laid out from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

from thebox_bringup.graph import (
    COMPOSED,
    NODES,
    GraphError,
    NodeSpec,
    Selection,
    plan,
    processes,
    ros_arguments,
)
from thebox_bringup.layout import Layout, Wanted, lay_out
from thebox_bringup.settings import SettingsError, load_file, parse_assignment, write_file


def _stage(name: str, order: int, reads: str, writes: str) -> NodeSpec:
    return NodeSpec(
        name=name,
        package="thebox_x",
        executable=name,
        node_class="x:X",
        group="processing",
        purpose=name,
        stage=order,
        stage_input=reads,
        stage_output=writes,
    )


CHAIN = (
    _stage("vision", 3, "tracks/ranged", "tracks"),
    _stage("fusion", 1, "", "tracks/fused"),
    _stage("range", 2, "tracks/fused", "tracks/ranged"),
)


def _remapped(without: set[str]) -> dict[str, dict[str, str]]:
    planned = plan(Selection(without=frozenset(without)), CHAIN)
    return {node.spec.name: dict(node.remappings) for node in planned}


def test_last_enabled_stage_publishes_tracks_and_each_reads_the_one_before() -> None:
    assert _remapped(set()) == {"vision": {}, "fusion": {}, "range": {}}
    assert _remapped({"vision"}) == {"fusion": {}, "range": {"tracks/ranged": "tracks"}}
    assert _remapped({"vision", "range"}) == {"fusion": {"tracks/fused": "tracks"}}
    assert _remapped({"range"}) == {"fusion": {}, "vision": {"tracks/ranged": "tracks/fused"}}


def test_stage_without_its_input_is_refused() -> None:
    with pytest.raises(GraphError, match="tracks/fused, which no enabled node publishes"):
        _remapped({"fusion"})


def test_every_node_is_unique_and_its_class_and_declarations_load() -> None:
    names = [node.name for node in NODES]
    assert len(set(names)) == len(names)
    for node in NODES:
        assert node.load_class()
        assert all(parameter.description for parameter in node.load_parameters())


def test_real_graph_publishes_tracks_once() -> None:
    planned = plan(Selection())
    outputs = [
        dict(node.remappings).get(node.spec.stage_output, node.spec.stage_output)
        for node in planned
        if node.spec.stage is not None
    ]
    assert outputs.count("tracks") == 1
    assert outputs[-1] == "tracks"


def test_sensors_are_chosen_by_name() -> None:
    assert "droneshield" not in {n.spec.name for n in plan(Selection(sensors=()))}
    with pytest.raises(GraphError, match=r"the sensors are .*droneshield"):
        plan(Selection(sensors=("lidar",)))
    with pytest.raises(GraphError, match="no node 'nothing'"):
        plan(Selection(without=frozenset({"nothing"})))


def test_composed_holds_the_box_and_the_sky_stays_outside() -> None:
    # Without the last stage, so that the one before it is remapped.
    planned = plan(Selection(without=frozenset({"vision"})))
    inside, *alone = processes(planned, composed=True)
    assert inside.name == COMPOSED
    assert [process.name for process in alone] == ["rosbridge", "sim"]
    assert set(inside.arguments) == {n.spec.name for n in planned} - {"rosbridge", "sim"}
    # Remappings name their node: others in the process use the same topics.
    arguments = ros_arguments(inside, "/thebox", ("a.yaml",), "warn")
    assert [each for each in arguments if each.endswith(":=tracks")]
    assert all(":" in each.split(":=")[0] for each in arguments if each.endswith(":=tracks"))
    assert arguments[-2:] == ("--log-level", "warn")


def _overridden(layout: Layout, node: str) -> dict[str, Any]:
    return layout.overrides.get(node, {})


def test_simulated_sensor_follows_the_drivers_port() -> None:
    layout = lay_out(Wanted(settings=("droneshield.source=udp://0.0.0.0:9123",)))
    assert _overridden(layout, "sim")["droneshield.port"] == 9123
    assert _overridden(layout, "sim")["droneshield.host"] == "127.0.0.1"
    assert _overridden(layout, "droneshield")["bearing_reference"] == "bow"


def test_simulated_sensor_goes_where_it_is_told() -> None:
    layout = lay_out(Wanted(settings=("sim.droneshield.port=9200",)))
    assert _overridden(layout, "sim")["droneshield.port"] == 9200


def test_sensor_without_its_driver_is_not_played() -> None:
    layout = lay_out(Wanted(sensors=()))
    assert _overridden(layout, "sim")["droneshield.enabled"] is False


def test_replay_goes_to_the_driver_and_takes_absolute_angles() -> None:
    layout = lay_out(Wanted(simulated=False, replayed=True))
    assert layout.replay_to == ("127.0.0.1", 8888)
    assert "sim" not in {node.name for node in layout.nodes}
    assert _overridden(layout, "droneshield")["bearing_reference"] == "true"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(settings=("droneshield.sourc=1",)), "did you mean source"),
        (Wanted(settings=("fusion.load_max=7.0",)), "outside"),
        (Wanted(settings=("fusion.load_max=.nan",)), "finite"),
        (Wanted(settings=("sim.seed=x",)), "expected integer"),
        (Wanted(settings=("nothing.a=1",)), "no node 'nothing'"),
        (Wanted(settings=("fusion",)), "node.parameter=value"),
        (Wanted(settings=("sim.seed=1",), simulated=False), "does not run in this graph"),
        (Wanted(namespace="no namespace"), "is no namespace"),
        (Wanted(config=Path("/nonexistent/site.yaml")), "cannot read"),
        (Wanted(scenario="harbour", simulated=False), "simulated sky"),
        (
            Wanted(
                simulated=False,
                replayed=True,
                settings=("droneshield.source=tcp://127.0.0.1:1",),
            ),
            "must be udp://",
        ),
        (Wanted(simulated=False, replayed=True, sensors=()), "must include droneshield"),
    ],
)
def test_what_cannot_be_is_said(wanted: Wanted, said: str) -> None:
    with pytest.raises((GraphError, SettingsError), match=said):
        lay_out(wanted)


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("/**/fusion:\n  ros__parameters:\n    load_max: 9.0\n    colour: red\n")
    with pytest.raises(SettingsError) as caught:
        lay_out(Wanted(config=site))
    assert "load_max" in str(caught.value)
    assert "colour" in str(caught.value)


@pytest.mark.parametrize(
    "section",
    [
        "/thebox/fusion:\n  ros__parameters:\n    load_max: 0.5\n",
        "/**:\n  ros__parameters:\n    load_max: 0.5\n",
        "/*/fusion:\n  ros__parameters: {load_max: 0.5}\n",
        "thebox:\n  fusion:\n    ros__parameters:\n      load_max: 0.5\n",
    ],
)
def test_sections_match_as_rcl_matches_them(tmp_path: Path, section: str) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(section)
    assert load_file(site, "/thebox")["fusion"] == {"load_max": 0.5}


def test_groups_of_parameters_are_joined_by_dots(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("/**/sim:\n  ros__parameters:\n    droneshield:\n      port: 9000\n")
    assert load_file(site, "/thebox") == {"sim": {"droneshield.port": 9000}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/thebox/fusionn:\n  ros__parameters: {a: 1}\n", "is for no node in /thebox"),
        ("fusion:\n  load_max: 1\n", "a mapping is expected"),
        ("{}", "no section"),
        ("a: [", "is not YAML"),
        ("/**/fusion:\n  ros__parameters: 3\n", "must be a mapping"),
    ],
)
def test_what_is_no_parameter_file_is_said(tmp_path: Path, text: str, said: str) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(text)
    with pytest.raises(SettingsError, match=said):
        load_file(site, "/thebox")


def test_values_are_yaml_and_may_hold_equals_signs() -> None:
    assert parse_assignment("droneshield.source=udp://h:1?group=a") == (
        "droneshield",
        "source",
        "udp://h:1?group=a",
    )
    assert parse_assignment("sim.droneshield.port=9") == ("sim", "droneshield.port", 9)
    assert parse_assignment("droneshield.frame_id=") == ("droneshield", "frame_id", "")


def test_written_file_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "overrides.yaml"
    values = {"fusion": {"load_max": 0.5}, "droneshield": {"bearing_reference": "true"}}
    write_file(path, "/a/b", values)
    assert load_file(path, "/a/b") == values
