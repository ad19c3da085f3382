# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Between the box's messages and the tracker's own types."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thebox_core.messages import MODALITIES, to_time
from thebox_core.packed import PackedTrack, body, said, stamp_of
from thebox_core.packed_detection import PackedDetection
from thebox_fusion import tracker
from thebox_fusion.ranging import Cue, RangeEstimate, Reading, Sighting, normalised_power
from thebox_fusion.tracker.detection import STILL
from thebox_fusion.tracker.ranging import RANGE_METHODS
from thebox_fusion.tracker.views import Said
from thebox_interfaces.msg import Evidence, Track

__all__ = [
    "OBJECT_CLASSES",
    "RANGE_CODES",
    "packed_words",
    "set_ranges",
    "to_evidence",
    "to_packed_track",
    "to_plot",
    "to_readings",
    "to_sighting",
]

#: Words of classifiers and sensors that name a class of object.
OBJECT_CLASSES = {
    "drone": Track.CLASS_DRONE,
    "uav": Track.CLASS_DRONE,
    "uas": Track.CLASS_DRONE,
    "rotary": Track.CLASS_DRONE,
    "quadcopter": Track.CLASS_DRONE,
    "bird": Track.CLASS_BIRD,
    "airplane": Track.CLASS_AIRPLANE,
    "aircraft": Track.CLASS_AIRPLANE,
    "fixed wing": Track.CLASS_AIRPLANE,
    "helicopter": Track.CLASS_HELICOPTER,
    "boat": Track.CLASS_BOAT,
    "vessel": Track.CLASS_BOAT,
    "ship": Track.CLASS_BOAT,
    "vehicle": Track.CLASS_VEHICLE,
    "car": Track.CLASS_VEHICLE,
    "person": Track.CLASS_PERSON,
}

_RANGE_METHODS = {
    "none": Track.RANGE_UNKNOWN,
    "measured": Track.RANGE_MEASURED,
    "own-ship manoeuvre": Track.RANGE_TRIANGULATED,
    Cue.POWER.value: Track.RANGE_RSSI,
    Cue.SIZE.value: Track.RANGE_APPARENT_SIZE,
    Cue.SOUND.value: Track.RANGE_ACOUSTIC,
}

#: Track.RANGE_* by the index of the tracker's RANGE_METHODS.
RANGE_CODES: NDArray[np.uint8] = np.array(
    [_RANGE_METHODS[name] for name in RANGE_METHODS], dtype=np.uint8
)

_EVIDENCE_KINDS = {
    "born": Evidence.KIND_HIT,
    "hit": Evidence.KIND_HIT,
    "attached": Evidence.KIND_HIT,
    "detached": Evidence.KIND_HIT,
    "miss": Evidence.KIND_MISS,
    "decay": Evidence.KIND_DECAY,
    "seen": Evidence.KIND_VISUAL,
    "refuted": Evidence.KIND_VISUAL,
    "merged": Evidence.KIND_MERGE,
    "state": Evidence.KIND_STATE,
}


def to_plot(
    detection: PackedDetection,
    time: float,
    own_position: NDArray[np.float64],
    own_velocity: NDArray[np.float64],
) -> tracker.Detection:
    """Return a detection as the tracker takes it.

    Args:
        detection: as a driver published it.
        time: of measurement, seconds.
        own_position: (3,) of the own-ship then, in map; used where the sensor did not say where
            it stood.
        own_velocity: (3,) of the own-ship then, in map.
    """
    numbers = detection.numbers
    bearing, bearing_std, alternative, elevation, elevation_std = numbers[:5]
    slant, slant_std, range_rate, range_rate_std, east, north, up = numbers[5:12]
    stood_east, stood_north, stood_up = numbers[33:36]
    frequency, bandwidth, rssi, sound_level, width, height = numbers[36:]
    if math.isfinite(stood_east) and math.isfinite(stood_north):
        stood_up = stood_up if math.isfinite(stood_up) else own_position[2]
        own_position = np.array([stood_east, stood_north, stood_up])
        own_velocity = STILL
    plot = tracker.Detection(
        sensor=detection.sensor,
        modality="VISION"
        if detection.sensor == "vision"
        else MODALITIES.get(detection.modality, "UNKNOWN"),
        time=time,
        bearing=bearing,
        bearing_sigma=bearing_std,
        alternative_bearing=alternative,
        elevation=elevation,
        elevation_sigma=elevation_std,
        range=slant,
        range_sigma=slant_std,
        range_rate=range_rate,
        range_rate_sigma=range_rate_std,
        frequency=frequency,
        bandwidth=bandwidth,
        rssi=rssi,
        apparent_size=_larger(width, height),
        sound_level=sound_level,
        key=detection.sensor_track_id,
        label=detection.label,
        confidence=detection.confidence,
        own_position=own_position,
        own_velocity=own_velocity,
    )
    if math.isfinite(east) and math.isfinite(north):
        plot.position = np.array([east, north, up])
        plot.position_covariance = np.array(numbers[12:21]).reshape(3, 3)
    velocity = numbers[21:24]
    if math.isfinite(velocity[0]) and math.isfinite(velocity[1]):
        plot.velocity = np.array(velocity)
        variance = 0.5 * (numbers[24] + numbers[28])
        plot.velocity_sigma = math.sqrt(variance) if variance > 0.0 else math.nan
    return plot


def _larger(one: float, other: float) -> float:
    """Return the larger of two numbers, of which either may be unknown."""
    if math.isnan(one):
        return other
    return one if math.isnan(other) else max(one, other)


