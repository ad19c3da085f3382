# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures that verdicts rest on, kept in a folder of bounded size, and boxes drawn on pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thebox_core.snapshots import SNAPSHOT_NAME
from thebox_vision.detector import Box, Image

__all__ = ["Snapshots", "drawn"]

_COLOURS = {
    "drone": (60, 60, 255),
    "bird": (80, 220, 80),
    "airplane": (255, 170, 60),
    "helicopter": (60, 220, 255),
}


def drawn(image: NDArray[Any], boxes: Sequence[tuple[Box, str]]) -> Image:
    """A copy of an 8-bit BGR picture with boxes and a text at each."""
    out = np.array(image, dtype=np.uint8)
    for box, text in boxes:
        colour = _COLOURS.get(box.label, (230, 230, 230))
        corner, other = (
            (int(box.left) - 2, int(box.top) - 2),
            (int(box.right) + 2, int(box.bottom) + 2),
        )
        cv2.rectangle(out, corner, other, colour, 1, cv2.LINE_AA)
        at = (max(corner[0], 0), corner[1] - 4 if corner[1] > 16 else other[1] + 14)
        cv2.putText(out, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(out, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
    return out


class Snapshots:
    """JPEG files named ``<track's UUID>_<milliseconds>.jpg``; the oldest go first.

    Args:
        folder: made when it is first written to.
        keep: files kept at most.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def store(self, track: str, time: float, image: Image, box: Box, text: str) -> str:
        """Keep the surroundings of a box; returns the file's name.

        Raises:
            OSError: the folder cannot be written to.
        """
        height, width = image.shape[:2]
        x, y = box.centre
        half = max(*box.size, 40.0) * 2.0
        left, right = int(max(x - half * 1.33, 0)), int(min(x + half * 1.33, width))
        top, bottom = int(max(y - half, 0)), int(min(y + half, height))
        part = image[top:bottom, left:right]
        factor = min(480.0 / max(part.shape[1], 1), 4.0)
        part = np.asarray(cv2.resize(part, None, fx=factor, fy=factor), dtype=np.uint8)
        moved = Box(
            (box.left - left) * factor,
            (box.top - top) * factor,
            (box.right - left) * factor,
            (box.bottom - top) * factor,
            box.label,
            box.score,
        )
        good, coded = cv2.imencode(".jpg", drawn(part, [(moved, text)]))
        if not good:
            raise OSError("the snapshot cannot be encoded")
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{track}_{int(time * 1000.0)}.jpg"
        # Whole or not at all: the panel may read at any moment.
        fresh = self.folder / f".{name}"
        fresh.write_bytes(coded.tobytes())
        fresh.replace(self.folder / name)
        self._bound()
        return name

    def _bound(self) -> None:
        # Only files of ours: the folder is an operator's parameter and may hold others.
        kept = sorted(
            (p for p in self.folder.iterdir() if SNAPSHOT_NAME.fullmatch(p.name)),
            key=lambda p: int(p.stem.rsplit("_", 1)[1]),
        )
        for old in kept[: max(len(kept) - self.keep, 0)]:
            old.unlink(missing_ok=True)
