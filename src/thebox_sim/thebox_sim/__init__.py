# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A simulated sky that speaks every sensor's own wire protocol."""
