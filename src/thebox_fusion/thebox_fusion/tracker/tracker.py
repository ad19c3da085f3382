# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The tracker: its parts put together, and late detections in their own time's place."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from . import views
from .associate import assignment, marginals
from .bank import (
    ATTACHED,
    BORN,
    DETACHED,
    HIT,
    MERGED,
    MISS,
    REFUTED,
    SEEN,
    TENTATIVE,
    TrackBank,
)
from .detection import Detection, DetectionBatch, batch_of
from .existence import after_look, change_states, decay, doomed, logit, shift
from .frames import fill_unknown, frames_of, give_height
from .gate import aspect, bearing_offsets, coarse_gate
from .identity import KeyTable, band_of, coincidence, is_repeat
from .initiate import bearing_states, kinematic_states
from .measure import LOG_TWO_PI, wrap
from .merge import duplicates
from .parameters import TrackerParameters
from .sensors import PROVEN, SensorState
from .types import BoolArray, FloatArray, IntArray
from .update import Dynamics, Hypotheses, blend, hypothesise, update_certain
from .view import LedgerEntry, TrackView

BEARING_COMPONENTS = 10
EARLY_LOOKS = 1.5
OWN_SURPRISE = 3.0
SAME_KEY = 2.0
SAME_BAND = 1.0
JOINED_ODDS = 4.0
ESTABLISHED = 4.0
_NAMESPACE = uuid.UUID("6f1d9a52-2f0c-5c1e-9f6b-7a4f3a5d1e10")


@dataclass
class State:
    """Everything that a late detection may have to undo."""

    time: float
    kinematic: TrackBank
    bearings: TrackBank
    keys: KeyTable
    sensors: list[SensorState]
    own_time: float
    own_position: FloatArray
    own_velocity: FloatArray
    last_merge: float = -math.inf

    def copy(self) -> State:
        """Return an independent copy."""
        return replace(
            self,
            kinematic=self.kinematic.copy(),
            bearings=self.bearings.copy(),
            keys=self.keys.copy(),
            sensors=[sensor.copy() for sensor in self.sensors],
        )


