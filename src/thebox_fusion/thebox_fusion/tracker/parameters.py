# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Everything an operator may change of the tracker, with its description, unit and range.

Each field's ``metadata`` has ``description``, ``unit``, ``min`` and ``max``, so that a node can
declare its ROS parameters from the dataclass with one loop, and documentation is generated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

TWO_PI = 2.0 * math.pi


def _number(default: float, description: str, unit: str, low: float, high: float) -> Any:
    return field(
        default=default,
        metadata={"description": description, "unit": unit, "min": low, "max": high},
    )


def _choice(default: str, description: str, choices: tuple[str, ...]) -> Any:
    return field(default=default, metadata={"description": description, "choices": choices})


def _flag(default: bool, description: str) -> Any:
    return field(default=default, metadata={"description": description})


@dataclass(frozen=True)
class SensorModel:
    """What the tracker assumes of one sensor until it has learned better."""

    modality: str = _choice(
        "UNKNOWN",
        "What kind of sensor it is",
        ("RF", "RADAR", "EO", "IR", "ACOUSTIC", "VISION", "UNKNOWN"),
    )
    detection_probability: float = _number(
        0.8, "Chance that one look at an object in coverage gives a detection", "", 0.01, 0.999
    )
    revisit: float = _number(1.0, "Time between two looks at the same direction", "s", 0.01, 300.0)
    learn_revisit: bool = _flag(True, "Learn the revisit time from the detections")
    clutter_per_look: float = _number(
        1.0, "False detections expected in one look round, before learning", "", 0.0, 1e5
    )
    min_range: float = _number(0.0, "Coverage begins at this slant range", "m", 0.0, 1e5)
    max_range: float = _number(5000.0, "Coverage ends at this slant range", "m", 1.0, 1e6)
    sector_centre: float = _number(
        0.0, "Bearing of the middle of the covered sector, from true north", "rad", 0.0, TWO_PI
    )
    sector_width: float = _number(TWO_PI, "Width of the covered sector", "rad", 0.0, TWO_PI)
    bearing_sigma: float = _number(
        0.05, "Bearing standard deviation where the detection gives none", "rad", 1e-5, math.pi
    )
    bearing_sigma_floor: float = _number(
        0.002, "Bearing standard deviation is never believed below this", "rad", 0.0, 1.0
    )
    elevation_sigma: float = _number(
        0.05, "Elevation standard deviation where the detection gives none", "rad", 1e-5, math.pi
    )
    range_sigma: float = _number(
        15.0, "Range standard deviation where the detection gives none", "m", 0.01, 1e4
    )
    range_sigma_floor: float = _number(
        0.5, "Range standard deviation is never believed below this", "m", 0.0, 1e3
    )
    range_rate_sigma: float = _number(
        1.0, "Range-rate standard deviation where the detection gives none", "m/s", 0.01, 100.0
    )
    position_sigma: float = _number(
        20.0, "Position standard deviation where the detection gives none", "m", 0.01, 1e4
    )
    birth_per_look: float = _number(0.08, "New objects expected in one look round", "", 1e-6, 100.0)
    first_look_share: float = _number(
        0.01,
        "Share of the plots of a sensor's first look that are believed to be objects; in the"
        " n-th look 1/n of it",
        "",
        0.0,
        1.0,
    )
    miss_weight: float = _number(
        1.0,
        "How much a missing detection counts against an object: 1 for a sensor that looks at"
        " everything, near 0 for one that hears only who transmits",
        "",
        0.0,
        1.0,
    )


