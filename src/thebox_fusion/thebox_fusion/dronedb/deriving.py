# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What the graph shows, made into events: tracks, zones, sensors, health. No ROS, no clock.

Each method takes what was heard and the time, in seconds, and returns the events that it means.
"""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from thebox_fusion.dronedb.records import ALERT, INFO, WARNING, EventRow, ZoneRow, inside

__all__ = ["Deriver", "SeenTrack", "nanoseconds"]

OK, WARN, ERROR, STALE = 0, 1, 2, 3
_LEVELS = {OK: "ok", WARN: "warning", ERROR: "error", STALE: "stale"}
#: The subject of a driver's diagnostics that says whether its sensor is heard.
INPUT = "input"
LIFE_CYCLE = "life cycle"

_SECRETS = ("password", "secret", "token")
_GONE_AFTER = 5.0  # seconds without diagnostics, which come once a second
_FLAPS_WINDOW, _FLAPS = 300.0, 6
_OUTSIDE_FOR = 10.0  # seconds outside after which a return is another entry


def nanoseconds(value: float) -> int:
    """Seconds as nanoseconds; not finite or negative counts as zero."""
    return max(round(value * 1e9), 0) if math.isfinite(value) else 0


@dataclass(frozen=True)
class SeenTrack:
    """What of a track makes events. Position in map, metres; NaN where not measured."""

    id: str
    number: int
    confirmed: bool
    label: str
    #: Whether it is of a class that nobody need be alarmed about (a bird, a boat).
    quiet: bool = False
    bearing: float = math.nan
    x: float = math.nan
    y: float = math.nan
    z: float = math.nan

    @property
    def name(self) -> str:
        """As people call it: its number, and what it is said to be."""
        return f"track {self.number}" + (f" ({self.label})" if self.label else "")


@dataclass
class _Subject:
    """One subject of a node's diagnostics: what was last reported of it, and what it is now."""

    reported: int = OK
    told: bool = False
    level: int = OK
    since: float = -math.inf
    message: str = ""
    heard: float = -math.inf
    changes: list[float] = field(default_factory=list)
    flapping: bool = False


class _Announced(NamedTuple):
    name: str
    alerted: bool


@dataclass
class _Presence:
    within: bool = False
    left: float = -math.inf


