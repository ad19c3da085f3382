# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Array types of the tracker."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
