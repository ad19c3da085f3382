# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The detector: a small one-stage, anchor-free network, and its training loss.

The shape is the usual one of this class of detector: a convolutional backbone, a feature pyramid
with strides of 8, 16 and 32 pixels, and for each cell a box and a score per class. Sources:
anchor-free heads, Tian et al., "FCOS" (2019); feature pyramid, Lin et al. (2017); partial blocks,
Wang et al., "CSPNet" (2020); assignment of cells to objects, Feng et al., "TOOD" (2021);
box loss, Zheng et al., "Distance-IoU loss" (2020). Written for TheBox from those papers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLASSES = ("drone", "bird", "airplane", "helicopter")
STRIDES = (8, 16, 32)


class Conv(nn.Sequential):
    """Convolution, batch normalisation, SiLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
            nn.SiLU(inplace=True),
        )


class Partial(nn.Module):
    """A cross-stage partial block: half of the channels pass by, half through residual pairs."""

    def __init__(self, inputs: int, outputs: int, depth: int, residual: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.enter = Conv(inputs, outputs, 1)
        self.steps = nn.ModuleList(
            nn.Sequential(Conv(half, half), Conv(half, half)) for _ in range(depth)
        )
        self.leave = Conv((2 + depth) * half, outputs, 1)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Apply the network (shapes: see the class)."""
        parts = list(self.enter(x).chunk(2, 1))
        for step in self.steps:
            y = step(parts[-1])
            parts.append(parts[-1] + y if self.residual else y)
        return self.leave(torch.cat(parts, 1))


class Pool(nn.Module):
    """Spatial pyramid pooling: the same features with three growing fields of view."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = Conv(channels, channels // 2, 1)
        self.leave = Conv(2 * channels, channels, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the network (shapes: see the class)."""
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class Detector(nn.Module):
    """Image (N, 3, H, W), RGB in 0..1, H and W multiples of 32 -> raw boxes and class logits.

    `forward` returns boxes (N, A, 4) as x1, y1, x2, y2 in input pixels and logits (N, A, 4), with
    the A cells of the three levels one after the other.
    """

    def __init__(self, width: tuple[int, ...] = (16, 32, 64, 128, 192), head: int = 64) -> None:
        super().__init__()
        w0, w1, w2, w3, w4 = width
        self.to4 = nn.Sequential(Conv(3, w0, 3, 2), Conv(w0, w1, 3, 2), Partial(w1, w1, 1))
        self.to8 = nn.Sequential(Conv(w1, w2, 3, 2), Partial(w2, w2, 2))
        self.to16 = nn.Sequential(Conv(w2, w3, 3, 2), Partial(w3, w3, 2))
        self.to32 = nn.Sequential(Conv(w3, w4, 3, 2), Partial(w4, w4, 1), Pool(w4))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.top16 = Partial(w4 + w3, w3, 1, residual=False)
        self.top8 = Partial(w3 + w2, w2, 1, residual=False)
        self.down16 = Conv(w2, w2, 3, 2)
        self.out16 = Partial(w2 + w3, w3, 1, residual=False)
        self.down32 = Conv(w3, w3, 3, 2)
        self.out32 = Partial(w3 + w4, w4, 1, residual=False)
        self.box = nn.ModuleList()
        self.score = nn.ModuleList()
        for channels in (w2, w3, w4):
            box = nn.Conv2d(head, 4, 1)
            score = nn.Conv2d(head, len(CLASSES), 1)
            nn.init.constant_(box.bias, 0.5)  # type: ignore[arg-type]
            # A prior of about one cell in a thousand, so that the first steps are not all negative.
            nn.init.constant_(score.bias, -6.5)  # type: ignore[arg-type]
            self.box.append(nn.Sequential(Conv(channels, head), Conv(head, head), box))
            self.score.append(nn.Sequential(Conv(channels, head), Conv(head, head), score))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the network (shapes: see the class)."""
        p8 = self.to8(self.to4(image))
        p16 = self.to16(p8)
        p32 = self.to32(p16)
        t16 = self.top16(torch.cat([self.up(p32), p16], 1))
        o8 = self.top8(torch.cat([self.up(t16), p8], 1))
        o16 = self.out16(torch.cat([self.down16(o8), t16], 1))
        o32 = self.out32(torch.cat([self.down32(o16), p32], 1))
        boxes, logits = [], []
        for level, feature in enumerate((o8, o16, o32)):
            stride = STRIDES[level]
            reach = self.box[level](feature).float().clamp(-6, 6).exp() * stride
            rows, columns = feature.shape[-2], feature.shape[-1]
            ys = (torch.arange(rows, device=image.device).float() + 0.5) * stride
            xs = (torch.arange(columns, device=image.device).float() + 0.5) * stride
            x, y = xs.view(1, 1, -1), ys.view(1, -1, 1)
            left, up, right, down = reach.unbind(1)
            boxes.append(torch.stack([x - left, y - up, x + right, y + down], -1).flatten(1, 2))
            logits.append(self.score[level](feature).float().flatten(2).transpose(1, 2))
        return torch.cat(boxes, 1), torch.cat(logits, 1)


class Exported(nn.Module):
    """The network with the output that the YOLO family's ONNX files have.

    (N, 4 + classes, A): box centre x, centre y, width, height in input pixels, then the classes'
    scores in 0..1. One decoder then serves this model and any other of that family.
    Boxes are no smaller than `least` (width, height), pixels of the input.
    """

    def __init__(self, network: Detector, least: tuple[float, float] = (0.0, 0.0)) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("least", torch.tensor(least, dtype=torch.float32), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Apply the network (shapes: see the class)."""
        boxes, logits = self.network(images)
        low, high = boxes[..., :2], boxes[..., 2:]
        size = torch.maximum(high - low, self.least)
        return torch.cat([(low + high) / 2, size, logits.sigmoid()], -1).transpose(1, 2)


