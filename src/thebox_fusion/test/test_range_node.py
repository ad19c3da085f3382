# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""The range node on a live graph: fused tracks and detections in, ranged tracks out."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from nav_msgs.msg import Odometry
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.serialization import deserialize_message, serialize_message

from thebox_core.health import OK, WARN
from thebox_core.messages import new_detection, new_track, to_time, to_uuid
from thebox_core.packed import PackedPicture, PackedTrack
from thebox_core.packed_detection import PackedDetection
from thebox_core.parameters import ParameterError
from thebox_core.qos import DETECTIONS, STATE
from thebox_fusion.conversion import set_ranges, to_readings, to_sighting
from thebox_fusion.range_node import RangeNode
from thebox_fusion.ranging import Cue, RangeEstimate
from thebox_interfaces.msg import Detection, Track, TrackArray

pytestmark = pytest.mark.graph

HEALTH = "range: ranging"
IDS = ("6f1d9a52-2f0c-5c1e-9f6b-7a4f3a5d1e10", "6f1d9a52-2f0c-5c1e-9f6b-7a4f3a5d1e11")


def emission(rssi: float = -80.0, key: str = "154") -> Detection:
    message = new_detection()
    message.header.stamp = to_time(time.time())
    message.sensor, message.modality = "droneshield", Detection.MODALITY_RF
    message.bearing, message.bearing_std = 1.0, 0.1
    message.sensor_track_id, message.rssi, message.frequency = key, rssi, 2.4e9
    return message


def emitter_track(key: str = "154") -> Track:
    track = new_track()
    track.header.stamp = to_time(time.time())
    track.id, track.number, track.state = to_uuid(IDS[0]), 1, Track.STATE_CONFIRMED
    track.bearing, track.bearing_std = 1.0, 0.05
    track.elevation, track.elevation_std = 0.1, 0.1
    track.range, track.range_std = 900.0, 1200.0
    track.sensors, track.sensor_track_ids = ["droneshield"], [f"droneshield:{key}"]
    track.covariance = np.diag([1e6, 1e6, 1e3, 50.0, 50.0, 1.0]).ravel()
    return track


def radar_track() -> Track:
    track = emitter_track()
    track.id, track.number = to_uuid(IDS[1]), 2
    track.range, track.range_std = 1500.0, 12.0
    track.range_observed, track.range_method = True, Track.RANGE_MEASURED
    track.position.x, track.position.y, track.position.z = 900.0, 1200.0, 80.0
    track.sensors, track.sensor_track_ids = ["dspnor"], ["dspnor:7"]
    return track


class Stage:
    """The node, the tracker and the sensor that feed it, and what it publishes."""

    def __init__(self, live: Any, **parameters: Any) -> None:
        self.live = live
        self.ranged: list[TrackArray] = live.listen(TrackArray, "tracks/ranged", STATE)
        observer = live.observer
        self.tracks = observer.create_publisher(TrackArray, "tracks/fused", STATE)
        self.sensor = observer.create_publisher(Detection, "detections/droneshield", DETECTIONS)
        self.own_ship = observer.create_publisher(Odometry, "ownship/odometry", STATE)
        self.node = live.start(RangeNode, **parameters)
        live.wait(lambda: self.node.is_active, "active")
        for publisher in (self.tracks, self.sensor, self.own_ship):
            live.wait(lambda p=publisher: p.get_subscription_count() == 1, "its ears")
        live.wait(lambda: self.node.count_subscribers("/thebox/tracks/ranged") == 1, "observer")

    def picture(self, *tracks: Track) -> TrackArray:
        """Publish one picture and return what comes of it."""
        message = TrackArray(tracks=list(tracks))
        message.header.frame_id = "map"
        message.header.stamp = to_time(time.time())
        before = len(self.ranged)
        self.tracks.publish(message)
        self.live.wait(lambda: len(self.ranged) > before, "the ranged picture")
        return self.ranged[-1]


def test_a_tracker_that_falls_silent_is_told(live: Any) -> None:
    stage = Stage(live)
    stage.node._upstream.silent_after = 1.0
    live.wait(lambda: live.level(HEALTH) == WARN, "the warning")
    assert "nothing on tracks/fused for" in live.health[HEALTH].message
    assert "see the health of fusion" in live.health[HEALTH].message
    stage.node._upstream.silent_after = 5.0
    stage.picture(radar_track())
    live.wait(lambda: live.level(HEALTH) == OK, "its end")


