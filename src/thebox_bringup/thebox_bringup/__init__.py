# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Brings the box up: the graph as data, and what is made from it."""
