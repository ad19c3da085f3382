# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Packed pictures against rclpy's own serialisation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

rclpy = pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

from builtin_interfaces.msg import Time  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402

from thebox_core.messages import from_uuid  # noqa: E402
from thebox_core.packed import (  # noqa: E402
    PackedPicture,
    PackedTrack,
    PictureReader,
    Verdict,
    body,
    said,
    stamp_of,
)
from thebox_interfaces.msg import Track, TrackArray  # noqa: E402

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
NUMBER = st.floats(allow_nan=False, width=64)
SMALL = st.integers(0, 255)
COUNT = st.integers(0, 2**32 - 1)
STAMP = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 999_999_999))


@st.composite
def tracks(draw: Any) -> Track:
    track = Track()
    sec, nanosec = draw(STAMP)
    track.header.stamp = Time(sec=sec, nanosec=nanosec)
    track.header.frame_id = draw(st.sampled_from(["map", "", "other_map"]))
    track.id.uuid = np.frombuffer(draw(st.binary(min_size=16, max_size=16)), np.uint8)
    track.number, track.state = draw(COUNT), draw(SMALL)
    for vector in (track.position, track.velocity):
        vector.x, vector.y, vector.z = draw(NUMBER), draw(NUMBER), draw(NUMBER)
    track.covariance = np.arange(36.0) * draw(st.floats(-1e3, 1e3))
    for name in ("bearing", "elevation", "range"):
        setattr(track, name, draw(NUMBER))
        setattr(track, name + "_std", draw(NUMBER))
    track.range_method, track.range_observed = draw(SMALL), draw(st.booleans())
    track.confidence, track.reason = draw(NUMBER), draw(TEXT)
    track.object_class, track.label = draw(SMALL), draw(TEXT)
    track.class_probability = draw(NUMBER)
    track.sensors = draw(st.lists(TEXT, max_size=3))
    track.sensor_track_ids = draw(st.lists(TEXT, max_size=3))
    track.frequencies = draw(st.lists(NUMBER, max_size=3))
    track.rssi = draw(NUMBER)
    told = track.visual_verification
    told.verdict, told.reason, told.label = draw(SMALL), draw(TEXT), draw(TEXT)
    told.confidence, told.snapshot = draw(NUMBER), draw(TEXT)
    told.looks, told.hits = draw(COUNT), draw(COUNT)
    track.detection_count = draw(COUNT)
    sec, nanosec = draw(STAMP)
    track.first_seen = Time(sec=sec, nanosec=nanosec)
    track.last_updated = Time(sec=nanosec, nanosec=sec)
    return track


@st.composite
def pictures(draw: Any) -> TrackArray:
    picture = TrackArray()
    sec, nanosec = draw(STAMP)
    picture.header.stamp = Time(sec=sec, nanosec=nanosec)
    picture.header.frame_id = draw(st.sampled_from(["map", "", "other_map"]))
    picture.newest_detection = Time(sec=sec, nanosec=nanosec)
    picture.tracks = draw(st.lists(tracks(), max_size=4))
    return picture


@given(pictures())
def test_a_picture_is_read_and_written_as_rclpy_does(picture: TrackArray) -> None:
    packed = PackedPicture.read(serialize_message(picture))
    assert packed.frame_id == picture.header.frame_id
    assert packed.stamp == (picture.header.stamp.sec, picture.header.stamp.nanosec)
    for light, track in zip(packed.tracks, picture.tracks, strict=True):
        assert light.frame_id == track.header.frame_id
        assert light.id == track.id.uuid.tobytes()
        assert light.identity == from_uuid(track.id)
        assert (light.number, light.state) == (track.number, track.state)
        assert light.position == (track.position.x, track.position.y, track.position.z)
        assert light.velocity == (track.velocity.x, track.velocity.y, track.velocity.z)
        assert light.covariance == tuple(track.covariance.tolist())
        assert light.angles_and_range == (
            *(track.bearing, track.bearing_std, track.elevation, track.elevation_std),
            *(track.range, track.range_std, track.range_method, track.range_observed),
        )
        assert light.confidence == track.confidence
        assert light.sensors == tuple(track.sensors)
        assert light.sensor_track_ids == tuple(track.sensor_track_ids)
    assert deserialize_message(packed.write(), TrackArray) == picture


@given(pictures(), STAMP, st.tuples(TEXT, TEXT, TEXT), NUMBER, COUNT)
def test_a_changed_picture_is_the_changed_message(
    picture: TrackArray, stamp: Any, texts: tuple[str, str, str], x: float, count: int
) -> None:
    reason, label, snapshot = texts
    packed = PackedPicture.read(serialize_message(picture))
    covariance = np.arange(36.0)
    for light, track in list(zip(packed.tracks, picture.tracks, strict=True))[::2]:
        light.set_range((x, 2.0), 3, True, (4.0, x, 6.0), covariance.tobytes())
        track.range, track.range_std, track.range_method, track.range_observed = x, 2.0, 3, True
        track.position.x, track.position.y, track.position.z = 4.0, x, 6.0
        track.covariance = covariance
        light.set_verdict(Verdict(1, stamp, reason, label, x, count, 7, snapshot))
        told = track.visual_verification
        told.verdict, told.stamp = 1, Time(sec=stamp[0], nanosec=stamp[1])
        told.reason, told.label, told.snapshot = reason, label, snapshot
        told.confidence, told.looks, told.hits = x, count, 7
    assert deserialize_message(packed.write(), TrackArray) == picture
    # And it is read again as it was written.
    again = PackedPicture.read(packed.write())
    assert [t.body for t in again.tracks] == [bytes(t.body) for t in packed.tracks]


