# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What the box tells Fast DDS, and that a camera's pictures pass whole, without shared memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

from thebox_bringup.transport import DISCOVERY_RANGE, transport

PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
HELD = r"""
import json, sys, time
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
rclpy.init()
node = rclpy.create_node("picture_" + sys.argv[1])
end = time.monotonic() + 60.0
if sys.argv[1] == "sender":
    publisher = node.create_publisher(Image, "pictures", best_effort)
    picture = Image(data=bytes(1280 * 720 * 3))
    # Until the other has heard enough, or gives up.
    while time.monotonic() < end:
        publisher.publish(picture)
        picture.height += 1
        time.sleep(0.05)
else:
    heard = []
    node.create_subscription(Image, "pictures", lambda m: heard.append(m.height), best_effort)
    while time.monotonic() < end and (not heard or heard[-1] - heard[0] < 40):
        rclpy.spin_once(node, timeout_sec=0.5)
    print(json.dumps(heard))
"""


def profile(found: dict[str, str]) -> str:
    (file,) = {found[name] for name in PROFILES}
    assert Path(file).is_file()
    return Path(file).name


def test_a_box_on_one_machine_has_a_profile_that_ros_does_not_override() -> None:
    found = transport({DISCOVERY_RANGE: "LOCALHOST"})
    assert profile(found) == "fastdds_local.xml"
    assert found[DISCOVERY_RANGE] == "SYSTEM_DEFAULT"
    # What a process was given it hands on to its own as it is.
    assert transport(found) == {}
    # Unless those are to look elsewhere.
    assert transport({**found, DISCOVERY_RANGE: "LOCALHOST"}) == found
    assert profile(transport({**found, DISCOVERY_RANGE: "SUBNET"})) == "fastdds.xml"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {DISCOVERY_RANGE: "SUBNET"},
        {DISCOVERY_RANGE: "LOCALHOST", "ROS_STATIC_PEERS": "192.168.10.2"},
        {DISCOVERY_RANGE: "LOCALHOST", "ROS_DISCOVERY_SERVER": "192.168.10.2:11811"},
    ],
)
def test_discovery_beyond_the_machine_stays_with_ros(given: dict[str, str]) -> None:
    found = transport(given)
    assert profile(found) == "fastdds.xml"
    assert DISCOVERY_RANGE not in found


@pytest.mark.parametrize(
    "given",
    [{PROFILES[0]: "/etc/thebox/dds.xml"}, {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}],
)
def test_a_sites_own_choice_stands(given: dict[str, str]) -> None:
    assert transport({DISCOVERY_RANGE: "LOCALHOST", **given}) == {}


@pytest.mark.graph
@pytest.mark.parametrize("listener", ["as the box", "as an operator's tool"])
def test_pictures_pass_whole_between_processes(domain: int, listener: str) -> None:
    # As ./thebox run has it, whatever the tests themselves speak.
    plain = {**os.environ, **transport({}), "ROS_DOMAIN_ID": str(domain)}
    plain |= {DISCOVERY_RANGE: "LOCALHOST"}
    box = {**plain, **transport(plain)}
    sender = subprocess.Popen([sys.executable, "-c", HELD, "sender"], env=box)
    try:
        told = subprocess.run(
            [sys.executable, "-c", HELD, "listener"],
            env=box if listener == "as the box" else plain,
            capture_output=True,
            text=True,
            check=True,
            timeout=90.0,
        )
        process = psutil.Process(sender.pid)
        shared = [file.path for file in process.open_files() if "fastrtps" in file.path]
        listening = {one.laddr.ip for one in process.net_connections("udp")}
    finally:
        sender.kill()
        sender.wait()
    assert shared == [], "a killed process could hold up all others"
    assert listening == {"127.0.0.1"}, "others could reach the box over the network"
    heard = json.loads(told.stdout)
    assert heard, "no picture at all"
    # A third comes with a socket buffer of 200 kB, as Linux has it: a picture is 42 datagrams.
    buffer = int(Path("/proc/sys/net/core/rmem_max").read_text(encoding="ascii"))
    share = 0.8 if buffer >= 4 * 2**20 else 0.1
    assert len(heard) >= share * (heard[-1] - heard[0] + 1), heard
