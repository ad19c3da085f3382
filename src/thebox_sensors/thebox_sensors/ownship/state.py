# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Where the own-ship was and how it lay, at any time of the last half minute. No ROS."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from thebox_sensors.ownship.protocol import CourseSpeed, Fix, Heading, Record
from thebox_sensors.protocol_base import wrap_angle, wrap_bearing

ValueT = TypeVar("ValueT")
Source = Literal["static", "HDT", "THS", "HDG", "COG", ""]

_SEMI_MAJOR = 6_378_137.0
_ECCENTRICITY_SQUARED = 6.694379990141317e-3


@dataclass(frozen=True, slots=True)
class Bearing:
    """A heading at a time. `source` is empty and the numbers NaN when there is none."""

    heading: float
    """From true north, clockwise, [0, 2*pi), radians."""
    source: Source
    """Which sentence it comes from; COG means that course over ground stands in for it."""
    age: float
    """Seconds between the time asked for and the nearest measurement that it rests on."""


@dataclass(frozen=True, slots=True)
class Pose:
    """The own-ship at a time. Unknown numbers are NaN."""

    time: float
    latitude: float
    """WGS-84, radians."""
    longitude: float
    """WGS-84, radians."""
    altitude: float
    """Above mean sea level, metres."""
    position_age: float
    """Seconds between the time asked for and the nearest fix that it rests on."""
    heading: Bearing
    course: float
    """Over ground, [0, 2*pi), radians."""
    speed: float
    """Over ground, m/s."""
    turn_rate: float
    """Clockwise, rad/s."""


@dataclass(frozen=True, slots=True)
class StaticSite:
    """A box that stays where it is: no navigation input is needed."""

    latitude: float
    """WGS-84, radians."""
    longitude: float
    """WGS-84, radians."""
    altitude: float = math.nan
    """Above mean sea level, metres."""
    heading: float = math.nan
    """True heading of the base frame, radians; NaN when it comes from a compass."""


class Series(Generic[ValueT]):
    """Values in the order of their times, of the last `horizon` seconds, bounded in number.

    Late samples are put in their place. A sample older than the horizon is refused, unless
    `RESTART` of them come in a row: then the clock has stepped back and the series starts anew.
    """

    RESTART = 5

    def __init__(self, horizon: float, limit: int = 4096) -> None:
        self.horizon = horizon
        self.limit = limit
        self.times: list[float] = []
        self.values: list[ValueT] = []
        self._refused = 0

    def add(self, time: float, value: ValueT) -> bool:
        """Put a sample in its place; return whether it was taken."""
        if not math.isfinite(time):
            return False
        if self.times and time < self.times[-1] - self.horizon:
            self._refused += 1
            if self._refused < self.RESTART:
                return False
            self.clear()
        self._refused = 0
        place = bisect_left(self.times, time)
        if place < len(self.times) and self.times[place] == time:
            self.values[place] = value
            return True
        self.times.insert(place, time)
        self.values.insert(place, value)
        # Trimmed in steps, so that a sample costs a constant time on average.
        if len(self.times) > self.limit or self.times[0] < self.times[-1] - 2.0 * self.horizon:
            keep = max(
                bisect_left(self.times, self.times[-1] - self.horizon),
                len(self.times) - self.limit // 2 if len(self.times) > self.limit else 0,
            )
            del self.times[:keep], self.values[:keep]
        return True

    def clear(self) -> None:
        """Forget all samples."""
        self.times.clear()
        self.values.clear()
        self._refused = 0

    def around(
        self, time: float, reach: float
    ) -> tuple[tuple[float, ValueT] | None, tuple[float, ValueT] | None]:
        """Return the last sample not after `time` and the first after it, within `reach` s."""
        place = bisect_right(self.times, time)
        before = after = None
        if place > 0 and time - self.times[place - 1] <= reach:
            before = (self.times[place - 1], self.values[place - 1])
        if place < len(self.times) and self.times[place] - time <= reach:
            after = (self.times[place], self.values[place])
        return before, after