@given(st.lists(tracks(), max_size=3))
def test_a_picture_made_of_values_is_the_message(wanted: list[Track]) -> None:
    picture = TrackArray(tracks=wanted)
    picture.header.frame_id = "map"
    made = []
    for track in wanted:
        told = track.visual_verification
        vectors = (track.position, track.velocity)
        numbers = [
            *(value for v in vectors for value in (v.x, v.y, v.z)),
            *track.covariance.tolist(),
            *(track.bearing, track.bearing_std, track.elevation, track.elevation_std),
            *(track.range, track.range_std),
        ]
        words = said(
            reason=track.reason,
            object_class=track.object_class,
            label=track.label,
            lasting=(track.class_probability, track.rssi),
            sensors=tuple(track.sensors),
            sensor_track_ids=tuple(track.sensor_track_ids),
            frequencies=tuple(track.frequencies),
            stamps=(
                *(track.first_seen.sec, track.first_seen.nanosec),
                *(track.last_updated.sec, track.last_updated.nanosec),
            ),
            detection_count=track.detection_count,
            verdict=Verdict(
                told.verdict,
                (told.stamp.sec, told.stamp.nanosec),
                told.reason,
                told.label,
                told.confidence,
                told.looks,
                told.hits,
                told.snapshot,
            ),
        )
        packed_body = body(
            np.array(numbers, dtype="<f8").tobytes(),
            track.range_method,
            track.range_observed,
            track.confidence,
            words,
        )
        made.append(
            PackedTrack(
                (track.header.stamp.sec, track.header.stamp.nanosec),
                track.id.uuid.tobytes(),
                track.number,
                track.state,
                packed_body,
                frame_id=track.header.frame_id,
            )
        )
    packed = PackedPicture((0, 0), (0, 0), made)
    assert deserialize_message(packed.write(), TrackArray) == picture


@given(pictures(), st.data())
def test_what_is_no_whole_picture_is_refused(picture: TrackArray, data: Any) -> None:
    raw = serialize_message(picture)
    cut = data.draw(st.integers(0, len(raw) - 4))
    with pytest.raises(ValueError, match="TrackArray"):
        PackedPicture.read(raw[:cut])
    place, value = data.draw(st.integers(0, len(raw) - 1)), data.draw(SMALL)
    mutated = bytearray(raw)
    mutated[place] = value
    try:
        PackedPicture.read(bytes(mutated))
    except ValueError as error:
        assert "TrackArray" in str(error)


@given(pictures(), st.data())
def test_a_reader_of_many_pictures_reads_each_as_it_is(first: TrackArray, data: Any) -> None:
    """Of the same tracks something else is said, or the same; some go and some come."""
    reader = PictureReader()
    reader.read(serialize_message(first))
    later = deserialize_message(serialize_message(first), TrackArray)
    for track in later.tracks:
        track.position.x = data.draw(NUMBER)
        for name in data.draw(st.sets(st.sampled_from(["reason", "label"]))):
            setattr(track, name, data.draw(TEXT))
        if data.draw(st.booleans()):
            track.sensors = data.draw(st.lists(TEXT, max_size=3))
            track.visual_verification.snapshot = data.draw(TEXT)
    later.tracks = data.draw(st.permutations([*later.tracks, *data.draw(pictures()).tracks]))
    raw = serialize_message(later)
    for _ in range(2):
        read, plain = reader.read(raw), PackedPicture.read(raw)
        assert read.write() == plain.write()
        for one, other in zip(read.tracks, plain.tracks, strict=True):
            assert (one.sensors, one.sensor_track_ids) == (other.sensors, other.sensor_track_ids)
            for track in (one, other):
                track.set_verdict(Verdict(verdict=2, reason="seen"))
            assert one.body == other.body
    with pytest.raises(ValueError, match="TrackArray"):
        reader.read(raw[:-1] if later.tracks else raw[:12])


def test_unknown_numbers_stay_unknown() -> None:
    numbers = np.full(48, math.nan).tobytes()
    words = said(
        reason="",
        object_class=0,
        label="",
        lasting=(math.nan, math.nan),
        sensors=(),
        sensor_track_ids=(),
        frequencies=(),
        stamps=(1, 2, 3, 4),
        detection_count=5,
    )
    packed_body = body(numbers, 0, False, math.nan, words)
    picture = PackedPicture((1, 2), (3, 4), [PackedTrack((5, 6), bytes(16), 7, 1, packed_body)])
    (track,) = deserialize_message(picture.write(), TrackArray).tracks
    unknown = (track.position.x, track.range, track.confidence, track.rssi)
    assert all(map(math.isnan, (*unknown, track.visual_verification.confidence)))
    assert (track.first_seen.nanosec, track.detection_count) == (2, 5)


def test_numbers_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="384 bytes"):
        body(b"", 0, False, 0.0, b"")


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf, 2.0**31])
def test_what_no_stamp_can_hold_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="ROS stamp"):
        stamp_of(seconds)


def test_stamps_carry_over_to_the_next_second() -> None:
    assert stamp_of(1.9999999999) == (2, 0)
    assert stamp_of(1.25) == (1, 250_000_000)
