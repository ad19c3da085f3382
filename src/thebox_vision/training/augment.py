# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Training samples: crops around small objects, composites, backgrounds, weather and sensors.

Objects fill a few dozen pixels of a frame that is otherwise sky. Whole frames would spend nearly
all work on that sky, so a sample is a square crop in which objects keep about the pixels that they
have at inference. Thermal frames are half as large as visible ones and are enlarged twofold, as the
letterbox does at inference.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]  # (M, 5): class, x1, y1, x2, y2 in pixels


@dataclass
class Frame:
    """One labelled picture, held in memory."""

    name: str
    image: Image
    boxes: Boxes
    thermal: bool
    digest: str

    @property
    def clip(self) -> str:
        """The clip that the frame is from."""
        return self.name.rsplit("_", 1)[0]

    @property
    def enlarge(self) -> float:
        """The factor to inference size: the longer side becomes 640 pixels."""
        return 640.0 / max(self.image.shape[:2])


def load(folder: Path) -> list[Frame]:
    """All frames of `folder`/images with `folder`/labels (YOLO text), in name order."""
    frames = []
    for path in sorted((folder / "images").glob("*.jpg")):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError(f"{path} is not a picture that OpenCV reads")
        height, width = image.shape[:2]
        label = folder / "labels" / f"{path.stem}.txt"
        text = label.read_text() if label.exists() else ""
        rows = [[float(v) for v in line.split()] for line in text.splitlines() if line.strip()]
        boxes = np.zeros((len(rows), 5), np.float32)
        for i, (kind, x, y, w, h) in enumerate(rows):
            boxes[i] = (
                kind,
                (x - w / 2) * width,
                (y - h / 2) * height,
                (x + w / 2) * width,
                (y + h / 2) * height,
            )
        digest = hashlib.sha256(path.read_bytes() + text.encode()).hexdigest()
        frames.append(Frame(path.stem, image, boxes, path.stem.startswith("IR_"), digest))
    if not frames:
        raise ValueError(f"no pictures in {folder / 'images'}; is this the data set's folder?")
    return frames


