# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A MARA-Spotter-like station: daylight and thermal cameras and microphones, as text lines.

A camera sees an object that is large enough for its pixels; microphones hear one that is loud
enough. Cameras give bearing and elevation (and a rough range, where ranging is on), microphones a
rough bearing only. Each channel numbers its own tracks, mistakes birds for drones now and then, and
sees things that are not there. Lines are JSON, key=value pairs or CSV; heartbeats in between.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from thebox_sim.config import setting
from thebox_sim.geometry import wrap_two_pi
from thebox_sim.sensors.base import NAN, Measurement, Report, Sensor, in_sector, look_at
from thebox_sim.tcp import Session
from thebox_sim.world import SkyObject, World

COLUMNS = (
    "timestamp",
    "sensor_id",
    "object_id",
    "track_id",
    "confidence",
    "bearing_deg",
    "elevation_deg",
    "range_m",
    "lat",
    "lon",
    "speed_mps",
    "heading_deg",
    "label",
    "channel",
)
CHANNELS = ("EO", "IR", "ACOUSTIC")
LINES_PER_DATAGRAM = 10
# Atmospheric absorption around 1 kHz (ISO 9613-1, 15 degrees C, 50 % humidity), dB per metre.
ABSORPTION_DB_PER_M = 0.005


@dataclass(frozen=True)
class MaraSettings:
    """What the station sees and hears, and its habits on the wire."""

    enabled: bool = setting(True, doc="is there such a sensor")
    dialect: str = setting("json", doc="form of the lines", choices=("json", "kv", "csv"))
    rate_hz: float = setting(2.0, doc="looks a second", minimum=0.1, maximum=30.0)
    eo: bool = setting(True, doc="has a daylight camera")
    ir: bool = setting(True, doc="has a thermal camera")
    acoustic: bool = setting(True, doc="has microphones")
    eo_resolution_mrad: float = setting(
        0.5, doc="apparent size that the daylight camera sees half the time", minimum=0.01
    )
    ir_resolution_mrad: float = setting(
        0.9, doc="apparent size that the thermal camera sees half the time", minimum=0.01
    )
    hearing_threshold_db: float = setting(
        36.0, doc="sound level that is heard half the time", minimum=0.0, maximum=120.0
    )
    detection_probability: float = setting(
        0.85, doc="of an object well within reach", minimum=0.0, maximum=1.0
    )
    camera_sigma_deg: float = setting(
        0.3, doc="bearing and elevation noise of the cameras", minimum=0.01, maximum=10.0
    )
    acoustic_sigma_deg: float = setting(
        5.0, doc="bearing noise of the microphones", minimum=0.1, maximum=45.0
    )
    ranging: bool = setting(False, doc="the daylight camera guesses a range")
    range_sigma_share: float = setting(
        0.15, doc="sigma of that range over the range", minimum=0.001, maximum=1.0
    )
    max_range_m: float = setting(2500.0, doc="nothing is seen beyond", minimum=10.0)
    sector_centre_deg: float = setting(
        0.0, doc="middle of the watched sector, from the bow", minimum=-360.0, maximum=360.0
    )
    sector_width_deg: float = setting(
        360.0, doc="full width of the watched sector", minimum=1.0, maximum=360.0
    )
    wrong_label_rate: float = setting(
        0.05, doc="share of drones called birds and birds called drones", minimum=0.0, maximum=1.0
    )
    false_per_min: float = setting(
        1.0, doc="sightings of nothing, all channels together", minimum=0.0, maximum=6000.0
    )
    heartbeat_s: float = setting(
        5.0, doc="time between heartbeats; 0: none", minimum=0.0, maximum=3600.0
    )
    bearing_reference: str = setting(
        "bow", doc="what the sent bearings start from", choices=("bow", "true")
    )
    sensor_id: str = setting("mara-1", doc="how the station names itself")


