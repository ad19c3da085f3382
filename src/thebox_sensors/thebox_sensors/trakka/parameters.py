# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the Trakka driver."""

from __future__ import annotations

import math
from dataclasses import replace

from thebox_core.parameters import Parameter
from thebox_sensors.driver import sensor_parameters
from thebox_sensors.trakka import protocol
from thebox_sensors.trakka.gimbal import SETTLE_TOLERANCE

__all__ = ["DEVICE_PARAMETERS", "PARAMETERS"]

_TWO_PI = 2.0 * math.pi

#: Those that the camera's link and gimbal are made with: a change of one makes them anew.
DEVICE_PARAMETERS = frozenset(
    {
        "poll_rate",
        "link_timeout",
        "slew.rate",
        "slew.acceleration",
        "slew.settle_time",
        "limits.elevation_min",
        "limits.elevation_max",
        "limits.azimuth_min",
        "limits.azimuth_max",
    }
)


def _angle(name: str, default: float, low: float, high: float, description: str) -> Parameter:
    return Parameter(name, default, description, minimum=low, maximum=high, unit="rad")


#: All of them.
PARAMETERS = (
    *(
        # The camera's messages carry no time.
        replace(p, default="arrival") if p.name == "stamp_source" else p
        for p in sensor_parameters(
            f"tcp://127.0.0.1:{protocol.DEFAULT_PORT}",
            bearing_reference="bow",
            range_max=5000.0,
            revisit_period=0.1,
        )
    ),
    Parameter(
        "poll_rate",
        20.0,
        "How often the gimbal's angles are asked for.",
        minimum=5.0,
        maximum=50.0,
        unit="Hz",
    ),
    Parameter(
        "state_rate",
        10.0,
        "How often camera/gimbal_state is published.",
        minimum=1.0,
        maximum=50.0,
        unit="Hz",
    ),
    Parameter(
        "link_timeout",
        3.0,
        "Silence on an open connection after which it is taken for dead and made anew.",
        minimum=0.5,
        maximum=60.0,
        unit="s",
    ),
    Parameter(
        "slew.rate",
        math.radians(55.0),
        "Fastest slewing; the camera takes 60 degrees a second at most.",
        minimum=math.radians(0.5),
        maximum=protocol.RATE_LIMIT,
        unit="rad/s",
    ),
    Parameter(
        "slew.acceleration",
        math.radians(90.0),
        "Braking that both axes can be trusted with.",
        minimum=math.radians(1.0),
        maximum=math.radians(1000.0),
        unit="rad/s2",
    ),
    _angle(
        "slew.tolerance",
        SETTLE_TOLERANCE,
        1e-4,
        0.2,
        "A slew whose goal names no tolerance has settled when both axes stay within this.",
    ),
    Parameter(
        "slew.settle_time",
        0.3,
        "How long they must stay within it.",
        minimum=0.0,
        maximum=10.0,
        unit="s",
    ),
    Parameter(
        "slew.timeout",
        20.0,
        "A slew whose goal names no timeout is given up after this.",
        minimum=0.5,
        maximum=600.0,
        unit="s",
    ),
    Parameter(
        "slew.follow_point",
        True,
        "Keep a point of the map in the middle of the picture after the slew to it has settled.",
    ),
    Parameter(
        "slew.hold_bearing",
        True,
        "Keep looking in a true bearing after the slew to it has settled, while the own-ship turns "
        "under the camera.",
    ),
    _angle(
        "limits.elevation_min", math.radians(-120.0), -math.pi, 0.0, "Lowest elevation reached."
    ),
    _angle("limits.elevation_max", math.radians(90.0), 0.0, math.pi, "Highest elevation reached."),
    _angle(
        "limits.azimuth_min",
        -math.pi,
        -_TWO_PI,
        0.0,
        "Azimuth of the left stop; with a full turn between the stops there are none.",
    ),
    _angle("limits.azimuth_max", math.pi, 0.0, _TWO_PI, "Azimuth of the right stop."),
    Parameter(
        "mounting_height",
        0.0,
        "Height of the camera above the own-ship's reference point, for slews to a point.",
        minimum=-100.0,
        maximum=1000.0,
        unit="m",
    ),
    _angle("bearing_sigma", 0.003, 1e-5, 1.0, "Standard deviation of a video track's bearing."),
    _angle("elevation_sigma", 0.003, 1e-5, 1.0, "Standard deviation of a video track's elevation."),
    Parameter(
        "detection_rate_max",
        0.35,
        "While the gimbal turns faster than this, video tracks are no detections.",
        minimum=0.001,
        maximum=protocol.RATE_LIMIT,
        unit="rad/s",
    ),
    Parameter(
        "quality_min",
        0.0,
        "Video tracks of a lower quality are rejected.",
        minimum=0.0,
        maximum=1.0,
    ),
    Parameter(
        "infrared_sensors",
        [2],
        "Numbers of the camera's sensors that see infrared; the others see visible light.",
        minimum=0,
        maximum=255,
    ),
    Parameter(
        "zoom_sensor",
        1,
        "Sensor that is zoomed, and whose zoom is told, unless a request names another.",
        minimum=1,
        maximum=3,
    ),
    _angle(
        "field_of_view",
        0.0,
        0.0,
        math.pi,
        "Horizontal field of view of that sensor at a digital zoom of 1; 0: not known.",
    ),
    _angle(
        "field_of_view_least",
        0.0,
        0.0,
        math.pi,
        "Narrowest horizontal field of view that the zoom reaches; 0: not known. What is narrower "
        "is not asked of the camera, which would stop short of it without a word.",
    ),
    Parameter(
        "aspect_ratio", 16.0 / 9.0, "Width of the picture by its height.", minimum=0.1, maximum=10.0
    ),
    Parameter(
        "video.source",
        "",
        "Where pictures come from: a file, rtsp://…, /dev/videoN or its number, topic:NAME; empty: "
        "none.",
    ),
    Parameter(
        "video.rate_max",
        25.0,
        "Pictures a second at most.",
        minimum=0.1,
        maximum=120.0,
        unit="Hz",
    ),
    Parameter(
        "video.latency",
        0.0,
        "How long a picture takes from the lens to this box; its stamp is earlier by that.",
        minimum=0.0,
        maximum=10.0,
        unit="s",
    ),
    Parameter(
        "video.jpeg_quality",
        80,
        "Quality of the compressed pictures.",
        minimum=1,
        maximum=100,
    ),
    Parameter("video.loop", True, "Begin a video file again at its end."),
)
