# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What every node of TheBox stands on."""