class Mara(Sensor):
    """The station's model and its lines."""

    name = "mara"

    def __init__(self, settings: MaraSettings, seed: int, start_epoch: float) -> None:
        super().__init__(seed, start_epoch)
        self.settings = settings
        self._next_look = 0.0
        self._next_heartbeat = 0.0
        self._tracks: dict[tuple[str, str], tuple[int, float]] = {}
        self._numbers = 0
        self._started = 0.0
        self._header_due = 0

    def poll(self, world: World) -> list[Report]:
        """Return the sightings and heartbeats that are due."""
        s, time = self.settings, world.time
        reports: list[Report] = []
        if s.heartbeat_s > 0.0 and time >= self._next_heartbeat:
            self._next_heartbeat = max(self._next_heartbeat + s.heartbeat_s, time)
            reports.append(Report(time, None, {"status": "ok", "time": time}))
        if time < self._next_look:
            return reports
        self._next_look = max(self._next_look + 1.0 / s.rate_hz, time)
        channels = [c for c in CHANNELS if getattr(s, c.lower())]
        for item in world.objects:
            for channel in channels:
                report = self._look(world, item, channel)
                if report is not None:
                    reports.append(report)
        if channels:
            births = int(self.rng.poisson(s.false_per_min / s.rate_hz / 60.0))
            reports += [self._false(world, channels) for _ in range(births)]
        return reports

    def chance(self, item: SkyObject, range_m: float, channel: str) -> float:
        """Return the probability that a channel notices an object at a slant range in one look.

        A logistic of apparent size over resolution (cameras) or of level over threshold
        (microphones): half of ``detection_probability`` at the resolution or threshold.
        """
        s = self.settings
        if range_m > s.max_range_m:
            return 0.0
        if channel == "ACOUSTIC":
            if item.body.sound_level_db <= 0.0:
                return 0.0
            level = item.body.sound_level_db - 20.0 * math.log10(max(range_m, 1.0))
            level -= ABSORPTION_DB_PER_M * range_m
            over = (level - s.hearing_threshold_db) / 2.0
        else:
            resolution = s.eo_resolution_mrad if channel == "EO" else s.ir_resolution_mrad
            size_mrad = 1000.0 * item.body.span_m / max(range_m, 1.0)
            over = 5.0 * math.log(size_mrad / resolution)
        return s.detection_probability / (1.0 + math.exp(-min(max(over, -50.0), 50.0)))

    def _look(self, world: World, item: SkyObject, channel: str) -> Report | None:
        s, ship = self.settings, world.own_ship
        noise, chances = self.rng.standard_normal(4), self.rng.random(2)
        look = look_at(ship, item.position)
        centre = ship.heading + math.radians(s.sector_centre_deg)
        if not in_sector(look.bearing, centre, math.radians(s.sector_width_deg)):
            return None
        likely = self.chance(item, look.range, channel)
        if float(chances[0]) >= likely:
            return None
        label = _label(item.object_class, channel, wrong=float(chances[1]) < s.wrong_label_rate)
        quality = 0.5 + 0.5 * likely / max(s.detection_probability, 1e-9)
        confidence = min(max(quality - 0.1 + 0.08 * float(noise[3]), 0.05), 0.99)
        number = self._number(item.id, channel, world.time)
        acoustic = channel == "ACOUSTIC"
        sigma = math.radians(s.acoustic_sigma_deg if acoustic else s.camera_sigma_deg)
        elevation, elevation_sigma, distance, range_sigma = NAN, NAN, NAN, NAN
        if not acoustic:
            elevation, elevation_sigma = look.elevation + sigma * float(noise[1]), sigma
            elevation = min(max(elevation, -math.pi / 2.0), math.pi / 2.0)
        if s.ranging and channel == "EO":
            range_sigma = s.range_sigma_share * look.range
            distance = max(1.0, look.range + range_sigma * float(noise[2]))
        measurement = Measurement(
            time=world.time,
            sensor=self.name,
            own_position=ship.position,
            bearing=wrap_two_pi(look.bearing + sigma * float(noise[0])),
            bearing_sigma=sigma,
            elevation=elevation,
            elevation_sigma=elevation_sigma,
            range=distance,
            range_sigma=range_sigma,
            truth_id=item.id,
            key=f"{channel.lower()}-{number}",
            confidence=round(confidence, 3),
        )
        return self._report(world, measurement, label, channel)

    def _report(self, world: World, seen: Measurement, label: str, channel: str) -> Report:
        fields = {"label": label, "channel": channel, "heading": world.own_ship.heading}
        return Report(world.time, seen, fields)

    def _number(self, truth_id: str, channel: str, time: float) -> int:
        """Return the channel's track number; a track unseen for 5 s is lost and gets a new one."""
        number, last = self._tracks.get((truth_id, channel), (0, -math.inf))
        if time - last > 5.0:
            self._numbers += 1
            number = self._numbers
        self._tracks[truth_id, channel] = (number, time)
        return number

    def _false(self, world: World, channels: list[str]) -> Report:
        s, ship = self.settings, world.own_ship
        channel = channels[int(self.rng.integers(len(channels)))]
        acoustic = channel == "ACOUSTIC"
        sigma = math.radians(s.acoustic_sigma_deg if acoustic else s.camera_sigma_deg)
        width = math.radians(s.sector_width_deg)
        centre = ship.heading + math.radians(s.sector_centre_deg)
        self._numbers += 1
        measurement = Measurement(
            time=world.time,
            sensor=self.name,
            own_position=ship.position,
            bearing=wrap_two_pi(centre + width * (float(self.rng.random()) - 0.5)),
            bearing_sigma=sigma,
            elevation=NAN if acoustic else float(self.rng.uniform(0.0, 0.5)),
            elevation_sigma=NAN if acoustic else sigma,
            key=f"{channel.lower()}-{self._numbers}",
            confidence=round(float(self.rng.uniform(0.2, 0.6)), 3),
        )
        return self._report(world, measurement, "drone", channel)

    def encode(self, reports: Sequence[Report]) -> list[bytes]:
        """Return the lines, several to a datagram; CSV names its columns in each datagram."""
        lines = [self._line(report) for report in reports]
        datagrams = []
        for start in range(0, len(lines), LINES_PER_DATAGRAM):
            block = lines[start : start + LINES_PER_DATAGRAM]
            if self.settings.dialect == "csv":
                block.insert(0, ",".join(COLUMNS))
            datagrams.append("".join(f"{line}\n" for line in block).encode("utf-8"))
        return datagrams

    def open_session(self) -> Session:
        """Return the conversation with a client: the station speaks, and listens to nothing."""
        return _Listener()

    def _line(self, report: Report) -> str:
        s, m = self.settings, report.measurement
        sent = report.fields["time"] if m is None else m.time
        stamp = datetime.fromtimestamp(round(self.epoch(sent), 3), tz=timezone.utc)
        fields: dict[str, Any] = {
            "timestamp": stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "sensor_id": s.sensor_id,
        }
        if m is None:
            fields["status"] = report.fields["status"]
            # A heartbeat has no place in the columns: it is key=value among CSV lines too.
            dialect = "kv" if s.dialect == "csv" else s.dialect
        else:
            dialect = s.dialect
            number = m.key.rsplit("-", 1)[1]
            start = report.fields["heading"] if s.bearing_reference == "bow" else 0.0
            fields |= {
                "object_id": number,
                "track_id": m.key,
                "confidence": m.confidence,
                "bearing_deg": round(math.degrees(m.bearing - start), 3) % 360.0,
                "elevation_deg": round(math.degrees(m.elevation), 3),
                "range_m": round(m.range, 1),
                "label": report.fields["label"],
                "channel": report.fields["channel"],
            }
            fields = {
                key: value
                for key, value in fields.items()
                if not (isinstance(value, float) and math.isnan(value))
            }
        if dialect == "json":
            return json.dumps(fields, separators=(",", ":"))
        if dialect == "kv":
            return " ".join(f"{key}={_quoted(value)}" for key, value in fields.items())
        return ",".join(str(fields.get(column, "")) for column in COLUMNS)


class _Listener(Session):
    """A client of the station's TCP port; the lines come to all of them alike."""

    def received(self, chunk: bytes) -> bytes:
        """Answer nothing."""
        return b""


def _label(object_class: str, channel: str, *, wrong: bool) -> str:
    if channel == "ACOUSTIC":
        return "engine" if object_class == "boat" else "rotor"
    if wrong:
        return {"drone": "bird", "bird": "drone"}.get(object_class, "unknown object")
    return object_class


def _quoted(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text else text