def to_packed_track(view: tracker.TrackView, stamp: tuple[int, int]) -> PackedTrack:
    """Return a track of the tracker as it goes on the wire.

    Args:
        view: the track.
        stamp: (seconds, nanoseconds) that it stands for.
    """
    packed = body(
        view.numbers.tobytes(),
        _RANGE_METHODS[view.range_method],
        view.range_observed,
        view.existence,
        packed_words(view, view.reason),
    )
    identity = bytes.fromhex(view.id.replace("-", ""))
    return PackedTrack(stamp, identity, view.number, int(view.state), packed)


def packed_words(track: Said | tracker.TrackView, reason: str) -> bytes:
    """Return what is said of a track as it goes on the wire: its body from ``reason`` on."""
    return said(
        reason=reason,
        object_class=OBJECT_CLASSES.get(track.label.lower(), Track.CLASS_UNKNOWN),
        label=track.label,
        lasting=(track.label_probability, track.rssi),
        sensors=track.sensors,
        sensor_track_ids=tuple(sorted(track.keys)),
        frequencies=track.frequencies,
        stamps=(*stamp_of(track.first_seen), *stamp_of(track.last_updated)),
        detection_count=track.detection_count,
    )


def to_evidence(entry: tracker.LedgerEntry) -> Evidence:
    """Return one entry of a track's ledger as a message."""
    return Evidence(
        stamp=to_time(entry.time),
        sensor=entry.sensor,
        kind=_EVIDENCE_KINDS.get(entry.kind, Evidence.KIND_UNKNOWN),
        delta_log_odds=entry.delta_log_odds,
        log_odds=entry.log_odds_after,
        text=entry.text,
    )


def to_readings(detection: PackedDetection) -> list[Reading]:
    """Return what of a detection falls with range."""
    frequency, _, rssi, sound_level, width, height = detection.numbers[36:]
    known = [(Cue.POWER, normalised_power(rssi, frequency)), (Cue.SOUND, sound_level)]
    size = _larger(width, height)
    if size > 0.0:
        known.append((Cue.SIZE, math.log(size)))
    source = detection.sensor
    if detection.sensor_track_id:
        source = f"{detection.sensor}:{detection.sensor_track_id}"
    bearing, bearing_std = detection.numbers[:2]
    return [
        Reading(detection.time, source, cue, value, bearing, bearing_std)
        for cue, value in known
        if math.isfinite(value)
    ]


def to_sighting(track: PackedTrack) -> Sighting:
    """Return a track as the ranging takes it."""
    bearing, bearing_std, _, _, slant, slant_std, method, observed = track.angles_and_range
    return Sighting(
        id=track.id.hex(),
        time=track.time,
        bearing=bearing,
        bearing_sigma=bearing_std,
        range=slant,
        range_sigma=slant_std,
        measured=bool(observed) and method == Track.RANGE_MEASURED,
        triangulated=bool(observed) and method == Track.RANGE_TRIANGULATED,
        sources=track.sensor_track_ids,
        sensors=track.sensors,
    )


def set_ranges(
    tracks: Sequence[PackedTrack],
    estimates: Sequence[RangeEstimate],
    own_position: NDArray[np.float64],
) -> None:
    """Give tracks ranges, and the places and covariances that follow from them.

    A place lies on its track's own bearing, as uncertain along it as the range is.

    Args:
        tracks: changed in place.
        estimates: one for each, of a range that readings tell.
        own_position: (3,) of the own-ship at the tracks' time, in map.
    """
    if not tracks:
        return
    angles = np.array([track.angles_and_range[:4] for track in tracks])
    bearing, bearing_std, elevation, elevation_std = angles.T
    slant, sigma = np.array([(e.range, e.sigma) for e in estimates]).T
    up = np.where(np.isfinite(elevation), elevation, 0.0)
    sin_b, cos_b, sin_e, cos_e = np.sin(bearing), np.cos(bearing), np.sin(up), np.cos(up)
    along = np.stack([sin_b * cos_e, cos_b * cos_e, sin_e], axis=1)
    across = np.stack([cos_b, -sin_b, np.zeros(len(tracks))], axis=1)
    lift = np.stack([-sin_b * sin_e, -cos_b * sin_e, cos_e], axis=1)
    covariance = np.frombuffer(b"".join(track.packed_covariance for track in tracks), "<f8")
    covariance = covariance.reshape(-1, 6, 6).copy()
    covariance[:, :3, :] = 0.0
    covariance[:, :, :3] = 0.0
    place = covariance[:, :3, :3]
    for axis, width in ((across, bearing_std), (lift, elevation_std)):
        known = np.where(np.isfinite(width), np.minimum(width, 1.0), math.pi / 4.0)
        place += (axis[:, :, None] * axis[:, None, :]) * ((slant * known) ** 2)[:, None, None]
    place += (along[:, :, None] * along[:, None, :]) * (sigma**2)[:, None, None]
    places = (own_position + slant[:, None] * along).tolist()
    packed = covariance.tobytes()
    size = len(packed) // len(tracks)
    for number, (track, estimate) in enumerate(zip(tracks, estimates, strict=True)):
        methods = [_RANGE_METHODS[name] for name in estimate.methods]
        track.set_range(
            (estimate.range, estimate.sigma),
            methods[0] if len(methods) == 1 else Track.RANGE_COMBINED,
            estimate.observed,
            places[number],
            packed[size * number : size * (number + 1)],
        )