class Sampler:
    """Draws augmented training samples (image BGR (S, S, 3), boxes (M, 5)) from labelled frames."""

    # How often an object-centred crop shows each class: drones are what this is about, and birds
    # what they must be told from; plain frequencies would follow how long each was filmed.
    CLASS_SHARE = (0.37, 0.31, 0.16, 0.16)
    # How often the object is one of the simulated camera's. Left to the number of clips it was a
    # quarter of all birds, and real birds were found less often for it.
    SIMULATED_SHARE = 0.08

    def __init__(self, frames: list[Frame], seed: int) -> None:
        self.frames = frames
        self.random = np.random.default_rng(seed)
        # Class -> clip -> objects, so that each clip counts the same however long it is.
        self.objects: list[dict[str, list[tuple[int, int]]]] = [{} for _ in self.CLASS_SHARE]
        for f, frame in enumerate(frames):
            for b, box in enumerate(frame.boxes):
                self.objects[int(box[0])].setdefault(frame.clip, []).append((f, b))
        names = [sorted(clips) for clips in self.objects]
        self.clips = [[c for c in clips if not c.startswith("S_")] for clips in names]
        self.simulated = [[c for c in clips if c.startswith("S_")] for clips in names]

    def draw(self, size: int, gentle: bool = False) -> tuple[Image, Boxes]:
        """One sample of `size` pixels; `gentle` leaves out composites (for the last part)."""
        rng = self.random
        if not gentle and rng.random() < 0.35:
            image, boxes = self._four(size)
        else:
            f, b = self._object()
            image, boxes = self._crop(size, f, b if rng.random() < 0.72 else -1)
            if not gentle and rng.random() < 0.35:
                image, boxes = self._paste(image, boxes, self.frames[f].thermal)
        return self._weather(image, gentle), boxes

    def _object(self) -> tuple[int, int]:
        rng = self.random
        kind = int(rng.choice(len(self.CLASS_SHARE), p=self.CLASS_SHARE))
        clips = self.clips[kind]
        if self.simulated[kind] and rng.random() < self.SIMULATED_SHARE:
            clips = self.simulated[kind]
        choices = self.objects[kind][clips[int(rng.integers(len(clips)))]]
        return choices[int(rng.integers(len(choices)))]

    def _crop(self, size: int, f: int, b: int) -> tuple[Image, Boxes]:
        """A crop of frame `f` around its object `b`, or anywhere with b = -1."""
        rng = self.random
        frame = self.frames[f]
        centred = b >= 0
        span = 0.0
        if centred:
            box = frame.boxes[b]
            span = float(max(box[3] - box[1], box[4] - box[2]))
        height, width = frame.image.shape[:2]
        zoom = frame.enlarge * float(np.clip(np.exp(rng.normal(-0.05, 0.38)), 0.4, 2.5))
        if span:  # The object must stay visible and must fit.
            zoom = float(np.clip(zoom, min(9.0 / span, 1.5 * frame.enlarge), 0.8 * size / span))
        reach = size / zoom / 2
        if centred:
            # Anywhere in the crop, not always in its middle.
            slack = max(reach - span / 2, 0) * 0.95
            x = float((box[1] + box[3]) / 2 + rng.uniform(-slack, slack))
            y = float((box[2] + box[4]) / 2 + rng.uniform(-slack, slack))
        else:
            x, y = float(rng.uniform(0, width)), float(rng.uniform(0, height))
        if rng.random() < 0.9:
            x = float(np.clip(x, min(reach, width / 2), max(width - reach, width / 2)))
            y = float(np.clip(y, min(reach, height / 2), max(height - reach, height / 2)))
        angle = np.radians(rng.normal(0, 6.0))
        flip = -1.0 if rng.random() < 0.5 else 1.0
        stretch = float(np.exp(rng.normal(0, 0.06)))
        a = zoom * np.array(
            [
                [flip * np.cos(angle) * stretch, -np.sin(angle)],
                [flip * np.sin(angle) * stretch, np.cos(angle)],
            ]
        )
        offset = np.array([size / 2, size / 2]) - a @ np.array([x, y])
        matrix = np.hstack([a, offset[:, None]])
        grey = 114.0 if rng.random() < 0.6 else float(frame.image[::16, ::16].mean())
        how = cv2.INTER_AREA if zoom < 0.7 else cv2.INTER_LINEAR
        image = cv2.warpAffine(
            frame.image, matrix, (size, size), flags=how, borderValue=(grey, grey, grey)
        )
        return np.asarray(image, np.uint8), _moved(frame.boxes, matrix, size)

    def _four(self, size: int) -> tuple[Image, Boxes]:
        """Four small crops side by side: more objects, and edges that are no objects."""
        rng = self.random
        out = np.empty((size, size, 3), np.uint8)
        x = int(rng.uniform(0.38, 0.62) * size)
        y = int(rng.uniform(0.38, 0.62) * size)
        kept = []
        for x1, y1, x2, y2 in ((0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)):
            side = max(x2 - x1, y2 - y1)
            f, b = self._object()
            tile, boxes = self._crop(side, f, b if rng.random() < 0.85 else -1)
            out[y1:y2, x1:x2] = tile[: y2 - y1, : x2 - x1]
            kept.append(_clipped(boxes, x2 - x1, y2 - y1) + np.array([0, x1, y1, x1, y1]))
        return out, np.concatenate(kept).astype(np.float32)

    def _paste(self, image: Image, boxes: Boxes, thermal: bool) -> tuple[Image, Boxes]:
        """Objects of other frames on this background.

        What is carried over is the object's difference to its own sky, faded out towards the edge,
        so that no rectangle of foreign sky betrays the paste.
        """
        rng = self.random
        size = image.shape[0]
        canvas = image.astype(np.float32)
        for _ in range(int(rng.integers(1, 4))):
            f, b = self._object()
            frame = self.frames[f]
            if frame.thermal != thermal:
                continue
            kind, x1, y1, x2, y2 = (float(v) for v in frame.boxes[b])
            margin = 0.35 * max(x2 - x1, y2 - y1) + 2
            left, top = int(max(x1 - margin, 0)), int(max(y1 - margin, 0))
            piece = frame.image[top : int(y2 + margin) + 1, left : int(x2 + margin) + 1]
            zoom = frame.enlarge * float(np.clip(np.exp(rng.normal(-0.25, 0.4)), 0.3, 1.8))
            w, h = int(piece.shape[1] * zoom), int(piece.shape[0] * zoom)
            ox1, oy1 = (x1 - left) * zoom, (y1 - top) * zoom
            ox2, oy2 = (x2 - left) * zoom, (y2 - top) * zoom
            if max(w, h) > 0.6 * size or max(ox2 - ox1, oy2 - oy1) < 8:
                continue
            patch = cv2.resize(
                piece, (w, h), interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
            ).astype(np.float32)
            rim = np.concatenate([patch[0], patch[-1], patch[:, 0], patch[:, -1]])
            if float(rim.std(0).max()) > 14:  # Trees behind it: the difference would carry them.
                continue
            difference = patch - np.median(rim, 0)
            # Full weight in the box, none at the rim of the piece.
            ys, xs = np.mgrid[0:h, 0:w].astype(np.float32)
            beyond = np.maximum(np.maximum(ox1 - xs, xs - ox2), np.maximum(oy1 - ys, ys - oy2))
            fade = np.clip(1 - beyond / max(margin * zoom * 0.8, 1), 0, 1)[..., None]
            if rng.random() < 0.5:
                difference, fade = difference[:, ::-1], fade[:, ::-1]
                ox1, ox2 = w - ox2, w - ox1
            x, y = int(rng.integers(0, size - w)), int(rng.integers(0, size - h))
            new = np.array([kind, x + ox1, y + oy1, x + ox2, y + oy2], np.float32)
            if len(boxes) and (_shared(new, boxes) > 0).any():
                continue
            ground = canvas[y : y + h, x : x + w]
            added = float(rng.uniform(0.55, 1.25)) * difference * fade
            seen = np.clip(ground + added, 0, 255) - ground
            # Onto sky only, and only what then shows: a label on nothing teaches nothing.
            if float(ground.std((0, 1)).max()) > 12 or float(np.abs(seen).max()) < 25:
                continue
            canvas[y : y + h, x : x + w] = ground + seen
            boxes = np.concatenate([boxes, new[None]])
        return np.clip(canvas, 0, 255).astype(np.uint8), boxes

    def _weather(self, image: Image, gentle: bool) -> Image:
        rng = self.random
        chance = 0.6 if gentle else 1.0
        x = image.astype(np.float32)
        if rng.random() < 0.18 * chance:
            x = np.repeat(x.mean(2, keepdims=True), 3, 2)
        elif rng.random() < 0.5 * chance:
            x *= np.exp(rng.normal(0, 0.10, 3)).astype(np.float32)  # White balance.
        if rng.random() < 0.10 * chance:
            x = 255 - x  # Black-hot for white-hot; also objects lit from the front.
        if rng.random() < 0.8 * chance:
            mean = float(x.mean())
            x = (x - mean) * float(np.exp(rng.normal(0, 0.25))) + mean + float(rng.normal(0, 22))
        if rng.random() < 0.3 * chance:
            x = 255 * np.power(np.clip(x, 0, 255) / 255, float(np.exp(rng.normal(0, 0.3))))
        if rng.random() < 0.15 * chance:  # Haze.
            share = float(rng.uniform(0.1, 0.45))
            x = x * (1 - share) + share * float(rng.uniform(120, 240))
        if rng.random() < 0.25 * chance:
            x = cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.4, 1.4)))
        elif rng.random() < 0.15 * chance:
            x = cv2.filter2D(x, -1, _streak(int(rng.integers(3, 9)), rng.uniform(0, np.pi)))
        if rng.random() < 0.4 * chance:
            noise = rng.standard_normal((*x.shape[:2], 1 if rng.random() < 0.5 else 3), np.float32)
            x = x + noise * float(rng.uniform(1, 9))
        out = np.clip(x, 0, 255).astype(np.uint8)
        if rng.random() < 0.25 * chance:
            _, code = cv2.imencode(
                ".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))]
            )
            out = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
        return out


