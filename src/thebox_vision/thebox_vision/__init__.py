# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The camera verifies tracks: detector back ends, cueing, verification, the vision node."""
