# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Between the box's messages and the tracker's own types."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from thebox_core.messages import MODALITIES, seconds, to_time
from thebox_core.packed import Body, PackedTrack, body, stamp_of
from thebox_fusion import tracker
from thebox_fusion.ranging import Cue, RangeEstimate, Reading, Sighting, normalised_power
from thebox_fusion.tracker.ranging import RANGE_METHODS
from thebox_interfaces.msg import Detection, Evidence, Track

__all__ = [
    "OBJECT_CLASSES",
    "RANGE_CODES",
    "set_range",
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
    message: Detection,
    time: float,
    own_position: NDArray[np.float64],
    own_velocity: NDArray[np.float64],
) -> tracker.Detection:
    """Return a Detection message as the tracker takes it.

    Args:
        message: as a driver published it.
        time: of measurement, seconds.
        own_position: (3,) of the own-ship then, in map; used where the sensor did not say where
            it stood.
        own_velocity: (3,) of the own-ship then, in map.
    """
    stood = message.sensor_position
    if math.isfinite(stood.x) and math.isfinite(stood.y):
        up = stood.z if math.isfinite(stood.z) else own_position[2]
        own_position = np.array([stood.x, stood.y, up])
        own_velocity = np.zeros(3)
    plot = tracker.Detection(
        sensor=message.sensor,
        modality="VISION"
        if message.sensor == "vision"
        else MODALITIES.get(message.modality, "UNKNOWN"),
        time=time,
        bearing=message.bearing,
        bearing_sigma=message.bearing_std,
        alternative_bearing=message.bearing_alternative,
        elevation=message.elevation,
        elevation_sigma=message.elevation_std,
        range=message.range,
        range_sigma=message.range_std,
        range_rate=message.range_rate,
        range_rate_sigma=message.range_rate_std,
        frequency=message.frequency,
        bandwidth=message.bandwidth,
        rssi=message.rssi,
        apparent_size=_larger(message.angular_width, message.angular_height),
        sound_level=message.sound_level,
        key=message.sensor_track_id,
        label=message.label,
        confidence=message.confidence,
        own_position=own_position,
        own_velocity=own_velocity,
    )
    position, velocity = message.position, message.velocity
    if math.isfinite(position.x) and math.isfinite(position.y):
        plot.position = np.array([position.x, position.y, position.z])
        plot.position_covariance = np.asarray(message.position_covariance).reshape(3, 3)
    if math.isfinite(velocity.x) and math.isfinite(velocity.y):
        plot.velocity = np.array([velocity.x, velocity.y, velocity.z])
        east, north = message.velocity_covariance[0], message.velocity_covariance[4]
        variance = 0.5 * (east + north)
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
    fields = Body(
        numbers=view.numbers.tobytes(),
        range_method=_RANGE_METHODS[view.range_method],
        range_observed=view.range_observed,
        confidence=view.existence,
        reason=view.reason,
        object_class=OBJECT_CLASSES.get(view.label.lower(), Track.CLASS_UNKNOWN),
        label=view.label,
        class_probability=view.label_probability,
        sensors=view.sensors,
        sensor_track_ids=sorted(view.keys),
        frequencies=view.frequencies,
        rssi=view.rssi,
        first_seen=stamp_of(view.first_seen),
        last_updated=stamp_of(view.last_updated),
        detection_count=view.detection_count,
    )
    identity = bytes.fromhex(view.id.replace("-", ""))
    return PackedTrack(stamp, identity, view.number, int(view.state), body(fields))


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


def to_readings(message: Detection) -> list[Reading]:
    """Return what of a Detection falls with range."""
    known = [
        (Cue.POWER, normalised_power(message.rssi, message.frequency)),
        (Cue.SOUND, message.sound_level),
    ]
    size = _larger(message.angular_width, message.angular_height)
    if size > 0.0:
        known.append((Cue.SIZE, math.log(size)))
    source = message.sensor
    if message.sensor_track_id:
        source = f"{message.sensor}:{message.sensor_track_id}"
    return [
        Reading(
            seconds(message.header.stamp), source, cue, value, message.bearing, message.bearing_std
        )
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


def set_range(
    track: PackedTrack, estimate: RangeEstimate, own_position: NDArray[np.float64]
) -> None:
    """Give a track a range, and the place and covariance that follow from it.

    The place lies on the track's own bearing, as uncertain along it as the range is.

    Args:
        track: changed in place.
        estimate: of a range that readings tell.
        own_position: (3,) of the own-ship at the track's time, in map.
    """
    slant, sigma = estimate.range, estimate.sigma
    methods = [_RANGE_METHODS[name] for name in estimate.methods]
    bearing, bearing_std, elevation, elevation_std, *_ = track.angles_and_range
    up = elevation if math.isfinite(elevation) else 0.0
    sin_b, cos_b = math.sin(bearing), math.cos(bearing)
    sin_e, cos_e = math.sin(up), math.cos(up)
    along = np.array([sin_b * cos_e, cos_b * cos_e, sin_e])
    across = np.array([cos_b, -sin_b, 0.0])
    lift = np.array([-sin_b * sin_e, -cos_b * sin_e, cos_e])
    spread = np.zeros((3, 3))
    for axis, width in zip((across, lift), (bearing_std, elevation_std), strict=True):
        known = width if math.isfinite(width) else math.pi / 4.0
        spread += np.outer(axis, axis) * (slant * min(known, 1.0)) ** 2
    spread += np.outer(along, along) * sigma**2
    covariance = np.array(track.covariance).reshape(6, 6)
    covariance[:3, :] = 0.0
    covariance[:, :3] = 0.0
    covariance[:3, :3] = spread
    track.set_range(
        (slant, sigma),
        methods[0] if len(methods) == 1 else Track.RANGE_COMBINED,
        estimate.observed,
        (own_position + slant * along).tolist(),
        covariance.tobytes(),
    )
