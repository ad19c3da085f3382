# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Every public class and method has upstream's name and arguments."""

from __future__ import annotations

import inspect

import diagnostic_updater
import pytest

# As released in 4.0.0; the Python half has not changed since (4.2.6 on Jazzy, 4.3.6 on Kilted).
UPSTREAM = {
    "CompositeDiagnosticTask": {
        "__init__": "name",
        "addTask": "t",
        "getName": "",
        "run": "stat",
    },
    "DiagnosedPublisher": {
        "__init__": "pub diag freq stamp",
        "clear_window": "",
        "publish": "message",
        "tick": "stamp",
    },
    "DiagnosticStatusWrapper": {
        "add": "key val",
        "clearSummary": "",
        "mergeSummary": "*args",
        "summary": "*args",
    },
    "DiagnosticTask": {"__init__": "name", "getName": "", "run": "stat"},
    "DiagnosticTaskVector": {
        "__init__": "",
        "add": "*args",
        "addedTaskCallback": "task",
        "removeByName": "name",
    },
    "FrequencyStatus": {"__init__": "params name", "clear": "", "run": "stat", "tick": ""},
    "FrequencyStatusParam": {"__init__": "freq_bound tolerance window_size"},
    "FunctionDiagnosticTask": {"__init__": "name fn", "getName": "", "run": "stat"},
    "HeaderlessTopicDiagnostic": {"__init__": "name diag freq", "clear_window": "", "tick": ""},
    "Heartbeat": {"__init__": "", "getName": "", "run": "stat"},
    "TimeStampStatus": {"__init__": "params name", "run": "stat", "tick": "stamp"},
    "TimeStampStatusParam": {"__init__": "min_acceptable max_acceptable"},
    "TopicDiagnostic": {"__init__": "name diag freq stamp", "clear_window": "", "tick": "stamp"},
    "Updater": {
        "__init__": "node period",
        "add": "*args",
        "addedTaskCallback": "task",
        "broadcast": "lvl msg",
        "force_update": "",
        "publish": "msg",
        "removeByName": "name",
        "setHardwareID": "hwid",
        "update": "",
    },
}


def arguments(function: object) -> str:
    """Names of a method's arguments after self; a star before a variable number of them."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return " ".join(
        f"*{p.name}" if p.kind is inspect.Parameter.VAR_POSITIONAL else p.name for p in parameters
    )


@pytest.mark.parametrize("name", sorted(UPSTREAM))
def test_methods_and_their_arguments(name: str) -> None:
    known = getattr(diagnostic_updater, name)
    assert {method: arguments(getattr(known, method)) for method in UPSTREAM[name]} == UPSTREAM[
        name
    ]


@pytest.mark.parametrize("name", sorted(UPSTREAM))
def test_no_method_that_upstream_lacks(name: str) -> None:
    known = getattr(diagnostic_updater, name)
    own = {
        method
        for kind in known.__mro__
        if kind.__module__.startswith("diagnostic_updater")
        for method, value in vars(kind).items()
        if inspect.isfunction(value) and not method.startswith("_")
    }
    inherited = {
        method
        for other, methods in UPSTREAM.items()
        if issubclass(known, getattr(diagnostic_updater, other))
        for method in methods
    }
    assert own <= inherited