def test_power_gives_an_emitter_a_range_and_its_method(live: Any) -> None:
    stage = Stage(live)
    odometry = Odometry()
    odometry.header.stamp = to_time(time.time())
    odometry.pose.pose.position.x = 100.0
    odometry.pose.pose.orientation.w = 1.0
    stage.own_ship.publish(odometry)
    live.wait(lambda: stage.node._own_ship.history.newest.east == 100.0, "the own-ship")
    untouched = stage.picture(emitter_track(), radar_track())
    first, second = untouched.tracks
    assert (first.range, first.range_std, first.range_method) == (900.0, 1200.0, 0)
    assert not first.range_observed

    stage.sensor.publish(emission())
    live.wait(lambda: stage.node.detections["droneshield"] == 1, "the reading")
    picture = stage.picture(emitter_track(), radar_track())
    first, second = picture.tracks
    assert first.range_method == Track.RANGE_RSSI and not first.range_observed
    assert first.range != 900.0
    assert 0.3 * first.range < first.range_std < 3.0 * first.range
    place = np.array([first.position.x - 100.0, first.position.y, first.position.z])
    assert np.linalg.norm(place) == pytest.approx(first.range)
    assert math.atan2(place[0], place[1]) == pytest.approx(1.0)
    measured = radar_track()
    assert (second.range, second.range_std) == (measured.range, measured.range_std)
    assert second.position == measured.position
    assert second.range_method == Track.RANGE_MEASURED
    live.wait(lambda: live.value(HEALTH, "tracks.received_power") == "1", "its count")
    assert live.value(HEALTH, "path_loss.exponent") != ""
    assert live.level(HEALTH) == OK


def test_round_the_life_cycle_nothing_is_left_behind(live: Any) -> None:
    stage = Stage(live)
    node = stage.node
    for _ in range(3):
        live.in_executor(node.trigger_deactivate)
        live.in_executor(node.trigger_cleanup)
        live.wait(lambda: stage.tracks.get_subscription_count() == 0, "no ear")
        live.in_executor(node.trigger_configure)
        live.in_executor(node.trigger_activate)
        live.wait(lambda: stage.tracks.get_subscription_count() == 1, "an ear again")
    live.wait(lambda: node.count_subscribers("/thebox/tracks/ranged") == 1, "the observer")
    assert len(stage.picture(emitter_track()).tracks) == 1


def test_settings_that_do_not_go_together_are_refused(live: Any) -> None:
    with pytest.raises(ParameterError, match="nearest must be below farthest"):
        live.start(RangeNode, nearest=900.0, farthest=500.0)
    stage = Stage(live)
    value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=2.5)
    change = ParameterMessage(name="path_loss_exponent", value=value)
    result = live.call(
        SetParametersAtomically,
        "range/set_parameters_atomically",
        SetParametersAtomically.Request(parameters=[change]),
    ).result
    assert result.successful
    live.wait(
        lambda: live.value(HEALTH, "path_loss.exponent").startswith("2.5"), "the new exponent"
    )
    assert len(stage.picture(emitter_track()).tracks) == 1


def on_wire(message: Detection) -> PackedDetection:
    return PackedDetection.read(serialize_message(message))


def test_readings_of_a_detection() -> None:
    message = emission()
    message.angular_width, message.sound_level = 0.001, 40.0
    cues = {reading.cue: reading for reading in to_readings(on_wire(message))}
    assert cues[Cue.POWER].value == -80.0 and cues[Cue.POWER].source == "droneshield:154"
    assert cues[Cue.SIZE].value == pytest.approx(math.log(0.001))
    assert cues[Cue.SOUND].value == 40.0
    assert to_readings(on_wire(new_detection())) == []


def packed(track: Track) -> PackedTrack:
    return PackedPicture.read(serialize_message(TrackArray(tracks=[track]))).tracks[0]


def unpacked(track: PackedTrack) -> Track:
    picture = PackedPicture((0, 0), (0, 0), [track]).write()
    return deserialize_message(picture, TrackArray).tracks[0]


def test_a_range_gives_place_and_covariance_along_the_bearing() -> None:
    changed = packed(emitter_track())
    power = RangeEstimate(1000.0, 400.0, ("received power",), False)
    set_ranges([changed], [power], np.zeros(3))
    track = unpacked(changed)
    assert (track.range, track.range_std, track.range_observed) == (1000.0, 400.0, False)
    assert track.range_method == Track.RANGE_RSSI
    covariance = np.asarray(track.covariance).reshape(6, 6)
    spread, axes = np.linalg.eigh(covariance[:3, :3])
    place = np.array([track.position.x, track.position.y, track.position.z])
    assert abs(axes[:, 2] @ place) == pytest.approx(1000.0)
    assert math.sqrt(spread[2]) == pytest.approx(400.0)
    assert covariance[3, 3] == 50.0 and not covariance[:3, 3:].any()
    both = RangeEstimate(1000.0, 200.0, ("own-ship manoeuvre", "received power"), True)
    set_ranges([changed], [both], np.zeros(3))
    track = unpacked(changed)
    assert track.range_method == Track.RANGE_COMBINED and track.range_observed
    assert to_sighting(packed(radar_track())).measured
    assert not to_sighting(packed(emitter_track())).triangulated


def test_what_is_no_picture_is_counted(live: Any) -> None:
    stage = Stage(live)
    cut = serialize_message(TrackArray(tracks=[emitter_track()]))[:-30]
    stage.tracks.publish(cut)
    live.wait(lambda: live.value(HEALTH, "rejected.not_a_picture") == "1", "the reject to be told")
    assert len(stage.picture(emitter_track()).tracks) == 1
