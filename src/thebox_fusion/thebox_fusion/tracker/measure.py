# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Measurement models: what a sensor at a known place would read, and the update it gives.

Every measurement is a row of scalars with independent errors, applied one after another
(sequential update, Bar-Shalom et al. 2001, section 5.3.4 remark on information; Stengel,
Optimal Control and Estimation, 1994): the same result as a joint update of a linearised
measurement with a diagonal noise covariance, without a matrix inverse, and an unknown component
is one that is left out. Likelihoods of the rows multiply.
"""

from __future__ import annotations

import math

import numpy as np

from .types import BoolArray, FloatArray

#: Most that height [m] and climb [m/s] are uncertain of what was never seen at an elevation.
HEIGHT_MOST, CLIMB_MOST = 50.0, 2.0
LOG_TWO_PI = float(np.log(2.0 * np.pi))


def wrap(angle: FloatArray) -> FloatArray:
    """Wrap angles to [-pi, pi)."""
    wrapped: FloatArray = (angle + np.pi) % (2.0 * np.pi) - np.pi
    return wrapped


def polar(relative: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return bearing [0, 2 pi), elevation and slant range of ENU vectors (..., 3)."""
    ground = np.hypot(relative[..., 0], relative[..., 1])
    bearing = np.arctan2(relative[..., 0], relative[..., 1]) % (2.0 * np.pi)
    return bearing, np.arctan2(relative[..., 2], ground), np.hypot(ground, relative[..., 2])


