# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Trakka TC-300 gimbal camera."""
