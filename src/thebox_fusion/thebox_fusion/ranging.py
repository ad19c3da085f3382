# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Range of objects whose range no sensor observes: one filter in log-range for each.

What a sensor reads of an object falls with its distance: received power by the log-distance law
(Rappaport, Wireless Communications, 2nd ed., eq. 4.69a), apparent size as 1/range, sound level by
20 dB a decade. Each is ``reading = reference - slope * ln(range) + offset + noise``, where the
offset is the object's own (its power, its size, its loudness) and no number of readings averages it
away. So the state of a filter is the logarithm of range and the offset of each source that is heard
of the object: an extended state with a constant bias (Friedland, Treatment of bias in recursive
filtering, IEEE Trans. AC 14(4), 1969), in which every reading is a measurement. What the tracker
tells of the range by geometry (the own-ship's manoeuvre) is a posterior of its own and contains no
reading: it is applied to what the readings say each time the range is asked for.

Reference and slope are learned, and the offset of each source too, while a radar measures the range
of the object. A source whose object leaves the radar's range is then ranged by its own power.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .settings import check_ranges, count, number

__all__ = [
    "Cue",
    "Law",
    "RangeEstimate",
    "Ranger",
    "RangingParameters",
    "Reading",
    "Sighting",
    "normalised_power",
]

FloatArray = npt.NDArray[np.float64]
DECADE = 10.0 / math.log(10.0)
"""Decibels of a factor e: a power in dB is this times a logarithm."""


class Cue(Enum):
    """What of a reading falls with range."""

    POWER = "received power"
    SIZE = "apparent size"
    SOUND = "sound level"


@dataclass(frozen=True)
class RangingParameters:
    """Settings of the ranging."""

    path_loss_exponent: float = number(2.0, "Path-loss exponent before it is learned", "", 1.0, 6.0)
    path_loss_exponent_sigma: float = number(
        0.25, "Standard deviation of that exponent before it is learned", "", 0.001, 2.0
    )
    reference_power: float = number(
        -16.0,
        "Received power of an unknown emitter at 1 m and 2.4 GHz, before it is learned",
        "dBm",
        -120.0,
        60.0,
    )
    reference_power_sigma: float = number(
        8.0, "Standard deviation of that power over emitters", "dB", 0.1, 60.0
    )
    shadowing_sigma: float = number(
        4.0, "Standard deviation of the received power about the path-loss law", "dB", 0.1, 30.0
    )
    object_size: float = number(
        0.45, "Size of an unknown object, for ranging by apparent size", "m", 0.01, 100.0
    )
    object_size_ratio: float = number(
        0.6, "Standard deviation of the logarithm of that size over objects", "", 0.01, 3.0
    )
    size_noise: float = number(
        0.15, "Standard deviation of the logarithm of a measured apparent size", "", 0.001, 3.0
    )
    sound_reference: float = number(
        75.0, "Sound level of an unknown object at 1 m", "dB", 0.0, 200.0
    )
    sound_reference_sigma: float = number(
        8.0, "Standard deviation of that level over objects", "dB", 0.1, 60.0
    )
    sound_noise: float = number(
        3.0, "Standard deviation of a measured sound level", "dB", 0.01, 30.0
    )
    correlation_time: float = number(
        4.0,
        "Errors of readings of one source (shadowing, gusts) are alike for this long",
        "s",
        0.01,
        600.0,
    )
    radial_speed: float = number(
        8.0, "Typical speed of an object towards or away", "m/s", 0.1, 100.0
    )
    radial_time: float = number(
        10.0, "An object keeps that speed for about this long", "s", 0.1, 600.0
    )
    observed_sigma: float = number(
        0.35,
        "Range counts as observed when its relative standard deviation is below",
        "",
        0.01,
        2.0,
    )
    learn_below: float = number(
        0.1,
        "Sources teach the laws while the relative error of a measured range is below",
        "",
        0.001,
        1.0,
    )
    nearest: float = number(20.0, "No object is believed nearer", "m", 1.0, 1e4)
    farthest: float = number(30000.0, "No object is believed farther", "m", 100.0, 1e6)
    keep_readings: float = number(
        5.0, "A reading waits this long for the track that it belongs to", "s", 0.1, 60.0
    )
    max_sources: int = count(
        5000, "Sources whose offsets are remembered; the longest unheard goes first", 10, 10**6
    )

    def __post_init__(self) -> None:
        """Check every value against its range.

        Raises:
            ValueError: a value outside its range, or ranges that do not go together.
        """
        check_ranges(self)
        if self.nearest >= self.farthest:
            raise ValueError("nearest must be below farthest; raise farthest")


class Reading(NamedTuple):
    """One reading of a sensor.

    Attributes:
        time: seconds, when it was measured.
        source: the sensor and its identity of the object, "sensor:key"; the sensor's name alone
            where it has no identity.
        cue: what was read.
        value: dBm, ln(radians) or dB.
        bearing: of the object, radians from true north.
        bearing_sigma: its standard deviation.
    """

    time: float
    source: str
    cue: Cue
    value: float
    bearing: float
    bearing_sigma: float


@dataclass(frozen=True)
class Sighting:
    """A track as the tracker has it.

    Attributes:
        id: the track's identity.
        time: seconds.
        bearing, bearing_sigma: radians.
        range, range_sigma: slant range and its standard deviation, metres; NaN unknown.
        measured: whether a sensor measures the range.
        triangulated: whether a manoeuvre of the own-ship tells it.
        sources: the sensors' identities in it, "sensor:key".
        sensors: names of the sensors that contributed.
    """

    id: str
    time: float
    bearing: float
    bearing_sigma: float
    range: float
    range_sigma: float
    measured: bool
    triangulated: bool
    sources: tuple[str, ...]
    sensors: tuple[str, ...]


class RangeEstimate(NamedTuple):
    """What is known of a track's range.

    Attributes:
        range, sigma: metres; the sigma is that of ln(range) times the range.
        methods: the names of the methods that it rests on, the weightiest first: "own-ship
            manoeuvre" and the values of `Cue`; none where nothing says.
        observed: whether it is good enough to be drawn as a place.
    """

    range: float
    sigma: float
    methods: tuple[str, ...]
    observed: bool


def normalised_power(rssi: float, frequency: float) -> float:
    """Return received power, dBm, as it would be at 2.4 GHz.

    The loss over the first metre grows with 20 log10 of the frequency (Friis). An unknown
    frequency, Hz, counts as 2.4 GHz.
    """
    return rssi + 20.0 * math.log10(frequency / 2.4e9) if frequency > 1e6 else rssi


class Law:
    """reading = reference - slope * ln(range), learned by recursive least squares.

    Attributes:
        mean: (2,) reference and slope, with covariance ``covariance``.
        spread: standard deviation of sources' offsets from the law; learned.
        noise: standard deviation of readings about their source's own law.
    """

    def __init__(
        self, reference: float, slope: float, slope_sigma: float, *, spread: float, noise: float
    ) -> None:
        self.mean: FloatArray = np.array([reference, slope])
        self.covariance: FloatArray = np.diag([0.25 * spread**2, slope_sigma**2])
        self.noise = noise
        # The prior counts like this many sources.
        self._squares, self._sources = 4.0 * spread**2, 4.0

    @property
    def spread(self) -> float:
        """Standard deviation of sources' offsets."""
        return math.sqrt(self._squares / self._sources)

    def predict(self, log_range: float) -> tuple[float, float]:
        """Return the expected reading of an average source and the law's own variance there."""
        row = np.array([1.0, -log_range])
        return float(row @ self.mean), float(row @ self.covariance @ row)

    def learn(self, log_range: float, value: float, variance: float) -> None:
        """Use one reading at a known range; ``variance`` is of the reading about the law."""
        row = np.array([1.0, -log_range])
        cross = self.covariance @ row
        total = float(row @ cross) + variance
        gap = value - float(row @ self.mean)
        # A source far off the others (a jammer, a wrong join) must not bend the law.
        total = max(total, gap * gap / 9.0)
        self.mean = self.mean + cross * (gap / total)
        self.covariance = self.covariance - np.outer(cross, cross) / total

    def learn_spread(self, offset: float) -> None:
        """Use the offset of a source that is known by now."""
        self._squares += min(offset**2, 9.0 * self._squares / self._sources)
        self._sources += 1.0
        if self._sources > 200.0:
            self._squares *= 200.0 / self._sources
            self._sources = 200.0


@dataclass
class _Source:
    """The offset of one source from its law."""

    cue: Cue
    mean: float = 0.0
    variance: float = math.inf
    taught: int = 0
    last: float = -math.inf


@dataclass
class _Filter:
    """Log-range and the offsets of the sources that are heard of one object.

    ``information`` of the first state is the readings' alone: geometry comes on top when asked.
    """

    time: float
    mean: FloatArray
    covariance: FloatArray
    sources: dict[str, int] = field(default_factory=dict)
    heard: dict[Cue, float] = field(default_factory=dict)


_VAGUE = 25.0
"""Variance of ln(range) before any reading: flat over all ranges that can be."""


class Ranger:
    """Ranges of all tracks. Deterministic; reads no clock.

    Readings are kept by `read` until `update` tells which track they belong to: the one that
    holds their source, or, of a sensor without identities, the only one in that direction.
    """

    def __init__(self, parameters: RangingParameters | None = None) -> None:
        self.parameters = p = parameters or RangingParameters()
        self.laws = {
            Cue.POWER: Law(
                p.reference_power,
                DECADE * p.path_loss_exponent,
                DECADE * p.path_loss_exponent_sigma,
                spread=p.reference_power_sigma,
                noise=p.shadowing_sigma,
            ),
            Cue.SIZE: Law(
                math.log(p.object_size), 1.0, 0.01, spread=p.object_size_ratio, noise=p.size_noise
            ),
            Cue.SOUND: Law(
                p.sound_reference,
                2.0 * DECADE,
                0.2 * DECADE,
                spread=p.sound_reference_sigma,
                noise=p.sound_noise,
            ),
        }
        self.filters: dict[str, _Filter] = {}
        self._waiting: list[Reading] = []
        self._sources: OrderedDict[tuple[str, Cue], _Source] = OrderedDict()
        self.readings_used = 0
        self.readings_left = 0

    def read(self, reading: Reading) -> None:
        """Take a reading; one that is not finite is left out."""
        if math.isfinite(reading.value) and math.isfinite(reading.time):
            self._waiting.append(reading)

    def update(self, sightings: Sequence[Sighting]) -> list[RangeEstimate]:
        """Use the readings that belong to these tracks; return the range of each.

        Tracks that are not among ``sightings`` are forgotten.
        """
        owner = {source: s for s in sightings for source in s.sources}
        now = max((s.time for s in sightings), default=-math.inf)
        waiting, self._waiting = self._waiting, []
        mine: dict[str, list[Reading]] = {}
        for reading in waiting:
            sighting = owner.get(reading.source) or _only_one(reading, sightings)
            if sighting is not None:
                mine.setdefault(sighting.id, []).append(reading)
            elif reading.time > now - self.parameters.keep_readings:
                self._waiting.append(reading)
            else:
                self.readings_left += 1
        self._waiting = self._waiting[-10_000:]
        estimates = []
        for sighting in sightings:
            readings = mine.get(sighting.id, ())
            self.readings_used += len(readings)
            if sighting.measured:
                self.filters.pop(sighting.id, None)
                self._teach(sighting, readings)
                estimates.append(
                    RangeEstimate(sighting.range, sighting.range_sigma, ("measured",), True)
                )
            else:
                estimates.append(self._estimate(sighting, readings))
        held = {s.id for s in sightings}
        for gone in [name for name in self.filters if name not in held]:
            del self.filters[gone]
        return estimates

    # Learning from measured ranges.

    def _source(self, reading: Reading) -> _Source:
        name = (reading.source, reading.cue)
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = _Source(reading.cue)
            if len(self._sources) > self.parameters.max_sources:
                self._sources.popitem(last=False)
        else:
            self._sources.move_to_end(name)
        return source

    def _noise(self, source: _Source, reading: Reading) -> float:
        """Return the variance of a reading: errors near in time are alike, and count once."""
        elapsed = max(reading.time - source.last, 0.0)
        source.last = max(source.last, reading.time)
        alike = self.parameters.correlation_time / max(elapsed, 1e-3)
        return self.laws[reading.cue].noise ** 2 * min(max(alike, 1.0), 1e4)

    def _teach(self, sighting: Sighting, readings: Iterable[Reading]) -> None:
        if not sighting.range_sigma < self.parameters.learn_below * sighting.range:
            return
        log_range = math.log(max(sighting.range, 1.0))
        for reading in readings:
            source, law = self._source(reading), self.laws[reading.cue]
            noise = self._noise(source, reading)
            noise += (float(law.mean[1]) * sighting.range_sigma / sighting.range) ** 2
            # A source's offset is part of every reading of it: all of them together tell the
            # reference no better than the spread of sources allows, the slope they tell better.
            source.taught += 1
            alike = law.spread**2 * min(source.taught, 100)
            law.learn(log_range, reading.value, noise + alike)
            expected, _ = law.predict(log_range)
            variance = min(source.variance, law.spread**2)
            gain = variance / (variance + noise)
            source.mean += gain * (reading.value - expected - source.mean)
            source.variance = max((1.0 - gain) * variance, 0.25 * law.noise**2 / 4.0)
            if source.taught == 20:
                law.learn_spread(source.mean)

    # Ranging.

    def _estimate(self, sighting: Sighting, readings: Iterable[Reading]) -> RangeEstimate:
        p = self.parameters
        fresh = sorted(readings, key=lambda r: r.time)
        state = self.filters.get(sighting.id)
        if state is None and fresh:
            state = self.filters[sighting.id] = _Filter(
                fresh[0].time,
                np.array([0.5 * math.log(p.nearest * p.farthest)]),
                np.array([[_VAGUE]]),
            )
        if state is not None:
            for reading in fresh:
                self._predict(state, reading.time)
                self._apply(state, reading)
            self._predict(state, sighting.time)
        return self._combine(sighting, state)

    def _predict(self, state: _Filter, time: float) -> None:
        step = time - state.time
        if step <= 0.0:
            return
        p = self.parameters
        slant = math.exp(min(max(float(state.mean[0]), math.log(p.nearest)), math.log(p.farthest)))
        # A speed that lasts a while: as a random walk that spreads alike over long times.
        state.covariance[0, 0] += 2.0 * p.radial_time * (p.radial_speed / slant) ** 2 * step
        state.covariance[0, 0] = min(state.covariance[0, 0], 4.0 * _VAGUE)
        state.time = time

    def _apply(self, state: _Filter, reading: Reading) -> None:
        source, law = self._source(reading), self.laws[reading.cue]
        variance = self._noise(source, reading)
        name = f"{reading.cue.name}:{reading.source}"
        place = state.sources.get(name)
        if place is None:
            place = state.sources[name] = len(state.mean)
            size = place + 1
            mean, covariance = np.zeros(size), np.zeros((size, size))
            mean[:place], covariance[:place, :place] = state.mean, state.covariance
            mean[place] = source.mean
            _, doubt = law.predict(math.log(1000.0))
            # What is learned of this very source already holds the law's own error.
            learned = source.variance < law.spread**2
            covariance[place, place] = source.variance if learned else law.spread**2 + doubt
            state.mean, state.covariance = mean, covariance
        slope = float(law.mean[1])
        gap = reading.value - (float(law.mean[0]) - slope * state.mean[0] + state.mean[place])
        cross = state.covariance[:, place] - slope * state.covariance[:, 0]
        total = float(cross[place] - slope * cross[0]) + variance
        total = max(total, gap * gap / 16.0)
        state.mean = state.mean + cross * (gap / total)
        state.covariance = state.covariance - np.outer(cross, cross) / total
        information = 1.0 / (variance + float(state.covariance[place, place]))
        heard = state.heard.get(reading.cue, 0.0)
        state.heard[reading.cue] = max(heard, slope**2 * information)

    def _combine(self, sighting: Sighting, state: _Filter | None) -> RangeEstimate:
        p = self.parameters
        weights: dict[str, float] = {}
        total, pull = 0.0, 0.0
        relative = sighting.range_sigma / sighting.range if sighting.range > 0.0 else math.nan
        if math.isfinite(relative) and relative > 0.0:
            information = 1.0 / relative**2
            total, pull = information, information * math.log(sighting.range)
            if sighting.triangulated:
                weights["own-ship manoeuvre"] = information
        if state is not None:
            information = 1.0 / float(state.covariance[0, 0])
            total += information
            pull += information * float(state.mean[0])
            for cue, weight in state.heard.items():
                weights[cue.value] = weight
        if total <= 0.0:
            return RangeEstimate(math.nan, math.nan, (), False)
        sigma = 1.0 / math.sqrt(total)
        log_range = min(max(pull / total, math.log(p.nearest)), math.log(p.farthest))
        best = max(weights.values(), default=0.0)
        # What adds less than a fifth of the best is not what the range rests on.
        methods = sorted(
            (m for m, w in weights.items() if w >= 0.2 * best), key=lambda m: -weights[m]
        )
        slant = math.exp(log_range)
        observed = bool(methods) and sigma < p.observed_sigma
        return RangeEstimate(slant, slant * sigma, tuple(methods), observed)


def _only_one(reading: Reading, sightings: Sequence[Sighting]) -> Sighting | None:
    """Return the only track that a reading without identity can be of; None for several."""
    if ":" in reading.source or not math.isfinite(reading.bearing):
        return None
    found = None
    for sighting in sightings:
        if reading.source not in sighting.sensors:
            continue
        off = abs((reading.bearing - sighting.bearing + math.pi) % (2.0 * math.pi) - math.pi)
        if off < 3.0 * math.hypot(reading.bearing_sigma, sighting.bearing_sigma):
            if found is not None:
                return None
            found = sighting
    return found
