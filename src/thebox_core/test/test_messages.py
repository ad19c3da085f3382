# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator

import pytest
from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message, serialize_message

from thebox_core.messages import (
    MODALITIES,
    from_uuid,
    new_detection,
    new_gimbal_state,
    new_track,
    new_visual_verification,
    seconds,
    to_time,
    to_uuid,
)
from thebox_core.ownship_listener import pose_of
from thebox_interfaces.msg import Detection

FACTORIES = (new_detection, new_track, new_visual_verification, new_gimbal_state)


def floats_of(message: object, path: str = "") -> Iterator[tuple[str, float]]:
    """Every float of a message by its path, nested ones and arrays too."""
    for name, idl in message.get_fields_and_field_types().items():  # type: ignore[attr-defined]
        value = getattr(message, name)
        at = f"{path}.{name}"
        if hasattr(value, "get_fields_and_field_types"):
            yield from floats_of(value, at)
        elif idl in ("double", "float"):
            yield at, value
        elif idl.startswith(("double[", "float[")):
            yield from ((f"{at}[{index}]", float(v)) for index, v in enumerate(value))


@pytest.mark.parametrize("factory", FACTORIES)
def test_every_float_of_a_fresh_message_is_unknown(factory: Callable[[], object]) -> None:
    message = factory()
    found = dict(floats_of(message))
    assert found
    assert [path for path, value in found.items() if not math.isnan(value)] == []
    # It stays so over the wire.
    again = deserialize_message(serialize_message(message), type(message))
    assert all(math.isnan(value) for value in dict(floats_of(again)).values())


def test_fresh_messages_share_nothing() -> None:
    one, other = new_detection(), new_detection()
    one.position_covariance[0] = 1.0
    one.position.x = 1.0
    assert math.isnan(other.position_covariance[0])
    assert math.isnan(new_detection().position_covariance[0])
    assert math.isnan(other.position.x)
    track = new_track()
    track.covariance[35] = 1.0
    assert math.isnan(new_track().covariance[35])


def test_every_modality_has_its_text() -> None:
    constants = {
        name: getattr(Detection, name) for name in dir(Detection) if name.startswith("MODALITY_")
    }
    assert {f"MODALITY_{text}": number for number, text in MODALITIES.items()} == constants


@given(st.integers(0, 2**31 - 2), st.integers(0, 999_999_999))
def test_a_stamp_survives_seconds_within_a_microsecond(sec: int, nanosec: int) -> None:
    got = to_time(seconds(Time(sec=sec, nanosec=nanosec)))
    assert abs((got.sec - sec) * 10**9 + got.nanosec - nanosec) <= 1000


@given(st.floats(0.0, 2.0**31, exclude_max=True))
def test_any_time_gives_a_valid_stamp(value: float) -> None:
    if value > 2**31 - 1e-6:
        return  # rounds up beyond what a stamp holds; refused or not, see below
    got = to_time(value)
    assert 0 <= got.nanosec < 10**9
    assert seconds(got) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 2.0**31, 2.0**31 - 1e-10, 1e300])
def test_a_time_that_no_stamp_holds_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="cannot be written as a ROS stamp"):
        to_time(value)


@given(st.uuids())
def test_uuid_there_and_back(value: uuid.UUID) -> None:
    assert from_uuid(to_uuid(str(value))) == str(value)


def test_text_that_is_no_uuid_is_refused() -> None:
    with pytest.raises(ValueError, match="badly formed"):
        to_uuid("no uuid")


def odometry(yaw: float, forward: float = 0.0, left: float = 0.0) -> Odometry:
    message = Odometry()
    message.header.stamp = to_time(5.5)
    message.pose.pose.position.x = 10.0
    message.pose.pose.position.y = 20.0
    message.pose.pose.orientation.z = math.sin(yaw / 2)
    message.pose.pose.orientation.w = math.cos(yaw / 2)
    message.twist.twist.linear.x = forward
    message.twist.twist.linear.y = left
    return message


@pytest.mark.parametrize(
    ("yaw", "heading", "velocity"),
    [
        (0.0, math.pi / 2, (3.0, 1.0)),  # facing east: forward is east, left is north
        (math.pi / 2, 0.0, (-1.0, 3.0)),  # facing north
        (math.pi, 1.5 * math.pi, (-3.0, -1.0)),
        (-math.pi / 2, math.pi, (1.0, -3.0)),
    ],
)
def test_pose_of_odometry(yaw: float, heading: float, velocity: tuple[float, float]) -> None:
    got = pose_of(odometry(yaw, forward=3.0, left=1.0))
    assert (got.time, got.east, got.north, got.up) == (5.5, 10.0, 20.0, 0.0)
    assert math.remainder(got.heading - heading, 2 * math.pi) == pytest.approx(0.0, abs=1e-12)
    assert 0.0 <= got.heading < 2 * math.pi
    assert (got.velocity_east, got.velocity_north) == pytest.approx(velocity)


def test_unknown_variances_mean_unknown_values() -> None:
    message = odometry(0.3)
    message.pose.covariance[35] = math.nan
    assert math.isnan(pose_of(message).heading)
    assert pose_of(message).east == 10.0
    message = odometry(0.3)
    message.pose.covariance[0] = math.nan
    assert math.isnan(pose_of(message).east)
    assert math.isfinite(pose_of(message).heading)


@given(st.floats(-10.0, 10.0))
def test_a_heading_is_always_in_range(yaw: float) -> None:
    assert 0.0 <= pose_of(odometry(yaw)).heading < 2 * math.pi
