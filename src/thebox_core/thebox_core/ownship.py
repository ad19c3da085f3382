# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the own-ship was and where its bow pointed, at the time of a measurement. No ROS in here.

The history is fed from ``ownship/odometry`` by :class:`thebox_core.ownship_listener.OwnShip`.
"""

from __future__ import annotations

import bisect
import math
import threading
from typing import NamedTuple

__all__ = ["OwnShipHistory", "Pose"]

_TWO_PI = 2.0 * math.pi
#: A heading is carried on with the turn rate for this long at most, seconds.
_TURN_LASTS = 0.5


class Pose(NamedTuple):
    """The own-ship at one instant; what is not known is NaN.

    Attributes:
        time: seconds.
        east, north, up: position in map (local ENU), metres.
        velocity_east, velocity_north, velocity_up: metres per second.
        heading: of the bow from true north, clockwise, [0, 2*pi), radians.
        turn_rate: of the bow, clockwise, rad/s.
    """

    time: float
    east: float
    north: float
    up: float
    velocity_east: float
    velocity_north: float
    velocity_up: float
    heading: float
    turn_rate: float = math.nan


_UNKNOWN = Pose(*([math.nan] * 8))


def _wrapped(heading: float) -> float:
    wrapped = heading % _TWO_PI
    # A tiny negative angle comes out of the modulo as exactly 2*pi.
    return 0.0 if wrapped == _TWO_PI else wrapped


class OwnShipHistory:
    """Poses of the last seconds, interpolated at any time between them. Safe between threads.

    Args:
        keep: seconds of history.
        max_age: a pose serves for this many seconds before and after it, beyond the newest and
            the oldest extrapolated by its velocity, and for a moment by its turn rate; further away
            the own-ship is unknown.
    """

    _LIMIT = 10_000

    def __init__(self, keep: float = 60.0, max_age: float = 5.0) -> None:
        self.keep = keep
        self.max_age = max_age
        self._poses: list[Pose] = []
        self._times: list[float] = []
        # A driver asks from its worker's thread while the executor's adds.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._poses)

    @property
    def newest(self) -> Pose:
        """The newest pose; all NaN before the first."""
        with self._lock:
            return self._poses[-1] if self._poses else _UNKNOWN

    def add(self, pose: Pose) -> None:
        """Add a pose. One of another time base (a replay that starts again) empties the history.

        Raises:
            ValueError: the pose has no time.
        """
        if not math.isfinite(pose.time):
            raise ValueError("a pose needs a time")
        with self._lock:
            self._add(pose)

    def _add(self, pose: Pose) -> None:
        if self._times and pose.time < self._times[-1] - self.keep:
            self.clear()
        index = bisect.bisect_right(self._times, pose.time)
        if index and self._times[index - 1] == pose.time:
            self._poses[index - 1] = pose
            return
        self._times.insert(index, pose.time)
        self._poses.insert(index, pose)
        stale = bisect.bisect_left(self._times, self._times[-1] - self.keep)
        stale = max(stale, len(self._times) - self._LIMIT)
        if stale > 0:
            del self._times[:stale], self._poses[:stale]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._times.clear()
            self._poses.clear()

    def at(self, time: float) -> Pose:
        """Return the pose at ``time``, all NaN where nothing near enough in time is known."""
        with self._lock:
            return self._at(time)

    def _at(self, time: float) -> Pose:
        if not self._times or not math.isfinite(time):
            return _UNKNOWN
        index = bisect.bisect_right(self._times, time)
        if index == 0 or index == len(self._times):
            return self._extrapolated(self._poses[min(index, len(self._times) - 1)], time)
        before, after = self._poses[index - 1], self._poses[index]
        if min(time - before.time, after.time - time) > self.max_age:
            return _UNKNOWN  # deep in a gap: nobody knows how it turned there
        share = (time - before.time) / (after.time - before.time)
        known = math.isfinite(after.heading) and math.isfinite(before.heading)
        # The shorter way round, also across north.
        turn = math.remainder(after.heading - before.heading, _TWO_PI) if known else math.nan
        return Pose(
            time,
            before.east + share * (after.east - before.east),
            before.north + share * (after.north - before.north),
            before.up + share * (after.up - before.up),
            before.velocity_east + share * (after.velocity_east - before.velocity_east),
            before.velocity_north + share * (after.velocity_north - before.velocity_north),
            before.velocity_up + share * (after.velocity_up - before.velocity_up),
            _wrapped(before.heading + share * turn),
            before.turn_rate + share * (after.turn_rate - before.turn_rate),
        )

    def _extrapolated(self, pose: Pose, time: float) -> Pose:
        dt = time - pose.time
        if abs(dt) > self.max_age:
            return _UNKNOWN
        known = all(math.isfinite(v) for v in pose[4:7])
        east, north, up = pose[1:4]
        if known:
            east += dt * pose.velocity_east
            north += dt * pose.velocity_north
            up += dt * pose.velocity_up
        heading = pose.heading
        # A turn of a moment ago goes on, one of seconds ago may be over.
        if math.isfinite(pose.turn_rate) and abs(dt) <= _TURN_LASTS:
            heading = _wrapped(heading + dt * pose.turn_rate)
        return Pose(time, east, north, up, *pose[4:7], heading, pose.turn_rate)
