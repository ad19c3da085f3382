# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""One object, one track: the multi-sensor tracker. Plain numpy, no ROS."""

from .detection import Detection
from .parameters import SensorModel, TrackerParameters, parameters_from_mapping
from .tracker import Tracker
from .view import LedgerEntry, TrackState, TrackView

__all__ = [
    "Detection",
    "LedgerEntry",
    "SensorModel",
    "TrackState",
    "TrackView",
    "Tracker",
    "TrackerParameters",
    "parameters_from_mapping",
]
