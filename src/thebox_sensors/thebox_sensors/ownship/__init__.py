# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Own-ship navigation over NMEA 0183."""
