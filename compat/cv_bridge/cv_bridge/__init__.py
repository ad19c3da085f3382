# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Stand-in for the Python half of cv_bridge: image messages to and from OpenCV's arrays."""

from cv_bridge.core import CvBridge, CvBridgeError

__all__ = ["CvBridge", "CvBridgeError"]
