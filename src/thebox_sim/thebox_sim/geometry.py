# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Angles, bearings and the WGS-84 ellipsoid (NIMA TR8350.2), for the simulated sky.

Local positions are ENU metres (east, north, up) from a datum; bearings are clockwise from true
north.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

TWO_PI = 2.0 * math.pi
WGS84_A = 6378137.0
WGS84_F = 1.0 / 298.257223563
WGS84_E2 = WGS84_F * (2.0 - WGS84_F)

Vector = tuple[float, float, float]


def wrap_pi(angle: float) -> float:
    """Return the angle in (-pi, pi], radians."""
    wrapped = math.remainder(angle, TWO_PI)
    return math.pi if wrapped == -math.pi else wrapped


def wrap_two_pi(angle: float) -> float:
    """Return the angle in [0, 2*pi), radians."""
    wrapped = angle % TWO_PI
    return 0.0 if wrapped >= TWO_PI else wrapped


def bearing_to(origin: Vector, target: Vector) -> float:
    """Return the bearing of ``target`` from ``origin``: from true north, clockwise, [0, 2*pi)."""
    return wrap_two_pi(math.atan2(target[0] - origin[0], target[1] - origin[1]))


def elevation_to(origin: Vector, target: Vector) -> float:
    """Return the elevation of ``target`` seen from ``origin``, radians above the horizon."""
    east, north, up = (target[i] - origin[i] for i in range(3))
    return math.atan2(up, math.hypot(east, north))


def slant_range(origin: Vector, target: Vector) -> float:
    """Return the straight distance in metres."""
    return math.dist(origin, target)


@dataclass(frozen=True)
class Datum:
    """The origin of the local ENU frame: WGS-84 latitude, longitude (degrees), height (metres)."""

    latitude_deg: float
    longitude_deg: float
    altitude_m: float = 0.0

    def to_geodetic(self, position: Vector) -> Vector:
        """Return (latitude, longitude in degrees, ellipsoidal height in metres) of a position."""
        return ecef_to_geodetic(self.to_ecef(position))

    def to_ecef(self, position: Vector) -> Vector:
        """Return the ECEF position (metres) of a local ENU position."""
        x0, y0, z0 = geodetic_to_ecef(self.latitude_deg, self.longitude_deg, self.altitude_m)
        lat, lon = math.radians(self.latitude_deg), math.radians(self.longitude_deg)
        sin_lat, cos_lat, sin_lon, cos_lon = (
            math.sin(lat),
            math.cos(lat),
            math.sin(lon),
            math.cos(lon),
        )
        e, n, u = position
        return (
            x0 - sin_lon * e - sin_lat * cos_lon * n + cos_lat * cos_lon * u,
            y0 + cos_lon * e - sin_lat * sin_lon * n + cos_lat * sin_lon * u,
            z0 + cos_lat * n + sin_lat * u,
        )

    def from_ecef(self, ecef: Vector) -> Vector:
        """Return the local ENU position (metres) of an ECEF position."""
        x0, y0, z0 = geodetic_to_ecef(self.latitude_deg, self.longitude_deg, self.altitude_m)
        lat, lon = math.radians(self.latitude_deg), math.radians(self.longitude_deg)
        sin_lat, cos_lat, sin_lon, cos_lon = (
            math.sin(lat),
            math.cos(lat),
            math.sin(lon),
            math.cos(lon),
        )
        dx, dy, dz = ecef[0] - x0, ecef[1] - y0, ecef[2] - z0
        return (
            -sin_lon * dx + cos_lon * dy,
            -sin_lat * cos_lon * dx - sin_lat * sin_lon * dy + cos_lat * dz,
            cos_lat * cos_lon * dx + cos_lat * sin_lon * dy + sin_lat * dz,
        )


def geodetic_to_ecef(latitude_deg: float, longitude_deg: float, altitude_m: float) -> Vector:
    """Return the ECEF position (metres) of WGS-84 coordinates."""
    lat, lon = math.radians(latitude_deg), math.radians(longitude_deg)
    sin_lat = math.sin(lat)
    radius = WGS84_A / math.sqrt(1.0 - WGS84_E2 * sin_lat * sin_lat)
    horizontal = (radius + altitude_m) * math.cos(lat)
    return (
        horizontal * math.cos(lon),
        horizontal * math.sin(lon),
        (radius * (1.0 - WGS84_E2) + altitude_m) * sin_lat,
    )


def ecef_to_geodetic(ecef: Vector) -> Vector:
    """Return WGS-84 latitude, longitude (degrees) and height (metres) of an ECEF position.

    Fixed-point iteration on the latitude; below 1 mm after five rounds within 100 km of the
    surface.
    """
    x, y, z = ecef
    p = math.hypot(x, y)
    lat = math.atan2(z, p * (1.0 - WGS84_E2))
    height = 0.0
    for _ in range(5):
        sin_lat = math.sin(lat)
        radius = WGS84_A / math.sqrt(1.0 - WGS84_E2 * sin_lat * sin_lat)
        height = p * math.cos(lat) + z * sin_lat - WGS84_A**2 / radius
        lat = math.atan2(z, p * (1.0 - WGS84_E2 * radius / (radius + height)))
    return (math.degrees(lat), math.degrees(math.atan2(y, x)), height)
