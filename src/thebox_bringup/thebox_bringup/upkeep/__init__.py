# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What keeps a box well over the years: backup, restore, support bundle, audit."""
