# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""200 targets of all sensors on the live nodes: how late, and at what cost.

    ./thebox run python benchmarks/tracking/graph.py --seconds 40 [--warm 15] [--sky all_200]

The fusion, range and vision nodes run as processes of their own (vision without a camera, so that
tracks only pass through it). The detections of a simulated sky are published as a driver would,
each when it arrives, for `--seconds` of life. The latency of a detection is from just before its
publication to the arrival here of the first picture whose `newest_detection` has reached its stamp:
from `tracks/fused`, and from `tracks`, the end of the chain. What the driver itself adds is in
`benchmarks/latency.py`. Processor time is the kernel's count for each process.
"""

from __future__ import annotations

import argparse
import bisect
import json
import math
import multiprocessing
import os
import platform
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import skies

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import latency

from thebox_bringup.transport import speak_as_the_box

CONFIRMED = 2  # Track.STATE_CONFIRMED
LISTENERS = 2  # fusion and range
NODES = {"fusion": "thebox_fusion", "range": "thebox_fusion", "vision": "thebox_vision"}
TOPICS = ("tracks/fused", "tracks")
_FIELDS = {
    "bearing_rad": "bearing",
    "bearing_sigma_rad": "bearing_std",
    "alt_bearing_rad": "bearing_alternative",
    "elevation_rad": "elevation",
    "elevation_sigma_rad": "elevation_std",
    "range_m": "range",
    "range_sigma_m": "range_std",
    "rssi_dbm": "rssi",
    "frequency_hz": "frequency",
    "confidence": "confidence",
}


def message_of(record: dict[str, Any], stamp: float) -> Any:
    """Return a line of a recording as a Detection, measured at ``stamp``."""
    from thebox_core.messages import MODALITIES, new_detection, to_time  # noqa: PLC0415
    from thebox_fusion.offline import detection_of_record  # noqa: PLC0415

    message = new_detection()
    message.header.stamp = message.received = to_time(stamp)
    message.sensor = record["sensor"]
    modality = detection_of_record(record).modality
    message.modality = next(number for number, name in MODALITIES.items() if name == modality)
    for name, field in _FIELDS.items():
        if name in record:
            setattr(message, field, float(record[name]))
    message.sensor_track_id = str(record.get("key", ""))
    stood = message.sensor_position
    stood.x, stood.y = float(record["own_east_m"]), float(record["own_north_m"])
    return message


def publish(records: list[dict[str, Any]], seconds: float, orders: Connection) -> None:
    """Publish detections at life speed, as a process of its own; every driver is one.

    Args:
        records: in the order of their times.
        seconds: of life.
        orders: says "ready" when all that are to listen do, begins when told the time of the
            clock, and then says when each was published (monotonic seconds), and the stamps.
    """
    import rclpy  # noqa: PLC0415 - after the domain is set

    from thebox_core.qos import DETECTIONS  # noqa: PLC0415
    from thebox_interfaces.msg import Detection  # noqa: PLC0415

    rclpy.init(args=[])
    node = rclpy.create_node("sensors", namespace="/bench")
    publishers = {
        sensor: node.create_publisher(Detection, f"detections/{sensor}", DETECTIONS)
        for sensor in sorted({record["sensor"] for record in records})
    }
    while not all(p.get_subscription_count() >= LISTENERS for p in publishers.values()):
        time.sleep(0.01)
    orders.send("ready")
    start = float(orders.recv())
    messages = [message_of(record, start + record["t"]) for record in records]
    sent = []
    begun = time.monotonic() + (start - time.time())
    for record, message in zip(records, messages, strict=True):
        if record["t"] > seconds:
            break
        left = begun + record["t"] - time.monotonic()
        if left > 0.0:
            time.sleep(left)
        sent.append(time.monotonic())
        publishers[record["sensor"]].publish(message)
    stamps = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in messages]
    late = max(at - begun - record["t"] for at, record in zip(sent, records, strict=False))
    orders.send((sent, stamps[: len(sent)], late))
    orders.recv()  # what is published stays until it has been read
    node.destroy_node()
    rclpy.shutdown()


class Chain(latency.Bench):
    """The processes, what is published to them and what comes out."""

    begun = 0.0

    def _listen(self) -> None:
        from thebox_core.qos import STATE  # noqa: PLC0415
        from thebox_interfaces.msg import TrackArray  # noqa: PLC0415

        #: Of each topic (arrival, serialised picture): looked at only when all is over.
        self.arrived: dict[str, list[tuple[float, bytes]]] = {}
        for topic in TOPICS:
            heard = self.arrived[topic] = []
            self.node.create_subscription(
                TrackArray,
                topic,
                lambda raw, heard=heard: heard.append((time.monotonic(), raw)),
                STATE,
                raw=True,
            )

    def play(self, records: list[dict[str, Any]], seconds: float) -> tuple[list[float], float]:
        """Publish at life speed; return when each was published, and the greatest lag."""
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        sensors = context.Process(target=publish, args=(records, seconds, theirs), daemon=True)
        sensors.start()
        self.wait(lambda: mine.poll(0), "fusion and range to listen")
        mine.recv()
        self.begun = time.time() + 2.0
        mine.send(self.begun)
        self.wait(lambda: mine.poll(0.5), "all to be published", seconds + 30.0)
        sent, self.stamps, late = mine.recv()
        last = self.stamps[-1]
        self.wait(lambda: self._newest("tracks") >= last, "the last picture")
        mine.send("end")
        sensors.join(10.0)
        return sent, late

    def _newest(self, topic: str) -> int:
        from thebox_core.packed import PackedPicture  # noqa: PLC0415

        if not self.arrived[topic]:
            return 0
        sec, nanosec = PackedPicture.read(self.arrived[topic][-1][1]).newest_detection
        return sec * 10**9 + nanosec

    def latencies(self, topic: str, sent: list[float], skip: int) -> np.ndarray:
        """Return the latency of each detection from number ``skip`` on, seconds."""
        from thebox_core.packed import PackedPicture  # noqa: PLC0415

        newest, at = [], []
        for arrival, raw in self.arrived[topic]:
            sec, nanosec = PackedPicture.read(raw).newest_detection
            newest.append(sec * 10**9 + nanosec)
            at.append(arrival)
        found = []
        for number in range(skip, len(sent)):
            index = bisect.bisect_left(newest, self.stamps[number])
            found.append(at[index] - sent[number] if index < len(at) else math.inf)
        return np.array(found)


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sky", default="all_200", help="of benchmarks/tracking/skies.py")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--warm", type=float, default=15.0, help="seconds left out at the start")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--domain", type=int, default=65, help="ROS domain of its own")
    parser.add_argument("--log", type=Path, default=Path(os.devnull))
    given = parser.parse_args()
    os.environ["ROS_DOMAIN_ID"] = str(given.domain)
    speak_as_the_box()
    recording = skies.record(skies.skies()[given.sky], 1)
    records = sorted(recording.detections, key=lambda r: r["t"])
    from thebox_core.packed import PackedPicture  # noqa: PLC0415

    chain = Chain(given.log)
    try:
        for name, package in NODES.items():
            more = ("model.path:=/none",) if name == "vision" else ()
            chain.start(name, package, *more)
        processes = {name: psutil.Process(p.pid) for name, p in chain.processes.items()}
        spent: dict[str, float] = {}
        skip = sum(record["t"] <= given.warm for record in records)

        def begin_to_count() -> None:
            """Take the processor time at the end of the warm part, once."""
            if not spent and chain.begun and time.time() >= chain.begun + given.warm:
                spent.update({n: sum(p.cpu_times()[:2]) for n, p in processes.items()})
                spent["at"] = time.monotonic()

        chain.node.create_timer(0.1, begin_to_count)
        sent, late = chain.play(records, given.seconds)
        took = time.monotonic() - spent.pop("at")
        share = {n: (sum(p.cpu_times()[:2]) - spent[n]) / took for n, p in processes.items()}
        tracks = PackedPicture.read(chain.arrived["tracks"][-1][1]).tracks
        confirmed = sum(track.state == CONFIRMED for track in tracks)
        rows = {}
        for topic in TOPICS:
            found = chain.latencies(topic, sent, skip)
            p50, p99 = np.percentile(found, [50, 99])
            pictures = sum(at >= sent[skip] for at, _ in chain.arrived[topic])
            rows[topic] = {
                "median_ms": 1e3 * float(p50),
                "p99_ms": 1e3 * float(p99),
                "lost": int(np.isinf(found).sum()),
                "pictures_per_second": pictures / (sent[-1] - sent[skip]),
                "bytes": len(chain.arrived[topic][-1][1]),
            }
    finally:
        chain.close()
    rate = (len(sent) - skip) / (given.seconds - given.warm)
    print(f"machine: {latency.machine()}; load average {os.getloadavg()[0]:.1f} at the end")
    print(f"{given.sky}: {rate:.0f} detections/s, {confirmed} confirmed tracks at the end")
    for topic, row in rows.items():
        print(
            f"{topic:14s} median {row['median_ms']:6.1f} ms, 99th percentile {row['p99_ms']:6.1f} "
            f"ms, {row['pictures_per_second']:.1f} pictures/s of {row['bytes']} bytes, "
            f"{row['lost']} detections in none"
        )
    print(", ".join(f"{name} {100 * cpu:.0f} % of a core" for name, cpu in share.items()))
    print(f"published at most {1e3 * late:.1f} ms late")
    if given.json is not None:
        result = {"machine": latency.machine(), "python": platform.python_version()}
        result |= {"rows": rows, "cpu": share, "rate": rate}
        given.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
