# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What a scorecard needs of a bag: pictures, truth, detections, where the own-ship was."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import NavSatFix

from thebox_bringup.recording.bag import BagError, BagReader, Recorded
from thebox_bringup.score.figures import Heard, Picture, Seen
from thebox_bringup.score.truth import Path3
from thebox_core.datum_listener import datum_of
from thebox_core.geodesy import Datum
from thebox_core.messages import from_uuid, seconds
from thebox_core.ownship_listener import pose_of
from thebox_interfaces.msg import Detection, Track, TrackArray, TruthArray

__all__ = ["Recording", "load"]

_CLASSES = {
    Track.CLASS_DRONE: "drone",
    Track.CLASS_BIRD: "bird",
    Track.CLASS_AIRPLANE: "airplane",
    Track.CLASS_HELICOPTER: "helicopter",
    Track.CLASS_BOAT: "boat",
    Track.CLASS_VEHICLE: "vehicle",
    Track.CLASS_PERSON: "person",
}


@dataclass
class Recording:
    """What was recorded.

    Attributes:
        pictures: one a second.
        truth: the recording's own; empty for none.
        heard: every detection.
        datum: origin of the map; None when it was not recorded.
        begin: of the pictures, seconds.
    """

    pictures: list[Picture] = field(default_factory=list)
    truth: list[Path3] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    datum: Datum | None = None
    begin: float = 0.0


def load(path: Path, tracks: str = "") -> Recording:
    """Read a bag.

    Args:
        path: of the bag.
        tracks: topic of the pictures; empty: the one whose name ends with /tracks.

    Raises:
        BagError: it cannot be read, or holds no pictures.
    """
    with BagReader(path) as bag:
        kinds = {name: topic.type.rpartition("/")[2] for name, topic in bag.topics.items()}
        arrays = sorted(name for name, kind in kinds.items() if kind == "TrackArray")
        if not tracks:
            tracks = next((n for n in arrays if n.endswith("/tracks")), arrays[0] if arrays else "")
        if tracks not in arrays:
            raise BagError(
                f"{path} holds no tracks{f' on {tracks}' if tracks else ''}; "
                + (
                    f"it holds {', '.join(arrays)}: choose with --tracks"
                    if arrays
                    else "make them with: thebox replay BAG --offline --out TRACKED"
                )
            )
        recording = Recording()
        own: list[tuple[float, float, float]] = []
        paths: dict[str, Path3] = {}
        wanted = {
            name
            for name, kind in kinds.items()
            if kind in ("TruthArray", "Detection")
            or name.endswith(("/ownship/odometry", "/ownship/datum"))
        }
        for message in bag.messages(wanted):
            kind = kinds[message.topic]
            if kind == "Detection":
                recording.heard.append(_heard(message))
            elif kind == "TruthArray":
                _add_truth(message, paths)
            elif kind == "Odometry":
                pose = pose_of(deserialize_message(message.data, Odometry))
                if math.isfinite(pose.east):
                    own.append((pose.time, pose.east, pose.north))
            elif kind == "NavSatFix":
                recording.datum = datum_of(deserialize_message(message.data, NavSatFix))
        recording.truth = [paths[name] for name in sorted(paths)]
        recording.pictures = list(_pictures(bag, tracks, own))
        if not recording.pictures:
            raise BagError(f"{path}: {tracks} has no messages")
        recording.begin = recording.pictures[0].time
        return recording


def _heard(message: Recorded) -> Heard:
    detection = deserialize_message(message.data, Detection)
    return Heard(
        seconds(detection.header.stamp),
        detection.sensor,
        detection.bearing,
        detection.bearing_std,
    )


def _add_truth(message: Recorded, paths: dict[str, Path3]) -> None:
    truth = deserialize_message(message.data, TruthArray)
    time = seconds(truth.header.stamp)
    for one in truth.objects:
        kind = _CLASSES.get(one.object_class, "other")
        place = (one.position.x, one.position.y, one.position.z)
        paths.setdefault(one.id, Path3(one.id, kind)).add(time, place)


def _pictures(
    bag: BagReader, topic: str, own: list[tuple[float, float, float]]
) -> Iterator[Picture]:
    """The last picture of each second; only these are unpacked."""
    last: Recorded | None = None
    index = 0

    def made(message: Recorded) -> Picture:
        nonlocal index
        array = deserialize_message(message.data, TrackArray)
        time = seconds(array.header.stamp)
        while index + 1 < len(own) and own[index + 1][0] <= time:
            index += 1
        _, east, north = own[index] if own else (0.0, 0.0, 0.0)
        return Picture(
            time, tuple(_seen(track) for track in array.tracks if _counts(track)), east, north
        )

    for message in bag.messages({topic}):
        if last is not None and message.stamp // 10**9 != last.stamp // 10**9:
            yield made(last)
        last = message
    if last is not None:
        yield made(last)


def _counts(track: Track) -> bool:
    return bool(track.state >= Track.STATE_CONFIRMED)


def _seen(track: Track) -> Seen:
    located = track.range_observed
    return Seen(
        from_uuid(track.id),
        track.position.x if located else math.nan,
        track.position.y if located else math.nan,
        track.bearing,
        track.bearing_std,
    )
