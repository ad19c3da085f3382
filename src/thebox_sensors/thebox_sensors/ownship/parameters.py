# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the own-ship's node."""

from __future__ import annotations

import math

from thebox_core.parameters import Parameter
from thebox_sensors.ownship.protocol import DEFAULT_PORT
from thebox_sensors.receiver import receiver_parameters

__all__ = ["PARAMETERS"]

_TWO_PI = 2.0 * math.pi


def _place(group: str, what: str) -> tuple[Parameter, ...]:
    return (
        Parameter(
            f"{group}.latitude",
            0.0,
            f"WGS-84 latitude of {what}, north positive.",
            minimum=-90.0,
            maximum=90.0,
            unit="deg",
        ),
        Parameter(
            f"{group}.longitude",
            0.0,
            f"WGS-84 longitude of {what}, east positive.",
            minimum=-180.0,
            maximum=180.0,
            unit="deg",
        ),
        Parameter(
            f"{group}.altitude",
            0.0,
            f"Height of {what} above the WGS-84 ellipsoid.",
            minimum=-500.0,
            maximum=9000.0,
            unit="m",
        ),
    )


def _sigma(name: str, default: float, what: str, maximum: float, unit: str) -> Parameter:
    return Parameter(
        name,
        default,
        f"Standard deviation of {what}.",
        minimum=1e-4,
        maximum=maximum,
        unit=unit,
    )


#: All of them.
PARAMETERS = (
    *receiver_parameters(f"udp://127.0.0.1:{DEFAULT_PORT}", stale_after=3.0),
    Parameter("frame.map", "map", "Frame of the local map: east, north, up at the datum."),
    Parameter("frame.base", "base_link", "Frame of the own-ship: forward, left, up."),
    Parameter(
        "max_age",
        5.0,
        "A position or heading older than this is not used, and reported stale.",
        minimum=0.2,
        maximum=60.0,
        unit="s",
    ),
    Parameter(
        "publish_rate_max",
        50.0,
        "Poses are published at each measurement, but no more often than this.",
        minimum=1.0,
        maximum=200.0,
        unit="Hz",
    ),
    Parameter(
        "publish_rate_fixed",
        2.0,
        "How often the pose of a fixed position is published.",
        minimum=1.0,
        maximum=10.0,
        unit="Hz",
    ),
    Parameter(
        "position.source",
        "nmea",
        "Where the position comes from: the receiver's sentences, or position.latitude, "
        "position.longitude and position.altitude of a site that stays where it is.",
        choices=("nmea", "fixed"),
    ),
    *_place("position", "a fixed site"),
    _sigma("position.sigma_fixed", 1.0, "a fixed site's position", 1000.0, "m"),
    _sigma(
        "position.sigma_gnss",
        3.0,
        "a plain GNSS fix with HDOP 1; better and worse fixes follow from HDOP and quality",
        100.0,
        "m",
    ),
    Parameter(
        "heading.source",
        "nmea",
        "Where the heading comes from: sentences of a compass, or heading.fixed.",
        choices=("nmea", "fixed"),
    ),
    Parameter(
        "heading.fixed",
        0.0,
        "True heading of the bow (of the base frame's forward axis), clockwise.",
        minimum=-_TWO_PI,
        maximum=_TWO_PI,
        unit="rad",
    ),
    Parameter(
        "heading.course_speed_min",
        2.0,
        "Above this speed the course over ground stands in for a heading that is missing.",
        minimum=0.1,
        maximum=100.0,
        unit="m/s",
    ),
    Parameter(
        "heading.smoothing",
        1.0,
        "Headings this far around are averaged along the turn, against the compass's jitter; a "
        "hard turn shortens it by itself; 0: each heading is taken as it came.",
        minimum=0.0,
        maximum=5.0,
        unit="s",
    ),
    Parameter(
        "position.smoothing",
        10.0,
        "Fixes this far around are averaged along the way that course and speed tell, against the "
        "receiver's noise; without them, and where fixes jump, and at 0, each fix is taken as it "
        "came.",
        minimum=0.0,
        maximum=60.0,
        unit="s",
    ),
    _sigma("heading.sigma_fixed", 0.0175, "a fixed heading", math.pi, "rad"),
    _sigma("heading.sigma_true", 0.0087, "a true heading (HDT, THS)", math.pi, "rad"),
    _sigma("heading.sigma_magnetic", 0.035, "a magnetic heading (HDG)", math.pi, "rad"),
    _sigma("heading.sigma_course", 0.1, "a course taken for a heading", math.pi, "rad"),
    _sigma(
        "heading.sigma_rate",
        0.02,
        "the turn rate, by which a heading's error grows with its age",
        math.pi,
        "rad/s",
    ),
    Parameter(
        "datum.source",
        "first_fix",
        "Origin of the map: the first position of this process, or datum.latitude, "
        "datum.longitude and datum.altitude, the same every day.",
        choices=("first_fix", "fixed"),
    ),
    *_place("datum", "a fixed origin of the map"),
    Parameter(
        "datum.distance_max",
        30_000.0,
        "Distance from the datum beyond which a warning asks for a new one.",
        minimum=1000.0,
        maximum=1_000_000.0,
        unit="m",
    ),
)
