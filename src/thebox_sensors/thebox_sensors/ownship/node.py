# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The own-ship's node: NMEA 0183, or a fixed site, to fix, odometry, TF and the map's origin.

A pose is published at every measurement of position or heading, stamped with the time of that
measurement, so that whoever needs the own-ship at another time interpolates between measured
poses. What is not known has a NaN variance, and there is no TF without both position and heading.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.timer import Timer
from sensor_msgs.msg import NavSatFix, NavSatStatus
from tf2_msgs.msg import TFMessage

from thebox_core.geodesy import Datum
from thebox_core.health import STALE, WARN, Report
from thebox_core.messages import to_time
from thebox_core.node import run
from thebox_core.parameters import Value
from thebox_core.qos import LATCHED, STATE
from thebox_sensors.ownship.parameters import PARAMETERS
from thebox_sensors.ownship.protocol import CourseSpeed, Fix, Heading, Parser, Record
from thebox_sensors.ownship.state import OwnShipState, Pose, Source, StaticSite
from thebox_sensors.protocol_base import Parsed, Reject
from thebox_sensors.receiver import Receiver

__all__ = ["Navigation", "main"]

_NORTH = 0.5 * math.pi
#: How long the first fix waits for one with an altitude (RMC has none, GGA has): seconds.
_ALTITUDE_WAIT = 2.0
#: Horizontal error relative to a plain GNSS fix of the same HDOP, by GGA's quality indicator.
_QUALITY_FACTORS = {2: 0.4, 3: 1.0, 4: 0.01, 5: 0.15, 6: 10.0, 7: 10.0}
_QUALITIES = {
    0: "unknown",
    1: "GNSS",
    2: "differential",
    3: "PPS",
    4: "RTK fixed",
    5: "RTK float",
    6: "dead reckoning",
    7: "manual",
}
#: HDOP taken for a fix that does not say one.
_USUAL_HDOP = 2.0
#: Growth of the position's error while it is carried on with a measured, or no, velocity: m/s.
_CARRIED_SIGMA, _HELD_SIGMA = 0.5, 5.0
#: Error of a measured speed over ground, and of taking the vertical speed as zero: m/s.
_SPEED_SIGMA, _HEAVE_SIGMA = 0.2, 1.0
_SERVICES = {
    "GP": NavSatStatus.SERVICE_GPS,
    "GL": NavSatStatus.SERVICE_GLONASS,
    "GA": NavSatStatus.SERVICE_GALILEO,
    "GB": NavSatStatus.SERVICE_COMPASS,
    "BD": NavSatStatus.SERVICE_COMPASS,
}


@dataclass(frozen=True)
class _Satellites:
    """What the last GGA said of its fix."""

    time: float
    quality: int
    satellites: int
    hdop: float


_NO_GGA = _Satellites(math.nan, 0, 0, math.nan)


