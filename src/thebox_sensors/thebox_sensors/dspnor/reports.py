# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""What the radar says in ASTERIX category 010, as values: reports of targets and of itself.

The items (I010/...) are those of the standard that `asterix` names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from thebox_sensors.protocol_base import wrap_bearing


@dataclass(frozen=True, slots=True)
class Descriptor:
    """I010/020, what a target report rests on."""

    technology: int
    """TYP: 0 SSR multilateration, 1 Mode S multilateration, 2 ADS-B, 3 primary radar,
    4 magnetic loops, 5 HF multilateration, 7 others."""
    differential: bool
    chain: int
    """CHN, 1 or 2."""
    ground_bit: bool
    corrupted: bool
    simulated: bool = False
    test_target: bool = False
    field_monitor: bool = False
    loop: int = 0
    """LOP: 0 undetermined, 1 loop start, 2 loop finish."""
    target_type: int = 0
    """TOT: 0 undetermined, 1 aircraft, 2 ground vehicle, 3 helicopter."""
    special_position: bool = False


@dataclass(frozen=True, slots=True)
class TrackStatus:
    """I010/170, the state of the radar's own track."""

    tentative: bool
    """CNF: the track is in its initialisation phase."""
    last_report: bool
    """TRE: the radar drops the track after this."""
    coasting: int
    """CST: 0 no extrapolation, 1 because of the refresh period, 2 in a masked area, 3 because
    it was not seen."""
    manoeuvre: bool
    projected: bool
    """TCC: slant range is corrected and the track lies in a plane tangential to the earth."""
    smoothed: bool
    """STH: the position is smoothed, not measured."""
    movement: int = 0
    """TOM: 0 unknown, 1 taking off, 2 landing, 3 others."""
    doubt: int = 0
    """DOU: 0 none, 1 and 2 doubtful correlation, 3 and 4 loss of accuracy, 5 unstable,
    6 previously coasted."""
    merge_split: int = 0
    """MRS: 0 undetermined, 1 merged by association to plot, 2 by non-association, 3 split."""
    ghost: bool = False


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """I010/550, how the radar is."""

    operation: int
    """NOGO: 0 operational, 1 degraded, 2 not to be used."""
    overload: bool
    time_source_invalid: bool
    diversity_degraded: bool
    test_target_failure: bool


@dataclass(frozen=True, slots=True)
class TargetReport:
    """A plot, or with a `track_number` an update of a track. Unknown numbers are NaN."""

    sac: int
    sic: int
    time: float = math.nan
    """Seconds since the epoch, UTC: the radar's time of day on the receiver's date."""
    time_of_day: float = math.nan
    """I010/140, seconds since midnight UTC."""
    track_number: int | None = None
    """I010/161, 0 to 4095; None for a plot."""
    range: float = math.nan
    """I010/040, slant range, metres."""
    azimuth: float = math.nan
    """I010/040, clockwise from the radar's zero axis (true north or bow), radians."""
    x: float = math.nan
    """I010/042, to the right of the zero axis (east), metres."""
    y: float = math.nan
    """I010/042, along the zero axis (north), metres."""
    latitude: float = math.nan
    """I010/041, WGS-84, radians."""
    longitude: float = math.nan
    """I010/041, WGS-84, radians."""
    speed: float = math.nan
    """I010/200, over ground, m/s."""
    course: float = math.nan
    """I010/200, track angle, clockwise from the zero axis, radians."""
    velocity_x: float = math.nan
    """I010/202, m/s, axes as `x`."""
    velocity_y: float = math.nan
    """I010/202, m/s."""
    acceleration_x: float = math.nan
    """I010/210, m/s2, axes as `x`."""
    acceleration_y: float = math.nan
    """I010/210, m/s2."""
    sigma_x: float = math.nan
    """I010/500, standard deviation of x, metres."""
    sigma_y: float = math.nan
    """I010/500, standard deviation of y, metres."""
    covariance_xy: float = math.nan
    """I010/500, m2."""
    amplitude: float = math.nan
    """I010/131, 0 to 255, the radar's own scale."""
    height: float = math.nan
    """I010/091, measured, above the local reference plane, metres."""
    flight_level: float = math.nan
    """I010/090, barometric, metres (100 feet a level)."""
    length: float = math.nan
    """I010/270, metres."""
    orientation: float = math.nan
    """I010/270, of the target's nose from true north, radians."""
    width: float = math.nan
    """I010/270, metres."""
    descriptor: Descriptor | None = None
    status: TrackStatus | None = None
    system_status: SystemStatus | None = None
    identification: str = ""
    """I010/245, up to 8 characters of the ICAO alphabet."""
    address: int | None = None
    """I010/220, 24 bits."""
    mode_3a: str = ""
    """I010/060, four octal digits."""
    vehicle_fleet: int | None = None
    """I010/300."""
    preprogrammed: int | None = None
    """I010/310, the message number; `in_trouble` is its flag."""
    in_trouble: bool = False
    presences: tuple[tuple[float, float], ...] = ()
    """I010/280, of each elementary presence of the plot: range (metres) and azimuth (radians)
    relative to the plot's centre."""

    def polar(self) -> tuple[float, float]:
        """Return range (metres) and azimuth (radians), measured or from the Cartesian items."""
        if not math.isnan(self.range):
            return self.range, self.azimuth
        if math.isnan(self.x):
            return math.nan, math.nan
        return math.hypot(self.x, self.y), wrap_bearing(math.atan2(self.x, self.y))

    def velocity(self) -> tuple[float, float]:
        """Return the velocity (m/s) along x and y, as given or from speed and course."""
        if not math.isnan(self.velocity_x):
            return self.velocity_x, self.velocity_y
        return self.speed * math.sin(self.course), self.speed * math.cos(self.course)


@dataclass(frozen=True, slots=True)
class UpdateCycle:
    """Start of an update cycle (message type 2): the antenna begins a turn."""

    sac: int
    sic: int
    time: float
    time_of_day: float


@dataclass(frozen=True, slots=True)
class StatusMessage:
    """A periodic (message type 3) or event-triggered (4) status message."""

    sac: int
    sic: int
    time: float
    time_of_day: float
    status: SystemStatus | None
    event: bool