def _streak(length: int, angle: float) -> NDArray[np.float32]:
    """A motion blur kernel."""
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    reach = np.array([np.cos(angle), np.sin(angle)]) * middle
    start, end = middle - reach, middle + reach
    cv2.line(
        kernel,
        tuple(np.round(start).astype(int).tolist()),
        tuple(np.round(end).astype(int).tolist()),
        1.0,
    )
    return np.asarray(kernel / kernel.sum(), np.float32)


def _moved(boxes: Boxes, matrix: NDArray[np.float64], size: int) -> Boxes:
    """Boxes under an affine map, cut to the crop; those mostly outside are left out."""
    if not len(boxes):
        return boxes
    # A box turned by a few degrees grows; the object does not, so its mid-points are turned.
    x1, y1, x2, y2 = boxes[:, 1:].T
    mx, my = (x1 + x2) / 2, (y1 + y2) / 2
    points = np.stack([np.stack(p) for p in ((x1, my), (x2, my), (mx, y1), (mx, y2))])  # 4, 2, M
    turned = np.einsum("ij,pjm->pim", matrix[:, :2], points) + matrix[:, 2][None, :, None]
    low, high = turned.min(0), turned.max(0)
    out = np.concatenate([boxes[:, :1].T, low, high]).T.astype(np.float32)
    return _clipped(out, size, size)


def _clipped(boxes: Boxes, width: int, height: int) -> Boxes:
    cut = boxes.copy()
    cut[:, 1::2] = np.clip(cut[:, 1::2], 0, width)
    cut[:, 2::2] = np.clip(cut[:, 2::2], 0, height)
    area = (boxes[:, 3] - boxes[:, 1]) * (boxes[:, 4] - boxes[:, 2])
    left = (cut[:, 3] - cut[:, 1]) * (cut[:, 4] - cut[:, 2])
    keep = (left > 0.35 * area) & (left > 20)
    return np.asarray(cut[keep], np.float32)


def _shared(one: Boxes, boxes: Boxes) -> NDArray[np.float32]:
    width = np.minimum(one[3], boxes[:, 3]) - np.maximum(one[1], boxes[:, 1])
    height = np.minimum(one[4], boxes[:, 4]) - np.maximum(one[2], boxes[:, 2])
    return np.asarray(np.clip(width, 0, None) * np.clip(height, 0, None), np.float32)
