# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What 200 targets of all sensors cost the fusion and the range node, in processor time.

    ./thebox run python benchmarks/tracking/live.py --rate 20 --seconds 20

Does in one process what the two nodes do between receiving detections and handing a picture to
DDS, `rate` times a second of the sky `all_200`: nothing of the network, of waiting for a cycle, or
of receiving the detections is in it. `benchmarks/latency.py` measures the whole way, with few
targets.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np
import skies

from thebox_core.packed import PackedPicture, stamp_of
from thebox_fusion.conversion import to_packed_track, to_sighting
from thebox_fusion.offline import detection_of_record
from thebox_fusion.ranging import Ranger
from thebox_fusion.tracker import Tracker
from thebox_fusion.tracker.views import tracks_of

EPOCH = 1.7e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=20.0, help="pictures a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    recording = skies.record(skies.skies()["all_200"], 1)
    waiting = sorted(
        (detection_of_record(record) for record in recording.detections), key=lambda d: d.time
    )
    tracker, ranger = Tracker(), Ranger()
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
        views = tracks_of(tracker.core, now, entries=1)
        marks.append(time.process_time())
        stamp = stamp_of(EPOCH + now)
        tracks = [to_packed_track(view, stamp) for view in views]
        marks.append(time.process_time())
        raw = PackedPicture(stamp, stamp, tracks).write()
        marks.append(time.process_time())
        heard = PackedPicture.read(raw)
        marks.append(time.process_time())
        ranger.update([to_sighting(track) for track in heard.tracks])
        marks.append(time.process_time())
        heard.write()
        marks.append(time.process_time())
        for name, spent in zip(
            (
                *("fusion: track", "fusion: views", "fusion: pack", "fusion: write"),
                *("range: read", "range: estimate", "range: write"),
            ),
            np.diff(marks).tolist(),
            strict=True,
        ):
            cost[name] += spent
        cycles.append(marks[4] - marks[0])
        pictures += 1
    print(f"{pictures} pictures in {options.seconds:g} s, {len(views)} tracks, {len(raw)} bytes")
    for name, spent in cost.items():
        print(f"{name:20s} {100.0 * spent / options.seconds:5.1f} % of a core")
    middle, late = np.percentile(cycles, [50, 99])
    print(f"fusion's cycle: median {1e3 * middle:.1f} ms, 99th percentile {1e3 * late:.1f} ms")


if __name__ == "__main__":
    main()
