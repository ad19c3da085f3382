# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Where the own-ship was and how it lay, at any time of the last half minute. No ROS."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, Literal, TypeVar

from thebox_sensors.ownship.protocol import CourseSpeed, Fix, Heading, Record
from thebox_sensors.ownship.smoothing import Smoothed, jitter, smoothed
from thebox_sensors.protocol_base import wrap_angle, wrap_bearing

ValueT = TypeVar("ValueT")
Source = Literal["static", "HDT", "THS", "HDG", "COG", ""]

#: A gyro heard less often than this does not show the turn between headings, seconds.
_GYRO_PERIOD = 0.5
#: With a gyro the window is this many times as wide.
_WITH_GYRO = 3.0
#: The jitter is told from the headings this far around, seconds.
_JITTER_REACH = 4.0
#: Fewer fixes than this are not averaged.
_FEWEST_FIXES = 4
#: A fix this far from the others is no noise, metres.
_JUMP = 25.0
#: Course and speed heard less often than this do not show the way between fixes, seconds.
_MOTION_GAP = 2.5
#: Below this speed a missing course is none, m/s.
_STANDING = 0.5
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
    sigma: float = 0.0
    """What the compass's jitter leaves after smoothing, radians; its slow error is not in it."""
    rate: float = math.nan
    """Of the turn, clockwise, as the headings themselves show it; NaN: they do not, rad/s."""


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
    """Clockwise, rad/s: a gyro's, else as the headings show it."""


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

    def within(self, time: float, reach: float) -> tuple[list[float], list[ValueT]]:
        """Return times and values no further than `reach` seconds from `time`."""
        first = bisect_left(self.times, time - reach)
        last = bisect_right(self.times, time + reach)
        return self.times[first:last], self.values[first:last]

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
        smoothing: headings up to so far from the time asked for are averaged, seconds (see
            `thebox_sensors.ownship.smoothing`); 0: each is taken as it came.
        position_smoothing: fixes up to so far from the time asked for are averaged, along the way
            that courses and speeds tell, seconds; 0: each is taken as it came.
    """

    def __init__(
        self,
        stale_after: float = 5.0,
        course_speed_minimum: float = 2.0,
        horizon: float = 30.0,
        site: StaticSite | None = None,
        fixed_heading: float = math.nan,
        *,
        smoothing: float = 1.0,
        position_smoothing: float = 0.0,
    ) -> None:
        self.stale_after = stale_after
        self.course_speed_minimum = course_speed_minimum
        self.site = site
        self.smoothing = smoothing
        self.position_smoothing = position_smoothing
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
                bearing
                for source in sources
                for bearing in [self._heading_of(source, time)]
                if not math.isnan(bearing.age)
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
        gyro = self._turn_rate(time, self.stale_after)
        heading = self.heading(time)
        return Pose(
            time=time,
            latitude=latitude,
            longitude=longitude,
            altitude=self._altitude(time),
            position_age=age,
            heading=heading,
            course=course,
            speed=speed,
            turn_rate=heading.rate if math.isnan(gyro) else gyro,
        )

    def jitter(self, time: float) -> float:
        """Return the headings' own noise about a time, radians; NaN where it can't be told."""
        source = self.heading(time).source
        if source not in self._headings:
            return math.nan
        return jitter(self._headings[source].within(time, _JITTER_REACH)[1])

    def _turn_rate(self, time: float, reach: float) -> float:
        nearest = _nearest(time, *self._turn_rates.around(time, reach))
        return nearest[1] if nearest else math.nan

    def _heading_of(self, source: Source, time: float) -> Bearing:
        series = self._headings[source]
        angle, age = self._angle_at(series, time)
        found: Smoothed | None = None
        if self.smoothing > 0.0 and age <= 0.5 * self.smoothing:
            # Where a gyro knows the turn, more headings can be averaged.
            for reach, gyro in ((_WITH_GYRO * self.smoothing, True), (self.smoothing, False)):
                times, headings = series.within(time, reach)
                turned = self._turned(times, time) if gyro else None
                if gyro and turned is None:
                    continue
                noise = jitter(series.within(time, _JITTER_REACH)[1])
                found = smoothed(times, headings, time, reach, noise=noise, turned=turned)
                if found is not None:
                    break
        if found is None:
            return Bearing(wrap_bearing(angle), source, age)
        return Bearing(wrap_bearing(found.heading), source, age, found.sigma, found.rate)

    def _turned(self, times: list[float], time: float) -> list[float] | None:
        """Return the gyro's turn from each of the times to `time`; None without a gyro there."""
        stamps, rates = self._turn_rates.within(time, _WITH_GYRO * self.smoothing + _GYRO_PERIOD)
        if not stamps or not times or min(abs(time - t) for t in stamps) > _GYRO_PERIOD:
            return None
        points = sorted({*times, *stamps, time})
        turned, angle, before = {points[0]: 0.0}, 0.0, points[0]
        for point in points[1:]:
            middle = _interpolated(stamps, rates, 0.5 * (before + point))
            angle += middle * (point - before)
            turned[point], before = angle, point
        return [turned[time] - turned[t] for t in times]

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
        latitude, longitude, age = self._position_as_heard(time, course, speed)
        if math.isnan(latitude):
            return latitude, longitude, age
        times, fixes = self._fixes.within(time, self.position_smoothing)
        way = self._way(times, time) if len(times) >= _FEWEST_FIXES else None
        if way is None:
            return latitude, longitude, age
        meridian, parallel = _radii(latitude)
        offsets = [
            (
                meridian * (fix[0] - latitude) + north,
                parallel * wrap_angle(fix[1] - longitude) + east,
            )
            for fix, (north, east) in zip(fixes, way, strict=True)
        ]
        near = [offset for offset in offsets if math.hypot(*offset) < _JUMP]
        if 2 * len(near) < len(offsets):
            return latitude, longitude, age  # the receiver has just found itself elsewhere
        north, east = (sum(o[axis] for o in near) / len(near) for axis in (0, 1))
        return *_moved(latitude, longitude, north, east), age

    def _way(self, times: list[float], time: float) -> list[tuple[float, float]] | None:
        """Return the way north and east, metres, from each of the times to `time`.

        None where course and speed were not heard throughout: a mean of fixes would then lag.
        """
        stamps, motions = self._courses.within(time, self.position_smoothing + _MOTION_GAP)
        ends = sorted({*times, time})
        heard = sorted({*stamps, ends[0], ends[-1]})
        if not stamps or max(b - a for a, b in pairwise([heard[0], *heard])) > _MOTION_GAP:
            return None
        if any(math.isnan(course) and speed > _STANDING for course, speed in motions):
            return None
        still = [(0.0 if math.isnan(course) else course, speed) for course, speed in motions]
        speeds_north = [speed * math.cos(course) for course, speed in still]
        speeds_east = [speed * math.sin(course) for course, speed in still]
        points = sorted({*stamps, *ends})
        gone, north, east = {points[0]: (0.0, 0.0)}, 0.0, 0.0
        for before, point in pairwise(points):
            middle = 0.5 * (before + point)
            north += (point - before) * _interpolated(stamps, speeds_north, middle)
            east += (point - before) * _interpolated(stamps, speeds_east, middle)
            gone[point] = (north, east)
        there = gone[time]
        return [(there[0] - gone[t][0], there[1] - gone[t][1]) for t in times]

    def _position_as_heard(
        self, time: float, course: float, speed: float
    ) -> tuple[float, float, float]:
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
        _, near = self._altitudes.within(time, self.position_smoothing)
        if len(near) >= _FEWEST_FIXES and max(near) - min(near) < _JUMP:
            return sum(near) / len(near)
        before, after = self._altitudes.around(time, self.stale_after)
        if before and after:
            share = (time - before[0]) / (after[0] - before[0])
            return before[1] + share * (after[1] - before[1])
        nearest = before or after
        return nearest[1] if nearest else math.nan


