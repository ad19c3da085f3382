# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Which track deserves the camera next, where exactly to point it, how wide, and for how long."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thebox_vision.geometry import Pointing, separation, wrap
from thebox_vision.verification import Standing, Verdict

__all__ = ["Aim", "Cue", "CueRules", "CueTrack", "search_pattern"]

# What was seen keeps the camera this long, seconds: zooming in costs a few pictures.
_MEMORY = 1.5


@dataclass(frozen=True)
class CueTrack:
    """A track as the cueing takes it; unknown: NaN. `threat` in [0, 1]."""

    id: str
    bearing: float
    bearing_sigma: float
    elevation: float
    elevation_sigma: float
    range: float
    confidence: float
    confirmed: bool
    threat: float = 0.0


@dataclass(frozen=True)
class CueRules:
    """Settings of the cueing.

    Attributes:
        confidence: tracks below this confidence are not worth the camera.
        dwell: seconds at one place of the pattern.
        timeout: seconds for one track in all.
        relook: a track with a verdict is looked at again after this, seconds; 0: never.
        retry: one without a verdict, seconds.
        dead_zone: share of the field of view that the target may be off before the camera moves.
        sigmas: how much of the uncertainty the search covers.
        field_least, field_most: fields of view that are asked for, radians.
        object_size: width of the object looked for, metres.
        pixels: width that it should have in the picture to be judged, pixels.
        search_pixels: width at which it is searched for, pixels: less shows more sky at once.
        picture_width: pixels.
        altitude: objects of unknown elevation are looked for up to this height, metres.
    """

    confidence: float = 0.3
    dwell: float = 0.5
    timeout: float = 20.0
    relook: float = 60.0
    retry: float = 10.0
    dead_zone: float = 0.2
    sigmas: float = 2.0
    field_least: float = 0.018
    field_most: float = math.radians(30.0)
    object_size: float = 0.4
    pixels: float = 48.0
    search_pixels: float = 20.0
    picture_width: int = 960
    altitude: float = 120.0


@dataclass(frozen=True)
class Aim:
    """Point the camera there, this wide (radians), for this track."""

    id: str
    bearing: float
    elevation: float
    field_of_view: float
    step: int


def search_pattern(wide: float, tall: float, across: float, up: float) -> list[tuple[float, float]]:
    """Offsets (bearing, elevation) that cover an area, the middle first, then outwards.

    Args:
        wide: half-width of the area, radians.
        tall: its half-height.
        across: field of view; neighbouring places overlap by three tenths of it.
        up: vertical field of view.
    """

    def places(half: float, field: float) -> list[float]:
        step = 0.7 * field
        number = max(math.ceil(max(half - field / 2.0, 0.0) / step - 1e-9), 0)
        return [i * step for i in range(-number, number + 1)]

    grid = [(x, y) for x in places(wide, across) for y in places(tall, up)]
    # By distance from the middle in fields of view: where it most likely is comes first.
    return sorted(grid, key=lambda p: (p[0] / across) ** 2 + (p[1] / up) ** 2)


