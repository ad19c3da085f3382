# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Ten minutes of garbage on the socket of each driver process: does it answer, does it grow?

    ./thebox run python benchmarks/drivers/soak.py --minutes 10 [--driver mara …] [--json FILE]

Each driver runs as its own process and is sent 2 000 damaged datagrams a second: real ones of that
sensor with bytes flipped, cut, inserted, repeated and spliced, checksums and lengths often mended
so that the damage reaches what is behind them, and one in five plain random bytes. A driver that
speaks TCP gets the same chunks as a stream. ``dspnor-control`` is the radar driver with garbage on
its control connection instead.

Once a second each driver's ``get_state`` service is asked and the answer timed; its memory is the
private one (USS). Flat means: the mean of the last minute is not over that of the minute in the
middle of the run by more than 2 MiB (an allocator moves by about one).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rig import DRIVERS, NAMESPACE, Rig, Wire, free_port, machine
from samples import SUBJECTS, mutated

CONTROL = "dspnor-control"
POOL = 20_000
_TICK = 0.01
_PATIENCE = 10.0
_FLAT = 2.0


def garbage(subject: str, seed: int) -> list[bytes]:
    """Make the damaged datagrams of a sensor, none of them empty."""
    rng = random.Random(f"{subject} {seed}")
    pool: list[bytes] = []
    while len(pool) < POOL:
        made = (
            rng.randbytes(rng.randrange(1, 1400))
            if rng.random() < 0.2
            else mutated(rng, SUBJECTS[subject])
        )
        if made:
            pool.append(made)
    return pool


@dataclass
class Subject:
    """One driver under garbage, and what was seen of it."""

    name: str
    driver: str
    wire: Wire
    process: psutil.Process
    pool: list[bytes]
    client: Any
    sent: int = 0
    answers: list[float] = field(default_factory=list)
    unanswered: int = 0
    #: (minute, MiB of private memory)
    memory: list[tuple[float, float]] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    sockets: list[int] = field(default_factory=list)


class Sender(threading.Thread):
    """Sends to all of them, evenly."""

    def __init__(self, subjects: list[Subject], rate: float) -> None:
        super().__init__(daemon=True)
        self._subjects = subjects
        self._rate = rate
        self._ended = threading.Event()
        self.behind = 0.0

    def run(self) -> None:
        """Send until stopped; a late tick is made up for."""
        begun = time.monotonic()
        due = 0
        while not self._ended.is_set():
            wanted = int((time.monotonic() - begun) * self._rate)
            self.behind = max(self.behind, (wanted - due) / self._rate)
            count, due = wanted - due, wanted
            for subject in self._subjects:
                for _ in range(count):
                    subject.sent += subject.wire.send(subject.pool[subject.sent % POOL])
            self._ended.wait(_TICK)

    def stop(self) -> None:
        """End it."""
        self._ended.set()
        self.join()


def begin(rig: Rig, name: str, seed: int) -> Subject:
    """Start one driver and what it listens to."""
    from lifecycle_msgs.srv import GetState  # noqa: PLC0415

    driver = "dspnor" if name == CONTROL else name
    wire = Wire(name in ("trakka", CONTROL))
    if name == CONTROL:
        parameters = [f"source:=udp://127.0.0.1:{free_port(2)}", "control.address:=127.0.0.1"]
        parameters += [f"control.port:={wire.port}", "control.poll_interval:=1.0"]
    else:
        parameters = [f"source:={wire.url}"]
    process = rig.start(driver, *parameters)
    client = rig.node.create_client(GetState, f"{NAMESPACE}/{driver}/get_state")
    rig.wait_active(driver)
    pool = garbage("d2d" if name == CONTROL else driver, seed)
    return Subject(name, driver, wire, process, pool, client)


def look(subjects: list[Subject], minute: float) -> None:
    """Ask each for its state, and look at its memory."""
    from lifecycle_msgs.srv import GetState  # noqa: PLC0415

    for subject in subjects:
        done = threading.Event()
        answered = [math.nan]

        def note(_: Any, answered: list[float] = answered, done: threading.Event = done) -> None:
            answered[0] = time.monotonic()
            done.set()

        asked = time.monotonic()
        future = subject.client.call_async(GetState.Request())
        future.add_done_callback(note)
        if done.wait(_PATIENCE) and future.result().current_state.label == "active":
            subject.answers.append(answered[0] - asked)
        else:
            subject.unanswered += 1
        with subject.process.oneshot():
            subject.memory.append((minute, subject.process.memory_full_info().uss / 2**20))
            subject.threads.append(subject.process.num_threads())
            subject.sockets.append(subject.process.num_fds())


