# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What the camera says of each track: a verdict only after several looks that agree.

A look is one frame that shows the place where the track should be. It is for (the wanted class was
found there), against (another class was), or empty. Empty looks count only where the object would
have shown: its whole gate in the picture, and large enough by its range; else nothing follows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from thebox_vision.association import Sight, Trail
from thebox_vision.geometry import View, separation

__all__ = ["Candidate", "Rules", "Standing", "Verdict", "Verifier"]


# How much likelier a box is a track's whose box it was before: as a whole gate of three sigmas.
_KNOWN = 9.0
# A gate so many pictures wide says that a track may be anywhere.
_VAGUE = 4.0


class Verdict:
    """The verdicts, numbered as in VisualVerification."""

    NOT_LOOKED, CONFIRMED, REFUTED, INCONCLUSIVE = range(4)


@dataclass(frozen=True)
class Rules:
    """When a verdict falls.

    Attributes:
        looks: consecutive looks that must agree.
        empty_looks: consecutive empty ones after which nothing is there.
        spacing: a look counts this long after the last, seconds: the noise of neighbouring frames
            is the same noise.
        score: boxes below it are no look for or against.
        wanted: classes that confirm a track.
        gate: width of the gate in standard deviations.
        gate_least: and its least half-width, radians.
        registration: slow error of the camera's bearings against those of other sensors (compass,
            mounting), radians: a box may be off by it, too.
        object_size: width of the smallest object looked for, metres.
        pixels: an object smaller than this in the picture cannot be expected to be found.
    """

    looks: int = 4
    empty_looks: int = 20
    spacing: float = 0.08
    score: float = 0.35
    wanted: tuple[str, ...] = ("drone",)
    gate: float = 3.0
    gate_least: float = 0.004
    registration: float = 0.005
    object_size: float = 0.4
    pixels: float = 10.0


@dataclass(frozen=True)
class Candidate:
    """A track as seen from the camera, at a frame's time. Unknown: NaN.

    `camera_only`: no other sensor has it, so that it may be a second track of what another holds.
    """

    id: str
    bearing: float
    bearing_sigma: float
    elevation: float
    elevation_sigma: float
    range: float = math.nan
    camera_only: bool = False


@dataclass
class Standing:
    """What has been seen of one track so far.

    `seen` and `seen_at` are the time and the direction (bearing, elevation) of the newest box in
    its gate, also of one too weak to judge by.
    """

    verdict: int = Verdict.NOT_LOOKED
    time: float = 0.0
    reason: str = "not looked at yet"
    label: str = ""
    score: float = math.nan
    looks: int = 0
    hits: int = 0
    snapshot: str = ""
    last_look: float = -math.inf
    run_label: str = ""
    run: int = 0
    run_score: float = 0.0
    empty: int = 0
    trail: int = 0
    seen: float = field(default=-math.inf)
    seen_at: tuple[float, float] = (math.nan, math.nan)


@dataclass(frozen=True)
class Look:
    """One look at one track: the sight that was taken for it, and whether the verdict changed."""

    id: str
    standing: Standing
    sight: int | None
    changed: bool
    empty: bool


