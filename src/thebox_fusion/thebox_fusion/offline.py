# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The tracker over a file, without ROS: ``python -m thebox_fusion.offline IN OUT [--params FILE]``.

IN holds one detection a line as a JSON object: ``sensor``, ``t``, ``bearing_rad``,
``bearing_sigma_rad``, ``own_east_m``, ``own_north_m`` and, where known, ``alt_bearing_rad``,
``range_m`` (slant), ``range_sigma_m``, ``elevation_rad``, ``elevation_sigma_rad``, ``rssi_dbm``,
``frequency_hz``, ``key``, ``confidence``; further ``modality``, ``own_up_m``, ``label``,
``range_rate_mps``, ``range_rate_sigma_mps``, ``bandwidth_hz``, ``apparent_size_rad``,
``sound_level_db``. Lines may come in any order: they are used in the order of ``t``. With
``--as-arrived`` their order is that of arrival, and late ones are used as they come.

OUT holds one line a second: ``{"t": 12.0, "tracks": [[id, east_m, north_m], ...], "bearings":
[[id, bearing_rad, bearing_sigma_rad], ...]}``: confirmed tracks whose position is known, and
confirmed tracks of which only the bearing is. The line for t uses no detection later than t (with
``--as-arrived`` none either that comes after a line of IN that is later than t): without what is
later than t, everything up to t is the same.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from .tracker import Detection, Tracker, TrackerParameters, parameters_from_mapping
from .tracker.detection import MODALITIES

MODALITY_OF = {
    "dspnor": "RADAR",
    "droneshield": "RF",
    "silvus": "RF",
    "mara": "EO",
    "trakka": "EO",
    "vision": "VISION",
}
_NUMBERS = {
    "bearing_rad": "bearing",
    "bearing_sigma_rad": "bearing_sigma",
    "alt_bearing_rad": "alternative_bearing",
    "elevation_rad": "elevation",
    "elevation_sigma_rad": "elevation_sigma",
    "range_m": "range",
    "range_sigma_m": "range_sigma",
    "range_rate_mps": "range_rate",
    "range_rate_sigma_mps": "range_rate_sigma",
    "rssi_dbm": "rssi",
    "frequency_hz": "frequency",
    "bandwidth_hz": "bandwidth",
    "confidence": "confidence",
    "apparent_size_rad": "apparent_size",
    "sound_level_db": "sound_level",
}
_OWN = ("own_east_m", "own_north_m", "own_up_m")
# Of a sensor under an unknown name, what it reports tells its kind; the first that fits.
_TELLING = (
    (("range_m", "range_rate_mps"), "RADAR"),
    (("key", "alt_bearing_rad", "rssi_dbm", "frequency_hz"), "RF"),
    (("sound_level_db",), "ACOUSTIC"),
    (("elevation_rad", "apparent_size_rad"), "EO"),
)
LONGEST_GAP = 3600.0
"""Seconds: a recording has no longer gap; what lies beyond one has a wrong time."""


def _number(record: dict[str, Any], name: str, default: float = math.nan) -> float:
    value = record.get(name)
    if type(value) is float:
        return value
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} is not a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is beyond any number") from None


def _modality(sensor: str, record: dict[str, Any]) -> str:
    """Return the kind of a sensor: as given, by its name, or by what it measures."""
    given = str(record.get("modality") or "").upper()
    if given in MODALITIES:
        return given
    known = MODALITY_OF.get(sensor.lower())
    if known is not None:
        return known
    for names, modality in _TELLING:
        if any(record.get(name) not in (None, "") for name in names):
            return modality
    return "UNKNOWN"


def detection_of(line: str) -> Detection:
    """Return the detection of one line.

    Raises:
        ValueError: not a JSON object, no sensor or time, or a field that is not a number.
    """
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:
        raise ValueError("a number of thousands of digits") from None
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    return detection_of_record(record)


def detection_of_record(record: dict[str, Any]) -> Detection:
    """Return the detection of one JSON object; ValueError as `detection_of`."""
    sensor = record.get("sensor")
    if not isinstance(sensor, str) or not sensor:
        raise ValueError("sensor is missing")
    if record.get("t") is None:
        raise ValueError("t is missing")
    time = _number(record, "t")
    if not math.isfinite(time):
        raise ValueError("t is not finite")
    values: dict[str, Any] = {}
    for name, value in record.items():
        field = _NUMBERS.get(name)
        if field is not None:
            values[field] = value if type(value) is float else _number(record, name)
    own = np.array([_number(record, name, 0.0) for name in _OWN])
    key = record.get("key")
    return Detection(
        sensor=sensor,
        modality=_modality(sensor, record),
        time=time,
        key="" if key is None else str(key),
        label=str(record.get("label") or ""),
        own_position=own,
        **values,
    )


