# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The vision node on a live graph, with the shipped model."""

from __future__ import annotations

import array
import math
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.graph

WIDTH, HEIGHT = 320, 256


def picture(
    stamp: float,
    encoding: str = "bgr8",
    raw: bytes | None = None,
    shape: tuple[int, int] = (WIDTH, HEIGHT),
) -> Any:
    from sensor_msgs.msg import Image

    from thebox_core.messages import to_time

    size = {"bgr8": 3, "mono8": 1, "mono16": 2}[encoding]
    width, height = shape
    message = Image(encoding=encoding, width=width, height=height, step=width * size)
    message.header.stamp = to_time(stamp)
    body = bytes([150]) * (width * height * size) if raw is None else raw
    message.data = array.array("B", body)
    return message


def tracks(stamp: float, name: str, bearing: float) -> Any:
    from thebox_core.messages import new_track, to_time, to_uuid
    from thebox_interfaces.msg import Track, TrackArray

    track = new_track()
    track.header.stamp = to_time(stamp)
    track.id = to_uuid(name)
    track.state = Track.STATE_CONFIRMED
    track.bearing, track.bearing_std = bearing, 0.005
    track.elevation, track.elevation_std = 0.1, 0.005
    track.range, track.range_std, track.range_observed = 60.0, 5.0, True
    track.confidence = 0.9
    message = TrackArray(tracks=[track])
    message.header.stamp = to_time(stamp)
    return message


def gimbal(stamp: float, bearing: float) -> Any:
    from thebox_core.messages import new_gimbal_state, to_time

    message = new_gimbal_state()
    message.header.stamp = to_time(stamp)
    message.bearing, message.elevation = bearing, 0.1
    message.azimuth_rate = message.elevation_rate = 0.0
    message.horizontal_field_of_view = math.radians(10.0)
    return message


class Feed:
    """Publishes a camera, a gimbal and one track, again and again, as real ones do."""

    def __init__(self, live: Any, name: str) -> None:
        from sensor_msgs.msg import Image

        from thebox_core.qos import PICTURES, STATE
        from thebox_interfaces.msg import GimbalState, TrackArray

        make = live.observer.create_publisher
        self.live, self.name = live, name
        self.images = make(Image, "camera/image_raw", PICTURES)
        self.gimbals = make(GimbalState, "camera/gimbal_state", STATE)
        self.tracks = make(TrackArray, "tracks/ranged", STATE)

    def now(self) -> float:
        return float(self.live.observer.get_clock().now().nanoseconds) * 1e-9

    def play(self, *messages: Any) -> None:
        now = self.now()
        self.gimbals.publish(gimbal(now, 1.0))
        self.tracks.publish(tracks(now, self.name, 1.0))
        for message in messages or (picture(now),):
            self.images.publish(message)


@pytest.fixture
def feed(live: Any) -> Feed:
    return Feed(live, str(uuid.UUID(int=7)))


def test_a_track_that_is_not_there_is_refuted_and_told_to_fusion(
    live: Any, feed: Feed, tmp_path: Path
) -> None:
    from vision_msgs.msg import Detection2DArray

    from thebox_core.qos import DETECTIONS, STATE
    from thebox_interfaces.msg import Detection, TrackArray, VisualVerification
    from thebox_vision.node import Vision

    heard = live.listen(TrackArray, "tracks", STATE)
    against = live.listen(Detection, "detections/vision", DETECTIONS)
    boxes = live.listen(Detection2DArray, "camera/detections", STATE)
    live.start(Vision, verify__empty_looks=3, model__size=320, snapshots__folder=str(tmp_path))

    def refuted() -> bool:
        feed.play()
        told = heard[-1].tracks[0].visual_verification if heard else None
        return bool(told and told.verdict == VisualVerification.VERDICT_REFUTED)

    first = live.wait(lambda: feed.play() or heard, "tracks passed on")[0]
    assert first.tracks[0].visual_verification.verdict == VisualVerification.VERDICT_NOT_LOOKED
    live.wait(refuted, "a verdict")
    told = heard[-1].tracks[0].visual_verification
    assert told.looks >= 3
    assert told.hits == 0
    assert "nothing there" in told.reason
    assert boxes
    live.wait(lambda: against, "the evidence against it")
    assert against[0].confidence < 0.5
    assert against[0].bearing == pytest.approx(1.0)


