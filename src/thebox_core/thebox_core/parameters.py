# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Parameters declared once: the source of the default, the range, the check and the reference.

No ROS is needed to read, check or document a declaration; :mod:`thebox_core.node` turns it
into descriptors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Union

__all__ = ["Parameter", "ParameterError", "Value", "check_unique", "markdown_table", "yaml_block"]

Value = Union[bool, int, float, str, "list[bool]", "list[int]", "list[float]", "list[str]"]
_SCALARS = (bool, int, float, str)


class ParameterError(ValueError):
    """A declaration or a value that cannot be used; the text says why and what is allowed."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a node.

    Attributes:
        name: lower_snake, groups joined by dots.
        default: its type is the parameter's type; lists are of one scalar type.
        description: one sentence for the operator.
        minimum, maximum: inclusive range of a number, or of each element of a list of numbers.
        choices: the allowed texts, when there is a fixed set.
        unit: SI unit or another word for the reader, such as "datagrams".
        read_only: can be set at start only.
        element_type: needed for an empty list, whose default tells nothing.
    """

    name: str
    default: Value
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    read_only: bool = False
    element_type: type | None = None

    def __post_init__(self) -> None:
        if not self.description.strip() or not self.description.isprintable():
            # It becomes a comment of a parameter file and a cell of a table.
            raise ParameterError(f"{self.name}: a parameter needs a description of one line")
        if self.is_list and self.scalar_type not in _SCALARS:
            raise ParameterError(f"{self.name}: an empty list needs element_type")
        reason = self.check(self.default)
        if reason:
            raise ParameterError(f"{self.name}: the default is not allowed: {reason}")

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return isinstance(self.default, list)

    @property
    def scalar_type(self) -> type:
        """Type of the value, or of each element of a list."""
        if isinstance(self.default, list):
            if self.element_type is not None:
                return self.element_type
            return type(self.default[0]) if self.default else type(None)
        return type(self.default)

    @property
    def type_name(self) -> str:
        """The type in ROS's words: bool, integer, double, string, or an array of one."""
        name = {bool: "bool", int: "integer", float: "double", str: "string"}[self.scalar_type]
        return f"{name} array" if self.is_list else name

    @property
    def range_text(self) -> str:
        """The allowed values, for a table; empty when anything of the type is allowed."""
        if self.choices:
            return " or ".join(self.choices)
        if self.minimum is None and self.maximum is None:
            return ""
        low = "" if self.minimum is None else f"{self.minimum:g}"
        high = "" if self.maximum is None else f"{self.maximum:g}"
        return f"{low} … {high}"

    def check(self, value: object) -> str:
        """Say why ``value`` is not allowed; empty when it is.

        Numbers must be finite, in lists too: rclpy's own range check lets lists and NaN through.
        An integer is taken where a double is declared, as YAML writes 1 for 1.0.
        """
        if self.is_list:
            if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
                return f"{self.name}: expected a list of {self.scalar_type.__name__}"
            for index, element in enumerate(value):
                reason = self._check_scalar(element)
                if reason:
                    return f"{reason} (element {index})"
            return ""
        return self._check_scalar(value)

    def _meant(self, value: object) -> object:
        # YAML reads an unquoted true as a switch, where one of the choices is the word.
        if self.scalar_type is str and isinstance(value, bool):
            word = str(value).lower()
            return word if word in self.choices else value
        return value

    def _check_scalar(self, value: object) -> str:
        value = self._meant(value)
        expected = self.scalar_type
        if type(value) is not expected and not (expected is float and type(value) is int):
            return f"{self.name}: expected {self.type_name}, got {type(value).__name__} {value!r}"
        if isinstance(value, str):
            if self.choices and value not in self.choices:
                return f"{self.name}: {value!r} is not one of {', '.join(self.choices)}"
            return ""
        return "" if isinstance(value, bool) else self._check_number(value)

    def _check_number(self, value: object) -> str:
        assert isinstance(value, (int, float))  # noqa: S101 - narrows the type for mypy
        # ROS knows no integer beyond 64 bits, and float() none beyond its own largest.
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return f"{self.name}: an integer of {value.bit_length()} bits is too large"
        if not math.isfinite(value):
            return f"{self.name}: {value} is not a finite number"
        below = self.minimum is not None and value < self.minimum
        above = self.maximum is not None and value > self.maximum
        if below or above:
            unit = f" {self.unit}" if self.unit else ""
            return f"{self.name}: {value:g} is outside {self.range_text}{unit}"
        return ""

    def coerce(self, value: object) -> Value:
        """Return ``value`` in the declared type (an integer becomes the double it stands for).

        Raises:
            ParameterError: the value is not allowed.
        """
        reason = self.check(value)
        if reason:
            raise ParameterError(reason)
        if self.is_list:
            assert isinstance(value, Iterable)  # noqa: S101 - narrows the type for mypy
            return [self.scalar_type(self._meant(element)) for element in value]
        return self.scalar_type(self._meant(value))  # type: ignore[no-any-return]


def check_unique(parameters: Sequence[Parameter]) -> None:
    """Raise ParameterError when two declarations share a name."""
    seen: set[str] = set()
    for parameter in parameters:
        if parameter.name in seen:
            raise ParameterError(f"{parameter.name} is declared twice")
        seen.add(parameter.name)


def markdown_table(parameters: Sequence[Parameter]) -> str:
    """Return the declarations as a Markdown table, sorted by name."""
    rows = ["| parameter | type | default | allowed | what it does |", "|---|---|---|---|---|"]
    for p in sorted(parameters, key=lambda p: p.name):
        default = p.default if p.default != "" else '""'
        allowed = p.range_text + (f" {p.unit}" if p.unit else "")
        when = " Set at start only." if p.read_only else ""
        cells = (f"`{p.name}`", p.type_name, f"`{default}`", allowed.strip(), p.description + when)
        rows.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _yaml_character(character: str) -> str:
    """Write one character of a double-quoted text (YAML 1.1, section 5.7)."""
    if character in '"\\':
        return "\\" + character
    if character.isprintable() and character <= "\uffff":
        return character
    return f"\\U{ord(character):08x}"


def _yaml_scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(map(_yaml_character, value)) + '"'
    if isinstance(value, float):
        text = repr(value)
        # YAML 1.1 reads 1e-05 as text: a double needs a point.
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    if isinstance(value, list):
        return "[" + ", ".join(_yaml_scalar(element) for element in value) + "]"
    return str(value)


def yaml_block(
    parameters: Sequence[Parameter], overrides: Mapping[str, Value] | None = None, indent: int = 4
) -> str:
    """Lines of a ROS parameter file, each parameter with its comment.

    Raises:
        ParameterError: an override names no declared parameter or is not allowed.
    """
    given = dict(overrides or {})
    pad = " " * indent
    lines: list[str] = []
    for p in sorted(parameters, key=lambda p: p.name):
        allowed = " ".join(part for part in (p.range_text, p.unit) if part)
        note = f" [{allowed}]" if allowed else ""
        lines.append(f"{pad}# {p.description}{note}")
        value = p.coerce(given.pop(p.name)) if p.name in given else p.default
        lines.append(f"{pad}{p.name}: {_yaml_scalar(value)}")
    if given:
        raise ParameterError(f"not declared: {', '.join(sorted(given))}")
    return "\n".join(lines) + "\n"
