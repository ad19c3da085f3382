# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Detections of many sensors become one track for each object."""
