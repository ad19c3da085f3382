# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Wilder skies than `family`: written apart from `skies`, to find where the defaults fail.

A draw takes one of several kinds of flight (hover and dash, weaving, climbing, swarms in formation,
gatherings where all meet at once, passages through the area, gusty hovering), one or two radars of
any rate, error and clutter, under any name, with or without elevation, keys or claimed errors, and
the other sensors now and then. Some worlds are flat (slant range is ground range); some radars
claim errors that are not theirs; clutter may lie evenly over the area, over range, or in patches
that stay; plots come as one look, along a turning beam, or one by one at any time.

    python benchmarks/tracking/family.py --wild --draws 24 --out base.json --oracle
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import skies

TWO_PI = 2.0 * math.pi
STEP = 0.1
MOST_DETECTIONS = 4000
KINDS = ("legs", "dash", "weave", "climb", "swarm", "gather", "through", "hover")


@dataclass
class Eye:
    """One sensor of a wild sky; ``kind`` is radar, key, two, camera or ear."""

    kind: str
    name: str
    period: float
    chance: float
    bearing_sigma: float
    clutter: float
    reach: float
    range_sigma: float = math.nan
    elevation_sigma: float = math.nan
    timing: str = "look"
    clutter_kind: str = "range"
    claim: float = 1.0
    claimed: bool = True
    keys: str = "none"
    late: float = 0.0


@dataclass
class Wild:
    """What a draw chose."""

    seconds: int
    objects: int
    kind: str
    speed: tuple[float, float]
    area: float
    flat: bool
    own: str
    eyes: list[Eye] = field(default_factory=list)


def draw(seed: int) -> Wild:
    """Return the sky of a seed."""
    rng = np.random.default_rng([9001, seed])

    def log_uniform(low: float, high: float) -> float:
        return float(math.exp(rng.uniform(math.log(low), math.log(high))))

    kind = str(rng.choice(KINDS))
    objects = round(log_uniform(1.0, 200.0))
    if rng.random() < 0.04:
        objects = 0
    if kind in ("swarm", "gather"):
        objects = min(max(objects, 4), 60)
    period = log_uniform(0.3, 4.0)
    chance = float(rng.uniform(0.5, 0.98))
    clutter = log_uniform(0.3, 400.0) if rng.random() < 0.8 else 0.0
    seconds = int(np.clip(MOST_DETECTIONS * period / (objects * chance + clutter + 0.1), 45, 150))
    low = float(rng.uniform(0.0, 15.0))
    wild = Wild(
        seconds,
        objects,
        kind,
        (low, low + log_uniform(3.0, 45.0)),
        log_uniform(700.0, 5000.0),
        bool(rng.random() < 0.3),
        str(rng.choice(["still", "still", "straight", "circle", "zigzag"])),
    )
    radar = Eye(
        "radar",
        str(rng.choice(["dspnor", "dspnor", "dspnor", "radar", "echo-1"])),
        period,
        chance,
        math.radians(log_uniform(0.3, 5.0)),
        clutter,
        float(rng.uniform(1.1, 1.6)) * wild.area,
        range_sigma=log_uniform(2.0, 40.0),
        elevation_sigma=math.radians(log_uniform(0.5, 5.0)) if rng.random() < 0.25 else math.nan,
        timing=str(rng.choice(["look", "look", "look", "beam", "any"])),
        clutter_kind=str(rng.choice(["range", "range", "area", "area", "patches"])),
        claim=log_uniform(0.6, 1.6) if rng.random() < 0.3 else 1.0,
        claimed=bool(rng.random() > 0.12),
        keys=str(rng.choice(["none", "none", "none", "numbers"])),
        late=float(rng.choice([0.0, 0.0, 0.0, 0.5, 1.5])),
    )
    wild.eyes.append(radar)
    if rng.random() < 0.12:
        wild.eyes.append(
            Eye(
                "radar",
                "second",
                log_uniform(0.5, 3.0),
                float(rng.uniform(0.5, 0.95)),
                math.radians(log_uniform(0.5, 3.0)),
                log_uniform(0.3, 20.0),
                0.8 * wild.area,
                range_sigma=log_uniform(3.0, 30.0),
                timing=str(rng.choice(["look", "any"])),
            )
        )
    if rng.random() < 0.35:
        wild.eyes.append(
            Eye(
                "key",
                str(rng.choice(["droneshield", "rf"])),
                log_uniform(0.5, 4.0),
                float(rng.uniform(0.3, 1.0)),
                math.radians(log_uniform(1.0, 10.0)),
                0.02,
                2.0 * wild.area,
                keys="names",
                late=float(rng.choice([0.0, 1.5])),
            )
        )
    if rng.random() < 0.25:
        wild.eyes.append(
            Eye(
                "two",
                "silvus",
                1.0,
                float(rng.uniform(0.1, 0.7)),
                math.radians(log_uniform(1.5, 6.0)),
                float(rng.uniform(0.0, 1.0)),
                2.0 * wild.area,
            )
        )
    if rng.random() < 0.3:
        wild.eyes.append(
            Eye(
                "camera",
                str(rng.choice(["mara", "mara", "eye"])),
                log_uniform(0.3, 2.0),
                float(rng.uniform(0.3, 0.9)),
                math.radians(log_uniform(0.2, 1.5)),
                float(rng.uniform(0.0, 2.0)),
                0.6 * wild.area,
                elevation_sigma=math.radians(0.7),
            )
        )
    if rng.random() < 0.1:
        wild.eyes.append(
            Eye(
                "ear",
                "ears",
                1.0,
                float(rng.uniform(0.3, 0.8)),
                math.radians(8.0),
                0.5,
                min(500.0, wild.area),
            )
        )
    return wild


