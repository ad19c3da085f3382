# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The detector's own parts, and the shipped model on what the simulated camera draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from thebox_vision.detector import (  # noqa: E402
    Detector,
    ModelError,
    merge,
    open_detector,
    shipped_model,
    suppress,
    tiles,
    to_bgr8,
)


class Marks(Detector):
    """Finds pure red: a network whose output is known, to test everything around it."""

    labels = ("mark",)

    def _infer(self, batch: Any) -> list[Any]:
        out = []
        for image in batch:
            red = (image[..., 2] > 200) & (image[..., 0] < 60)
            ys, xs = np.nonzero(red)
            column = np.zeros((5, 1), np.float32)
            if len(xs):
                x1, y1, x2, y2 = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
                column[:, 0] = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, 0.9
            out.append(column)
        return out


@pytest.mark.parametrize("shape", [(512, 640), (256, 320), (1080, 1920), (100, 333)])
def test_boxes_come_back_in_the_pictures_own_pixels(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 90, np.uint8)
    image[40:72, 60:108] = (0, 0, 255)
    (box,) = Marks(size=640).detect(image)
    scale = max(shape) / 640
    got = (box.left, box.top, box.right, box.bottom)
    assert got == pytest.approx((60, 40, 108, 72), abs=2.0 * max(scale, 1.0))
    assert box.label == "mark"


def test_tiles_and_regions_find_the_same_once() -> None:
    image = np.full((900, 1400, 3), 90, np.uint8)
    image[500:520, 700:730] = (0, 0, 255)
    parts = tiles(1400, 900, 512, 0.2)
    covered = np.zeros((900, 1400), bool)
    for left, top, right, bottom in parts:
        covered[top:bottom, left:right] = True
    assert covered.all()
    (box,) = Marks(size=512, batch=4).detect(image, [(0, 0, 1400, 900), *parts])
    assert box.centre == pytest.approx((715, 510), abs=3)
    with pytest.raises(ValueError, match="not inside"):
        Marks().detect(image, [(0, 0, 1401, 900)])


def test_suppression_keeps_the_best_of_each() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60], [2, 2, 5, 5]], np.float32)
    scores = np.array([0.5, 0.9, 0.3, 0.8], np.float32)
    assert suppress(boxes, scores, 0.5).tolist() == [1, 2]
    assert suppress(boxes[:0], scores[:0], 0.5).tolist() == []


def test_what_many_cells_saw_is_one_box_in_their_middle() -> None:
    boxes = np.array(
        [[10, 10, 30, 30], [12, 10, 32, 30], [8, 10, 28, 30], [60, 60, 70, 70]], np.float32
    )
    scores = np.array([0.8, 0.4, 0.4, 0.5], np.float32)
    kept = suppress(boxes, scores, 0.5)
    assert kept.tolist() == [0, 3]
    merged, seen_by = merge(boxes, scores, kept)
    assert seen_by == pytest.approx([2.0, 1.0])
    assert merged[0] == pytest.approx([10, 10, 30, 30])
    assert merged[1] == pytest.approx([60, 60, 70, 70])
    # The better one weighs more.
    two, _ = merge(boxes[:2], scores[:2], np.array([0]))
    assert two[0, 0] == pytest.approx((10 * 0.8 + 12 * 0.4) / 1.2)
    none, _ = merge(boxes[:0], scores[:0], np.zeros(0, np.int64))
    assert none.shape == (0, 4)


class Doubt(Detector):
    """One object that two classes are given for, and a cell beside it."""

    labels = ("drone", "bird")

    def _infer(self, batch: Any) -> list[Any]:
        column = np.array([[50, 52], [50, 50], [20, 20], [20, 20], [0.6, 0.3], [0.5, 0.1]])
        return [column.astype(np.float32) for _ in batch]


def test_one_box_an_object_or_one_a_class() -> None:
    image = np.zeros((96, 96, 3), np.uint8)
    one = Doubt(size=96, threshold=0.2, single=True).detect(image)
    assert [(box.label, round(box.score, 3)) for box in one] == [("drone", 0.6)]
    both = Doubt(size=96, threshold=0.2).detect(image)
    assert [(box.label, round(box.score, 3)) for box in both] == [("drone", 0.6), ("bird", 0.5)]
    # The bird's box is of the only cell that has it above the threshold.
    assert both[1].centre == pytest.approx((50, 50))
    assert both[0].centre[0] == pytest.approx((50 * 0.6 + 52 * 0.3) / 0.9)


def test_what_few_cells_see_is_scored_lower() -> None:
    image = np.zeros((96, 96, 3), np.uint8)
    doubt = Doubt(size=96, threshold=0.2, single=True)
    doubt.support = 8.0
    (box,) = doubt.detect(image)
    # The best cell, and one of half its score.
    assert box.score == pytest.approx(0.6 * (1.5 / 8.0) ** 0.5)
    doubt.support = 1.0
    (box,) = doubt.detect(image)
    assert box.score == pytest.approx(0.6)
    doubt.support, doubt.threshold = 8.0, 0.3
    assert doubt.detect(image) == []


