# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""How well a model finds what flies: precision, recall, mAP by class, modality and size.

    python accuracy.py --data DIR/val [--model FILE] [--sheet OUT.jpg] [--json OUT.json]

Average precision as in COCO: 101 recall points, IoU 0.50 and 0.50:0.05:0.95. Precision and recall
at a score of --score. The frames are every 36th or 60th of a clip, so false alarms per minute is an
estimate: false alarms a frame times --rate looks a second times 60.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from thebox_vision.detector import Box, Detector, open_detector
from thebox_vision.snapshots import drawn

CLASSES = ("drone", "bird", "airplane", "helicopter")
SIZES = ((0.0, 16.0), (16.0, 32.0), (32.0, 1e9))


@dataclass
class Frame:
    name: str
    image: Any
    truth: list[Box]
    found: list[Box] = field(default_factory=list)

    @property
    def modality(self) -> str:
        return "thermal" if self.name.startswith("IR_") else "visible"


def load(folder: Path) -> list[Frame]:
    frames = []
    for path in sorted((folder / "images").glob("*.jpg")):
        image = cv2.imread(str(path))
        height, width = image.shape[:2]
        truth = []
        for line in (folder / "labels" / f"{path.stem}.txt").read_text().splitlines():
            if line.strip():
                k, x, y, w, h = (float(v) for v in line.split())
                corners = (
                    (x - w / 2) * width,
                    (y - h / 2) * height,
                    (x + w / 2) * width,
                    (y + h / 2) * height,
                )
                truth.append(Box(*corners, CLASSES[int(k)], 1.0))
        frames.append(Frame(path.stem, image, truth))
    return frames


def overlap(a: Box, b: Box) -> float:
    wide = min(a.right, b.right) - max(a.left, b.left)
    tall = min(a.bottom, b.bottom) - max(a.top, b.top)
    if wide <= 0 or tall <= 0:
        return 0.0
    areas = a.size[0] * a.size[1] + b.size[0] * b.size[1]
    return wide * tall / (areas - wide * tall)


def size_of(box: Box) -> float:
    return float(np.sqrt(box.size[0] * box.size[1]))


def average_precision(
    frames: list[Frame], kind: str, iou: float, size: tuple[float, float] = (0.0, 1e9)
) -> float:
    """COCO's: truth outside the size range is ignored, and what is matched to it too."""
    rows: list[tuple[float, bool]] = []
    total = 0
    for frame in frames:
        truth = [t for t in frame.truth if t.label == kind]
        counts = [size[0] <= size_of(t) < size[1] for t in truth]
        total += sum(counts)
        used = [False] * len(truth)
        for box in sorted((b for b in frame.found if b.label == kind), key=lambda b: -b.score):
            shares = [(overlap(box, t), i) for i, t in enumerate(truth) if not used[i]]
            best, index = max(shares, default=(0.0, -1))
            if best >= iou:
                used[index] = True
                if counts[index]:
                    rows.append((box.score, True))
            elif size[0] <= size_of(box) < size[1]:
                rows.append((box.score, False))
    if not total:
        return float("nan")
    rows.sort(key=lambda r: -r[0])
    hits = np.cumsum([hit for _, hit in rows]) if rows else np.zeros(0)
    recall = hits / total
    precision = hits / np.arange(1, len(rows) + 1)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    at = np.searchsorted(recall, np.linspace(0, 1, 101))
    return float(np.mean([precision[i] if i < len(precision) else 0.0 for i in at]))


def precision_recall(frames: list[Frame], kind: str, score: float) -> tuple[float, float, int]:
    hits = false = total = 0
    for frame in frames:
        truth = [t for t in frame.truth if t.label == kind]
        total += len(truth)
        free = list(truth)
        for box in sorted(frame.found, key=lambda b: -b.score):
            if box.label != kind or box.score < score:
                continue
            match = max(free, key=lambda t: overlap(box, t), default=None)
            if match is not None and overlap(box, match) >= 0.5:
                free.remove(match)
                hits += 1
            else:
                false += 1
    return hits / max(hits + false, 1), hits / max(total, 1), total


def found_any(frames: list[Frame], kind: str, score: float) -> float:
    """Share of the objects of a class that were found, whatever they were called (IoU 0.5)."""
    truth = [(f, t) for f in frames for t in f.truth if t.label == kind]
    seen = sum(any(b.score >= score and overlap(b, t) >= 0.5 for b in f.found) for f, t in truth)
    return seen / max(len(truth), 1)


