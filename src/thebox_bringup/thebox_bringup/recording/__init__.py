# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Record, replay, and replay offline: bags in rosbag2's own format, on any machine.

:mod:`.bag` writes and reads the files, :mod:`.tap` hears every topic as it is, :mod:`.record` and
:mod:`.blackbox` keep what is heard, :mod:`.replay` plays it, :mod:`.offline` runs it through the
drivers and the tracker without a graph, the same way each time.
"""