class Deriver:
    """Remembers what was reported, so that each thing is reported once.

    Args:
        hold: seconds that a change of health must last before it is reported.
    """

    def __init__(self, hold: float = 3.0) -> None:
        self.hold = hold
        self.zones: list[ZoneRow] = []
        self._announced: dict[str, _Announced] = {}
        self._presence: dict[tuple[str, str], _Presence] = {}
        self._subjects: dict[tuple[str, str], _Subject] = {}
        self._lifecycle: dict[str, str] = {}
        self._camera: tuple[str, str] | None = None
        self.counts: Counter[str] = Counter()

    def resume(self, announced: Mapping[str, tuple[str, int]]) -> None:
        """Take over from a run before: these tracks were reported, with text and severity."""
        for track, (text, severity) in announced.items():
            name = text.partition(" confirmed")[0]
            self._announced.setdefault(track, _Announced(name, severity >= ALERT))

    def event(
        self,
        now: float,
        severity: int,
        kind: str,
        source: str,
        text: str,
        *,
        track: str = "",
        zone: str = "",
    ) -> EventRow:
        """Make an event with an identity of its own."""
        self.counts[kind] += 1
        return EventRow(
            str(uuid.uuid4()), nanoseconds(now), severity, kind, source, text, track, zone
        )

    # Tracks and zones -------------------------------------------------------------------------

    def tracks(self, seen: Iterable[SeenTrack], now: float) -> list[EventRow]:
        """Take a whole picture."""
        events = []
        present = set()
        for track in seen:
            present.add(track.id)
            if not track.confirmed:
                continue
            known = self._announced.get(track.id)
            if known is None or not (known.alerted or track.quiet):
                events.append(self._confirmed(track, known is not None, now))
            alerted = not track.quiet or (known is not None and known.alerted)
            self._announced[track.id] = _Announced(track.name, alerted)
            events += self._entries(track, now)
        for lost in [identity for identity in self._announced if identity not in present]:
            name, alerted = self._announced.pop(lost)
            severity = WARNING if alerted else INFO
            events.append(
                self.event(now, severity, "track_lost", "fusion", f"{name} lost", track=lost)
            )
            for key in [key for key in self._presence if key[0] == lost]:
                del self._presence[key]
        return events

    def _confirmed(self, track: SeenTrack, known: bool, now: float) -> EventRow:
        where = ""
        if not math.isnan(track.bearing):
            where = f", bearing {math.degrees(track.bearing) % 360.0:03.0f}°"
        severity = INFO if track.quiet else ALERT
        text = f"{track.name} confirmed{where}"
        if known:
            text += ": no longer taken for a harmless one"
        return self.event(now, severity, "track_confirmed", "fusion", text, track=track.id)

    def _entries(self, track: SeenTrack, now: float) -> list[EventRow]:
        if not (math.isfinite(track.x) and math.isfinite(track.y)):
            return []  # along a bearing alone nobody can say whether it is inside
        events = []
        for zone in self.zones:
            presence = self._presence.setdefault((track.id, zone.id), _Presence())
            # An unknown height, or an unset limit, is no reason to stay silent.
            within = (
                not track.z < zone.height_min
                and not track.z > zone.height_max
                and inside(zone.outline, track.x, track.y)
            )
            if within and not presence.within and now - presence.left > _OUTSIDE_FOR:
                events.append(
                    self.event(
                        now,
                        ALERT if zone.alert_on_entry and not track.quiet else INFO,
                        "zone_entry",
                        "dronedb",
                        f"{track.name} entered {zone.name or 'a zone without a name'}",
                        track=track.id,
                        zone=zone.id,
                    )
                )
            if presence.within and not within:
                presence.left = now
            presence.within = within
        return events

    def set_zones(self, zones: list[ZoneRow]) -> None:
        """Watch these zones from now on."""
        self.zones = zones
        kept = {zone.id for zone in zones}
        self._presence = {key: value for key, value in self._presence.items() if key[1] in kept}

    # Health -----------------------------------------------------------------------------------

    def status(
        self, name: str, level: int, message: str, lifecycle: str, now: float
    ) -> list[EventRow]:
        """Take one status of /diagnostics, named ``node: subject``."""
        node, _, subject = name.partition(": ")
        node = node.rpartition("/")[2]
        known = self._subjects.setdefault((node, subject), _Subject())
        events = []
        if lifecycle:
            before = self._lifecycle.get(node)
            if before is not None and before != lifecycle:
                events.append(
                    self.event(now, INFO, "health", node, f"{node}: {before} → {lifecycle}")
                )
            self._lifecycle[node] = lifecycle
        if level != known.level or known.heard == -math.inf:
            known.since = now
        known.level, known.message, known.heard = level, message, now
        events += self._judge(node, subject, known, now)
        return events

    def tick(self, now: float) -> list[EventRow]:
        """Look what has not been heard of for too long; to be called about once a second."""
        events = []
        # A node that is gone is reported once, not once for each of its subjects.
        speaks: dict[str, str] = {}
        for node, subject in self._subjects:
            best = speaks.setdefault(node, subject)
            if INPUT in (subject, best):
                speaks[node] = INPUT
            elif LIFE_CYCLE in (subject, best):
                speaks[node] = LIFE_CYCLE
        for (node, subject), known in self._subjects.items():
            if now < known.heard:
                known.heard = known.since = now  # the clock jumped back
            gone = now - known.heard > _GONE_AFTER
            if gone and subject != speaks[node]:
                continue
            if gone and known.level != STALE:
                known.level, known.since = STALE, known.heard
                known.message = f"{node} reports no more: is its process alive?"
            if known.level == STALE:
                events += self._judge(node, subject, known, now)
        return events

    def _judge(self, node: str, subject: str, known: _Subject, now: float) -> list[EventRow]:
        if known.level == known.reported or now - known.since < self.hold:
            return []
        # A warning of a sensor that is heard is health, not a loss.
        was_lost = subject == INPUT and known.reported >= ERROR
        is_lost = subject == INPUT and known.level >= ERROR
        known.reported = known.level
        if was_lost and is_lost:
            return []
        known.changes = [t for t in known.changes if 0 <= now - t < _FLAPS_WINDOW] + [now]
        was_flapping, known.flapping = known.flapping, len(known.changes) > _FLAPS
        if known.flapping and was_flapping:
            return []
        if known.flapping:
            text = f"{node}: {subject} changes again and again; not reported until it settles"
            told = (WARNING, "health", text)
        elif is_lost:
            told = (ALERT, "sensor_lost", f"{node} lost: {known.message}")
        elif was_lost:
            told = (INFO, "sensor_back", f"{node} is back: {known.message}")
        else:
            severity = INFO if known.level == OK else WARNING
            text = f"{node}: {subject}: {_LEVELS.get(known.level, '?')}: {known.message}"
            told = (severity, "health", text)
        severity, kind, text = told
        return [self.event(now, severity, kind, node, text)]

    # Settings and commands --------------------------------------------------------------------

    def setting(self, node: str, name: str, value: object, now: float) -> EventRow:
        """Take the change of one parameter."""
        node = node.rpartition("/")[2]
        shown = str(value) if len(str(value)) <= 200 else f"{str(value)[:200]}…"
        if any(word in name.lower() for word in _SECRETS):
            shown = "(changed)"
        return self.event(now, INFO, "setting", node, f"{node}.{name} = {shown}")

    def camera(self, steered_by: str, held_by: str, now: float) -> list[EventRow]:
        """Take who steers and who holds the camera; the box's own cueing is no command."""
        before, self._camera = self._camera, (steered_by, held_by)
        if before is None:
            return []
        events = []
        if steered_by != before[0] and steered_by.startswith("operator"):
            events.append(
                self.event(now, INFO, "command", steered_by, f"camera steered by {steered_by}")
            )
        if held_by != before[1]:
            who = held_by or before[1]
            text = f"camera held by {held_by}" if held_by else f"camera released by {before[1]}"
            events.append(self.event(now, INFO, "command", who, text))
        return events
