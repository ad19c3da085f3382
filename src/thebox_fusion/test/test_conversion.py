# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from rclpy.serialization import deserialize_message, serialize_message

from thebox_core.messages import MODALITIES, from_uuid, new_detection, seconds, to_time
from thebox_core.packed import PackedPicture, stamp_of
from thebox_core.packed_detection import PackedDetection
from thebox_fusion import conversion
from thebox_fusion.conversion import to_evidence, to_packed_track, to_plot
from thebox_fusion.ranging import Cue
from thebox_fusion.tracker import Tracker, TrackView
from thebox_fusion.tracker.detection import MODALITIES as TRACKER_MODALITIES
from thebox_fusion.tracker.ranging import RANGE_METHODS
from thebox_interfaces.msg import Detection, Track, TrackArray

OWN = np.array([10.0, 20.0, 5.0])
SPEED = np.array([3.0, 0.0, 0.0])
NUMBERS = (
    *("bearing", "bearing_std", "bearing_alternative", "elevation", "elevation_std"),
    *("range", "range_std", "range_rate", "range_rate_std"),
    *("frequency", "bandwidth", "rssi", "sound_level"),
    *("angular_width", "angular_height", "confidence"),
)


def packed(message: Detection) -> PackedDetection:
    return PackedDetection.read(serialize_message(message))


def as_message(view: TrackView, time: float) -> Track:
    stamp = stamp_of(time)
    packed = PackedPicture(stamp, stamp, [to_packed_track(view, stamp)]).write()
    (track,) = deserialize_message(packed, TrackArray).tracks
    return track


def test_names_agree_on_both_sides() -> None:
    assert set(MODALITIES.values()) <= set(TRACKER_MODALITIES)
    named = set(RANGE_METHODS) | {cue.value for cue in Cue}
    assert set(conversion._RANGE_METHODS) == named


def test_what_is_not_known_stays_unknown() -> None:
    plot = to_plot(packed(new_detection()), 5.0, OWN, SPEED)
    assert plot.time == 5.0
    for name in ("bearing", "range", "rssi", "apparent_size", "velocity_sigma", "confidence"):
        assert math.isnan(getattr(plot, name)), name
    assert np.isnan(plot.position).all()
    assert np.isnan(plot.position_covariance).all()
    assert np.isnan(plot.velocity).all()
    assert (plot.own_position == OWN).all()
    assert (plot.own_velocity == SPEED).all()
    assert (plot.modality, plot.key, plot.label) == ("UNKNOWN", "", "")


def test_everything_that_is_known_comes_through() -> None:
    message = new_detection()
    message.sensor, message.modality = "dspnor", Detection.MODALITY_RADAR
    for value, name in enumerate(NUMBERS, start=1):
        setattr(message, name, float(value))
    message.sensor_track_id, message.label = "17", "drone"
    message.position.x, message.position.y, message.position.z = 1.0, 2.0, 3.0
    message.position_covariance = [float(v) for v in range(9)]
    message.velocity.x, message.velocity.y, message.velocity.z = 4.0, 5.0, 6.0
    message.velocity_covariance = [4.0, 0, 0, 0, 16.0, 0, 0, 0, 99.0]
    plot = to_plot(packed(message), 5.0, OWN, SPEED)
    assert (plot.sensor, plot.modality, plot.key, plot.label) == ("dspnor", "RADAR", "17", "drone")
    assert (plot.bearing, plot.bearing_sigma, plot.alternative_bearing) == (1.0, 2.0, 3.0)
    assert (plot.elevation, plot.elevation_sigma) == (4.0, 5.0)
    assert (plot.range, plot.range_sigma, plot.range_rate, plot.range_rate_sigma) == (6, 7, 8, 9)
    assert (plot.frequency, plot.bandwidth, plot.rssi, plot.sound_level) == (10, 11, 12, 13)
    assert (plot.apparent_size, plot.confidence) == (15.0, 16.0)
    assert plot.position.tolist() == [1.0, 2.0, 3.0]
    assert plot.position_covariance.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert plot.velocity.tolist() == [4.0, 5.0, 6.0]
    assert plot.velocity_sigma == pytest.approx(math.sqrt(10.0))


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (0.2, math.nan, 0.2),
        (math.nan, 0.3, 0.3),
        (0.2, 0.3, 0.3),
        (0.4, 0.3, 0.4),
    ],
)
def test_one_side_of_an_apparent_size_is_enough(width: float, height: float, size: float) -> None:
    message = new_detection()
    message.angular_width, message.angular_height = width, height
    assert to_plot(packed(message), 0.0, OWN, SPEED).apparent_size == size


