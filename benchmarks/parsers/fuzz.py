# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Sends a number of damaged datagrams through one parser and accounts for each of them.

    python benchmarks/parsers/fuzz.py droneshield --count 1000000 --seed 1

Fails when a parser raises, gives a reason that it does not document, a detail that cannot be
shown, or no outcome at all for a datagram.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections import Counter

from samples import SUBJECTS, mutated, parse_call


def main() -> int:
    """Run the fuzzer; return the exit status."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("sensor", choices=sorted(SUBJECTS))
    arguments.add_argument("--count", type=int, default=1_000_000)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    subject = SUBJECTS[given.sensor]
    parse = parse_call(subject)
    rng = random.Random(given.seed)
    reasons: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    with_record = with_reject_only = without = 0
    spent = slowest = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(given.count):
        datagram = mutated(rng, subject)
        began = time.process_time()
        try:
            parsed = parse(datagram)
        except Exception:
            print(f"datagram {number} raised: {datagram!r}", file=sys.stderr)
            raise
        took = time.process_time() - began
        spent += took
        slowest = max(slowest, took)
        for record in parsed.records:
            kinds[type(record).__name__] += 1
        for reject in parsed.rejects:
            if reject.reason not in subject.protocol.REASONS:
                print(f"unknown reason {reject.reason}: {datagram!r}", file=sys.stderr)
                return 1
            if len(reject.detail) > 160 or not reject.detail.isprintable():
                print(f"unprintable detail {reject.detail!r}: {datagram!r}", file=sys.stderr)
                return 1
            reasons[reject.reason] += 1
        if parsed.records:
            with_record += 1
        elif parsed.rejects:
            with_reject_only += 1
        elif subject.no_outcome:
            without += 1
        else:
            print(f"no outcome: {datagram!r}", file=sys.stderr)
            return 1
    if with_record + with_reject_only + without != given.count:
        print("the counts do not add up", file=sys.stderr)
        return 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{given.sensor}: {given.count} damaged datagrams, seed {given.seed}, no exception")
    print(
        f"  in the parser {spent:.1f} s of processor time, {spent / given.count * 1e6:.1f} us each",
        end="",
    )
    print(f", slowest {slowest * 1e3:.1f} ms, peak memory grown by {grown / 1024:.1f} MiB")
    print(f"  with records {with_record}, only rejects {with_reject_only}", end="")
    print(f", neither {without} ({subject.no_outcome})" if without else "")
    print("  records:", ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))
    print("  rejects:", ", ".join(f"{reason} {count}" for reason, count in reasons.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
