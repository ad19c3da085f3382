# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Compass, own-ship state, camera driver and simulated camera in one loop, in a time of its own.

The classes are those of the live graph: the simulator's compass and camera (with its wire protocol
and gimbal dynamics), the own-ship node's state, the driver's controller. What the graph does with
threads and messages is done here step by step, so that a run is the same on any machine.
"""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np

from thebox_core.ownship import OwnShipHistory, Pose
from thebox_sensors.ownship.protocol import Heading, TurnRate
from thebox_sensors.ownship.state import OwnShipState
from thebox_sensors.protocol_base import wrap_angle
from thebox_sensors.trakka import protocol
from thebox_sensors.trakka.gimbal import GimbalController, Limits
from thebox_sim.geometry import Datum
from thebox_sim.sensors.trakka import CameraPose, Trakka, TrakkaSession, TrakkaSettings
from thebox_vision.geometry import Pointing

STEP = 0.05
_WIDE = math.radians(TrakkaSettings().wide_fov_deg)
_MEMORY = 60.0  # of the compass's slow error, seconds


class Chain:
    """Points the simulated camera at true bearings, as the graph does.

    Args:
        rng: of the compass's errors.
        wander: of the compass's slow error, radians.
        jitter: of each heading for itself, radians.
        smoothing: the own-ship node's parameter heading.smoothing, seconds.
        swell: amplitude of the own-ship's yaw, radians, with a period of 7 s.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        wander: float,
        jitter: float,
        smoothing: float = 1.0,
        swell: float = 0.0,
    ) -> None:
        self.rng, self.wander, self.jitter, self.swell = rng, wander, jitter, swell
        self.time = 0.0
        self.camera = Trakka(TrakkaSettings(), 1, 0.0)
        self.field = _WIDE
        #: Where the camera was told to look to, bearing and elevation.
        self.goal: tuple[float, float] | None = None
        self._session = TrakkaSession(self.camera)
        self._parser = protocol.Parser()
        self._controller = GimbalController(Limits())
        self._state = OwnShipState(smoothing=smoothing)
        self._history = OwnShipHistory()
        self._slow = float(rng.standard_normal())
        self._next_heading = self._next_state = 0.0
        self.pointings: list[Pointing] = []

    def heading(self, time: float) -> float:
        """The true heading."""
        return math.radians(45.0) + self.swell * math.sin(2 * math.pi * time / 7.0)

    @property
    def error(self) -> float:
        """The compass's slow error now, radians: bearings of the other sensors have it too."""
        return self.wander * self._slow

    def look_at(self, bearing: float, elevation: float, tolerance: float) -> None:
        """A goal of slew_to."""
        self.goal = (bearing, elevation)
        azimuth = wrap_angle(bearing - self._history.at(self.time).heading)
        self._send(self._controller.start(self.time, azimuth, elevation))
        self._controller.tolerance = tolerance

    def zoom(self, field: float) -> None:
        """A request of set_zoom."""
        self.field = max(field, 0.017863)
        self._send(protocol.set_zoom(1, protocol.ZoomCommand.FIELD_OF_VIEW, self.field))

    def advance(self) -> Pointing | None:
        """Go on by a step; returns the pointing that the driver publishes then, if it does."""
        self.time += STEP
        now = self.time
        rate = (self.heading(now + 0.01) - self.heading(now - 0.01)) / 0.02
        ship = SimpleNamespace(heading=self.heading(now), position=(0.0, 0.0, 0.0))
        spec = SimpleNamespace(datum=Datum(0.0, 0.0))
        self.camera.poll(SimpleNamespace(time=now, own_ship=ship, spec=spec, objects=()))
        kept = math.exp(-STEP / _MEMORY)
        fresh = math.sqrt(1 - kept * kept) * float(self.rng.standard_normal())
        self._slow = kept * self._slow + fresh
        if now >= self._next_heading:
            self._next_heading = now + 0.1 - 1e-9
            noise = self.jitter * float(self.rng.standard_normal())
            told = (ship.heading + self.error + noise) % (2 * math.pi)
            self._state.update(Heading(math.nan, told, "HDT", "HE"), now)
            self._state.update(TurnRate(math.nan, rate, "HE"), now)
            pose = self._state.pose(now)
            place = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
            self._history.add(Pose(now, *place, pose.heading.heading, pose.turn_rate))
        angles = {
            r.register: r.value
            for r in self._send(protocol.poll("angles"))
            if isinstance(r, protocol.RegisterValue)
        }
        azimuth = angles[protocol.Register.AZIMUTH]
        elevation = angles[protocol.Register.ELEVATION]
        if self.goal is not None and (self._controller.moving or self._controller.holding):
            aim = wrap_angle(self.goal[0] - self._history.at(now).heading)
            self._controller.retarget(now, aim, self.goal[1])
        self._send(self._controller.update(now, azimuth, elevation).commands)
        self._controller.hold()
        if now < self._next_state:
            return None
        self._next_state = now + 0.1 - 1e-9
        bearing = (azimuth + self._history.at(now).heading) % (2 * math.pi)
        return Pointing(now, bearing, elevation, self.field, self._controller.moving)

    def pose(self) -> CameraPose:
        """Where the camera truly looks, as a compass without slow error would have it.

        Sensors and camera share that error, so it turns the whole sky and is left out of both.
        """
        true = self.camera.pose()
        bearing = (true.bearing + self.error) % (2 * math.pi)
        return CameraPose(bearing, true.elevation, true.horizontal_field_of_view)

    def _send(self, commands: bytes) -> list[protocol.Record]:
        return list(self._parser.feed(self._session.received(commands)).records)
