# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The rosbridge v2 protocol over a WebSocket, for a machine without a ROS distribution."""
