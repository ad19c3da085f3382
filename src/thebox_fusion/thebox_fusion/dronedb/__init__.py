# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The box's memory without ROS: events, zones, tracks, evidence and detections in SQLite.

:mod:`.store` is the file and what is asked of it, :mod:`.writer` the thread that fills it,
:mod:`.deriving` what makes events of what the graph shows.
"""
