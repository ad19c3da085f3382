# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebox_webui.roles import ROLES, Refusal, check

NAMESPACE = "/thebox"


def call(service: str, role: Any, **more: Any) -> dict[str, Any]:
    return check({"op": "call_service", "service": service, **more}, role, NAMESPACE)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "topic", ["/thebox/tracks", "/thebox/detections/mara", "/diagnostics", "/tf", "/clock"]
)
def test_everybody_hears_the_box(role: Any, topic: str) -> None:
    operation = {"op": "subscribe", "topic": topic, "compression": "cbor-raw", "id": "s"}
    assert check(operation, role, NAMESPACE) == operation


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "topic", ["/other/tracks", "/thebox", "/thebox2/tracks", "/parameter_events"]
)
def test_nobody_hears_the_neighbour(role: Any, topic: str) -> None:
    with pytest.raises(Refusal, match="is not among"):
        check({"op": "subscribe", "topic": topic}, role, NAMESPACE)


@pytest.mark.parametrize(
    "service",
    [
        "/thebox/fusion/get_track_evidence",
        "/thebox/dronedb/query_events",
        "/thebox/trakka/get_state",
        "/thebox/mara/describe_parameters",
    ],
)
@pytest.mark.parametrize("role", ROLES)
def test_everybody_asks(role: Any, service: str) -> None:
    assert call(service, role)["service"] == service


@pytest.mark.parametrize(
    "service",
    [
        "/thebox/mara/change_state",
        "/thebox/fusion/set_parameters",
        "/thebox/dronedb/set_zones",
        "/thebox/dronedb/acknowledge_events",
        "/thebox/trakka/set_zoom",
        "/thebox/dspnor/restart",
    ],
)
def test_only_an_operator_commands(service: str) -> None:
    assert call(service, "operator")["service"] == service
    with pytest.raises(Refusal, match=r"a viewer may not call .*; log in as an operator"):
        call(service, "viewer")


def test_only_an_operator_slews() -> None:
    goal = {"op": "send_action_goal", "action": "/thebox/trakka/slew_to", "action_type": "a/B"}
    assert check(goal, "operator", NAMESPACE) == goal
    with pytest.raises(Refusal, match="a viewer may not start"):
        check(goal, "viewer", NAMESPACE)


@pytest.mark.parametrize("op", ["publish", "advertise"])
@pytest.mark.parametrize("role", ROLES)
def test_nobody_publishes(role: Any, op: str) -> None:
    with pytest.raises(Refusal) as refused:
        check({"op": op, "topic": "/thebox/tracks", "msg": {}, "type": "a/B"}, role, NAMESPACE)
    assert refused.value.reason == "role"


@pytest.mark.parametrize("node", ["panel", "rosbridge"])
@pytest.mark.parametrize("service", ["set_parameters", "set_parameters_atomically"])
def test_what_guards_the_box_is_not_set_from_the_panel(node: str, service: str) -> None:
    with pytest.raises(Refusal):
        call(f"/thebox/{node}/{service}", "operator")


@pytest.mark.parametrize(
    "name",
    [
        "/thebox/dronedb/set_zones#/thebox/trakka/get_state",
        "/thebox/x/../trakka/get_state",
        "thebox/trakka/get_state",
        "trakka/get_state",
        "~/get_state",
        "/thebox/trakka/get_state ",
        "/thebox/trakka/get_state\n",
        "/thebox/a/b/get_state",
        "/thebox/*/get_state",
        "",
        "/" + "a" * 300,
        None,
        7,
        ["/thebox/trakka/get_state"],
    ],
)
def test_spelling_tricks_reach_nothing(name: Any) -> None:
    with pytest.raises(Refusal):
        call(name, "viewer")


@pytest.mark.parametrize(
    "op",
    ["fragment", "advertise_service", "service_response", "action_result", "auth", "", None, {}],
)
def test_operations_that_are_not_offered(op: Any) -> None:
    with pytest.raises(Refusal, match="is not offered here"):
        check({"op": op}, "operator", NAMESPACE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"throttle_rate": -1},
        {"throttle_rate": True},
        {"queue_length": 10**9},
        {"fragment_size": 1},
        {"compression": "zip"},
        {"type": "../x"},
        {"id": "x" * 1000},
        {"id": {"a": 1}},
    ],
)
def test_values_out_of_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        check({"op": "subscribe", "topic": "/diagnostics", **wrong}, "viewer", NAMESPACE)
    assert refused.value.reason == "malformed"


def test_unknown_fields_are_left_out_and_null_becomes_nan() -> None:
    passed = call("/thebox/dronedb/set_zones", "operator", args={"a": [None, {"b": None}]}, png=1)
    assert set(passed) == {"op", "service", "args"}
    assert math.isnan(passed["args"]["a"][0])
    assert math.isnan(passed["args"]["a"][1]["b"])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NAMES = st.sampled_from(
    ["/thebox/tracks", "/thebox/trakka/change_state", "/thebox/trakka/slew_to", "/rosout"]
)


@given(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["publish", "call_service", "send_action_goal", "subscribe", "x"])},
        optional=dict.fromkeys(
            ("topic", "service", "action", "args", "msg", "id", "type", "timeout"), anything | NAMES
        ),
    )
)
def test_a_viewer_never_commands(operation: dict[str, Any]) -> None:
    try:
        passed = check(operation, "viewer", NAMESPACE)
    except Refusal as refusal:
        assert refusal.text
        return
    assert passed["op"] in ("subscribe", "call_service")
    assert passed.get("service") != "/thebox/trakka/change_state"


@given(anything)
def test_whatever_comes_is_checked_or_refused(operation: Any) -> None:
    with pytest.raises(Refusal):
        check(operation, "operator", NAMESPACE)
