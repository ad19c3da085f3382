# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Everything an operator may change of the tracker, with its description, unit and range.

The fields are declared with `thebox_fusion.settings`, from which a node makes its ROS parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from thebox_fusion.settings import check_ranges, choice, count, flag, number

TWO_PI = 2.0 * math.pi


@dataclass(frozen=True)
class SensorModel:
    """What the tracker assumes of one sensor until it has learned better."""

    modality: str = choice(
        "UNKNOWN",
        "What kind of sensor it is",
        ("RF", "RADAR", "EO", "IR", "ACOUSTIC", "VISION", "UNKNOWN"),
    )
    detection_probability: float = number(
        0.8, "Chance that one look at an object in coverage gives a detection", "", 0.01, 0.999
    )
    revisit: float = number(1.0, "Time between two looks at the same direction", "s", 0.01, 300.0)
    learn_revisit: bool = flag(True, "Learn the revisit time from the detections")
    clutter_per_look: float = number(
        1.0, "False detections expected in one look round, before learning", "", 0.0, 1e5
    )
    min_range: float = number(0.0, "Coverage begins at this slant range", "m", 0.0, 1e5)
    max_range: float = number(5000.0, "Coverage ends at this slant range", "m", 1.0, 1e6)
    sector_centre: float = number(
        0.0, "Bearing of the middle of the covered sector, from true north", "rad", 0.0, TWO_PI
    )
    sector_width: float = number(TWO_PI, "Width of the covered sector", "rad", 0.0, TWO_PI)
    bearing_sigma: float = number(
        0.05, "Bearing standard deviation where the detection gives none", "rad", 1e-5, math.pi
    )
    bearing_sigma_floor: float = number(
        0.002, "Bearing standard deviation is never believed below this", "rad", 0.0, 1.0
    )
    elevation_sigma: float = number(
        0.05, "Elevation standard deviation where the detection gives none", "rad", 1e-5, math.pi
    )
    range_sigma: float = number(
        15.0, "Range standard deviation where the detection gives none", "m", 0.01, 1e4
    )
    range_sigma_floor: float = number(
        0.5, "Range standard deviation is never believed below this", "m", 0.0, 1e3
    )
    range_rate_sigma: float = number(
        1.0, "Range-rate standard deviation where the detection gives none", "m/s", 0.01, 100.0
    )
    position_sigma: float = number(
        20.0, "Position standard deviation where the detection gives none", "m", 0.01, 1e4
    )
    birth_per_look: float = number(0.08, "New objects expected in one look round", "", 1e-6, 100.0)
    first_look_share: float = number(
        0.01,
        "Share of the plots of a sensor's first look that are believed to be objects; in the"
        " n-th look 1/n of it",
        "",
        0.0,
        1.0,
    )
    miss_weight: float = number(
        1.0,
        "How much a missing detection counts against an object: 1 for a sensor that looks at"
        " everything, near 0 for one that hears only who transmits",
        "",
        0.0,
        1.0,
    )

    @property
    def sees_all(self) -> bool:
        """Whether it looks at everything, so that what it misses may well be gone."""
        return self.miss_weight > 0.5


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

    max_lateness: float = number(
        2.0, "Detections later than this are counted and dropped", "s", 0.0, 30.0
    )
    checkpoint_interval: float = number(
        0.25, "State is kept this often, so that late detections find their place", "s", 0.01, 10.0
    )
    # Motion.
    acceleration_cruise: float = number(
        0.05, "Root power density of acceleration in steady flight", "m/s^1.5", 0.001, 50.0
    )
    acceleration_turn: float = number(
        1.5, "Root power density of acceleration in gentle turns and gusts", "m/s^1.5", 0.01, 100.0
    )
    acceleration_manoeuvre: float = number(
        5.0, "Root power density of acceleration in a manoeuvre", "m/s^1.5", 0.01, 200.0
    )
    acceleration_vertical: float = number(
        0.08, "Root power density of vertical acceleration", "m/s^1.5", 0.001, 50.0
    )
    dwell_cruise: float = number(900.0, "Mean time in steady flight", "s", 0.1, 1e4)
    dwell_turn: float = number(80.0, "Mean time in gentle turns and gusts", "s", 0.1, 1e4)
    dwell_manoeuvre: float = number(20.0, "Mean time in a manoeuvre", "s", 0.1, 1e4)
    speed_sigma: float = number(
        7.0, "Standard deviation of each velocity component of a new object", "m/s", 0.1, 300.0
    )
    speed_sigma_fast: float = number(20.0, "The same for the few that are fast", "m/s", 0.1, 300.0)
    climb_sigma: float = number(
        0.8, "Standard deviation of the vertical speed of a new object", "m/s", 0.01, 100.0
    )
    max_speed: float = number(60.0, "No object flies faster than this", "m/s", 1.0, 1000.0)
    altitude: float = number(
        80.0, "Height above the sensor assumed where no sensor measures it", "m", -1000.0, 5000.0
    )
    altitude_sigma: float = number(50.0, "Standard deviation of that height", "m", 1.0, 5000.0)
    lowest: float = number(
        -10.0, "Nothing flies lower than this, above the sensor", "m", -5000.0, 1000.0
    )
    # Association.
    association: str = choice(
        "marginal",
        "marginal: soft update with association probabilities (JPDA by belief propagation);"
        " assignment: the best global assignment",
        ("marginal", "assignment"),
    )
    gate: float = number(
        16.0, "Squared normalised distance beyond which a detection is no candidate", "", 1.0, 100.0
    )
    belief_iterations: int = count(30, "Rounds of belief propagation", 1, 500)
    soft_bearing_sigma: float = number(
        math.radians(6.0),
        "Bearings without identity that are worse than this do not move kinematic tracks",
        "rad",
        1e-4,
        math.pi,
    )
    # Existence.
    confirm_probability: float = number(
        0.96, "A track is confirmed at this existence probability", "", 0.5, 0.9999
    )
    confirm_hits: int = count(
        2, "Independent detections a track needs before it is confirmed", 1, 20
    )
    coast_probability: float = number(
        0.5, "A confirmed track is called coasting below this probability", "", 0.01, 0.99
    )
    delete_probability: float = number(
        0.05, "A confirmed track is deleted below this probability", "", 1e-6, 0.5
    )
    prune_probability: float = number(
        3e-5, "A tentative track is deleted below this probability", "", 1e-9, 0.5
    )
    log_odds_limit: float = number(
        6.0, "Existence log-odds are kept within plus and minus this", "", 1.0, 50.0
    )
    mean_life: float = number(
        300.0, "Mean time that an object stays in the sky: the decay of existence", "s", 1.0, 1e5
    )
    coast_position_sigma: float = number(
        150.0, "A kinematic track less certain than this is deleted", "m", 1.0, 1e5
    )
    coast_time: float = number(
        15.0, "A track is coasting after this long without a detection", "s", 0.1, 1e4
    )
    emitter_memory: float = number(
        600.0, "An emitter heard again within this time keeps its track identity", "s", 0.0, 1e5
    )
    emitter_silence: float = number(
        40.0, "Time constant of the decay of an emitter that is not heard", "s", 1.0, 1e5
    )
    # Identity.
    attach_probability: float = number(
        0.95, "An emitter joins a kinematic track at this probability", "", 0.5, 0.9999
    )
    detach_log_odds: float = number(
        -5.0, "An emitter leaves its kinematic track below these log-odds", "", -50.0, 0.0
    )
    key_forgetting: float = number(
        30.0, "Time constant of the memory of identity evidence", "s", 0.1, 1e4
    )
    # Bearing-only ranging.
    range_min: float = number(50.0, "Nearest range hypothesis", "m", 1.0, 1e5)
    range_max: float = number(12000.0, "Farthest range hypothesis", "m", 10.0, 1e6)
    range_observed_sigma: float = number(
        0.35,
        "Range counts as observed when its relative standard deviation is below",
        "",
        0.01,
        2.0,
    )
    bearing_acceleration: float = number(
        0.2, "Root power density of acceleration of bearing-only tracks", "m/s^1.5", 0.001, 50.0
    )
    bearing_wander: float = number(
        0.12, "How fast an emitter's apparent bearing may wander", "rad/s^0.5", 0.001, 3.0
    )
    report_position_sigma: float = number(
        110.0, "A brief picture gives positions no less certain than this", "m", 1.0, 1e5
    )
    report_probability: float = number(
        0.5, "A brief picture gives tracks whose existence is at least this", "", 0.0, 0.99
    )
    # Upkeep.
    ledger_length: int = count(64, "Evidence entries kept per track", 4, 4096)
    max_tracks: int = count(
        2000, "No more tracks than this are kept; the least likely go first", 10, 100000
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
