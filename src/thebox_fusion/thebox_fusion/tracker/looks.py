# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""One look of a sensor at all tracks: whose detection is whose, and what that says."""

from __future__ import annotations

import math

import numpy as np

from .arrays import clip, distinct, indices, is_in, or_zero
from .associate import assignment, marginals
from .bank import HIT, MISS, TENTATIVE, TrackBank
from .births import add_labels
from .clutter import SECTORS
from .core import Core
from .detection import DetectionBatch
from .existence import after_look, logit, shift
from .gate import coarse_gate, seen_by
from .identity import band_of
from .sensors import ESTABLISHED, PROVEN
from .types import BoolArray, FloatArray, IntArray
from .update import Dynamics, Hypotheses, blend, hypothesise

# In the second look the clutter and the share of real plots are estimated anew; where looks come in
# pieces it ends with the second turn.
EARLY_LOOKS, EARLY_TURNS = 1.5, 1.95
SAME_BAND = 1.0
# Sensors below this miss weight only hear who transmits.
HEARS_ONLY = 0.15
# An emitter goes on for so many times between two of its emissions; that one which fell silent is
# heard in a look is so likely.
TALKS_FOR, RETURNS = 10.0, 0.02
LEAST_VISIBLE = 0.02
"""An object that a sensor never saw may come into its sight: its detections then join the track."""
OWN_SHARE = 0.5
"""What others explain better is no evidence of a kinematic track: where misses hardly count, since
objects may be silent, nothing would hold the balance to many small shares."""
# Looks without a detection after which a track is lost to a sensor that looks at everything.
LOST_AFTER = 2.5
# A look teaches how much a sensor sees when this share of it has come.
WHOLE = 0.9


def associate(
    core: Core,
    bank: TrackBank,
    batch: DetectionBatch,
    dynamics: Dynamics,
    *,
    eligible: BoolArray,
    elapsed: float,
) -> tuple[FloatArray, FloatArray, IntArray, IntArray, FloatArray]:
    """Associate a frame with a bank and update it.

    Returns:
        (M,) probability that each detection belongs to no track, the same counting only
        tracks that are likely to exist, and the pairs (bank row, detection row, probability).
    """
    state, p = core.state, core.parameters
    nothing = np.ones(len(batch))
    empty = np.zeros(0, dtype=np.int64)
    chosen = indices(eligible)
    if not len(batch) or not len(chosen):
        return nothing, nothing, empty, empty, np.zeros(0)
    learned = state.sensors[batch.sensor]
    middle, own = batch.middle
    every = len(chosen) == len(bank)
    seen = seen_by(bank, batch, dynamics, None if every else chosen)
    near, detection = coarse_gate(seen, batch, math.sqrt(p.gate) + 0.5)
    if not len(near):
        return nothing, nothing, empty, empty, np.zeros(0)
    h = hypothesise(bank, batch, chosen[near], detection, dynamics=dynamics, gate=p.gate)
    if not len(h.pair):
        return nothing, nothing, empty, empty, np.zeros(0)
    slant = seen.slant[np.searchsorted(chosen, h.rows)]
    chance = learned.detection_probability(slant)
    # Of a look that is just over, some detections may still be on their way.
    arrived = core.arrivals.share(batch.sensor, core.now - middle)
    _passed_over(core, bank, batch.sensor, h, chance=chance, slant=slant)
    chance = chance * (bank.visible[h.rows, batch.sensor] * arrived)
    if bank is state.bearings and learned.model.miss_weight <= HEARS_ONLY:
        chance = chance * _transmits(learned.revisit, h.when - bank.last_hit[h.rows])
    probability, detected, prior, after = _resolve(
        core, bank, batch, h, chance=chance, elapsed=elapsed
    )
    given = np.maximum(after, 1e-9)
    none = clip((after - detected) / given, 0.0, 1.0)
    blend(bank, h, probability / given[h.pair], none, float(own[2]) + dynamics.lowest)
    after = _believed(core, bank, h.rows, detected, after)
    if learned.model.miss_weight <= HEARS_ONLY:
        # What the radar no longer sees is not kept alive by a chance bearing.
        lost = lost_to_radar(core, bank, h.rows, h.when)
        if bank is state.kinematic:
            lost |= detected < OWN_SHARE
        after = np.where(lost, np.minimum(after, prior), after)
    delta = shift(bank, h.rows, logit(after), p.log_odds_limit)
    _look_done(
        core,
        bank,
        batch,
        h,
        slant=slant,
        prior=prior,
        detected=detected,
        delta=delta,
        arrived=arrived,
    )
    add_labels(core, bank, h.rows[h.pair], batch.take(h.detection), probability > 0.5)
    taken = np.bincount(h.detection, weights=probability, minlength=len(batch))
    real = np.bincount(h.detection, weights=probability * after[h.pair], minlength=len(batch))
    free = clip(1.0 - taken, 0.0, 1.0)
    return free, clip(1.0 - real, 0.0, 1.0), h.rows[h.pair], h.detection, probability


