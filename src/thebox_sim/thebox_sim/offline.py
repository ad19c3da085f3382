# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Plays a scenario into files: what the sensors measure, and the truth. No ROS, no sockets.

Detections come one a line in the order in which they reach the box, in the format of
``thebox_fusion.offline``: ``t`` is the sensor's stamp, ``t_received`` when it was sent (seconds
since the scenario's start), positions are ENU metres from the own-ship's start. The truth has one
line a second: ``{"t": s, "objects": [[id, east_m, north_m, up_m, class], ...]}``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from thebox_sim.config import ScenarioError
from thebox_sim.geometry import Vector
from thebox_sim.scenario import Scenario, load_scenario, scenario_names
from thebox_sim.sensors import make_sensor
from thebox_sim.sensors.base import Measurement
from thebox_sim.sensors.trakka import Trakka
from thebox_sim.watch import Watch
from thebox_sim.world import World

# Start of every offline scenario: any whole second does, and a fixed one keeps files equal.
OFFLINE_EPOCH = 1_767_225_600.0

_OPTIONAL = (
    ("alt_bearing_rad", "bearing_alternative"),
    ("range_m", "range"),
    ("range_sigma_m", "range_sigma"),
    ("elevation_rad", "elevation"),
    ("elevation_sigma_rad", "elevation_sigma"),
    ("rssi_dbm", "rssi"),
    ("frequency_hz", "frequency"),
    ("confidence", "confidence"),
)


class TruthLike(Protocol):
    """An object of the world, or a snapshot of one."""

    @property
    def id(self) -> str:
        """Identity in the truth."""

    @property
    def object_class(self) -> str:
        """What it is."""

    @property
    def position(self) -> Vector:
        """ENU metres."""


def detection_line(measurement: Measurement, received: float, origin: Vector) -> dict[str, Any]:
    """Return one measurement as a line of the detections file; NaN fields are left out.

    :param origin: where the own-ship started, ENU metres.
    """
    line: dict[str, Any] = {
        "sensor": measurement.sensor,
        "t": round(measurement.time, 4),
        "t_received": round(received, 4),
        "bearing_rad": round(measurement.bearing, 6),
        "bearing_sigma_rad": round(measurement.bearing_sigma, 6),
        "own_east_m": round(measurement.own_position[0] - origin[0], 3),
        "own_north_m": round(measurement.own_position[1] - origin[1], 3),
    }
    for key, attribute in _OPTIONAL:
        value = getattr(measurement, attribute)
        if not math.isnan(value):
            line[key] = round(value, 6)
    if measurement.key:
        line["key"] = measurement.key
    return line


def play(
    scenario: Scenario, seed: int, duration: float, *, camera: bool = False
) -> Iterator[tuple[float, list[tuple[Measurement, float]], World]]:
    """Step a scenario and yield (time, measurements sent in this step, world) for every step.

    The measurements carry ``truth_id``, for scoring.

    :param camera: somebody steers the camera, where the scenario has one; else it sees nothing.
    """
    world = World(scenario.world, seed)
    sensors = [make_sensor(n, s, seed, OFFLINE_EPOCH) for n, s in scenario.sensors.items()]
    watch = next((Watch(s, seed) for s in sensors if camera and isinstance(s, Trakka)), None)
    yield world.time, [], world
    while world.time + world.dt <= duration + 1e-9:
        world.step()
        if watch is not None:
            watch.steer(world)
        sent = []
        for sensor in sensors:
            reports = sensor.poll(world)
            if watch is not None and isinstance(sensor, Trakka):
                reports = watch.usable(reports)
            sent += [(r.measurement, r.sent) for r in reports if r.measurement is not None]
        yield world.time, sent, world


def write_files(
    scenario: Scenario,
    seed: int,
    duration: float,
    detections: Path,
    truth: Path,
    *,
    with_truth_ids: bool = False,
    camera: bool = False,
) -> tuple[int, int]:
    """Write both files; return (detections, truth lines).

    :param camera: see :func:`play`.
    :param with_truth_ids: add ``truth_id`` to each detection ("" for clutter): for scoring only.
    """
    count, seconds = 0, 0
    with detections.open("w", encoding="utf-8") as d_file, truth.open("w", encoding="utf-8") as t_f:
        origin: Vector | None = None
        for time, sent, world in play(scenario, seed, duration, camera=camera):
            if origin is None:
                origin = world.own_ship.position
            for measurement, received in sent:
                line = detection_line(measurement, received, origin)
                if with_truth_ids:
                    line["truth_id"] = measurement.truth_id
                d_file.write(json.dumps(line) + "\n")
                count += 1
            if time >= seconds - 1e-9:
                t_f.write(json.dumps(truth_line(float(seconds), world.objects, origin)))
                t_f.write("\n")
                seconds += 1
    return count, seconds


def truth_line(seconds: float, objects: Sequence[TruthLike], origin: Vector) -> dict[str, Any]:
    """Return one line of the truth file: positions from ``origin``, ENU metres."""
    return {"t": round(seconds, 3), "objects": _objects(objects, origin)}


def _objects(objects: Sequence[TruthLike], origin: Vector) -> list[list[Any]]:
    return [
        [
            item.id,
            round(item.position[0] - origin[0], 3),
            round(item.position[1] - origin[1], 3),
            round(item.position[2] - origin[2], 3),
            item.object_class,
        ]
        for item in objects
    ]


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m thebox_sim.offline",
        description="Play a scenario into a detections file and a truth file.",
    )
    parser.add_argument("scenario", help="name of a scenario, or path of a .yaml file")
    parser.add_argument("--seed", type=int, default=1, help="of all randomness (default 1)")
    parser.add_argument(
        "--duration", type=float, default=math.nan, help="seconds (default: the scenario's own)"
    )
    parser.add_argument("--detections", type=Path, required=True, help="JSON lines to write")
    parser.add_argument("--truth", type=Path, required=True, help="JSON lines to write")
    parser.add_argument(
        "--truth-ids", action="store_true", help="name the cause of each detection, for scoring"
    )
    parser.add_argument(
        "--camera",
        action="store_true",
        help="somebody steers the scenario's camera, from one flying object to the next",
    )
    options = parser.parse_args(argv)
    if options.seed < 0:
        parser.error(f"--seed must be 0 or more, got {options.seed}")
    try:
        scenario = load_scenario(options.scenario)
    except ScenarioError as error:
        print(f"offline: {error}", file=sys.stderr)
        return 2
    duration = scenario.duration_s if math.isnan(options.duration) else options.duration
    if not 0.0 < duration <= 7 * 86400.0:
        parser.error(f"--duration must be above 0 and at most a week, got {duration:g}")
    try:
        count, seconds = write_files(
            scenario,
            options.seed,
            duration,
            options.detections,
            options.truth,
            with_truth_ids=options.truth_ids,
            camera=options.camera,
        )
    except OSError as error:
        print(f"offline: cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{scenario.name}: {count} detections, {seconds} seconds of truth")
    return 0


__all__ = ["detection_line", "main", "play", "scenario_names", "truth_line", "write_files"]

if __name__ == "__main__":
    raise SystemExit(main())
