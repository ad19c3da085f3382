# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Which track deserves the camera next, where exactly to point it, how wide, and for how long."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thebox_vision.geometry import Pointing, View, separation, wrap
from thebox_vision.search import Prior, Search
from thebox_vision.verification import Candidate, Standing, Verdict

__all__ = ["Aim", "Cue", "CueRules", "CueTrack"]

# What was seen keeps the camera this long, seconds: zooming in costs a few pictures. Where pictures
# come slowly it does so for some of them, and up to the longer time.
_MEMORY, _MEMORY_LOOKS, _MEMORY_LONGEST = 1.5, 4, 6.0
# An elevation that is worse known than this is that of no measurement; radians.
_ANY_ELEVATION = 0.6
_ROUGH_ELEVATION = 0.1
# A confirmed track takes the camera from one that deserves it so many times less.
_PREEMPTS = 2.0
# Looks a second with which a track's time is its time; with fewer it has more, up to so many times.
_LOOKS_RATE, _STRETCH = 3.0, 3.0
# A search is over when an object that is there would have been found but for one in fifty.
_FOUND_NOTHING, _LEAST_LOOKS = 0.02, 12
_LOWEST = -0.03  # elevation that a search over all heights begins at, radians


@dataclass(frozen=True)
class CueTrack:
    """A track as the cueing takes it; unknown: NaN. `threat` in [0, 1].

    `bearing_rate` is how its bearing changes, rad/s; `camera_only`: no sensor but the camera has
    it.
    """

    id: str
    bearing: float
    bearing_sigma: float
    elevation: float
    elevation_sigma: float
    range: float
    confidence: float
    confirmed: bool
    threat: float = 0.0
    bearing_rate: float = 0.0
    camera_only: bool = False

    @property
    def candidate(self) -> Candidate:
        """The track as the verification takes it."""
        return Candidate(
            self.id,
            self.bearing,
            self.bearing_sigma,
            self.elevation,
            self.elevation_sigma,
            self.range,
            self.camera_only,
        )


@dataclass(frozen=True)
class CueRules:
    """Settings of the cueing.

    Attributes:
        confidence: tracks below this confidence are not worth the camera.
        timeout: seconds for one track in all; up to three times as long where pictures come slowly.
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
        registration: slow error of the camera's angles against other sensors', radians.
    """

    confidence: float = 0.3
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
    registration: float = 0.005


