# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The sensor models, by name."""

from __future__ import annotations

from thebox_sim.sensors.base import Measurement, Report, Sensor
from thebox_sim.sensors.droneshield import DroneShield, DroneShieldSettings
from thebox_sim.sensors.dspnor import Dspnor, DspnorSettings
from thebox_sim.sensors.mara import Mara, MaraSettings
from thebox_sim.sensors.ownship import OwnShipNavigation, OwnShipSettings
from thebox_sim.sensors.silvus import Silvus, SilvusSettings
from thebox_sim.sensors.trakka import Trakka, TrakkaSettings

# Settings class of each sensor, by the name of its section in a scenario.
SETTINGS: dict[str, type] = {
    "droneshield": DroneShieldSettings,
    "silvus": SilvusSettings,
    "mara": MaraSettings,
    "dspnor": DspnorSettings,
    "trakka": TrakkaSettings,
    "ownship": OwnShipSettings,
}

__all__ = [
    "SETTINGS",
    "DroneShield",
    "DroneShieldSettings",
    "Dspnor",
    "DspnorSettings",
    "Mara",
    "MaraSettings",
    "Measurement",
    "OwnShipNavigation",
    "OwnShipSettings",
    "Report",
    "Sensor",
    "Silvus",
    "SilvusSettings",
    "Trakka",
    "TrakkaSettings",
    "make_sensor",
]


def make_sensor(name: str, settings: object, seed: int, start_epoch: float) -> Sensor:
    """Build the sensor model that a settings object belongs to.

    :param start_epoch: UTC of the scenario's start, seconds since 1970.
    :raises ValueError: for settings that no sensor has.
    """
    match settings:
        case DroneShieldSettings():
            return DroneShield(settings, seed, start_epoch)
        case SilvusSettings():
            return Silvus(settings, seed, start_epoch)
        case MaraSettings():
            return Mara(settings, seed, start_epoch)
        case DspnorSettings():
            return Dspnor(settings, seed, start_epoch)
        case TrakkaSettings():
            return Trakka(settings, seed, start_epoch)
        case OwnShipSettings():
            return OwnShipNavigation(settings, seed, start_epoch)
    raise ValueError(f"no sensor '{name}'; there are: {', '.join(SETTINGS)}")
