# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""MARA Spotter: daylight camera, thermal camera and microphones."""
