# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The tracker: its parts put together, and late detections in their own time's place."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from operator import attrgetter

import numpy as np

from . import views
from .arrays import indices
from .bearings import hear, overhear
from .core import Core, State
from .detection import (
    STILL,
    UNKNOWN_MATRIX,
    UNKNOWN_VECTOR,
    Detection,
    DetectionBatch,
    batch_of,
)
from .emitters import identify
from .frames import fill_unknown, frames_of, give_height
from .measure import wrap
from .parameters import TrackerParameters
from .plots import weigh
from .types import BoolArray, FloatArray
from .update import Dynamics
from .upkeep import refute, settle
from .view import LedgerEntry, TrackView

MOST_NAMES = 20_000
"""Keys and identities that are remembered before those that are over are forgotten."""


class Tracker:
    """From detections to tracks. Deterministic; reads no clock.

    Detections are queued by `add` and used by `advance`, in the order of their times. A
    detection that is late by no more than ``max_lateness`` is used in its own time's place: the
    state from before it is restored and everything since is processed again.
    """

    def __init__(self, parameters: TrackerParameters | None = None) -> None:
        self.core = Core(parameters or TrackerParameters())
        self._checkpoints: list[State] = [self.core.state.copy()]
        self._pending: list[tuple[float, int, Detection]] = []
        self._done: list[tuple[float, int, Detection]] = []
        self._stops: list[float] = []
        self._order = 0
        self._crowded = MOST_NAMES

    @property
    def parameters(self) -> TrackerParameters:
        """The settings."""
        return self.core.parameters

    @property
    def state(self) -> State:
        """The present state."""
        return self.core.state

    @property
    def counters(self) -> Counter[str]:
        """Detections accepted, late (used all the same), dropped by reason."""
        return self.core.counters

    @property
    def sensor_names(self) -> list[str]:
        """Names of the sensors heard so far."""
        return self.core.sensor_names

    @property
    def motion(self) -> Dynamics:
        """How kinematic tracks move."""
        return self.core.motion

    # Input.

    def add(self, detections: Sequence[Detection]) -> None:
        """Queue detections; those later than ``max_lateness`` are counted and dropped.

        A detection that cannot be used (time or both bearing and position unknown or infinite)
        is dropped and counted under its reason.
        """
        oldest = self.core.state.time - self.core.parameters.max_lateness
        for detection in detections:
            reason = _unusable(detection)
            if reason:
                self.core.counters[f"dropped: {reason}"] += 1
            elif detection.time < oldest:
                self.core.counters["dropped: too late"] += 1
            elif not self.core.register(detection):
                self.core.counters["dropped: too many sensors"] += 1
            else:
                self.core.counters["accepted"] += 1
                self.core.arrivals.note(self.core.sensor_index[detection.sensor], detection.time)
                if detection.time <= self.core.state.time:
                    self.core.counters["late"] += 1
                self._pending.append((detection.time, self._order, detection))
                self._order += 1

    def own_ship(self, time: float, position: FloatArray, velocity: FloatArray) -> None:
        """Tell where the own-ship is; bearings of `tracks` are seen from there.

        Without it the own position of the newest detection is used.
        """
        if time >= self.core.state.own_time and np.isfinite(position).all():
            self.core.state.own_time = time
            self.core.state.own_position = np.array(position, dtype=np.float64)
            if np.isfinite(velocity).all():
                self.core.state.own_velocity = np.array(velocity, dtype=np.float64)

    def advance(self, time: float) -> None:
        """Use every queued detection up to ``time``, then coast and delete to that time."""
        self.core.now = time = max(time, self.core.state.time)
        ready = [item for item in self._pending if item[0] <= time]
        self._pending = [item for item in self._pending if item[0] > time]
        ready.sort(key=lambda item: item[:2])
        if not ready and time <= self.core.state.time:
            return
        stops = [time]
        if ready and ready[0][0] <= self.core.state.time:
            ready = self._rewind(ready)
            # Look again at the very times at which it was looked before.
            stops = [*(t for t in self._stops if self.core.state.time < t < time), time]
            self._stops = [t for t in self._stops if t <= self.core.state.time]
        begin = 0
        for stop in stops:
            end = begin
            while end < len(ready) and ready[end][0] <= stop:
                end += 1
            last = self._checkpoints[-1].time
            if self.core.state.time - last >= self.core.parameters.checkpoint_interval:
                self._checkpoints.append(self.core.state.copy())
            self._process(ready[begin:end])
            settle(self.core, stop)
            self._stops.append(stop)
            begin = end
        self._done.extend(ready)
        self._forget_history()
        if self.core.names_held > self._crowded:
            self._forget_names()

    def _rewind(
        self, ready: list[tuple[float, int, Detection]]
    ) -> list[tuple[float, int, Detection]]:
        first = ready[0][0]
        while len(self._checkpoints) > 1 and self._checkpoints[-1].time >= first:
            self._checkpoints.pop()
        own = (self.core.state.own_time, self.core.state.own_position, self.core.state.own_velocity)
        self.core.state = self._checkpoints[-1].copy()
        self.core.state.own_time, self.core.state.own_position, self.core.state.own_velocity = own
        self.core.widen()
        again = [item for item in self._done if item[0] > self.core.state.time]
        self._done = [item for item in self._done if item[0] <= self.core.state.time]
        self.core.counters["processed again"] += len(again)
        return sorted(again + ready, key=lambda item: item[:2])

    def _forget_history(self) -> None:
        horizon = self.core.state.time - self.core.parameters.max_lateness - 1e-9
        while len(self._checkpoints) > 1 and self._checkpoints[1].time < horizon:
            self._checkpoints.pop(0)
        start = self._checkpoints[0].time
        if self._done and self._done[0][0] <= start:
            self._done = [item for item in self._done if item[0] > start]
        if self._stops and self._stops[0] <= start:
            self._stops = [t for t in self._stops if t > start]

    def _forget_names(self) -> None:
        """Keep the memory of a process that lives a year bounded."""
        self.core.forget()
        # Earlier states have the old numbers.
        self._checkpoints = [self.core.state.copy()]
        self._done = []
        self._stops = []
        self._crowded = max(MOST_NAMES, 2 * self.core.names_held)

    # One frame: detections of one sensor, at most one of each object.

    def _process(self, items: list[tuple[float, int, Detection]]) -> None:
        core = self.core
        for members in frames_of(items, core.sensor_index, core.state.sensors):
            sensor = core.sensor_index[members[0].sensor]
            batch = batch_of(
                members,
                sensor,
                [core.key_of(d) for d in members],
                [core.label_of(d) for d in members],
            )
            give_height(batch, core.parameters.altitude, core.parameters.altitude_sigma)
            self._process_frame(fill_unknown(batch, core.state.sensors[sensor].model))

    def _process_frame(self, batch: DetectionBatch) -> None:
        state = self.core.state
        newest = int(np.argmax(batch.time))
        if batch.time[newest] >= state.own_time:
            state.own_time = float(batch.time[newest])
            state.own_position = batch.own_position[newest].copy()
            state.own_velocity = batch.own_velocity[newest].copy()
        learned = state.sensors[batch.sensor]
        elapsed = float(batch.time[newest]) - learned.last_frame
        if math.isfinite(elapsed):
            learned.learn_frame(elapsed, _at_one_time(batch))
        elif np.ptp(batch.time) > 1e-6 and len(batch) > 1:
            # A piece of a turning beam's first look.
            elapsed = float(np.ptp(batch.time))
        else:
            elapsed = learned.revisit
        learned.last_frame = float(batch.time[newest])
        if learned.model.modality == "VISION":
            against = batch.confidence < 0.5
            if against.any():
                refute(self.core, batch.take(indices(against)))
                batch = batch.take(indices(~against))
        ranged = np.isfinite(batch.range) | batch.placed
        keyed = batch.key >= 0
        weak = ~ranged & ~keyed & (batch.bearing_sigma > self.core.parameters.soft_bearing_sigma)
        identify(self.core, _part(batch, keyed & ~ranged))
        weigh(self.core, _part(batch, ranged), elapsed)
        hear(self.core, _part(batch, ~ranged & ~keyed & ~weak), elapsed)
        overhear(self.core, _part(batch, weak), elapsed)

    # Output.

    def tracks(self, time: float | None = None) -> list[TrackView]:
        """Return every track as it is expected to be at ``time`` (default: the newest).

        A later time than the last `advance` advances first.
        """
        if time is not None and time > self.core.state.time:
            self.advance(time)
        return views.tracks_of(self.core, self.core.state.time if time is None else time)

    def picture(self, time: float) -> views.Picture:
        """Return confirmed tracks at ``time``, in brief: positions, and bearings without range.

        Returns:
            ([[id, east, north], ...], [[id, bearing, bearing sigma], ...]).
        """
        if time > self.core.state.time:
            self.advance(time)
        return views.picture_of(self.core, time)

    def ledger(self, track_id: str) -> list[LedgerEntry]:
        """Return a track's evidence, oldest first.

        Raises:
            KeyError: no track has that id now.
        """
        return views.ledger_of(self.core, track_id)


