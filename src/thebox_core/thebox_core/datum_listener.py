# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Hears the origin of the map frame from ``ownship/datum`` (latched)."""

from __future__ import annotations

import math

from rclpy.node import Node
from sensor_msgs.msg import NavSatFix

from thebox_core.geodesy import Datum
from thebox_core.qos import LATCHED

__all__ = ["DatumListener", "datum_of"]


def datum_of(message: NavSatFix) -> Datum | None:
    """Read a datum message; None for one that says no place. An unknown altitude counts as 0."""
    try:
        return Datum(
            math.radians(message.latitude),
            math.radians(message.longitude),
            0.0 if math.isnan(message.altitude) else message.altitude,
        )
    except ValueError:
        return None


class DatumListener:
    """The datum as a node hears of it; ``datum`` is None until there is one."""

    def __init__(self, node: Node) -> None:
        self.datum: Datum | None = None
        self._node = node
        self._subscription = node.create_subscription(
            NavSatFix, "ownship/datum", self._heard, LATCHED
        )

    def _heard(self, message: NavSatFix) -> None:
        self.datum = datum_of(message) or self.datum

    def close(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)
