# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of the simulated camera as further training frames.

    ./thebox run python src/thebox_vision/training/simulated.py --out DIR [--clips 30] [--seed 11]

Writes DIR/images and DIR/labels as the real frames lie. A clip has one light, noise and blur, and
12 pictures with drones, birds and boats of 10 to 90 pixels; boats carry no label, so that they are
learned as background. Labels are as loose as those of the real frames, where a bird of five pixels
has a box of twenty-five: tight ones taught boxes that overlap too little with the real labels.
These frames make the detector know the simulator's world, so that the whole loop can be tried in
it. They say nothing of real footage and are never validated on.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import cv2
import numpy as np

from thebox_sim.sensors.trakka import CameraPose
from thebox_sim.video import Renderer
from thebox_sim.world import Visible

WIDTH, HEIGHT = 640, 512
# Sky on each side of an object that its label takes in, pixels.
MARGIN = 7.0
# Class number (none: background), hovers, span and height in metres, share.
KINDS = {
    "drone": (0, True, 0.35, 0.12, 0.42),
    "wing": (0, False, 1.2, 0.2, 0.06),
    "bird": (1, False, 1.2, 0.25, 0.40),
    "boat": (None, False, 12.0, 5.0, 0.12),
}


def picture(
    rng: np.random.Generator, renderer: Renderer, time: float
) -> tuple[np.ndarray, list[str]]:
    """One picture and its label lines (YOLO: class, centre x, y, width, height, relative)."""
    field = math.radians(float(np.exp(rng.uniform(math.log(0.6), math.log(12.0)))))
    focal = WIDTH / 2 / math.tan(field / 2)
    bearing, elevation = rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(-1.0, 40.0))
    pose = CameraPose(float(bearing), float(elevation), field)
    objects, classes, taken = [], {}, []
    for number in range(int(rng.integers(1, 5))):
        name = str(rng.choice(list(KINDS), p=[k[4] for k in KINDS.values()]))
        label, hovers, span, tall, _ = KINDS[name]
        span *= float(rng.uniform(0.8, 1.4))
        wide = float(np.exp(rng.uniform(math.log(10), math.log(90))))
        # Far enough apart that no object hides another.
        x, y = rng.uniform(0.08, 0.92) * WIDTH, rng.uniform(0.08, 0.92) * HEIGHT
        if any(math.hypot(x - a, y - b) < wide + c for a, b, c in taken):
            continue
        taken.append((x, y, wide))
        distance = span * focal / wide
        off, up = math.atan((x - WIDTH / 2) / focal), math.atan((HEIGHT / 2 - y) / focal)
        at, high = bearing + off / max(math.cos(elevation), 0.2), elevation + up
        level = distance * math.cos(high)
        place = (level * math.sin(at), level * math.cos(at), distance * math.sin(high))
        course = rng.uniform(0, 2 * math.pi)
        velocity = (8 * math.sin(course), 8 * math.cos(course), 0.0)
        kind = "drone" if name == "wing" else name
        item = Visible(
            f"{name}-{rng.integers(1000)}-{number}",
            kind,
            hovers,
            span,
            tall,
            tuple(map(float, place)),
            tuple(map(float, velocity)),
        )
        objects.append(item)
        classes[item.id] = label
    image, boxes = renderer.render(pose, (0.0, 0.0, 0.0), objects, time)
    lines = []
    for box in boxes:
        x1, x2 = max(box.left - MARGIN, 0.0), min(box.right + MARGIN, WIDTH)
        y1, y2 = max(box.top - MARGIN, 0.0), min(box.bottom + MARGIN, HEIGHT)
        label = classes[box.id]
        if label is None or x2 - x1 < 5 + 2 * MARGIN or y2 - y1 < 2 + 2 * MARGIN:
            continue
        lines.append(
            f"{label} {(x1 + x2) / 2 / WIDTH:.6f} {(y1 + y2) / 2 / HEIGHT:.6f}"
            f" {(x2 - x1) / WIDTH:.6f} {(y2 - y1) / HEIGHT:.6f}"
        )
    return image, lines


def main() -> None:
    """Write the frames; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--pictures", type=int, default=12, help="of a clip")
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    for part in ("images", "labels"):
        (args.out / part).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(args.seed)
    for clip in range(args.clips):
        renderer = Renderer(
            WIDTH, HEIGHT, noise=float(rng.uniform(1, 6)), blur=float(rng.uniform(0.4, 1.1))
        )
        for number in range(args.pictures):
            image, lines = picture(rng, renderer, float(rng.uniform(0, 100)))
            name = f"S_{clip:03d}_{number:03d}"
            cv2.imwrite(
                str(args.out / "images" / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 92]
            )
            (args.out / "labels" / f"{name}.txt").write_text("".join(f"{s}\n" for s in lines))


if __name__ == "__main__":
    main()
