# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The sensor models, by name."""

from __future__ import annotations

from thebox_sim.sensors.base import Measurement, Report, Sensor
from thebox_sim.sensors.droneshield import DroneShield, DroneShieldSettings

# Settings class of each sensor, by the name of its section in a scenario.
SETTINGS: dict[str, type] = {
    "droneshield": DroneShieldSettings,
}

__all__ = [
    "SETTINGS",
    "DroneShield",
    "DroneShieldSettings",
    "Measurement",
    "Report",
    "Sensor",
    "make_sensor",
]


def make_sensor(name: str, settings: object, seed: int, start_epoch: float) -> Sensor:
    """Build the sensor model that a settings object belongs to.

    :param start_epoch: UTC of the scenario's start, seconds since 1970.
    :raises ValueError: for settings that no sensor has.
    """
    if isinstance(settings, DroneShieldSettings):
        return DroneShield(settings, seed, start_epoch)
    raise ValueError(f"no sensor '{name}'; there are: {', '.join(SETTINGS)}")