def test_bad_pictures_are_counted_and_the_next_good_one_is_taken(live: Any, feed: Feed) -> None:
    from vision_msgs.msg import Detection2DArray

    from thebox_core.qos import STATE
    from thebox_vision.node import Vision

    boxes = live.listen(Detection2DArray, "camera/detections", STATE)
    node = live.start(Vision, model__size=320, cue__enabled=False, model__rate_max=60.0)
    live.wait(lambda: feed.play() or boxes, "pictures looked at")
    live.wait(
        lambda: feed.play(picture(feed.now(), raw=b"short")) or node.rejected.total(),
        "a broken picture counted",
    )
    seen = len(boxes)
    for encoding in ("mono8", "mono16"):

        def play(encoding: str = encoding, before: int = seen) -> bool:
            feed.play(picture(feed.now(), encoding))
            return len(boxes) > before

        live.wait(play, f"{encoding} looked at")
        seen = len(boxes)
    assert node.frames["received"] >= len(boxes)
    live.wait(lambda: live.value("vision: camera", "width") == "320", "the size told")
    # Another camera, or another mode of it: counted, and looked at in its own pixels.
    live.wait(
        lambda: feed.play(picture(feed.now(), shape=(640, 360))) or node.frames["resized"] == 1,
        "another resolution noticed",
    )
    seen = len(boxes)
    live.wait(
        lambda: feed.play(picture(feed.now(), shape=(640, 360))) or len(boxes) > seen,
        "pictures of the new size looked at",
    )
    live.wait(lambda: live.value("vision: camera", "width") == "640", "the new size told")
    assert live.value("vision: camera", "frames.resized") == "1"
    # Then it vanishes.
    live.wait(
        lambda: (
            live.level("vision: camera") == 1 and "no picture for" in live.told()["vision: camera"]
        ),
        "a silent camera is a warning",
    )


def test_without_a_model_tracks_pass_on_and_the_fault_is_told(live: Any, feed: Feed) -> None:
    from thebox_core.qos import STATE
    from thebox_interfaces.msg import TrackArray
    from thebox_vision.node import Vision

    heard = live.listen(TrackArray, "tracks", STATE)
    live.start(Vision, model__path="/nowhere/model.onnx")
    live.wait(lambda: feed.play() or heard, "tracks passed on")
    live.wait(lambda: live.level("vision: model") == 2, "the fault told")
    assert "model.path" in live.told()["vision: model"]


def test_round_the_life_cycle(live: Any, feed: Feed) -> None:
    from thebox_vision.node import Vision

    node = live.start(Vision, model__size=320)
    live.wait(lambda: node.is_active, "active")
    for _ in range(3):
        live.in_executor(node.trigger_deactivate)
        live.in_executor(node.trigger_cleanup)
        live.in_executor(node.trigger_configure)
        live.in_executor(node.trigger_activate)
        assert node.is_active
    assert np.isfinite(node.now())


def test_unreadable_tracks_are_counted_and_the_next_pass(live: Any, tmp_path: Path) -> None:
    from rclpy.serialization import serialize_message

    from thebox_core.qos import STATE
    from thebox_interfaces.msg import TrackArray
    from thebox_vision.node import Vision

    heard = live.listen(TrackArray, "tracks", STATE)
    node = live.start(Vision, model__path=str(tmp_path / "none.onnx"))
    publisher = live.observer.create_publisher(TrackArray, "tracks/ranged", STATE)
    live.wait(lambda: node.is_active and publisher.get_subscription_count(), "the node to listen")
    whole = tracks(time.time(), str(uuid.uuid4()), 1.0)
    publisher.publish(serialize_message(whole)[:-40])
    live.wait(lambda: node.rejected["unreadable tracks"] == 1, "the reject to be counted")
    publisher.publish(whole)
    live.wait(lambda: heard, "the next tracks")
    assert [t.id for t in heard[-1].tracks] == [t.id for t in whole.tracks]
    assert heard[-1].header == whole.header
