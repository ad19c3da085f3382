# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Closed-loop slewing of the gimbal, as a state machine without clock, socket or ROS.

The driver calls `update` with the time and the angles whenever a pair of them came, and at a
steady tick with the last pair; it sends the bytes that come back. Nothing here waits.

Control is in rate mode: each axis is driven at the speed from which it can still stop before
the target with half of its acceleration (the square-root law of a position servo), in
proportion to the error near it, and predicted over the age of the measured angle. The slew is
settled when both axes stay within the tolerance for a while, and the gimbal is stopped at every
end: settled, cancelled, timed out, angles stale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from thebox_sensors.protocol_base import wrap_angle
from thebox_sensors.trakka import protocol

SETTLE_TOLERANCE = math.radians(0.1)
_RATE_MEMORY = 0.5
"""Seconds over which the target's own rate is averaged: the own-ship is heard in steps."""


class SlewState(Enum):
    """Where a slew stands."""

    IDLE = "idle"
    SLEWING = "slewing"
    SETTLED = "settled"
    HOLDING = "holding"
    """Settled, and kept on a target that moves (`GimbalController.hold`)."""
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    """The angles stopped coming: the gimbal was told to stop, blind."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the gimbal can and may do."""

    rate: float = math.radians(55.0)
    """Fastest slewing, rad/s; at most `protocol.RATE_LIMIT`."""
    acceleration: float = math.radians(90.0)
    """What the axes can be trusted to brake with, rad/s2."""
    elevation_minimum: float = math.radians(-120.0)
    elevation_maximum: float = math.radians(90.0)
    azimuth_minimum: float = -math.inf
    """Where azimuth is stopped, radians; infinite on a gimbal that turns without end."""
    azimuth_maximum: float = math.inf


@dataclass(frozen=True, slots=True)
class SlewUpdate:
    """What one call of the controller says."""

    state: SlewState
    commands: bytes
    """To be sent to the camera at once; may be empty."""
    azimuth_error: float
    """Still to go, radians, NaN without angles."""
    elevation_error: float
    """Still to go, radians, NaN without angles."""


