# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Feeds an OwnShipHistory from ``ownship/odometry``."""

from __future__ import annotations

import math

from nav_msgs.msg import Odometry
from rclpy.node import Node

from thebox_core.messages import seconds
from thebox_core.ownship import OwnShipHistory, Pose
from thebox_core.qos import STATE

__all__ = ["OwnShip", "pose_of"]

_NORTH = 0.5 * math.pi


def pose_of(message: Odometry) -> Pose:
    """Read an odometry message: pose in map, twist in base_link (REP-105, nav_msgs).

    A NaN variance of yaw or of the position means that heading or position is not known.
    """
    p, q = message.pose.pose.position, message.pose.pose.orientation
    v = message.twist.twist.linear
    covariance = message.pose.covariance
    yaw = math.atan2(2.0 * (q.w * q.z + q.x * q.y), 1.0 - 2.0 * (q.y * q.y + q.z * q.z))
    heading = math.nan if math.isnan(covariance[35]) else (_NORTH - yaw) % (2.0 * math.pi)
    placed = not math.isnan(covariance[0])
    east, north, up = (p.x, p.y, p.z) if placed else (math.nan,) * 3
    cos, sin = math.cos(yaw), math.sin(yaw)
    return Pose(
        seconds(message.header.stamp),
        east,
        north,
        up,
        v.x * cos - v.y * sin,
        v.x * sin + v.y * cos,
        v.z,
        heading,
        # Counter-clockwise about the vertical in the message (REP-103).
        math.nan if math.isnan(message.twist.covariance[35]) else -message.twist.twist.angular.z,
    )


class OwnShip:
    """The own-ship as a node hears of it: a subscription and its history."""

    def __init__(self, node: Node, max_age: float = 5.0) -> None:
        self.history = OwnShipHistory(max_age=max_age)
        self._node = node
        self._subscription = node.create_subscription(
            Odometry, "ownship/odometry", lambda m: self.history.add(pose_of(m)), STATE
        )

    def close(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)