def _interpolated(times: list[float], values: list[float], time: float) -> float:
    """Return the value at a time on the line between samples, beyond them the outermost."""
    place = bisect_right(times, time)
    if place == 0 or place == len(times):
        return values[0 if place == 0 else -1]
    share = (time - times[place - 1]) / (times[place] - times[place - 1])
    return values[place - 1] + share * (values[place] - values[place - 1])


def _nearest(
    time: float, before: tuple[float, ValueT] | None, after: tuple[float, ValueT] | None
) -> tuple[float, ValueT] | None:
    if before is None or after is None:
        return before or after
    return before if time - before[0] <= after[0] - time else after


def _moved(latitude: float, longitude: float, north: float, east: float) -> tuple[float, float]:
    """Move a position by a few hundred metres, with the ellipsoid's radii of curvature there."""
    meridian, parallel = _radii(latitude)
    return latitude + north / meridian, wrap_angle(longitude + east / parallel)


def _radii(latitude: float) -> tuple[float, float]:
    """Return metres north for a radian of latitude, and metres east for one of longitude."""
    shrink = 1.0 - _ECCENTRICITY_SQUARED * math.sin(latitude) ** 2
    prime_vertical = _SEMI_MAJOR / math.sqrt(shrink)
    meridian = prime_vertical * (1.0 - _ECCENTRICITY_SQUARED) / shrink
    # At a pole east has no meaning; a millimetre of cosine keeps the numbers finite.
    return meridian, prime_vertical * max(math.cos(latitude), 1e-9)
