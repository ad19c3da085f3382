# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The panel's server: files, sessions and roles, the way to the bridge, health and metrics."""
