# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The truth of the simulated sky as ROS messages."""

from __future__ import annotations

import math
from collections.abc import Callable

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Quaternion, Vector3
from nav_msgs.msg import Odometry
from sensor_msgs.msg import NavSatFix, NavSatStatus

from thebox_interfaces.msg import Track, TruthArray, TruthObject
from thebox_sim.geometry import Datum, Vector
from thebox_sim.sky import Truth

__all__ = ["datum_message", "fix", "odometry", "truth_array"]

_CLASSES = {
    "drone": Track.CLASS_DRONE,
    "bird": Track.CLASS_BIRD,
    "airplane": Track.CLASS_AIRPLANE,
    "helicopter": Track.CLASS_HELICOPTER,
    "boat": Track.CLASS_BOAT,
    "other": Track.CLASS_OTHER,
}


def truth_array(truth: Truth, stamp: Time, place: Callable[[Vector], Vector]) -> TruthArray:
    """Return the truth as a message.

    :param place: gives a position of the scenario in the map frame, ENU metres.
    """
    message = TruthArray()
    message.header.stamp = stamp
    message.header.frame_id = "map"
    for item in truth.objects:
        east, north, up = place(item.position)
        v_east, v_north, v_up = item.velocity
        message.objects.append(
            TruthObject(
                id=item.id,
                object_class=_CLASSES[item.object_class],
                label=item.label,
                position=Point(x=east, y=north, z=up),
                velocity=Vector3(x=v_east, y=v_north, z=v_up),
                emitter_ids=list(item.emitter_keys),
            )
        )
    return message


def odometry(truth: Truth, stamp: Time) -> Odometry:
    """Return the own-ship's pose and motion as they really are, in the scenario's frame."""
    ship = truth.own_ship
    message = Odometry()
    message.header.stamp = stamp
    message.header.frame_id = "map"
    message.child_frame_id = "base_link"
    east, north, up = ship.position
    message.pose.pose.position = Point(x=east, y=north, z=up)
    # REP-103: yaw counts counter-clockwise from east, heading clockwise from north.
    yaw = math.pi / 2.0 - ship.heading
    message.pose.pose.orientation = Quaternion(
        x=0.0, y=0.0, z=math.sin(yaw / 2.0), w=math.cos(yaw / 2.0)
    )
    v_east, v_north, _ = ship.velocity
    forward = v_east * math.cos(yaw) + v_north * math.sin(yaw)
    left = -v_east * math.sin(yaw) + v_north * math.cos(yaw)
    message.twist.twist.linear = Vector3(x=forward, y=left, z=0.0)
    message.twist.twist.angular = Vector3(x=0.0, y=0.0, z=-ship.heading_rate)
    # The truth is known: one metre and half a degree stand for a good receiver and compass.
    position_variance, heading_variance = 1.0, math.radians(0.5) ** 2
    covariance = [0.0] * 36
    for index in (0, 7, 14):
        covariance[index] = position_variance
    for index in (21, 28, 35):
        covariance[index] = heading_variance
    message.pose.covariance = covariance
    speeds = [0.0] * 36
    for index in (0, 7, 14):
        speeds[index] = 0.01
    for index in (21, 28, 35):
        speeds[index] = math.radians(0.5) ** 2
    message.twist.covariance = speeds
    return message


def fix(truth: Truth, stamp: Time, datum: Datum) -> NavSatFix:
    """Return where the own-ship really is, as a receiver would tell it."""
    message = NavSatFix()
    message.header.stamp = stamp
    message.header.frame_id = "base_link"
    message.status.status = NavSatStatus.STATUS_FIX
    message.status.service = NavSatStatus.SERVICE_GPS
    message.latitude, message.longitude, message.altitude = datum.to_geodetic(
        truth.own_ship.position
    )
    message.position_covariance = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.position_covariance_type = NavSatFix.COVARIANCE_TYPE_DIAGONAL_KNOWN
    return message


def datum_message(stamp: Time, datum: Datum) -> NavSatFix:
    """Return the origin of the map frame, as the own-ship's driver tells it."""
    message = NavSatFix()
    message.header.stamp = stamp
    message.header.frame_id = "map"
    message.latitude, message.longitude = datum.latitude_deg, datum.longitude_deg
    message.altitude = datum.altitude_m
    return message
