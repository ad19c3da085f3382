# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The fusion node's parameters, made from the tracker's own declarations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thebox_core.parameters import Parameter
from thebox_fusion.declared import declared
from thebox_fusion.tracker import TrackerParameters, parameters_from_mapping
from thebox_fusion.tracker.parameters import BUILT_IN_SENSORS

__all__ = ["FUSION_PARAMETERS", "tracker_parameters"]

_TRACKER, _SENSOR = "tracker.", "sensor."


FUSION_PARAMETERS = (
    Parameter(
        "publish_rate_max",
        50.0,
        "Tracks are published when detections come, but no more often than this.",
        minimum=0.5,
        maximum=200.0,
        unit="Hz",
    ),
    Parameter(
        "publish_rate_min",
        2.0,
        "Tracks are published at least this often, also in a silent sky.",
        minimum=0.1,
        maximum=50.0,
        unit="Hz",
    ),
    Parameter(
        "load_max",
        0.35,
        "Share of one core that tracking may take: above it cycles are spaced further apart.",
        minimum=0.05,
        maximum=1.0,
    ),
    Parameter(
        "ownship_max_age",
        5.0,
        "An own-ship pose serves this long; after it the last known position is used, with a "
        "warning.",
        minimum=0.1,
        maximum=600.0,
        unit="s",
    ),
    *declared(_TRACKER, TrackerParameters()),
    *(
        parameter
        for name, model in BUILT_IN_SENSORS.items()
        for parameter in declared(f"{_SENSOR}{name}.", model)
    ),
)


def tracker_parameters(values: Mapping[str, Any]) -> TrackerParameters:
    """Return the tracker's settings from the node's parameters.

    Raises:
        ValueError: settings that do not go together.
    """
    settings: dict[str, Any] = {}
    sensors: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        if name.startswith(_TRACKER):
            settings[name[len(_TRACKER) :]] = value
        elif name.startswith(_SENSOR):
            sensor, item = name[len(_SENSOR) :].split(".", 1)
            sensors.setdefault(sensor, {})[item] = value
    return parameters_from_mapping({**settings, "sensors": sensors})
