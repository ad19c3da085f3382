# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""How good a picture is, against the truth. Numpy and scipy only."""

from .consistency import nees, nees_bounds, reliability
from .pictures import PictureScore, Step, gospa, ospa, score_picture

__all__ = [
    "PictureScore",
    "Step",
    "gospa",
    "nees",
    "nees_bounds",
    "ospa",
    "reliability",
    "score_picture",
]