class GimbalController:
    """One slew after another; a new target replaces the one before.

    Args:
        limits: of the gimbal.
        tolerance: both axes must stay within this of the target, radians.
        settle_time: for this long, seconds.
        stale_after: angles older than this stop the gimbal, seconds.
        proportion: rate per error near the target, 1/s.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        tolerance: float = SETTLE_TOLERANCE,
        settle_time: float = 0.3,
        stale_after: float = 0.5,
        proportion: float = 4.0,
    ) -> None:
        self.limits = limits or Limits()
        if not 0.0 < self.limits.rate <= protocol.RATE_LIMIT:
            raise ValueError(
                f"slew rate of {math.degrees(self.limits.rate):.3g} deg/s, the camera takes "
                f"{math.degrees(protocol.RATE_LIMIT):.0f} at most"
            )
        if not (tolerance > 0.0 and settle_time >= 0.0 and proportion > 0.0):
            raise ValueError("tolerance, settle_time and proportion must be positive")
        self.tolerance = tolerance
        self.settle_time = settle_time
        self.stale_after = stale_after
        self.proportion = proportion
        self.state = SlewState.IDLE
        self._target = (math.nan, math.nan)
        self._deadline = math.inf
        self._started = math.nan
        self._inside_since = math.nan
        self._rates = (0.0, 0.0)
        self._drift = (0.0, 0.0)
        self._aimed = math.nan

    @property
    def target(self) -> tuple[float, float]:
        """Azimuth and elevation last aimed at, radians; NaN before the first slew."""
        return self._target

    @property
    def holding(self) -> bool:
        """Whether a target is kept after a slew to it."""
        return self.state is SlewState.HOLDING

    @property
    def moving(self) -> bool:
        """Whether a slew is under way: target messages are then no detections."""
        return self.state is SlewState.SLEWING

    def start(self, now: float, azimuth: float, elevation: float, timeout: float = 30.0) -> bytes:
        """Begin a slew, replacing one under way.

        Args:
            now: seconds, on the clock of `update`.
            azimuth: of the target, relative to the base, radians.
            elevation: of the target, radians.
            timeout: after which it is given up, seconds.

        Returns:
            Commands to be sent.

        Raises:
            ValueError: for a target that the gimbal can't look at, or a timeout that is none.
        """
        self._check_target(azimuth, elevation)
        if not (math.isfinite(timeout) and timeout > 0.0):
            raise ValueError(f"a timeout of {timeout} s")
        self._target = (self._reachable(azimuth), elevation)
        if not (self.moving or self.holding):
            self._drift = (0.0, 0.0)
        # Else the own-ship turns under the new target as it did under the one before.
        self._aimed = now
        self._deadline = now + timeout
        self._started = now
        self._inside_since = math.nan
        self.state = SlewState.SLEWING
        self._rates = (0.0, 0.0)
        return protocol.set_gimbal_mode(protocol.GimbalMode.RATE)

    def retarget(self, now: float, azimuth: float, elevation: float) -> None:
        """Move the target of the slew or hold under way, as when the own-ship turns under it.

        The target's own rate is estimated from its steps and driven besides the error, so that
        a steady turn of the own-ship leaves no lag.

        Args:
            now: seconds, on the clock of `update`.
            azimuth: of the target, relative to the base, radians.
            elevation: of the target, radians.

        Raises:
            ValueError: for a target that the gimbal can't look at; the target before stays.
        """
        self._check_target(azimuth, elevation)
        reached = self._reachable(azimuth)
        passed = now - self._aimed
        if passed <= 0.0:
            return
        share = passed / (_RATE_MEMORY + passed)
        steps = (wrap_angle(reached - self._target[0]), elevation - self._target[1])
        self._drift = (
            self._averaged(self._drift[0], steps[0] / passed, share),
            self._averaged(self._drift[1], steps[1] / passed, share),
        )
        self._target = (reached, elevation)
        self._aimed = now

    def _averaged(self, before: float, rate: float, share: float) -> float:
        return max(-self.limits.rate, min(self.limits.rate, before + share * (rate - before)))

    def hold(self) -> None:
        """Keep the target of a slew that has just settled until `cancel`; `retarget` moves it."""
        if self.state is SlewState.SETTLED:
            self.state = SlewState.HOLDING

    def cancel(self) -> bytes:
        """Give the slew or hold up and stop; the bytes stop the gimbal in any state."""
        if self.moving or self.holding:
            self.state = SlewState.CANCELLED
        return self._halt()

    def disconnected(self) -> None:
        """Take note that the connection is lost: nothing can be sent, the slew is over.

        The first bytes after reconnection must be `protocol.stop()`.
        """
        if self.moving or self.holding:
            self.state = SlewState.LOST
        self._rates = (0.0, 0.0)

    def update(
        self, now: float, azimuth: float, elevation: float, measured: float | None = None
    ) -> SlewUpdate:
        """Take the angles, return what to send.

        Args:
            now: seconds.
            azimuth: last measured, relative to the base, radians; NaN when never measured.
            elevation: last measured, radians; NaN when never measured.
            measured: when these were measured, seconds; None means now. Angles older than
                `stale_after` end the slew.
        """
        age = 0.0 if measured is None else max(0.0, now - measured)
        azimuth_error = self._azimuth_error(azimuth)
        elevation_error = self._target[1] - elevation
        commands = b""
        if self.moving or self.holding:
            commands = self._steer(now, age, azimuth_error, elevation_error)
        return SlewUpdate(self.state, commands, azimuth_error, elevation_error)

    def _steer(self, now: float, age: float, azimuth_error: float, elevation_error: float) -> bytes:
        known = math.isfinite(azimuth_error) and math.isfinite(elevation_error)
        if self.moving and now >= self._deadline:
            self.state = SlewState.TIMED_OUT
            return self._halt()
        if not known or age > self.stale_after:
            # At the very start the first pair of angles may still be on its way.
            if self.moving and now - self._started <= self.stale_after and not any(self._rates):
                return b""
            self.state = SlewState.LOST
            return self._halt()
        inside = abs(azimuth_error) <= self.tolerance and abs(elevation_error) <= self.tolerance
        if not inside:
            self._inside_since = math.nan
        elif math.isnan(self._inside_since):
            self._inside_since = now
        if self.moving and inside and now - self._inside_since >= self.settle_time and age <= 0.25:
            self.state = SlewState.SETTLED
            return self._halt()
        rates = (
            self._axis_rate(azimuth_error - self._rates[0] * age, self._drift[0]),
            self._axis_rate(elevation_error - self._rates[1] * age, self._drift[1]),
        )
        self._rates = rates
        return protocol.set_azimuth_rate(rates[0]) + protocol.set_elevation_rate(rates[1])

    def _axis_rate(self, error: float, drift: float) -> float:
        distance = abs(error)
        braking = math.sqrt(self.limits.acceleration * distance)
        rate = min(self.limits.rate, braking, self.proportion * distance)
        # A dead band well inside the tolerance keeps the gimbal from hunting about the target.
        servo = math.copysign(rate, error) if distance > 0.1 * self.tolerance else 0.0
        return max(-self.limits.rate, min(self.limits.rate, servo + drift))

    def _halt(self) -> bytes:
        self._rates = (0.0, 0.0)
        return protocol.stop()

    def _check_target(self, azimuth: float, elevation: float) -> None:
        low, high = self.limits.elevation_minimum, self.limits.elevation_maximum
        if not low <= elevation <= high:
            raise ValueError(
                f"elevation of {math.degrees(elevation):.1f} deg, the gimbal reaches "
                f"{math.degrees(low):.0f} to {math.degrees(high):.0f}"
            )
        if not math.isfinite(azimuth):
            raise ValueError(f"azimuth is {azimuth}")

    def _reachable(self, azimuth: float) -> float:
        low, high = self.limits.azimuth_minimum, self.limits.azimuth_maximum
        wrapped = wrap_angle(azimuth)
        for turned in (wrapped, wrapped + 2 * math.pi, wrapped - 2 * math.pi):
            if low <= turned <= high:
                return turned
        raise ValueError(
            f"azimuth of {math.degrees(wrapped):.1f} deg, the gimbal reaches "
            f"{math.degrees(low):.0f} to {math.degrees(high):.0f}"
        )

    def _azimuth_error(self, azimuth: float) -> float:
        error = self._target[0] - azimuth
        if math.isfinite(self.limits.azimuth_minimum) or math.isfinite(self.limits.azimuth_maximum):
            # A stop is in the way of the shorter side: go as the numbers say.
            return error
        return wrap_angle(error)
