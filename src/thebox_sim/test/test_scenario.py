# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from thebox_sim.scenario import (
    ScenarioError,
    find_scenario,
    load_scenario,
    parse_scenario,
    scenario_names,
)

NAMES = {
    "harbour",
    "crossing",
    "swarm20",
    "low_slow_among_birds",
    "emitter_only",
    "moving_vessel",
    "silent",
}


def content(name="harbour"):
    return yaml.safe_load(find_scenario(name).read_text(encoding="utf-8"))


def test_the_promised_scenarios_are_there_and_valid():
    assert set(scenario_names()) == NAMES
    for name in NAMES:
        scenario = load_scenario(name)
        assert scenario.name == name
        assert "droneshield" in scenario.sensors


def test_the_swarm_has_twenty_drones():
    objects = load_scenario("swarm20").world.objects
    assert sum(o.count for o in objects if o.object_class == "drone") == 20


def edited(path, value, name="harbour"):
    tree = copy.deepcopy(content(name))
    *parents, last = path
    node = tree
    for key in parents:
        node = node[key]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return tree


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("datum",), None, ["datum", "missing"]),
        (("datum", "latitude_deg"), 91.0, ["datum.latitude_deg", "at most 89.9"]),
        (("datum", "latitude_deg"), "36N", ["datum.latitude_deg", "number", "'36N'"]),
        (("datum", "latitude_deg"), float("nan"), ["datum.latitude_deg", "finite"]),
        (("objcts",), [], ["objcts", "did you mean 'objects'"]),
        (("objects", 0, "motion", "speed_mps"), -1.0, ["objects[0].motion.speed_mps", "least 0"]),
        (("objects", 0, "motion", "typ"), "orbit", ["objects[0].motion.typ", "'type'"]),
        (
            ("objects", 0, "motion", "points"),
            [[1, 2]],
            ["objects[0].motion.points[0]", "3 numbers"],
        ),
        (("objects", 0, "motion", "points"), [[1, 2, "x"]], ["points[0][2]", "number"]),
        (("objects", 0, "motion", "points"), [], ["objects[0].motion.points", "needs"]),
        (("objects", 0, "motion"), None, ["objects[0].motion", "missing"]),
        (("objects", 0, "body"), "ufo", ["objects[0].body", "one of", "quadcopter"]),
        (("objects", 0, "count"), 1.5, ["objects[0].count", "whole number"]),
        (("objects", 0, "id"), 7, ["objects[0].id", "text", "quotes"]),
        (("objects", 1, "id"), "survey", ["objects[1].id", "twice"]),
        (("objects", 0, "leaves_s"), 0.0, ["objects[0].leaves_s", "later"]),
        (("objects", 0, "emitters", 0, "protocol"), "WIFI9", ["emitters[0].protocol", "FHSS"]),
        (("objects", 0, "emitters", 0), "FHSS", ["objects[0].emitters[0]", "mapping"]),
        (("objects", 0, "motion", "type"), "flapping", ["objects[0].motion.centre"]),
        (("objects", 2, "motion", "type"), "flapping", ["objects[2].motion.type", "flap"]),
        (("sensors", "droneshild"), {}, ["sensors.droneshild", "droneshield"]),
        (("sensors", "droneshield"), {"enabled": 1}, ["droneshield.enabled", "true or false"]),
        (("own_ship", "type"), "waypoints", ["own_ship.points", "two waypoints"]),
        (("objects",), "none", ["objects", "list"]),
    ],
)
def test_an_error_names_file_and_key(path, value, words):
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(edited(path, value), "mine.yaml")
    text = str(caught.value)
    assert text.startswith("mine.yaml: ")
    for word in words:
        assert word in text


def test_a_group_cannot_share_one_emitter_key():
    tree = content("swarm20")
    tree["objects"][0]["emitters"][0]["key"] = "12"
    with pytest.raises(ScenarioError, match=r"objects\[0\].emitters\[0\].key"):
        parse_scenario(tree, "mine.yaml")


def test_files_that_are_not_scenarios(tmp_path):
    with pytest.raises(ScenarioError, match="there are: crossing"):
        load_scenario("nowhere")
    with pytest.raises(ScenarioError, match="no such scenario file"):
        load_scenario(str(tmp_path / "missing.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1, 2", encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"broken\.yaml: is not valid YAML"):
        load_scenario(str(broken))
    broken.write_text("- 1", encoding="utf-8")
    with pytest.raises(ScenarioError, match="mapping"):
        load_scenario(str(broken))
    broken.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ScenarioError, match=r"broken\.yaml"):
        load_scenario(str(broken))


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(
    part=st.sampled_from(
        ["name", "datum", "own_ship", "objects", "propagation", "sensors", "step_s", "duration_s"]
    ),
    value=junk,
)
def test_no_content_raises_anything_but_its_own_error(part, value):
    tree = content("crossing")
    tree[part] = value
    try:
        parse_scenario(tree, "mine.yaml")
    except ScenarioError as error:
        assert str(error).startswith("mine.yaml: ")
