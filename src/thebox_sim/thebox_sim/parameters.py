# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the simulated sky's node. No ROS."""

from __future__ import annotations

from thebox_core.parameters import Parameter

# Where each sensor's driver listens by default; the same ports as the real sensors'.
DEFAULT_PORTS = {
    "droneshield": 8888,
    "silvus": 50051,
    "mara": 8787,
    "dspnor": 4010,
    "ownship": 60000,
}
# Where the simulated sensors that are TCP servers wait for their drivers.
TRAKKA_PORT = 51555
DSPNOR_CONTROL_PORT = 59623
DSPNOR_BEACON_PORT = 59368
VIDEO_PORT = 51556


def _address(group: str, port: int, what: str) -> list[Parameter]:
    return [
        Parameter(f"{group}host", "127.0.0.1", f"Host that {what}.", read_only=True),
        Parameter(
            f"{group}port",
            port,
            f"Port that {what}.",
            minimum=1,
            maximum=65535,
            read_only=True,
        ),
    ]


def _sensor_parameters(name: str, port: int) -> list[Parameter]:
    return [
        Parameter(
            f"{name}.enabled",
            True,
            f"Play the simulated {name}, where the scenario has one.",
            read_only=True,
        ),
        *_address(f"{name}.", port, f"the simulated {name} sends its datagrams to"),
    ]


PARAMETERS: list[Parameter] = [
    Parameter(
        "scenario",
        "harbour",
        "Name of a scenario of thebox_sim, or path of a scenario file (.yaml).",
        read_only=True,
    ),
    Parameter(
        "seed",
        1,
        "Seed of all randomness: the same seed plays the same sky.",
        minimum=0,
        maximum=2**31 - 1,
        read_only=True,
    ),
    Parameter(
        "rate",
        1.0,
        "Seconds of the scenario per second of wall time.",
        minimum=0.01,
        maximum=100.0,
        read_only=True,
    ),
    Parameter(
        "truth_rate",
        10.0,
        "How often the truth and the own-ship are published.",
        minimum=0.1,
        maximum=50.0,
        unit="Hz",
        read_only=True,
    ),
    Parameter(
        "publish_ownship",
        True,
        "Publish ownship/fix and ownship/odometry from the truth, for a graph without the "
        "own-ship driver.",
        read_only=True,
    ),
    Parameter(
        "datum.from_scenario",
        True,
        "Play around the scenario's own place; false: around the datum given here.",
        read_only=True,
    ),
    Parameter(
        "datum.latitude",
        0.0,
        "WGS-84 latitude of the map's origin.",
        minimum=-89.9,
        maximum=89.9,
        unit="degrees",
        read_only=True,
    ),
    Parameter(
        "datum.longitude",
        0.0,
        "WGS-84 longitude of the map's origin.",
        minimum=-180.0,
        maximum=180.0,
        unit="degrees",
        read_only=True,
    ),
    Parameter(
        "datum.altitude",
        0.0,
        "Ellipsoidal height of the map's origin.",
        minimum=-500.0,
        maximum=9000.0,
        unit="m",
        read_only=True,
    ),
    Parameter(
        "truth_file",
        "",
        "File that the truth is written to, one JSON line a second; empty: none.",
        read_only=True,
    ),
    Parameter(
        "mara.transport",
        "udp",
        "How the simulated mara speaks: datagrams to mara.host and mara.port, a TCP server on that "
        "address, or a serial line.",
        choices=("udp", "tcp", "serial"),
        read_only=True,
    ),
    Parameter(
        "mara.serial_link",
        "/tmp/thebox-mara",  # noqa: S108 - a link that only the same user can replace
        "Path at which the driver finds the simulated serial line (serial://PATH).",
        read_only=True,
    ),
    *(p for name, port in DEFAULT_PORTS.items() for p in _sensor_parameters(name, port)),
    *_address("dspnor.control_", DSPNOR_CONTROL_PORT, "the simulated radar's control listens on"),
    *_address(
        "dspnor.beacon_", DSPNOR_BEACON_PORT, "the simulated radar sends its discovery beacon to"
    ),
    Parameter(
        "trakka.enabled",
        True,
        "Play the simulated trakka, where the scenario has one.",
        read_only=True,
    ),
    *_address("trakka.", TRAKKA_PORT, "the simulated camera listens on"),
    Parameter(
        "video.enabled",
        True,
        "Render what the simulated camera sees and serve it as MJPEG over HTTP, while anybody "
        "looks; needs OpenCV.",
        read_only=True,
    ),
    *_address("video.", VIDEO_PORT, "the rendered video is served on"),
    Parameter(
        "video.topic",
        "",
        "Topic that rendered pictures are published on as well; empty: none.",
        read_only=True,
    ),
    Parameter(
        "video.rate",
        10.0,
        "Rendered pictures a second, while anybody looks.",
        minimum=0.5,
        maximum=30.0,
        unit="Hz",
        read_only=True,
    ),
    Parameter(
        "video.width",
        960,
        "Width of a rendered picture.",
        minimum=64,
        maximum=3840,
        unit="pixels",
        read_only=True,
    ),
    Parameter(
        "video.height",
        540,
        "Height of a rendered picture.",
        minimum=64,
        maximum=2160,
        unit="pixels",
        read_only=True,
    ),
]
