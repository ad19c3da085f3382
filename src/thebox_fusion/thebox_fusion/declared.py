# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""ROS parameters from the declarations of a settings dataclass."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from thebox_core.parameters import Parameter

__all__ = ["declared"]


def declared(prefix: str, settings: Any) -> list[Parameter]:
    """Return one parameter for each declared field of ``settings``, its values the defaults."""
    return [
        Parameter(
            prefix + item.name,
            getattr(settings, item.name),
            item.metadata["description"] + ".",
            minimum=item.metadata.get("min"),
            maximum=item.metadata.get("max"),
            choices=tuple(item.metadata.get("choices", ())),
            unit=item.metadata.get("unit", ""),
        )
        for item in fields(settings)
        if "description" in item.metadata and item.name != "sensors"
    ]