def test_a_velocity_without_covariance_costs_no_warning() -> None:
    message = new_detection()
    message.velocity.x = message.velocity.y = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(to_plot(packed(message), 0.0, OWN, SPEED).velocity_sigma)


def test_a_sensor_that_says_where_it_stood_stood_there() -> None:
    message = new_detection()
    message.sensor_position.x, message.sensor_position.y = -7.0, 8.0
    plot = to_plot(packed(message), 0.0, OWN, SPEED)
    assert plot.own_position.tolist() == [-7.0, 8.0, 5.0]  # the height that is known best
    assert not plot.own_velocity.any()
    message.sensor_position.z = 2.0
    assert to_plot(packed(message), 0.0, OWN, SPEED).own_position.tolist() == [-7.0, 8.0, 2.0]


def test_the_camera_refutes_under_its_own_modality() -> None:
    message = new_detection()
    message.sensor, message.modality = "vision", Detection.MODALITY_EO
    assert to_plot(packed(message), 0.0, OWN, SPEED).modality == "VISION"


ANY = st.one_of(st.floats(), st.sampled_from([0.0, -1.0, 1e-300, 1e300, math.nan]))


@given(st.lists(ANY, min_size=len(NUMBERS), max_size=len(NUMBERS)), st.lists(ANY, min_size=6))
def test_no_numbers_break_the_tracker(numbers: list[float], more: list[float]) -> None:
    """Whatever a publisher claims, the tracker takes it or drops it, and goes on."""
    message = new_detection()
    message.sensor, message.modality = "odd", Detection.MODALITY_RADAR
    for name, value in zip(NUMBERS, numbers, strict=True):
        setattr(message, name, value)
    message.position.x, message.position.y, message.position.z = more[:3]
    message.velocity.x, message.velocity.y, message.velocity.z = more[3:6]
    tracker = Tracker()
    with np.errstate(all="ignore"):
        tracker.add([to_plot(packed(message), 1.0 + n, OWN, SPEED) for n in range(3)])
        tracker.advance(5.0)
    for view in tracker.tracks():
        as_message(view, 5.0)


def test_a_track_as_a_message() -> None:
    tracker = Tracker()
    detection = new_detection()
    detection.sensor, detection.modality = "droneshield", Detection.MODALITY_RF
    detection.bearing, detection.bearing_std = 1.0, 0.1
    detection.sensor_track_id, detection.label, detection.rssi = "154", "Drone", -50.0
    detection.frequency = 2.4e9
    for n in range(20):
        tracker.add([to_plot(packed(detection), 100.0 + 0.5 * n, np.zeros(3), np.zeros(3))])
        tracker.advance(100.0 + 0.5 * n)
    (view,) = tracker.tracks()
    message = as_message(view, 109.5)
    assert from_uuid(message.id) == view.id
    assert message.number == view.number == 1
    assert message.state == Track.STATE_CONFIRMED
    assert seconds(message.header.stamp) == 109.5
    assert message.header.frame_id == "map"
    assert message.bearing == pytest.approx(1.0, abs=0.05)
    assert (message.sensors, message.sensor_track_ids) == (["droneshield"], ["droneshield:154"])
    assert list(message.frequencies) == [2.4e9]
    assert (message.label, message.object_class) == ("Drone", Track.CLASS_DRONE)
    assert message.covariance.reshape(6, 6) == pytest.approx(view.covariance, nan_ok=True)
    assert 0.5 < message.confidence <= 1.0
    assert message.reason
    assert (message.rssi, message.detection_count) == (-50.0, view.detection_count)
    assert 15 <= view.detection_count <= 20
    assert math.isnan(message.visual_verification.confidence)
    assert not message.range_observed
    assert seconds(message.first_seen) == pytest.approx(100.0)
    assert seconds(message.last_updated) == pytest.approx(109.5)
    assert to_time(109.5) == message.header.stamp
    place = (message.position.x, message.position.y, message.position.z)
    assert place == pytest.approx(view.position, nan_ok=True)
    speed = (message.velocity.x, message.velocity.y, message.velocity.z)
    assert speed == pytest.approx(view.velocity, nan_ok=True)
    assert (message.elevation, message.range) == (view.elevation, view.range)
    assert (message.elevation_std, message.range_std) == (view.elevation_sigma, view.range_sigma)
    kinds = set()
    for entry in tracker.ledger(view.id):
        evidence = to_evidence(entry)
        kinds.add(evidence.kind)
        assert seconds(evidence.stamp) == pytest.approx(entry.time, abs=1e-6)
        assert evidence.log_odds == entry.log_odds_after
        assert evidence.text
    assert 0 not in kinds  # KIND_UNKNOWN
