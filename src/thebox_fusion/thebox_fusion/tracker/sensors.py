# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What the tracker learns of each sensor: clutter, detection probability, revisit time."""

from __future__ import annotations

import copy
import math
import statistics

import numpy as np

from .arrays import clip
from .clutter import MEMORY, ClutterMap
from .detection import DetectionBatch
from .parameters import SensorModel
from .types import BoolArray, FloatArray, IntArray

BINS = 12
ENOUGH, LONGEST_MEMORY = 8.0, 200.0
"""Strays that an estimate of their rate rests on, and the most looks it is made from."""
LEAST_CLUTTER = 0.02
"""False bearings in a look that are never ruled out."""
# Numbers of a radar that keep to their object, and that move to another, before it is learned.
KEYS_KEPT, KEYS_MOVED = 15.0, 2.0
PROVEN = 8
"""A track with so many detections is no passing false track: sea clutter, rain or a reflection
that a radar follows for some turns."""
PRIOR_TRIALS = 8.0
# A radar that numbers its plots has followed them before it reports them: false ones come in a row.
PRIOR_PLAIN: FloatArray = np.array([0.5, 0.975, 0.985, 0.99, 0.993, 0.995, 0.997, 0.998])
PRIOR_NUMBERED: FloatArray = np.array([0.3, 0.7, 0.965, 0.97, 0.98, 0.99, 0.995, 0.998])
# Plots that the search for a turning beam rests on, at least and at most; the least and greatest
# time between them, seconds.
SWEEP_FEWEST, SWEEP_PLOTS = 16, 64
SWEEP_FASTEST, SWEEP_SLOWEST = 0.04, 0.4
# Looks that what is assumed of a sensor's detection probability is worth.
DETECTION_PRIOR = 4.0
# Detections by a sensor after which its misses of a track teach how much the sensor sees.
ESTABLISHED = 4.0
SLOWEST_TURN = 15.0
UNKNOWN = 2.5
FASTEST_TURN = 0.4


