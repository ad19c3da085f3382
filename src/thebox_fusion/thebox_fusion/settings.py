# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Settings declared once, on the fields of a frozen dataclass: default, meaning, unit and range.

A node makes its ROS parameters from the same declarations, and the reference is generated.
"""

from __future__ import annotations

import math
from dataclasses import field, fields
from typing import Any

__all__ = ["check_ranges", "choice", "count", "flag", "number"]


def number(default: float, description: str, unit: str, low: float, high: float) -> Any:
    """Declare a number between ``low`` and ``high``."""
    return field(
        default=default,
        metadata={"description": description, "unit": unit, "min": low, "max": high},
    )


def count(default: int, description: str, low: int, high: int) -> Any:
    """Declare a whole number between ``low`` and ``high``."""
    return number(default, description, "", low, high)


def choice(default: str, description: str, choices: tuple[str, ...]) -> Any:
    """Declare one of several words."""
    return field(default=default, metadata={"description": description, "choices": choices})


def flag(default: bool, description: str) -> Any:
    """Declare a yes or no."""
    return field(default=default, metadata={"description": description})


def check_ranges(settings: Any) -> None:
    """Check every declared field of a dataclass against its range or choices.

    Raises:
        ValueError: a value lies outside, or is not finite.
    """
    for item in fields(settings):
        value = getattr(settings, item.name)
        if "min" in item.metadata:
            low, high = item.metadata["min"], item.metadata["max"]
            if not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"{item.name} = {value!r} must lie between {low} and {high}")
        if "choices" in item.metadata and value not in item.metadata["choices"]:
            raise ValueError(f"{item.name} = {value!r} must be one of {item.metadata['choices']}")
