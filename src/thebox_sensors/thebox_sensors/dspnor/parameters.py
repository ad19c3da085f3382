# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the Dspnor driver."""

from __future__ import annotations

import math

from thebox_core.parameters import Parameter
from thebox_sensors.driver import sensor_parameters
from thebox_sensors.dspnor import d2d
from thebox_sensors.dspnor.asterix import DEFAULT_PORT

__all__ = ["CONTROL_PARAMETERS", "PARAMETERS"]

#: All of them.
PARAMETERS = (
    *sensor_parameters(
        f"udp://127.0.0.1:{DEFAULT_PORT}", stale_after=3.5, range_max=10_000.0, revisit_period=2.0
    ),
    Parameter(
        "range_sigma",
        10.0,
        "Standard deviation of a range whose report states none.",
        minimum=0.01,
        maximum=10_000.0,
        unit="m",
    ),
    Parameter(
        "bearing_sigma",
        0.01,
        "Standard deviation of an azimuth whose report states none.",
        minimum=1e-5,
        maximum=math.pi,
        unit="rad",
    ),
    Parameter(
        "velocity_sigma",
        3.0,
        "Standard deviation of each part of a track's velocity.",
        minimum=0.01,
        maximum=1000.0,
        unit="m/s",
    ),
    Parameter(
        "height_sigma",
        30.0,
        "Standard deviation of a measured height, where a report has one.",
        minimum=0.1,
        maximum=10_000.0,
        unit="m",
    ),
    Parameter(
        "use_coasted",
        False,
        "Publish also positions that the radar has extrapolated without seeing the object.",
    ),
    Parameter(
        "use_test_targets", False, "Publish also the radar's simulated targets and test targets."
    ),
    Parameter(
        "control.address",
        "",
        "Host of the radar's control port (D2D); empty: no control; discover: the radar whose "
        "beacon is heard.",
    ),
    Parameter(
        "control.port",
        d2d.DEFAULT_PORT,
        "The radar's control port.",
        minimum=1,
        maximum=65_535,
    ),
    Parameter(
        "control.poll_interval",
        5.0,
        "Time between two polls of the radar's status.",
        minimum=1.0,
        maximum=3600.0,
        unit="s",
    ),
    Parameter(
        "control.answer_timeout",
        5.0,
        "How long an answer may take; after two that stay away the connection is made anew.",
        minimum=0.5,
        maximum=60.0,
        unit="s",
    ),
    Parameter(
        "safe_mode",
        True,
        "Send the radar only requests that read; transmitter, antenna, reset and reboot are "
        "refused.",
    ),
    Parameter(
        "serial_number",
        "",
        "The radar's serial number; a reset or reboot has to name it again.",
    ),
    Parameter("discovery.enabled", False, "Listen for the beacons of radars."),
    Parameter(
        "discovery.group",
        d2d.DISCOVERY_GROUP,
        "Multicast group of the beacons; empty: they come to this machine's own address.",
    ),
    Parameter(
        "discovery.port",
        d2d.DISCOVERY_PORT,
        "UDP port of the beacons.",
        minimum=1,
        maximum=65_535,
    ),
    Parameter(
        "discovery.interface",
        "0.0.0.0",  # noqa: S104 - of a multicast group, on any interface
        "Address of this machine on the radar's network.",
    ),
)

#: Those that the control connection is made with: a change of one makes it anew.
CONTROL_PARAMETERS = frozenset(
    {
        "control.address",
        "control.port",
        "control.poll_interval",
        "control.answer_timeout",
        "discovery.enabled",
        "discovery.group",
        "discovery.port",
        "discovery.interface",
    }
)
