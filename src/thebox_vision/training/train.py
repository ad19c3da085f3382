# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Train the shipped detector on a CPU, within a given time.

    python train.py --data DIR --out DIR --minutes 90 [--seed 6] [--threads 2] [--resume]
    python train.py --data DIR --out DIR2 --start DIR/model.pt --rate 1.5e-3 --seed 7
    python train.py --data DIR --out DIR3 --start DIR2/model.pt --more SIMULATED

DIR holds `train/` and `val/` with `images/*.jpg` and `labels/*.txt`. The learning rate follows a
cosine over the time (or over `--steps`, to repeat a recorded run), so that the run ends on time
whatever else the machine does. Every few minutes it writes `checkpoint.pt` (to resume from) and a
row of `curve.csv`; at the end `model.pt` (moving average of the weights). `export.py` makes the
ONNX file. `data.txt` lists every picture used with the SHA-256 of picture and label.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import queue
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from augment import Frame, Sampler, load
from network import Detector, loss
from torch import Tensor

cv2.setNumThreads(1)


def main() -> None:  # noqa: PLR0915 - a script, read from top to bottom
    """Train; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=90.0, help="time for the whole run")
    parser.add_argument("--steps", type=int, default=0, help="fixed steps in place of a time")
    parser.add_argument("--size", type=int, default=256, help="side of a training crop, pixels")
    parser.add_argument("--last-size", type=int, default=384, help="the same in the last part")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--every", type=float, default=5.0, help="minutes between checkpoints")
    parser.add_argument("--resume", action="store_true", help="go on from DIR/checkpoint.pt")
    parser.add_argument(
        "--more", type=Path, action="append", default=[], help="further frames (simulated.py)"
    )
    parser.add_argument("--start", type=Path, help="model.pt of an earlier run to begin with")
    parser.add_argument("--warm", type=int, default=150, help="steps until the rate is reached")
    # Twice as fast on a CPU that calculates in 16 bits (AMX, AVX-512 BF16), half as fast on others.
    parser.add_argument("--half", action="store_true", help="calculate in 16 bits (bfloat16)")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    frames = load(args.data / "train")
    names = [f"{f.digest}  train/{f.name}" for f in frames]
    for folder in args.more:
        added = load(folder)
        names += [f"{f.digest}  {folder.name}/{f.name}" for f in added]
        frames += added
    held = load(args.data / "val")
    names += [f"{f.digest}  val/{f.name}" for f in held]
    (args.out / "data.txt").write_text("\n".join(names) + "\n")

    network = Detector().to(memory_format=torch.channels_last)
    if args.start:
        network.load_state_dict(torch.load(args.start, weights_only=True)["weights"])
    average = copy.deepcopy(network).eval()
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": weights, "weight_decay": 0.03}, {"params": others, "weight_decay": 0.0}],
        lr=args.rate,
    )
    step, spent = 0, 0.0
    if args.resume:
        state = torch.load(args.out / "checkpoint.pt", weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = int(state["step"]), float(state["spent"])
    started = time.monotonic() - spent
    sampler = Sampler(frames, args.seed + step)

    def share() -> float:
        """How much of the run is done, 0..1."""
        if args.steps:
            return step / args.steps
        return (time.monotonic() - started) / (60 * args.minutes)

    batches: queue.Queue[tuple[Tensor, list[Tensor]]] = queue.Queue(3)
    ending = threading.Event()

    def feed() -> None:
        while not ending.is_set():
            late = share() > 0.86
            # The last part: larger crops, fewer tricks, as the model will meet the world.
            size, count = (
                (args.last_size, max(args.batch // 2, 1)) if late else (args.size, args.batch)
            )
            drawn = [sampler.draw(size, gentle=late) for _ in range(count)]
            pixels = torch.from_numpy(np.stack([image for image, _ in drawn])[..., ::-1].copy())
            item = (pixels, [torch.from_numpy(boxes) for _, boxes in drawn])
            while not ending.is_set():
                try:
                    batches.put(item, timeout=1)
                    break
                except queue.Full:
                    continue

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    curve = args.out / "curve.csv"
    if not (args.resume and curve.exists()):
        curve.write_text("minutes,step,rate,score,box,size,val_score,val_box\n")
    sums: dict[str, float] = {}
    seen, saved = 0, time.monotonic()
    network.train()
    while share() < 1.0:
        done = min(share(), 1.0)
        rate = args.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)
        rate *= min(1.0, (step + 1) / args.warm)
        for group in optimiser.param_groups:
            group["lr"] = rate
        pixels, truths = batches.get()
        image = pixels.permute(0, 3, 1, 2).float().div_(255)
        image = image.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.half):
            boxes, logits = network(image)
        total, parts = loss(boxes, logits, truths, image.shape[2], image.shape[3])
        optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        step += 1
        decay = 0.998 * (1 - math.exp(-step / 300))
        with torch.no_grad():
            for kept, new in zip(
                average.state_dict().values(), network.state_dict().values(), strict=True
            ):
                if kept.is_floating_point():
                    kept.lerp_(new, 1 - decay)
                else:
                    kept.copy_(new)
        for key, value in parts.items():
            sums[key] = sums.get(key, 0.0) + value
        seen += 1
        if step in (20, 50, 100):
            spoken = (time.monotonic() - started) / 60
            print(f"step {step}: {spoken:.2f} min, loss {float(total.detach()):.3f}", flush=True)
        if time.monotonic() - saved > 60 * args.every or share() >= 1.0:
            spoken = time.monotonic() - started
            held_parts = validate(average, held)
            with curve.open("a") as sink:
                csv.writer(sink).writerow(
                    [f"{spoken / 60:.2f}", step, f"{rate:.6f}"]
                    + [f"{sums[k] / seen:.4f}" for k in ("score", "box", "size")]
                    + [f"{held_parts[k]:.4f}" for k in ("score", "box")]
                )
            torch.save(
                {
                    "network": network.state_dict(),
                    "average": average.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "step": step,
                    "spent": spoken,
                },
                args.out / "checkpoint.new",
            )
            (args.out / "checkpoint.new").replace(args.out / "checkpoint.pt")
            print(curve.read_text().splitlines()[-1], flush=True)
            sums, seen, saved = {}, 0, time.monotonic()
    ending.set()
    torch.save(
        {"weights": average.state_dict(), "steps": step, "seed": args.seed}, args.out / "model.pt"
    )
    print(f"done: {step} steps", flush=True)


def validate(network: Detector, frames: list[Frame]) -> dict[str, float]:
    """The loss on a fixed tenth of the validation frames at inference size."""
    sums = {"score": 0.0, "box": 0.0}
    chosen = frames[::10]
    for frame in chosen:
        factor = 640 / frame.image.shape[1]
        image = cv2.resize(frame.image, None, fx=factor, fy=factor)
        pixels = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
        truth = frame.boxes.copy()
        truth[:, 1:] *= factor
        with torch.no_grad():
            boxes, logits = network(pixels.contiguous(memory_format=torch.channels_last))
            _, parts = loss(
                boxes, logits, [torch.from_numpy(truth)], image.shape[0], image.shape[1]
            )
        for key in sums:
            sums[key] += parts[key] / len(chosen)
    return sums


if __name__ == "__main__":
    main()
