# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Check that the environment works: a message goes through the middleware, every interface loads.

Run inside the environment. Sends to this machine only, in a ROS domain of its own.
"""

from __future__ import annotations

import importlib
import os
import sys
import time

INTERFACES = (
    "action_msgs.msg:GoalStatus",
    "builtin_interfaces.msg:Time",
    "diagnostic_msgs.msg:DiagnosticArray",
    "geometry_msgs.msg:PoseWithCovariance",
    "lifecycle_msgs.srv:ChangeState",
    "nav_msgs.msg:Odometry",
    "rcl_interfaces.msg:ParameterDescriptor",
    "rosgraph_msgs.msg:Clock",
    "sensor_msgs.msg:NavSatFix",
    "std_msgs.msg:Header",
    "std_srvs.srv:Trigger",
    "unique_identifier_msgs.msg:UUID",
    "visualization_msgs.msg:MarkerArray",
)
LIBRARIES = ("jsonschema", "numpy", "psutil", "pynmeagps", "scipy", "serial", "supervisor", "yaml")
BOUND = 15.0  # seconds; discovery on one machine takes tenths


def check_interfaces() -> None:
    """Import each interface and its C type support."""
    for name in INTERFACES:
        module, cls = name.split(":")
        interface = getattr(importlib.import_module(module), cls)
        interface.__class__.__import_type_support__()


def check_round_trip() -> None:
    """Publish until a subscriber in this process has the message, at most BOUND seconds."""
    import rclpy  # noqa: PLC0415 - the domain must be set before
    from std_msgs.msg import String  # noqa: PLC0415

    rclpy.init()
    node = rclpy.create_node("environment_check")
    heard: list[str] = []
    node.create_subscription(String, "environment_check", lambda m: heard.append(m.data), 1)
    publisher = node.create_publisher(String, "environment_check", 1)
    ends = time.monotonic() + BOUND
    while not heard and time.monotonic() < ends:
        publisher.publish(String(data="through the middleware"))
        rclpy.spin_once(node, timeout_sec=0.1)
    node.destroy_node()
    rclpy.shutdown()
    if heard[:1] != ["through the middleware"]:
        raise SystemExit(
            f"no message came through the middleware within {BOUND:.0f} s "
            "(a firewall on the loopback interface?)"
        )


def main() -> int:
    """Run all checks; an exception of any of them is the message."""
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    for name in LIBRARIES:
        importlib.import_module(name)
    check_interfaces()
    check_round_trip()
    print(f"    {len(INTERFACES)} interface packages, rclpy and its middleware work")
    return 0


if __name__ == "__main__":
    sys.exit(main())
