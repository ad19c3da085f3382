# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A DroneShield-like RF detector: hears emitters, gives a bearing, sends JSON datagrams.

The habits are those of a real 148 s capture: whole-second epoch stamps, the last angle repeated
about twice a second under its old stamp with a sigma that grows (its variance by 0.0225 rad^2 a
repeat, up to 30 degrees), so that datagrams of several emitters come out of order by seconds, and a
few lines cut off in the middle.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from thebox_sim.config import setting
from thebox_sim.geometry import wrap_pi, wrap_two_pi
from thebox_sim.radio import BANDS, PROTOCOLS
from thebox_sim.sensors.base import Measurement, Report, Sensor, in_sector, look_at
from thebox_sim.world import World

# Largest sigma that the unit reports: 30 degrees.
MAX_SIGMA = math.pi / 6.0
# Growth of the variance with each repeat of an old angle, rad^2.
REPEAT_VARIANCE = 0.0225
# Lowest RSSI (dBm) of each number of signal bars, from the capture; below the capture's weakest
# (-94 dBm: 4 bars) the steps go on at 4 dB a bar.
BARS = ((-75, 10), (-77, 9), (-81, 8), (-85, 7), (-89, 6), (-92, 5), (-96, 4), (-100, 3), (-104, 2))


@dataclass(frozen=True)
class DroneShieldSettings:
    """How well the detector hears, and its habits on the wire."""

    enabled: bool = setting(True, doc="is there such a sensor")
    sensitivity_dbm: float = setting(
        -97.0, doc="weakest signal that it can detect", minimum=-130.0, maximum=0.0
    )
    detection_probability: float = setting(
        0.9, doc="of a signal 10 dB above the sensitivity", minimum=0.0, maximum=1.0
    )
    update_period_s: float = setting(
        1.5, doc="mean time between fresh bearings of an emitter", minimum=0.1, maximum=60.0
    )
    repeat_period_s: float = setting(
        0.5, doc="time between repeats of an old bearing", minimum=0.05, maximum=60.0
    )
    repeats: int = setting(4, doc="most repeats of one bearing", minimum=0, maximum=50)
    bearing_sigma_deg: float = setting(
        6.0, doc="bearing noise of a strong signal", minimum=0.1, maximum=30.0
    )
    weak_sigma_deg: float = setting(
        14.0, doc="bearing noise at the sensitivity limit", minimum=0.1, maximum=45.0
    )
    reported_sigma_ratio: float = setting(
        1.0,
        doc="reported sigma over true sigma of a fresh bearing; a real unit claims 2 to 5",
        minimum=0.1,
        maximum=20.0,
    )
    sector_centre_deg: float = setting(
        0.0, doc="middle of the sector it hears, from the bow", minimum=-360.0, maximum=360.0
    )
    sector_width_deg: float = setting(
        360.0, doc="full width of that sector", minimum=1.0, maximum=360.0
    )
    mounting_deg: float = setting(
        0.0, doc="boresight from the bow, clockwise", minimum=-360.0, maximum=360.0
    )
    bearing_reference: str = setting(
        "bow", doc="what the sent angles start from", choices=("bow", "true")
    )
    latency_s: float = setting(0.3, doc="from measuring to sending", minimum=0.0, maximum=30.0)
    false_emitters_per_min: float = setting(
        0.2, doc="births of emitters that are not there", minimum=0.0, maximum=600.0
    )
    false_emitter_life_s: float = setting(
        15.0, doc="mean life of a false emitter", minimum=0.1, maximum=3600.0
    )
    truncated_rate: float = setting(
        0.02, doc="share of the datagrams cut off in the middle", minimum=0.0, maximum=1.0
    )
    dialect: str = setting(
        "json", doc="JSON, or the Python literals of some relays", choices=("json", "python")
    )


@dataclass
class _Heard:
    """The unit's memory of one emitter."""

    next_fresh: float
    last: Report | None = None
    repeats: int = 0
    next_repeat: float = math.inf


@dataclass
class _FalseEmitter:
    key: str
    protocol: str
    vendor: str
    frequency: float
    bearing: float
    rssi: float
    dies: float
    heard: _Heard = field(default_factory=lambda: _Heard(0.0))