def cells(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Centres (A, 2) in pixels and strides (A,) of all cells for an input of that size."""
    centres, strides = [], []
    for stride in STRIDES:
        ys = (torch.arange(height // stride) + 0.5) * stride
        xs = (torch.arange(width // stride) + 0.5) * stride
        grid = torch.stack(torch.meshgrid(ys, xs, indexing="ij"), -1).flip(-1).reshape(-1, 2)
        centres.append(grid)
        strides.append(torch.full((len(grid),), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def overlap(a: Tensor, b: Tensor, complete: bool = False) -> Tensor:
    """Intersection over union of boxes x1, y1, x2, y2 (broadcast); `complete`: CIoU."""
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    size_a, size_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    iou = shared / (size_a.prod(-1) + size_b.prod(-1) - shared + 1e-7)
    if not complete:
        return iou
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    far = hull.pow(2).sum(-1) + 1e-7
    apart = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2).pow(2).sum(-1)
    slant_a = torch.atan(size_a[..., 0] / (size_a[..., 1] + 1e-7))
    slant_b = torch.atan(size_b[..., 0] / (size_b[..., 1] + 1e-7))
    shape = 4 / torch.pi**2 * (slant_b - slant_a).pow(2)
    with torch.no_grad():
        weight = shape / (1 - iou + shape + 1e-7)
    return iou - apart / far - weight * shape


def assign(  # noqa: PLR0917 - what the papers name
    boxes: Tensor, scores: Tensor, centres: Tensor, strides: Tensor, truth: Tensor, kinds: Tensor
) -> tuple[Tensor, Tensor]:
    """Task-aligned assignment for one image.

    boxes (A, 4), scores (A, C) in 0..1, truth (M, 4), kinds (M,). Returns the index of the object
    of each cell (A,), -1 for none, and the quality (A,) that its score should reach.
    """
    count = len(truth)
    iou = overlap(truth[:, None], boxes[None]).clamp(min=0)  # (M, A)
    metric = scores[:, kinds].T.clamp(min=1e-9).sqrt() * iou.pow(6)
    # A cell may answer for an object whose box it lies in; for objects smaller than a cell, the
    # box is widened to one stride, or the smallest would have no cell at all.
    middle = (truth[:, :2] + truth[:, 2:]) / 2
    half = torch.maximum(((truth[:, 2:] - truth[:, :2]) / 2)[:, None], strides[None, :, None])
    # But not a stride-32 cell for every small object: only up to 0.6 of a stride.
    half = torch.maximum(
        ((truth[:, 2:] - truth[:, :2]) / 2)[:, None].expand_as(half), half.new_tensor(0.6) * half
    )
    inside = ((centres[None] - middle[:, None]).abs() < half).all(-1)
    metric = metric * inside
    best = metric.topk(min(10, metric.shape[1]), dim=1).indices
    chosen = torch.zeros_like(metric, dtype=torch.bool).scatter_(1, best, True) & (metric > 1e-12)
    # No cell of a fresh network overlaps well enough: fall back to the nearest cells of stride 8.
    for row in range(count):
        if not chosen[row].any():
            distance = (centres - middle[row]).pow(2).sum(-1) + (strides > 8) * 1e6
            chosen[row, distance.argmin()] = True
    # A cell wanted by two objects goes to the one it overlaps more.
    winner = torch.where(chosen, iou + 1e-6, iou.new_tensor(-1.0)).max(0)
    owner = torch.where(winner.values >= 0, winner.indices, -1)
    mine = owner[None] == torch.arange(count)[:, None]
    kept = metric * mine
    top = kept.amax(1, keepdim=True)
    reach = (iou * mine).amax(1, keepdim=True)
    quality = (kept / (top + 1e-12) * reach).amax(0)
    return owner, quality


def loss(
    boxes: Tensor, logits: Tensor, truths: list[Tensor], height: int, width: int
) -> tuple[Tensor, dict[str, float]]:
    """The training loss of a batch. truths: per image (M, 5) of class, x1, y1, x2, y2 in pixels."""
    centres, strides = cells(height, width)
    target = torch.zeros_like(logits)
    box_loss = boxes.new_zeros(())
    weight_sum = 0.0
    size_loss = boxes.new_zeros(())
    with torch.no_grad():
        scores = logits.sigmoid()
    for index, truth in enumerate(truths):
        if not len(truth):
            continue
        kinds = truth[:, 0].long()
        with torch.no_grad():
            owner, quality = assign(
                boxes[index].detach(), scores[index], centres, strides, truth[:, 1:], kinds
            )
        cell = (owner >= 0).nonzero().squeeze(1)
        own = owner[cell]
        # Early on all overlaps are near zero: a floor keeps the first positives alive.
        q = quality[cell].clamp(min=0.05)
        target[index, cell, kinds[own]] = q
        wanted, found = truth[own, 1:], boxes[index, cell]
        box_loss = box_loss + ((1 - overlap(found, wanted, complete=True)) * q).sum()
        span = (wanted[:, 2:] - wanted[:, :2]).repeat(1, 2).clamp(min=1)
        size_loss = size_loss + (((found - wanted).abs() / span).clamp(max=4).mean(-1) * q).sum()
        weight_sum += float(q.sum())
    weight = max(weight_sum, 1.0)
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
    total = (0.7 * entropy + 6.0 * box_loss + 1.5 * size_loss) / weight
    return total, {
        "score": float(entropy.detach()) / weight,
        "box": float(box_loss.detach()) / weight,
        "size": float(size_loss.detach()) / weight,
    }
