# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Whoever steers the camera where no driver does: looks at what flies near, one after the other.

It uses the camera's own messages, so that gimbal, zoom and video tracks behave as on the socket.
"""

from __future__ import annotations

import math
import struct

from thebox_sim.geometry import wrap_pi
from thebox_sim.sensors.base import Report, look_at
from thebox_sim.sensors.trakka import MODE_CAGE, Trakka
from thebox_sim.world import SkyObject, World, random_stream

# How long it looks at one object, seconds, and how far away one may be, metres.
DWELL = 8.0
REACH = 2500.0
# How well it is pointed, radians, and how much of the picture an object is to fill.
POINTING_SIGMA = math.radians(0.2)
SHARE = 0.03
NARROWEST = math.radians(1.0)
# Above this rate of turn the box's driver takes video tracks for no detections, rad/s.
STEADY_RATE = 0.35


class Watch:
    """An operator of the simulated camera.

    :param seed: the scenario's; the same seed looks the same way.
    """

    def __init__(self, camera: Trakka, seed: int) -> None:
        self._camera = camera
        self._rng = random_stream(seed, "watch", camera.name)
        self._target = ""
        self._until = 0.0
        self._error = (0.0, 0.0)
        camera.command(0x82, 0x03, struct.pack("<Bh", 4, 30))
        camera.command(0x02, 0x81, bytes((MODE_CAGE,)))

    def steer(self, world: World) -> None:
        """Point the camera; to be called before it is polled."""
        near = {
            item.id: item
            for item in world.objects
            if item.object_class != "boat" and look_at(world.own_ship, item.position).range <= REACH
        }
        if not near:
            return
        if world.time >= self._until or self._target not in near:
            names = sorted(near)
            # The next by name, round and round.
            self._target = next((name for name in names if name > self._target), names[0])
            self._until = world.time + DWELL
            noise = self._rng.standard_normal(2) * POINTING_SIGMA
            self._error = (float(noise[0]), float(noise[1]))
        self._point(world, near[self._target])

    def _point(self, world: World, item: SkyObject) -> None:
        camera, ship = self._camera, world.own_ship
        look = look_at(ship, item.position)
        base = ship.heading + math.radians(camera.settings.mounting_deg)
        azimuth = wrap_pi(look.bearing - base + self._error[0])
        camera.command(0x02, 0x82, struct.pack("<f", azimuth))
        camera.command(0x02, 0x83, struct.pack("<f", look.elevation + self._error[1]))
        wide = math.radians(camera.settings.wide_fov_deg)
        view = min(max(item.body.span_m / max(look.range, 1.0) / SHARE, NARROWEST), wide)
        camera.command(0x81, 0x02, struct.pack("<BBf", 1, 1, view))

    def usable(self, reports: list[Report]) -> list[Report]:
        """Return what the box's driver would take: nothing while the picture moves."""
        gimbal = self._camera.gimbal
        fastest = max(abs(gimbal.azimuth_rate), abs(gimbal.elevation_rate))
        return reports if fastest <= STEADY_RATE else []
