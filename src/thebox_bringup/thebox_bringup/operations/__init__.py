# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The operator's commands on a running box, one module each with ``main(argv) -> int``."""
