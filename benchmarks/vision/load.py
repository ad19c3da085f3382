# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures faster than the vision node can look: what it takes, what it drops, how late it is.

    ./thebox run python benchmarks/vision/load.py [--rate 30] [--seconds 30]

The node runs as a process of its own. Pictures come at `--rate`, the gimbal's state at 10 Hz and
20 tracks at 10 Hz, as in the graph. Printed: the share of pictures looked at, from a picture's
stamp to its boxes, and from `tracks/ranged` to `tracks`, first without pictures, then with them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import threading
import time
import uuid
from typing import Any

import cv2
import numpy as np
import rclpy
from cv_bridge import CvBridge
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.task import Future
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from thebox_bringup.transport import speak_as_the_box
from thebox_core.messages import new_gimbal_state, new_track, seconds, to_time, to_uuid
from thebox_core.qos import PICTURES, STATE
from thebox_interfaces.msg import GimbalState, Track, TrackArray

NAMESPACE = "/thebox"


def told(times: list[float]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds."""
    if not times:
        return {"count": 0}
    p50, p99 = np.percentile(times, (50, 99)) * 1000
    return {"count": len(times), "median ms": round(p50, 1), "99th percentile ms": round(p99, 1)}


class Camera:
    """The camera, gimbal and tracker that the node hears, and the clock on what it answers."""

    def __init__(self, width: int, height: int) -> None:
        self.node: Any = rclpy.create_node("load", namespace=NAMESPACE)
        self.images = self.node.create_publisher(Image, "camera/image_raw", PICTURES)
        self.gimbals = self.node.create_publisher(GimbalState, "camera/gimbal_state", STATE)
        self.tracks = self.node.create_publisher(TrackArray, "tracks/ranged", STATE)
        self.box_delays: list[float] = []
        self.track_delays: list[float] = []
        self.node.create_subscription(Detection2DArray, "camera/detections", self._boxes, STATE)
        self.node.create_subscription(TrackArray, "tracks", self._tracks, STATE)
        rng = np.random.default_rng(1)
        sky = np.full((height, width, 3), (200, 160, 120), np.uint8)
        self.pictures = []
        for _ in range(8):
            noisy = sky + rng.integers(0, 12, sky.shape, np.uint8)
            x, y = int(rng.uniform(0.2, 0.8) * width), int(rng.uniform(0.2, 0.8) * height)
            cv2.ellipse(noisy, (x, y), (18, 6), 0, 0, 360, (40, 40, 40), -1)
            self.pictures.append(CvBridge().cv2_to_imgmsg(noisy, "bgr8"))
        self.names = [to_uuid(str(uuid.uuid4())) for _ in range(20)]

    def _now(self) -> float:
        return float(self.node.get_clock().now().nanoseconds * 1e-9)

    def _boxes(self, message: Any) -> None:
        self.box_delays.append(self._now() - seconds(message.header.stamp))

    def _tracks(self, message: Any) -> None:
        self.track_delays.append(self._now() - seconds(message.header.stamp))

    def picture(self, number: int) -> None:
        """Publish one picture."""
        message = self.pictures[number % len(self.pictures)]
        message.header.stamp = to_time(self._now())
        self.images.publish(message)

    def surroundings(self) -> None:
        """Publish the gimbal's state and the tracks."""
        stamp = to_time(self._now())
        gimbal = new_gimbal_state()
        gimbal.header.stamp = stamp
        gimbal.bearing, gimbal.elevation = 1.0, 0.1
        gimbal.horizontal_field_of_view = math.radians(10.0)
        self.gimbals.publish(gimbal)
        array = TrackArray()
        array.header.stamp = stamp
        for number, name in enumerate(self.names):
            track = new_track()
            track.header.stamp, track.id = stamp, name
            track.state, track.confidence = Track.STATE_CONFIRMED, 0.8
            track.bearing, track.bearing_std = 0.9 + 0.01 * number, 0.005
            array.tracks.append(track)
        self.tracks.publish(array)

    def run(self, rate: float, duration: float) -> int:
        """Publish for so long; return the number of pictures."""
        begun = time.monotonic()
        sent, due = 0, 0
        while (spent := time.monotonic() - begun) < duration:
            if spent * 10.0 >= due:
                self.surroundings()
                due += 1
            if rate and spent * rate >= sent:
                self.picture(sent)
                sent += 1
            upcoming = min(due / 10.0, sent / rate if rate else math.inf)
            time.sleep(max(0.0, min(upcoming - (time.monotonic() - begun), 0.1)))
        return sent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--width", type=int, default=960)
    parser.add_argument("--height", type=int, default=540)
    args = parser.parse_args()
    # As the box's processes have it.
    speak_as_the_box()
    rclpy.init()
    camera = Camera(args.width, args.height)
    executor = EventsExecutor()
    executor.add_node(camera.node)
    ended = Future()
    spinning = threading.Thread(
        target=lambda: executor.spin_until_future_complete(ended, timeout_sec=3600), daemon=True
    )
    spinning.start()
    process = subprocess.Popen(
        [sys.executable, "-m", "thebox_vision.node", "--ros-args", "-r", f"__ns:={NAMESPACE}"],
        env=dict(os.environ),
    )
    result: dict[str, Any] = {"pictures a second": args.rate, "size": [args.width, args.height]}
    try:
        limit = time.monotonic() + 60.0
        while not camera.box_delays:  # The model is loaded and looks.
            if time.monotonic() > limit:
                raise SystemExit("the vision node did not look at a picture within 60 s")
            camera.run(2.0, 1.0)
        for name, rate in (("tracks alone", 0.0), ("tracks with pictures", args.rate)):
            camera.box_delays.clear()
            camera.track_delays.clear()
            sent = camera.run(rate, args.seconds)
            result[name] = told(camera.track_delays)
            if rate:
                result["sent"], result["looked at"] = sent, len(camera.box_delays)
                result["picture to boxes"] = told(camera.box_delays)
                third = len(camera.box_delays) // 3
                result["first third"] = told(camera.box_delays[:third])
                result["last third"] = told(camera.box_delays[-third:])
    finally:
        process.terminate()
        process.wait(20)
        ended.set_result(None)
        spinning.join()
        rclpy.shutdown()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
