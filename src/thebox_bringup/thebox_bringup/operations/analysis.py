# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What was seen over time, by sensor, class and bearing, and how well it agrees. No ROS."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = [
    "QUIET",
    "SECTORS",
    "ClassFigures",
    "Plot",
    "SensorFigures",
    "TrackLine",
    "agreement",
    "analyse",
    "by_class",
    "by_sector",
    "over_bins",
    "standing",
    "width_of_bins",
]

#: Seconds without a detection that count as a quiet time.
QUIET = 5.0
#: Radians between a detection and a track beyond which they are not taken for the same object.
NEAR = math.radians(10.0)
#: Seconds between a detection and the picture that it is held against.
CLOSE = 1.0
#: Sectors of bearing, the first from north clockwise.
SECTORS = 12
#: Lengths of the spans that counts over time are taken in, seconds, and how many there may be.
_WIDTHS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 21600.0, 86400.0)
_BINS_MAX = 120
#: Seconds that a track stands for at the most after it was last seen.
_HELD = 2.0
#: A median absolute deviation of a normal distribution, times this, is its standard deviation.
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Plot:
    """One detection: seconds measured and received (UTC), radians (NaN: no bearing)."""

    time: float
    received: float
    bearing: float
    bearing_std: float


@dataclass
class TrackLine:
    """One confirmed track: (seconds UTC, bearing in radians) of each look, and its last class."""

    kind: str
    looks: list[tuple[float, float]] = field(default_factory=list)

    @property
    def life(self) -> float:
        """Seconds from the first look to the last."""
        return self.looks[-1][0] - self.looks[0][0]


@dataclass(frozen=True)
class ClassFigures:
    """The confirmed tracks of one class. Seconds."""

    tracks: int
    seconds: float
    life_median: float
    life_longest: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "tracks": self.tracks,
            "track_seconds": round(self.seconds, 1),
            "life_median_s": round(self.life_median, 1),
            "life_longest_s": round(self.life_longest, 1),
        }


