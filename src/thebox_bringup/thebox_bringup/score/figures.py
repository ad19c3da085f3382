# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The figures of a scorecard: what the box said, second by second, against what was there. No ROS.

Confirmed and coasting tracks count. Once a second each object is given at most one track: one with
a measured place within ``cutoff`` of it, or one that only has a bearing within three of its own
standard deviations (five degrees at least); the nearest whole fits best (Hungarian assignment).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from thebox_bringup.score.truth import Path3
from thebox_fusion.metrics import PictureScore, score_picture

__all__ = ["BANDS", "Heard", "Picture", "Scorecard", "Seen", "score"]

FloatArray = npt.NDArray[np.float64]

#: Range bands, metres from the own-ship: [low, high).
BANDS = ((0.0, 500.0), (500.0, 1000.0), (1000.0, 2000.0), (2000.0, 4000.0), (4000.0, math.inf))
_NARROWEST = math.radians(5.0)
_TWO_PI = 2.0 * math.pi
#: A track is false when it stood with an object for less than this share of its life.
_TRUE_SHARE = 0.2
_SHORTEST_FALSE = 3  # seconds; what is gone sooner nobody was sent after
_NO_PAIR = 1e6
_KEPT = 0.01  # of its cost a pair of the second before costs


@dataclass(frozen=True)
class Seen:
    """A confirmed track at one time: place in map, metres, NaN where only its bearing is known."""

    id: str
    east: float
    north: float
    bearing: float
    bearing_sigma: float


@dataclass(frozen=True)
class Picture:
    """What the box showed at one time, and where it stood itself."""

    time: float
    tracks: tuple[Seen, ...]
    own_east: float = 0.0
    own_north: float = 0.0


@dataclass(frozen=True)
class Heard:
    """One detection of one sensor; NaN where not measured."""

    time: float
    sensor: str
    bearing: float
    bearing_sigma: float


@dataclass
class Object:
    """What became of one object.

    Attributes:
        seconds: that it was there; ``held`` of them with a track.
        longest: seconds of the longest unbroken stretch with one and the same track.
        changes: times that its track was another than before.
        time_to_alert: seconds from its first second to its first confirmed track; NaN: none.
        range_at_alert: metres then.
    """

    id: str
    object_class: str
    seconds: int = 0
    held: int = 0
    longest: int = 0
    changes: int = 0
    time_to_alert: float = math.nan
    range_at_alert: float = math.nan


@dataclass
class Share:
    """So many of so many."""

    count: int = 0
    of: int = 0

    @property
    def value(self) -> float:
        """The share; NaN of nothing."""
        return self.count / self.of if self.of else math.nan