class ScalarUpdate:
    """Gaussian components under sequential scalar updates.

    Attributes:
        mean: (P, K, 6), changed in place.
        covariance: (P, K, 6, 6), changed in place.
        log_likelihood: (P, K), sum over the rows applied.
        distance: (P, K), sum of squared normalised innovations.
    """

    def __init__(self, mean: FloatArray, covariance: FloatArray) -> None:
        self.mean = mean
        self.covariance = covariance
        self.log_likelihood: FloatArray = np.zeros(mean.shape[:-1])
        self.distance: FloatArray = np.zeros(mean.shape[:-1])

    def apply(
        self,
        gradient: FloatArray,
        innovation: FloatArray,
        variance: FloatArray,
        valid: BoolArray,
        distance_cap: float = np.inf,
        *,
        held: BoolArray | None = None,
    ) -> None:
        """Apply one scalar measurement to the components.

        Args:
            gradient: (P, K, D), D = 3 for a row that depends on position only, else 6.
            innovation: (P, K).
            variance: (P, K) or (P, 1) measurement noise variance.
            valid: (P,) rows that have this measurement.
            distance_cap: the noise is raised until no innovation exceeds this squared
                normalised distance (for measurements whose identity is certain).
            held: (P, K) or (P, 1) components whose height and climb the measurement leaves as they
                are: it counts that they are uncertain, and tells nothing of them (the consider
                filter of Schmidt, Advances in Control Systems 3, 1966).
        """
        if not valid.any():
            return
        size = gradient.shape[-1]
        column = gradient[..., None]
        cross = (self.covariance[..., :size] @ column)[..., 0]
        spread = (cross[..., None, :size] @ column)[..., 0, 0]
        total = spread + variance
        if math.isfinite(distance_cap):
            total = np.maximum(total, innovation**2 / distance_cap)
        gap = innovation
        inverse = 1.0 / total
        if not valid.all():
            keep = valid[:, None]
            total = np.where(keep, total, 1.0)
            inverse = np.where(keep, inverse, 0.0)
            gap = np.where(keep, innovation, 0.0)
        self.mean += cross * (gap * inverse)[..., None]
        self.covariance -= (cross * inverse[..., None])[..., :, None] * cross[..., None, :]
        if held is not None:
            # What an update of the two would have taken is given back.
            kept = np.where(held, inverse, 0.0)
            up, climb = cross[..., 2], cross[..., 5]
            self.mean[..., 2] -= up * gap * kept
            self.mean[..., 5] -= climb * gap * kept
            self.covariance[..., 2, 2] += up * up * kept
            self.covariance[..., 5, 5] += climb * climb * kept
            self.covariance[..., 2, 5] += up * climb * kept
            self.covariance[..., 5, 2] += up * climb * kept
            # Nor do they become vaguer than what is known of all that flies.
            for axis, most in ((2, HEIGHT_MOST), (5, CLIMB_MOST)):
                vague = np.sqrt(np.maximum(self.covariance[..., axis, axis], 1e-12))
                share = np.where(held, np.minimum(most / vague, 1.0), 1.0)[..., None]
                self.covariance[..., axis, :] *= share
                self.covariance[..., :, axis] *= share
        squared = gap * gap * inverse
        self.distance += squared
        told = squared + (LOG_TWO_PI + np.log(total))
        self.log_likelihood -= 0.5 * (told if valid.all() else np.where(valid[:, None], told, 0.0))

    def relative(self, own: FloatArray, shift: FloatArray | None = None) -> FloatArray:
        """Return positions relative to the sensor, (P, K, 3), ``shift`` seconds later."""
        relative: FloatArray = self.mean[..., :3] - own[:, None, :]
        if shift is not None:
            relative += self.mean[..., 3:] * shift[:, None, None]
        return relative

    def bearing(
        self,
        value: FloatArray,
        sigma: FloatArray,
        own: FloatArray,
        *,
        alternative: FloatArray | None = None,
        shift: FloatArray | None = None,
        distance_cap: float = np.inf,
        level: BoolArray | None = None,
    ) -> None:
        """Apply bearings (P,); where ``alternative`` is known the nearer candidate counts.

        ``level`` (P,): as for `range`, at any elevation: a bearing alone tells of no height.
        """
        r = self.relative(own, shift)
        ground = np.maximum(np.hypot(r[..., 0], r[..., 1]), 1.0)
        predicted = np.arctan2(r[..., 0], r[..., 1])
        innovation = wrap(value[:, None] - predicted)
        ambiguous = None
        if alternative is not None:
            other = wrap(alternative[:, None] - predicted)
            ambiguous = np.isfinite(alternative)
            innovation = np.where(
                ambiguous[:, None] & (np.abs(other) < np.abs(innovation)), other, innovation
            )
        gradient = np.zeros((*ground.shape, 3))
        gradient[..., 0] = r[..., 1] / ground**2
        gradient[..., 1] = -r[..., 0] / ground**2
        self.apply(
            gradient,
            innovation,
            (sigma**2)[:, None],
            np.isfinite(value),
            distance_cap,
            held=None if level is None else level[:, None],
        )
        if ambiguous is not None:
            # Either candidate was as likely to be the true one.
            self.log_likelihood += np.where(ambiguous, -np.log(2.0), 0.0)[:, None]

    def elevation(
        self,
        value: FloatArray,
        sigma: FloatArray,
        own: FloatArray,
        distance_cap: float = np.inf,
        shift: FloatArray | None = None,
    ) -> None:
        """Apply elevation angles (P,)."""
        r = self.relative(own, shift)
        ground = np.maximum(np.hypot(r[..., 0], r[..., 1]), 1.0)
        slant2 = ground**2 + r[..., 2] ** 2
        gradient = np.zeros((*ground.shape, 3))
        gradient[..., 0] = -r[..., 0] * r[..., 2] / (ground * slant2)
        gradient[..., 1] = -r[..., 1] * r[..., 2] / (ground * slant2)
        gradient[..., 2] = ground / slant2
        self.apply(
            gradient,
            wrap(value[:, None] - np.arctan2(r[..., 2], ground)),
            (sigma**2)[:, None],
            np.isfinite(value),
            distance_cap,
        )

    def range(
        self,
        value: FloatArray,
        sigma: FloatArray,
        own: FloatArray,
        shift: FloatArray | None = None,
        level: BoolArray | None = None,
    ) -> None:
        """Apply slant ranges (P,).

        Of detections that are ``level`` (P,) neither elevation nor height is known. Their ranges
        move no height: what range and bearing together seem to tell of it is the error of the
        linearisation, and over minutes it lifts what does not move to the zenith. Above 30 degrees
        of elevation a range does tell of height.
        """
        r = self.relative(own, shift)
        slant = np.maximum(np.sqrt((r * r).sum(axis=-1)), 1.0)
        held = None
        if level is not None:
            held = level[:, None] & (np.abs(r[..., 2]) < 0.5 * slant)
        self.apply(
            r / slant[..., None],
            value[:, None] - slant,
            (sigma**2)[:, None],
            np.isfinite(value),
            held=held,
        )

    def range_rate(
        self,
        value: FloatArray,
        sigma: FloatArray,
        own: FloatArray,
        own_velocity: FloatArray,
        shift: FloatArray | None = None,
    ) -> None:
        """Apply range rates (P,), positive receding."""
        r = self.relative(own, shift)
        slant = np.maximum(np.sqrt((r * r).sum(axis=-1)), 1.0)
        unit = r / slant[..., None]
        v = self.mean[..., 3:] - own_velocity[:, None, :]
        rate = np.einsum("pka,pka->pk", unit, v)
        gradient = np.concatenate([(v - rate[..., None] * unit) / slant[..., None], unit], axis=-1)
        self.apply(
            gradient,
            value[:, None] - rate,
            (sigma**2)[:, None],
            np.isfinite(value),
        )

    def position(
        self, value: FloatArray, covariance: FloatArray, shift: FloatArray | None = None
    ) -> None:
        """Apply measured positions (P, 3) with covariances (P, 3, 3); NaN rows are left out.

        The rows are rotated to the eigenvectors of the covariance, where they are independent.
        """
        valid: BoolArray = np.all(np.isfinite(value), axis=-1)
        if not valid.any():
            return
        safe = np.where(valid[:, None, None], covariance, np.eye(3))
        spread, axes = np.linalg.eigh(safe)
        origin = np.zeros((len(value), 3))
        for row in range(3):
            direction = axes[:, :, row]
            r = self.relative(origin, shift)
            innovation = np.einsum(
                "pa,pka->pk", direction, np.where(valid[:, None], value, 0.0)[:, None, :] - r
            )
            gradient = np.broadcast_to(direction[:, None, :], r.shape)
            self.apply(
                gradient,
                innovation,
                np.maximum(spread[:, row], 1e-6)[:, None],
                valid,
            )

    def velocity(self, value: FloatArray, sigma: FloatArray) -> None:
        """Apply measured velocities (P, 3), each component with ``sigma`` (P,)."""
        valid: BoolArray = np.all(np.isfinite(value), axis=-1)
        for row in range(3):
            gradient = np.zeros((*self.mean.shape[:-1], 6))
            gradient[..., 3 + row] = 1.0
            self.apply(
                gradient,
                np.where(valid, value[:, row], 0.0)[:, None] - self.mean[..., 3 + row],
                (sigma**2)[:, None],
                valid,
            )
