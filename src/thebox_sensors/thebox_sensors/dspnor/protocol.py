# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Dspnor Dronnur-2D radar: what its driver reads and says.

Plots and tracks are ASTERIX category 010 (`asterix`), control and status the D2D protocol
(`d2d`); this module gathers both under the names that every driver uses.
"""

from __future__ import annotations

from thebox_sensors.dspnor import asterix, d2d
from thebox_sensors.dspnor.asterix import (
    DEFAULT_PORT,
    Parser,
    Record,
    StatusMessage,
    TargetReport,
    UpdateCycle,
)

__all__ = [
    "DEFAULT_CONTROL_PORT",
    "DEFAULT_PORT",
    "REASONS",
    "Parser",
    "Record",
    "StatusMessage",
    "TargetReport",
    "UpdateCycle",
    "asterix",
    "d2d",
]

DEFAULT_CONTROL_PORT = d2d.DEFAULT_PORT
REASONS = asterix.REASONS
