# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from thebox_bringup.shapes import direction, ellipsoid, ship_outline, track_text, wedge


def _rotation(quaternion: np.ndarray) -> np.ndarray:
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@given(
    nps.arrays(
        np.float64, (3, 3), elements=st.floats(-100.0, 100.0, allow_subnormal=False, width=32)
    )
)
@settings(deadline=None)
def test_ellipsoid_is_the_covariance(root: np.ndarray) -> None:
    covariance = root @ root.T
    shape = ellipsoid(covariance, 2.0, 0.0, 1e9)
    assert shape is not None
    rotation = _rotation(shape.quaternion)
    assert np.linalg.norm(shape.quaternion) == pytest.approx(1.0)
    rebuilt = rotation @ np.diag((shape.semi_axes / 2.0) ** 2) @ rotation.T
    scale = max(float(np.abs(covariance).max()), 1e-9)
    np.testing.assert_allclose(rebuilt, covariance, atol=1e-6 * scale)


def test_ellipsoid_is_kept_within_what_can_be_drawn() -> None:
    shape = ellipsoid(np.diag([1e-6, 4.0, 1e12]), 2.0, 0.5, 1000.0)
    assert shape is not None
    assert sorted(shape.semi_axes) == [0.5, 4.0, 1000.0]


@pytest.mark.parametrize(
    "covariance", [np.full((3, 3), np.nan), np.diag([1.0, -1.0, 1.0]), np.diag([1.0, np.inf, 1.0])]
)
def test_no_ellipsoid_of_what_is_no_covariance(covariance: np.ndarray) -> None:
    assert ellipsoid(covariance, 2.0, 0.5, 1000.0) is None


def _area(triangles: np.ndarray) -> float:
    first, second = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    return float(0.5 * np.linalg.norm(np.cross(first, second), axis=1).sum())


@given(
    bearing=st.floats(0.0, 2 * math.pi),
    half_width=st.floats(0.01, 4.0),
    near=st.floats(0.0, 500.0),
    length=st.floats(1.0, 5000.0),
)
@settings(deadline=None)
def test_wedge_covers_its_sector_and_nothing_else(
    bearing: float, half_width: float, near: float, length: float
) -> None:
    origin = np.array([10.0, -20.0, 5.0])
    far = near + length
    triangles = wedge(origin, bearing, half_width, near=near, far=far)
    half = min(half_width, math.pi)
    sector = half * (far**2 - near**2)
    # Chords lie inside the arc: a little less than the sector, by the step's cosine.
    assert sector * 0.99 - 1e-6 <= _area(triangles) * 1.002 <= sector * 1.01
    offsets = triangles.reshape(-1, 3) - origin
    assert np.allclose(offsets[:, 2], 0.0)
    radii = np.hypot(offsets[:, 0], offsets[:, 1])
    assert np.all((np.abs(radii - near) < 1e-6) | (np.abs(radii - far) < 1e-6))
    outer = offsets[radii > 0.5 * far]
    angles = np.arctan2(outer[:, 0], outer[:, 1]) - bearing
    angles = (angles + math.pi) % (2 * math.pi) - math.pi
    assert np.all(np.abs(angles) <= half + 1e-9)


def test_unknown_width_is_the_whole_circle_and_none_is_still_seen() -> None:
    full = wedge(np.zeros(3), 1.0, 100.0, near=0.0, far=1000.0)
    assert _area(full) == pytest.approx(math.pi * 1e6, rel=0.01)
    assert _area(wedge(np.zeros(3), 1.0, 0.0, near=0.0, far=1000.0)) > 1000.0


@pytest.mark.parametrize(
    ("bearing", "near", "far"), [(math.nan, 0.0, 1.0), (0.0, 2.0, 1.0), (0.0, -1.0, 1.0)]
)
def test_no_wedge_of_nonsense(bearing: float, near: float, far: float) -> None:
    with pytest.raises(ValueError, match="no wedge"):
        wedge(np.zeros(3), bearing, 0.1, near=near, far=far)


def test_bearings_count_clockwise_from_north() -> None:
    np.testing.assert_allclose(direction(0.0), [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(direction(math.pi / 2), [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(direction(0.0, math.pi / 2), [0, 0, 1], atol=1e-12)


def test_ship_points_forward_and_is_as_long_as_said() -> None:
    corners = ship_outline(60.0).reshape(-1, 3)
    assert np.ptp(corners[:, 0]) == pytest.approx(60.0)
    assert corners[np.argmax(corners[:, 0]), 1] == 0.0


def test_text_says_what_is_known() -> None:
    assert track_text(7, "DJI", "drone", 0.93, 512.4) == "#7 DJI 93%\n512 m"
    assert track_text(7, "", "drone", math.nan, 1512.4) == "#7 drone\n1.51 km"
    assert track_text(0, "", "unknown", 0.4, math.nan) == "unknown 40%\nrange unknown"
