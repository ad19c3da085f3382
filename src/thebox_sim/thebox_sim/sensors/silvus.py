# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A Silvus-like radio that measures spectrum and two-valued angles of arrival, as text lines.

The antenna pair cannot tell an angle from its mirror image about the pair's axis, so each line has
two candidates in no particular order; some are written beyond 360 degrees, as the radio does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thebox_sim.config import setting
from thebox_sim.geometry import wrap_two_pi
from thebox_sim.radio import BANDS
from thebox_sim.sensors.base import Measurement, Report, Sensor, look_at
from thebox_sim.world import World

# Clockwise angle from the radio's forward direction to its zero axis, degrees.
ZERO_AXES = {"forward": 0.0, "right": 90.0, "rear": 180.0, "left": 270.0}
LINES_PER_DATAGRAM = 8


@dataclass(frozen=True)
class SilvusSettings:
    """How well the radio hears, how it stands, and its habits on the wire."""

    enabled: bool = setting(True, doc="is there such a sensor")
    sensitivity_dbm: float = setting(
        -95.0, doc="weakest signal that it reports", minimum=-130.0, maximum=0.0
    )
    detection_probability: float = setting(
        0.7, doc="of a signal 10 dB above the sensitivity", minimum=0.0, maximum=1.0
    )
    period_s: float = setting(0.5, doc="time between sweeps", minimum=0.05, maximum=60.0)
    bearing_sigma_deg: float = setting(3.0, doc="angle noise", minimum=0.05, maximum=45.0)
    power_sigma_db: float = setting(1.0, doc="noise of the power", minimum=0.0, maximum=20.0)
    false_lines_per_min: float = setting(
        2.0, doc="lines about nothing (interference)", minimum=0.0, maximum=6000.0
    )
    mounting_deg: float = setting(
        0.0, doc="radio's forward direction from the bow", minimum=-360.0, maximum=360.0
    )
    zero_axis: str = setting("forward", doc="where angles start", choices=tuple(ZERO_AXES))
    positive: str = setting("cw", doc="which way angles grow", choices=("cw", "ccw"))
    heading_sigma_deg: float = setting(0.3, doc="noise of its own heading", minimum=0.0)
    heading_period_s: float = setting(
        1.0, doc="time between position lines; 0: it never says its heading", minimum=0.0
    )
    rounded_copies: bool = setting(True, doc="append the rounded copies of the angles")
    address: str = setting("172.16.0.46", doc="the radio's address, as its lines name it")


class Silvus(Sensor):
    """The radio's model and its lines."""

    name = "silvus"

    def __init__(self, settings: SilvusSettings, seed: int, start_epoch: float) -> None:
        super().__init__(seed, start_epoch)
        self.settings = settings
        self._next_sweep = 0.0
        self._next_heading = 0.0

    def poll(self, world: World) -> list[Report]:
        """Return the position line and the sweep's lines that are due."""
        s, time, ship = self.settings, world.time, world.own_ship
        forward = ship.heading + math.radians(s.mounting_deg)
        reports: list[Report] = []
        if s.heading_period_s > 0.0 and time >= self._next_heading:
            self._next_heading = max(self._next_heading + s.heading_period_s, time)
            noise = float(self.rng.standard_normal())
            heading = wrap_two_pi(forward + math.radians(s.heading_sigma_deg) * noise)
            latitude, longitude, _ = world.spec.datum.to_geodetic(ship.position)
            pose = {"latitude": latitude, "longitude": longitude, "heading": heading}
            reports.append(Report(time, None, pose))
        if time < self._next_sweep:
            return reports
        self._next_sweep = max(self._next_sweep + s.period_s, time)
        for item in world.objects:
            for emitter in item.emitters:
                errors = self.rng.standard_normal(2)
                chance = float(self.rng.random())
                look = look_at(ship, item.position)
                power = emitter.rssi_dbm(look.range) + s.power_sigma_db * float(errors[0])
                margin = power - s.sensitivity_dbm
                likely = s.detection_probability * min(1.0, 0.3 + 0.07 * margin)
                if emitter.on_air(time) and margin >= 0.0 and chance < likely:
                    relative = look.bearing - forward
                    relative += math.radians(s.bearing_sigma_deg) * float(errors[1])
                    reports.append(
                        self._heard(
                            world,
                            relative,
                            power=power,
                            frequency=emitter.frequency_hz,
                            bandwidth=emitter.bandwidth_hz,
                            truth_id=item.id,
                        )
                    )
        for _ in range(int(self.rng.poisson(s.false_lines_per_min * s.period_s / 60.0))):
            channels = BANDS[sorted(BANDS)[int(self.rng.integers(len(BANDS)))]]
            reports.append(
                self._heard(
                    world,
                    float(self.rng.uniform(0.0, 2.0 * math.pi)),
                    power=s.sensitivity_dbm + float(self.rng.exponential(6.0)),
                    frequency=channels[int(self.rng.integers(len(channels)))],
                    bandwidth=5e6,
                    truth_id="",
                )
            )
        return reports

    def _heard(
        self,
        world: World,
        relative: float,
        *,
        power: float,
        frequency: float,
        bandwidth: float,
        truth_id: str,
    ) -> Report:
        s, ship = self.settings, world.own_ship
        forward = ship.heading + math.radians(s.mounting_deg)
        candidates = [wrap_two_pi(relative), wrap_two_pi(-relative)]
        if float(self.rng.random()) < 0.5:
            candidates.reverse()
        axis = math.radians(ZERO_AXES[s.zero_axis])
        sign = 1.0 if s.positive == "cw" else -1.0
        angles = [math.degrees(wrap_two_pi(sign * (c - axis))) for c in candidates]
        over = float(self.rng.random())
        if over < 0.1:
            angles[0] += 360.0
        measurement = Measurement(
            time=world.time,
            sensor=self.name,
            own_position=ship.position,
            bearing=wrap_two_pi(forward + candidates[0]),
            bearing_alternative=wrap_two_pi(forward + candidates[1]),
            bearing_sigma=math.radians(s.bearing_sigma_deg),
            truth_id=truth_id,
            rssi=round(power, 2),
            frequency=frequency,
        )
        fields: dict[str, Any] = {"angles": angles, "bandwidth": bandwidth}
        return Report(world.time, measurement, fields)

    def encode(self, reports: Sequence[Report]) -> list[bytes]:
        """Return the lines, several to a datagram."""
        lines = [self._line(report) for report in reports]
        return [
            "".join(lines[i : i + LINES_PER_DATAGRAM]).encode("ascii")
            for i in range(0, len(lines), LINES_PER_DATAGRAM)
        ]

    def _line(self, report: Report) -> str:
        s, fields, m = self.settings, report.fields, report.measurement
        if m is None:
            heading = round(math.degrees(fields["heading"]), 1) % 360.0
            place = f"({fields['latitude']:.6f},{fields['longitude']:.6f})"
            return f"[{s.address}]  Lat/Lon : {place}, Heading (deg): {heading:.1f}\n"
        micros = round(self.epoch(m.time) * 1e6)
        first, second = fields["angles"]
        line = f"[{s.address}:{micros}] {m.rssi:.2f}, {m.frequency / 1e6:.2f}, "
        line += f"{fields['bandwidth'] / 1e6:.2f}, [{first:.3f}, {second:.3f}]"
        if s.rounded_copies:
            line += f", [{math.floor(first)}, {math.floor(second)}]"
        return line + "\n"