class Verifier:
    """Keeps the standing of every track."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.standings: dict[str, Standing] = {}

    def forget(self, held: set[str]) -> None:
        """Drop the standing of tracks that are no longer held."""
        for gone in [i for i in self.standings if i not in held]:
            del self.standings[gone]

    def gate(self, track: Candidate, registration: float = 0.0) -> tuple[float, float]:
        """Half-widths of a track's gate in bearing and elevation."""
        r = self.rules
        wide = track.bearing_sigma if math.isfinite(track.bearing_sigma) else 0.2
        tall = track.elevation_sigma if math.isfinite(track.elevation_sigma) else 0.2
        wide, tall = (r.gate * math.hypot(sigma, registration) for sigma in (wide, tall))
        return max(wide, r.gate_least), max(tall, r.gate_least)

    def look(
        self,
        view: View,
        sights: Sequence[Sight],
        trails: Sequence[Trail | None],
        tracks: Sequence[Candidate],
        cued: str = "",
    ) -> list[Look]:
        """Take one frame.

        A box goes to the track that makes it the most likely where it is, and to one of the camera
        alone only when no other may have it: else a second track of an object, which lies on the
        very box, would take the verdict from the first one.

        Args:
            view: of the frame.
            sights: its boxes.
            trails: what they belong to.
            tracks: all tracks.
            cued: the track that the camera is there for; empty: none, as of one that stands still.
        """
        time = view.pointing.time
        shown, taken = self._assign(view, sights, trails, tracks, cued)
        looks = []
        for t in shown:
            track = tracks[t]
            standing = self.standings.setdefault(track.id, Standing())
            if time - standing.last_look < self.rules.spacing:
                continue
            chosen = taken.get(t)
            if chosen is None and not self._would_show(view, track):
                if standing.verdict == Verdict.NOT_LOOKED and standing.looks == 0:
                    standing.reason = "in the picture, but too small or too uncertain to be judged"
                continue
            standing.last_look = time
            standing.looks += 1
            before = standing.verdict
            if chosen is None:
                self._empty(standing, time)
            else:
                self._found(standing, time, sights[chosen], trails[chosen])
                _note(standing, time, sights[chosen])
            changed = standing.verdict != before
            looks.append(Look(track.id, standing, chosen, changed, chosen is None))
        return looks

    def _assign(
        self,
        view: View,
        sights: Sequence[Sight],
        trails: Sequence[Trail | None],
        tracks: Sequence[Candidate],
        cued: str,
    ) -> tuple[list[int], dict[int, int]]:
        """Tracks that the frame may say something of, and the sight of those that have one."""
        pairs: list[tuple[bool, float, int, int]] = []
        shown: list[int] = []
        owners = {standing.trail: id for id, standing in self.standings.items() if standing.trail}
        for t, track in enumerate(tracks):
            if not math.isfinite(track.bearing):
                continue
            elevation = track.elevation if math.isfinite(track.elevation) else 0.05
            at = view.pixel(track.bearing, elevation)
            if at is None:
                continue
            self.standings.setdefault(track.id, Standing())
            vague = self.gate(track)[0] > _VAGUE * view.pointing.field_of_view
            if vague and cued not in ("", track.id):
                continue  # it may be anywhere, and the camera is here for another one
            near = self._near(track, elevation, sights, trails, owners)
            pairs += [(track.camera_only, cost, t, s) for cost, s in near]
            if near or view.holds(*at):
                shown.append(t)
        taken: dict[int, int] = {}
        for _, _, t, s in sorted(pairs):
            if t not in taken and s not in taken.values():
                taken[t] = s
        return shown, taken

    def _near(
        self,
        track: Candidate,
        elevation: float,
        sights: Sequence[Sight],
        trails: Sequence[Trail | None],
        owners: Mapping[int, str],
    ) -> list[tuple[float, int]]:
        """Sights in a track's gate: (cost, index), the less the likelier.

        The cost is that of a normal density, twice its negative logarithm: of two tracks whose
        gates hold a box, the better known one is the likelier where both are as near in sigmas.
        """
        standing = self.standings.get(track.id)
        wide, tall = self.gate(track, self.rules.registration)
        spread = 2.0 * math.log(wide * tall / self.rules.gate**2)
        near = []
        for s, sight in enumerate(sights):
            across = separation(sight.bearing, elevation, track.bearing, elevation) / wide
            distance = math.hypot(across, abs(sight.elevation - elevation) / tall)
            if distance > 1.0:
                continue
            trail = trails[s]
            if sight.score < self.rules.score:
                # Too weak to judge by, reason enough to look closer; not at another track's object.
                others = trail is not None and owners.get(trail.number, track.id) != track.id
                if standing is not None and sight.time > standing.seen and not others:
                    _note(standing, sight.time, sight)
                continue
            # What was taken for this track before is taken again, before a nearer stranger.
            known = standing is not None and trail is not None and standing.trail == trail.number
            cost = (self.rules.gate * distance) ** 2 + spread
            near.append((cost - (_KNOWN if known else 0.0), s))
        return near

    def give_up(self, id: str, time: float, why: str) -> None:
        """The camera turns away without a verdict."""
        standing = self.standings.setdefault(id, Standing())
        if standing.verdict == Verdict.NOT_LOOKED:
            standing.verdict = Verdict.INCONCLUSIVE
            standing.time = time
            standing.reason = why

    def _would_show(self, view: View, track: Candidate) -> bool:
        if not math.isfinite(track.range) or not math.isfinite(track.elevation_sigma):
            return False
        pixels = view.focal * self.rules.object_size / max(track.range, 1.0)
        wide, tall = (a * view.focal for a in self.gate(track))
        at = view.pixel(track.bearing, track.elevation)
        if at is None or pixels < self.rules.pixels:
            return False
        across = wide <= at[0] <= view.width - wide
        return across and tall <= at[1] <= view.height - tall

    def _empty(self, standing: Standing, time: float) -> None:
        standing.run = 0
        standing.empty += 1
        if standing.empty >= self.rules.empty_looks and standing.verdict != Verdict.CONFIRMED:
            standing.verdict = Verdict.REFUTED
            standing.time = time
            standing.label, standing.score = "nothing", math.nan
            standing.reason = (
                f"nothing there in {standing.empty} consecutive looks that would have shown it"
            )

    def _found(self, standing: Standing, time: float, sight: Sight, trail: Trail | None) -> None:
        wanted = sight.label in self.rules.wanted
        was_wanted = standing.run_label in self.rules.wanted
        # Two classes that both refute (an airplane that looks like a bird) agree with one another.
        if standing.run and wanted != was_wanted:
            standing.run, standing.run_score = 0, 0.0
        standing.run += 1
        standing.run_score = sight.score if standing.run == 1 else standing.run_score + sight.score
        standing.run_label = sight.label
        standing.empty = 0
        standing.hits += 1
        standing.trail = trail.number if trail is not None else 0
        if standing.run < self.rules.looks:
            return
        label = trail.label if trail is not None else sight.label
        if (label in self.rules.wanted) != wanted:
            label = sight.label
        mean = standing.run_score / standing.run
        verdict = Verdict.CONFIRMED if wanted else Verdict.REFUTED
        if verdict != standing.verdict:
            standing.time = time
        standing.verdict = verdict
        standing.label, standing.score = label, mean
        standing.reason = (
            f"{label} in {standing.run} consecutive looks, mean score {mean:.2f}"
            f" ({standing.hits} of {standing.looks} looks found something)"
        )


def _note(standing: Standing, time: float, sight: Sight) -> None:
    """Keep where something was seen."""
    standing.seen = time
    standing.seen_at = (sight.bearing, sight.elevation)