class Tracker:
    """From detections to tracks. Deterministic; reads no clock.

    Detections are queued by `add` and used by `advance`, in the order of their times. A
    detection that is late by no more than ``max_lateness`` is used in its own time's place: the
    state from before it is restored and everything since is processed again.

    Attributes:
        counters: accepted, late (used all the same), dropped by reason.
    """

    def __init__(self, parameters: TrackerParameters | None = None) -> None:
        self.parameters = parameters or TrackerParameters()
        p = self.parameters
        self.counters: Counter[str] = Counter()
        self.sensor_names: list[str] = []
        self._sensor_index: dict[str, int] = {}
        self._modality: list[str] = []
        self._numbered: set[int] = set()
        self.key_names: list[tuple[str, str]] = []
        self._key_index: dict[tuple[str, str], int] = {}
        self.label_names: list[str] = []
        self._label_index: dict[str, int] = {}
        self._serial: dict[tuple[object, ...], int] = {}
        self._ids: dict[int, str] = {}
        self._display: dict[int, int] = {}
        self.motion = Dynamics(
            density=np.array([p.acceleration_cruise**2, p.acceleration_manoeuvre**2]),
            vertical=p.acceleration_vertical**2,
            dwell=np.array([p.dwell_cruise, p.dwell_manoeuvre]),
        )
        self.drift = Dynamics(
            density=np.full(BEARING_COMPONENTS, p.bearing_acceleration**2),
            vertical=p.acceleration_vertical**2,
            dwell=None,
        )
        self.state = State(
            time=-math.inf,
            kinematic=TrackBank(len(self.motion.density), p.ledger_length),
            bearings=TrackBank(BEARING_COMPONENTS, p.ledger_length),
            keys=KeyTable(),
            sensors=[],
            own_time=-math.inf,
            own_position=np.zeros(3),
            own_velocity=np.zeros(3),
        )
        self._checkpoints: list[State] = [self.state.copy()]
        self._pending: list[tuple[float, int, Detection]] = []
        self._done: list[tuple[float, int, Detection]] = []
        self._stops: list[float] = []
        self._order = 0

    # Input.

    def add(self, detections: Sequence[Detection]) -> None:
        """Queue detections; those later than ``max_lateness`` are counted and dropped.

        A detection that cannot be used (time or both bearing and position unknown or infinite)
        is dropped and counted under its reason.
        """
        oldest = self.state.time - self.parameters.max_lateness
        for detection in detections:
            reason = _unusable(detection)
            if reason:
                self.counters[f"dropped: {reason}"] += 1
            elif detection.time < oldest:
                self.counters["dropped: too late"] += 1
            else:
                self.counters["accepted"] += 1
                if detection.time <= self.state.time:
                    self.counters["late"] += 1
                self._register(detection)
                self._pending.append((detection.time, self._order, detection))
                self._order += 1

    def own_ship(self, time: float, position: FloatArray, velocity: FloatArray) -> None:
        """Tell where the own-ship is; bearings of `tracks` are seen from there.

        Without it the own position of the newest detection is used.
        """
        if time >= self.state.own_time and np.isfinite(position).all():
            self.state.own_time = time
            self.state.own_position = np.array(position, dtype=np.float64)
            if np.isfinite(velocity).all():
                self.state.own_velocity = np.array(velocity, dtype=np.float64)

    def advance(self, time: float) -> None:
        """Use every queued detection up to ``time``, then coast and delete to that time."""
        time = max(time, self.state.time)
        ready = [item for item in self._pending if item[0] <= time]
        self._pending = [item for item in self._pending if item[0] > time]
        ready.sort(key=lambda item: item[:2])
        if not ready and time <= self.state.time:
            return
        stops = [time]
        if ready and ready[0][0] <= self.state.time:
            ready = self._rewind(ready)
            # Look again at the very times at which it was looked before.
            stops = [*(t for t in self._stops if self.state.time < t < time), time]
            self._stops = [t for t in self._stops if t <= self.state.time]
        begin = 0
        for stop in stops:
            end = begin
            while end < len(ready) and ready[end][0] <= stop:
                end += 1
            last = self._checkpoints[-1].time
            if self.state.time - last >= self.parameters.checkpoint_interval:
                self._checkpoints.append(self.state.copy())
            self._process(ready[begin:end])
            self._settle(stop)
            self._stops.append(stop)
            begin = end
        self._done.extend(ready)
        self._forget_history()

    def _rewind(
        self, ready: list[tuple[float, int, Detection]]
    ) -> list[tuple[float, int, Detection]]:
        first = ready[0][0]
        while len(self._checkpoints) > 1 and self._checkpoints[-1].time >= first:
            self._checkpoints.pop()
        own = (self.state.own_time, self.state.own_position, self.state.own_velocity)
        self.state = self._checkpoints[-1].copy()
        self.state.own_time, self.state.own_position, self.state.own_velocity = own
        self._widen()
        again = [item for item in self._done if item[0] > self.state.time]
        self._done = [item for item in self._done if item[0] <= self.state.time]
        self.counters["processed again"] += len(again)
        return sorted(again + ready, key=lambda item: item[:2])

    def _forget_history(self) -> None:
        horizon = self.state.time - self.parameters.max_lateness - 1e-9
        while len(self._checkpoints) > 1 and self._checkpoints[1].time < horizon:
            self._checkpoints.pop(0)
        start = self._checkpoints[0].time
        if self._done and self._done[0][0] <= start:
            self._done = [item for item in self._done if item[0] > start]
        if self._stops and self._stops[0] <= start:
            self._stops = [t for t in self._stops if t > start]

    # Registries. They only grow, so they need no undoing.

    def _register(self, detection: Detection) -> None:
        name = detection.sensor
        if name not in self._sensor_index:
            self._sensor_index[name] = len(self.sensor_names)
            self.sensor_names.append(name)
            self._modality.append(detection.modality)
        if detection.key:
            if math.isfinite(detection.range):
                self._numbered.add(self._sensor_index[name])
            key = (name, detection.key)
            if key not in self._key_index:
                self._key_index[key] = len(self.key_names)
                self.key_names.append(key)
        if detection.label and detection.label not in self._label_index:
            self._label_index[detection.label] = len(self.label_names)
            self.label_names.append(detection.label)
        self._widen()

    def _widen(self) -> None:
        state = self.state
        while len(state.sensors) < len(self.sensor_names):
            index = len(state.sensors)
            model = self.parameters.sensor_model(self.sensor_names[index], self._modality[index])
            state.sensors.append(SensorState(model, numbered=index in self._numbered))
        for bank in (state.kinematic, state.bearings):
            bank.widen(len(self.sensor_names), len(self.label_names))
        state.keys.grow(len(self.key_names))

    def _serials(self, batch: DetectionBatch, kind: str) -> IntArray:
        """Return serial numbers of new tracks; the same first detection gives the same."""
        numbers = []
        for row in range(len(batch)):
            origin = (
                kind,
                batch.sensor,
                float(batch.time[row]),
                float(batch.bearing[row]),
                repr(float(batch.range[row])),
                repr(float(batch.position[row, 0])),
                int(batch.key[row]),
            )
            serial = self._serial.get(origin)
            if serial is None:
                serial = len(self._serial) + 1
                self._serial[origin] = serial
                text = f"{serial}:{self.sensor_names[batch.sensor]}:{origin[2:]!r}"
                self._ids[serial] = str(uuid.uuid5(_NAMESPACE, text))
            numbers.append(serial)
        return np.array(numbers, dtype=np.int64)

    # One frame: detections of one sensor, at most one of each object.

    def _process(self, items: list[tuple[float, int, Detection]]) -> None:
        for members in frames_of(items, self._sensor_index, self.state.sensors):
            sensor = self._sensor_index[members[0].sensor]
            batch = batch_of(
                members,
                sensor,
                [self._key_index[d.sensor, d.key] if d.key else -1 for d in members],
                [self._label_index[d.label] if d.label else -1 for d in members],
            )
            give_height(batch, self.parameters.altitude, self.parameters.altitude_sigma)
            self._process_frame(fill_unknown(batch, self.state.sensors[sensor].model))

    def _process_frame(self, batch: DetectionBatch) -> None:
        state = self.state
        newest = int(np.argmax(batch.time))
        if batch.time[newest] >= state.own_time:
            state.own_time = float(batch.time[newest])
            state.own_position = batch.own_position[newest].copy()
            state.own_velocity = batch.own_velocity[newest].copy()
        learned = state.sensors[batch.sensor]
        elapsed = float(batch.time[newest]) - learned.last_frame
        if math.isfinite(elapsed):
            learned.learn_frame(elapsed, _at_one_time(batch))
        else:
            elapsed = learned.revisit
        learned.last_frame = float(batch.time[newest])
        if learned.model.modality == "VISION":
            against = batch.confidence < 0.5
            if against.any():
                self._refute(batch.take(np.flatnonzero(against)))
                batch = batch.take(np.flatnonzero(~against))
        ranged = np.isfinite(batch.range) | np.isfinite(batch.position).all(axis=1)
        keyed = batch.key >= 0
        weak = ~ranged & ~keyed & (batch.bearing_sigma > self.parameters.soft_bearing_sigma)
        self._identify(batch.take(np.flatnonzero(keyed & ~ranged)))
        self._weigh(batch.take(np.flatnonzero(ranged)), elapsed)
        self._hear(batch.take(np.flatnonzero(~ranged & ~keyed & ~weak)), elapsed)
        self._overhear(batch.take(np.flatnonzero(weak)), elapsed)

    def _associate(
        self,
        bank: TrackBank,
        batch: DetectionBatch,
        dynamics: Dynamics,
        eligible: BoolArray,
        elapsed: float,
    ) -> tuple[FloatArray, FloatArray, IntArray, IntArray, FloatArray]:
        """Associate a frame with a bank and update it.

        Returns:
            (M,) probability that each detection belongs to no track, the same counting only
            tracks that are likely to exist, and the pairs (bank row, detection row, probability).
        """
        state, p = self.state, self.parameters
        nothing = np.ones(len(batch))
        empty = np.zeros(0, dtype=np.int64)
        if not len(batch) or not len(bank):
            return nothing, nothing, empty, empty, np.zeros(0)
        learned = state.sensors[batch.sensor]
        middle = float(np.mean(batch.time))
        seen = aspect(bank, middle, batch.own_position.mean(axis=0), float(dynamics.density[-1]))
        track, detection = coarse_gate(seen, batch, eligible, math.sqrt(p.gate) + 0.5)
        h = hypothesise(bank, batch, track, detection, dynamics=dynamics, gate=p.gate)
        if not len(h.pair):
            return nothing, nothing, empty, empty, np.zeros(0)
        chance = learned.detection_probability(seen.slant[h.rows])
        chance = chance * bank.visible[h.rows, batch.sensor]
        probability, detected, prior, after = self._resolve(
            bank, batch, h, chance=chance, elapsed=elapsed
        )
        given = np.maximum(after, 1e-9)
        none = np.clip((after - detected) / given, 0.0, 1.0)
        blend(bank, h, probability / given[h.pair], none)
        after = self._believed(bank, h.rows, detected, after)
        delta = shift(bank, h.rows, logit(after), p.log_odds_limit)
        self._look_done(
            bank, batch, h, slant=seen.slant[h.rows], prior=prior, detected=detected, delta=delta
        )
        self._name(bank, h.rows[h.pair], batch.take(h.detection), probability > 0.5)
        taken = np.bincount(h.detection, weights=probability, minlength=len(batch))
        real = np.bincount(h.detection, weights=probability * after[h.pair], minlength=len(batch))
        free = np.clip(1.0 - taken, 0.0, 1.0)
        return free, np.clip(1.0 - real, 0.0, 1.0), h.rows[h.pair], h.detection, probability

    def _resolve(
        self,
        bank: TrackBank,
        batch: DetectionBatch,
        h: Hypotheses,
        *,
        chance: FloatArray,
        elapsed: float,
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return (P,) pair probabilities, and (U,) detected, existence before and after.

        In a sensor's second look the clutter and the share of real plots in the first one are
        estimated together with the association (a few steps of expectation maximisation).
        """
        learned = self.state.sensors[batch.sensor]
        prior = bank.probability()[h.rows]
        identity = self._identity_bonus(bank, batch, h.rows[h.pair], h.detection)
        counted = chance * learned.model.miss_weight

        def weigh() -> tuple[FloatArray, FloatArray, FloatArray]:
            log_ratio = h.log_likelihood - learned.log_clutter(batch)[h.detection] + identity
            found, hit = self._probabilities(h, prior, chance, log_ratio, len(batch))
            return found, hit, after_look(prior, hit, counted)

        probability, detected, after = weigh()
        if learned.looks_seen < EARLY_LOOKS and bool(np.isfinite(batch.range).all()):
            before = learned.clutter
            for _ in range(5):
                real = np.bincount(
                    h.detection, weights=probability * after[h.pair], minlength=len(batch)
                )
                learned.try_clutter(before, batch.range, np.clip(1.0 - real, 0.0, 1.0), elapsed)
                prior = _share_of_first_look(bank, h.rows, batch.sensor, prior, after)
                probability, detected, after = weigh()
            learned.clutter = before
        return probability, detected, prior, after

    def _believed(
        self, bank: TrackBank, rows: IntArray, detected: FloatArray, after: FloatArray
    ) -> FloatArray:
        """Bound existence by what tracks of so few detections have turned out to be.

        The association takes clutter for independent from look to look. Where false plots come in
        a row instead, their tracks look real and end after some looks: how many do is learned.
        """
        if bank is not self.state.kinematic:
            return after
        hits = bank.hits[rows] + detected
        young = hits < PROVEN - 0.5
        bound = after.copy()
        for sensor in np.unique(bank.first_sensor[rows]).tolist():
            learned = self.state.sensors[sensor]
            here = bank.first_sensor[rows] == sensor
            claim = np.flatnonzero(here & young & (detected > 0.5) & (after > 0.85))
            which = rows[claim]
            bank.claims[which] |= 1 << np.clip(np.rint(hits[claim]).astype(np.int64) - 1, 0, 7)
            older = rows[here & ~young & (bank.claims[rows] > 0)]
            if len(older):
                learned.learn_passing(bank.claims[older], proved=True)
                bank.claims[older] = -1
            bound[here] = np.minimum(bound[here], learned.believable(hits[here]))
        return bound

    def _look_done(
        self,
        bank: TrackBank,
        batch: DetectionBatch,
        h: Hypotheses,
        *,
        slant: FloatArray,
        prior: FloatArray,
        detected: FloatArray,
        delta: FloatArray,
    ) -> None:
        """Write down what a look gave each track with a candidate, and learn from it."""
        rows, sensor = h.rows, batch.sensor
        learned = self.state.sensors[sensor]
        hit = detected > 0.5
        bank.note(rows, h.when, sensor, np.where(hit, HIT, MISS), delta)
        sure = (bank.state[rows] != TENTATIVE) & (prior > 0.9)
        # False tracks are short: their misses would teach that the sensor sees little.
        old = sure & (bank.sensor_hits[rows, sensor] > ESTABLISHED)
        learned.learn_detection(slant[old], detected[old], np.ones(int(old.sum())))
        clear = hit & sure & (detected > 0.9) & np.isfinite(bank.sensor_last[rows, sensor])
        learned.learn_revisit((h.when - bank.sensor_last[rows, sensor])[clear])
        bank.last_look[rows, sensor] = h.when
        bank.sensor_hits[rows, sensor] += detected
        bank.hit_rate[rows] += 0.15 * (detected - bank.hit_rate[rows])
        bank.hits[rows] += detected
        bank.sensor_last[rows[hit], sensor] = h.when[hit]
        bank.last_hit[rows[hit]] = np.maximum(bank.last_hit[rows[hit]], h.when[hit])
        bank.visible[rows[hit], sensor] = 1.0

    def _probabilities(
        self,
        h: Hypotheses,
        prior: FloatArray,
        chance: FloatArray,
        log_ratio: FloatArray,
        detections: int,
    ) -> tuple[FloatArray, FloatArray]:
        """Return (P,) association probabilities and (U,) that a track is detected at all."""
        p = self.parameters
        gain = np.exp(np.minimum(log_ratio, 60.0))
        odds = prior * chance / (1.0 - prior * chance)
        ratio = odds[h.pair] * gain
        if p.association == "assignment":
            # Whose detection it is, if the track exists at all; existence is judged after.
            likely = np.maximum(prior, 0.5) * chance
            likely = (likely / (1.0 - likely))[h.pair] * gain
            probability = assignment(h.pair, h.detection, likely) * ratio / (1.0 + ratio)
        else:
            probability = marginals(h.pair, h.detection, ratio, detections, p.belief_iterations)
        detected = np.bincount(h.pair, weights=probability, minlength=len(h.rows))
        return probability, np.minimum(detected, 1.0)

    def _identity_bonus(
        self, bank: TrackBank, batch: DetectionBatch, rows: IntArray, detection: IntArray
    ) -> FloatArray:
        """Return (P,) log likelihood ratios of identity: for the same key, against another's.

        They are moderate: radars number their false tracks, too, and swap numbers; links hop over
        a band, and many use the same.
        """
        key = batch.key[detection]
        attached = (
            np.where(key >= 0, self.state.keys.track[np.maximum(key, 0)], -1)
            if len(self.state.keys)
            else np.full(len(key), -1)
        )
        known = np.isin(attached, bank.number) & (attached >= 0)
        same = attached == bank.number[rows]
        bonus = np.where(known, np.where(same, SAME_KEY, -SAME_KEY), 0.0)
        band = band_of(batch.frequency)[detection]
        if (band > 0).any():
            emits = self.state.keys.bands(bank.number)[rows]
            heard = (band > 0) & (emits > 0)
            bonus += np.where(heard, np.where(emits & band, SAME_BAND, -SAME_BAND), 0.0)
        return bonus

    def _name(self, bank: TrackBank, rows: IntArray, batch: DetectionBatch, use: BoolArray) -> None:
        """Sum up what sensors say that objects are."""
        labelled = np.flatnonzero(use & (batch.label >= 0))
        if len(labelled):
            belief = np.where(np.isfinite(batch.confidence), batch.confidence, 0.7)[labelled]
            score = np.clip(belief, 0.05, 0.95)
            bank.label_score[rows[labelled], batch.label[labelled]] += 0.5 * score

    def _born(
        self,
        bank: TrackBank,
        batch: DetectionBatch,
        *,
        mean: FloatArray,
        covariance: FloatArray,
        log_odds: FloatArray,
        serial: IntArray,
    ) -> IntArray:
        """Append new tracks, one for each row of ``batch``."""
        count = len(batch)
        weight = np.full((count, bank.components), 1.0 / bank.components)
        if bank is self.state.kinematic and self.motion.dwell is not None:
            weight[:] = self.motion.dwell / self.motion.dwell.sum()
            self.state.keys.add_tracks(count)
        rows = bank.append(
            count,
            number=serial,
            time=batch.time,
            mean=mean,
            covariance=covariance,
            weight=weight,
            log_odds=log_odds,
            hits=np.ones(count),
            first_seen=batch.time,
            last_hit=batch.time,
            first_sensor=np.full(count, batch.sensor),
            own_start=np.column_stack([batch.time, batch.own_position[:, :2]]),
        )
        bank.last_look[rows, batch.sensor] = batch.time
        bank.sensor_last[rows, batch.sensor] = batch.time
        bank.sensor_hits[rows, batch.sensor] = 1.0
        bank.visible[rows, batch.sensor] = 1.0
        bank.note(rows, batch.time, batch.sensor, BORN, log_odds)
        self._name(bank, rows, batch, np.ones(count, dtype=np.bool_))
        return rows

    def _weigh(self, batch: DetectionBatch, elapsed: float) -> None:
        """Use detections with a range or a position."""
        if not len(batch):
            return
        bank, learned = self.state.kinematic, self.state.sensors[batch.sensor]
        everyone = np.ones(len(bank), dtype=np.bool_)
        free, false, rows, detection, probability = self._associate(
            bank, batch, self.motion, everyone, elapsed
        )
        placed = np.linalg.norm(batch.position - batch.own_position, axis=1)
        slant = np.where(np.isfinite(batch.range), batch.range, placed)
        plain = np.isfinite(batch.bearing)
        learned.learn_sweep(batch.time[plain], batch.bearing[plain])
        learned.learn_clutter(slant, false, True, elapsed)
        birth = free * learned.birth_probability(batch, bearing_only=False)
        new = np.flatnonzero((free > 0.2) & (birth > 1e-6))
        begun: IntArray = np.zeros(0, dtype=np.int64)
        if len(new):
            first = batch.take(new)
            mean, covariance = kinematic_states(first, bank.components, self.parameters)
            begun = self._born(
                bank,
                first,
                mean=mean,
                covariance=covariance,
                log_odds=np.maximum(
                    logit(birth[new]), logit(np.array(10.0 * self.parameters.prune_probability))
                ),
                serial=self._serials(first, "k"),
            )
        numbered = batch.key >= 0
        learned.learn_revisit(batch.time[numbered] - self.state.keys.time[batch.key[numbered]])
        keyed = np.flatnonzero((batch.key[detection] >= 0) & (probability > 0.7))
        self.state.keys.track[batch.key[detection[keyed]]] = bank.number[rows[keyed]]
        self.state.keys.time[batch.key[detection[keyed]]] = batch.time[detection[keyed]]
        if len(new):
            with_key = np.flatnonzero(batch.key[new] >= 0)
            if len(with_key):
                # A plot that its track's gate refused does not take the number from that track.
                owner = self.state.keys.track[batch.key[new[with_key]]]
                with_key = with_key[(owner < 0) | ~np.isin(owner, bank.number)]
            self.state.keys.track[batch.key[new[with_key]]] = bank.number[begun[with_key]]

    def _hear(self, batch: DetectionBatch, elapsed: float) -> None:
        """Use precise bearings without identity: first for kinematic tracks."""
        if not len(batch):
            return
        bank = self.state.kinematic
        strong = bank.probability() > 0.2
        free, _, _, _, _ = self._associate(bank, batch, self.motion, strong, elapsed)
        self._begin_bearings(batch, free, elapsed)

    def _overhear(self, batch: DetectionBatch, elapsed: float) -> None:
        """Use coarse bearings without identity: tracks they may come from explain them."""
        if not len(batch):
            return
        state = self.state
        free: FloatArray = np.ones(len(batch))
        if len(state.kinematic):
            own = batch.own_position.mean(axis=0)
            seen = aspect(
                state.kinematic,
                float(np.mean(batch.time)),
                own,
                float(self.motion.density[-1]),
            )
            offset = bearing_offsets(seen, batch)
            variance = seen.bearing_variance[:, None] + batch.bearing_sigma[None, :] ** 2
            near = (offset**2 < 6.0 * variance) & (state.kinematic.probability() > 0.8)[:, None]
            free = np.where(near.any(axis=0), 0.0, 1.0)
        self._begin_bearings(batch, free, elapsed)

    def _begin_bearings(self, batch: DetectionBatch, free: FloatArray, elapsed: float) -> None:
        """Give bearings that no kinematic track explains to bearing-only tracks, old or new."""
        learned = self.state.sensors[batch.sensor]
        left = np.flatnonzero(free > 0.6)
        false: FloatArray = np.zeros(0)
        if len(left):
            bank = self.state.bearings
            rest = batch.take(left)
            unexplained, false, rows, detection, probability = self._associate(
                bank, rest, self.drift, bank.key < 0, elapsed
            )
            self._own_path(bank, rows, rest.take(detection), probability > 0.5)
            birth = unexplained * learned.birth_probability(rest, bearing_only=True)
            new = np.flatnonzero((unexplained > 0.5) & (birth > 1e-4))
            if len(new):
                first = rest.take(new)
                mean, covariance = bearing_states(
                    first, bank.components, self.parameters, learned.model
                )
                rows = self._born(
                    bank,
                    first,
                    mean=mean,
                    covariance=covariance,
                    log_odds=logit(birth[new]),
                    serial=self._serials(first, "b"),
                )
                self._own_path(bank, rows, first, np.ones(len(new), dtype=np.bool_))
        learned.learn_clutter(np.zeros(len(false)), false, False, elapsed)

    def _own_path(
        self, bank: TrackBank, rows: IntArray, batch: DetectionBatch, use: BoolArray
    ) -> None:
        """Sum up where the own-ship was at the detections of bearing-only tracks."""
        rows, batch = rows[use], batch.take(np.flatnonzero(use))
        if not len(rows):
            return
        t = batch.time - bank.own_start[rows, 0]
        e = batch.own_position[:, 0] - bank.own_start[rows, 1]
        n = batch.own_position[:, 1] - bank.own_start[rows, 2]
        information = 1.0 / batch.bearing_sigma**2
        self._point(bank, rows, batch)
        bank.own_path[rows] += np.stack(
            [np.ones(len(t)), t, t * t, e, n, t * e, t * n, e * e + n * n, information], axis=1
        )

    def _point(self, bank: TrackBank, rows: IntArray, batch: DetectionBatch) -> None:
        """Update the plain bearing filter of bearing-only tracks."""
        old, variance, when = bank.direction[rows].T
        noise = batch.bearing_sigma**2
        wander = self.parameters.bearing_wander**2
        predicted = variance + wander * np.maximum(batch.time - when, 0.0)
        first = variance <= 0.0
        gap = wrap(batch.bearing - old)
        other = wrap(batch.alternative_bearing - old)
        gap = np.where(np.abs(other) < np.abs(gap), other, gap)
        gain = np.where(first, 1.0, predicted / (predicted + noise))
        bank.direction[rows, 0] = np.where(first, batch.bearing, old + gain * gap)
        bank.direction[rows, 1] = np.where(first, noise, (1.0 - gain) * predicted)
        bank.direction[rows, 2] = np.where(first, batch.time, np.maximum(when, batch.time))

    # Emitters: detections whose sensor knows the identity.

    def _rows_of(self, bank: TrackBank, serial: IntArray) -> IntArray:
        """Return the bank rows of serial numbers, -1 where there is none."""
        result: IntArray = np.full(len(serial), -1, dtype=np.int64)
        if len(bank) and len(serial):
            order = np.argsort(bank.number, kind="stable")
            place = np.searchsorted(bank.number[order], serial)
            candidate = order[np.minimum(place, len(order) - 1)]
            result = np.where(bank.number[candidate] == serial, candidate, -1)
        return result

    def _identify(self, batch: DetectionBatch) -> None:
        """Use bearings with an identity: for the attached track, or for one of their own."""
        if not len(batch):
            return
        state, p = self.state, self.parameters
        table, kinematic = state.keys, state.kinematic
        keys = batch.key
        repeat, effective = is_repeat(
            table,
            keys,
            time=batch.time,
            frequency=batch.frequency,
            rssi=batch.rssi,
            sigma=batch.bearing_sigma,
        )
        independent = repeat == 0.0
        informative = np.isfinite(effective)
        table.forget(
            keys[independent], (batch.time - table.time[keys])[independent], p.key_forgetting
        )
        sharp = batch.take(np.arange(len(batch)))
        sharp.bearing_sigma = np.where(informative, effective, 1e3)
        log_kinematic = self._bearing_likelihoods(sharp, kinematic, self.motion)
        rows = self._rows_of(kinematic, table.track[keys])
        table.track[keys[rows < 0]] = -1
        attached = rows >= 0
        if attached.any():
            self._update_attached(
                sharp,
                rows,
                np.flatnonzero(attached),
                independent=independent,
                informative=informative,
                log_kinematic=log_kinematic,
            )
        apart = np.flatnonzero(~attached)
        if len(apart):
            self._update_apart(sharp, apart, independent, informative, log_kinematic)
        table.hits[keys[independent]] += 1
        table.repeated[keys] = ~independent
        table.frequency[keys] = batch.frequency
        table.rssi[keys] = batch.rssi
        table.sigma[keys] = np.where(
            independent, batch.bearing_sigma, np.fmax(batch.bearing_sigma, table.sigma[keys])
        )
        table.bearing[keys] = batch.bearing
        table.time[keys] = batch.time
        self._attach_likely(keys[(table.track[keys] < 0) & independent], float(batch.time.max()))

    def _bearing_likelihoods(
        self, batch: DetectionBatch, bank: TrackBank, dynamics: Dynamics
    ) -> FloatArray:
        """Return (M, N) log likelihoods of each detection's bearing under each track."""
        if not len(bank):
            return np.zeros((len(batch), 0))
        seen = aspect(
            bank,
            float(np.mean(batch.time)),
            batch.own_position.mean(axis=0),
            float(dynamics.density[-1]),
        )
        offset = bearing_offsets(seen, batch).T
        variance = seen.bearing_variance[None, :] + batch.bearing_sigma[:, None] ** 2
        surprise = np.minimum(offset**2 / variance, 30.0) + np.log(variance) + LOG_TWO_PI
        either = np.where(np.isfinite(batch.alternative_bearing), math.log(2.0), 0.0)
        likelihood: FloatArray = -0.5 * surprise - either[:, None]
        return likelihood

    def _update_attached(
        self,
        batch: DetectionBatch,
        rows: IntArray,
        members: IntArray,
        *,
        independent: BoolArray,
        informative: BoolArray,
        log_kinematic: FloatArray,
    ) -> None:
        """Update the kinematic tracks that emitters are attached to."""
        state, p = self.state, self.parameters
        bank, table = state.kinematic, state.keys
        mine = log_kinematic[members, rows[members]]
        gain = log_kinematic[members] - mine[:, None]
        table.evidence[batch.key[members]] += np.where(independent[members][:, None], gain, 0.0)
        seen = aspect(
            bank,
            float(np.mean(batch.time)),
            batch.own_position.mean(axis=0),
            float(self.motion.density[-1]),
        )
        offset = bearing_offsets(seen, batch)[rows[members], members]
        variance = seen.bearing_variance[rows[members]] + batch.bearing_sigma[members] ** 2
        squared = np.minimum(offset**2 / variance, 25.0)
        key = batch.key[members]
        strain = np.maximum(table.strain[key] + 0.5 * (squared - 2.0), 0.0)
        table.strain[key] = np.where(independent[members], strain, table.strain[key])
        leave = table.strain[key] > -2.0 * p.detach_log_odds
        better = table.evidence[key].max(axis=1) > -p.detach_log_odds
        for k, row in zip(
            key[leave | better].tolist(), rows[members][leave | better].tolist(), strict=True
        ):
            table.track[k] = -1
            table.strain[k] = 0.0
            table.evidence[k] = 0.0
            bank.note(np.array([row]), float(batch.time.max()), batch.sensor, DETACHED, 0.0)
        stay = members[~(leave | better)]
        # Two emitters of one track in one frame are applied one after the other.
        while len(stay):
            _, once = np.unique(rows[stay], return_index=True)
            now = stay[once]
            chosen = batch.take(now)
            which = rows[now]
            update_certain(
                bank,
                which,
                chosen,
                dynamics=self.motion,
                distance_cap=p.gate,
                weight_floor=1e-6,
                kinematic=informative[now],
            )
            delta = shift(
                bank,
                which,
                bank.log_odds[which] + np.where(independent[now], 1.0, 0.0),
                p.log_odds_limit,
            )
            fresh = independent[now]
            bank.note(which[fresh], chosen.time[fresh], batch.sensor, HIT, delta[fresh])
            bank.last_hit[which] = np.maximum(bank.last_hit[which], chosen.time)
            bank.hits[which] += independent[now]
            bank.last_look[which, batch.sensor] = chosen.time
            bank.sensor_last[which, batch.sensor] = chosen.time
            bank.sensor_hits[which, batch.sensor] += independent[now]
            bank.visible[which, batch.sensor] = 1.0
            self._name(bank, which, chosen, independent[now])
            stay = np.setdiff1d(stay, now)

    def _update_apart(
        self,
        batch: DetectionBatch,
        members: IntArray,
        independent: BoolArray,
        informative: BoolArray,
        log_kinematic: FloatArray,
    ) -> None:
        """Update or begin the emitters' own bearing-only tracks."""
        state, p = self.state, self.parameters
        bank, table = state.bearings, state.keys
        own = self._rows_of(bank, table.own[batch.key[members]])
        old = np.flatnonzero(own >= 0)
        if len(old):
            chosen, which = batch.take(members[old]), own[old]
            log_own = self._bearing_likelihoods(chosen, bank, self.drift)[
                np.arange(len(old)), which
            ]
            # An emitter of its own may turn as it likes: its own track's surprise is bounded, or
            # any kinematic track in that direction would look the better explanation.
            floor = -0.5 * (
                OWN_SURPRISE + LOG_TWO_PI + np.log(1.3 * chosen.bearing_sigma**2)
            ) - np.where(np.isfinite(chosen.alternative_bearing), math.log(2.0), 0.0)
            gain = log_kinematic[members[old]] - np.maximum(log_own, floor)[:, None]
            heard = independent[members[old]]
            table.evidence[chosen.key] += np.where(heard[:, None], gain, 0.0)
            update_certain(
                bank,
                which,
                chosen,
                dynamics=self.drift,
                distance_cap=9.0,
                weight_floor=1e-5,
                kinematic=informative[members[old]],
            )
            fresh = independent[members[old]]
            delta = shift(
                bank, which, bank.log_odds[which] + np.where(fresh, 2.0, 0.0), p.log_odds_limit
            )
            bank.note(which[fresh], chosen.time[fresh], batch.sensor, HIT, delta[fresh])
            bank.last_hit[which] = np.maximum(bank.last_hit[which], chosen.time)
            bank.hits[which] += fresh
            bank.last_look[which, batch.sensor] = chosen.time
            bank.sensor_last[which, batch.sensor] = chosen.time
            bank.sensor_hits[which, batch.sensor] += fresh
            self._name(bank, which, chosen, fresh)
            self._own_path(bank, which, chosen, informative[members[old]])
        new = members[own < 0]
        if len(new):
            first = batch.take(new)
            first.bearing_sigma = np.minimum(first.bearing_sigma, math.pi)
            mean, covariance = bearing_states(
                first, bank.components, p, state.sensors[batch.sensor].model
            )
            serial = self._serials(first, "e")
            before = table.own[first.key]
            recent = (before >= 0) & (first.time - table.time[first.key] < p.emitter_memory)
            serial = np.where(recent, before, serial)
            rows = self._born(
                bank,
                first,
                mean=mean,
                covariance=covariance,
                log_odds=np.full(len(new), -0.5),
                serial=serial,
            )
            bank.key[rows] = first.key
            table.own[first.key] = serial
            self._own_path(bank, rows, first, np.ones(len(new), dtype=np.bool_))

    def _attach_likely(self, keys: IntArray, now: float) -> None:
        """Let emitters join the kinematic track that explains them, where that is clear."""
        state, p = self.state, self.parameters
        bank, table = state.kinematic, state.keys
        if not len(bank):
            return
        alive = np.where((bank.state != TENTATIVE) & (bank.probability() > 0.8), 1.0, 0.0)
        if not alive.any():
            return
        seen = aspect(bank, now, state.own_position, float(self.motion.density[-1]))
        gone: list[int] = []
        for key in keys.tolist():
            own = self._rows_of(state.bearings, table.own[key : key + 1])
            if table.hits[key] < 3 or own[0] < 0:
                continue
            meeting = coincidence(seen, state.bearings.direction[own[0]])
            row, posterior = table.posterior(key, alive, JOINED_ODDS, meeting)
            if posterior < p.attach_probability:
                continue
            table.track[key] = int(bank.number[row])
            table.evidence[key] -= table.evidence[key, row]
            table.strain[key] = 0.0
            which = np.array([row])
            support = 1.5
            gone.append(int(own[0]))
            bank.first_seen[row] = min(bank.first_seen[row], state.bearings.first_seen[own[0]])
            bank.label_score[row] += state.bearings.label_score[own[0]]
            bank.sensor_hits[row] += state.bearings.sensor_hits[own[0]]
            delta = shift(bank, which, bank.log_odds[which] + support, p.log_odds_limit)
            sensor = self._sensor_index[self.key_names[key][0]]
            bank.note(which, now, sensor, ATTACHED, delta)
        if gone:
            keep = np.setdiff1d(np.arange(len(state.bearings)), np.array(gone))
            state.bearings.keep(keep)

    def _refute(self, batch: DetectionBatch) -> None:
        """Count a camera's look that saw nothing against the tracks in that direction."""
        bank = self.state.kinematic
        if not len(bank):
            return
        seen = aspect(
            bank,
            float(np.mean(batch.time)),
            batch.own_position.mean(axis=0),
            float(self.motion.density[-1]),
        )
        offset = bearing_offsets(seen, batch)
        variance = seen.bearing_variance[:, None] + batch.bearing_sigma[None, :] ** 2
        near = offset**2 < 9.0 * variance
        belief = np.clip(batch.confidence, 0.05, 0.95)
        push = np.log(belief / (1.0 - belief)) / np.maximum(near.sum(axis=0), 1)
        total = (near * push[None, :]).sum(axis=1)
        rows = np.flatnonzero(total < 0.0)
        delta = shift(bank, rows, bank.log_odds[rows] + total[rows], self.parameters.log_odds_limit)
        bank.note(rows, float(batch.time.max()), batch.sensor, REFUTED, delta)

    # Time passes.

    def _settle(self, now: float) -> None:
        """Count the looks that found nothing, let existence fade, change states, delete."""
        state, p = self.state, self.parameters
        step = now - state.time if math.isfinite(state.time) else 0.0
        for bank, dynamics in (
            (state.kinematic, self.motion),
            (state.bearings, self.drift),
        ):
            if len(bank):
                self._count_misses(bank, now, dynamics)
                life = np.full(len(bank), p.mean_life)
                silent = (bank is state.bearings) & (now - bank.last_hit > 3.0)
                life[silent] = p.emitter_silence
                decay(bank, step, life)
                changed = change_states(bank, now, p)
                for row in changed.tolist():
                    serial = int(bank.number[row])
                    if bank.state[row] != TENTATIVE and serial not in self._display:
                        self._display[serial] = len(self._display) + 1
        state.time = max(state.time, now)
        if now - state.last_merge >= 0.5:
            state.last_merge = now
            self._merge(now)
        self._delete(now)

    def _count_misses(self, bank: TrackBank, now: float, dynamics: Dynamics) -> None:
        state, p = self.state, self.parameters
        seen = aspect(bank, now, state.own_position, float(dynamics.density[-1]))
        for sensor, learned in enumerate(state.sensors):
            if learned.model.miss_weight <= 0.0:
                continue
            covered = learned.covers(seen.bearing, seen.slant)
            begun = np.isfinite(bank.last_look[:, sensor])
            bank.last_look[covered & ~begun, sensor] = now
            slack = 1.05 if learned.simultaneous else 1.4
            overdue = begun & (now - bank.last_look[:, sensor] > slack * learned.revisit)
            bank.last_look[overdue & ~covered, sensor] = now
            rows = np.flatnonzero(overdue & covered)
            if not len(rows):
                continue
            # As many looks as had their full time are missing.
            looks = np.floor(
                (now - bank.last_look[rows, sensor]) / learned.revisit - (slack - 1.0) + 1e-9
            )
            looks = np.clip(looks, 1.0, 10.0)
            chance = learned.detection_probability(seen.slant[rows])
            visible = bank.visible[rows, sensor]
            silent = (1.0 - chance * learned.model.miss_weight) ** looks
            prior = bank.probability()[rows]
            survives = 1.0 - visible + visible * silent
            after = prior * survives / (1.0 - prior + prior * survives)
            never = bank.sensor_hits[rows, sensor] < 0.5
            bank.visible[rows, sensor] = np.where(never, visible * silent / survives, visible)
            old = (bank.state[rows] != TENTATIVE) & (prior > 0.9)
            old &= bank.sensor_hits[rows, sensor] > ESTABLISHED
            learned.learn_detection(seen.slant[rows][old], np.zeros(int(old.sum())), looks[old])
            delta = shift(bank, rows, logit(after), p.log_odds_limit)
            bank.last_look[rows, sensor] += looks * learned.revisit
            bank.hit_rate[rows] *= 0.85**looks
            told = np.abs(delta) > 0.01
            bank.note(rows[told], now, sensor, MISS, delta[told])

    def _merge(self, now: float) -> None:
        """End the younger of two kinematic tracks that follow one object."""
        bank, table = self.state.kinematic, self.state.keys
        for keep, drop in duplicates(bank, now, self.motion):
            moved = np.flatnonzero(table.track == bank.number[drop])
            table.track[moved] = bank.number[keep]
            bank.log_odds[drop] = -100.0
            bank.note(np.array([keep]), now, -1, MERGED, 0.0)

    def _delete(self, now: float) -> None:
        state, p = self.state, self.parameters
        bank = state.kinematic
        if len(bank):
            gone = doomed(bank, p)
            seen = aspect(bank, now, state.own_position, float(self.motion.density[0]))
            gone |= seen.position_sigma > p.coast_position_sigma * 4.0
            gone |= (seen.position_sigma > p.coast_position_sigma) & (
                now - bank.last_hit > p.coast_time
            )
            extra = len(bank) - int(gone.sum()) - p.max_tracks
            if extra > 0:
                self.counters["tracks dropped: too many"] += extra
                least = np.argsort(np.where(gone, np.inf, bank.log_odds), kind="stable")
                gone[least[:extra]] = True
            if gone.any():
                passed = np.flatnonzero(gone & (bank.claims > 0))
                for sensor in np.unique(bank.first_sensor[passed]).tolist():
                    claims = bank.claims[passed[bank.first_sensor[passed] == sensor]]
                    state.sensors[sensor].learn_passing(claims, proved=False)
                rows = np.flatnonzero(~gone)
                bank.keep(rows)
                state.keys.keep_tracks(rows)
        bank = state.bearings
        if len(bank):
            gone = doomed(bank, p)
            if gone.any():
                bank.keep(np.flatnonzero(~gone))

    # Output.

    def tracks(self, time: float | None = None) -> list[TrackView]:
        """Return every track as it is expected to be at ``time`` (default: the newest).

        A later time than the last `advance` advances first.
        """
        if time is not None and time > self.state.time:
            self.advance(time)
        return views.tracks_of(self, self.state.time if time is None else time)

    def picture(self, time: float) -> views.Picture:
        """Return confirmed tracks at ``time``, in brief: positions, and bearings without range.

        Returns:
            ([[id, east, north], ...], [[id, bearing, bearing sigma], ...]).
        """
        if time > self.state.time:
            self.advance(time)
        return views.picture_of(self, time)

    def ledger(self, track_id: str) -> list[LedgerEntry]:
        """Return a track's evidence, oldest first.

        Raises:
            KeyError: no track has that id now.
        """
        return views.ledger_of(self, track_id)

    def id_of(self, serial: int) -> str:
        """Return the UUID string of a serial number."""
        return self._ids[serial]

    def number_of(self, serial: int) -> int:
        """Return the short number of a serial number; 0 before confirmation."""
        return self._display.get(serial, 0)


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


def _share_of_first_look(
    bank: TrackBank, rows: IntArray, sensor: int, prior: FloatArray, after: FloatArray
) -> FloatArray:
    """Return priors (U,) of one-plot tracks by how many of them found a second plot.

    Empirical Bayes: the share of a first look's plots that are objects is not known before the
    second look, and then it is told by that look.
    """
    begun = (bank.hits < 1.5) & (bank.first_sensor == sensor)
    young = begun[rows]
    if not young.any():
        return prior
    share = min(float(after[young].sum()) / float(begun.sum()), 0.9)
    return np.where(young, np.maximum(prior, share), prior)


_LARGEST = 1e7
"""Metres, radians, m/s: beyond it a number is no measurement, and its square may overflow."""


def _beyond_measure(detection: Detection) -> bool:
    """Whether any number is too large to be meant; NaN, which compares with nothing, is not."""
    d = detection
    scalars = (
        d.bearing,
        d.bearing_sigma,
        d.alternative_bearing,
        d.elevation,
        d.elevation_sigma,
        d.range,
        d.range_sigma,
        d.range_rate,
        d.range_rate_sigma,
        d.velocity_sigma,
        d.rssi,
        d.apparent_size,
        d.sound_level,
    )
    if any(abs(number) > _LARGEST for number in scalars):
        return True
    vectors = (d.position, d.velocity, d.own_position, d.own_velocity)
    return any(bool((np.abs(vector) > _LARGEST).any()) for vector in vectors) or bool(
        (np.abs(d.position_covariance) > _LARGEST**2).any()
    )


def _unusable(detection: Detection) -> str:
    if not math.isfinite(detection.time):
        return "no time"
    if not detection.sensor:
        return "no sensor name"
    if not np.isfinite(detection.own_position).all():
        return "own position unknown"
    if _beyond_measure(detection):
        return "a number beyond any measure"
    placed = bool(np.isfinite(detection.position[:2]).all())
    if not math.isfinite(detection.bearing) and not placed:
        return "neither bearing nor position"
    return ""


__all__ = ["SEEN", "State", "Tracker"]
