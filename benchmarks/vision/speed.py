# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Milliseconds per picture by back end, input size and threads, on this machine.

python speed.py [--model FILE] [--provider cpu|cuda|tensorrt] [--seconds 4]
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

import numpy as np

from thebox_vision.detector import open_detector


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="")
    parser.add_argument("--provider", default="cpu")
    parser.add_argument("--seconds", type=float, default=4.0)
    args = parser.parse_args()
    cpu = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    print(f"{cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    rng = np.random.default_rng(0)
    for size in (320, 416, 640, 960):
        image = rng.integers(120, 200, (size * 4 // 5, size, 3), dtype=np.uint8)
        for threads in (1, 2):
            detector = open_detector(args.model, args.provider, threads=threads, size=size)
            detector.warm_up()
            taken, spent = [], []
            ends = time.monotonic() + args.seconds
            while time.monotonic() < ends or len(taken) < 5:
                begun, used = time.perf_counter(), time.process_time()
                detector.detect(image)
                taken.append(time.perf_counter() - begun)
                spent.append(time.process_time() - used)
            low, middle, high = (float(v) * 1e3 for v in np.percentile(taken, (5, 50, 95)))
            print(
                f"{detector.backend}  {size} x {size * 4 // 5}  {threads} threads: "
                f"{middle:.1f} ms (5 %: {low:.1f}, 95 %: {high:.1f}), "
                f"CPU {1e3 * float(np.median(spent)):.1f} ms, {len(taken)} pictures"
            )


if __name__ == "__main__":
    main()