class SensorState:
    """Learned state of one sensor.

    Attributes:
        clutter: where false plots come from; ``bearing_clutter``, how many bearings in one look
            that no kinematic track explains, and ``strays``, how many of them are of no object.
        revisit: seconds between looks.
        hits, looks: (BINS,) weighted counts for the detection probability by range; ``ranged``,
            their sums over objects whose range is known.
        sweep: (M, 2) times and bearings of some of the last plots; ``turning`` when they lie on
            a beam that turns steadily.
        tried, proved: (PROVEN,) tracks that looked real after so many detections, and those of
            them that went on to ``PROVEN``.
    """

    def __init__(self, model: SensorModel, numbered: bool = False) -> None:
        self.model = model
        self.revisit = model.revisit
        self.simultaneous = False
        self.together_share = 0.0
        self.clutter = ClutterMap(model.clutter_per_look, model.max_range)
        self.bearing_clutter = self.strays = model.clutter_per_look
        self.looks: FloatArray = np.zeros(BINS)
        self.hits: FloatArray = np.zeros(BINS)
        self.ranged = (0.0, 0.0)
        self.last_frame = math.nan
        self.intervals: FloatArray = np.zeros(0)
        self.frame_intervals: tuple[float, ...] = ()
        self.looks_seen = 0.0
        self.held_false = self.held_strays = 0.0
        self.keys_kept, self.keys_moved = KEYS_KEPT, KEYS_MOVED
        self.sweep: FloatArray = np.zeros((0, 2))
        self.sweep_unseen = 0
        self.sweep_step = SWEEP_FASTEST
        self.turning = False
        self.tried: FloatArray = np.full(PROVEN, PRIOR_TRIALS)
        share = PRIOR_NUMBERED if numbered else PRIOR_PLAIN
        self.proved: FloatArray = PRIOR_TRIALS * share

    def copy(self) -> SensorState:
        """Return an independent copy."""
        other = copy.copy(self)
        other.clutter = self.clutter.copy()
        other.looks = self.looks.copy()
        other.hits = self.hits.copy()
        other.intervals = self.intervals.copy()
        other.sweep = self.sweep.copy()
        other.tried = self.tried.copy()
        other.proved = self.proved.copy()
        return other

    def bin_of(self, slant: FloatArray) -> IntArray:
        """Return the range bin of slant ranges."""
        share = slant / self.model.max_range * BINS
        index: IntArray = np.fmin(np.fmax(share, 0.0), BINS - 1).astype(np.int64)  # NaN: bin 0
        return index

    def detection_probability(self, slant: FloatArray) -> FloatArray:
        """Return the learned detection probability at slant ranges."""
        index = self.bin_of(slant)
        # Few looks tell of the whole reach, many of the range: each bin's prior is the mean.
        weight = DETECTION_PRIOR
        seen, looked = self.ranged
        mean = (seen + weight * self.model.detection_probability) / (looked + weight)
        chance = (self.hits + weight * mean) / (self.looks + weight)
        result: FloatArray = clip(chance, 0.02, 0.995)[index]
        return result

    def covers(self, bearing: FloatArray, slant: FloatArray) -> BoolArray:
        """Return which directions and ranges the sensor covers."""
        model = self.model
        off = np.abs((bearing - model.sector_centre + np.pi) % (2 * np.pi) - np.pi)
        result: BoolArray = (
            (slant >= model.min_range)
            & (slant <= model.max_range)
            & (off <= 0.5 * model.sector_width + 1e-9)
        )
        return result

    def log_clutter(self, batch: DetectionBatch, alone: bool = False) -> FloatArray:
        """Return the log density of clutter at each detection in its own measurement space.

        For a kinematic track what other objects emit is clutter, too; for one that is known by its
        bearing ``alone`` it is other such tracks', or will be.
        """
        width = max(self.model.sector_width, 1e-3)
        bearings = self.strays if alone else self.bearing_clutter
        bare = math.log(max(bearings, LEAST_CLUTTER)) - math.log(width)
        log_density: FloatArray = np.full(len(batch), bare)
        ranged, placed = np.isfinite(batch.range), batch.placed
        known = ranged | placed
        if known.any():
            of_map = self.clutter.log_density(*slant_and_bearing(batch), width)
            log_density = np.where(known, of_map, log_density)
        if batch.has("elevation"):
            log_density += self.clutter.log_elevation(batch.elevation, batch.elevation_sigma)
        if batch.has("position"):
            # A position is an area and a height, not a range and a bearing.
            offset = np.linalg.norm(batch.position - batch.own_position, axis=1)
            log_density -= np.where(
                placed & ~ranged, np.log(np.maximum(offset, 10.0)) + math.log(300.0), 0.0
            )
        if batch.has("range_rate"):
            log_density -= np.where(np.isfinite(batch.range_rate), math.log(60.0), 0.0)
        if batch.has("velocity"):
            moving = np.isfinite(batch.velocity).all(axis=1)
            log_density -= np.where(moving, 3 * math.log(60.0), 0.0)
        return log_density

    def birth_probability(self, batch: DetectionBatch, bearing_only: bool) -> FloatArray:
        """Return how likely a detection that no track explains is a new object, (M,)."""
        birth = self.model.birth_per_look
        if bearing_only:
            return np.full(len(batch), birth / (birth + max(self.strays, 1e-3)))
        clutter = self.clutter.around(*slant_and_bearing(batch))
        # When a sensor is switched on, the whole sky is new to it.
        share = self.model.first_look_share / max(self.looks_seen, 1.0)
        result: FloatArray = np.maximum(birth / (birth + clutter), share)
        return result

    def learn_clutter(
        self,
        batch: DetectionBatch,
        false_weight: FloatArray,
        ranged: bool,
        elapsed: float,
        strays: float = 0.0,
    ) -> None:
        """Move the clutter estimate by one frame.

        Args:
            batch: the frame's detections.
            false_weight: (M,) probability that each belongs to no object; of bearings, to none
                that a kinematic track follows.
            ranged: whether these detections measure range.
            elapsed: seconds since the sensor's previous frame.
            strays: how many of its bearings are of no object.
        """
        self.clutter.learn_elevation(batch.elevation, false_weight)
        total = float(false_weight.sum())
        self.held_strays += strays
        if elapsed <= 0.0:
            # A part of the same look: it counts with the next.
            self.held_false += total
            return
        looks = self._looks(elapsed)
        if ranged:
            slant, bearing = slant_and_bearing(batch)
            self.clutter.stretch(slant)
            self.clutter.learn(slant, bearing, false_weight, looks)
        else:
            # The first look cannot tell objects from clutter: the second counts like the first. A
            # running mean follows, so that a flood is known soon, then a fading memory.
            early = looks / max(self.looks_seen + looks - 1.0, looks)
            gain = max(1.0 - math.exp(-looks / MEMORY), min(early, 1.0))
            self.bearing_clutter += gain * (
                (total + self.held_false) / looks - self.bearing_clutter
            )
            self.held_false = 0.0
            # Of few, many looks must be remembered.
            memory = min(max(ENOUGH / max(self.strays, 1e-3), MEMORY), LONGEST_MEMORY)
            gain = max(1.0 - math.exp(-looks / memory), min(early, 1.0))
            estimate = self.strays + gain * (self.held_strays / looks - self.strays)
            self.strays = max(estimate, 0.0)
            self.held_strays = 0.0
        self.looks_seen += looks

    def _looks(self, elapsed: float) -> float:
        return min(max(elapsed / self.revisit, 0.02), 10.0)

    def try_clutter(
        self, before: ClutterMap, batch: DetectionBatch, false_weight: FloatArray, elapsed: float
    ) -> None:
        """Assume the clutter that a trial association of this frame found (one EM step).

        Args:
            before: the estimate before this frame.
            batch: the frame's detections.
            false_weight: (M,) probability that each belongs to no object.
            elapsed: seconds since the sensor's previous frame.
        """
        slant, bearing = slant_and_bearing(batch)
        self.clutter = before.copy()
        self.clutter.stretch(slant)
        self.clutter.learn(slant, bearing, false_weight, self._looks(elapsed))

    def learn_detection(
        self, slant: FloatArray, detected: FloatArray, weight: FloatArray, ranged: bool
    ) -> None:
        """Count looks at tracks that surely exist.

        Args:
            slant: (M,) how far they are, metres.
            detected: (M,) probability that the look detected each.
            weight: (M,) how many looks it were.
            ranged: whether their range is known. What is seen of those says what to expect where
                nothing was seen yet; a mere bearing may have been a chance one.
        """
        if not len(slant):
            return
        index = self.bin_of(slant)
        self.looks += np.bincount(index, weights=weight, minlength=BINS)
        self.hits += np.bincount(index, weights=weight * detected, minlength=BINS)
        shrink = 200.0 / np.maximum(self.looks, 200.0)
        self.looks *= shrink
        self.hits *= shrink
        if ranged:
            seen = self.ranged[0] + float((weight * detected).sum())
            looked = self.ranged[1] + float(weight.sum())
            fade = 200.0 / max(looked, 200.0)
            self.ranged = (seen * fade, looked * fade)

    def patience(self) -> float:
        """Return the seconds after which a look is missing.

        Until the time between looks is known it is taken for long: counting misses of looks that
        never were would delete every object, and nothing would be left to learn the time from.
        """
        known = self.turning or self.together_share > 0.25 or len(self.intervals) >= 10
        return self.revisit if known or not self.model.learn_revisit else UNKNOWN * self.revisit

    def learn_frame(self, elapsed: float, together: bool | None) -> None:
        """Learn from the time since the previous frame.

        Args:
            elapsed: seconds.
            together: whether all detections of this frame share one time; None when it has only
                one. Where that is the rule a frame is a whole look; otherwise frames only tell
                when looks are rarer than was assumed.
        """
        if not self.model.learn_revisit or not 0.0 < elapsed < 60.0:
            return
        if together is not None:
            self.together_share += 0.3 * (float(together) - self.together_share)
        self.simultaneous = self.together_share > 0.6
        self.frame_intervals = (*self.frame_intervals[-14:], elapsed)
        middle = statistics.median(self.frame_intervals)
        if self.simultaneous:
            self.revisit = middle
        elif len(self.intervals) < 10 and not self.turning:
            self.revisit = max(self.model.revisit, middle)

    def learn_revisit(self, intervals: FloatArray) -> None:
        """Learn the time between looks from the times between detections of one object."""
        if not self.model.learn_revisit or self.simultaneous or self.turning:
            return
        useful = intervals[(intervals > 0.02) & (intervals < 60.0)]
        if not len(useful):
            return
        self.intervals = np.concatenate([self.intervals, useful])[-200:]
        if len(self.intervals) >= 10:
            self.revisit = float(np.quantile(self.intervals, 0.3))

    def learn_sweep(self, time: FloatArray, bearing: FloatArray) -> None:
        """Learn the time of a turn from plots of a beam that turns steadily.

        Over the right turn time bearing - 2 pi t / T is the same for all plots, objects and
        clutter alike: the resultant of the phases tells (Rayleigh's test of uniformity).

        Args:
            time: (M,) of the frame's plots, seconds.
            bearing: (M,) of them, radians.
        """
        if not self.model.learn_revisit or self.simultaneous or not len(time):
            return
        self._sample_sweep(time, bearing)
        count = len(self.sweep)
        if count < SWEEP_FEWEST or self.sweep_unseen < (
            SWEEP_PLOTS if self.turning else count // 4
        ):
            return
        self.sweep_unseen = 0
        t, b = self.sweep[:, 0] - self.sweep[0, 0], self.sweep[:, 1]
        span = float(np.ptp(t))
        if span <= 0.0:
            return
        rates = np.arange(1.0 / SLOWEST_TURN, 1.0 / FASTEST_TURN, 0.15 / span)
        rates = np.concatenate([rates, -rates])
        phase = b[None, :] - 2.0 * np.pi * rates[:, None] * t[None, :]
        resultant = np.abs(np.exp(1j * phase).mean(axis=1))
        best = int(np.argmax(resultant))
        turn = 1.0 / abs(float(rates[best]))
        if resultant[best] > 0.9 and span > 1.2 * turn:
            self.turning = True
            self.revisit = turn
        elif self.turning and resultant[best] < 0.7:
            self.turning = False

    def _sample_sweep(self, time: FloatArray, bearing: FloatArray) -> None:
        """Keep some of the plots: few enough to try all turn times, from long enough to tell."""
        last = float(self.sweep[-1, 0]) if len(self.sweep) else -math.inf
        slot = np.floor(time / self.sweep_step)
        _, first = np.unique(slot, return_index=True)
        first = first[time[first] >= last + 0.5 * self.sweep_step]
        if not len(first):
            return
        fresh = np.column_stack([time[first], bearing[first]])
        self.sweep = np.concatenate([self.sweep, fresh])
        self.sweep_unseen += len(first)
        if len(self.sweep) <= SWEEP_PLOTS:
            return
        if self.turning or self.sweep_step >= SWEEP_SLOWEST:
            self.sweep = self.sweep[-SWEEP_PLOTS:]
        else:
            # Half as often from now on: a slow turn takes longer to show.
            self.sweep_step *= 2.0
            self.sweep = self.sweep[::2]

    def key_trust(self) -> float:
        """Return the log odds that a number of this sensor still means the object it meant."""
        return math.log(self.keys_kept / self.keys_moved)

    def learn_keys(self, kept: int, moved: int) -> None:
        """Count detections whose number stayed with its object, and whose went to another."""
        self.keys_kept += kept
        self.keys_moved += moved
        total = self.keys_kept + self.keys_moved
        if total > 300.0:
            self.keys_kept *= 300.0 / total
            self.keys_moved = max(self.keys_moved * 300.0 / total, 0.3 * KEYS_MOVED)

    def believable(self, hits: FloatArray) -> FloatArray:
        """Return the highest existence (N,) that so many detections of this sensor allow."""
        share = np.maximum.accumulate(self.proved / self.tried)
        index = np.clip(np.rint(hits).astype(np.int64) - 1, 0, PROVEN - 1)
        result: FloatArray = np.where(hits >= PROVEN - 0.5, 1.0, np.minimum(share, 0.9985)[index])
        return result

    def learn_passing(self, claims: IntArray, proved: bool) -> None:
        """Count tracks whose fate is known by now.

        Args:
            claims: (N,) bit n is set when the track looked real after n + 1 detections.
            proved: whether they went on to `PROVEN` detections.
        """
        bits = (claims[:, None] >> np.arange(PROVEN)[None, :]) & 1
        count = bits.sum(axis=0).astype(np.float64)
        self.tried += count
        self.proved += count * float(proved)
        fade = np.where(self.tried > 60.0, 60.0 / self.tried, 1.0)
        self.tried *= fade
        self.proved *= fade


def slant_and_bearing(batch: DetectionBatch) -> tuple[FloatArray, FloatArray]:
    """Return (M,) slant ranges and bearings, from positions where those are measured."""
    if not batch.has("position"):
        return batch.range, batch.bearing
    r = batch.position - batch.own_position
    offset = np.linalg.norm(r, axis=1)
    ranged = np.isfinite(batch.range)
    bearing = np.where(np.isfinite(batch.bearing), batch.bearing, np.arctan2(r[:, 0], r[:, 1]))
    return np.where(ranged, batch.range, offset), bearing
