# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Real footage through a live graph: clips published as the camera, a gimbal that stands still.

    python footage.py --data DIR/val [--clips 8] [--rate 5]

One track lies in the camera's direction, as uncertain as the picture is wide. For each clip the
verdict on that track is printed, beside what the labels say. The frames of a clip are a second or
more apart; they are played at --rate, in a circle, until there is a verdict or --patience is over.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import rclpy
from cv_bridge import CvBridge
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.parameter import Parameter
from rclpy.task import Future
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from thebox_core.messages import new_gimbal_state, new_track, to_time, to_uuid
from thebox_core.qos import PICTURES, STATE
from thebox_interfaces.msg import GimbalState, Track, TrackArray
from thebox_vision.node import Vision

FIELD = math.radians(10.0)


class Stage:
    """The live vision node, and the camera, gimbal and tracker that it hears."""

    def __init__(self) -> None:
        self.executor = EventsExecutor()
        self.node = Vision(
            namespace="/thebox",
            parameter_overrides=[
                Parameter("cue.enabled", value=False),
                Parameter("snapshots.folder", value=tempfile.mkdtemp()),
            ],
        )
        self.observer: Any = rclpy.create_node("camera", namespace="/thebox")
        self.executor.add_node(self.node)
        self.executor.add_node(self.observer)
        self.images = self.observer.create_publisher(Image, "camera/image_raw", PICTURES)
        self.gimbals = self.observer.create_publisher(GimbalState, "camera/gimbal_state", STATE)
        self.tracks = self.observer.create_publisher(TrackArray, "tracks/ranged", STATE)
        self.heard: list[Any] = []
        self.boxes: list[Any] = []
        self.observer.create_subscription(TrackArray, "tracks", self.heard.append, STATE)
        self.observer.create_subscription(
            Detection2DArray, "camera/detections", self.boxes.append, STATE
        )
        self.ended = Future()
        self.spinning = threading.Thread(
            target=lambda: self.executor.spin_until_future_complete(self.ended, timeout_sec=600),
            daemon=True,
        )
        self.spinning.start()
        self.bridge = CvBridge()

    def show(self, name: uuid.UUID, path: Path) -> None:
        """Publish a picture, the gimbal's state and the track of this name."""
        now = self.observer.get_clock().now().nanoseconds * 1e-9
        gimbal = new_gimbal_state()
        gimbal.header.stamp = to_time(now)
        gimbal.bearing, gimbal.elevation, gimbal.horizontal_field_of_view = 1.0, 0.1, FIELD
        self.gimbals.publish(gimbal)
        track = new_track()
        track.header.stamp = to_time(now)
        track.id = to_uuid(str(name))
        track.state = Track.STATE_CONFIRMED
        track.bearing = 1.0
        track.elevation, track.confidence = 0.1, 0.8
        track.bearing_std = track.elevation_std = FIELD / 5.0
        self.tracks.publish(TrackArray(header=track.header, tracks=[track]))
        message = self.bridge.cv2_to_imgmsg(cv2.imread(str(path)), "bgr8")
        message.header.stamp = to_time(now)
        self.images.publish(message)

    def verdict(self, name: uuid.UUID) -> Any:
        """Visual verification last said of this track, None when none was."""
        last = self.heard[-1].tracks[0] if self.heard else None
        if last is None or bytes(last.id.uuid) != name.bytes:
            return None
        return last.visual_verification

    def play(self, paths: list[Path], rate: float, patience: float) -> Any:
        """Play a clip in a circle until there is a verdict; return what was last said."""
        track, begun, told = uuid.uuid4(), time.monotonic(), None
        self.boxes.clear()
        while time.monotonic() - begun < patience:
            for path in paths:
                self.show(track, path)
                time.sleep(1.0 / rate)
            told = self.verdict(track)
            if told and told.verdict in (told.VERDICT_CONFIRMED, told.VERDICT_REFUTED):
                break
        return told

    def close(self) -> None:
        """End the node and the graph."""
        self.ended.set_result(None)
        self.spinning.join()
        self.node.close()
        self.executor.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--rate", type=float, default=5.0)
    parser.add_argument("--patience", type=float, default=8.0)
    args = parser.parse_args()
    clips: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((args.data / "images").glob("*.jpg")):
        clips[path.stem.rsplit("_", 1)[0]].append(path)
    kinds: dict[str, list[str]] = defaultdict(list)
    for name in clips:
        kinds[name.rsplit("_", 1)[0]].append(name)
    # One of each kind and modality in turn.
    order = [names[i] for i in range(50) for _, names in sorted(kinds.items()) if i < len(names)]

    rclpy.init()
    stage = Stage()
    while not stage.node.ready:
        stage.show(uuid.uuid4(), clips[order[0]][0])
        time.sleep(0.2)
    score: dict[str, int] = defaultdict(int)
    for name in order[: args.clips]:
        told = stage.play(clips[name], args.rate, args.patience)
        verdict = ("not looked", "confirmed", "refuted", "inconclusive")[
            told.verdict if told else 0
        ]
        wanted = "confirmed" if "DRONE" in name else "refuted"
        score["right" if verdict == wanted else "none" if verdict[0] in "ni" else "wrong"] += 1
        found = sum(len(boxes.detections) for boxes in stage.boxes)
        reason = told.reason if told else ""
        print(f"{name}: {verdict}; {found} boxes in {len(stage.boxes)} pictures; {reason}")
    print(dict(score), "pictures:", dict(stage.node.frames.items()))
    stage.close()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