def report(frames: list[Frame], score: float, rate: float) -> dict[str, Any]:
    out: dict[str, Any] = {"frames": len(frames), "score": score, "rows": []}
    steps = np.arange(0.5, 1.0, 0.05)

    def row(
        name: str, chosen: list[Frame], kind: str, size: tuple[float, float] = (0.0, 1e9)
    ) -> None:
        p, r, n = precision_recall(chosen, kind, score)
        ap = [average_precision(chosen, kind, float(i), size) for i in steps]
        if not np.isnan(ap[0]):
            full = size == (0.0, 1e9)
            out["rows"].append(
                {
                    "subset": name,
                    "class": kind,
                    "objects": n if full else None,
                    "precision": p if full else None,
                    "recall": r if full else None,
                    "found": found_any(chosen, kind, score) if full else None,
                    "ap50": ap[0],
                    "ap50_95": float(np.mean(ap)),
                }
            )

    by = {"all": frames}
    for name in ("visible", "thermal"):
        by[name] = [f for f in frames if f.modality == name]
    for name, chosen in by.items():
        for kind in CLASSES:
            row(name, chosen, kind)
        mine = [r for r in out["rows"] if r["subset"] == name]
        out[f"map50 {name}"] = float(np.mean([r["ap50"] for r in mine]))
        out[f"map50_95 {name}"] = float(np.mean([r["ap50_95"] for r in mine]))
    for low, high in SIZES:
        for kind in CLASSES:
            row(
                f"{low:g}-{high:g} px" if high < 1e8 else f"over {low:g} px",
                frames,
                kind,
                (low, high),
            )
    birds = [f for f in frames if "BIRD" in f.name]
    for least in (score, 0.35, 0.4):
        alarms = sum(b.label == "drone" and b.score >= least for f in birds for b in f.found)
        out[f"drone alarms on birds, score {least:g}"] = alarms
        out[f"per minute at {rate:g} looks/s, score {least:g}"] = (
            alarms / max(len(birds), 1) * rate * 60
        )
    out["bird frames"] = len(birds)
    return out


def sheet(frames: list[Frame], score: float, target: Path) -> None:
    """Hits, misses, wrong names and false alarms, side by side."""
    groups: dict[str, list[Any]] = defaultdict(list)

    def tile(frame: Frame, at: Box, text: str) -> Any:
        zoom = 640 / max(frame.image.shape[:2])
        image = cv2.resize(frame.image, None, fx=zoom, fy=zoom)
        boxes = [
            (
                Box(b.left * zoom, b.top * zoom, b.right * zoom, b.bottom * zoom, b.label, b.score),
                f"{b.label} {b.score:.2f}",
            )
            for b in frame.found
            if b.score >= score
        ]
        image = drawn(image, boxes)
        x, y = (int(v * zoom) for v in at.centre)
        x, y = min(max(x, 100), image.shape[1] - 100), min(max(y, 80), image.shape[0] - 80)
        part = image[y - 80 : y + 80, x - 100 : x + 100].copy()
        cv2.putText(
            part, text, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (255, 255, 255), 1, cv2.LINE_AA
        )
        return part

    for f in frames:
        good = [b for b in f.found if b.score >= score]
        for t in f.truth:
            near = [b for b in good if overlap(b, t) >= 0.5]
            if not near:
                groups["missed"].append(tile(f, t, f"missed {t.label}"))
            elif near[0].label == t.label:
                groups["hit"].append(tile(f, t, f"hit {t.label}"))
            else:
                groups["wrong name"].append(tile(f, t, f"is {t.label}"))
        for b in good:
            if all(overlap(b, t) < 0.1 for t in f.truth):
                groups["false alarm"].append(tile(f, b, "nothing there"))
    rng = np.random.default_rng(3)
    rows = []
    for name in ("hit", "hit", "missed", "wrong name", "false alarm"):
        tiles = groups[name]
        picked = [tiles[i] for i in rng.permutation(len(tiles))[:7]]
        picked += [np.full((160, 200, 3), 40, np.uint8)] * (7 - len(picked))
        rows.append(np.hstack(picked))
    cv2.imwrite(str(target), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])
    print({k: len(v) for k, v in groups.items()})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="")
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--score", type=float, default=0.25)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    detector: Detector = open_detector(args.model, size=args.size, threshold=0.01, threads=1)
    frames = load(args.data)
    for frame in frames:
        frame.found = detector.detect(frame.image)
    out = report(frames, args.score, args.rate)
    for row in out["rows"]:
        print(
            "  ".join(
                f"{'-' if v is None else f'{v:.3f}' if isinstance(v, float) else v!s:>10}"
                for v in row.values()
            )
        )
    print(json.dumps({k: v for k, v in out.items() if k != "rows"}, indent=1))
    if args.json:
        args.json.write_text(json.dumps(out, indent=1))
    if args.sheet:
        sheet(frames, args.score, args.sheet)


if __name__ == "__main__":
    main()
