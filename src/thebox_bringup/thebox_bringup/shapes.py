# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Shapes that show a track honestly: ellipsoids, wedges, arrows. No ROS.

All coordinates are metres in ``map`` (ENU: x east, y north, z up); bearings count from true north,
clockwise; quaternions are (x, y, z, w).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ellipsoid", "direction", "ellipsoid", "ship_outline", "track_text", "wedge"]

Vectors = NDArray[np.float64]

#: A wedge is at least this wide, so that it is seen, and at most the whole circle; radians.
_NARROWEST = math.radians(0.25)


@dataclass(frozen=True)
class Ellipsoid:
    """Semi-axes (3,) in metres and the orientation of the axes."""

    semi_axes: Vectors
    quaternion: Vectors


def direction(bearing: float, elevation: float = 0.0) -> Vectors:
    """Unit vector (3,) in ENU of a bearing and an elevation in radians."""
    flat = math.cos(elevation)
    return np.array(
        [flat * math.sin(bearing), flat * math.cos(bearing), math.sin(elevation)], dtype=np.float64
    )


def _quaternion(rotation: Vectors) -> Vectors:
    # Shepperd's method, the branch of the largest component: no cancellation near half turns.
    diagonal = np.diag(rotation)
    trace = float(diagonal.sum())
    choice = int(np.argmax([*diagonal, trace]))
    x, y, z, w = 0.0, 0.0, 0.0, 0.0
    if choice == 3:
        x = rotation[2, 1] - rotation[1, 2]
        y = rotation[0, 2] - rotation[2, 0]
        z = rotation[1, 0] - rotation[0, 1]
        w = 1.0 + trace
        quaternion = np.array([x, y, z, w], dtype=np.float64)
    else:
        i, j, k = choice, (choice + 1) % 3, (choice + 2) % 3
        quaternion = np.zeros(4)
        quaternion[i] = 1.0 - trace + 2.0 * rotation[i, i]
        quaternion[j] = rotation[j, i] + rotation[i, j]
        quaternion[k] = rotation[k, i] + rotation[i, k]
        quaternion[3] = rotation[k, j] - rotation[j, k]
    return np.asarray(quaternion / np.linalg.norm(quaternion), dtype=np.float64)


def ellipsoid(
    covariance: Vectors, sigmas: float, smallest: float, largest: float
) -> Ellipsoid | None:
    """The surface ``sigmas`` standard deviations out, of a position covariance (3, 3) in m^2.

    Semi-axes are kept between ``smallest`` and ``largest`` so that the shape can be drawn. None
    when the covariance is not finite or not positive semi-definite.
    """
    covariance = np.asarray(covariance, dtype=np.float64).reshape(3, 3)
    if not np.isfinite(covariance).all():
        return None
    variances, axes = np.linalg.eigh(0.5 * (covariance + covariance.T))
    if variances[0] < -1e-6 * max(abs(variances[-1]), 1.0):
        return None
    if np.linalg.det(axes) < 0.0:
        axes[:, 0] = -axes[:, 0]
    semi_axes = np.clip(sigmas * np.sqrt(np.maximum(variances, 0.0)), smallest, largest)
    return Ellipsoid(np.asarray(semi_axes, dtype=np.float64), _quaternion(axes))


def wedge(
    origin: Vectors,
    bearing: float,
    half_width: float,
    *,
    near: float,
    far: float,
    step: float = math.radians(3.0),
) -> Vectors:
    """Triangles (n, 3, 3) of a flat sector around ``origin`` (3,), at its height.

    Args:
        origin: where the bearing was taken.
        bearing: middle of the sector, radians.
        half_width: half its width, radians; kept between what can be seen and half a turn.
        near: its inner radius, metres, 0 or more.
        far: its outer radius, metres, above ``near``.
        step: largest angle of one piece, radians.

    Raises:
        ValueError: an argument is not finite, or the radii are not in order.
    """
    if not (math.isfinite(bearing) and math.isfinite(half_width) and 0.0 <= near < far):
        raise ValueError(f"no wedge: {bearing=}, {half_width=}, {near=}, {far=}")
    half_width = min(max(half_width, _NARROWEST), math.pi)
    pieces = max(1, math.ceil(2.0 * half_width / step))
    angles = np.linspace(bearing - half_width, bearing + half_width, pieces + 1)
    rays = np.stack([np.sin(angles), np.cos(angles), np.zeros_like(angles)], axis=1)
    inner, outer = origin + near * rays, origin + far * rays
    first = np.stack([inner[:-1], outer[1:], outer[:-1]], axis=1)
    if near == 0.0:
        return np.asarray(first, dtype=np.float64)
    second = np.stack([inner[:-1], inner[1:], outer[1:]], axis=1)
    return np.concatenate([first, second])


def ship_outline(length: float) -> Vectors:
    """Triangles (n, 3, 3) of a plan view of a vessel, in ``base_link`` (x forward, y left)."""
    half, beam = 0.5 * length, 0.3 * length
    bow = [half, 0.0, 0.0]
    left, right = [0.15 * length, 0.5 * beam, 0.0], [0.15 * length, -0.5 * beam, 0.0]
    stern_left, stern_right = [-half, 0.4 * beam, 0.0], [-half, -0.4 * beam, 0.0]
    return np.array(
        [[bow, left, right], [left, stern_left, stern_right], [left, stern_right, right]],
        dtype=np.float64,
    )


def track_text(
    number: int, label: str, object_class: str, confidence: float, range_metres: float
) -> str:
    """The words beside a track: number, what it is, how sure, how far (when that is known)."""
    what = label or object_class
    text = f"#{number} {what}" if number else what
    if not math.isnan(confidence):
        text += f" {100.0 * confidence:.0f}%"
    if math.isfinite(range_metres):
        distance = (
            f"{range_metres:.0f} m" if range_metres < 1000 else f"{range_metres / 1e3:.2f} km"
        )
        text += f"\n{distance}"
    else:
        text += "\nrange unknown"
    return text