@dataclass
class Scorecard:
    """Every figure; see docs/scorecard.md for their definitions."""

    seconds: int = 0
    classes: tuple[str, ...] = ()
    objects: list[Object] = field(default_factory=list)
    detection: Share = field(default_factory=Share)
    by_band: dict[str, Share] = field(default_factory=dict)
    band_errors: dict[str, list[float]] = field(default_factory=dict)
    by_sensor: dict[str, Share] = field(default_factory=dict)
    sensor_detections: dict[str, int] = field(default_factory=dict)
    sensor_unexplained: dict[str, Share] = field(default_factory=dict)
    false_tracks: int = 0
    confirmed_tracks: int = 0
    position_errors: list[float] = field(default_factory=list)
    bearing_errors: list[float] = field(default_factory=list)
    picture: PictureScore = field(default_factory=PictureScore)
    over_time: list[tuple[float, int, int, int]] = field(default_factory=list)

    @property
    def false_per_hour(self) -> float:
        """False tracks in an hour."""
        return 3600.0 * self.false_tracks / self.seconds if self.seconds else math.nan

    @property
    def continuity(self) -> float:
        """Mean share of an object's time that its longest unbroken track covers."""
        shares = [each.longest / each.seconds for each in self.objects if each.seconds]
        return float(np.mean(shares)) if shares else math.nan

    @property
    def identity_changes(self) -> int:
        """Times that an object's track became another one."""
        return sum(each.changes for each in self.objects)

    def error(self, percent: float) -> float:
        """Radius that holds ``percent`` of the horizontal position errors, metres; NaN for none."""
        if not self.position_errors:
            return math.nan
        return float(np.percentile(self.position_errors, percent))

    @property
    def time_to_alert(self) -> float:
        """Median seconds to an object's first confirmed track; infinite where most had none."""
        waits = [
            math.inf if math.isnan(each.time_to_alert) else each.time_to_alert
            for each in self.objects
        ]
        return float(np.median(waits)) if waits else math.nan

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain values, for JSON; what is not known is None."""
        bands = {
            name: {
                "object_seconds": share.of,
                "probability_of_detection": share.value,
                "cep50_m": _percentile(self.band_errors.get(name, []), 50),
                "r95_m": _percentile(self.band_errors.get(name, []), 95),
            }
            for name, share in self.by_band.items()
        }
        sensors = {
            name: {
                "detections": count,
                "object_seconds_seen": self.by_sensor[name].value,
                "unexplained": self.sensor_unexplained[name].value,
            }
            for name, count in sorted(self.sensor_detections.items())
        }
        told: dict[str, Any] = {
            "seconds": self.seconds,
            "classes": list(self.classes),
            "objects": len(self.objects),
            "probability_of_detection": self.detection.value,
            "confirmed_tracks": self.confirmed_tracks,
            "false_tracks": self.false_tracks,
            "false_tracks_per_hour": self.false_per_hour,
            "continuity": self.continuity,
            "identity_changes": self.identity_changes,
            "position_error_cep50_m": self.error(50),
            "position_error_r95_m": self.error(95),
            "bearing_error_rms_deg": math.degrees(_rms(self.bearing_errors)),
            "time_to_alert_median_s": self.time_to_alert,
            "gospa_m": self.picture.gospa,
            "by_range": bands,
            "by_sensor": sensors,
            "by_object": [asdict(each) for each in self.objects],
        }
        cleaned = _clean(told)
        assert isinstance(cleaned, dict)  # noqa: S101 - narrows the type for mypy
        return cleaned


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def _percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if values else math.nan


def _rms(values: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values else math.nan


def band_name(low: float, high: float) -> str:
    """A band for people."""
    if math.isinf(high):
        return f"above {low / 1000:g} km"
    return f"{low / 1000:g} to {high / 1000:g} km"


def _turn(a: FloatArray | float, b: FloatArray | float) -> FloatArray:
    """Smallest angle between two bearings, radians, signed."""
    return np.asarray((np.asarray(a) - np.asarray(b) + math.pi) % _TWO_PI - math.pi)


def _pairs(
    places: FloatArray, picture: Picture, cutoff: float, before: Sequence[str]
) -> list[tuple[int, int, float]]:
    """Assign tracks to objects: (object, track, metres apart; NaN for a bearing's).

    An object keeps its track while that still fits, as in CLEAR MOT (Bernardin and Stiefelhagen,
    2008): two tracks of one object are no change of identity at every second.
    """
    tracks = picture.tracks
    if not len(places) or not tracks:
        return []
    own = np.array([picture.own_east, picture.own_north])
    offset = places[:, :2] - own
    bearings = np.arctan2(offset[:, 0], offset[:, 1]) % _TWO_PI
    cost = np.full((len(places), len(tracks)), _NO_PAIR)
    apart = np.full_like(cost, np.nan)
    for j, track in enumerate(tracks):
        if math.isfinite(track.east) and math.isfinite(track.north):
            apart[:, j] = np.hypot(places[:, 0] - track.east, places[:, 1] - track.north)
            column = apart[:, j] / cutoff
        elif math.isfinite(track.bearing):
            sigma = track.bearing_sigma if math.isfinite(track.bearing_sigma) else 0.0
            column = np.abs(_turn(bearings, track.bearing)) / max(3.0 * sigma, _NARROWEST)
        else:
            continue
        cost[:, j] = np.where(column < 1.0, column, _NO_PAIR)
        held = [row for row, name in enumerate(before) if name == track.id]
        cost[held, j] = np.where(cost[held, j] < _NO_PAIR, _KEPT * cost[held, j], _NO_PAIR)
    rows, columns = linear_sum_assignment(cost)
    return [
        (int(i), int(j), float(apart[i, j]))
        for i, j in zip(rows, columns, strict=True)
        if cost[i, j] < _NO_PAIR
    ]


class _Life:
    """One object as the seconds go by."""

    def __init__(self, path: Path3) -> None:
        self.object = Object(path.id, path.object_class)
        #: The track that stood for it last.
        self.track = ""
        self._run = 0
        self._since = math.nan

    def second(self, time: float, distance: float, track: str) -> None:
        one = self.object
        one.seconds += 1
        if math.isnan(self._since):
            self._since = time
        if not track:
            self._run = 0
            return
        one.held += 1
        if math.isnan(one.time_to_alert):
            one.time_to_alert = time - self._since
            one.range_at_alert = distance
        if self.track and track != self.track:
            one.changes += 1
            self._run = 0
        self.track = track
        self._run += 1
        one.longest = max(one.longest, self._run)


def score(
    pictures: Sequence[Picture],
    truth: Sequence[Path3],
    heard: Iterable[Heard] = (),
    *,
    classes: Sequence[str] = ("drone",),
    cutoff: float = 100.0,
    range_max: float = math.inf,
) -> Scorecard:
    """Compare a recording with the truth.

    Args:
        pictures: one a second, in order of time.
        truth: every object there was: a track of a bird is not false when there was a bird.
        heard: every detection.
        classes: of the objects that are scored; empty: all.
        cutoff: metres between a track and its object at most.
        range_max: metres; farther away an object is not there.
    """
    card = Scorecard(seconds=len(pictures), classes=tuple(classes))
    scored = [not classes or path.object_class in classes for path in truth]
    lives = [_Life(path) for path in truth]
    alive: Counter[str] = Counter()
    true: Counter[str] = Counter()
    card.by_band = {band_name(*band): Share() for band in BANDS}
    located: dict[float, list[tuple[str, float, float]]] = {}
    shown: dict[float, list[tuple[str, float, float]]] = {}
    places_at: list[tuple[float, FloatArray, list[bool]]] = []
    for picture in pictures:
        there, rows = _present(truth, picture, range_max)
        places = np.array(rows).reshape(-1, 3)
        before = [lives[index].track for index in there]
        pairs = _pairs(places, picture, cutoff, before)
        by_object = {i: (picture.tracks[j], apart) for i, j, apart in pairs}
        alive.update(track.id for track in picture.tracks)
        true.update(picture.tracks[j].id for _, j, _ in pairs)
        chosen = [scored[index] for index in there]
        places_at.append((picture.time, _bearings(places, picture), chosen))
        held = 0
        for row, index in enumerate(there):
            distance = float(
                np.hypot(places[row, 0] - picture.own_east, places[row, 1] - picture.own_north)
            )
            track, apart = by_object.get(row, (None, math.nan))
            lives[index].second(picture.time, distance, track.id if track else "")
            if scored[index]:
                _count(card, distance, track, apart, places_at[-1][1][row])
                held += track is not None
        mine = [row for row, is_scored in enumerate(chosen) if is_scored]
        located[picture.time] = [
            (truth[there[row]].id, float(places[row, 0]), float(places[row, 1])) for row in mine
        ]
        # Tracks of objects that are not scored are neither right nor wrong here.
        others = {picture.tracks[j].id for i, j, _ in pairs if not chosen[i]}
        shown[picture.time] = [
            (t.id, t.east, t.north)
            for t in picture.tracks
            if math.isfinite(t.east) and t.id not in others
        ]
        card.over_time.append((picture.time, len(mine), held, len(picture.tracks) - len(pairs)))
    card.objects = [
        life.object
        for life, is_scored in zip(lives, scored, strict=True)
        if is_scored and life.object.seconds
    ]
    card.confirmed_tracks = len(alive)
    card.false_tracks = sum(
        count >= _SHORTEST_FALSE and true[track] < _TRUE_SHARE * count
        for track, count in alive.items()
    )
    card.picture = score_picture(located, shown, cutoff)
    _count_sensors(card, places_at, heard)
    return card


def _present(
    truth: Sequence[Path3], picture: Picture, range_max: float
) -> tuple[list[int], list[FloatArray]]:
    there, rows = [], []
    for index, path in enumerate(truth):
        place = path.at(picture.time)
        if place is None:
            continue
        away = math.hypot(place[0] - picture.own_east, place[1] - picture.own_north)
        if away <= range_max:
            there.append(index)
            rows.append(place)
    return there, rows


def _bearings(places: FloatArray, picture: Picture) -> FloatArray:
    return np.asarray(
        np.arctan2(places[:, 0] - picture.own_east, places[:, 1] - picture.own_north) % _TWO_PI
    )


def _count(
    card: Scorecard, distance: float, track: Seen | None, apart: float, bearing: float
) -> None:
    name = next(band_name(*band) for band in BANDS if band[0] <= distance < band[1])
    for share in (card.detection, card.by_band[name]):
        share.of += 1
        share.count += track is not None
    if track is None:
        return
    if math.isfinite(apart):
        card.position_errors.append(apart)
        card.band_errors.setdefault(name, []).append(apart)
    else:
        card.bearing_errors.append(float(_turn(track.bearing, bearing)))


def _count_sensors(
    card: Scorecard,
    places_at: Sequence[tuple[float, FloatArray, list[bool]]],
    heard: Iterable[Heard],
) -> None:
    """Count the object-seconds that each sensor saw, and its detections of nothing."""
    times = np.array([time for time, _, _ in places_at])
    seen: dict[str, set[tuple[int, int]]] = {}
    counts: Counter[str] = Counter()
    unexplained: dict[str, Share] = {}
    for each in heard:
        counts[each.sensor] += 1
        seen.setdefault(each.sensor, set())
        share = unexplained.setdefault(each.sensor, Share())
        if not len(times) or math.isnan(each.bearing):
            continue
        index = int(np.argmin(np.abs(times - each.time)))
        if abs(times[index] - each.time) > 1.0:
            continue
        _, bearings, chosen = places_at[index]
        sigma = each.bearing_sigma if math.isfinite(each.bearing_sigma) else 0.0
        near = np.abs(_turn(bearings, each.bearing)) <= max(3.0 * sigma, _NARROWEST)
        share.of += 1
        share.count += not near.any()
        seen[each.sensor] |= {(index, int(row)) for row in np.flatnonzero(near) if chosen[row]}
    total = sum(sum(chosen) for _, _, chosen in places_at)
    card.sensor_detections = dict(counts)
    card.by_sensor = {name: Share(len(rows), total) for name, rows in seen.items()}
    card.sensor_unexplained = unexplained


def summary(card: Scorecard) -> Mapping[str, str]:
    """The figures that matter most, for people."""

    def number(value: float, form: str, unit: str = "") -> str:
        return "–" if not math.isfinite(value) else f"{value:{form}}{unit}"

    return {
        "time scored": f"{card.seconds} s, {len(card.objects)} objects "
        f"({', '.join(card.classes) or 'every class'})",
        "probability of detection": number(card.detection.value, ".1%"),
        "false tracks": f"{card.false_tracks} of {card.confirmed_tracks} "
        f"({number(card.false_per_hour, '.1f')} an hour)",
        "continuity": number(card.continuity, ".1%"),
        "identity changes": str(card.identity_changes),
        "position error CEP50": number(card.error(50), ".1f", " m"),
        "position error R95": number(card.error(95), ".1f", " m"),
        "bearing error (bearing alone)": number(
            math.degrees(_rms(card.bearing_errors)), ".2f", "° rms"
        ),
        "time to alert (median)": number(card.time_to_alert, ".1f", " s"),
        "GOSPA": number(card.picture.gospa, ".1f", " m"),
    }
