# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path

# The package under test, also where the workspace is not built.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