class Navigation(Receiver):
    """Where the own-ship is and where its bow points."""

    IGNORED = frozenset({"other_sentence"})
    COUNTED = "sentences"
    STREAM_LINE_LIMIT = 1024
    PARAMETERS = PARAMETERS

    def __init__(self, name: str = "ownship", **options: Any) -> None:
        # Before the base, whose autostart may need them. The worker's thread and the timer's
        # both publish.
        self._guard = threading.RLock()
        self._navigation = OwnShipState()
        self._map_datum: Datum | None = None
        self._site_timer: Timer | None = None
        self._forget()
        super().__init__(name, **options)
        self.health.add("position", self._report_position)
        self.health.add("heading", self._report_heading)

    def _forget(self) -> None:
        self._first_heard = math.nan
        self._separation = 0.0
        self._separation_known = False
        self._gga = _NO_GGA
        self._last_arrival = -math.inf
        self._newest = -math.inf
        self._published_at = -math.inf
        self._transformed_at = -math.inf
        self._changed = False
        self._heard_position = math.nan
        self._heard_headings: dict[Source, float] = {}

    # Records ----------------------------------------------------------------------------------

    def make_parser(self) -> Parser:
        """Return an NMEA parser."""
        return Parser()

    def parse(self, message: bytes, arrival: float) -> Parsed[Record]:
        """Parse with the time of arrival, which dates GGA's time of day."""
        parser: Parser = self._parser
        return parser.parse(message, arrival)

    def record_time(self, record: Record) -> float:
        """Return the receiver's time of a position, a tag block's of other sentences."""
        return record.time

    def stamp_of(self, record: Record, arrival: float) -> float:
        """Return the time of measurement; a sentence that has none was measured as it came."""
        return arrival if math.isnan(record.time) else super().stamp_of(record, arrival)

    def take(self, record: Record, arrival: float) -> None:
        """Take one sentence into the own-ship's state."""
        time = self.stamp_of(record, arrival)
        with self._guard:
            if arrival < self._last_arrival - self.values["max_age"]:
                # The clock stepped back: a replay began anew.
                self._navigation.reset()
                self._forget()
            self._last_arrival = arrival
            if isinstance(record, Fix):
                record = self._above_ellipsoid(record)
            if not self._navigation.update(record, time):
                raise Reject("too_old", f"{type(record).__name__} is older than what is kept")
            self._newest = max(self._newest, time)
            self._changed = True
            if isinstance(record, Fix):
                self._take_fix(record, time)
            elif isinstance(record, Heading):
                self._heard_headings[record.source] = time
            elif (
                isinstance(record, CourseSpeed)
                and record.speed >= self.values["heading.course_speed_min"]
            ):
                self._heard_headings["COG"] = time
        self.accept(arrival)

    def taken(self, arrival: float) -> None:
        """Publish the pose at the newest measurement.

        A second measurement of the same time (speed after position) publishes that pose again,
        more complete: the reader's history replaces it.
        """
        with self._guard:
            elapsed = self._newest - self._published_at
            due = elapsed == 0.0 or elapsed >= 1.0 / self.values["publish_rate_max"]
            if self._changed and due:
                self._changed = False
                self._publish_pose(self._newest)

    def _above_ellipsoid(self, fix: Fix) -> Fix:
        if not math.isnan(fix.geoid_separation):
            self._separation, self._separation_known = fix.geoid_separation, True
        return replace(fix, altitude=fix.altitude + self._separation)

    def _take_fix(self, fix: Fix, time: float) -> None:
        self._heard_position = time
        if fix.source == "GGA":
            self._gga = _Satellites(time, fix.quality, fix.satellites, fix.hdop)
        elif abs(time - self._gga.time) <= self.values["max_age"]:
            return  # GGA says more of the same position
        if self.values["position.source"] == "fixed":
            return
        if self._map_datum is None:
            self._take_first(fix, time)
        self._publish_fix(fix.latitude, fix.longitude, fix.altitude, time, fix.talker)

    def _take_first(self, fix: Fix, time: float) -> None:
        if math.isnan(self._first_heard):
            self._first_heard = time
        if math.isnan(fix.altitude) and time - self._first_heard < _ALTITUDE_WAIT:
            return
        altitude = 0.0 if math.isnan(fix.altitude) else fix.altitude
        self._set_datum(Datum(fix.latitude, fix.longitude, altitude))

    # Life cycle -------------------------------------------------------------------------------

    @property
    def listens(self) -> bool:
        """Whether position or heading come from sentences."""
        return "nmea" in (self.values["position.source"], self.values["heading.source"])

    def check_parameters(self, values: dict[str, Value]) -> str:
        """Refuse a fixed place that was not given, and what the base refuses."""
        for group in ("position", "datum"):
            if values[f"{group}.source"] == "fixed" and not (
                values[f"{group}.latitude"] or values[f"{group}.longitude"]
            ):
                return (
                    f"{group}.source is fixed, but {group}.latitude and {group}.longitude are "
                    "both 0: give the place"
                )
        for name in ("frame.map", "frame.base"):
            if not values[name] or str(values[name]).startswith("/"):
                return f"{name}: a frame needs a name without a leading slash"
        return super().check_parameters(values)

    def configure(self) -> None:
        """Create the publishers."""
        self._fix_out = self.create_publisher(NavSatFix, "ownship/fix", STATE)
        self._odometry_out = self.create_publisher(Odometry, "ownship/odometry", STATE)
        self._datum_out = self.create_publisher(NavSatFix, "ownship/datum", LATCHED)
        # Absolute, as everything that reads TF expects it.
        self._tf_out = self.create_publisher(TFMessage, "/tf", STATE)
        super().configure()

    def activate(self) -> None:
        """Begin with what the parameters say; the datum of an earlier activation stays."""
        with self._guard:
            self._forget()
            self._navigation = self._new_state()
            self._place_datum()
        if self.values["position.source"] == "fixed":
            self._site_timer = self.create_timer(
                1.0 / self.values["publish_rate_fixed"], self._publish_site
            )
        super().activate()

    def deactivate(self) -> None:
        """Close the source and end the timer."""
        super().deactivate()
        if self._site_timer is not None:
            self.destroy_timer(self._site_timer)
            self._site_timer = None

    def cleanup(self) -> None:
        """Release the publishers."""
        super().cleanup()
        for name in ("_fix_out", "_odometry_out", "_datum_out", "_tf_out"):
            publisher = self.__dict__.pop(name, None)
            if publisher is not None:
                self.destroy_publisher(publisher)

    def parameters_changed(self, names: set[str]) -> None:
        """Begin anew where what is published depends on it; sigmas are read when used."""
        if any(name.startswith("datum.") and name != "datum.distance_max" for name in names):
            self._map_datum = None
        begins = {"position.source", "heading.source", "publish_rate_fixed", "max_age"}
        begins |= {"heading.fixed", "heading.course_speed_min", "heading.smoothing"}
        begins |= {"position.smoothing"}
        places = ("position.latitude", "position.longitude", "position.altitude", "datum.")
        if self.is_active and (names & begins or any(n.startswith(places) for n in names)):
            self.deactivate()
            self.activate()
        else:
            super().parameters_changed(names)

    def _new_state(self) -> OwnShipState:
        fixed = self.values["heading.source"] == "fixed"
        return OwnShipState(
            stale_after=self.values["max_age"],
            course_speed_minimum=self.values["heading.course_speed_min"],
            site=self._site(),
            fixed_heading=self.values["heading.fixed"] if fixed else math.nan,
            smoothing=self.values["heading.smoothing"],
            position_smoothing=self.values["position.smoothing"],
        )

    def _site(self) -> StaticSite | None:
        if self.values["position.source"] != "fixed":
            return None
        return StaticSite(*self._parameter_place("position"))

    def _parameter_place(self, group: str) -> tuple[float, float, float]:
        return (
            math.radians(self.values[f"{group}.latitude"]),
            math.radians(self.values[f"{group}.longitude"]),
            self.values[f"{group}.altitude"],
        )

    # The map's origin -------------------------------------------------------------------------

    def _place_datum(self) -> None:
        for group in ("datum", "position"):
            if self.values[f"{group}.source"] == "fixed":
                self._set_datum(Datum(*self._parameter_place(group)))
                return
        if self._map_datum is not None:
            self._set_datum(self._map_datum)

    def _set_datum(self, datum: Datum) -> None:
        self._map_datum = datum
        message = NavSatFix()
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = self.values["frame.map"]
        message.latitude = math.degrees(datum.latitude)
        message.longitude = math.degrees(datum.longitude)
        message.altitude = datum.altitude
        self._datum_out.publish(message)
        self.get_logger().info(
            f"map origin: {message.latitude:.6f}, {message.longitude:.6f}, "
            f"{message.altitude:.1f} m above the ellipsoid"
        )

    # Publication ------------------------------------------------------------------------------

    def _publish_site(self) -> None:
        if self._site_timer is None:
            return  # an expiry that was under way when the timer was destroyed
        now = self.now()
        with self._guard:
            latitude, longitude, altitude = self._parameter_place("position")
            self._publish_fix(latitude, longitude, altitude, now)
            self._publish_pose(now)

    def _publish_fix(
        self, latitude: float, longitude: float, altitude: float, time: float, talker: str = ""
    ) -> None:
        message = NavSatFix()
        message.header.stamp = to_time(time)
        message.header.frame_id = self.values["frame.base"]
        message.latitude, message.longitude = math.degrees(latitude), math.degrees(longitude)
        fixed = self.values["position.source"] == "fixed"
        # NavSatFix wants it above the ellipsoid; without a separation it is above the sea.
        message.altitude = altitude if fixed or self._separation_known else math.nan
        message.status.status = (
            {2: NavSatStatus.STATUS_SBAS_FIX, 4: 2, 5: 2}.get(self._quality(time), 0)
            if not fixed
            else NavSatStatus.STATUS_FIX
        )
        message.status.service = _SERVICES.get(talker, NavSatStatus.SERVICE_UNKNOWN)
        across, up = self._position_sigmas(time, 0.0, True)
        message.position_covariance = np.diag([across**2, across**2, up**2]).ravel()
        message.position_covariance_type = NavSatFix.COVARIANCE_TYPE_APPROXIMATED
        self._fix_out.publish(message)

    def _publish_pose(self, time: float) -> None:
        pose = self._navigation.pose(time)
        datum = self._map_datum
        placed = datum is not None and math.isfinite(pose.latitude)
        headed = math.isfinite(pose.heading.heading)
        self._published_at = max(self._published_at, time)
        if not (placed or headed):
            return
        message = Odometry()
        message.header.stamp = to_time(time)
        message.header.frame_id = self.values["frame.map"]
        message.child_frame_id = self.values["frame.base"]
        place = (0.0, 0.0, math.nan)
        if placed and datum is not None:
            place = datum.to_map(pose.latitude, pose.longitude, pose.altitude)
        p, q = message.pose.pose.position, message.pose.pose.orientation
        p.x, p.y, p.z = place[0], place[1], 0.0 if math.isnan(place[2]) else place[2]
        # Without a heading the base frame is drawn along map's axes; the variance says unknown.
        yaw = _NORTH - pose.heading.heading if headed else 0.0
        q.z, q.w = math.sin(0.5 * yaw), math.cos(0.5 * yaw)
        across, up = (
            self._position_sigmas(time, pose.position_age, math.isfinite(pose.speed))
            if placed
            else (math.nan, math.nan)
        )
        up = math.nan if math.isnan(place[2]) else up
        # Roll and pitch are not measured.
        message.pose.covariance = _diagonal(
            across, across, up, math.nan, math.nan, self._heading_sigma(pose)
        )
        self._fill_twist(message, pose, yaw)
        self._odometry_out.publish(message)
        if placed and headed and time > self._transformed_at:
            # tf2 warns of a stamp that it has already.
            self._transformed_at = time
            self._publish_transform(message)

    def _fill_twist(self, message: Odometry, pose: Pose, yaw: float) -> None:
        twist = message.twist.twist
        speed, course = pose.speed, pose.course
        if speed < 1.0 and math.isnan(course):
            course = 0.0  # receivers give no course while at rest; the speed's error covers it
        east, north = speed * math.sin(course), speed * math.cos(course)
        twist.linear.x = east * math.cos(yaw) + north * math.sin(yaw)
        twist.linear.y = -east * math.sin(yaw) + north * math.cos(yaw)
        site = self._navigation.site is not None
        sigma = math.nan if math.isnan(twist.linear.x) else 0.0 if site else _SPEED_SIGMA
        twist.angular.z = -pose.turn_rate
        turning = math.nan if math.isnan(pose.turn_rate) else self.values["heading.sigma_rate"]
        message.twist.covariance = _diagonal(
            sigma, sigma, 0.0 if site else _HEAVE_SIGMA, math.nan, math.nan, turning
        )

    def _publish_transform(self, odometry: Odometry) -> None:
        transform = TransformStamped(header=odometry.header, child_frame_id=odometry.child_frame_id)
        p, t = odometry.pose.pose.position, transform.transform.translation
        t.x, t.y, t.z = p.x, p.y, p.z
        transform.transform.rotation = odometry.pose.pose.orientation
        self._tf_out.publish(TFMessage(transforms=[transform]))

    # Errors -----------------------------------------------------------------------------------

    def _quality(self, time: float) -> int:
        fresh = abs(time - self._gga.time) <= self.values["max_age"]
        return self._gga.quality if fresh else 0

    def _position_sigmas(self, time: float, age: float, moving: bool) -> tuple[float, float]:
        """Horizontal and vertical standard deviation of the position, metres."""
        if self.values["position.source"] == "fixed":
            return self.values["position.sigma_fixed"], self.values["position.sigma_fixed"]
        quality = self._quality(time)
        hdop = self._gga.hdop if quality and self._gga.hdop > 0.0 else _USUAL_HDOP
        sigma = self.values["position.sigma_gnss"] * hdop * _QUALITY_FACTORS.get(quality, 1.0)
        # Half the variance of the horizontal error goes to each axis; GNSS is about half as
        # good in height.
        grown = age * (_CARRIED_SIGMA if moving else _HELD_SIGMA)
        across = math.hypot(sigma / math.sqrt(2.0), grown)
        return across, math.sqrt(2.0) * sigma

    def _heading_sigma(self, pose: Pose) -> float:
        name = {
            "static": "fixed",
            "HDT": "true",
            "THS": "true",
            "HDG": "magnetic",
            "COG": "course",
        }.get(pose.heading.source)
        if name is None:
            return math.nan
        grown: float = pose.heading.age * self.values["heading.sigma_rate"]
        # The compass's own error does not average out, its jitter does; both are in the sum.
        return math.hypot(self.values[f"heading.sigma_{name}"], grown, pose.heading.sigma)

    # Health -----------------------------------------------------------------------------------

    def _report_position(self, report: Report) -> None:
        if not self.is_active:
            report.find(STALE, self.state)
            return
        now = self.now()
        with self._guard:
            pose, gga, datum = self._navigation.pose(now), self._gga, self._map_datum
            heard, quality = self._heard_position, self._quality(now)
        report.put("source", self.values["position.source"])
        report.put("latitude", math.degrees(pose.latitude))
        report.put("longitude", math.degrees(pose.longitude))
        report.put("altitude", pose.altitude)
        report.put("speed", pose.speed)
        report.put("course", pose.course)
        report.put("age", pose.position_age)
        if datum is None:
            report.put("datum", "none")
        else:
            report.put("datum.latitude", math.degrees(datum.latitude))
            report.put("datum.longitude", math.degrees(datum.longitude))
            report.put("datum.altitude", datum.altitude)
        if self.values["position.source"] == "fixed":
            report.findings.append("fixed site")
            return
        report.put("quality", _QUALITIES.get(quality, str(quality)))
        report.put("satellites", gga.satellites)
        report.put("hdop", gga.hdop)
        if math.isnan(pose.latitude):
            report.find(*self._missing(heard, now, "position", "the GNSS receiver and its antenna"))
            return
        if quality in (6, 7):
            report.find(
                WARN,
                f"the position is {_QUALITIES[quality]}, not measured: the receiver has lost "
                "its satellites; check its antenna",
            )
        if datum is not None:
            east, north, _ = datum.to_map(pose.latitude, pose.longitude)
            distance = math.hypot(east, north)
            report.put("datum.distance", distance)
            if distance > self.values["datum.distance_max"]:
                report.find(
                    WARN,
                    f"{distance / 1e3:.0f} km from the map's origin, where north differs: "
                    "restart this node, or set datum.latitude and datum.longitude near here",
                )
        used = f", {gga.satellites} satellites" if quality else ""
        report.findings.append(f"{_QUALITIES.get(quality, quality)} fix{used}")

    def _report_heading(self, report: Report) -> None:
        if not self.is_active:
            report.find(STALE, self.state)
            return
        now = self.now()
        with self._guard:
            pose = self._navigation.pose(now)
            rattle = self._navigation.jitter(now)
            heard = dict(self._heard_headings)
        heading = pose.heading
        report.put("source", heading.source or "none")
        report.put("heading", heading.heading)
        report.put("age", heading.age)
        report.put("sigma", self._heading_sigma(pose))
        report.put("jitter", rattle)
        report.put("turn_rate", pose.turn_rate)
        report.put_all((f"age.{source}", now - time) for source, time in sorted(heard.items()))
        if not heading.source:
            newest = max(heard.values(), default=math.nan)
            report.find(*self._missing(newest, now, "heading", "the compass"))
            return
        compass = max((t for s, t in heard.items() if s != "COG"), default=math.nan)
        if heading.source == "COG":
            since = "" if math.isnan(compass) else f" for {now - compass:.0f} s"
            report.find(
                WARN,
                f"no compass heard{since}: course over ground stands in, which is wrong in a "
                "turn and in current; check the compass, its power and cable",
            )
        elif heading.source == "HDG" and heard.keys() & {"HDT", "THS"}:
            report.find(
                WARN, "the true heading is lost, the magnetic one stands in: check the gyrocompass"
            )
        report.findings.append(f"{math.degrees(heading.heading):.1f} degrees from {heading.source}")

    def _missing(self, heard: float, now: float, what: str, instrument: str) -> tuple[int, str]:
        advice = (
            f"check {instrument}, power and cable, and what 'input' rejects; "
            f"a site that stays can set {what}.source to fixed"
        )
        if math.isnan(heard):
            return WARN, f"no {what} yet: {advice}"
        return STALE, f"no {what} for {now - heard:.0f} s: {advice}"


def _diagonal(*sigmas: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.diag(np.square(np.array(sigmas, dtype=np.float64))).ravel()


def main() -> None:
    """Run the node as a process."""
    run(Navigation)


if __name__ == "__main__":
    main()