def _transmits(revisit: float, silent: FloatArray) -> FloatArray:
    """Return (U,) how likely an emitter is on the air, ``silent`` seconds after it was heard.

    Silence is no evidence that it has gone, but it would be a chance for a stray bearing to be
    taken for it: what is heard after a long time says less than what goes on.
    """
    share: FloatArray = np.exp(-np.maximum(silent, 0.0) / (TALKS_FOR * revisit))
    return RETURNS + (1.0 - RETURNS) * share


def _passed_over(
    core: Core,
    bank: TrackBank,
    sensor: int,
    h: Hypotheses,
    *,
    chance: FloatArray,
    slant: FloatArray,
) -> None:
    """Count the looks since a track's last one in which nothing was near it.

    Where several looks come between two calls of `settle`, nothing else would count them: a track
    that is detected again has its last look now.

    Args:
        core: state and settings.
        bank: changed in place.
        sensor: whose frame it is.
        h: the frame's hypotheses.
        chance: (U,) detection probability where the tracks are.
        slant: (U,) how far they are, metres.
    """
    learned = core.state.sensors[sensor]
    if not learned.model.sees_all:
        return
    gap = h.when - bank.last_look[h.rows, sensor]
    missed = np.rint(or_zero(gap) / learned.patience()) - 1.0
    some = indices(missed >= 1.0)
    if not len(some):
        return
    rows, looks = h.rows[some], np.minimum(missed[some], 10.0)
    prior = bank.probability()[rows]
    count_looks(
        core, bank, rows, sensor, chance=chance[some], looks=looks, slant=slant[some], prior=prior
    )


def count_looks(
    core: Core,
    bank: TrackBank,
    rows: IntArray,
    sensor: int,
    *,
    chance: FloatArray,
    looks: FloatArray,
    slant: FloatArray,
    prior: FloatArray,
) -> FloatArray:
    """Count looks that gave nothing against tracks, and learn from them.

    Args:
        core: state and settings.
        bank: changed in place.
        rows: (U,) distinct tracks.
        sensor: who looked.
        chance: (U,) its detection probability where they are.
        looks: (U,) how many looks gave nothing.
        slant: (U,) how far they are, metres.
        prior: (U,) existence before.

    Returns:
        (U,) change of the existence log-odds.
    """
    learned = core.state.sensors[sensor]
    visible = bank.visible[rows, sensor]
    silent = (1.0 - chance * learned.model.miss_weight) ** looks
    survives = 1.0 - visible + visible * silent
    after = prior * survives / (1.0 - prior + prior * survives)
    never = bank.sensor_hits[rows, sensor] < 0.5
    unseen = np.maximum(visible * silent / survives, LEAST_VISIBLE)
    bank.visible[rows, sensor] = np.where(never, unseen, visible)
    old = (bank.state[rows] != TENTATIVE) & (prior > 0.9)
    old &= bank.sensor_hits[rows, sensor] > ESTABLISHED
    ranged = bank is core.state.kinematic
    learned.learn_detection(slant[old], np.zeros(int(old.sum())), looks[old], ranged)
    delta = shift(bank, rows, logit(after), core.parameters.log_odds_limit)
    if learned.model.sees_all:
        bank.hit_rate[rows] *= 0.85**looks
    return delta