@dataclass(frozen=True)
class Aim:
    """Point the camera there, this wide (radians), for this track; `step`: looks so far."""

    id: str
    bearing: float
    elevation: float
    field_of_view: float
    step: int


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
        #: Seconds that it had.
        self.abandoned_after = 0.0
        self.cue_to_confirm: list[float] = []
        self._search: Search | None = None
        self._seen = -math.inf
        self._unseen = 0
        self._looks = 0
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
            sigma = self._bearing_sigma(track)
            if not math.isfinite(track.elevation) or not track.elevation_sigma < _ANY_ELEVATION:
                sigma = math.inf
            else:
                sigma = max(sigma, track.elevation_sigma)
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
        worth = {t.id: self.priority(t, standings.get(t.id), now) for t in tracks}
        for track in tracks:
            if track.camera_only and self._shadowed(track, tracks):
                worth[track.id] = 0.0
        if self.target:
            before = self.target
            self._check_target(now, held, standings, worth)
            if not self.target and before in held:
                # Tried just now, or not worth it: not the next one either.
                worth[before] = self.priority(held[before], standings.get(before), now)
        if not self.target:
            best = max(worth, key=worth.__getitem__, default="")
            if not best or worth[best] <= 0.0:
                return None
            self.target, self.since = best, now
            self._search, self._seen, self._unseen, self._looks = None, -math.inf, 0, 0
        return self._aim(now, held[self.target], standings.get(self.target), pointing)

    def looked(self, view: View, standings: Mapping[str, Standing]) -> None:
        """A picture was looked at: what it showed need not be searched again.

        Args:
            view: of the picture.
            standings: verdicts, this picture's looks in them.
        """
        standing = standings.get(self.target)
        if not self.target or (standing is not None and standing.seen >= view.pointing.time):
            return
        self._unseen += 1
        self._looks += 1
        # While it still zooms in, the object is too small to be found.
        search = self._search
        if search is not None and view.pointing.field_of_view < 1.5 * search.field:
            search.looked(view)

    def _shadowed(self, track: CueTrack, tracks: Sequence[CueTrack]) -> bool:
        """Whether a track of the camera alone may be what another sensor holds, too."""
        allowed = self.rules.registration

        def apart(one: float, other: float, *sigmas: float) -> bool:
            known = [sigma if math.isfinite(sigma) else math.pi for sigma in sigmas]
            return abs(wrap(one - other)) > 3.0 * math.hypot(allowed, *known)

        return any(
            not other.camera_only
            and not apart(track.bearing, other.bearing, track.bearing_sigma, other.bearing_sigma)
            and not apart(
                track.elevation, other.elevation, track.elevation_sigma, other.elevation_sigma
            )
            for other in tracks
        )

    def _check_target(
        self,
        now: float,
        held: Mapping[str, CueTrack],
        standings: Mapping[str, Standing],
        worth: Mapping[str, float],
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
        elif self._spent(now) > self.rules.timeout or self._searched(held[self.target], standing):
            self.abandoned, self.abandoned_after = self.target, now - self.since
            self._let_go(now)
        elif not held[self.target].confidence >= 0.5 * self.rules.confidence:
            # It has turned out to be hardly there, while the camera was on its way.
            self._let_go(now)
        elif standing is None or now - standing.seen > _MEMORY_LONGEST:
            mine = worth[self.target]
            if any(t.confirmed and worth[t.id] > _PREEMPTS * mine for t in held.values()):
                # Not tried in earnest: it has its turn again at once when the other one is done.
                self.target = ""

    def _searched(self, track: CueTrack, standing: Standing | None) -> bool:
        """Whether all places of the search were looked at, several times, and nothing was there."""
        search = self._search
        if search is None or search.looks < _LEAST_LOOKS:
            return False
        if standing is not None and standing.seen >= self.since:
            return False
        return search.left(self._prior(track)) < _FOUND_NOTHING

    def _spent(self, now: float) -> float:
        """Seconds that the target has had, as far as pictures were looked at meanwhile."""
        passed = now - self.since
        return min(passed, max(passed / _STRETCH, self._looks / _LOOKS_RATE))

    def _let_go(self, now: float) -> None:
        self._last_tried[self.target] = now
        self.target = ""

    def _bearing_sigma(self, track: CueTrack) -> float:
        known = track.bearing_sigma if math.isfinite(track.bearing_sigma) else 0.05
        return math.hypot(known, self.rules.registration)

    def _prior(self, track: CueTrack) -> Prior:
        r = self.rules
        elevation, sigma = track.elevation, track.elevation_sigma
        if not math.isfinite(elevation) or not sigma < _ANY_ELEVATION:
            elevation = sigma = math.nan
        low, high = -0.2, math.pi / 2.0
        if not sigma < _ROUGH_ELEVATION:
            # A radar in two dimensions: from the ground to the ceiling of small drones.
            distance = track.range if math.isfinite(track.range) else 1000.0
            low, high = _LOWEST, math.atan2(r.altitude, max(distance, 50.0))
        return Prior(
            track.bearing,
            self._bearing_sigma(track),
            elevation,
            math.hypot(sigma, r.registration),
            low=low,
            high=high,
            sigmas=r.sigmas,
        )

    def _aim(
        self, now: float, track: CueTrack, standing: Standing | None, pointing: Pointing
    ) -> Aim | None:
        r = self.rules
        if standing is not None and standing.seen > self._seen:
            self._seen, self._unseen = standing.seen, 0
        passed = now - self._seen
        seen = passed < (_MEMORY_LONGEST if self._unseen < _MEMORY_LOOKS else _MEMORY)
        field = self.field_of_view(track, seen) if self.can_zoom else pointing.field_of_view
        up = field / self.aspect
        if seen and standing is not None and math.isfinite(standing.seen_at[0]):
            # Found: there, not where the track has it, which learns of it only later, and jumps
            # then; since that picture it has gone on as fast as the track does.
            bearing, target = standing.seen_at
            gone = track.bearing_rate * min(max(passed, 0.0), _MEMORY)
            bearing = (bearing + gone) % (2.0 * math.pi)
        else:
            prior = self._prior(track)
            if self._search is None or not self._search.fits(prior, field):
                self._search = Search(now, prior, field, up)
            self._search.carry(now, track.bearing_rate)
            bearing, target = self._search.next(prior, pointing)
        target = min(max(target, -0.2), math.pi / 2.0)
        off = separation(bearing, target, pointing.bearing, pointing.elevation)
        zoomed = 0.67 < pointing.field_of_view / field < 1.5
        if off < r.dead_zone * field and abs(target - pointing.elevation) < up / 3.0 and zoomed:
            return None
        looks = self._search.looks if self._search is not None else 0
        return Aim(track.id, bearing, target, field, looks)
