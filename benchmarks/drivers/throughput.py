# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What one core carries of each driver, from the socket to the topic.

    ./thebox run python benchmarks/drivers/throughput.py [--seconds 5] [--driver mara …]

Each driver runs as its own process. Good datagrams go to its socket as fast as their detections
come back on its topic, with a few hundred under way, so that nothing is dropped and the driver
always has work; an observer in this process takes the messages undecoded. Per core is the count
by the driver's own processor time (parsing, publishing, DDS and health included), which other work
on the machine does not change much; the rate of wall time, seen beside it, it does. The limit is a
loop of Python's ``recvfrom`` alone on the same datagrams.
"""

from __future__ import annotations

import argparse
import functools
import json
import operator
import os
import struct
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil
from rig import DRIVERS, NAMESPACE, Rig, Wire, machine, recvfrom_rate
from samples import RADAR_TRACK, SUBJECTS, block

#: Messages under way at most: well within the topic's queue, which is short for a state.
_WINDOW, _STATE_WINDOW = 200, 8
#: No message for this long, and those under way are taken for lost, seconds.
_LOST = 2.0


def fix(height: float = 15.4) -> bytes:
    """Make a GGA sentence of now, whose every copy becomes a message on ``ownship/fix``."""
    clock = datetime.now(timezone.utc).strftime("%H%M%S.%f")[:9]
    said = f"GPGGA,{clock},5954.6000,N,01045.0000,E,4,08,0.9,{height},M,39.9,M,,".encode()
    check = functools.reduce(operator.xor, said, 0)
    return b"$" + said + b"*%02X\r\n" % check


def target() -> bytes:
    """Make a video track of the camera between the angles that place it."""
    frames = SUBJECTS["trakka"].datagrams
    azimuth, track = frames[0], frames[1]
    content = struct.pack("<BBHHf", 0x01, 0x04, 6, 0x180A, 0.25)
    sums = [0, 0]
    for byte in content:
        sums[0] = (sums[0] + byte) % 255
        sums[1] = (sums[1] + sums[0]) % 255
    return azimuth + b"\xa7\x54" + content + bytes(sums) + track


#: (row, driver, messages of one datagram, what makes the datagram)
CASES: tuple[tuple[str, str, int, Callable[[], bytes]], ...] = (
    ("droneshield", "droneshield", 1, lambda: SUBJECTS["droneshield"].datagrams[0]),
    ("silvus", "silvus", 1, lambda: SUBJECTS["silvus"].datagrams[0]),
    ("silvus, 4 lines", "silvus", 4, lambda: SUBJECTS["silvus"].datagrams[2]),
    ("mara, JSON", "mara", 1, lambda: SUBJECTS["mara"].datagrams[0]),
    ("mara, key=value", "mara", 1, lambda: SUBJECTS["mara"].datagrams[1]),
    ("dspnor, 1 record", "dspnor", 1, lambda: block(RADAR_TRACK)),
    ("dspnor, 20 records", "dspnor", 20, lambda: block(RADAR_TRACK * 20)),
    ("ownship, GGA", "ownship", 1, fix),
    ("trakka (TCP)", "trakka", 1, target),
)


class Flow:
    """Sends as fast as messages come back."""

    def __init__(self, rig: Rig, driver: str, wire: Wire) -> None:
        from sensor_msgs.msg import NavSatFix  # noqa: PLC0415

        from thebox_core.qos import DETECTIONS, STATE  # noqa: PLC0415
        from thebox_interfaces.msg import Detection  # noqa: PLC0415

        self._rig, self._wire = rig, wire
        self.heard = 0
        self._window = _STATE_WINDOW if driver == "ownship" else _WINDOW
        kind, topic, qos = (
            (NavSatFix, "ownship/fix", STATE)
            if driver == "ownship"
            else (Detection, f"detections/{driver}", DETECTIONS)
        )
        self._topic = f"{NAMESPACE}/{topic}"
        self._subscription = rig.node.create_subscription(
            kind, self._topic, self._note, qos, raw=True
        )

    def _note(self, message: bytes) -> None:
        self.heard += 1

    def meet(self, datagram: Callable[[], bytes], messages: int) -> None:
        """Wait until what is sent comes back whole."""
        self._rig.wait(lambda: self._rig.node.count_publishers(self._topic) == 1, self._topic)

        def comes_back() -> bool:
            before = self.heard
            if self._wire.send(datagram()):
                time.sleep(0.2)
            return self.heard - before == messages

        self._rig.wait(comes_back, f"messages on {self._topic}")

    def run(self, datagram: Callable[[], bytes], messages: int, seconds: float) -> tuple[int, int]:
        """Return datagrams sent and messages lost."""
        begun = time.monotonic()
        base, sent = self.heard, 0
        while time.monotonic() - begun < seconds:
            if not self._wait_heard(base + (sent + 1) * messages - self._window):
                break
            sent += self._wire.send(datagram())
        self._wait_heard(base + sent * messages)
        return sent, sent * messages - (self.heard - base)

    def _wait_heard(self, count: int) -> bool:
        """Wait until so many messages have come in all; say whether they did."""
        until, heard = time.monotonic() + _LOST, self.heard
        while self.heard < count:
            if self.heard != heard:
                until, heard = time.monotonic() + _LOST, self.heard
            if time.monotonic() > until:
                return False
            time.sleep(0.0002)
        return True


def measure(rig: Rig, case: tuple[str, str, int, Callable[[], bytes]], seconds: float) -> Any:
    """Run one driver; return its row."""
    name, driver, messages, datagram = case
    wire = Wire(driver == "trakka")
    try:
        cores = sorted(psutil.Process().cpu_affinity() or [0])
        process = rig.start(driver, f"source:={wire.url}", cores=cores[-1:])
        rig.health.clear()
        rig.wait_active(driver)
        flow = Flow(rig, driver, wire)
        flow.meet(datagram, messages)
        # Made once a datagram where it must be fresh; the others cost nothing to make.
        flow.run(datagram, messages, 1.0)
        before, begun = process.cpu_times(), time.monotonic()
        sent, lost = flow.run(datagram, messages, seconds)
        after, took = process.cpu_times(), time.monotonic() - begun
    finally:
        rig.stop(driver)
        wire.close()
    spent = after.user + after.system - before.user - before.system
    sample = datagram()
    limit = recvfrom_rate([sample], min(seconds, 2.0))
    return {
        "case": name,
        "bytes": len(sample),
        "sent": sent,
        "lost": lost,
        "per_second": sent / took,
        "cpu": spent / took,
        "per_core": sent / spent,
        "messages_per_core": sent * messages / spent,
        "us": 1e6 * spent / sent,
        "recvfrom": limit,
    }


def main() -> int:
    """Run the benchmark; return 1 when a message was lost."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--driver", choices=DRIVERS, action="append")
    arguments.add_argument("--seconds", type=float, default=5.0)
    arguments.add_argument("--domain", type=int, default=66, help="ROS domain of its own")
    arguments.add_argument("--json", type=Path, help="write the figures here as well")
    arguments.add_argument("--log", type=Path, default=Path(os.devnull))
    given = arguments.parse_args()
    wanted = set(given.driver or DRIVERS)
    rig = Rig(given.domain, given.log)
    try:
        rows = [measure(rig, case, given.seconds) for case in CASES if case[1] in wanted]
    finally:
        rig.close()
    print(f"machine: {machine()}; load average {os.getloadavg()[0]:.1f} at the end")
    head = ("driver", "bytes", "datagrams/s per core", "messages/s per core", "us a datagram")
    head += ("recvfrom/s", "datagrams/s of wall time", "at CPU", "lost")
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for row in rows:
        numbers = (row["per_core"], row["messages_per_core"], row["us"], row["recvfrom"])
        cells = (row["case"], str(row["bytes"]), *(f"{number:,.0f}" for number in numbers))
        cells += (f"{row['per_second']:,.0f}", f"{row['cpu']:.0%}", str(row["lost"]))
        print("| " + " | ".join(cells) + " |")
    if given.json is not None:
        given.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
    return 0 if not any(row["lost"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