def fly(  # noqa: PLR0912, PLR0915 (one kind of flight after another)
    wild: Wild, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return states (ticks, N, 6) and who is there (ticks, N)."""
    n, ticks = wild.objects, int(wild.seconds / STEP) + 1
    state, here = np.zeros((ticks, n, 6)), np.ones((ticks, n), dtype=bool)
    if n == 0:
        return state, here
    angle, radius = rng.uniform(0, TWO_PI, n), wild.area * np.sqrt(rng.uniform(0.03, 1.0, n))
    place = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    speed, heading = rng.uniform(*wild.speed, n), rng.uniform(0, TWO_PI, n)
    height = np.zeros(n) if wild.flat else rng.uniform(20.0, 200.0, n)
    phase, beat = rng.uniform(0, TWO_PI, n), rng.uniform(0.15, 0.6, n)
    born, dies = np.zeros(n), np.full(n, 1e9)
    if wild.kind == "swarm":
        # Formations of up to twelve, 15 to 80 m from each other, one leader's course.
        team = np.arange(n) // 12
        place = place[team] + rng.normal(0, rng.uniform(15.0, 80.0), (n, 2))
        speed, heading = speed[team], heading[team]
        phase, beat = phase[team], beat[team]
    elif wild.kind == "gather":
        when = rng.uniform(0.3, 0.7) * wild.seconds + rng.normal(0, 3.0, n)
        speed = np.maximum(speed, 4.0)
        focus = place[0] * 0.5 + rng.normal(0, 20.0, (n, 2))
        course = np.stack([np.sin(heading), np.cos(heading)], axis=1)
        place = focus - course * (speed * when)[:, None]
    elif wild.kind == "through":
        born = rng.uniform(-0.5, 0.9, n) * wild.seconds
        dies = born + rng.uniform(0.3, 1.0, n) * wild.seconds
        heading = np.arctan2(-place[:, 0], -place[:, 1]) + rng.normal(0, 0.6, n)
    else:
        born = np.where(rng.random(n) < 0.3, rng.uniform(0, 0.7, n) * wild.seconds, 0.0)
        dies = np.where(rng.random(n) < 0.25, rng.uniform(0.4, 1.0, n) * wild.seconds, 1e9)
    turn, climb, dashing = np.zeros(n), np.zeros(n), rng.random(n) < 0.5
    now = speed.copy()
    for tick in range(ticks):
        t = tick * STEP
        here[tick] = (t >= born) & (t < dies)
        if wild.kind in ("legs", "through", "swarm", "climb"):
            begin = rng.random(n) < 0.04 * STEP
            turn = np.where(begin, rng.normal(0, 0.25, n), turn * (rng.random(n) > 0.3 * STEP))
            if wild.kind == "swarm":
                turn = turn[(np.arange(n) // 12) * 12]
            now = speed
        elif wild.kind == "weave":
            turn, now = 0.5 * np.sin(beat * t + phase), speed
        elif wild.kind in ("dash", "hover"):
            dashing ^= rng.random(n) < (0.08 if wild.kind == "dash" else 0.02) * STEP
            goal = np.where(dashing, speed, 0.0)
            now = now + np.clip(goal - now, -5.0 * STEP, 5.0 * STEP)
            fresh = dashing & (now < 1.0)
            heading = np.where(fresh, heading + rng.normal(0, 0.5, n), heading)
            turn = np.zeros(n)
        if wild.kind == "climb" and not wild.flat:
            change = rng.random(n) < 0.1 * STEP
            climb = np.where(change, rng.uniform(-4.0, 5.0, n), climb)
            climb = np.where((height < 15.0) & (climb < 0), 0.0, climb)
            height = height + climb * STEP
        heading = heading + turn * STEP
        v = np.stack([now * np.sin(heading), now * np.cos(heading)], axis=1)
        if wild.kind == "hover":
            v = v + 0.8 * np.stack([np.sin(beat * t + phase), np.cos(1.3 * beat * t)], axis=1)
        state[tick, :, :2], state[tick, :, 3:5] = place, v
        state[tick, :, 2], state[tick, :, 5] = height, climb
        if wild.kind not in ("through", "gather"):
            outside = np.hypot(*place.T) > 1.1 * wild.area
            heading = np.where(outside, np.arctan2(-place[:, 0], -place[:, 1]), heading)
        place = place + v * STEP
    return state, here


def own_ship(wild: Wild) -> np.ndarray:
    """Return the own-ship's places (ticks, 2)."""
    t = np.arange(int(wild.seconds / STEP) + 1) * STEP
    if wild.own == "straight":
        return np.stack([4.0 * t, 5.0 * t], axis=1)
    if wild.own == "circle":
        return np.stack([150 * np.sin(t * 0.06), 150 * (1 - np.cos(t * 0.06))], axis=1)
    if wild.own == "zigzag":
        course = np.where((t // 25) % 2 == 0, 0.6, -0.6)
        step = 10.0 * STEP * np.stack([np.sin(course), np.cos(course)], axis=1)
        return np.cumsum(step, axis=0) - step[0]
    return np.zeros((len(t), 2))


def record(seed: int) -> skies.Recording:
    """Return the recording of a draw."""
    wild = draw(seed)
    rng = np.random.default_rng([9002, seed])
    state, here = fly(wild, rng)
    own = own_ship(wild)
    rows: list[tuple[float, dict[str, Any], int]] = []
    for eye in wild.eyes:
        _watch(wild, eye, (state, here, own), rng, rows)
    rows.sort(key=lambda row: row[0])
    truth: dict[float, list[tuple[str, float, float]]] = {}
    states: dict[float, dict[str, np.ndarray]] = {}
    reach = max(eye.reach for eye in wild.eyes if eye.kind == "radar")
    for second in range(1, wild.seconds + 1):
        tick = round(second / STEP)
        near = np.hypot(*(state[tick, :, :2] - own[tick]).T) < reach
        which = np.flatnonzero(here[tick] & near)
        truth[float(second)] = [
            (str(i), float(state[tick, i, 0]), float(state[tick, i, 1])) for i in which
        ]
        states[float(second)] = {str(i): state[tick, i] for i in which}
    return skies.Recording([row[1] for row in rows], [row[2] for row in rows], truth, states)


def _watch(  # noqa: PLR0912, PLR0915 (one field after another)
    wild: Wild,
    eye: Eye,
    world: tuple[np.ndarray, np.ndarray, np.ndarray],
    rng: np.random.Generator,
    rows: list[tuple[float, dict[str, Any], int]],
) -> None:
    """Append what one sensor reports."""
    state, here, own = world
    axis = rng.uniform(0, TWO_PI)
    names = rng.integers(10**6, 10**9, max(wild.objects, 1))
    number = np.arange(wild.objects) + 1
    newest = wild.objects + 1
    patches = rng.uniform(0, wild.area, (6, 1)) * np.ones((1, 2))
    patches[:, 1] = rng.uniform(0, TWO_PI, 6)
    looks = int(wild.seconds / eye.period) + 1
    for look in range(looks):
        start = look * eye.period
        rolls = rng.random(wild.objects) < eye.chance
        offset = rng.uniform(0, 1.0, wild.objects)
        events: list[tuple[int, float, np.ndarray | None]] = []
        for i in np.flatnonzero(rolls):
            share = 0.0 if eye.timing == "look" else offset[i]
            if eye.timing == "beam":
                tick = min(round(start / STEP), len(state) - 1)
                r = state[tick, i, :2] - own[tick]
                share = (math.atan2(r[0], r[1]) % TWO_PI) / TWO_PI
            t = start + share * eye.period
            tick = round(t / STEP)
            if t > wild.seconds or not here[min(tick, len(here) - 1), i]:
                continue
            tick = min(tick, len(state) - 1)
            r = state[tick, i, :3] + state[tick, i, 3:] * (t - tick * STEP)
            events.append((int(i), t, r - np.append(own[tick], 0.0)))
        for _ in range(rng.poisson(eye.clutter)):
            bearing = rng.uniform(0, TWO_PI)
            slant = rng.uniform(0.02, 1.0) * eye.reach
            if eye.clutter_kind == "area":
                slant = math.sqrt(rng.uniform(0.001, 1.0)) * eye.reach
            elif eye.clutter_kind == "patches" and rng.random() < 0.7:
                patch = patches[rng.integers(6)]
                slant = abs(patch[0] + rng.normal(0, 100.0)) + 20.0
                bearing = (patch[1] + rng.normal(0, 0.15)) % TWO_PI
            share = {"look": 0.0, "beam": bearing / TWO_PI, "any": rng.random()}[eye.timing]
            t = start + share * eye.period
            if t <= wild.seconds:
                up = 0.0 if wild.flat else rng.uniform(0, 0.1) * slant
                flat = math.sqrt(slant**2 - up**2)
                place = np.array([flat * math.sin(bearing), flat * math.cos(bearing), up])
                events.append((-1, t, place))
        for i, t, r in events:
            ground = math.hypot(r[0], r[1])
            slant = math.hypot(ground, r[2])
            if slant > eye.reach:
                continue
            tick = min(round(t / STEP), len(own) - 1)
            item: dict[str, Any] = {"sensor": eye.name, "t": round(t, 4)}
            item["own_east_m"], item["own_north_m"] = own[tick].round(2).tolist()
            bearing = math.atan2(r[0], r[1]) + (rng.normal(0, eye.bearing_sigma) if i >= 0 else 0.0)
            item["bearing_rad"] = round(bearing % TWO_PI, 6)
            if eye.claimed:
                item["bearing_sigma_rad"] = round(eye.bearing_sigma * eye.claim, 6)
            if math.isfinite(eye.range_sigma):
                item["range_m"] = round(max(slant + rng.normal(0, eye.range_sigma), 1.0), 2)
                if eye.claimed:
                    item["range_sigma_m"] = round(eye.range_sigma * eye.claim, 3)
            if math.isfinite(eye.elevation_sigma):
                e = math.atan2(r[2], ground) + rng.normal(0, eye.elevation_sigma)
                item["elevation_rad"] = round(e, 6)
                if eye.claimed:
                    item["elevation_sigma_rad"] = round(eye.elevation_sigma * eye.claim, 6)
            if eye.kind == "two":
                pair = [item["bearing_rad"], round((2 * axis - bearing) % TWO_PI, 6)]
                rng.shuffle(pair)
                item["bearing_rad"], item["alt_bearing_rad"] = pair
                item["rssi_dbm"] = -80.0
            if eye.keys == "names":
                item["key"] = str(names[i]) if i >= 0 else str(rng.integers(10**6, 10**9))
                power = -30.0 - 20.0 * math.log10(slant) + rng.normal(0, 4.0)
                item["rssi_dbm"], item["frequency_hz"] = round(power, 1), 2.44e9
            elif eye.keys == "numbers":
                newest += 1
                if i >= 0 and rng.random() < 0.01:
                    number[i] = newest
                item["key"] = str(number[i] if i >= 0 else newest)
            rows.append((t + (rng.uniform(0, eye.late) if eye.late else 0.0), item, i))
