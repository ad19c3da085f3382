# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Cameras that number what they follow, and the tracks that hold such numbers.

A camera's bearing is the sharpest there is. Of another object in the same direction, it leads a
track away from its own plots and fits it ever after: what measures range has to tell.
"""

from __future__ import annotations

import numpy as np

from .arrays import indices, is_in, or_zero
from .bank import DETACHED, TENTATIVE
from .core import Core, rows_of
from .gate import Aspect
from .looks import LOST_AFTER
from .measure import wrap
from .types import BoolArray, FloatArray, IntArray

# Two objects that a camera showed within so many seconds were in one picture.
IN_ONE_PICTURE = 2.0
# A camera's other object pulls a track to the side by so many standard deviations of a radar plot,
PULL = 1.5
# and is let go at these log odds that it does; it then has to prove again that it belongs there.
LET_GO = 5.0
UNPROVEN = -5.0
# So unlikely (log probability) are the misses of a track for the radar to have lost it.
MISSED = -4.6
# A track is in a camera's direction within so many standard deviations.
IN_LINE = 3.0


def camera_keys(core: Core) -> tuple[IntArray, IntArray]:
    """Return the cameras' keys that kinematic tracks hold, and the rows of those tracks."""
    track = core.state.keys.track
    attached = indices(track >= 0)
    rows = rows_of(core.state.kinematic, track[attached])
    camera = np.array([bool(core.key_cameras[k]) for k in attached.tolist()], dtype=np.bool_)
    held = camera & (rows >= 0)
    return attached[held], rows[held]


def let_go(
    core: Core,
    held: tuple[IntArray, IntArray],
    rows: IntArray,
    *,
    innovation: FloatArray,
    time: FloatArray,
    sensor: int,
) -> None:
    """Take cameras off tracks that they pull to the side of where a sensor measures them.

    A camera's bearing is the sharpest there is. Of another object in the same direction, it leads
    the track away from its own plots and fits it ever after: only the plots can tell. Their
    normalised bearing innovations are summed for either side (cumulative sums; Page, Biometrika
    41, 1954).

    Args:
        core: with the tracks and keys.
        held: of `camera_keys`.
        rows: (P,) distinct tracks that were detected in range.
        innovation: (P,) normalised bearing innovations, NaN where there is none.
        time: (P,) seconds.
        sensor: that detected them.
    """
    bank = core.state.kinematic
    keys, holder = held
    news = np.outer(or_zero(innovation), [PULL, -PULL]) - 0.5 * PULL**2
    led = is_in(rows, holder)
    bank.pulled[rows] = np.where(led[:, None], np.maximum(bank.pulled[rows] + news, 0.0), 0.0)
    wrong = indices(bank.pulled[rows].max(axis=1) > LET_GO)
    for row, when in zip(rows[wrong].tolist(), time[wrong].tolist(), strict=True):
        _release(core, keys[holder == row], row, when, sensor)
        bank.pulled[row] = 0.0


def leave_lost(core: Core, seen: Aspect, now: float) -> None:
    """Take cameras off tracks that the radar has lost, where it still sees one in that direction.

    Either two objects were in one direction and the camera stayed with the wrong track, or the
    track has left its object. What the radar merely cannot see any more has no other track there.

    Args:
        core: with the tracks and keys.
        seen: where the kinematic tracks are now.
        now: seconds.
    """
    bank, table = core.state.kinematic, core.state.keys
    keys, holder = camera_keys(core)
    if not len(keys):
        return
    known, lost = _lost(core, seen, now)
    if not lost[holder].any():
        return
    held = known & ~lost
    held &= (bank.state != TENTATIVE) & (bank.probability() > 0.8)
    for key, row in zip(keys[lost[holder]].tolist(), holder[lost[holder]].tolist(), strict=True):
        gap = wrap(seen.bearing - table.bearing[key])
        spread = seen.bearing_variance + table.sigma[key] ** 2
        if (held & ~taken(core, key, now) & (gap**2 < IN_LINE**2 * spread)).any():
            _release(core, np.array([key]), row, now, core.sensor_index[core.key_names[key][0]])


def _lost(core: Core, seen: Aspect, now: float) -> tuple[BoolArray, BoolArray]:
    """Return (N,) which tracks a radar has ever seen, and which of them none sees any more.

    A radar that sees little misses what is there several times.
    """
    bank = core.state.kinematic
    known: BoolArray = np.zeros(len(bank), dtype=np.bool_)
    still = known.copy()
    for sensor, learned in enumerate(core.state.sensors):
        if not learned.model.sees_all:
            continue
        last = bank.sensor_last[:, sensor]
        silent = now - last - core.arrivals.complete_after(sensor)
        looks = np.where(np.isfinite(last), silent, 0.0) / learned.revisit
        unlikely = looks * np.log1p(-learned.detection_probability(seen.slant)) < MISSED
        known |= np.isfinite(last)
        still |= np.isfinite(last) & ~((looks > LOST_AFTER) & unlikely)
    return known, known & ~still


def _release(core: Core, keys: IntArray, row: int, when: float, sensor: int) -> None:
    """Let keys go that a track holds; to come back they have to prove that they belong there.

    While they led it the track was elsewhere: what that said against other keys counts no more
    than against these.
    """
    table = core.state.keys
    table.evidence[:, row] = np.maximum(table.evidence[:, row], UNPROVEN)
    table.track[keys] = -1
    table.strain[keys] = 0.0
    table.evidence[keys] = 0.0
    table.evidence[keys, row] = UNPROVEN
    core.state.kinematic.note(np.array([row]), when, sensor, DETACHED, 0.0)


def taken(core: Core, key: int, now: float) -> BoolArray:
    """Return (N,) which kinematic tracks hold another object of the camera that has ``key``."""
    bank, table = core.state.kinematic, core.state.keys
    others_hold = np.zeros(len(bank), dtype=np.bool_)
    camera = core.key_cameras[key]
    if camera:
        at_once = indices((table.track >= 0) & (now - table.time < IN_ONE_PICTURE))
        others = [k for k in at_once.tolist() if k != key and core.key_cameras[k] == camera]
        rows = rows_of(bank, table.track[others])
        others_hold[rows[rows >= 0]] = True
    return others_hold
