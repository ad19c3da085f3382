# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Between WGS-84 and the ``map`` frame: local east, north, up at a datum. No ROS in here.

The conversions are pymap3d's (EPSG method 9837, geographic to topocentric). Bearings in ``map``
count from the datum's north: at a distance d from it, true north differs by about
``d * tan(latitude) / 6 371 km`` (0.13 degrees at 15 km and latitude 45), so a box that travels
takes a new datum from time to time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pymap3d import enu2geodetic, geodetic2enu  # type: ignore[import-untyped]

__all__ = ["Datum"]


@dataclass(frozen=True)
class Datum:
    """The origin of the ``map`` frame.

    Attributes:
        latitude, longitude: WGS-84, radians.
        altitude: above the WGS-84 ellipsoid, metres.

    Raises:
        ValueError: a number is not finite, or no place on Earth.
    """

    latitude: float
    longitude: float
    altitude: float = 0.0

    def __post_init__(self) -> None:
        if not abs(self.latitude) <= 0.5 * math.pi or not abs(self.longitude) <= math.pi:
            raise ValueError(
                f"latitude {math.degrees(self.latitude):g} and longitude "
                f"{math.degrees(self.longitude):g} degrees are no place on Earth"
            )
        if not math.isfinite(self.altitude):
            raise ValueError("a datum needs an altitude")

    def to_map(
        self, latitude: float, longitude: float, altitude: float = math.nan
    ) -> tuple[float, float, float]:
        """East, north and up in metres of a place.

        Args:
            latitude: WGS-84, radians.
            longitude: WGS-84, radians.
            altitude: above the ellipsoid, metres; NaN: not known. East and north are then those
                of the place at the datum's altitude (100 m higher: 1.6 m at 100 km), up is NaN.
        """
        known = not math.isnan(altitude)
        east, north, up = geodetic2enu(
            latitude,
            longitude,
            altitude if known else self.altitude,
            self.latitude,
            self.longitude,
            self.altitude,
            deg=False,
        )
        return float(east), float(north), float(up) if known else math.nan

    def from_map(self, east: float, north: float, up: float = 0.0) -> tuple[float, float, float]:
        """WGS-84 latitude and longitude in radians and altitude in metres of a point of ``map``."""
        latitude, longitude, altitude = enu2geodetic(
            east, north, up, self.latitude, self.longitude, self.altitude, deg=False
        )
        return float(latitude), float(longitude), float(altitude)