class Cue:
    """Chooses and follows; the node hands the aims to the gimbal.

    Call `step` a few times a second. It returns an aim when the camera should move, else None.
    """

    def __init__(self, rules: CueRules, aspect: float = 16.0 / 9.0) -> None:
        self.rules, self.aspect = rules, aspect
        self.target = ""
        self.since = 0.0
        #: Whether the camera's field of view can be set; else it is taken as it is.
        self.can_zoom = True
        #: Track that was let go without a verdict at the last step.
        self.abandoned = ""
        self.cue_to_confirm: list[float] = []
        self._arrived = math.nan
        self._place = 0
        self._last_tried: dict[str, float] = {}

    def priority(self, track: CueTrack, standing: Standing | None, now: float) -> float:
        """How much a track deserves the camera; 0: not at all."""
        r = self.rules
        if not math.isfinite(track.bearing) or not track.confidence >= r.confidence:
            return 0.0
        verdict = standing.verdict if standing is not None else Verdict.NOT_LOOKED
        tried = self._last_tried.get(track.id, -math.inf)
        looked = max(tried, standing.last_look if standing is not None else -math.inf)
        if verdict in (Verdict.CONFIRMED, Verdict.REFUTED):
            if not r.relook or now - looked < r.relook:
                return 0.0
            doubt = 0.2
        else:
            if now - tried < r.retry:
                return 0.0
            doubt = 1.0 if verdict == Verdict.NOT_LOOKED else 0.5
        near = 1.0 / (1.0 + track.range / 1000.0) if math.isfinite(track.range) else 0.3
        sure = track.confidence if track.confirmed else 0.5 * track.confidence
        return doubt * sure * (0.5 + near + 2.0 * track.threat)

    def field_of_view(self, track: CueTrack, seen: bool = False) -> float:
        """Width of the picture: while searched for as wide as it can be, then the object large."""
        r = self.rules
        distance = track.range if math.isfinite(track.range) else 1000.0
        at_one_pixel = r.object_size / max(distance, 1.0) * r.picture_width
        wanted = by_size = at_one_pixel / r.pixels
        if not seen:
            sigma = track.bearing_sigma if math.isfinite(track.bearing_sigma) else 0.05
            if not math.isfinite(track.elevation) or not track.elevation_sigma < 0.6:
                sigma = math.inf
            # More uncertainty than one such picture holds is left to the search.
            wanted = min(max(by_size, 2.5 * r.sigmas * sigma), at_one_pixel / r.search_pixels)
            wanted = max(wanted, by_size)
        return min(max(wanted, r.field_least), r.field_most)

    def step(
        self,
        now: float,
        tracks: Sequence[CueTrack],
        standings: Mapping[str, Standing],
        pointing: Pointing | None,
        locked: bool = False,
    ) -> Aim | None:
        """Decide.

        Args:
            now: seconds.
            tracks: all tracks, predicted to now.
            standings: verdicts so far.
            pointing: of the camera; None: not known, then nothing is asked of it.
            locked: an operator holds the camera.
        """
        self.abandoned = ""
        held = {track.id: track for track in tracks}
        for gone in [i for i in self._last_tried if i not in held]:
            del self._last_tried[gone]
        if locked or pointing is None:
            self.target = ""
            return None
        if self.target:
            self._check_target(now, held, standings)
        if not self.target:
            best = max(
                tracks, key=lambda t: self.priority(t, standings.get(t.id), now), default=None
            )
            if best is None or self.priority(best, standings.get(best.id), now) <= 0.0:
                return None
            self.target, self.since = best.id, now
            self._arrived, self._place = math.nan, 0
        return self._aim(now, held[self.target], standings.get(self.target), pointing)

    def _check_target(
        self, now: float, held: Mapping[str, CueTrack], standings: Mapping[str, Standing]
    ) -> None:
        standing = standings.get(self.target)
        judged = standing is not None and standing.verdict in (Verdict.CONFIRMED, Verdict.REFUTED)
        fresh = judged and standing is not None and standing.last_look >= self.since
        if self.target not in held:
            self.target = ""
        elif fresh and standing is not None and standing.run >= 1:
            if standing.time >= self.since:
                self.cue_to_confirm.append(standing.time - self.since)
            self._let_go(now)
        elif judged and standing is not None and standing.time >= self.since:
            self.cue_to_confirm.append(standing.time - self.since)
            self._let_go(now)
        elif now - self.since > self.rules.timeout:
            self.abandoned = self.target
            self._let_go(now)

    def _let_go(self, now: float) -> None:
        self._last_tried[self.target] = now
        self.target = ""

    def _aim(
        self, now: float, track: CueTrack, standing: Standing | None, pointing: Pointing
    ) -> Aim | None:
        r = self.rules
        seen = standing is not None and now - standing.seen < _MEMORY
        field = self.field_of_view(track, seen) if self.can_zoom else pointing.field_of_view
        up = field / self.aspect
        elevation, tall = track.elevation, r.sigmas * track.elevation_sigma
        if not math.isfinite(elevation) or not math.isfinite(tall) or tall > 0.6:
            # A radar in two dimensions: anywhere from the ground to the ceiling of small drones.
            distance = track.range if math.isfinite(track.range) else 1000.0
            top = math.atan2(r.altitude, max(distance, 50.0))
            elevation, tall = top / 2.0, top / 2.0
        wide = r.sigmas * (track.bearing_sigma if math.isfinite(track.bearing_sigma) else 0.05)
        pattern = search_pattern(wide, tall, field, up)
        if seen:
            self._place = 0
        elif math.isfinite(self._arrived) and now - self._arrived > r.dwell:
            self._place += 1
            self._arrived = math.nan
        across, rise = pattern[self._place % len(pattern)]
        bearing = (track.bearing + across / max(math.cos(elevation), 0.1)) % (2.0 * math.pi)
        target = elevation + rise
        if seen and standing is not None and math.isfinite(standing.seen_at[0]):
            # Found: there, not where the track has it, which learns of it only later; and since
            # then it has moved as the track has.
            bearing, target = standing.seen_at
            if math.isfinite(standing.expected_at[0]):
                bearing = (bearing + wrap(track.bearing - standing.expected_at[0])) % (
                    2.0 * math.pi
                )
            if math.isfinite(standing.expected_at[1]) and math.isfinite(track.elevation):
                target += track.elevation - standing.expected_at[1]
        target = min(max(target, -0.2), math.pi / 2.0)
        off = separation(bearing, target, pointing.bearing, pointing.elevation)
        zoomed = 0.67 < pointing.field_of_view / field < 1.5
        settled = off < r.dead_zone * field and abs(target - pointing.elevation) < up / 3.0
        if settled and zoomed:
            # Not while the picture still rushes by; a camera that follows a track never rests.
            if not math.isfinite(self._arrived) and pointing.rate < pointing.field_of_view:
                self._arrived = now
            return None
        return Aim(track.id, bearing, target, field, self._place)
