# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The installed tf2_msgs is, byte for byte on the wire, upstream's release 0.36.4."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_share_directory
from rclpy.serialization import deserialize_message, serialize_message

# Made by rosidl_generator_type_description 4.6.6 (Jazzy) from the upstream release 0.36.4.
UPSTREAM_HASHES = {
    "TF2Error": "RIHS01_db2485e7d6a0ec75bf087e058ee45df682acc3a621ca7780503d10aac141809a",
    "TFMessage": "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087",
}

# The type hash covers names and types; this covers what a Python user sees of them.
UPSTREAM_FIELDS = {"TF2Error": ["error", "error_string"], "TFMessage": ["transforms"]}

# Constants do not enter the type hash.
UPSTREAM_ERRORS = {
    "NO_ERROR": 0,
    "LOOKUP_ERROR": 1,
    "CONNECTIVITY_ERROR": 2,
    "EXTRAPOLATION_ERROR": 3,
    "INVALID_ARGUMENT_ERROR": 4,
    "TIMEOUT_ERROR": 5,
    "TRANSFORM_ERROR": 6,
}


def installed_hash(name: str) -> str:
    """Type hash that rosidl wrote for an installed message."""
    path = Path(get_package_share_directory("tf2_msgs")) / "msg" / f"{name}.json"
    entries = json.loads(path.read_text(encoding="utf-8"))["type_hashes"]
    by_name = {entry["type_name"]: entry["hash_string"] for entry in entries}
    return str(by_name[f"tf2_msgs/msg/{name}"])


@pytest.mark.parametrize("name", sorted(UPSTREAM_HASHES))
def test_every_type_hash_is_upstreams(name: str) -> None:
    assert installed_hash(name) == UPSTREAM_HASHES[name]


@pytest.mark.parametrize("name", sorted(UPSTREAM_FIELDS))
def test_fields_in_upstreams_order(name: str) -> None:
    message = getattr(importlib.import_module("tf2_msgs.msg"), name)
    assert list(message.get_fields_and_field_types()) == UPSTREAM_FIELDS[name]


def test_error_constants_are_upstreams() -> None:
    from tf2_msgs.msg import TF2Error

    assert {name: getattr(TF2Error, name) for name in UPSTREAM_ERRORS} == UPSTREAM_ERRORS


def test_a_transform_survives_the_wire() -> None:
    from geometry_msgs.msg import TransformStamped
    from tf2_msgs.msg import TFMessage

    transform = TransformStamped(child_frame_id="base_link")
    transform.header.frame_id = "map"
    transform.header.stamp.sec = 1_757_032_603
    transform.transform.translation.x = -12.5
    transform.transform.rotation.z, transform.transform.rotation.w = 0.6, 0.8
    sent = TFMessage(transforms=[transform])

    assert deserialize_message(serialize_message(sent), TFMessage) == sent