def _resolve(
    core: Core,
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
    learned = core.state.sensors[batch.sensor]
    prior = bank.probability()[h.rows]
    identity = identity_bonus(core, bank, batch, h.rows[h.pair], h.detection)
    counted = chance * learned.model.miss_weight
    alone = bank is core.state.bearings

    def weigh() -> tuple[FloatArray, FloatArray, FloatArray]:
        outside = learned.log_clutter(batch, alone)
        log_ratio = h.log_likelihood - outside[h.detection] + identity
        found, hit = _probabilities(
            core, h, prior=prior, chance=chance, log_ratio=log_ratio, detections=len(batch)
        )
        return found, hit, after_look(prior, hit, counted)

    probability, detected, after = weigh()
    early = EARLY_LOOKS if learned.simultaneous else EARLY_TURNS
    if learned.looks_seen < early and bool(np.isfinite(batch.range).all()):
        before = learned.clutter
        begun = _begun_here(bank, batch)
        for _ in range(5):
            real = np.bincount(
                h.detection, weights=probability * after[h.pair], minlength=len(batch)
            )
            learned.try_clutter(before, batch, clip(1.0 - real, 0.0, 1.0), elapsed)
            prior = _share_of_first_look(begun, h.rows, prior, after)
            probability, detected, after = weigh()
        learned.clutter = before
    return probability, detected, prior, after


def _believed(
    core: Core, bank: TrackBank, rows: IntArray, detected: FloatArray, after: FloatArray
) -> FloatArray:
    """Bound existence by what tracks of so few detections have turned out to be.

    The association takes clutter for independent from look to look. Where false plots come in
    a row instead, their tracks look real and end after some looks: how many do is learned.
    """
    if bank is not core.state.kinematic:
        return after
    hits = bank.hits[rows] + detected
    young = hits < PROVEN - 0.5
    bound = after.copy()
    for sensor in distinct(bank.first_sensor[rows]):
        learned = core.state.sensors[sensor]
        here = bank.first_sensor[rows] == sensor
        claim = indices(here & young & (detected > 0.5) & (after > 0.85))
        which = rows[claim]
        bit = np.minimum(np.maximum(np.rint(hits[claim]).astype(np.int64) - 1, 0), PROVEN - 1)
        bank.claims[which] |= 1 << bit
        older = rows[here & ~young & (bank.claims[rows] > 0)]
        if len(older):
            learned.learn_passing(bank.claims[older], proved=True)
            bank.claims[older] = -1
        bound[here] = np.minimum(bound[here], learned.believable(hits[here]))
    return bound


def lost_to_radar(core: Core, bank: TrackBank, rows: IntArray, now: FloatArray) -> BoolArray:
    """Return which tracks a sensor that looks at everything held, and has lost."""
    lost: BoolArray = np.zeros(len(rows), dtype=np.bool_)
    for sensor, learned in enumerate(core.state.sensors):
        if learned.model.sees_all:
            silent = now - bank.sensor_last[rows, sensor]
            lost |= silent > LOST_AFTER * learned.revisit + core.arrivals.complete_after(sensor)
    return lost


def _look_done(
    core: Core,
    bank: TrackBank,
    batch: DetectionBatch,
    h: Hypotheses,
    *,
    slant: FloatArray,
    prior: FloatArray,
    detected: FloatArray,
    delta: FloatArray,
    arrived: float,
) -> None:
    """Write down what a look gave each track with a candidate, and learn from it."""
    rows, sensor = h.rows, batch.sensor
    learned = core.state.sensors[sensor]
    hit = detected > 0.5
    bank.note(rows, h.when, sensor, np.where(hit, HIT, MISS), delta)
    sure = (bank.state[rows] != TENTATIVE) & (prior > 0.9)
    # False tracks are short: their misses would teach that the sensor sees little.
    old = sure & (bank.sensor_hits[rows, sensor] > ESTABLISHED) & (arrived > WHOLE)
    ranged = bank is core.state.kinematic
    learned.learn_detection(slant[old], detected[old], np.ones(int(old.sum())), ranged)
    clear = hit & sure & (detected > 0.9) & np.isfinite(bank.sensor_last[rows, sensor])
    learned.learn_revisit((h.when - bank.sensor_last[rows, sensor])[clear])
    bank.last_look[rows, sensor] = h.when
    bank.sensor_hits[rows, sensor] += detected
    if learned.model.sees_all:
        bank.hit_rate[rows] += 0.15 * (detected - arrived * bank.hit_rate[rows])
    bank.hits[rows] += detected
    bank.sensor_last[rows[hit], sensor] = h.when[hit]
    bank.last_hit[rows[hit]] = np.maximum(bank.last_hit[rows[hit]], h.when[hit])
    bank.visible[rows[hit], sensor] = 1.0


def _probabilities(
    core: Core,
    h: Hypotheses,
    *,
    prior: FloatArray,
    chance: FloatArray,
    log_ratio: FloatArray,
    detections: int,
) -> tuple[FloatArray, FloatArray]:
    """Return (P,) association probabilities and (U,) that a track is detected at all."""
    p = core.parameters
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


def identity_bonus(
    core: Core, bank: TrackBank, batch: DetectionBatch, rows: IntArray, detection: IntArray
) -> FloatArray:
    """Return (P,) log likelihood ratios of identity: for the same key, against another's.

    They are moderate: radars number their false tracks, too, and swap numbers; links hop over
    a band, and many use the same.
    """
    table = core.state.keys
    key = batch.key[detection]
    bonus: FloatArray = np.zeros(len(key))
    if len(table) and (key >= 0).any():
        attached = np.where(key >= 0, table.track[key], -1)
        known = is_in(attached, bank.number) & (attached >= 0)
        same = attached == bank.number[rows]
        trust = core.state.sensors[batch.sensor].key_trust()
        bonus = np.where(known, np.where(same, trust, -trust), 0.0)
    if batch.has("frequency"):
        bands = band_of(batch.frequency)[detection]
        emits = table.bands(bank.number[rows])
        heard = (bands > 0) & (emits > 0)
        bonus += np.where(heard, np.where(emits & bands, SAME_BAND, -SAME_BAND), 0.0)
    return bonus


def _begun_here(bank: TrackBank, batch: DetectionBatch) -> BoolArray:
    """Return (N,) tracks of one plot of this sensor, in the directions of the frame."""
    begun: BoolArray = (bank.hits < 1.5) & (bank.first_sensor == batch.sensor)
    if np.ptp(batch.time) <= 1e-6:
        return begun
    r = bank.moments()[0][:, :2] - batch.middle[1][:2]
    step = 2.0 * np.pi / SECTORS
    of_track = np.floor(np.arctan2(r[:, 0], r[:, 1]) % (2.0 * np.pi) / step)
    of_plot = np.unique(np.floor(batch.bearing % (2.0 * np.pi) / step))
    return begun & np.isin(of_track, of_plot)


def _share_of_first_look(
    begun: BoolArray, rows: IntArray, prior: FloatArray, after: FloatArray
) -> FloatArray:
    """Return priors (U,) of one-plot tracks by how many of them found a second plot.

    Empirical Bayes: the share of a first look's plots that are objects is not known before the
    second look, and then it is told by that look.
    """
    young = begun[rows]
    if not young.any():
        return prior
    share = min(float(after[young].sum()) / float(begun.sum()), 0.9)
    return np.where(young, np.maximum(prior, share), prior)
