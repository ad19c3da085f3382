# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Settings for the package's tests."""

from __future__ import annotations

from hypothesis import settings

# A busy machine must not fail a test: speed is measured in benchmarks/.
settings.register_profile("thebox", deadline=None)
settings.load_profile("thebox")
