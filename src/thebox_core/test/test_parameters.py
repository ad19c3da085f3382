# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from thebox_core.parameters import (
    Parameter,
    ParameterError,
    check_unique,
    markdown_table,
    yaml_block,
)

RATE = Parameter("rate", 1.0, "How often.", minimum=0.5, maximum=2.0, unit="Hz")
COUNT = Parameter("count", 3, "How many.", minimum=1, maximum=9)
MODE = Parameter("mode", "auto", "Which way.", choices=("auto", "manual"))
LEVELS = Parameter("levels", [1.0, 2.0], "Levels.", minimum=0.0, maximum=5.0)
NAMES = Parameter("names", [], "Names.", element_type=str)
FLAG = Parameter("flag", False, "Whether.")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (RATE, 0.5),
        (RATE, 2.0),
        (RATE, 1),
        (COUNT, 9),
        (MODE, "manual"),
        (LEVELS, []),
        (LEVELS, (0, 5.0)),
        (NAMES, ["a"]),
        (FLAG, True),
    ],
)
def test_allowed(parameter: Parameter, value: object) -> None:
    assert parameter.check(value) == ""
    assert parameter.check(parameter.coerce(value)) == ""


@pytest.mark.parametrize(
    ("parameter", "value", "why"),
    [
        (RATE, 0.49, "outside 0.5 … 2 Hz"),
        (RATE, 2.01, "outside"),
        (RATE, math.nan, "not a finite number"),
        (RATE, math.inf, "not a finite number"),
        (RATE, -math.inf, "not a finite number"),
        (RATE, True, "expected double, got bool"),
        (RATE, "1.0", "got str"),
        (RATE, None, "got NoneType"),
        (RATE, 10**400, "too large"),
        (COUNT, 1.0, "expected integer, got float"),
        (COUNT, True, "got bool"),
        (COUNT, 10, "outside"),
        (MODE, "other", "is not one of auto, manual"),
        (LEVELS, [1.0, math.nan], "not a finite number (element 1)"),
        (LEVELS, [math.inf], "element 0"),
        (LEVELS, [1.0, 6.0], "outside"),
        (LEVELS, 1.0, "expected a list"),
        (NAMES, "abc", "expected a list"),
        (NAMES, [1], "element 0"),
        (FLAG, 1, "got int"),
    ],
)
def test_refused_with_a_reason(parameter: Parameter, value: object, why: str) -> None:
    reason = parameter.check(value)
    assert why in reason
    assert reason.startswith(f"{parameter.name}: ")
    with pytest.raises(ParameterError, match=parameter.name):
        parameter.coerce(value)


def test_coerce_gives_the_declared_type() -> None:
    got = RATE.coerce(1)
    assert (got, type(got)) == (1.0, float)
    levels = LEVELS.coerce((1, 2))
    assert levels == [1.0, 2.0]
    assert isinstance(levels, list)
    assert all(type(level) is float for level in levels)


@pytest.mark.parametrize(
    "arguments",
    [
        {"default": 1.0, "description": ""},
        {"default": [], "description": "no element type"},
        {"default": math.nan, "description": "NaN"},
        {"default": 3.0, "description": "outside", "maximum": 2.0},
        {"default": "c", "description": "no choice", "choices": ("a", "b")},
    ],
)
def test_a_wrong_declaration_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ParameterError):
        Parameter("p", **arguments)  # type: ignore[arg-type]


def test_a_name_is_declared_once() -> None:
    check_unique((RATE, COUNT))
    with pytest.raises(ParameterError, match="rate is declared twice"):
        check_unique((RATE, COUNT, RATE))


def test_type_names() -> None:
    names = [p.type_name for p in (RATE, COUNT, MODE, LEVELS, NAMES, FLAG)]
    assert names == ["double", "integer", "string", "double array", "string array", "bool"]


def test_markdown_table() -> None:
    table = markdown_table(
        (RATE, Parameter("bars", "a|b", "One | two.", read_only=True), MODE)
    ).splitlines()
    assert table[2] == "| `bars` | string | `a\\|b` |  | One \\| two. Set at start only. |"
    assert "auto or manual" in table[3]
    assert "0.5 … 2 Hz" in table[4]
    assert len(table) == 5


def test_an_override_of_nothing_declared_is_refused() -> None:
    with pytest.raises(ParameterError, match="not declared: extra"):
        yaml_block((RATE,), {"extra": 1})
    with pytest.raises(ParameterError, match="outside"):
        yaml_block((RATE,), {"rate": 9.0})


def _parse(block: str) -> dict[str, object]:
    return dict(yaml.safe_load("root:\n" + block)["root"])


FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    FINITE,
    st.text(max_size=40),
    st.lists(FINITE, min_size=1, max_size=5),
    st.lists(st.text(max_size=10), min_size=1, max_size=5),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5),
)


@settings(max_examples=400)
@given(VALUES)
def test_what_is_written_as_yaml_is_read_as_the_same(value: object) -> None:
    parameter = Parameter("group.name", value, "A value.")  # type: ignore[arg-type]
    got = _parse(yaml_block((parameter,)))["group.name"]
    assert got == value
    assert type(got) is type(value)


@settings(max_examples=100)
@given(st.text(max_size=60))
def test_a_description_never_breaks_the_file(description: str) -> None:
    try:
        parameter = Parameter("name", 1, "A " + description)
    except ParameterError:
        assert not description.isprintable()
    else:
        assert _parse(yaml_block((parameter,))) == {"name": 1}


def test_overrides_are_written_in_the_declared_type() -> None:
    got = _parse(yaml_block((RATE, COUNT, NAMES), {"rate": 2, "names": ["a", "b"]}))
    assert got == {"rate": 2.0, "count": 3, "names": ["a", "b"]}
    assert type(got["rate"]) is float


@given(st.one_of(st.none(), VALUES, st.binary(), st.lists(st.none()), st.floats()))
def test_check_never_raises(value: object) -> None:
    for parameter in (RATE, COUNT, MODE, LEVELS, NAMES, FLAG):
        assert isinstance(parameter.check(value), str)


def test_a_word_that_yaml_reads_as_a_switch() -> None:
    reference = Parameter("bearing_reference", "true", "From where.", choices=("true", "bow"))
    assert reference.coerce(True) == "true"
    assert "not one of true, bow" in reference.check("north")
    assert reference.check(False)
    assert Parameter("name", "x", "Any text.").check(True)
