# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The five QoS profiles of the box; no other is used anywhere.

REP-2003: publishers of sensor values are reliable, subscribers may ask for less.
"""

from __future__ import annotations

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
)

__all__ = ["DETECTIONS", "EVENTS", "LATCHED", "PICTURES", "STATE"]

#: Detections: every one counts, so reliable and deep enough for seconds of burst: what overflows
#: here is lost without a count, so the nodes' own bounded queues must come first.
DETECTIONS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=5000,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)

#: Events: none may be lost to a console that is slow for a moment.
EVENTS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)

#: Tracks, odometry, gimbal state: the newest matters.
STATE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=10,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)

#: What a late joiner must still get: coverage, zones, the box's description.
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

#: Camera pictures: large, the newest only, a lost one is not sent again.
PICTURES = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
)