class DroneShield(Sensor):
    """The detector model and its datagrams."""

    name = "droneshield"

    def __init__(self, settings: DroneShieldSettings, seed: int, start_epoch: float) -> None:
        super().__init__(seed, start_epoch)
        self.settings = settings
        self._heard: dict[str, _Heard] = {}
        self._false: list[_FalseEmitter] = []
        # Of the sender, the same for the whole session as in the capture.
        self._micros = int(self.wire_rng.integers(1, 1_000_000))

    def true_sigma(self, rssi: float) -> float:
        """Return the bearing noise in radians at a received power in dBm.

        Goes from ``weak_sigma_deg`` at the sensitivity to ``bearing_sigma_deg`` 30 dB above it,
        in equal ratios per dB (angle noise falls with the square root of the signal-to-noise
        ratio).
        """
        s = self.settings
        part = min(max((rssi - s.sensitivity_dbm) / 30.0, 0.0), 1.0)
        ratio = s.bearing_sigma_deg / s.weak_sigma_deg
        return math.radians(s.weak_sigma_deg * ratio**part)

    def detection_probability(self, rssi: float) -> float:
        """Return the probability that one look detects a signal of this power (dBm)."""
        s = self.settings
        if rssi < s.sensitivity_dbm:
            return 0.0
        return s.detection_probability * min(1.0, 0.3 + 0.07 * (rssi - s.sensitivity_dbm))

    def poll(self, world: World) -> list[Report]:
        """Return fresh bearings and repeats that are due."""
        s, time, ship = self.settings, world.time, world.own_ship
        boresight_sector = ship.heading + math.radians(s.sector_centre_deg)
        width = math.radians(s.sector_width_deg)
        reports: list[Report] = []
        for item in world.objects:
            for emitter in item.emitters:
                heard = self._heard.get(emitter.key)
                if heard is None:
                    # A new emitter is looked at some time within the first period.
                    heard = _Heard(time + s.update_period_s * float(self.rng.random()))
                    self._heard[emitter.key] = heard
                if time >= heard.next_fresh:
                    heard.next_fresh = time + self._next_period()
                    # Drawn for every look, heard or not, so that one emitter's silence does not
                    # change what is measured of the others.
                    noise, chance = float(self.rng.standard_normal()), float(self.rng.random())
                    look = look_at(ship, item.position)
                    rssi = emitter.rssi_dbm(look.range)
                    if (
                        emitter.on_air(time)
                        and in_sector(look.bearing, boresight_sector, width)
                        and chance < self.detection_probability(rssi)
                    ):
                        fields = _identity(emitter.key, emitter.protocol, emitter.vendor)
                        self._fresh(
                            heard,
                            world,
                            bearing=look.bearing + noise * self.true_sigma(rssi),
                            rssi=rssi,
                            frequency=emitter.frequency_hz,
                            fields=fields,
                            truth_id=item.id,
                        )
                reports += self._due(heard, time)
        reports += self._poll_false(world)
        return reports

    def _next_period(self) -> float:
        s = self.settings
        return 0.3 * s.update_period_s + float(self.rng.exponential(0.7 * s.update_period_s))

    def _fresh(
        self,
        heard: _Heard,
        world: World,
        *,
        bearing: float,
        rssi: float,
        frequency: float,
        fields: dict[str, Any],
        truth_id: str,
    ) -> None:
        s, time, ship = self.settings, world.time, world.own_ship
        boresight = math.radians(s.mounting_deg)
        if s.bearing_reference == "bow":
            boresight += ship.heading
        else:
            boresight = 0.0
        measurement = Measurement(
            # The unit's stamps have no fraction; the offline files say what the unit says.
            time=math.floor(self.start_epoch + time) - self.start_epoch,
            sensor=self.name,
            own_position=ship.position,
            bearing=wrap_two_pi(bearing),
            bearing_sigma=min(self.true_sigma(rssi) * s.reported_sigma_ratio, MAX_SIGMA),
            truth_id=truth_id,
            rssi=float(round(rssi)),
            frequency=frequency,
            key=str(fields["CorrelationKey"]),
        )
        fields["angle"] = wrap_pi(bearing - boresight)
        heard.last = Report(time + s.latency_s, measurement, fields)
        heard.repeats = 0
        heard.next_repeat = time + s.latency_s

    def _due(self, heard: _Heard, time: float) -> list[Report]:
        """Return the fresh report and its repeats as their times come."""
        s = self.settings
        if heard.last is None or time < heard.next_repeat:
            return []
        report = replace(heard.last, sent=time)
        measurement = heard.last.measurement
        heard.repeats += 1
        if heard.repeats > s.repeats or measurement is None:
            heard.last = None
        else:
            sigma = min(
                math.hypot(measurement.bearing_sigma, math.sqrt(REPEAT_VARIANCE)), MAX_SIGMA
            )
            heard.last = replace(heard.last, measurement=replace(measurement, bearing_sigma=sigma))
            heard.next_repeat = time + s.repeat_period_s
        return [report]

    def _poll_false(self, world: World) -> list[Report]:
        s, time = self.settings, world.time
        births = int(self.rng.poisson(s.false_emitters_per_min * world.dt / 60.0))
        for _ in range(births):
            protocol = sorted(PROTOCOLS)[int(self.rng.integers(len(PROTOCOLS)))]
            channels = BANDS[PROTOCOLS[protocol].band]
            self._false.append(
                _FalseEmitter(
                    key=str(int(self.rng.integers(1_000_000_000, 2_147_483_647))),
                    protocol=protocol,
                    vendor=PROTOCOLS[protocol].vendor,
                    frequency=channels[int(self.rng.integers(len(channels)))],
                    bearing=float(self.rng.uniform(0.0, 2.0 * math.pi)),
                    rssi=s.sensitivity_dbm + float(self.rng.exponential(5.0)),
                    dies=time + float(self.rng.exponential(s.false_emitter_life_s)),
                    heard=_Heard(time),
                )
            )
        self._false = [f for f in self._false if time < f.dies]
        reports: list[Report] = []
        for false in self._false:
            if time >= false.heard.next_fresh:
                false.heard.next_fresh = time + self._next_period()
                noise, chance = float(self.rng.standard_normal()), float(self.rng.random())
                if chance < self.detection_probability(false.rssi):
                    fields = _identity(false.key, false.protocol, false.vendor)
                    # Reflections and interference wander more than a direct signal.
                    bearing = false.bearing + 1.5 * noise * self.true_sigma(false.rssi)
                    self._fresh(
                        false.heard,
                        world,
                        bearing=bearing,
                        rssi=false.rssi,
                        frequency=false.frequency,
                        fields=fields,
                        truth_id="",
                    )
            reports += self._due(false.heard, time)
        return reports

    def encode(self, reports: Sequence[Report]) -> list[bytes]:
        """Return one datagram a report."""
        datagrams = []
        for report in reports:
            measurement = report.measurement
            if measurement is None:
                raise ValueError("a DroneShield report always carries a measurement")
            payload = self._datagram(report, measurement)
            if float(self.wire_rng.random()) < self.settings.truncated_rate:
                payload = payload[: int(self.wire_rng.integers(1, len(payload)))]
            datagrams.append(payload)
        return datagrams

    def _datagram(self, report: Report, measurement: Measurement) -> bytes:
        fields = report.fields
        # Stamps are rounded first: floor(start + floor(t) - start) may fall just below.
        epoch = math.floor(round(self.epoch(measurement.time), 3))
        utc = datetime.fromtimestamp(epoch, tz=timezone.utc)
        true = self.settings.bearing_reference == "true"
        absolute = wrap_pi(measurement.bearing) if true else fields["angle"]
        message = {
            "APIVersion": "9",
            "Type": "Detection",
            "Data": {
                "AngleOfArrivalRadians": round(fields["angle"], 7),
                "AbsoluteAngleOfArrivalRadians": round(absolute, 7),
                "AngleOfArrivalErrorRadians": round(measurement.bearing_sigma, 7),
                "CorrelationKey": fields["CorrelationKey"],
                "SerialNumber": fields["CorrelationKey"],
                "DetectionCount": 0,
                "EpochTimeMilliSeconds": epoch * 1000,
                "TimeUTC": f"{utc:%Y-%m-%dT%H:%M:%S}Z.{self._micros:06d}+00:00",
                "FrequencyHertz": round(measurement.frequency),
                "RSSI": round(measurement.rssi),
                "SignalBars": signal_bars(measurement.rssi),
                "Protocol": fields["Protocol"],
                "Vendor": fields["Vendor"],
                "Name": fields["Vendor"],
                "Type": "RADIO",
                "IsDrone": True,
                "MacAddress": "Empty_Field",
            },
        }
        if self.settings.dialect == "python":
            return repr(message).encode()
        return json.dumps(message, separators=(",", ":")).encode()


def signal_bars(rssi: float) -> int:
    """Return the number of bars, 1 to 10, that the unit shows for a received power in dBm."""
    for lowest, bars in BARS:
        if rssi >= lowest:
            return bars
    return 1


def _identity(key: str, protocol: str, vendor: str) -> dict[str, Any]:
    return {"CorrelationKey": key, "Protocol": protocol, "Vendor": vendor}