BUILT_IN_SENSORS: Mapping[str, SensorModel] = {
    "dspnor": SensorModel(
        modality="RADAR",
        detection_probability=0.9,
        revisit=1.0,
        clutter_per_look=5.0,
        max_range=8000.0,
        bearing_sigma=math.radians(1.0),
        bearing_sigma_floor=math.radians(0.05),
        range_sigma=10.0,
    ),
    "droneshield": SensorModel(
        modality="RF",
        detection_probability=0.5,
        revisit=1.0,
        clutter_per_look=0.2,
        max_range=20000.0,
        bearing_sigma=0.3,
        bearing_sigma_floor=math.radians(0.5),
        miss_weight=0.1,
    ),
    "silvus": SensorModel(
        modality="RF",
        detection_probability=0.5,
        revisit=1.0,
        clutter_per_look=1.0,
        max_range=20000.0,
        bearing_sigma=math.radians(5.0),
        bearing_sigma_floor=math.radians(0.5),
        miss_weight=0.1,
    ),
    "mara": SensorModel(
        modality="EO",
        detection_probability=0.6,
        revisit=1.0,
        clutter_per_look=0.5,
        max_range=3000.0,
        bearing_sigma=math.radians(1.0),
        elevation_sigma=math.radians(1.0),
        range_sigma=50.0,
        miss_weight=0.3,
    ),
    "trakka": SensorModel(
        modality="EO",
        detection_probability=0.5,
        revisit=0.2,
        clutter_per_look=0.05,
        max_range=5000.0,
        bearing_sigma=math.radians(0.3),
        elevation_sigma=math.radians(0.3),
        miss_weight=0.0,
    ),
    "vision": SensorModel(
        modality="VISION",
        detection_probability=0.5,
        revisit=0.5,
        clutter_per_look=0.05,
        max_range=5000.0,
        bearing_sigma=math.radians(0.5),
        elevation_sigma=math.radians(0.5),
        miss_weight=0.0,
    ),
}

BUILT_IN_MODALITIES: Mapping[str, SensorModel] = {
    "RF": BUILT_IN_SENSORS["silvus"],
    "RADAR": BUILT_IN_SENSORS["dspnor"],
    "EO": BUILT_IN_SENSORS["mara"],
    "IR": replace(BUILT_IN_SENSORS["mara"], modality="IR"),
    "ACOUSTIC": SensorModel(
        modality="ACOUSTIC",
        detection_probability=0.4,
        revisit=1.0,
        clutter_per_look=1.0,
        max_range=500.0,
        bearing_sigma=math.radians(8.0),
        elevation_sigma=math.radians(10.0),
        miss_weight=0.05,
    ),
    "VISION": BUILT_IN_SENSORS["vision"],
    "UNKNOWN": SensorModel(miss_weight=0.2),
}


