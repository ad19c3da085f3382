# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What the box tells Fast DDS: UDP alone.

Its shared memory does not survive the death of a process (`config/fastdds.xml` tells more). A
profile says so, but ROS overrides a profile's transports where discovery is to stay on this machine
(``ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST``): rmw_fastrtps puts its own in their place. There a
second profile says all that it would say but for the shared memory, and the range is left to the
profile.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

__all__ = ["DISCOVERY_RANGE", "speak_as_the_box", "stay_local", "transport"]

DISCOVERY_RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"

# Jazzy's Fast DDS reads the one, Kilted's the other.
_PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
# What finds others beyond this machine, whatever the range.
_BEYOND = ("ROS_STATIC_PEERS", "ROS_DISCOVERY_SERVER")
_NETWORK, _LOCAL = "fastdds.xml", "fastdds_local.xml"


def transport(given: Mapping[str, str]) -> dict[str, str]:
    """The variables that the box's processes need beside those given.

    Args:
        given: the environment that the processes would have.

    Returns:
        none where the site names a profile of its own, or another middleware than Fast DDS.
    """
    named = {Path(given[name]).name for name in _PROFILES if given.get(name)}
    if named - {_NETWORK, _LOCAL}:
        return {}
    if _LOCAL in named and given.get(DISCOVERY_RANGE) == "SYSTEM_DEFAULT":
        # This function's own choice, handed on with the rest.
        return {}
    if not (given.get("RMW_IMPLEMENTATION") or "rmw_fastrtps").startswith("rmw_fastrtps"):
        return {}
    local = given.get(DISCOVERY_RANGE) == "LOCALHOST" and not any(map(given.get, _BEYOND))
    config = Path(get_package_share_directory("thebox_bringup")) / "config"
    found = dict.fromkeys(_PROFILES, str(config / (_LOCAL if local else _NETWORK)))
    return {**found, DISCOVERY_RANGE: "SYSTEM_DEFAULT"} if local else found


def stay_local() -> None:
    """Have this process look for others on this machine only, unless the site says otherwise."""
    os.environ.setdefault(DISCOVERY_RANGE, "LOCALHOST")


def speak_as_the_box() -> None:
    """Have this process speak as the box's own do; to be called before ``rclpy.init``."""
    stay_local()
    os.environ.update(transport(os.environ))
