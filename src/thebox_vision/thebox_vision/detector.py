# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Detectors behind one interface: image in, boxes with class and score out, in its own pixels.

The letterbox, the reading of the network's output and the suppression of doubles are here, in
numpy, and the same for every back end, so that a change of back end changes the speed only.
"""

from __future__ import annotations

import ast
import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Box",
    "Detector",
    "ModelError",
    "OnnxDetector",
    "Region",
    "UltralyticsDetector",
    "merge",
    "open_detector",
    "shipped_model",
    "suppress",
    "tiles",
    "to_bgr8",
]

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
#: Left, top, right, bottom in pixels.
Region = tuple[int, int, int, int]

_GREY = 114
_STRIDE = 32
_LARGEST_SIDE = 4096
_FAINT = 0.02


class ModelError(RuntimeError):
    """A model that cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class Box:
    """One object in a picture: pixels of the picture (not rounded), class and score in [0, 1].

    ``sized``: the box says how large the object is. That of a very small one is mostly sky.
    """

    left: float
    top: float
    right: float
    bottom: float
    label: str
    score: float
    sized: bool = True

    @property
    def centre(self) -> tuple[float, float]:
        """x, y of the middle, pixels."""
        return (self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0

    @property
    def size(self) -> tuple[float, float]:
        """Width and height, pixels."""
        return self.right - self.left, self.bottom - self.top


def shipped_model() -> Path:
    """The model that comes with the package."""
    return Path(__file__).parent / "models" / "thebox-nano.onnx"


def tiles(width: int, height: int, side: int, overlap: float) -> list[Region]:
    """Squares of ``side`` pixels that cover a picture, neighbours overlapping by that share."""
    step = max(round(side * (1.0 - overlap)), 1)

    def starts(length: int) -> list[int]:
        if length <= side:
            return [0]
        count = math.ceil((length - side) / step) + 1
        return [round(i * (length - side) / (count - 1)) for i in range(count)]

    return [
        (x, y, min(x + side, width), min(y + side, height))
        for y in starts(height)
        for x in starts(width)
    ]


def suppress(boxes: Floats, scores: Floats, threshold: float) -> NDArray[np.int64]:
    """Indices of the boxes (M, 4) to keep, best first: greedy non-maximum suppression.

    A box goes when its intersection over union with a better one is above ``threshold``, or when
    nine tenths of it lie inside a better one (the half of an object that a tile's edge cut).
    """
    order = np.argsort(-scores, kind="stable")
    area = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None), axis=1)
    kept: list[int] = []
    while len(order):
        best = int(order[0])
        kept.append(best)
        rest = order[1:]
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.prod(np.clip(high - low, 0.0, None), axis=1)
        union = area[best] + area[rest] - shared
        gone = shared > threshold * np.maximum(union, 1e-9)
        gone |= shared > 0.9 * np.maximum(area[rest], 1e-9)
        order = rest[~gone]
    return np.asarray(kept, dtype=np.int64)


def merge(
    boxes: Floats, scores: Floats, kept: NDArray[np.int64], threshold: float = 0.5
) -> tuple[Floats, Floats]:
    """The kept boxes, each the mean of those that it stands for, weighted by their scores.

    Many cells see the same object and each is a little off: their mean is nearer than the best one
    (Solovyev et al., "Weighted boxes fusion", 2021).

    Args:
        boxes: (M, 4), all that were found.
        scores: (M,).
        kept: indices (K,) of those that suppression left.
        threshold: a box belongs to a kept one above this intersection over union.

    Returns:
        The boxes (K, 4), and how many cells saw each (K,), each counted by its score over the best.
    """
    area = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None), axis=1)
    out, seen_by = boxes[kept].copy(), np.ones(len(kept), np.float32)
    for row, index in enumerate(kept):
        low = np.maximum(boxes[index, :2], boxes[:, :2])
        high = np.minimum(boxes[index, 2:], boxes[:, 2:])
        shared = np.prod(np.clip(high - low, 0.0, None), axis=1)
        mine = shared > threshold * np.maximum(area[index] + area - shared, 1e-9)
        weights = scores[mine]
        if len(weights) > 1:
            out[row] = (boxes[mine] * weights[:, None]).sum(axis=0) / weights.sum()
            seen_by[row] = weights.sum() / scores[index]
    return out, seen_by


