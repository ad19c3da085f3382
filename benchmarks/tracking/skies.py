# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Seeded skies for the tracking benchmark: objects, an own-ship, and what the sensors report.

Written apart from the tracker and from thebox_sim, so that a mistake in one does not hide in the
other. Each detection knows which object caused it; only the oracle looks at that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

TWO_PI = 2.0 * math.pi


@dataclass
class Radar:
    revisit: float = 1.0
    detection_probability: float = 0.9
    range_sigma: float = 10.0
    bearing_sigma: float = math.radians(1.0)
    clutter: float = 5.0
    max_range: float = 5000.0
    rotating: bool = False
    lateness: float = 0.0


@dataclass
class Emitters:
    """DroneShield: keyed bearings."""

    rate: float = 0.5
    bearing_sigma: float = math.radians(5.0)
    shadowing: float = 4.0
    max_range: float = 8000.0
    per_object: int = 1
    false_keys: float = 0.02
    lateness: float = 0.0


@dataclass
class TwoCandidates:
    """Silvus: bearings with a mirrored second candidate, no identity."""

    rate: float = 0.5
    bearing_sigma: float = math.radians(4.0)
    max_range: float = 8000.0
    clutter: float = 0.3


@dataclass
class Camera:
    """MARA: bearing and elevation."""

    rate: float = 0.7
    bearing_sigma: float = math.radians(0.5)
    max_range: float = 2500.0
    clutter: float = 0.3
    with_range: bool = False


@dataclass
class Sky:
    name: str
    seconds: int
    objects: int
    speed: tuple[float, float] = (5.0, 20.0)
    area: float = 3500.0
    near: float = 300.0
    turning: float = 0.05
    turn_rate: float = 0.15
    crossing: bool = False
    own: str = "still"
    radar: Radar | None = field(default_factory=Radar)
    emitters: Emitters | None = None
    two: TwoCandidates | None = None
    camera: Camera | None = None
    lives: bool = True
    same_bearing: bool = False


def skies() -> dict[str, Sky]:
    every = [
        Sky("few", 120, 5),
        Sky("crossing", 120, 12, crossing=True, area=1500.0, turning=0.0),
        Sky("many50", 100, 50),
        Sky("many200", 80, 200, area=4500.0),
        Sky("clutter", 120, 10, radar=Radar(clutter=100.0)),
        Sky("low_pd", 120, 10, radar=Radar(detection_probability=0.55, clutter=15.0)),
        Sky("manoeuvre", 120, 10, turning=0.25, turn_rate=0.4, speed=(12.0, 22.0)),
        Sky(
            "all_sensors",
            120,
            20,
            own="circle",
            radar=Radar(rotating=True),
            emitters=Emitters(per_object=2),
            two=TwoCandidates(),
            camera=Camera(),
        ),
        Sky(
            "all_200",
            60,
            200,
            area=4500.0,
            own="straight",
            radar=Radar(clutter=10.0),
            emitters=Emitters(rate=0.3),
            two=TwoCandidates(rate=0.1),
            camera=Camera(rate=0.4),
        ),
        Sky(
            "late",
            120,
            10,
            radar=Radar(lateness=0.3),
            emitters=Emitters(lateness=1.8),
            camera=Camera(),
        ),
        Sky(
            "beyond_radar",
            180,
            4,
            area=3500.0,
            near=2000.0,
            own="dogleg",
            speed=(0.0, 6.0),
            turning=0.01,
            lives=False,
            radar=Radar(max_range=1500.0, clutter=3.0),
            emitters=Emitters(rate=1.0, bearing_sigma=math.radians(3.0), false_keys=0.0),
        ),
        Sky("flooded", 60, 10, radar=Radar(clutter=400.0)),
        Sky("silent", 60, 0, radar=Radar(clutter=5.0), emitters=Emitters(), camera=Camera()),
    ]
    return {sky.name: sky for sky in every}


