# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The installed vision_msgs is, byte for byte on the wire, upstream's release 4.1.1."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_share_directory
from rclpy.serialization import deserialize_message, serialize_message

# Made by rosidl_generator_type_description 4.6.6 (Jazzy) from the upstream release 4.1.1.
UPSTREAM_HASHES = {
    "BoundingBox2D": "RIHS01_008eacbb0cf8f26e83795547bed013eec3675485ef386ec056d80eaaf1c1ce2f",
    "BoundingBox2DArray": "RIHS01_2464e82838009386d371b523211c21c91d74d313fcdd6788223c531d621cf691",
    "BoundingBox3D": "RIHS01_bbb73a65c163d7f9bb29009c7bde9f7faa576bd2d23299c4511d19230dab4698",
    "BoundingBox3DArray": "RIHS01_a81938db9576b10c2eecd7c5a5da3eac496efd00221b25ed051dfbc81fb56da6",
    "Classification": "RIHS01_f74db28d0eaef3afb78f48bf2161cd709a1383a0309d3454383b25be11345143",
    "Detection2D": "RIHS01_0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea",
    "Detection2DArray": "RIHS01_214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968",
    "Detection3D": "RIHS01_ddd703be132ab0b69d33121f1bb034132bfbb3b0ac5f9fb1516005ba1c8a265b",
    "Detection3DArray": "RIHS01_793f5eab9595ac1c0da07873cc859db42eae51f0ee76056db8562515d830e018",
    "LabelInfo": "RIHS01_3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783",
    "ObjectHypothesis": "RIHS01_51da43cec11c01957a64d1e05a24acd18aae7745ec30b74348ad5f6d634f7f90",
    "ObjectHypothesisWithPose": (
        "RIHS01_41c12344c0396c48b81df12467c192d99b2a0eb1463c5c37194e4223251c80bc"
    ),
    "Point2D": "RIHS01_eab0e83f44ab4de92ceaf76dd7d0e7638f2bdd1d16ffbe16c7a136c48e407247",
    "Pose2D": "RIHS01_b0b5d1d7b4c20dd4fcde3ed1d4b289a919290572007d67a97043814db25d3648",
    "VisionClass": "RIHS01_1e4a11f0fed50b5623cb8ff26ca0e37952a48a9c074d16f804b44e9164c2037a",
    "VisionInfo": "RIHS01_95d3116a17484ad91c9a2686e1d54890bbfc3ff6c6a2de137738c4950d45d284",
}

# The type hash covers names and types; this covers what a Python user sees of them.
UPSTREAM_FIELDS = {
    "BoundingBox2D": ["center", "size_x", "size_y"],
    "BoundingBox2DArray": ["header", "boxes"],
    "BoundingBox3D": ["center", "size"],
    "BoundingBox3DArray": ["header", "boxes"],
    "Classification": ["header", "results"],
    "Detection2D": ["header", "results", "bbox", "id"],
    "Detection2DArray": ["header", "detections"],
    "Detection3D": ["header", "results", "bbox", "id"],
    "Detection3DArray": ["header", "detections"],
    "LabelInfo": ["header", "class_map", "threshold"],
    "ObjectHypothesis": ["class_id", "score"],
    "ObjectHypothesisWithPose": ["hypothesis", "pose"],
    "Point2D": ["x", "y"],
    "Pose2D": ["position", "theta"],
    "VisionClass": ["class_id", "class_name"],
    "VisionInfo": ["header", "method", "database_location", "database_version"],
}


def installed_hashes() -> dict[str, str]:
    """Type hashes that rosidl wrote for the installed vision_msgs, by message name."""
    folder = Path(get_package_share_directory("vision_msgs")) / "msg"
    hashes = {}
    for path in folder.glob("*.json"):
        names = json.loads(path.read_text(encoding="utf-8"))["type_hashes"]
        by_name = {entry["type_name"]: entry["hash_string"] for entry in names}
        hashes[path.stem] = by_name[f"vision_msgs/msg/{path.stem}"]
    return hashes


def test_every_type_hash_is_upstreams() -> None:
    assert installed_hashes() == UPSTREAM_HASHES


@pytest.mark.parametrize("name", sorted(UPSTREAM_FIELDS))
def test_fields_in_upstreams_order(name: str) -> None:
    message = getattr(importlib.import_module("vision_msgs.msg"), name)
    assert list(message.get_fields_and_field_types()) == UPSTREAM_FIELDS[name]


def test_a_detection_survives_the_wire() -> None:
    from vision_msgs.msg import (
        BoundingBox2D,
        Detection2D,
        Detection2DArray,
        ObjectHypothesis,
        ObjectHypothesisWithPose,
        Point2D,
        Pose2D,
    )

    box = BoundingBox2D(
        center=Pose2D(position=Point2D(x=319.5, y=120.25), theta=-0.5), size_x=32.0, size_y=18.5
    )
    drone = ObjectHypothesisWithPose(hypothesis=ObjectHypothesis(class_id="drone", score=0.875))
    drone.pose.pose.position.z = 80.0
    drone.pose.covariance[35] = 0.25
    sent = Detection2DArray(detections=[Detection2D(results=[drone], bbox=box, id="7")])
    sent.header.stamp.sec = 1_757_032_603
    sent.header.frame_id = "trakka_camera"

    received = deserialize_message(serialize_message(sent), Detection2DArray)

    assert received == sent
    assert received.detections[0].results[0].pose.covariance[35] == 0.25


def test_a_label_list_survives_the_wire() -> None:
    from vision_msgs.msg import LabelInfo, VisionClass

    sent = LabelInfo(
        class_map=[
            VisionClass(class_id=0, class_name="drone"),
            VisionClass(class_id=65_535, class_name="UNLABELED"),
        ],
        threshold=0.25,
    )

    assert deserialize_message(serialize_message(sent), LabelInfo) == sent
