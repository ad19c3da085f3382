# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The pictures of docs/tracker.md from the benchmark's results.

python benchmarks/tracking/plots.py --results r.json --calibration c.json --out docs/pictures
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import skies

from thebox_fusion.offline import detection_of_record, pictures
from thebox_fusion.tracker import TrackState

COLOURS = {"ours": "#1b6ca8", "peer": "#d1495b", "oracle": "#8d99ae"}
NAMES = {"ours": "TheBox", "peer": "Stone Soup (tuned)", "oracle": "oracle"}


def bars(results: dict[str, dict[str, dict[str, float]]], out: Path) -> None:
    names = [n for n in results if n not in ("silent",)]
    figure, axes = plt.subplots(3, 1, figsize=(10, 8.5), sharex=True)
    for axis, field, title, log in (
        (axes[0], "gospa", "mean GOSPA, metres (p = 2, c = 100 m); lower is better", False),
        (axes[1], "false_per_minute", "false-track seconds per minute (log scale above 1)", True),
        (axes[2], "switches", "identity switches per run (log scale above 1)", True),
    ):
        for k, who in enumerate(("ours", "peer", "oracle")):
            values = [results[n][who][field] for n in names]
            axis.bar(
                np.arange(len(names)) + (k - 1) * 0.27,
                values,
                0.26,
                color=COLOURS[who],
                label=NAMES[who],
            )
        if log:
            axis.set_yscale("symlog", linthresh=1.0)
        axis.set_title(title, loc="left", fontsize=10)
        axis.grid(axis="y", alpha=0.3)
        axis.set_axisbelow(True)
    axes[0].legend(frameon=False, ncols=3)
    axes[2].set_xticks(np.arange(len(names)), names, rotation=20)
    figure.tight_layout()
    figure.savefig(out / "tracker_benchmark.png", dpi=110)
    plt.close(figure)


def sky_picture(out: Path) -> None:
    sky = skies.skies()["clutter"]
    recording = skies.record(sky, 3)
    detections = [detection_of_record(record) for record in recording.detections]
    trails: dict[str, list[tuple[float, float]]] = {}
    for second, tracker in pictures(detections):
        if second < 1 or second > 60:
            continue
        for track, east, north in tracker.picture(second)[0]:
            trails.setdefault(track, []).append((east, north))
    figure, axes = plt.subplots(1, 2, figsize=(11, 5.6), sharex=True, sharey=True)
    east, north = [], []
    for detection in detections:
        if detection.time <= 60.0:
            east.append(detection.range * np.sin(detection.bearing))
            north.append(detection.range * np.cos(detection.bearing))
    axes[0].plot(east, north, ".", color="#666666", markersize=1.5)
    axes[0].set_title(f"what the radar reports in 60 s: {len(east)} plots", loc="left")
    paths: dict[str, list[tuple[float, float]]] = {}
    for second, rows in recording.truth.items():
        if second <= 60:
            for name, x, y in rows:
                paths.setdefault(name, []).append((x, y))
    for index, path in enumerate(paths.values()):
        x, y = np.array(path).T
        axes[1].plot(x, y, color="#bbbbbb", linewidth=5, label="truth" if index == 0 else None)
    for trail in trails.values():
        x, y = np.array(trail).T
        axes[1].plot(x, y, linewidth=1.6)
        axes[1].plot(x[-1], y[-1], "o", markersize=4, color="black")
    axes[1].set_title(f"{len(paths)} objects, {len(trails)} confirmed tracks", loc="left")
    axes[1].legend(frameon=False)
    for axis in axes:
        axis.set_aspect("equal")
        axis.set_xlim(-5000, 5000)
        axis.set_ylim(-5000, 5000)
        axis.set_xlabel("east, m")
        axis.grid(alpha=0.2)
    axes[0].set_ylabel("north, m")
    figure.tight_layout()
    figure.savefig(out / "tracker_sky.png", dpi=110)
    plt.close(figure)


