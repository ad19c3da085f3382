# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The closed loop on a live graph with the simulator: who got which verdict, and how soon.

    ./thebox up -d --scenario harbour
    ./thebox run python benchmarks/vision/live_loop.py [--seconds 180] [--json OUT.json]

Listens only. A verdict is held against the simulator's truth: the object that is nearest to the
track when the verdict falls, within three standard deviations and 60 m (0.02 rad where the range
is not observed); a track with nothing near is a false one. Times from cue to verdict and what
became of the pictures are the vision node's own, from its diagnostics.
"""

from __future__ import annotations

import argparse
import json
import math
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.task import Future

from thebox_core.messages import from_uuid, seconds
from thebox_core.qos import STATE
from thebox_interfaces.msg import Track, TrackArray, TruthArray, VisualVerification

KINDS = {Track.CLASS_DRONE: "drone", Track.CLASS_BIRD: "bird", Track.CLASS_BOAT: "boat"}
VERDICTS = {
    VisualVerification.VERDICT_CONFIRMED: "confirmed",
    VisualVerification.VERDICT_REFUTED: "refuted",
    VisualVerification.VERDICT_INCONCLUSIVE: "inconclusive",
}


class Listener:
    """Keeps the newest truth, every verdict as it falls, and the node's diagnostics."""

    def __init__(self, namespace: str) -> None:
        self.node = rclpy.create_node("live_loop", namespace=namespace)
        self.truth: Any = None
        self.verdicts: list[dict[str, Any]] = []
        self.told: dict[str, dict[str, str]] = {}
        self.seen: dict[str, Counter[str]] = defaultdict(Counter)
        self._last: dict[str, int] = {}
        self._first: dict[str, float] = {}
        self.node.create_subscription(TruthArray, "sim/truth", self._on_truth, STATE)
        self.node.create_subscription(TrackArray, "tracks", self._on_tracks, STATE)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_health, 50)

    def _on_truth(self, message: Any) -> None:
        self.truth = message

    def _on_health(self, message: Any) -> None:
        for status in message.status:
            if status.name.rsplit("/", 1)[-1].startswith("vision: "):
                self.told[status.name.rsplit(": ", 1)[-1]] = {
                    **{v.key: v.value for v in status.values},
                    "says": status.message,
                }

    def _on_tracks(self, message: Any) -> None:
        now = seconds(message.header.stamp)
        for track in message.tracks:
            name = from_uuid(track.id)
            self._first.setdefault(name, now)
            near = self._nearest(track)
            if track.state == Track.STATE_CONFIRMED:
                self.seen[near][name] += 1
            verdict = track.visual_verification.verdict
            if verdict == self._last.get(name, 0):
                continue
            self._last[name] = verdict
            self.verdicts.append(
                {
                    "track": name[:8],
                    "object": near,
                    "verdict": VERDICTS.get(verdict, "withdrawn"),
                    "reason": track.visual_verification.reason,
                    "after, s": round(now - self._first[name], 1),
                }
            )

    def _nearest(self, track: Any) -> str:
        best, least = "nothing", math.inf
        for item in self.truth.objects if self.truth is not None else ():
            east, north = item.position.x, item.position.y
            off = abs(math.remainder(math.atan2(east, north) - track.bearing, 2 * math.pi))
            gate = max(3.0 * track.bearing_std, 0.02)
            if track.range_observed:
                far = math.hypot(east - track.position.x, north - track.position.y)
                if far > max(60.0, 3.0 * track.range_std):
                    continue
                off = far / max(math.hypot(east, north), 1.0)
                gate = math.inf
            if off < min(least, gate):
                best, least = f"{KINDS.get(item.object_class, 'other')} {item.id}", off
        return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--namespace", default="/thebox")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rclpy.init()
    listener = Listener(args.namespace)
    executor = EventsExecutor()
    executor.add_node(listener.node)
    ended = Future()
    spinning = threading.Thread(
        target=lambda: executor.spin_until_future_complete(ended, timeout_sec=args.seconds + 5),
        daemon=True,
    )
    spinning.start()
    begun = time.monotonic()
    shown = 0
    while time.monotonic() - begun < args.seconds:
        time.sleep(1.0)
        for line in listener.verdicts[shown:]:
            print(f"{time.monotonic() - begun:6.1f} s  {json.dumps(line)}", flush=True)
        shown = len(listener.verdicts)
    spinning.join(10.0)
    by: dict[str, Counter[str]] = defaultdict(Counter)
    for line in listener.verdicts:
        by[line["object"]][line["verdict"]] += 1
    objects = {}
    for name, tracks in sorted(listener.seen.items()):
        if name != "nothing" and max(tracks.values()) >= 5:
            objects[name] = dict(by.get(name, Counter()))
    out: dict[str, Any] = {"objects with a confirmed track": objects}
    for kind, wanted in (("drone", "confirmed"), ("bird", "refuted")):
        mine = [v for k, v in objects.items() if k.startswith(kind)]
        out[f"{kind}s {wanted}"] = f"{sum(bool(v.get(wanted)) for v in mine)} of {len(mine)}"
    judged = [v["after, s"] for v in listener.verdicts if v["verdict"] in ("confirmed", "refuted")]
    out["median, first track to verdict, s"] = float(np.median(judged)) if judged else None
    wanted_keys = ("cue_to_confirm", "frames.", "rate", "looked_at", "latency", "inference", "says")
    for part, values in listener.told.items():
        out[part] = {k: v for k, v in values.items() if k.startswith(wanted_keys)}
    print(json.dumps(out, indent=1))
    if args.json:
        args.json.write_text(json.dumps({**out, "verdicts": listener.verdicts}, indent=1))


if __name__ == "__main__":
    main()
