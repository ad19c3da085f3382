# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Between the vision node's values and ROS messages."""

from __future__ import annotations

import array
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import KeyValue
from sensor_msgs.msg import CompressedImage
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from thebox_core.messages import new_detection, to_time
from thebox_core.packed import PackedTrack, Verdict, stamp_of
from thebox_interfaces.msg import Detection, Track
from thebox_vision.association import Sight, Trail
from thebox_vision.cueing import CueTrack
from thebox_vision.detector import Box, to_bgr8
from thebox_vision.geometry import Pointing
from thebox_vision.snapshots import drawn
from thebox_vision.verification import Candidate, Standing

__all__ = [
    "annotated",
    "boxes_found",
    "empty_detection",
    "new_vision_detection",
    "predicted",
    "sight_detection",
    "tell",
    "threat",
]

Outlines = Sequence[Sequence[tuple[float, float]]]


def new_vision_detection(sensor: str, stamp: float, received: float, infrared: bool) -> Detection:
    """A detection by the camera, as yet of nothing."""
    message = new_detection()
    message.header.stamp = to_time(stamp)
    message.header.frame_id = "vision_link"
    message.received = to_time(received)
    message.sensor = sensor
    message.modality = Detection.MODALITY_IR if infrared else Detection.MODALITY_EO
    return message


def sight_detection(
    message: Detection, values: Mapping[str, Any], pointing: Pointing, sight: Sight, trail: Trail
) -> Detection:
    """Fill in what was seen, with the errors of box, gimbal and time."""
    message.bearing, message.elevation = sight.bearing, sight.elevation
    # The box's jitter, the gimbal's angles, and the time of the picture in a turning camera.
    own, late = values["sigma.angle"], values["sigma.latency"] * pointing.rate
    message.bearing_std = math.hypot(
        math.hypot(0.15 * sight.width, own, late) / max(math.cos(sight.elevation), 0.1),
        # What the compass is off goes into all bearings of the camera, and into no elevation.
        values["sigma.registration"],
    )
    message.elevation_std = math.hypot(0.15 * sight.height, own, late)
    if sight.sized:  # Else the box is mostly sky, and no range must be read from it.
        message.angular_width, message.angular_height = sight.width, sight.height
    message.label = trail.label
    # A bird is an object too: its label says what. Below 0.5 would say that nothing is there.
    message.confidence = 0.5 + 0.5 * sight.score
    message.attributes = [KeyValue(key="trail", value=str(trail.number))]
    return message


def empty_detection(message: Detection, track: Candidate) -> Detection:
    """Fill in that nothing was there: evidence against the track."""
    message.bearing, message.elevation = track.bearing, track.elevation
    message.bearing_std, message.elevation_std = track.bearing_sigma, track.elevation_sigma
    message.confidence = 0.1
    return message


def boxes_found(header: Any, boxes: Sequence[Box], trails: Sequence[Trail | None]) -> Any:
    """The boxes of one picture."""
    message = Detection2DArray(header=header)
    for box, trail in zip(boxes, trails, strict=True):
        one = Detection2D(header=header)
        one.id = str(trail.number) if trail is not None else ""
        one.bbox.center.position.x, one.bbox.center.position.y = box.centre
        one.bbox.size_x, one.bbox.size_y = box.size
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id = box.label
        result.hypothesis.score = box.score
        one.results.append(result)
        message.detections.append(one)
    return message


def annotated(
    header: Any, image: Any, boxes: Sequence[Box], trails: Sequence[Trail | None], quality: int
) -> CompressedImage | None:
    """The picture with its boxes drawn in; None where it cannot be coded."""
    texts = [
        (box, f"{box.label} {box.score:.2f}" + (f" #{trail.number}" if trail else ""))
        for box, trail in zip(boxes, trails, strict=True)
    ]
    picture = drawn(to_bgr8(image), texts)
    good, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not good:
        return None
    message = CompressedImage(header=header, format="jpeg")
    message.data = array.array("B", coded.tobytes())
    return message


def tell(track: PackedTrack, standing: Standing) -> None:
    """Put on a track what was seen of it."""
    track.set_verdict(
        Verdict(
            verdict=standing.verdict,
            stamp=stamp_of(standing.time),
            reason=standing.reason,
            label=standing.label,
            confidence=standing.score,
            looks=standing.looks,
            hits=standing.hits,
            snapshot=standing.snapshot,
        )
    )


def predicted(
    track: PackedTrack, stamp: float, outlines: Outlines = (), cameras: Collection[str] = ()
) -> CueTrack:
    """A track carried on to a time by its velocity.

    Args:
        track: as it came.
        stamp: seconds.
        outlines: of zones, see `threat`.
        cameras: names of sensors that are this camera.
    """
    bearing, bearing_std, elevation, elevation_std, slant, _, _, observed = track.angles_and_range
    ahead = stamp - track.time
    speed = track.velocity
    turn = 0.0
    if observed and all(map(math.isfinite, (slant, *speed[:2]))) and abs(ahead) < 5.0:
        level = slant * math.cos(elevation if math.isfinite(elevation) else 0.0)
        east = level * math.sin(bearing) + speed[0] * ahead
        north = level * math.cos(bearing) + speed[1] * ahead
        bearing = math.atan2(east, north) % (2.0 * math.pi)
        turn = (speed[0] * north - speed[1] * east) / max(east * east + north * north, 1.0)
        if math.isfinite(elevation) and math.isfinite(speed[2]):
            up = slant * math.sin(elevation) + speed[2] * ahead
            elevation = math.atan2(up, max(math.hypot(east, north), 1.0))
    return CueTrack(
        track.identity,
        bearing,
        bearing_std,
        elevation,
        elevation_std,
        slant if observed else math.nan,
        track.confidence,
        track.state == Track.STATE_CONFIRMED,
        threat(track.position[:2], outlines),
        turn,
        set(track.sensors) <= set(cameras),
    )


def threat(place: tuple[float, float], outlines: Outlines) -> float:
    """How near a place is to a zone: 1 inside, a half at 500 m, 0 without zones."""
    if not outlines or not all(map(math.isfinite, place)):
        return 0.0
    nearest = math.inf
    for outline in outlines:
        polygon = np.asarray(outline, dtype=np.float32).reshape(-1, 1, 2)
        # Positive inside.
        nearest = min(nearest, -float(cv2.pointPolygonTest(polygon, place, True)))
    return 1.0 / (1.0 + max(nearest, 0.0) / 500.0)