def reliability_picture(calibration: dict[str, dict[str, list[float]]], out: Path) -> None:
    entry = calibration["existence"]
    count = np.array(entry["count"], float)
    shown = count >= 20
    figure, axis = plt.subplots(figsize=(5.4, 5))
    axis.plot([0, 1], [0, 1], color="#999999", linewidth=1, label="calibrated")
    real = np.array(entry["real"], float)[shown]
    claimed = np.array(entry["claimed"], float)[shown]
    spread = 1.96 * np.sqrt(real * (1 - real) / count[shown])
    axis.errorbar(claimed, real, spread, fmt="o-", color=COLOURS["ours"], capsize=3)
    for x, y, n in zip(claimed, real, count[shown], strict=True):
        axis.annotate(f"{int(n)}", (x, y), xytext=(6, -12), textcoords="offset points", fontsize=7)
    axis.set_xlabel("existence probability the tracker claims")
    axis.set_ylabel("share of tracks on a real object")
    axis.set_title("reliability (numbers: track-seconds)", loc="left", fontsize=10)
    axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(out / "tracker_reliability.png", dpi=110)
    plt.close(figure)


def range_picture(calibration: dict[str, dict[str, list[list[float]]]], out: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.2), sharey=True)
    for axis, own, title in (
        (axes[0], "dogleg", "own-ship turns at 60 s and 120 s"),
        (axes[1], "straight", "own-ship keeps straight on"),
    ):
        t, truth, estimate, sigma = np.array(calibration[own]["example"]).T
        axis.fill_between(
            t,
            np.maximum(estimate - 2 * sigma, 0.0),
            estimate + 2 * sigma,
            color=COLOURS["ours"],
            alpha=0.2,
            label="claimed range, 2 sigma",
        )
        axis.plot(t, estimate, color=COLOURS["ours"], label="claimed range")
        axis.plot(t, truth, color="black", linewidth=1.2, label="true range")
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_xlabel("seconds")
        axis.grid(alpha=0.3)
        axis.set_ylim(0, 12000)
    axes[0].set_ylabel("range of one emitter, m")
    axes[0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(out / "tracker_range.png", dpi=110)
    plt.close(figure)


def existence_picture(out: Path) -> None:
    sky = skies.skies()["low_pd"]
    recording = skies.record(sky, 3)
    detections = [detection_of_record(record) for record in recording.detections]
    entries: dict[tuple[float, str, float], float] = {}
    chosen = ""
    for _, tracker in pictures(detections):
        views = [v for v in tracker.tracks() if v.state is not TrackState.TENTATIVE]
        if not chosen and tracker.state.time > 20.0 and views:
            chosen = min(views, key=lambda v: v.first_seen).id
        if chosen:
            for view in views:
                if view.id == chosen:
                    for entry in tracker.ledger(chosen):
                        entries[entry.time, entry.kind, entry.delta_log_odds] = entry.log_odds_after
    rows = sorted((t, kind, after) for (t, kind, _), after in entries.items())
    figure, axis = plt.subplots(figsize=(10, 3.6))
    t = [row[0] for row in rows]
    p = [1.0 / (1.0 + np.exp(-row[2])) for row in rows]
    axis.step(t, p, where="post", color="#999999", linewidth=1)
    for kind, colour in (("born", "#555555"), ("hit", "#2a9d8f"), ("miss", "#d1495b")):
        axis.plot(
            [row[0] for row in rows if row[1] == kind],
            [1.0 / (1.0 + np.exp(-row[2])) for row in rows if row[1] == kind],
            "o",
            markersize=4,
            color=colour,
            label=kind,
        )
    axis.axhline(0.96, color="#1b6ca8", linestyle=":", label="confirm")
    axis.axhline(0.05, color="#555555", linestyle=":", label="delete")
    axis.set_xlim(0, 70)
    axis.set_xlabel("seconds")
    axis.set_ylabel("existence")
    axis.set_title("one track's ledger, radar that detects 55 % of the time", loc="left")
    axis.legend(frameon=False, ncols=5, loc="center right")
    figure.tight_layout()
    figure.savefig(out / "tracker_existence.png", dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=Path)
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.results:
        bars(json.loads(options.results.read_text("utf-8")), options.out)
    if options.calibration:
        calibration = json.loads(options.calibration.read_text("utf-8"))
        reliability_picture(calibration, options.out)
        range_picture(calibration, options.out)
    sky_picture(options.out)
    existence_picture(options.out)


if __name__ == "__main__":
    main()