def read_detections(lines: Iterator[str] | TextIO) -> tuple[list[Detection], dict[str, int]]:
    """Return all readable detections in file order, and the rejected lines by reason."""
    detections: list[Detection] = []
    rejected: dict[str, int] = {}
    for line in lines:
        if not line.strip():
            continue
        try:
            detections.append(detection_of(line))
        except ValueError as error:
            reason = "not JSON" if isinstance(error, json.JSONDecodeError) else str(error)
            rejected[reason] = rejected.get(reason, 0) + 1
    return detections, rejected


def one_recording(detections: Sequence[Detection]) -> list[Detection]:
    """Return the detections of one recording, in file order.

    A single wrong stamp, years away, would make a line for each second of those years. So what
    gaps of `LONGEST_GAP` divide is not one recording: the part with most detections is.
    """
    times = sorted(d.time for d in detections if math.isfinite(d.time))
    if not times or times[-1] - times[0] <= LONGEST_GAP:
        return [d for d in detections if math.isfinite(d.time)]
    edges = [i for i in range(1, len(times)) if times[i] - times[i - 1] > LONGEST_GAP]
    parts = list(zip([0, *edges], [*edges, len(times)], strict=True))
    begin, end = max(parts, key=lambda part: part[1] - part[0])
    return [d for d in detections if times[begin] <= d.time <= times[end - 1]]


def pictures(
    detections: Sequence[Detection],
    parameters: TrackerParameters | None = None,
    *,
    as_arrived: bool = False,
) -> Iterator[tuple[float, Tracker]]:
    """Run the tracker; yield (t, tracker advanced to t) at every whole second.

    Times begin at 0, or at the first detection's second when that is an hour or more away, and
    end with the second of the last detection.

    Args:
        detections: of one recording, see `one_recording`.
        parameters: of the tracker.
        as_arrived: their order is that of arrival, and late ones are late; otherwise each is
            there at its own time.
    """
    tracker = Tracker(parameters)
    usable = [d for d in detections if math.isfinite(d.time)]
    if not usable:
        return
    if not as_arrived:
        usable.sort(key=lambda d: d.time)
    first = min(d.time for d in usable)
    last = math.ceil(max(d.time for d in usable))
    second = 0.0 if 0.0 <= first < 3600.0 else float(math.ceil(first))
    queue: list[Detection] = []
    for detection in usable:
        while detection.time > second:
            tracker.add(queue)
            queue = []
            tracker.advance(second)
            yield second, tracker
            second += 1.0
        queue.append(detection)
    tracker.add(queue)
    while second <= last:
        tracker.advance(second)
        yield second, tracker
        second += 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m thebox_fusion.offline", description="Run the tracker over a file."
    )
    parser.add_argument("detections", type=Path, help="detections, one JSON object a line")
    parser.add_argument("tracks", type=Path, help="tracks are written here, one line a second")
    parser.add_argument("--params", type=Path, help="tracker parameters as a JSON object")
    parser.add_argument(
        "--as-arrived", action="store_true", help="the order of the lines is that of arrival"
    )
    options = parser.parse_args(arguments)
    try:
        parameters = TrackerParameters()
        if options.params is not None:
            parameters = parameters_from_mapping(json.loads(options.params.read_text("utf-8")))
        # A byte that is no UTF-8 spoils its line, not the file.
        with options.detections.open(encoding="utf-8-sig", errors="replace") as source:
            read, rejected = read_detections(source)
    except (OSError, ValueError) as error:
        print(f"offline: {error}; check the file and run again", file=sys.stderr)
        return 2
    detections = one_recording(read)
    if len(detections) < len(read):
        rejected["t is an hour or more from most of the others"] = len(read) - len(detections)
    tracker = Tracker(parameters)
    with options.tracks.open("w", encoding="utf-8") as target:
        for second, tracker in pictures(detections, parameters, as_arrived=options.as_arrived):
            positions, bearings = tracker.picture(second)
            target.write(
                json.dumps({"t": second, "tracks": positions, "bearings": bearings}) + "\n"
            )
    for reason, count in sorted(rejected.items()):
        print(f"offline: {count} lines rejected: {reason}", file=sys.stderr)
    for name, count in sorted(tracker.counters.items()):
        print(f"offline: {name}: {count}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
