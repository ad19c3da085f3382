# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Sensor drivers: one sub-package a sensor, `protocol.py` without ROS and `node.py` over it."""
