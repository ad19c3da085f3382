# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Compares the CAT010 decoder with libasterix, record by record, on many random records.

    python benchmarks/parsers/asterix_oracle.py --count 100000 --seed 1

Random records are encoded by libasterix and read here; then random blocks are damaged and both
must read the same values or both refuse. The comparison itself is the one of the package's
tests, which run fewer. Needs pytest and libasterix.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import time
from pathlib import Path
from types import ModuleType

_TESTS = Path(__file__).parents[2] / "src/thebox_sensors/test/test_dspnor_protocol.py"
_BLOCK = 10


def load_comparison() -> ModuleType:
    """Load the comparison from the package's tests."""
    spec = importlib.util.spec_from_file_location("dspnor_comparison", _TESTS)
    if spec is None or spec.loader is None:
        raise ImportError(f"no tests at {_TESTS}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Run both comparisons; return the exit status."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    comparison = load_comparison()
    rng = random.Random(given.seed)
    parser = comparison.protocol.Parser()
    ours = theirs = 0.0
    compared = damaged = 0
    while compared < given.count:
        records = [comparison.random_record(rng) for _ in range(_BLOCK)]
        raw = comparison.CAT010.create(records).unparse().to_bytes()
        began = time.process_time()
        parsed = parser.parse(raw, comparison.NOON)
        ours += time.process_time() - began
        began = time.process_time()
        oracle = comparison.CAT010.cv_uap.parse(comparison.base.Bits.from_bytes(raw[3:]))
        theirs += time.process_time() - began
        if parsed.rejects or len(parsed.records) != len(oracle):
            print(f"differs: {raw.hex()}", file=sys.stderr)
            return 1
        for record, read in zip(oracle, parsed.records, strict=True):
            comparison.compare(record, read)
        compared += _BLOCK
        content = bytearray(raw[3:])
        for _ in range(rng.randrange(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        comparison.compare_damaged(bytes(content[: len(content) - rng.randrange(4)]))
        damaged += 1
    print(f"{compared} random records equal, {damaged} damaged blocks of {_BLOCK} judged alike")
    print(f"records per second of a core: here {compared / ours:.0f}, ", end="")
    print(f"libasterix {compared / theirs:.0f} (structure only, before any value is converted)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