class OwnShipState:
    """Joins the records of the parser to one own-ship that can be asked about the past.

    Args:
        stale_after: a measurement further than this from the time asked for is not used,
            seconds.
        course_speed_minimum: course over ground stands in for a heading above this speed, m/s.
        horizon: how far back it can be asked, seconds.
        site: position (and heading) of a box that stays where it is; what it gives is not
            taken from the wire.
        fixed_heading: true heading in radians of a box that does not turn, though its position
            comes from the wire; NaN: the heading comes from the wire too.
    """

    def __init__(
        self,
        stale_after: float = 5.0,
        course_speed_minimum: float = 2.0,
        horizon: float = 30.0,
        site: StaticSite | None = None,
        fixed_heading: float = math.nan,
    ) -> None:
        self.stale_after = stale_after
        self.course_speed_minimum = course_speed_minimum
        self.site = site
        if site is not None and math.isnan(fixed_heading):
            fixed_heading = site.heading
        self.fixed_heading = fixed_heading
        self._fixes: Series[tuple[float, float, float]] = Series(horizon)
        self._headings: dict[Source, Series[float]] = {
            "HDT": Series(horizon),
            "THS": Series(horizon),
            "HDG": Series(horizon),
        }
        self._courses: Series[tuple[float, float]] = Series(horizon)
        self._turn_rates: Series[float] = Series(horizon)
        self._altitudes: Series[float] = Series(horizon)

    def update(self, record: Record, time: float) -> bool:
        """Take one record of the parser.

        Args:
            record: what was read.
            time: when it was measured, on the clock on which `pose` will be asked; which of the
                record's own time and the time of receipt that is, the caller decides.

        Returns:
            Whether it was used; False for one that is older than the horizon or says nothing.
        """
        if isinstance(record, Fix):
            if not math.isnan(record.altitude):
                self._altitudes.add(time, record.altitude)
            return self._fixes.add(time, (record.latitude, record.longitude, record.altitude))
        if isinstance(record, Heading):
            return self._headings[record.source].add(time, record.heading)
        if isinstance(record, CourseSpeed):
            if math.isnan(record.speed):
                return False
            return self._courses.add(time, (record.course, record.speed))
        return self._turn_rates.add(time, record.rate)

    def reset(self) -> None:
        """Forget everything that was heard, as when the clock is set."""
        for series in (self._fixes, self._courses, self._turn_rates, self._altitudes):
            series.clear()
        for headings in self._headings.values():
            headings.clear()

    def heading(self, time: float) -> Bearing:
        """Return the true heading at a time: HDT or THS, else HDG, else course over ground."""
        if not math.isnan(self.fixed_heading):
            return Bearing(wrap_bearing(self.fixed_heading), "static", 0.0)
        for sources in (("HDT", "THS"), ("HDG",)):
            found = [
                Bearing(wrap_bearing(angle), source, age)
                for source in sources
                for angle, age in [self._angle_at(self._headings[source], time)]
                if not math.isnan(age)
            ]
            if found:
                return min(found, key=lambda bearing: bearing.age)
        course, speed, age = self._motion(time)
        if speed >= self.course_speed_minimum and not math.isnan(course):
            return Bearing(course, "COG", age)
        return Bearing(math.nan, "", math.nan)

    def pose(self, time: float) -> Pose:
        """Return the own-ship at a time, interpolated between measurements.

        After the last fix the position is carried on with course and speed, before the first
        and after the last heading that is held; both for `stale_after` at most.
        """
        course, speed, _ = self._motion(time)
        latitude, longitude, age = self._position(time, course, speed)
        before, after = self._turn_rates.around(time, self.stale_after)
        nearest = _nearest(time, before, after)
        return Pose(
            time=time,
            latitude=latitude,
            longitude=longitude,
            altitude=self._altitude(time),
            position_age=age,
            heading=self.heading(time),
            course=course,
            speed=speed,
            turn_rate=nearest[1] if nearest else math.nan,
        )

    def _angle_at(self, series: Series[float], time: float) -> tuple[float, float]:
        before, after = series.around(time, self.stale_after)
        if before and after:
            share = (time - before[0]) / (after[0] - before[0])
            angle = before[1] + share * wrap_angle(after[1] - before[1])
            return angle, min(time - before[0], after[0] - time)
        nearest = before or after
        if nearest is None:
            return math.nan, math.nan
        return nearest[1], abs(time - nearest[0])

    def _motion(self, time: float) -> tuple[float, float, float]:
        """Course, speed and age: of a site that stays nothing is said but that it stays."""
        if self.site is not None:
            return math.nan, 0.0, 0.0
        before, after = self._courses.around(time, self.stale_after)
        nearest = _nearest(time, before, after)
        if nearest is None:
            return math.nan, math.nan, math.nan
        course, speed = nearest[1]
        if before and after:
            share = (time - before[0]) / (after[0] - before[0])
            (first, first_speed), (second, second_speed) = before[1], after[1]
            speed = first_speed + share * (second_speed - first_speed)
            if not math.isnan(first) and not math.isnan(second):
                course = wrap_bearing(first + share * wrap_angle(second - first))
        return course, speed, abs(time - nearest[0])

    def _position(self, time: float, course: float, speed: float) -> tuple[float, float, float]:
        if self.site is not None:
            return self.site.latitude, self.site.longitude, 0.0
        before, after = self._fixes.around(time, self.stale_after)
        if before and after:
            share = (time - before[0]) / (after[0] - before[0])
            latitude = before[1][0] + share * (after[1][0] - before[1][0])
            longitude = before[1][1] + share * wrap_angle(after[1][1] - before[1][1])
            return latitude, wrap_angle(longitude), min(time - before[0], after[0] - time)
        nearest = before or after
        if nearest is None:
            return math.nan, math.nan, math.nan
        elapsed = time - nearest[0]
        latitude, longitude, _ = nearest[1]
        if speed > 0.0 and not math.isnan(course):
            latitude, longitude = _moved(
                latitude,
                longitude,
                elapsed * speed * math.cos(course),
                elapsed * speed * math.sin(course),
            )
        return latitude, longitude, abs(elapsed)

    def _altitude(self, time: float) -> float:
        if self.site is not None:
            return self.site.altitude
        before, after = self._altitudes.around(time, self.stale_after)
        if before and after:
            share = (time - before[0]) / (after[0] - before[0])
            return before[1] + share * (after[1] - before[1])
        nearest = before or after
        return nearest[1] if nearest else math.nan


def _nearest(
    time: float, before: tuple[float, ValueT] | None, after: tuple[float, ValueT] | None
) -> tuple[float, ValueT] | None:
    if before is None or after is None:
        return before or after
    return before if time - before[0] <= after[0] - time else after


def _moved(latitude: float, longitude: float, north: float, east: float) -> tuple[float, float]:
    """Move a position by a few hundred metres, with the ellipsoid's radii of curvature there."""
    shrink = 1.0 - _ECCENTRICITY_SQUARED * math.sin(latitude) ** 2
    prime_vertical = _SEMI_MAJOR / math.sqrt(shrink)
    meridian = prime_vertical * (1.0 - _ECCENTRICITY_SQUARED) / shrink
    # At a pole east has no meaning; a millimetre of cosine keeps the numbers finite.
    parallel = prime_vertical * max(math.cos(latitude), 1e-9)
    return latitude + north / meridian, wrap_angle(longitude + east / parallel)
