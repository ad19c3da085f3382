# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Silvus radio network: RF spectrum and angle of arrival."""
