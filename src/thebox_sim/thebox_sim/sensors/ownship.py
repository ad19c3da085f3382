# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The own-ship's navigation: NMEA 0183 sentences, with or without the IEC 61162-450 header.

GGA, RMC, VTG, HDT (or THS, or HDG) and ROT, in one datagram a fix; the heading comes more often, in
datagrams of its own. With the header a datagram is ``UdPbC`` NUL, then each sentence behind its tag
block (source and line count).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from thebox_sim.config import setting
from thebox_sim.geometry import Vector, wrap_two_pi
from thebox_sim.sensors.base import Report, Sensor
from thebox_sim.world import World

KNOT = 1852.0 / 3600.0
#: Correlation time of a compass's slow error (first-order Gauss-Markov), seconds.
_COMPASS_MEMORY = 60.0


@dataclass(frozen=True)
class OwnShipSettings:
    """How well the own-ship knows where it is, and how it says so."""

    enabled: bool = setting(True, doc="is there such a sensor")
    fix_rate_hz: float = setting(2.0, doc="fixes a second", minimum=0.1, maximum=20.0)
    heading_rate_hz: float = setting(10.0, doc="headings a second", minimum=0.1, maximum=20.0)
    position_sigma_m: float = setting(
        1.5, doc="position noise, each axis", minimum=0.0, maximum=100.0
    )
    heading_sigma_deg: float = setting(
        0.3, doc="slow error of the heading (a minute's memory)", minimum=0.0, maximum=30.0
    )
    heading_jitter_deg: float = setting(
        0.05, doc="noise of each heading for itself", minimum=0.0, maximum=30.0
    )
    speed_sigma_mps: float = setting(0.1, doc="noise of the speed", minimum=0.0, maximum=10.0)
    heading_sentence: str = setting(
        "HDT", doc="how the heading is said", choices=("HDT", "THS", "HDG", "none")
    )
    variation_deg: float = setting(
        2.0, doc="magnetic variation, east positive, for HDG", minimum=-90.0, maximum=90.0
    )
    header: bool = setting(True, doc="with the IEC 61162-450 header and tag blocks")