def figures(rig: Rig, subject: Subject, seconds: float) -> dict[str, Any]:
    """Sum up what was seen of one driver."""
    told = rig.inputs(subject.driver)
    last = subject.memory[-1][0]
    early = [mib for minute, mib in subject.memory if 0.0 <= minute - 0.5 * last < 1.0]
    late = [mib for minute, mib in subject.memory if minute >= last - 1.0]
    rejects = dict(rig.rejects(subject.driver))
    cpu = subject.process.cpu_times()
    result = {
        "driver": subject.name,
        "sent": subject.sent,
        "received": int(told.get("received", 0)),
        "dropped": int(told.get("dropped", 0)) + int(told.get("kernel_drops", 0)),
        "reconnects": int(told.get("reconnects", 0)),
        "accepted": int(told.get("accepted", 0)),
        "rejected": sum(rejects.values()),
        "reasons": rejects,
        "faults": rejects.get("driver_fault", 0),
        "answers": len(subject.answers),
        "unanswered": subject.unanswered,
        "answer_median_ms": 1e3 * statistics.median(subject.answers or [math.nan]),
        "answer_max_ms": 1e3 * max(subject.answers or [math.nan]),
        "cpu": (cpu.user + cpu.system) / seconds,
        "memory_middle_mib": statistics.mean(early),
        "memory_late_mib": statistics.mean(late),
        "memory_by_minute": [
            statistics.mean([mib for at, mib in subject.memory if minute <= at < minute + 1])
            for minute in range(int(last))
        ],
        "threads": (subject.threads[0], max(subject.threads)),
        "descriptors": (subject.sockets[0], max(subject.sockets)),
    }
    result["flat"] = result["memory_late_mib"] - result["memory_middle_mib"] <= _FLAT
    return result


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table, as Markdown."""
    head = ("driver", "datagrams", "dropped", "made use of", "rejected", "reasons", "faults")
    head += ("answers", "median", "longest", "CPU", "memory half-way", "at the end")
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for row in rows:
        cells = (
            row["driver"],
            f"{row['sent']:,}".replace(",", " "),
            row["dropped"],
            row["accepted"],
            row["rejected"],
            len(row["reasons"]),
            row["faults"],
            f"{row['answers']} of {row['answers'] + row['unanswered']}",
            f"{row['answer_median_ms']:.1f} ms",
            f"{row['answer_max_ms']:.0f} ms",
            f"{row['cpu']:.0%}",
            f"{row['memory_middle_mib']:.1f} MiB",
            f"{row['memory_late_mib']:.1f} MiB",
        )
        print("| " + " | ".join(map(str, cells)) + " |")


def main() -> int:
    """Run the soak; return 1 when a driver failed it."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--driver", choices=(*DRIVERS, CONTROL), action="append")
    arguments.add_argument("--minutes", type=float, default=10.0)
    arguments.add_argument("--rate", type=float, default=2000.0, help="datagrams/s, each driver")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--domain", type=int, default=65, help="ROS domain of its own")
    arguments.add_argument("--json", type=Path, help="write the figures here as well")
    arguments.add_argument("--log", type=Path, default=Path(os.devnull))
    given = arguments.parse_args()
    names = given.driver or list(DRIVERS)
    if {"dspnor", CONTROL} <= set(names):
        arguments.error(f"dspnor and {CONTROL} are one driver: soak them one after the other")
    rig = Rig(given.domain, given.log)
    subjects: list[Subject] = []
    rows: list[dict[str, Any]] = []
    try:
        subjects += [begin(rig, name, given.seed) for name in names]
        for subject in subjects:
            rig.wait(subject.client.service_is_ready, f"the services of {subject.name}")
        begun = time.monotonic()
        sender = Sender(subjects, given.rate)
        sender.start()
        while (passed := time.monotonic() - begun) < 60.0 * given.minutes:
            look(subjects, passed / 60.0)
            time.sleep(max(0.0, 1.0 - (time.monotonic() - begun - passed)))
        sender.stop()
        time.sleep(3.0)  # the last counts come with the diagnostics
        rows = [figures(rig, subject, time.monotonic() - begun) for subject in subjects]
        alive = [rig.processes[subject.driver].poll() is None for subject in subjects]
    finally:
        rig.close()
        for subject in subjects:
            subject.wire.close()
    print(f"machine: {machine()}; load average {os.getloadavg()[0]:.1f} at the end")
    print(f"{given.minutes:g} minutes, {given.rate:g}/s each, sender late by {sender.behind:.2f} s")
    show(rows)
    if given.json is not None:
        given.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
    passed_all = all(
        row["flat"] and not row["unanswered"] and not row["faults"] and up
        for row, up in zip(rows, alive, strict=True)
    )
    return 0 if passed_all else 1


if __name__ == "__main__":
    sys.exit(main())
