# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The same recording replayed again and again: are its tracks the same, and how long does it take?

    ./thebox run python benchmarks/upkeep/replays.py [BAG] [--minutes 10] [--times 20]

Without a bag one is made: the raw bytes that the simulated sensors of a scenario send, which then
go through the real drivers, fusion and range nodes. Each replay is a process of its own, with other
hashes (PYTHONHASHSEED) and another address space; the digest is over every value of every
TrackArray. Told are the distinct digests, and seconds of processor and of the clock of each replay:
with other work beside it only the processor's tell something.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def record(path: Path, scenario: str, minutes: float) -> Path:
    """Make a bag of the simulated sensors' bytes; the tests' own way."""
    found = importlib.util.spec_from_file_location("sky", ROOT / "tests" / "sky.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    made: Path = module.record_sky(path, scenario, 60.0 * minutes)
    return made


def replay(bag: Path, seed: int) -> tuple[dict[str, Any], float, float]:
    """Replay once; return what the command told, and seconds of processor and clock."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    told = subprocess.run(
        [
            *(sys.executable, "-m", "thebox_bringup.recording.replay"),
            *(str(bag), "--offline", "--json"),
        ],
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        capture_output=True,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(told.stdout), spent, time.monotonic() - begun


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bag", type=Path, nargs="?")
    parser.add_argument("--scenario", default="harbour")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bag = options.bag or record(Path(folder) / "sky", options.scenario, options.minutes)
        digests: dict[str, int] = {}
        processor: list[float] = []
        clock: list[float] = []
        loads: list[float] = []
        for seed in range(options.times):
            loads.append(os.getloadavg()[0])
            told, spent, taken = replay(bag, seed)
            digests[told["digest"]] = digests.get(told["digest"], 0) + 1
            processor.append(spent)
            clock.append(taken)
            print(f"{seed + 1}: {told['digest'][:16]} {spent:.1f} s {taken:.1f} s", file=sys.stderr)
    print(
        json.dumps(
            {
                "replays": options.times,
                "digests": digests,
                "last": told,
                "processor_s": [
                    round(v, 1) for v in (min(processor), statistics.median(processor))
                ],
                "clock_s": [round(v, 1) for v in (min(clock), statistics.median(clock))],
                "load_average": [round(min(loads), 1), round(max(loads), 1)],
            },
            indent=1,
        )
    )
    return 0 if len(digests) == 1 else 1


if __name__ == "__main__":
    raise SystemExit(main())