def test_a_box_is_no_smaller_than_the_model_ever_learned() -> None:
    image = np.zeros((192, 192, 3), np.uint8)
    found = Doubt(size=192, threshold=0.2, single=True)
    found.least_box = (26.0, 12.0)
    (box,) = found.detect(image)
    assert box.size == pytest.approx((26.0, 20.0), abs=0.01)
    assert not box.sized
    found.least_box = (8.0, 8.0)
    (box,) = found.detect(image)
    assert box.sized
    # In the network's pixels: a picture twice as large has boxes twice as large.
    found.least_box = (26.0, 26.0)
    (box,) = found.detect(np.zeros((384, 384, 3), np.uint8))
    assert box.size == pytest.approx((52.0, 52.0), abs=0.01)


def test_pictures_of_every_kind_become_bgr() -> None:
    deep = np.linspace(20_000, 21_000, 64 * 64).reshape(64, 64).astype(np.uint16)
    out = to_bgr8(deep)
    assert out.shape == (64, 64, 3)
    assert out.min() < 5
    assert out.max() > 250
    assert to_bgr8(np.zeros((8, 8, 4), np.uint8)).shape == (8, 8, 3)
    assert to_bgr8(np.zeros((8, 8, 1), np.uint8)).shape == (8, 8, 3)
    for bad in (np.zeros((8, 8, 2), np.uint8), np.zeros(8, np.uint8), np.zeros((1, 1), np.uint8)):
        with pytest.raises(ValueError, match=r"picture|channels"):
            to_bgr8(bad)


def test_a_missing_or_wrong_model_says_what_to_do(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(ModelError, match=r"model\.path"):
        open_detector(str(tmp_path / "none.onnx"))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(ModelError, match="no ONNX model"):
        open_detector(str(broken))
    (tmp_path / "model.txt").write_text("")
    with pytest.raises(ModelError, match=r"neither \.onnx"):
        open_detector(str(tmp_path / "model.txt"))
    with pytest.raises(ModelError, match="provider"):
        open_detector(provider="abacus")
    with pytest.raises(ModelError, match=r"ultralytics|load"):
        weights = tmp_path / "model.pt"
        weights.write_bytes(b"not a model")
        open_detector(str(weights))


def test_the_shipped_model_takes_any_size_and_is_the_same_in_a_batch() -> None:
    pytest.importorskip("onnxruntime")
    assert shipped_model().stat().st_size < 12e6
    detector = open_detector(size=320, threads=1, threshold=0.05)
    assert detector.labels == ("drone", "bird", "airplane", "helicopter")
    assert detector.least_box == (26.0, 22.0)
    assert detector.support == 8.0
    detector.warm_up()
    rng = np.random.default_rng(1)
    image = np.clip(170 + rng.normal(0, 3, (256, 320, 3)), 0, 255).astype(np.uint8)
    cv2.ellipse(image, (160, 120), (14, 4), 8, 0, 360, (40, 40, 40), -1)
    parts = [(0, 0, 320, 256), (96, 56, 224, 184), (0, 0, 128, 128)]
    alone = detector.detect(image, parts)
    detector.batch = 3
    together = detector.detect(image, parts)
    assert len(alone) == len(together)
    for one, other in zip(alone, together, strict=True):
        assert one.label == other.label
        assert one.score == pytest.approx(other.score, abs=0.15)
    with pytest.raises(ValueError, match="picture"):
        detector.detect(np.zeros(4, np.uint8))


def test_ultralytics_and_onnx_runtime_find_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same network under both; only where someone has installed ultralytics (AGPL-3.0)."""
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path / "settings"))
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    monkeypatch.chdir(tmp_path)
    ultralytics = pytest.importorskip("ultralytics")
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    torch.manual_seed(1)
    model = ultralytics.YOLO("yolov8n.yaml")
    # Untrained it sees nothing: normalised to what it meets, scores of a wide spread come out.
    network = model.model.train()
    with torch.no_grad():
        for _ in range(40):
            network(torch.rand(2, 3, 160, 160))
    for branch in network.eval().model[-1].cv3:
        branch[-1].weight.data.normal_(0.0, 3.0)
        branch[-1].bias.data.fill_(-4.0)
    weights = tmp_path / "model.pt"
    model.save(str(weights))
    exported = model.export(format="onnx", imgsz=320, dynamic=True, opset=17, simplify=False)
    options: dict[str, Any] = {"size": 320, "threshold": 0.5, "threads": 1, "single": True}
    one = open_detector(str(weights), **options)
    other = open_detector(str(Path(exported).resolve()), **options)
    assert one.labels == other.labels
    assert "ultralytics" in one.backend
    rng = np.random.default_rng(2)
    found = 0
    for height, width in ((256, 320), (360, 640), (512, 640)):
        image = cv2.resize(rng.integers(0, 255, (9, 16, 3)).astype(np.uint8), (width, height))
        mine, theirs = one.detect(image), other.detect(image)
        found += len(mine)
        assert [box.label for box in mine] == [box.label for box in theirs]
        for a, b in zip(mine, theirs, strict=True):
            assert (a.left, a.top, a.right, a.bottom) == pytest.approx(
                (b.left, b.top, b.right, b.bottom), abs=0.5
            )
            assert a.score == pytest.approx(b.score, abs=0.002)
    assert found >= 3