@dataclass
class Recording:
    """What one run gives.

    Attributes:
        detections: JSON objects in order of arrival.
        origins: index of the object behind each, -1 for none.
        truth: time -> [(identity, east, north)].
        states: time -> {identity: (6,) position and velocity}.
    """

    detections: list[dict[str, object]]
    origins: list[int]
    truth: dict[float, list[tuple[str, float, float]]]
    states: dict[float, dict[str, np.ndarray]]


STEP = 0.1


def _fly(sky: Sky, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return states (ticks, N, 6) and which exist (ticks, N)."""
    n, ticks = sky.objects, int(sky.seconds / STEP) + 1
    state = np.zeros((ticks, n, 6))
    alive = np.ones((ticks, n), dtype=bool)
    if n == 0:
        return state, alive
    radius = np.sqrt(rng.uniform(sky.near**2, sky.area**2, n))
    angle = rng.uniform(0, TWO_PI, n)
    speed = rng.uniform(*sky.speed, n)
    heading = rng.uniform(0, TWO_PI, n)
    position = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    if sky.crossing:
        # Pairs meet in the middle of the run, at angles of 10 to 60 degrees.
        for pair in range(n // 2):
            meet = position[2 * pair] * 0.6
            course = heading[2 * pair]
            half = math.radians(rng.uniform(5, 30))
            when = rng.uniform(0.35, 0.65) * sky.seconds
            for k, sign in ((0, -1), (1, 1)):
                heading[2 * pair + k] = course + sign * half
                speed[2 * pair + k] = rng.uniform(8.0, 16.0)
                direction = np.array(
                    [math.sin(heading[2 * pair + k]), math.cos(heading[2 * pair + k])]
                )
                offset = rng.normal(0, 8.0, 2)
                position[2 * pair + k] = meet + offset - direction * speed[2 * pair + k] * when
    height = rng.uniform(30.0, 150.0, n)
    turn = np.zeros(n)
    born = np.where(rng.random(n) < 0.3, rng.uniform(0, 0.5 * sky.seconds, n), 0.0)
    dies = np.where(rng.random(n) < 0.2, rng.uniform(0.6, 1.0, n) * sky.seconds, 1e9)
    for tick in range(ticks):
        t = tick * STEP
        if sky.lives and not sky.crossing:
            alive[tick] = (t >= born) & (t < dies)
        v = np.stack([speed * np.sin(heading), speed * np.cos(heading)], axis=1)
        state[tick, :, :2], state[tick, :, 3:5] = position, v
        state[tick, :, 2] = height
        begin = (turn == 0.0) & (rng.random(n) < sky.turning * STEP)
        end = (turn != 0.0) & (rng.random(n) < 0.3 * STEP)
        turn = np.where(end, 0.0, np.where(begin, rng.normal(0, sky.turn_rate, n), turn))
        heading = heading + turn * STEP
        # Who leaves the area turns back.
        outside = np.hypot(*position.T) > 1.2 * sky.area
        home = np.arctan2(-position[:, 0], -position[:, 1])
        heading = np.where(outside, home, heading)
        position = position + v * STEP
    return state, alive


def _own_ship(sky: Sky) -> np.ndarray:
    ticks = int(sky.seconds / STEP) + 1
    t = np.arange(ticks) * STEP
    own = np.zeros((ticks, 2))
    if sky.own == "straight":
        own[:, 0] = 8.0 * t
    elif sky.own == "circle":
        own = np.stack([200 * np.sin(t * 0.04), 200 * (1 - np.cos(t * 0.04))], axis=1)
    elif sky.own == "dogleg":
        leg = sky.seconds / 3.0
        course = np.radians(np.where(t < leg, 20.0, np.where(t < 2 * leg, 110.0, 0.0)))
        step = 12.0 * STEP * np.stack([np.sin(course), np.cos(course)], axis=1)
        own = np.cumsum(step, axis=0) - step[0]
    return own


def record(sky: Sky, seed: int) -> Recording:  # noqa: PLR0912, PLR0915 (one sensor after another)
    rng = np.random.default_rng([seed, sum(map(ord, sky.name))])
    state, alive = _fly(sky, rng)
    own = _own_ship(sky)
    rows: list[tuple[float, dict[str, object], int]] = []

    def seen(t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        tick = min(round(t / STEP), len(state) - 1)
        drift = t - tick * STEP
        r = state[tick, :, :3] + state[tick, :, 3:] * drift
        r = r - np.append(own[tick], 0.0)
        ground = np.hypot(r[:, 0], r[:, 1])
        return (
            np.arctan2(r[:, 0], r[:, 1]) % TWO_PI,
            np.arctan2(r[:, 2], ground),
            np.hypot(ground, r[:, 2]),
            alive[tick],
            own[tick],
        )

    def put(
        sensor: str, t: float, place: np.ndarray, origin: int, late: float, **values: object
    ) -> None:
        item: dict[str, object] = {"sensor": sensor, "t": round(t, 4)}
        item["own_east_m"], item["own_north_m"] = (round(float(x), 3) for x in place)
        for name, value in values.items():
            item[name] = round(value, 6) if isinstance(value, float) else value
        arrival = t + (rng.uniform(0, late) if late else 0.0)
        rows.append((arrival, item, origin))

    if sky.radar is not None:
        radar = sky.radar
        for look in range(int(sky.seconds / radar.revisit) + 1):
            start = look * radar.revisit
            moment = min(start, float(sky.seconds))
            bearing, _, slant, exists, place = seen(moment)
            hit = exists & (rng.random(len(exists)) < radar.detection_probability)
            for i in np.flatnonzero(hit & (slant < radar.max_range)):
                t = moment
                b, s = bearing[i], slant[i]
                if radar.rotating:
                    t = min(start + bearing[i] / TWO_PI * radar.revisit, float(sky.seconds))
                    again = seen(t)
                    b, s, place = again[0][i], again[2][i], again[4]
                put(
                    "dspnor",
                    t,
                    place,
                    int(i),
                    radar.lateness,
                    bearing_rad=float((b + rng.normal(0, radar.bearing_sigma)) % TWO_PI),
                    bearing_sigma_rad=radar.bearing_sigma,
                    range_m=float(max(s + rng.normal(0, radar.range_sigma), 1.0)),
                    range_sigma_m=radar.range_sigma,
                )
            for _ in range(rng.poisson(radar.clutter)):
                b = rng.uniform(0, TWO_PI)
                t = moment
                if radar.rotating:
                    t = min(start + b / TWO_PI * radar.revisit, float(sky.seconds))
                put(
                    "dspnor",
                    t,
                    seen(t)[4],
                    -1,
                    radar.lateness,
                    bearing_rad=float(b),
                    bearing_sigma_rad=radar.bearing_sigma,
                    range_m=float(rng.uniform(50.0, radar.max_range)),
                    range_sigma_m=radar.range_sigma,
                )
    if sky.emitters is not None:
        rf = sky.emitters
        n = sky.objects
        keys = rng.integers(10**8, 2 * 10**9, (n, rf.per_object))
        band = rng.choice([2.4e9, 5.8e9], (n, rf.per_object))
        power = rng.normal(-30.0, 5.0, (n, rf.per_object))
        for second in range(sky.seconds):
            for k in range(rf.per_object):
                for i in range(n):
                    if rng.random() > rf.rate:
                        continue
                    t = second + rng.random()
                    bearing, _, slant, exists, place = seen(t)
                    if not exists[i] or slant[i] > rf.max_range:
                        continue
                    put(
                        "droneshield",
                        t,
                        place,
                        int(i),
                        rf.lateness,
                        bearing_rad=float((bearing[i] + rng.normal(0, rf.bearing_sigma)) % TWO_PI),
                        bearing_sigma_rad=rf.bearing_sigma,
                        key=str(keys[i, k]),
                        frequency_hz=float(band[i, k]),
                        rssi_dbm=float(
                            power[i, k]
                            - 20.0 * math.log10(max(slant[i], 1.0))
                            + rng.normal(0, rf.shadowing)
                        ),
                    )
            for _ in range(rng.poisson(rf.false_keys)):
                t = second + rng.random()
                put(
                    "droneshield",
                    t,
                    seen(t)[4],
                    -1,
                    0.0,
                    bearing_rad=float(rng.uniform(0, TWO_PI)),
                    bearing_sigma_rad=rf.bearing_sigma,
                    key=str(rng.integers(10**8, 2 * 10**9)),
                    rssi_dbm=-90.0,
                )
    if sky.two is not None:
        two = sky.two
        axis = math.radians(40.0)
        for second in range(sky.seconds):
            t = second + 0.5
            bearing, _, slant, exists, place = seen(t)
            truth = [
                (i, bearing[i])
                for i in np.flatnonzero(exists & (slant < two.max_range))
                if rng.random() < two.rate
            ]
            false = [(-1, rng.uniform(0, TWO_PI)) for _ in range(rng.poisson(two.clutter))]
            for i, b in truth + false:
                measured = (b + rng.normal(0, two.bearing_sigma)) % TWO_PI
                pair = [float(measured), float((2 * axis - measured) % TWO_PI)]
                rng.shuffle(pair)
                put(
                    "silvus",
                    t,
                    place,
                    int(i),
                    0.0,
                    bearing_rad=pair[0],
                    alt_bearing_rad=pair[1],
                    bearing_sigma_rad=two.bearing_sigma,
                    rssi_dbm=-80.0,
                    frequency_hz=2.46e9,
                )
    if sky.camera is not None:
        camera = sky.camera
        for second in range(sky.seconds):
            t = second + 0.25
            bearing, elevation, slant, exists, place = seen(t)
            for i in np.flatnonzero(exists & (slant < camera.max_range)):
                if rng.random() > camera.rate:
                    continue
                s = camera.bearing_sigma
                extra: dict[str, object] = {}
                if camera.with_range:
                    extra = {
                        "range_m": float(slant[i] * (1 + rng.normal(0, 0.1))),
                        "range_sigma_m": float(0.1 * slant[i]),
                    }
                put(
                    "mara",
                    t,
                    place,
                    int(i),
                    0.0,
                    bearing_rad=float((bearing[i] + rng.normal(0, s)) % TWO_PI),
                    bearing_sigma_rad=s,
                    elevation_rad=float(elevation[i] + rng.normal(0, s)),
                    elevation_sigma_rad=s,
                    confidence=float(rng.uniform(0.5, 0.95)),
                    **extra,
                )
            for _ in range(rng.poisson(camera.clutter)):
                put(
                    "mara",
                    t,
                    place,
                    -1,
                    0.0,
                    bearing_rad=float(rng.uniform(0, TWO_PI)),
                    bearing_sigma_rad=camera.bearing_sigma,
                    elevation_rad=float(rng.uniform(0.0, 0.5)),
                    elevation_sigma_rad=camera.bearing_sigma,
                    confidence=float(rng.uniform(0.3, 0.8)),
                )
    rows.sort(key=lambda row: row[0])
    truth: dict[float, list[tuple[str, float, float]]] = {}
    states: dict[float, dict[str, np.ndarray]] = {}
    for second in range(1, sky.seconds + 1):
        tick = round(second / STEP)
        here = np.flatnonzero(alive[tick])
        truth[float(second)] = [
            (str(i), float(state[tick, i, 0]), float(state[tick, i, 1])) for i in here
        ]
        states[float(second)] = {str(i): state[tick, i] for i in here}
    return Recording([row[1] for row in rows], [row[2] for row in rows], truth, states)
