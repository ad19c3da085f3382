# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The datum: against ECEF computed here from the ellipsoid's definition, and there and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thebox_core.geodesy import Datum

# WGS-84 by its definition (NIMA TR8350.2): semi-major axis and flattening.
SEMI_MAJOR = 6_378_137.0
FLATTENING = 1.0 / 298.257223563

latitudes = st.floats(-math.radians(89.0), math.radians(89.0))
longitudes = st.floats(-math.pi, math.pi)


def ecef(latitude: float, longitude: float, altitude: float) -> np.ndarray:
    squared = FLATTENING * (2.0 - FLATTENING)
    normal = SEMI_MAJOR / math.sqrt(1.0 - squared * math.sin(latitude) ** 2)
    flat = (normal + altitude) * math.cos(latitude)
    return np.array(
        [
            flat * math.cos(longitude),
            flat * math.sin(longitude),
            (normal * (1.0 - squared) + altitude) * math.sin(latitude),
        ]
    )


@settings(deadline=None)
@given(latitudes, longitudes, st.floats(-100.0, 5000.0), st.floats(-0.02, 0.02))
def test_east_north_up_are_the_projections_of_the_ecef_difference(
    latitude: float, longitude: float, altitude: float, step: float
) -> None:
    datum = Datum(latitude, longitude, 50.0)
    other = (max(min(latitude + step, 1.55), -1.55), longitude + 0.5 * step, altitude)
    difference = ecef(*other) - ecef(latitude, longitude, 50.0)
    sin_lat, cos_lat = math.sin(latitude), math.cos(latitude)
    sin_lon, cos_lon = math.sin(longitude), math.cos(longitude)
    axes = np.array(
        [
            [-sin_lon, cos_lon, 0.0],
            [-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat],
            [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat],
        ]
    )
    assert datum.to_map(*other) == pytest.approx(axes @ difference, abs=1e-6)


@settings(deadline=None)
@given(
    latitudes, longitudes, st.floats(-50e3, 50e3), st.floats(-50e3, 50e3), st.floats(-100.0, 9000.0)
)
def test_there_and_back(
    latitude: float, longitude: float, east: float, north: float, up: float
) -> None:
    datum = Datum(latitude, longitude, 12.0)
    assert datum.to_map(*datum.from_map(east, north, up)) == pytest.approx(
        (east, north, up), abs=1e-3
    )


def test_the_datum_is_the_origin_and_north_is_north() -> None:
    datum = Datum(math.radians(53.5), math.radians(9.9), 40.0)
    assert datum.to_map(datum.latitude, datum.longitude, 40.0) == pytest.approx((0, 0, 0))
    east, north, _ = datum.to_map(datum.latitude + 1e-4, datum.longitude, 40.0)
    assert east == pytest.approx(0.0, abs=1e-6)
    assert north == pytest.approx(637.7, abs=1.0)


def test_an_unknown_altitude_leaves_up_unknown() -> None:
    datum = Datum(0.9, 0.1, 300.0)
    east, north, up = datum.to_map(0.901, 0.101)
    known = datum.to_map(0.901, 0.101, 300.0)
    assert (east, north) == known[:2]
    assert math.isnan(up)


@pytest.mark.parametrize(
    "numbers", [(1.6, 0.0, 0.0), (0.0, 3.2, 0.0), (math.nan, 0.0, 0.0), (0.5, 0.5, math.nan)]
)
def test_what_is_no_place_is_no_datum(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"place on Earth|altitude"):
        Datum(*numbers)