def _part(batch: DetectionBatch, use: BoolArray) -> DetectionBatch:
    """Return the rows of ``use``; the batch itself where that is all of them."""
    return batch if use.all() else batch.take(indices(use))


LOOK_WIDTH = 0.8
"""Radians: plots of one time that are no farther apart may be a turning beam's, not a look's."""


def _at_one_time(batch: DetectionBatch) -> bool | None:
    """Whether a frame is a look in all directions at once; None when its plots cannot tell."""
    if len(batch) < 2:
        return None
    if float(np.ptp(batch.time)) > 1e-6:
        return False
    bearing = batch.bearing[np.isfinite(batch.bearing)]
    return len(bearing) > 1 and bool(np.abs(wrap(bearing - bearing[0])).max() > LOOK_WIDTH)


_LARGEST = 1e7
"""Metres, radians, m/s: beyond it a number is no measurement, and its square may overflow."""


_numbers = attrgetter(
    "bearing",
    "bearing_sigma",
    "alternative_bearing",
    "elevation",
    "elevation_sigma",
    "range",
    "range_sigma",
    "range_rate",
    "range_rate_sigma",
    "velocity_sigma",
    "rssi",
    "apparent_size",
    "sound_level",
)


def _beyond_measure(detection: Detection) -> bool:
    """Whether any number is too large to be meant; NaN, which compares with nothing, is not."""
    for number in _numbers(detection):
        if number > _LARGEST or number < -_LARGEST:
            return True
    for vector in (detection.position, detection.velocity, detection.own_velocity):
        if vector is UNKNOWN_VECTOR or vector is STILL:
            continue
        for number in vector.tolist():
            if number > _LARGEST or number < -_LARGEST:
                return True
    spread = detection.position_covariance
    return spread is not UNKNOWN_MATRIX and bool((np.abs(spread) > _LARGEST**2).any())


def _unusable(detection: Detection) -> str:
    if not math.isfinite(detection.time):
        return "no time"
    if not detection.sensor:
        return "no sensor name"
    east, north, up = detection.own_position.tolist()
    if not math.isfinite(east + north + up):
        return "own position unknown"
    if max(abs(east), abs(north), abs(up)) > _LARGEST or _beyond_measure(detection):
        return "a number beyond any measure"
    directed = math.isfinite(detection.bearing) or bool(np.isfinite(detection.position[:2]).all())
    return "" if directed else "neither bearing nor position"
