# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Times each parser on good datagrams, per core, beside a plain recvfrom loop as the limit.

    python benchmarks/parsers/throughput.py [--seconds 2] [--sensor droneshield]

The recvfrom loop runs on the loopback interface with the same datagrams; sending is left out of
its time.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time

from recvfrom import recvfrom_rate
from samples import SUBJECTS, Subject, parse_call


def parser_rate(subject: Subject, seconds: float) -> tuple[float, float]:
    """Return datagrams and records per second of processor time."""
    parse = parse_call(subject)
    for datagram in subject.datagrams:
        parse(datagram)
    datagrams = records = 0
    began = time.process_time()
    for datagram in itertools.cycle(subject.datagrams):
        records += len(parse(datagram).records)
        datagrams += 1
        if datagrams % 256 == 0 and time.process_time() - began >= seconds:
            break
    spent = time.process_time() - began
    return datagrams / spent, records / spent


def main() -> int:
    """Print the table; return the exit status."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=2.0)
    arguments.add_argument("--sensor", choices=sorted(SUBJECTS), action="append")
    given = arguments.parse_args()
    columns = ("datagrams/s", "records/s", "us/datagram", "recvfrom/s")
    print(f"{'parser':<12}", *(f"{column:>12}" for column in columns))
    for name in given.sensor or SUBJECTS:
        subject = SUBJECTS[name]
        datagrams, records = parser_rate(subject, given.seconds)
        limit = recvfrom_rate(subject.datagrams, given.seconds)
        print(f"{name:<12} {datagrams:12.0f} {records:12.0f} {1e6 / datagrams:12.1f} {limit:12.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