@dataclass(frozen=True)
class TrackerParameters:
    """Settings of the tracker. The defaults are meant to serve unknown skies."""

    max_lateness: float = _number(
        2.0, "Detections later than this are counted and dropped", "s", 0.0, 30.0
    )
    checkpoint_interval: float = _number(
        0.25, "State is kept this often, so that late detections find their place", "s", 0.01, 10.0
    )
    # Motion.
    acceleration_cruise: float = _number(
        0.4, "Root power density of acceleration in steady flight", "m/s^1.5", 0.001, 50.0
    )
    acceleration_manoeuvre: float = _number(
        4.0, "Root power density of acceleration in a manoeuvre", "m/s^1.5", 0.01, 200.0
    )
    acceleration_vertical: float = _number(
        0.08, "Root power density of vertical acceleration", "m/s^1.5", 0.001, 50.0
    )
    dwell_cruise: float = _number(100.0, "Mean time in steady flight", "s", 0.1, 1e4)
    dwell_manoeuvre: float = _number(8.0, "Mean time in a manoeuvre", "s", 0.1, 1e4)
    speed_sigma: float = _number(
        7.0, "Standard deviation of each velocity component of a new object", "m/s", 0.1, 300.0
    )
    climb_sigma: float = _number(
        0.8, "Standard deviation of the vertical speed of a new object", "m/s", 0.01, 100.0
    )
    max_speed: float = _number(60.0, "No object flies faster than this", "m/s", 1.0, 1000.0)
    altitude: float = _number(
        80.0, "Height above the sensor assumed where no sensor measures it", "m", -1000.0, 5000.0
    )
    altitude_sigma: float = _number(50.0, "Standard deviation of that height", "m", 1.0, 5000.0)
    # Association.
    association: str = _choice(
        "marginal",
        "marginal: soft update with association probabilities (JPDA by belief propagation);"
        " assignment: the best global assignment",
        ("marginal", "assignment"),
    )
    gate: float = _number(
        16.0, "Squared normalised distance beyond which a detection is no candidate", "", 1.0, 100.0
    )
    belief_iterations: int = field(
        default=30,
        metadata={
            "description": "Rounds of belief propagation",
            "unit": "",
            "min": 1,
            "max": 500,
        },
    )
    soft_bearing_sigma: float = _number(
        math.radians(6.0),
        "Bearings without identity that are worse than this do not move kinematic tracks",
        "rad",
        1e-4,
        math.pi,
    )
    # Existence.
    confirm_probability: float = _number(
        0.96, "A track is confirmed at this existence probability", "", 0.5, 0.9999
    )
    confirm_hits: int = field(
        default=2,
        metadata={
            "description": "Independent detections a track needs before it is confirmed",
            "unit": "",
            "min": 1,
            "max": 20,
        },
    )
    coast_probability: float = _number(
        0.5, "A confirmed track is called coasting below this probability", "", 0.01, 0.99
    )
    delete_probability: float = _number(
        0.05, "A confirmed track is deleted below this probability", "", 1e-6, 0.5
    )
    prune_probability: float = _number(
        3e-5, "A tentative track is deleted below this probability", "", 1e-9, 0.5
    )
    log_odds_limit: float = _number(
        6.0, "Existence log-odds are kept within plus and minus this", "", 1.0, 50.0
    )
    mean_life: float = _number(
        300.0, "Mean time that an object stays in the sky: the decay of existence", "s", 1.0, 1e5
    )
    coast_position_sigma: float = _number(
        150.0, "A kinematic track less certain than this is deleted", "m", 1.0, 1e5
    )
    coast_time: float = _number(
        15.0, "A track is coasting after this long without a detection", "s", 0.1, 1e4
    )
    emitter_memory: float = _number(
        600.0, "An emitter heard again within this time keeps its track identity", "s", 0.0, 1e5
    )
    emitter_silence: float = _number(
        40.0, "Time constant of the decay of an emitter that is not heard", "s", 1.0, 1e5
    )
    # Identity.
    attach_probability: float = _number(
        0.95, "An emitter joins a kinematic track at this probability", "", 0.5, 0.9999
    )
    detach_log_odds: float = _number(
        -5.0, "An emitter leaves its kinematic track below these log-odds", "", -50.0, 0.0
    )
    key_forgetting: float = _number(
        30.0, "Time constant of the memory of identity evidence", "s", 0.1, 1e4
    )
    # Bearing-only ranging.
    range_min: float = _number(50.0, "Nearest range hypothesis", "m", 1.0, 1e5)
    range_max: float = _number(12000.0, "Farthest range hypothesis", "m", 10.0, 1e6)
    range_observed_sigma: float = _number(
        0.35,
        "Range counts as observed when its relative standard deviation is below",
        "",
        0.01,
        2.0,
    )
    bearing_acceleration: float = _number(
        0.2, "Root power density of acceleration of bearing-only tracks", "m/s^1.5", 0.001, 50.0
    )
    bearing_wander: float = _number(
        0.12, "How fast an emitter's apparent bearing may wander", "rad/s^0.5", 0.001, 3.0
    )
    path_loss_exponent: float = _number(
        2.0, "Path-loss exponent before it is learned", "", 1.0, 6.0
    )
    reference_power: float = _number(
        -30.0, "Received power of an unknown emitter at 1 m, before it is learned", "dBm", -120, 60
    )
    reference_power_sigma: float = _number(
        10.0, "Standard deviation of that power over emitters", "dB", 0.1, 60.0
    )
    shadowing_sigma: float = _number(
        6.0, "Standard deviation of the received power about the path-loss law", "dB", 0.1, 30.0
    )
    object_size: float = _number(
        0.45, "Size of an unknown object, for ranging by apparent size", "m", 0.01, 100.0
    )
    object_size_ratio: float = _number(
        0.6, "Standard deviation of the logarithm of that size", "", 0.01, 3.0
    )
    sound_reference: float = _number(
        75.0, "Sound level of an unknown object at 1 m", "dB", 0.0, 200.0
    )
    sound_reference_sigma: float = _number(8.0, "Standard deviation of that level", "dB", 0.1, 60.0)
    report_position_sigma: float = _number(
        150.0, "A brief picture gives positions no less certain than this", "m", 1.0, 1e5
    )
    # Upkeep.
    ledger_length: int = field(
        default=64,
        metadata={
            "description": "Evidence entries kept per track",
            "unit": "",
            "min": 4,
            "max": 4096,
        },
    )
    max_tracks: int = field(
        default=2000,
        metadata={
            "description": "No more tracks than this are kept; the least likely go first",
            "unit": "",
            "min": 10,
            "max": 100000,
        },
    )
    sensors: Mapping[str, SensorModel] = field(
        default_factory=lambda: dict(BUILT_IN_SENSORS),
        metadata={"description": "Sensor models by sensor name"},
    )

    def __post_init__(self) -> None:
        """Check every value against its range.

        Raises:
            ValueError: a value lies outside its range or is not finite.
        """
        check_ranges(self)
        for model in self.sensors.values():
            check_ranges(model)
        if self.range_min >= self.range_max:
            raise ValueError("range_min must be below range_max; raise range_max")

    def sensor_model(self, sensor: str, modality: str) -> SensorModel:
        """Return the model of ``sensor``, or that of its modality when it has none."""
        known = self.sensors.get(sensor)
        if known is not None:
            return known
        return BUILT_IN_MODALITIES.get(modality, BUILT_IN_MODALITIES["UNKNOWN"])


