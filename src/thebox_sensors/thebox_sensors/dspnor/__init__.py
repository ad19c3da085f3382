# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Dspnor Dronnur-2D radar."""