def to_bgr8(image: NDArray[Any]) -> Image:
    """Any picture that a camera sends, as 8-bit BGR.

    Raises:
        ValueError: the array is no picture.
    """
    if image.ndim not in (2, 3) or min(image.shape[:2]) < 2:
        raise ValueError(f"an array of shape {image.shape} is no picture")
    if image.dtype != np.uint8:
        # 16 bits, thermal: few of the steps are in use, so the range that is becomes the 8 bits.
        low, high = (float(v) for v in np.percentile(image[::4, ::4], (0.5, 99.8)))
        image = np.clip((image.astype(np.float32) - low) * (255.0 / max(high - low, 1e-6)), 0, 255)
        image = image.astype(np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    if image.shape[2] == 4:
        return np.ascontiguousarray(image[:, :, :3])
    if image.shape[2] != 3:
        raise ValueError(f"a picture of {image.shape[2]} channels cannot be read")
    return np.ascontiguousarray(image)


@dataclass(frozen=True)
class _Frame:
    """How a part of a picture was put into the network's input."""

    scale: float
    pad_x: float
    pad_y: float
    left: int
    top: int


class Detector(ABC):
    """Finds objects in pictures.

    Args:
        size: the longer side of a picture (or of a tile) at the network's input, pixels; rounded
            up to a multiple of 32.
        threshold: boxes below this score are left out.
        suppression: intersection over union above which the lesser of two boxes goes.
        single: one box an object, of its likeliest class. Else boxes of several classes may lie on
            one another, as measures of detectors (mAP) expect them.
        batch: parts of a picture that go through the network together.
    """

    labels: tuple[str, ...] = ()
    #: What runs the model, for diagnostics.
    backend = ""
    #: Width and height that a box has at least, pixels of the network's input. A model that learned
    #: from labels which take in some sky about a small object is held to what it learned.
    least_box = (0.0, 0.0)
    #: Cells that see an object of this size, where it is one. What fewer see is scored lower, by
    #: the root of the share; 0: scores stay as the network has them.
    support = 0.0

    def __init__(
        self,
        size: int = 640,
        threshold: float = 0.25,
        suppression: float = 0.45,
        batch: int = 1,
        *,
        single: bool = False,
    ) -> None:
        if not _STRIDE <= size <= _LARGEST_SIDE:
            raise ValueError(f"an input size of {size}, use {_STRIDE} to {_LARGEST_SIDE}")
        self.size = math.ceil(size / _STRIDE) * _STRIDE
        self.threshold = threshold
        self.suppression = suppression
        self.single = single
        self.batch = max(batch, 1)

    def detect(self, image: NDArray[Any], regions: Sequence[Region] = ()) -> list[Box]:
        """Find objects.

        Args:
            image: (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA, 8 or 16 bits.
            regions: parts to look at (tiles, or the surroundings of a prediction); none: the whole
                picture, as one. A part smaller than the input is enlarged, at most fourfold.

        Returns:
            the boxes, best first, in pixels of ``image``.

        Raises:
            ValueError: the array is no picture, or a region lies outside.
            ModelError: the model failed.
        """
        picture = to_bgr8(image)
        height, width = picture.shape[:2]
        wanted = list(regions) or [(0, 0, width, height)]
        boxes: list[Floats] = []
        scores: list[Floats] = []
        sizes: list[Floats] = []
        for first in range(0, len(wanted), self.batch):
            part = wanted[first : first + self.batch]
            inputs, frames = zip(*(self._letterbox(picture, r) for r in part), strict=True)
            # One batch needs one size: the largest, the others padded.
            rows = max(i.shape[0] for i in inputs)
            columns = max(i.shape[1] for i in inputs)
            stack = np.full((len(part), rows, columns, 3), _GREY, dtype=np.uint8)
            for i, one in enumerate(inputs):
                stack[i, : one.shape[0], : one.shape[1]] = one
            for output, frame in zip(self._infer(stack), frames, strict=True):
                found, score = self._read(output)
                size = (found[:, 2:] - found[:, :2]).max(axis=1, initial=0.0)
                sizes.append(np.asarray(size, dtype=np.float32))
                found[:, 0::2] = (found[:, 0::2] - frame.pad_x) / frame.scale + frame.left
                found[:, 1::2] = (found[:, 1::2] - frame.pad_y) / frame.scale + frame.top
                boxes.append(found)
                scores.append(score)
        all_boxes, all_scores = np.concatenate(boxes), np.concatenate(scores)
        all_boxes[:, 0::2] = np.clip(all_boxes[:, 0::2], 0.0, width)
        all_boxes[:, 1::2] = np.clip(all_boxes[:, 1::2], 0.0, height)
        sized = np.concatenate(sizes) > 2.0 * max(self.least_box)
        chosen = self._chosen(all_boxes, all_scores, sized)
        return sorted(chosen, key=lambda box: -box.score)

    def _chosen(self, boxes: Floats, scores: Floats, sized: NDArray[np.bool_]) -> Iterator[Box]:
        """The boxes (M, 4) that are left of all; scores (M, classes), sized (M,) as in `Box`."""
        groups: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        if self.single:
            # Over the classes: one object is one thing, whichever of two classes scores higher.
            everything = np.arange(len(boxes))
            groups.append((everything, scores.max(axis=1), scores.argmax(axis=1)))
        else:
            for kind in range(scores.shape[1]):
                of_kind = np.flatnonzero(scores[:, kind] > self._faintest)
                same = np.full(len(of_kind), kind)
                groups.append((of_kind, scores[of_kind, kind], same))
        for members, score, kinds in groups:
            kept = suppress(boxes[members], score, self.suppression)
            kept = kept[score[kept] > self.threshold]
            merged, seen_by = merge(boxes[members], score, kept)
            final = score[kept]
            if self.support:
                final = final * np.sqrt(np.minimum(seen_by / self.support, 1.0))
            for corners, index, value in zip(merged, kept, final, strict=True):
                if value > self.threshold and corners[2] > corners[0] and corners[3] > corners[1]:
                    label, says = self._label(int(kinds[index])), bool(sized[members[index]])
                    yield _box(corners, label, float(value), says)

    def warm_up(self) -> None:
        """Run once on a grey picture: the first run of a session is slow.

        Raises:
            ModelError: the model failed.
        """
        self.detect(np.full((self.size * 3 // 4, self.size, 3), _GREY, dtype=np.uint8))

    @abstractmethod
    def _infer(self, batch: Image) -> list[Floats]:
        """Run (N, H, W, 3) BGR through the network; per picture (4 + classes, A) as it comes."""

    @property
    def _faintest(self) -> float:
        """Score from which on a cell counts as having seen something."""
        return min(self.threshold, _FAINT) if self.support else self.threshold

    def _label(self, kind: int) -> str:
        return self.labels[kind] if kind < len(self.labels) else f"class {kind}"

    def _letterbox(self, picture: Image, region: Region) -> tuple[Image, _Frame]:
        left, top, right, bottom = region
        height, width = picture.shape[:2]
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise ValueError(f"region {region} is not inside a picture of {width} x {height}")
        part = picture[top:bottom, left:right]
        scale = min(self.size / max(part.shape[:2]), 4.0)
        if scale != 1.0:
            how = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
            resized = (max(round(part.shape[1] * scale), 1), max(round(part.shape[0] * scale), 1))
            part = np.asarray(cv2.resize(part, resized, interpolation=how), dtype=np.uint8)
        rows = math.ceil(part.shape[0] / _STRIDE) * _STRIDE
        columns = math.ceil(part.shape[1] / _STRIDE) * _STRIDE
        pad_y, pad_x = (rows - part.shape[0]) // 2, (columns - part.shape[1]) // 2
        out = np.full((rows, columns, 3), _GREY, dtype=np.uint8)
        out[pad_y : pad_y + part.shape[0], pad_x : pad_x + part.shape[1]] = part
        return out, _Frame(scale, float(pad_x), float(pad_y), left, top)

    def _read(self, output: Floats) -> tuple[Floats, Floats]:
        """Corner boxes (M, 4) and scores (M, classes) of what is above the threshold or near."""
        if output.shape[0] < 5:
            raise ModelError(
                f"the model's output has {output.shape[0]} rows, not 4 of a box and one per class:"
                " export it without suppression (nms=False)"
            )
        best = output[4:].max(axis=0)
        chosen = np.flatnonzero(best > self._faintest)
        # Ten times what a crowded sky holds: a broken model must not stall the suppression.
        if len(chosen) > 1000:
            chosen = chosen[np.argsort(-best[chosen])[:1000]]
        middle = output[:2, chosen].T
        half = np.maximum(output[2:4, chosen].T, np.asarray(self.least_box, dtype=np.float32)) / 2.0
        boxes = np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)
        return boxes, output[4:, chosen].T.astype(np.float32)


def _box(corners: Floats, label: str, score: float, sized: bool) -> Box:
    left, top, right, bottom = (float(v) for v in corners)
    return Box(left, top, right, bottom, label, score, sized)


_PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}


class OnnxDetector(Detector):
    """A model of the YOLO family's layout under ONNX Runtime.

    Takes (N, 3, H, W) RGB in 0..1 and gives (N, 4 + classes, A). A fixed input size in the file
    is kept to; a `names` entry in its metadata names the classes, `least_box`
    (WIDTH,HEIGHT) and `support` entries are those of `Detector`.

    Args:
        model: the ONNX file.
        provider: cpu, cuda or tensorrt.
        threads: for the CPU provider.
        options: as of `Detector`.

    Raises:
        ModelError: no such file, no ONNX model, another layout, or the provider is not there.
    """

    def __init__(
        self, model: Path, provider: str = "cpu", threads: int = 2, **options: Any
    ) -> None:
        super().__init__(**options)
        if provider not in _PROVIDERS:
            raise ModelError(f"provider {provider!r} is none of {', '.join(_PROVIDERS)}")
        if not model.is_file():
            raise ModelError(
                f"there is no model {model}: set the parameter model.path to an ONNX file, or "
                "leave it empty for the shipped one"
            )
        try:
            runtime = importlib.import_module("onnxruntime")
        except ImportError as error:
            raise ModelError(
                f"ONNX Runtime cannot be imported ({error}): install onnxruntime"
            ) from error
        there = runtime.get_available_providers()
        if _PROVIDERS[provider][0] not in there:
            raise ModelError(
                f"this ONNX Runtime has no {_PROVIDERS[provider][0]} (it has {', '.join(there)}): "
                "install onnxruntime-gpu, or set model.provider to cpu"
            )
        settings = runtime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        # Idle threads must sleep: the rest of the graph shares these cores.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        settings.log_severity_level = 3
        try:
            self._session = runtime.InferenceSession(
                str(model), settings, providers=[p for p in _PROVIDERS[provider] if p in there]
            )
        except Exception as error:
            raise ModelError(f"{model} is no ONNX model that can be run: {error}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3 or len(outputs[0].shape) != 3:
            raise ModelError(
                f"{model} takes {shape} and gives {outputs[0].shape}; a detector takes "
                "(N, 3, H, W) and gives (N, 4 + classes, A)"
            )
        self._input, self._output = inputs[0].name, outputs[0].name
        # A file may fix the batch or the size: a symbol means any.
        self._fixed = tuple(d if isinstance(d, int) and d > 0 else 0 for d in shape)
        if self._fixed[0]:
            self.batch = 1
        self._metadata = self._session.get_modelmeta().custom_metadata_map
        self.labels = self._labels(outputs[0].shape[1])
        (self.support,) = self._numbers("support", 1, 100.0)
        width, height = self._numbers("least_box", 2, 640.0)
        self.least_box = (width, height)
        self.backend = f"ONNX Runtime {runtime.__version__}, {self._session.get_providers()[0]}"

    def _labels(self, rows: Any) -> tuple[str, ...]:
        text = self._metadata.get("names", "")
        try:
            named = ast.literal_eval(text) if text else {}
            pairs = named.items() if isinstance(named, dict) else enumerate(named)
            labels = tuple(str(name) for _, name in sorted(pairs))
        except (ValueError, SyntaxError, AttributeError):
            labels = ()
        if labels:
            return labels
        return tuple(f"class {i}" for i in range(rows - 4)) if isinstance(rows, int) else ()

    def _numbers(self, name: str, count: int, most: float) -> list[float]:
        """Numbers of an entry of the model's metadata; zeros without it."""
        text = self._metadata.get(name, "")
        try:
            numbers = [float(part) for part in text.split(",")] if text else [0.0] * count
        except ValueError:
            numbers = []
        if len(numbers) != count or not all(0.0 <= number <= most for number in numbers):
            raise ModelError(
                f"the model's {name} is {text!r}, not {count} of 0 to {most:g}: export it again"
            )
        return numbers

    def _letterbox(self, picture: Image, region: Region) -> tuple[Image, _Frame]:
        rows, columns = self._fixed[2], self._fixed[3]
        if not rows or not columns:
            return super()._letterbox(picture, region)
        free, self.size = self.size, min(rows, columns)
        try:
            part, frame = super()._letterbox(picture, region)
        finally:
            self.size = free
        out = np.full((rows, columns, 3), _GREY, dtype=np.uint8)
        out[: part.shape[0], : part.shape[1]] = part
        return out, frame

    def _infer(self, batch: Image) -> list[Floats]:
        pixels = np.ascontiguousarray(batch[..., ::-1].transpose(0, 3, 1, 2), dtype=np.float32)
        pixels *= np.float32(1.0 / 255.0)
        try:
            (out,) = self._session.run([self._output], {self._input: pixels})
        except Exception as error:
            raise ModelError(f"the model failed on an input of {pixels.shape}: {error}") from error
        return list(np.asarray(out, dtype=np.float32))


class UltralyticsDetector(Detector):
    """A `.pt` or `.engine` (TensorRT, Jetson) model under ultralytics, which is not in the locks.

    Only its network is used; letterbox, reading and suppression are the house's own, so that the
    results are those of the ONNX export of the same model.

    Args:
        model: `.pt` or `.engine`.
        provider: cpu, cuda or tensorrt (a device for ultralytics).
        options: as of `Detector`.

    Raises:
        ModelError: no such file, ultralytics is not installed, or it cannot load the file.
    """

    def __init__(
        self, model: Path, provider: str = "cpu", threads: int = 2, **options: Any
    ) -> None:
        super().__init__(**options)
        if not model.is_file():
            raise ModelError(f"there is no model {model}: set the parameter model.path")
        try:
            autobackend = importlib.import_module("ultralytics.nn.autobackend")
            self._torch = importlib.import_module("torch")
        except ImportError as error:
            raise ModelError(
                f"{model.suffix} models need ultralytics ({error}): pip install ultralytics "
                "(AGPL-3.0), or export the model to ONNX"
            ) from error
        if provider == "cpu":
            self._torch.set_num_threads(threads)
        self._device = self._torch.device("cpu" if provider == "cpu" else "cuda:0")
        try:
            self._network = autobackend.AutoBackend(str(model), device=self._device)
        except Exception as error:
            raise ModelError(f"ultralytics cannot load {model}: {error}") from error
        names = getattr(self._network, "names", {}) or {}
        self.labels = tuple(str(names[k]) for k in sorted(names))
        self.backend = f"ultralytics, {self._device}"

    def _infer(self, batch: Image) -> list[Floats]:
        pixels = np.ascontiguousarray(batch[..., ::-1].transpose(0, 3, 1, 2), dtype=np.float32)
        tensor = self._torch.from_numpy(pixels / np.float32(255.0)).to(self._device)
        try:
            with self._torch.no_grad():
                out = self._network(tensor)
        except Exception as error:
            raise ModelError(f"the model failed on an input of {pixels.shape}: {error}") from error
        first = out[0] if isinstance(out, (list, tuple)) else out
        return list(np.asarray(first.float().cpu().numpy(), dtype=np.float32))


def open_detector(model: str = "", provider: str = "cpu", **options: Any) -> Detector:
    """The back end that suits a model's file: `.onnx`, or `.pt` and `.engine` by ultralytics.

    Args:
        model: path; empty: the shipped model.
        provider: cpu, cuda or tensorrt.
        options: `threads`, and those of `Detector`.

    Raises:
        ModelError: the model or its back end cannot be used.
    """
    path = Path(model).expanduser() if model else shipped_model()
    if path.suffix == ".onnx":
        return OnnxDetector(path, provider, **options)
    if path.suffix in (".pt", ".engine"):
        return UltralyticsDetector(path, provider, **options)
    raise ModelError(f"{path} is neither .onnx, .pt nor .engine")
