# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Settings read from scenario files: one declaration gives default, range, meaning and check."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


class ScenarioError(ValueError):
    """A scenario file says something that the simulated sky cannot do; names file and key."""


def setting(
    default: Any = dataclasses.MISSING,
    *,
    doc: str,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] | None = None,
    length: int | None = None,
) -> Any:
    """Declare one setting of a dataclass that :func:`read_settings` fills.

    ``minimum`` and ``maximum`` are inclusive and hold for each element of a list; ``length`` is the
    exact length of a list. A setting without ``default`` is required.
    """
    metadata = {
        "doc": doc,
        "minimum": minimum,
        "maximum": maximum,
        "choices": tuple(choices) if choices is not None else None,
        "length": length,
    }
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Section:
    """One mapping of a scenario file together with where it stands, for error messages."""

    file: str
    path: str
    content: Mapping[str, Any]

    def error(self, key: str, problem: str) -> ScenarioError:
        """Return the error that names file, key and problem."""
        where = f"{self.path}.{key}" if self.path and key else (self.path or key)
        return ScenarioError(f"{self.file}: {where}: {problem}")

    def check_keys(self, allowed: Iterable[str]) -> None:
        """Refuse keys that nothing reads.

        :raises ScenarioError: names the key and the nearest allowed one.
        """
        names = sorted(allowed)
        for key in self.content:
            if key not in names:
                near = difflib.get_close_matches(str(key), names, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"allowed: {', '.join(names)}"
                raise self.error(str(key), f"unknown key; {hint}")

    def section(self, key: str, *, required: bool = False) -> Section:
        """Return the mapping under ``key`` (an empty one where it is absent and optional)."""
        value = self.content.get(key)
        if value is None:
            if required:
                raise self.error(key, "is missing; give a mapping here")
            value = {}
        if not isinstance(value, Mapping):
            raise self.error(key, f"must be a mapping of settings, got {_shown(value)}")
        return Section(self.file, f"{self.path}.{key}" if self.path else key, value)

    def sections(self, key: str) -> list[Section]:
        """Return the mappings listed under ``key``."""
        value = self.content.get(key)
        if value is None:
            return []
        where = f"{self.path}.{key}" if self.path else key
        if not isinstance(value, list):
            raise self.error(key, f"must be a list, got {_shown(value)}")
        found = []
        for index, item in enumerate(value):
            if not isinstance(item, Mapping):
                raise self.error(f"{key}[{index}]", f"must be a mapping, got {_shown(item)}")
            found.append(Section(self.file, f"{where}[{index}]", item))
        return found


def read_settings(cls: type[T], section: Section, *, ignore: Iterable[str] = ()) -> T:
    """Fill the settings dataclass ``cls`` from a section of a scenario file.

    :param ignore: keys that the caller reads itself.
    :raises ScenarioError: for an unknown key, a missing one, a wrong type or a value out of range.
    """
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls!r} is not a dataclass of settings")
    hints = get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if "doc" in f.metadata}
    section.check_keys([*fields, *ignore])
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in section.content:
            if field.default is dataclasses.MISSING:
                raise section.error(name, f"is missing; it is: {field.metadata['doc']}")
            continue
        values[name] = _checked(section, name, section.content[name], hints[name], field.metadata)
    return cls(**values)


def _checked(section: Section, key: str, value: Any, hint: Any, rules: Mapping[str, Any]) -> Any:
    if hint is bool:
        if not isinstance(value, bool):
            raise section.error(key, f"must be true or false, got {_shown(value)}")
        return value
    if hint is str:
        if not isinstance(value, str):
            raise section.error(key, f"must be text, got {_shown(value)}; put it in quotes")
        choices = rules["choices"]
        if choices is not None and value not in choices:
            raise section.error(key, f"must be one of {', '.join(choices)}, got '{value}'")
        return value
    if hint is int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise section.error(key, f"must be a whole number, got {_shown(value)}")
        _check_range(section, key, float(value), rules)
        return value
    if hint is float:
        return _number(section, key, value, rules)
    if hint in (tuple[float, ...], tuple[tuple[float, ...], ...]):
        return _checked_list(section, key, value, hint, rules)
    raise TypeError(f"setting {key!r} has a type that no scenario file can hold: {hint!r}")


def _checked_list(
    section: Section, key: str, value: Any, hint: Any, rules: Mapping[str, Any]
) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise section.error(key, f"must be a list, got {_shown(value)}")
    if hint == tuple[float, ...]:
        if rules["length"] is not None and len(value) != rules["length"]:
            raise section.error(key, f"must have {rules['length']} numbers, got {len(value)}")
        return tuple(
            _number(section, f"{key}[{index}]", item, rules) for index, item in enumerate(value)
        )
    # A list of points: the length holds for each of them.
    return tuple(
        _checked_list(section, f"{key}[{index}]", row, tuple[float, ...], rules)
        for index, row in enumerate(value)
    )


def _number(section: Section, key: str, value: Any, rules: Mapping[str, Any]) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise section.error(key, f"must be a number, got {_shown(value)}")
    number = float(value)
    if not math.isfinite(number):
        raise section.error(key, f"must be a finite number, got {number}")
    _check_range(section, key, number, rules)
    return number


def _check_range(section: Section, key: str, number: float, rules: Mapping[str, Any]) -> None:
    low, high = rules["minimum"], rules["maximum"]
    if low is not None and number < low:
        raise section.error(key, f"must be at least {low:g}, got {number:g}")
    if high is not None and number > high:
        raise section.error(key, f"must be at most {high:g}, got {number:g}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
