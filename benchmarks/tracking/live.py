# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What 200 targets of all sensors cost the fusion and the range node, in processor time.

    ./thebox run python benchmarks/tracking/live.py --rate 20 --seconds 20
    ./thebox run python benchmarks/tracking/live.py --paced --seconds 20

Does in one process what the two nodes do between receiving detections and handing a picture to
DDS, `rate` times a second of the sky `all_200`: nothing of the network, of waiting for a cycle, or
of receiving the detections is in it. With `--paced` cycles come when the fusion node would begin
them (its ceiling, its share of a core, whole looks), on a clock that only its own processor time
and `--receive` milliseconds a detection move on: how late pictures are by reckoning, whatever else
the machine does. `benchmarks/tracking/graph.py` measures the whole way on live nodes.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import skies

from thebox_core.packed import PackedPicture, PictureReader, stamp_of
from thebox_fusion.conversion import to_sighting
from thebox_fusion.offline import detection_of_record
from thebox_fusion.pacing import Pace
from thebox_fusion.packing import Packer
from thebox_fusion.ranging import Ranger
from thebox_fusion.tracker import Detection, Tracker

EPOCH = 1.7e9
# As the fusion node is set by default, and its own constants.
CEILING, LOAD, QUIET, LOOK = 0.02, 0.35, 0.002, 0.02


def paced(waiting: Sequence[Detection], receive: float, warm: float) -> None:
    """Print how late pictures are where nothing else runs.

    Args:
        waiting: detections in the order of their times.
        receive: seconds that taking in one detection takes.
        warm: seconds at the start that are left out.
    """
    tracker, packer, pace = Tracker(), Packer(), Pace()
    now = next_cycle = first = last = newest = 0.0
    queue: list[Detection] = []
    lateness: list[float] = []
    costs: list[float] = []
    begin, together = 0, False
    while begin < len(waiting) or queue:
        arrival = waiting[begin].time if begin < len(waiting) else math.inf
        due = math.inf
        if queue:
            quiet = min(last + QUIET, first + LOOK) if together else 0.0
            due = max(next_cycle, quiet, now)
        if arrival <= max(now, due):
            # What is there already is read before a timer is looked at.
            now = last = max(now, arrival) + receive
            if not queue:
                first = now
            queue.append(waiting[begin])
            begin += 1
            index = tracker.core.sensor_index.get(queue[-1].sensor, -1)
            together = index >= 0 and tracker.state.sensors[index].simultaneous
            continue
        now = due
        start = time.process_time()
        tracker.add(queue)
        newest = max(newest, *(d.time for d in queue))
        tracker.advance(newest)
        stamp = stamp_of(EPOCH + now)
        tracks, _ = packer.pack(tracker.core, now, stamp)
        PackedPicture(stamp, stamp, tracks).write()
        cost = time.process_time() - start
        next_cycle = pace.after(now, cost, share=LOAD, spacing=CEILING)
        now += cost
        if now > warm:
            lateness += [now - d.time for d in queue]
            costs.append(cost)
        queue = []
    middle, late = 1e3 * np.percentile(lateness, [50, 99])
    seconds = waiting[-1].time - warm
    print(f"from a detection to its picture: median {middle:.0f} ms, 99th percentile {late:.0f} ms")
    print(
        f"{len(costs) / seconds:.1f} pictures a second of {len(tracks)} tracks, a cycle"
        f" {1e3 * float(np.median(costs)):.1f} ms in the median,"
        f" {100 * sum(costs) / seconds:.0f} % of a core"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=20.0, help="pictures a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--paced", action="store_true", help="cycles as the node begins them")
    parser.add_argument("--receive", type=float, default=0.04, help="milliseconds a detection")
    parser.add_argument("--warm", type=float, default=8.0, help="seconds left out, with --paced")
    options = parser.parse_args()
    recording = skies.record(skies.skies()["all_200"], 1)
    waiting = sorted(
        (detection_of_record(record) for record in recording.detections), key=lambda d: d.time
    )
    if options.paced:
        life = [d for d in waiting if d.time <= options.seconds]
        paced(life, 1e-3 * options.receive, options.warm)
        return
    tracker, packer, ranger, reader = Tracker(), Packer(), Ranger(), PictureReader()
    cost: Counter[str] = Counter()
    cycles: list[float] = []
    begin, pictures = 0, 0
    for number in range(1, round(options.seconds * options.rate) + 1):
        now = number / options.rate
        end = begin
        while end < len(waiting) and waiting[end].time <= now:
            end += 1
        if end == begin:
            continue
        marks = [time.process_time()]
        tracker.add(waiting[begin:end])
        tracker.advance(waiting[end - 1].time)
        begin = end
        marks.append(time.process_time())
        stamp = stamp_of(EPOCH + now)
        tracks, _ = packer.pack(tracker.core, now, stamp)
        marks.append(time.process_time())
        raw = PackedPicture(stamp, stamp, tracks).write()
        marks.append(time.process_time())
        heard = reader.read(raw)
        marks.append(time.process_time())
        ranger.update([to_sighting(track) for track in heard.tracks])
        marks.append(time.process_time())
        heard.write()
        marks.append(time.process_time())
        for name, spent in zip(
            (
                *("fusion: track", "fusion: pack", "fusion: write"),
                *("range: read", "range: estimate", "range: write"),
            ),
            np.diff(marks).tolist(),
            strict=True,
        ):
            cost[name] += spent
        cycles.append(marks[3] - marks[0])
        pictures += 1
    print(f"{pictures} pictures in {options.seconds:g} s, {len(tracks)} tracks, {len(raw)} bytes")
    for name, spent in cost.items():
        print(f"{name:20s} {100.0 * spent / options.seconds:5.1f} % of a core")
    middle, late = np.percentile(cycles, [50, 99])
    print(f"fusion's cycle: median {1e3 * middle:.1f} ms, 99th percentile {1e3 * late:.1f} ms")


if __name__ == "__main__":
    main()
