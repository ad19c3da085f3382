# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""A compass's headings without their jitter, and without lagging behind a turn. No ROS.

Each heading of a compass is off by a little of its own (waves in the sensor, the last digit of the
sentence), besides the slow error that nothing here can know. A narrow camera that follows that
jitter never stands still. So the headings around the time asked for are fitted with a line by
weighted least squares; where a rate-of-turn gyro is heard, its turn is taken out first and only
the level is fitted. A window in which the headings do not lie on a line within their own jitter is
halved: a hard turn is followed as fast as it is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from thebox_sensors.protocol_base import wrap_angle

__all__ = ["Smoothed", "jitter", "smoothed"]

#: Fewer headings than this say nothing of their own jitter.
_FEWEST = 4
_HALVINGS = 3
#: A fit whose residuals have a variance of more than this many times the jitter's is no line.
#: Pure jitter hardly ever has it; a turn that the line misses by more than the jitter has.
_WORST = 4.0
#: Sentences have one or two decimals of a degree: the last one is no turn, radians.
_QUANTUM = math.radians(0.05)


@dataclass(frozen=True, slots=True)
class Smoothed:
    """A heading that several measurements agree on."""

    heading: float
    """Not wrapped, radians."""
    rate: float
    """Clockwise, of the fit, rad/s; 0 where the gyro's turn was taken out."""
    sigma: float
    """Standard error that the jitter leaves; the compass's slow error is not in it. Radians."""


def jitter(headings: Sequence[float]) -> float:
    """Standard deviation of the headings' own noise, radians; NaN with fewer than four.

    From second differences, to which a steady turn contributes nothing: of white noise their
    variance is six times the noise's. The headings must follow one another evenly.
    """
    if len(headings) < _FEWEST:
        return math.nan
    total = 0.0
    for i in range(1, len(headings) - 1):
        bend = wrap_angle(headings[i + 1] - headings[i]) - wrap_angle(headings[i] - headings[i - 1])
        total += bend * bend
    return math.sqrt(total / (6.0 * (len(headings) - 2)))


def smoothed(
    times: Sequence[float],
    headings: Sequence[float],
    time: float,
    reach: float,
    *,
    noise: float,
    turned: Sequence[float] | None = None,
) -> Smoothed | None:
    """The heading at a time.

    Args:
        times: of the headings, ascending, seconds; those further than ``reach`` are left out.
        headings: radians, clockwise.
        time: asked for, seconds.
        reach: half of the widest window, seconds.
        noise: the headings' `jitter`, better of a longer time; NaN: not known, nothing is fitted.
        turned: how far the gyro says that the bow turned from each heading's time to ``time``,
            radians; None: there is no gyro, the turn is fitted too.

    Returns:
        The fit; None where too few headings are near, or they do not lie on a line.
    """
    on = turned if turned is not None else [0.0] * len(times)
    rows = zip(times, headings, on, strict=True)
    near = [(t - time, h + turn) for t, h, turn in rows if abs(t - time) < reach]
    if not near or near[0][0] > 0.0 or math.isnan(noise):
        return None
    allowed = _WORST * noise * noise + _QUANTUM * _QUANTUM
    for _ in range(_HALVINGS):
        if len(near) < _FEWEST:
            return None
        found, spread = _fit(near, reach, turned is None, noise)
        if spread <= allowed:
            return found
        reach /= 2.0
        near = [(t, h) for t, h in near if abs(t) < reach]
    return None


def _fit(
    near: Sequence[tuple[float, float]], reach: float, sloping: bool, noise: float
) -> tuple[Smoothed, float]:
    """Line through (seconds from the time asked for, heading), and its residuals' variance."""
    # Weights that fall to nothing at the window's edge: no jump as a sample leaves it.
    weights = [1.0 - abs(t) / reach for t, _ in near]
    origin = near[-1][1]
    rows = [(w, t, wrap_angle(h - origin)) for w, (t, h) in zip(weights, near, strict=True)]
    total = sum(weights)
    middle = sum(w * t for w, t, _ in rows) / total
    mean = sum(w * v for w, _, v in rows) / total
    slope, leverage = 0.0, 0.0
    if sloping:
        moment = sum(w * (t - middle) ** 2 for w, t, _ in rows)
        slope = sum(w * (t - middle) * (v - mean) for w, t, v in rows) / moment
        leverage = middle / moment
    spread = sum(w * (v - mean - slope * (t - middle)) ** 2 for w, t, v in rows) / total
    # The line's value is a weighted sum of the headings: so is its variance.
    shares = [w / total - leverage * w * (t - middle) for w, t, _ in rows]
    sigma = noise * math.sqrt(sum(share * share for share in shares))
    return Smoothed(origin + mean - slope * middle, slope, sigma), spread