@dataclass(frozen=True)
class SensorFigures:
    """What one sensor did. Seconds; NaN where there was nothing to take it from.

    Attributes:
        quiet: (begin, end) of each span of more than QUIET seconds without a detection, in
            seconds of the recording; its first and last are counted too.
        paired: detections that a confirmed track lay close to.
        bias: radians, median of detection minus track; positive is clockwise.
        spread: radians, one standard deviation of the same, from its median absolute deviation.
        told: radians, median of the standard deviation that the sensor itself tells.
    """

    detections: int
    rate: float
    longest_gap: float
    quiet: tuple[tuple[float, float], ...]
    delay_median: float
    delay_95: float
    paired: int
    bias: float
    spread: float
    told: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON: degrees and milliseconds, null for what is unknown."""

        def number(value: float, times: float = 1.0) -> float | None:
            return round(value * times, 4) if math.isfinite(value) else None

        degree = 180.0 / math.pi
        return {
            "detections": self.detections,
            "rate_hz": number(self.rate),
            "longest_gap_s": number(self.longest_gap),
            "quiet_s": [[round(a, 3), round(b, 3)] for a, b in self.quiet],
            "delay_median_ms": number(self.delay_median, 1e3),
            "delay_95_ms": number(self.delay_95, 1e3),
            "paired_with_tracks": self.paired,
            "bearing_bias_deg": number(self.bias, degree),
            "bearing_spread_deg": number(self.spread, degree),
            "bearing_std_told_deg": number(self.told, degree),
        }


def agreement(
    plots: Sequence[Plot], times: Sequence[float], bearings: Sequence[Sequence[float]]
) -> list[float]:
    """Radians from the nearest track to each detection, where one lay close.

    The nearest one is taken whatever its identity: with two objects closer to each other than
    the sensor's error, the spread comes out too small.
    """
    found = []
    for plot in plots:
        after = bisect.bisect_left(times, plot.time)
        around = [i for i in (after - 1, after) if 0 <= i < len(times)]
        if not around or not math.isfinite(plot.bearing):
            continue
        index = min(around, key=lambda i: abs(times[i] - plot.time))
        if abs(times[index] - plot.time) > CLOSE:
            continue
        off = [
            math.remainder(plot.bearing - bearing, 2.0 * math.pi)
            for bearing in bearings[index]
            if math.isfinite(bearing)
        ]
        nearest = min(off, key=abs, default=math.inf)
        if abs(nearest) <= NEAR:
            found.append(nearest)
    return found


def analyse(
    sensors: Mapping[str, Sequence[Plot]],
    span: tuple[float, float],
    times: Sequence[float] = (),
    bearings: Sequence[Sequence[float]] = (),
) -> dict[str, SensorFigures]:
    """Figures of each sensor.

    Args:
        sensors: detections by sensor, in any order.
        span: begin and end of the recording, seconds UTC.
        times: of the pictures, seconds UTC, rising.
        bearings: of the confirmed tracks in each picture, radians.
    """
    return {
        name: _figures(sorted(plots, key=lambda p: p.time), span, times, bearings)
        for name, plots in sorted(sensors.items())
    }


def _figures(
    plots: Sequence[Plot],
    span: tuple[float, float],
    times: Sequence[float],
    bearings: Sequence[Sequence[float]],
) -> SensorFigures:
    begin, end = span
    edges = [begin, *(min(max(p.time, begin), end) for p in plots), end]
    gaps = list(itertools.pairwise(edges))
    delays = np.array([p.received - p.time for p in plots if math.isfinite(p.received)])
    off = np.array(agreement(plots, times, bearings))
    told = np.array([p.bearing_std for p in plots if math.isfinite(p.bearing_std)])
    bias = float(np.median(off)) if off.size else math.nan
    return SensorFigures(
        detections=len(plots),
        rate=len(plots) / (end - begin) if end > begin else math.nan,
        longest_gap=max(b - a for a, b in gaps),
        quiet=tuple((a - begin, b - begin) for a, b in gaps if b - a > QUIET),
        delay_median=float(np.median(delays)) if delays.size else math.nan,
        delay_95=float(np.percentile(delays, 95)) if delays.size else math.nan,
        paired=int(off.size),
        bias=bias,
        spread=float(np.median(np.abs(off - bias))) * _MAD_TO_SIGMA if off.size else math.nan,
        told=float(np.median(told)) if told.size else math.nan,
    )


def by_class(lines: Iterable[TrackLine]) -> dict[str, ClassFigures]:
    """Figures of the confirmed tracks of each class."""
    lives: dict[str, list[float]] = {}
    for line in lines:
        lives.setdefault(line.kind, []).append(line.life)
    return {
        kind: ClassFigures(len(found), sum(found), float(np.median(found)), max(found))
        for kind, found in sorted(lives.items())
    }


def by_sector(bearings: Iterable[float], sectors: int = SECTORS) -> list[int]:
    """Count bearings (radians) in sectors of equal width; one that is not known is in none."""
    known = np.array([b for b in bearings if math.isfinite(b)])
    if not known.size:
        return [0] * sectors
    turns = np.mod(known, 2.0 * math.pi) / (2.0 * math.pi)
    found = np.minimum((turns * sectors).astype(int), sectors - 1)
    return [int(count) for count in np.bincount(found, minlength=sectors)]


def width_of_bins(span: float) -> float:
    """Seconds of a bin, so that a span of seconds has not too many of them."""
    return next((w for w in _WIDTHS if span / w <= _BINS_MAX), span / _BINS_MAX)


def over_bins(
    moments: Iterable[float], span: tuple[float, float], width: float
) -> list[tuple[float, float]]:
    """(middle of a bin in seconds of the span, count a second) over the whole span.

    The last bin may be shorter; its count is over its own length.
    """
    begin, end = span
    number = max(1, math.ceil((end - begin) / width - 1e-9))
    inside = np.array([m - begin for m in moments if begin <= m <= end])
    found = np.minimum((inside / width).astype(int), number - 1) if inside.size else inside
    counts = np.bincount(found.astype(int), minlength=number)
    rows = []
    for index, count in enumerate(counts.tolist()):
        low, high = index * width, min((index + 1) * width, end - begin)
        rows.append(((low + high) / 2, count / max(high - low, 1e-9)))
    return rows


def standing(
    lines: Iterable[TrackLine], span: tuple[float, float], width: float
) -> dict[str, list[tuple[float, float]]]:
    """Confirmed tracks that stood on average in each bin, by class; as :func:`over_bins`."""
    kinds: dict[str, list[TrackLine]] = {}
    for line in lines:
        kinds.setdefault(line.kind, []).append(line)
    begin, end = span
    number = max(1, math.ceil((end - begin) / width - 1e-9))
    edges = np.minimum(np.arange(number + 1) * width, end - begin)
    long = np.maximum(np.diff(edges), 1e-9)
    told: dict[str, list[tuple[float, float]]] = {}
    for kind, some in sorted(kinds.items()):
        there = np.zeros(number)
        for line in some:
            times = [t for t, _ in line.looks] + [line.looks[-1][0]]
            for at, after in itertools.pairwise(times):
                low, high = at - begin, min(after, at + _HELD) - begin
                there += np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None)
        middles = (edges[1:] + edges[:-1]) / 2
        told[kind] = list(zip(middles.tolist(), (there / long).tolist(), strict=True))
    return told