def check_ranges(settings: TrackerParameters | SensorModel) -> None:
    """Raise ValueError for a field outside the range of its metadata."""
    for item in fields(settings):
        value = getattr(settings, item.name)
        if "min" in item.metadata:
            low, high = item.metadata["min"], item.metadata["max"]
            if not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"{item.name} = {value!r} must lie between {low} and {high}")
        if "choices" in item.metadata and value not in item.metadata["choices"]:
            raise ValueError(f"{item.name} = {value!r} must be one of {item.metadata['choices']}")


def parameters_from_mapping(values: Mapping[str, Any]) -> TrackerParameters:
    """Build parameters from plain values, as read from a JSON or YAML file.

    ``sensors`` maps a sensor's name to the fields of its `SensorModel`; fields that are not given
    keep their built-in values.

    Raises:
        ValueError: an unknown name, or a value outside its range.
    """
    given = dict(values)
    sensors = dict(BUILT_IN_SENSORS)
    known_sensor_fields = {item.name for item in fields(SensorModel)}
    for name, settings in dict(given.pop("sensors", {})).items():
        unknown = set(settings) - known_sensor_fields
        if unknown:
            raise ValueError(f"sensor {name}: unknown settings {sorted(unknown)}")
        base = sensors.get(name) or BUILT_IN_MODALITIES.get(
            settings.get("modality", "UNKNOWN"), BUILT_IN_MODALITIES["UNKNOWN"]
        )
        sensors[name] = replace(base, **settings)
    unknown = set(given) - {item.name for item in fields(TrackerParameters)}
    if unknown:
        raise ValueError(f"unknown tracker settings {sorted(unknown)}")
    return TrackerParameters(sensors=sensors, **given)