class OwnShipNavigation(Sensor):
    """Receiver and compass of the own-ship."""

    name = "ownship"

    def __init__(self, settings: OwnShipSettings, seed: int, start_epoch: float) -> None:
        super().__init__(seed, start_epoch)
        self.settings = settings
        self._next_fix = 0.0
        self._next_heading = 0.0
        self._line = 0
        # Error of the compass in its sigmas, and when: a compass wanders, it does not rattle.
        self._wander = (float(self.rng.standard_normal()), 0.0)

    def poll(self, world: World) -> list[Report]:
        """Return the fix and the heading that are due, as reports without a measurement."""
        s, time, ship = self.settings, world.time, world.own_ship
        noise = self.rng.standard_normal(7)
        kept = math.exp(-max(time - self._wander[1], 0.0) / _COMPASS_MEMORY)
        wander = kept * self._wander[0] + math.sqrt(1.0 - kept * kept) * float(noise[6])
        self._wander = (wander, time)
        error = s.heading_sigma_deg * wander + s.heading_jitter_deg * float(noise[0])
        heading = math.radians(error) + ship.heading
        common = {"heading": wrap_two_pi(heading), "rate": ship.heading_rate}
        reports = []
        if time >= self._next_fix:
            self._next_fix = max(self._next_fix + 1.0 / s.fix_rate_hz, time)
            position: Vector = (
                ship.position[0] + s.position_sigma_m * float(noise[1]),
                ship.position[1] + s.position_sigma_m * float(noise[2]),
                ship.position[2] + 2.0 * s.position_sigma_m * float(noise[3]),
            )
            east = ship.velocity[0] + s.speed_sigma_mps * float(noise[4])
            north = ship.velocity[1] + s.speed_sigma_mps * float(noise[5])
            fix = {
                "time": time,
                "geodetic": world.spec.datum.to_geodetic(position),
                "speed": math.hypot(east, north),
                "course": wrap_two_pi(math.atan2(east, north)),
            }
            reports.append(Report(time, None, {**common, "fix": fix}))
        if time >= self._next_heading:
            self._next_heading = max(self._next_heading + 1.0 / s.heading_rate_hz, time)
            if s.heading_sentence != "none":
                reports.append(Report(time, None, common))
        return reports

    def encode(self, reports: Sequence[Report]) -> list[bytes]:
        """Return one datagram a report."""
        return [self._datagram(report) for report in reports]

    def _datagram(self, report: Report) -> bytes:
        fix = report.fields.get("fix")
        if fix is not None:
            sentences = _fix_sentences(
                self.epoch(fix["time"]), fix["geodetic"], fix["speed"], fix["course"]
            )
        else:
            sentences = self._heading_sentences(report.fields["heading"], report.fields["rate"])
        lines = [sentence(body) for body in sentences]
        if not self.settings.header:
            return "".join(f"{line}\r\n" for line in lines).encode("ascii")
        tagged = []
        for line in lines:
            self._line = self._line % 999 + 1
            tag = f"s:GP0001,n:{self._line}"
            tagged.append(f"\\{tag}*{checksum(tag):02X}\\{line}\r\n")
        return b"UdPbC\x00" + "".join(tagged).encode("ascii")

    def _heading_sentences(self, heading: float, rate: float) -> list[str]:
        s = self.settings
        degrees = round(math.degrees(heading), 2) % 360.0
        if s.heading_sentence == "HDT":
            said = f"HEHDT,{degrees:.2f},T"
        elif s.heading_sentence == "THS":
            said = f"HETHS,{degrees:.2f},A"
        else:
            magnetic = round(math.degrees(heading) - s.variation_deg, 2) % 360.0
            side = "E" if s.variation_deg >= 0.0 else "W"
            said = f"HCHDG,{magnetic:.2f},0.0,E,{abs(s.variation_deg):.1f},{side}"
        # Degrees a minute, to starboard positive.
        return [said, f"HEROT,{math.degrees(rate) * 60.0:.1f},A"]


def checksum(text: str) -> int:
    """Return the exclusive or of the characters, as NMEA 0183 and the tag block have it."""
    value = 0
    for byte in text.encode("ascii"):
        value ^= byte
    return value


def sentence(body: str) -> str:
    """Return ``$body*checksum``."""
    return f"${body}*{checksum(body):02X}"


def _fix_sentences(epoch: float, geodetic: Vector, speed: float, course: float) -> list[str]:
    latitude, longitude, height = geodetic
    # Rounded before it is split, so that no second of 60.00 appears.
    utc = datetime.fromtimestamp(round(epoch, 2), tz=timezone.utc)
    clock = f"{utc:%H%M%S}.{utc.microsecond // 10_000:02d}"
    place = f"{_angle(latitude, 2)},{'N' if latitude >= 0 else 'S'},"
    place += f"{_angle(longitude, 3)},{'E' if longitude >= 0 else 'W'}"
    degrees = round(math.degrees(course), 2) % 360.0
    knots, kmh = speed / KNOT, speed * 3.6
    return [
        f"GPGGA,{clock},{place},1,12,0.8,{height:.1f},M,0.0,M,,",
        f"GPRMC,{clock},A,{place},{knots:.2f},{degrees:.2f},{utc:%d%m%y},,,A",
        f"GPVTG,{degrees:.2f},T,,M,{knots:.2f},N,{kmh:.2f},K,A",
    ]


def _angle(degrees: float, width: int) -> str:
    """Return degrees and decimal minutes, as NMEA writes latitude and longitude."""
    units = round(abs(degrees) * 60.0 * 1e5)
    whole, rest = divmod(units, 60 * 100_000)
    return f"{whole:0{width}d}{rest / 1e5:08.5f}"
