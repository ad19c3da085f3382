# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Draws each scenario in plan: the truth, and what each kind of sensor measures of it.

    python benchmarks/sim/pictures.py [SCENARIO ...] [--seed N] [--out docs/pictures]

Left: paths of all objects with the radar's plots. Right: bearings over time, from the own-ship.
Needs matplotlib.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src" / "thebox_sim"))

import matplotlib  # noqa: E402

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

from thebox_sim.geometry import bearing_to  # noqa: E402
from thebox_sim.offline import play  # noqa: E402
from thebox_sim.scenario import Scenario, load_scenario, scenario_names  # noqa: E402

PATHS = {"drone": "#c1121f", "bird": "#6c757d", "boat": "#0077b6", "other": "#000000"}
DOTS = {"droneshield": "#e07a5f", "silvus": "#9b5de5", "mara": "#2a9d8f", "dspnor": "#1d3557"}


@dataclass
class Story:
    """What happened in one play of a scenario; bearings in degrees."""

    # East, north, time, bearing of each object, second by second.
    paths: dict[str, list[tuple[float, float, float, float]]]
    kinds: dict[str, str]
    ship: list[tuple[float, float]]
    # East, north, and whether an object caused it.
    plots: list[tuple[float, float, bool]]
    # Time and bearing of each measurement, by sensor.
    bearings: dict[str, list[tuple[float, float]]]


def watch(scenario: Scenario, seed: int) -> Story:
    """Play the scenario to its end and note what there was to see."""
    story = Story(defaultdict(list), {}, [], [], defaultdict(list))
    due = 0.0
    for time, sent, world in play(scenario, seed, scenario.duration_s):
        own = world.own_ship.position
        if time >= due:
            due += 1.0
            story.ship.append(own[:2])
            for item in world.objects:
                story.kinds[item.id] = item.object_class
                bearing = math.degrees(bearing_to(own, item.position))
                story.paths[item.id].append((*item.position[:2], time, bearing))
        for m, _ in sent:
            story.bearings[m.sensor].append((m.time, math.degrees(m.bearing)))
            if m.sensor == "dspnor":
                east = m.own_position[0] + m.range * math.sin(m.bearing)
                north = m.own_position[1] + m.range * math.cos(m.bearing)
                story.plots.append((east, north, bool(m.truth_id)))
    return story


def draw_plan(axes: Any, story: Story) -> None:
    """Draw paths and radar plots, seen from above."""
    for real, colour, size, label in (
        (False, "#adb5bd", 8, "radar, clutter"),
        (True, DOTS["dspnor"], 5, "radar, of an object"),
    ):
        chosen = [(e, n) for e, n, r in story.plots if r == real]
        if chosen:
            axes.scatter(*zip(*chosen, strict=True), s=size, c=colour, label=label, linewidths=0)
    named = set()
    for identity, path in story.paths.items():
        kind = story.kinds[identity]
        label = kind if kind not in named else None
        named.add(kind)
        axes.plot([p[0] for p in path], [p[1] for p in path], c=PATHS[kind], lw=1.2, label=label)
        axes.plot(path[0][0], path[0][1], "o", c=PATHS[kind], ms=3)
    axes.plot([p[0] for p in story.ship], [p[1] for p in story.ship], c="black", lw=2)
    axes.plot(*story.ship[0], "^", c="black", ms=9, label="own-ship")
    points = [(p[0], p[1]) for path in story.paths.values() for p in path] + story.ship
    reach = max(200.0, *(max(abs(e), abs(n)) for e, n in points)) * 1.1
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="east, m", ylabel="north, m")
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right", fontsize=8)


def draw_waterfall(axes: Any, story: Story, duration: float) -> None:
    """Draw bearings over time: measurements as dots, the drones' truth as lines."""
    for sensor, colour in DOTS.items():
        if story.bearings[sensor]:
            dots = zip(*story.bearings[sensor], strict=True)
            axes.scatter(*dots, s=3, c=colour, label=sensor, linewidths=0)
    for identity, path in story.paths.items():
        if story.kinds[identity] != "drone":
            continue
        # Broken where the bearing goes through north.
        times, degrees = [path[0][2]], [path[0][3]]
        for before, after in itertools.pairwise(path):
            if abs(after[3] - before[3]) > 180.0:
                times.append(math.nan)
                degrees.append(math.nan)
            times.append(after[2])
            degrees.append(after[3])
        axes.plot(times, degrees, c=PATHS["drone"], lw=1.0)
    axes.set(
        xlim=(0, duration),
        ylim=(0, 360),
        xlabel="time, s",
        ylabel="bearing from true north, degrees",
        yticks=range(0, 361, 45),
    )
    axes.grid(alpha=0.3)
    if any(story.bearings.values()):
        axes.legend(loc="upper right", fontsize=8, markerscale=4)


def draw(name: str, seed: int, folder: Path) -> Path:
    """Draw one scenario; return the picture's path."""
    scenario = load_scenario(name)
    story = watch(scenario, seed)
    figure, (plan, waterfall) = plt.subplots(1, 2, figsize=(15, 7.2), width_ratios=(1, 1))
    draw_plan(plan, story)
    draw_waterfall(waterfall, story, scenario.duration_s)
    counts = ", ".join(f"{s} {len(found)}" for s, found in sorted(story.bearings.items()) if found)
    figure.suptitle(
        f"{scenario.name} (seed {seed}): {scenario.description}\nmeasurements: {counts or 'none'}",
        fontsize=11,
    )
    figure.tight_layout()
    folder.mkdir(parents=True, exist_ok=True)
    path_out = folder / f"sim_{scenario.name}.png"
    figure.savefig(path_out, dpi=80)
    plt.close(figure)
    return path_out


def main() -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(description="Draw the scenarios of the simulated sky.")
    parser.add_argument("scenarios", nargs="*", help="names or files (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    options = parser.parse_args()
    for name in options.scenarios or scenario_names():
        print(draw(name, options.seed, options.out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
