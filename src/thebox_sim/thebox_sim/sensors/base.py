# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What all sensor models share: measurements, mounting, and the two steps of a sensor.

A sensor first measures (:meth:`Sensor.poll`: world in, reports out), then speaks
(:meth:`Sensor.encode`: reports in, its vendor's bytes out). The first step alone feeds the offline
files, both together the sockets, so that both tell the same story.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thebox_sim.geometry import (
    Vector,
    bearing_to,
    elevation_to,
    slant_range,
    wrap_pi,
)
from thebox_sim.world import OwnShip, World, random_stream

NAN = math.nan


@dataclass(frozen=True)
class Measurement:
    """One measurement of one object (or of nothing), in SI units; unknown numbers are NaN.

    ``time`` is the sensor's stamp in seconds since the scenario's start; ``own_position`` where the
    own-ship stood. Bearings are from true north, clockwise, [0, 2*pi). ``truth_id`` names the
    object that caused it, and is empty for clutter and false emitters: it is for scoring and never
    leaves the simulation.
    """

    time: float
    sensor: str
    own_position: Vector
    bearing: float
    bearing_sigma: float
    truth_id: str = ""
    bearing_alternative: float = NAN
    range: float = NAN
    range_sigma: float = NAN
    elevation: float = NAN
    elevation_sigma: float = NAN
    rssi: float = NAN
    frequency: float = NAN
    key: str = ""
    confidence: float = NAN


@dataclass(frozen=True)
class Report:
    """A measurement on its way out, with what the vendor's format says beside it."""

    # When the sensor sends it, in seconds since the scenario's start.
    sent: float
    measurement: Measurement | None
    # Vendor fields by name, read by the same sensor's encoder only.
    fields: dict[str, Any]


class Sensor(ABC):
    """A sensor model with its vendor's language."""

    # Name of the sensor, of its driver and of its section in a scenario.
    name = ""
    #: Whether what it sends carries a time: of its own clock, which can be wrong.
    stamps = True

    def __init__(self, seed: int, start_epoch: float) -> None:
        """Make the sensor's own random streams.

        :param start_epoch: UTC of the scenario's start, seconds since 1970.
        """
        self.start_epoch = start_epoch
        # Error of the sensor's clock in seconds: a fault sets it.
        self.clock_offset = 0.0
        # Measuring and speaking draw from different streams: offline files, which are never
        # encoded, must hold the very measurements that the sockets carry.
        self.rng = random_stream(seed, "sensor", self.name)
        self.wire_rng = random_stream(seed, "wire", self.name)

    def epoch(self, time: float) -> float:
        """Return what the sensor's clock shows at ``time``: UTC seconds, with the clock's error."""
        return self.start_epoch + time + self.clock_offset

    @abstractmethod
    def poll(self, world: World) -> list[Report]:
        """Return the reports that are due by now; called once after every step of the world."""

    @abstractmethod
    def encode(self, reports: Sequence[Report]) -> list[bytes]:
        """Return the datagrams that carry the reports, in the vendor's format."""


@dataclass(frozen=True)
class Look:
    """Where an object stands as seen from the own-ship."""

    bearing: float
    elevation: float
    range: float


def look_at(ship: OwnShip, position: Vector, mast_height: float = 0.0) -> Look:
    """Return bearing, elevation (radians) and slant range (metres) of a position.

    :param mast_height: height of the sensor above the own-ship's position, metres.
    """
    east, north, up = ship.position
    sensor = (east, north, up + mast_height)
    return Look(
        bearing_to(sensor, position), elevation_to(sensor, position), slant_range(sensor, position)
    )


def in_sector(bearing: float, centre: float, width: float) -> bool:
    """Say whether a bearing lies in the sector of full ``width`` about ``centre`` (radians)."""
    return width >= 2.0 * math.pi or abs(wrap_pi(bearing - centre)) <= width / 2.0
