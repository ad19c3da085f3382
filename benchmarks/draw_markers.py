# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Draws one MarkerArray of a running box from above, as rviz2 would show it, to a PNG.

    ./thebox run python benchmarks/draw_markers.py docs/pictures/markers.png

It takes the message itself from ``/thebox/markers``, so that what the markers node publishes can
be looked at on a machine without a screen. ``--after`` waits until that many tracks are drawn.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import rclpy
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from numpy.typing import NDArray
from rclpy.node import Node
from visualization_msgs.msg import Marker, MarkerArray

from thebox_core.qos import STATE

BACKGROUND, GRID, WORDS = "#181a1e", "#3a3e46", "#c8ccd4"


def rotation(marker: Marker) -> NDArray[np.float64]:
    """Rotation matrix (3, 3) of a marker's pose."""
    q = marker.pose.orientation
    x, y, z, w = q.x, q.y, q.z, q.w
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def corners(marker: Marker) -> NDArray[np.float64]:
    """Points (n, 2) of a marker in its frame, seen from above."""
    points = np.array([[p.x, p.y, p.z] for p in marker.points])
    at = marker.pose.position
    return (points @ rotation(marker).T + [at.x, at.y, at.z])[:, :2]


def draw(axes: Axes, marker: Marker) -> None:
    """Draw one marker from above."""
    colour = (marker.color.r, marker.color.g, marker.color.b)
    alpha = marker.color.a
    at = (marker.pose.position.x, marker.pose.position.y)
    if marker.type == Marker.TRIANGLE_LIST:
        triangles = corners(marker).reshape(-1, 3, 2)
        axes.add_collection(PolyCollection(triangles, facecolor=colour, alpha=alpha, lw=0))
    elif marker.type == Marker.SPHERE:
        # The shadow of the ellipsoid on the ground.
        half = 0.5 * np.array([marker.scale.x, marker.scale.y, marker.scale.z])
        spread = rotation(marker) @ np.diag(half**2) @ rotation(marker).T
        sizes, axis = np.linalg.eigh(spread[:2, :2])
        width, height = 2.0 * np.sqrt(np.maximum(sizes[::-1], 0.0))
        angle = np.degrees(np.arctan2(axis[1, 1], axis[0, 1]))
        axes.add_patch(Ellipse(at, width, height, angle=angle, color=colour, alpha=alpha))
    elif marker.type == Marker.ARROW:
        start, end = corners(marker)
        axes.annotate(
            "",
            end,
            start,
            arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.6, "mutation_scale": 12},
        )
    elif marker.type == Marker.TEXT_VIEW_FACING:
        axes.annotate(
            marker.text,
            at,
            xytext=(6, 6),
            textcoords="offset points",
            color=colour,
            fontsize=8,
            clip_on=True,
        )
    else:
        raise ValueError(f"a marker of type {marker.type} is not drawn here")


def picture(array: MarkerArray, path: Path) -> None:
    """Draw a whole array to a PNG."""
    markers = [marker for marker in array.markers if marker.action == Marker.ADD]
    figure = Figure(figsize=(11, 9), dpi=110, facecolor=BACKGROUND)
    axes = figure.add_subplot(facecolor=BACKGROUND)
    # Wide shapes first, words last.
    order = {Marker.TRIANGLE_LIST: 0, Marker.SPHERE: 1, Marker.ARROW: 2}
    for marker in sorted(markers, key=lambda m: (order.get(m.type, 3), -m.scale.x)):
        draw(axes, marker)
    axes.set_aspect("equal")
    axes.margins(0.12)
    axes.autoscale_view()
    axes.grid(color=GRID, lw=0.6)
    axes.tick_params(colors=WORDS)
    axes.set_xlabel("east of the datum, m", color=WORDS)
    axes.set_ylabel("north, m", color=WORDS)
    names = sorted({marker.ns for marker in markers})
    axes.set_title(
        f"/thebox/markers: {len(markers)} markers ({', '.join(names)})", color=WORDS, fontsize=9
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor=BACKGROUND, bbox_inches="tight")


def main() -> int:
    """Run the command line; 1 when no picture came."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="PNG to write")
    parser.add_argument("--topic", default="/thebox/markers")
    parser.add_argument("--after", type=int, default=1, help="wait for this many tracks")
    parser.add_argument("--timeout", type=float, default=60.0)
    options = parser.parse_args()
    mpl.use("Agg")
    rclpy.init()
    node = Node("draw_markers")
    found: list[MarkerArray] = []

    def on_markers(message: MarkerArray) -> None:
        tracks = [m for m in message.markers if m.ns == "track_text" and m.action == Marker.ADD]
        if len(tracks) >= options.after:
            found.append(message)

    node.create_subscription(MarkerArray, options.topic, on_markers, STATE)
    end = time.monotonic() + options.timeout
    while not found and time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.5)
    node.destroy_node()
    rclpy.try_shutdown()
    if not found:
        print(
            f"no such picture on {options.topic}: is the box up, in this domain?", file=sys.stderr
        )
        return 1
    picture(found[0], options.path)
    print(f"wrote {options.path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
