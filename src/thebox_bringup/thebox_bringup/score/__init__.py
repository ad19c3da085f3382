# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A scorecard from any recording: how well the box saw what was there.

:mod:`.truth` reads what was there, :mod:`.figures` compares (no ROS), :mod:`.report` shows,
:mod:`.command` is ``thebox score``.
"""
