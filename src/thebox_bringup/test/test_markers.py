# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import uuid
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

from nav_msgs.msg import Odometry
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from thebox_bringup.markers import PARAMETERS, STATE_COLOURS, MarkerMaker
from thebox_core.messages import new_track, to_uuid
from thebox_interfaces.msg import Track


def _track(number: int, **fields: Any) -> Track:
    track = new_track()
    track.id = to_uuid(str(uuid.UUID(int=number)))
    track.number = number
    track.state = Track.STATE_CONFIRMED
    track.bearing, track.bearing_std = math.pi / 2, 0.1
    track.confidence = 0.9
    for name, value in fields.items():
        setattr(track, name, value)
    return track


def _located(number: int) -> Track:
    track = _track(number, range_observed=True, range=500.0)
    track.position.x, track.position.y, track.position.z = 300.0, 400.0, 50.0
    track.velocity.x, track.velocity.y, track.velocity.z = 10.0, 0.0, 0.0
    track.covariance = np.diag([100.0, 400.0, 25.0, 1.0, 1.0, 1.0]).ravel()
    return track


def _own_ship() -> Odometry:
    message = Odometry()
    message.pose.pose.position.x = 1000.0
    message.pose.pose.orientation.w = 1.0
    return message


@pytest.fixture
def maker() -> MarkerMaker:
    return MarkerMaker({p.name: p.default for p in PARAMETERS})


def _by_name(array: MarkerArray) -> dict[str, Marker]:
    return {marker.ns: marker for marker in array.markers if marker.action == Marker.ADD}


def test_located_track_is_sphere_ellipsoid_arrow_and_text(maker: MarkerMaker) -> None:
    header = Header(frame_id="map")
    made = _by_name(maker.picture(header, [_located(3)], _own_ship()))
    assert set(made) == {
        "own_ship",
        "own_ship_text",
        "track",
        "track_covariance",
        "track_velocity",
        "track_text",
    }
    assert made["track"].pose.position.x == 300.0
    scale = made["track_covariance"].scale
    # Two sigmas to either side.
    assert sorted([scale.x, scale.y, scale.z]) == pytest.approx([20.0, 40.0, 80.0])
    start, end = made["track_velocity"].points
    assert (end.x - start.x, end.y - start.y) == (100.0, 0.0)
    assert made["track_text"].text == "#3 unknown 90%\n500 m"
    colour = made["track"].color
    assert (colour.r, colour.g, colour.b) == pytest.approx(STATE_COLOURS[Track.STATE_CONFIRMED])
    assert all(m.header.frame_id == "map" and m.lifetime.sec == 3 for m in made.values())


def test_bearing_only_track_is_a_wedge_from_the_own_ship_and_no_point(maker: MarkerMaker) -> None:
    track = _track(4)
    # A position on a prior of the range must not be drawn as if it were measured.
    track.position.x, track.position.y, track.position.z = 1500.0, 0.0, 0.0
    made = _by_name(maker.picture(Header(frame_id="map"), [track], _own_ship()))
    assert "track" not in made
    corners = np.array([[p.x, p.y] for p in made["track_wedge"].points]) - [1000.0, 0.0]
    bearings = np.arctan2(corners[:, 0], corners[:, 1])
    assert bearings.min() == pytest.approx(math.pi / 2 - 0.2)
    assert bearings.max() == pytest.approx(math.pi / 2 + 0.2)
    assert np.hypot(*corners.T).max() == pytest.approx(3000.0)
    assert "range unknown" in made["track_text"].text


def test_track_that_is_nowhere_is_not_drawn(maker: MarkerMaker) -> None:
    track = _track(5, bearing=math.nan)
    assert maker.picture(Header(), [track], None).markers == []


def test_gone_tracks_are_deleted_once(maker: MarkerMaker) -> None:
    first = maker.picture(Header(), [_located(1), _track(2)], None)
    shown = {(m.ns, m.id) for m in first.markers}
    second = maker.picture(Header(), [_track(2)], None)
    deleted = {(m.ns, m.id) for m in second.markers if m.action == Marker.DELETE}
    kept = {(m.ns, m.id) for m in second.markers if m.action == Marker.ADD}
    assert kept | deleted == shown
    assert len(deleted) == 4
    third = maker.picture(Header(), [_track(2)], None)
    assert all(m.action == Marker.ADD for m in third.markers)


def test_track_keeps_its_marker_and_none_is_shared(maker: MarkerMaker) -> None:
    before = maker.picture(Header(), [_track(1), _track(2)], None)
    maker.picture(Header(), [_track(2)], None)
    after = maker.picture(Header(), [_track(2), _track(3)], None)

    def identities(array: MarkerArray) -> dict[str, int]:
        return {m.text.split()[0]: m.id for m in array.markers if m.ns == "track_text" and m.text}

    assert identities(before)["#2"] == identities(after)["#2"]
    assert len(set(identities(after).values())) == 2


def test_track_that_gets_its_range_loses_its_wedge(maker: MarkerMaker) -> None:
    maker.picture(Header(), [_track(1)], None)
    second = maker.picture(Header(), [_located(1)], None)
    assert [m.ns for m in second.markers if m.action == Marker.DELETE] == ["track_wedge"]


def test_tentative_tracks_are_hidden_on_request(maker: MarkerMaker) -> None:
    track = _track(0, state=Track.STATE_TENTATIVE)
    assert maker.picture(Header(), [track], None).markers
    hidden = MarkerMaker({p.name: p.default for p in PARAMETERS} | {"show_tentative": False})
    assert hidden.picture(Header(), [track], None).markers == []
