# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What was really there, from files: GPX, CSV (also a drone's log) and JSON lines. No ROS.

Places are WGS-84 degrees, or metres in the box's map (east, north, up). Times are seconds since
1970 or ISO 8601; a file that counts from its own zero is moved to a given beginning.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

__all__ = ["Path3", "TruthError", "load_truth"]

FloatArray = npt.NDArray[np.float64]
ToMap = Callable[[float, float, float], tuple[float, float, float]]

_LONGEST_GAP = 5.0  # seconds between two points over which a place is drawn through
_RELATIVE = 1e8  # a time below this is no date of ours: it counts from the file's own zero
#: Names that drones' logs give to their columns (DJI, ArduPilot, PX4, Litchi, plain).
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "time": ("time", "timestamp", "t", "datetime", "datetime(utc)", "time(utc)", "utc"),
    "lat": ("lat", "latitude", "latitude_deg"),
    "lon": ("lon", "lng", "longitude", "longitude_deg"),
    "alt": ("alt", "altitude", "ele", "elevation", "altitude(m)", "alt_m", "altitude_m"),
    "east": ("east", "east_m", "x"),
    "north": ("north", "north_m", "y"),
    "up": ("up", "up_m", "z"),
    "id": ("id", "object", "drone", "serial", "name"),
    "class": ("class", "object_class", "kind"),
}


class TruthError(ValueError):
    """A truth that cannot be used; the text says why and what is expected."""


@dataclass
class Path3:
    """Where one object was: times (N,), seconds, rising, and places (N, 3), map, metres."""

    id: str
    object_class: str = "drone"
    times: list[float] = field(default_factory=list)
    places: list[tuple[float, float, float]] = field(default_factory=list)

    def add(self, time: float, place: tuple[float, float, float]) -> None:
        """Add a point; one that is not later than the last is left out."""
        if not self.times or time > self.times[-1]:
            self.times.append(time)
            self.places.append(place)

    def at(self, time: float) -> FloatArray | None:
        """Place at a time, (3,), between its neighbours; None where it was not there."""
        index = int(np.searchsorted(self.times, time))
        if index < len(self.times) and self.times[index] == time:
            return np.array(self.places[index])
        if index == 0 or index == len(self.times):
            near = index - 1 if index else 0
            return np.array(self.places[near]) if abs(self.times[near] - time) <= 0.5 else None
        before, after = self.times[index - 1], self.times[index]
        if after - before > _LONGEST_GAP:
            return None
        share = (time - before) / (after - before)
        a, b = np.array(self.places[index - 1]), np.array(self.places[index])
        return np.asarray(a + share * (b - a))


def _time(text: str) -> float:
    text = text.strip()
    try:
        value = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return moment.timestamp()
    # Milliseconds and microseconds since 1970, as logs have them.
    return value / 1e6 if value > 1e14 else value / 1e3 if value > 1e11 else value


class _Gathering:
    def __init__(self, path: Path, to_map: ToMap | None, begin: float) -> None:
        self._path = path
        self._to_map = to_map
        self._begin = begin
        self._found: dict[str, Path3] = {}
        self._offset: float | None = None

    def moment(self, time: float) -> float:
        if self._offset is None:
            self._offset = self._begin if time < _RELATIVE else 0.0
        return time + self._offset

    def geodetic(self, lat: float, lon: float, alt: float) -> tuple[float, float, float]:
        if self._to_map is None:
            raise TruthError(
                f"{self._path} gives latitude and longitude, and the recording does not say where "
                "the map's origin is: give it with --datum LAT,LON,ALT"
            )
        if not (-90 <= lat <= 90 and -180 <= lon <= 180):
            raise TruthError(f"{self._path}: {lat}, {lon} is no place on Earth")
        return self._to_map(math.radians(lat), math.radians(lon), alt)

    def add(self, name: str, kind: str, time: float, place: tuple[float, float, float]) -> None:
        self._found.setdefault(name, Path3(name, kind)).add(self.moment(time), place)

    def done(self) -> list[Path3]:
        if not self._found:
            raise TruthError(f"{self._path} holds no place of any object")
        return [self._found[name] for name in sorted(self._found)]


def load_truth(path: Path, to_map: ToMap | None, begin: float) -> list[Path3]:
    """Read a file by its suffix: .gpx, .csv (or .txt), .jsonl (or .json, .ndjson).

    Args:
        path: of the file.
        to_map: (latitude, longitude in radians, altitude) -> map; None: not known.
        begin: seconds since 1970 that a file's own zero stands for.

    Raises:
        TruthError: it cannot be read, or is not what its suffix says.
    """
    readers = {
        ".gpx": _gpx,
        ".csv": _csv,
        ".txt": _csv,
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".json": _json_lines,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise TruthError(f"{path}: a truth is .gpx, .csv or .jsonl, or the recording's own")
    gathering = _Gathering(path, to_map, begin)
    try:
        reader(path, gathering)
    except OSError as error:
        raise TruthError(f"cannot read {path}: {error.strerror}") from None
    except TruthError:
        raise
    except (ValueError, KeyError, TypeError, csv.Error, ElementTree.ParseError) as error:
        raise TruthError(f"{path} is not what it should be: {error}") from error
    return gathering.done()


def _gpx(path: Path, into: _Gathering) -> None:
    # The operator's own file; expat bounds entity expansion (2.4.1 and later).
    root = ElementTree.parse(path).getroot()  # noqa: S314

    def local(element: ElementTree.Element) -> str:
        return element.tag.rpartition("}")[2]

    def child(element: ElementTree.Element, name: str) -> str:
        return next((e.text or "" for e in element if local(e) == name), "")

    for number, track in enumerate(e for e in root.iter() if local(e) == "trk"):
        name = child(track, "name") or f"track {number + 1}"
        for point in (e for e in track.iter() if local(e) == "trkpt"):
            when = child(point, "time")
            if not when:
                raise TruthError(f"{path}: a point of '{name}' has no time")
            place = into.geodetic(
                float(point.attrib["lat"]),
                float(point.attrib["lon"]),
                float(child(point, "ele") or 0.0),
            )
            into.add(name, "drone", _time(when), place)


def _csv(path: Path, into: _Gathering) -> None:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        names = {name.strip().lower(): name for name in rows.fieldnames or ()}
        columns = {
            key: names[next(n for n in known if n in names)]
            for key, known in _COLUMNS.items()
            if any(n in names for n in known)
        }
        in_map = {"east", "north"} <= set(columns) and "lat" not in columns
        missing = {"time", *(() if in_map else ("lat", "lon"))} - set(columns)
        if missing:
            raise TruthError(
                f"{path} lacks a column for {' and '.join(sorted(missing))}; its columns are "
                f"{', '.join(names) or 'none'}"
            )
        for row in rows:
            _csv_row(row, columns, in_map, into)


def _csv_row(
    row: Mapping[str, str], columns: Mapping[str, str], in_map: bool, into: _Gathering
) -> None:
    def number(key: str, otherwise: float) -> float:
        text = (row.get(columns.get(key, "")) or "").strip()
        return float(text) if text else otherwise

    when = (row.get(columns["time"]) or "").strip()
    if not when:
        return
    name = (row.get(columns.get("id", "")) or "").strip() or "drone"
    kind = (row.get(columns.get("class", "")) or "").strip() or "drone"
    if in_map:
        place = (number("east", math.nan), number("north", math.nan), number("up", 0.0))
    else:
        lat, lon = number("lat", math.nan), number("lon", math.nan)
        if math.isnan(lat) or math.isnan(lon) or (lat == 0.0 and lon == 0.0):
            return  # a log before its first fix
        place = into.geodetic(lat, lon, number("alt", 0.0))
    if math.isfinite(place[0]) and math.isfinite(place[1]):
        into.add(name, kind, _time(when), place)


def _json_lines(path: Path, into: _Gathering) -> None:
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.strip():
                continue
            entry = json.loads(line)
            time = _time(str(entry["t"] if "t" in entry else entry["time"]))
            for name, kind, place in _json_objects(entry, into):
                into.add(name, kind, time, place)


def _json_objects(
    entry: Mapping[str, object], into: _Gathering
) -> Iterable[tuple[str, str, tuple[float, float, float]]]:
    objects = entry.get("objects")
    if isinstance(objects, list):
        # As the simulated sky writes it: [id, east, north, up, class].
        for one in objects:
            yield str(one[0]), str(one[4]), (float(one[1]), float(one[2]), float(one[3]))
        return
    name, kind = str(entry.get("id", "drone")), str(entry.get("class", "drone"))

    def number(key: str) -> float:
        return float(str(entry.get(key, 0.0)))

    if "lat" in entry:
        yield name, kind, into.geodetic(number("lat"), number("lon"), number("alt"))
    else:
        if "east" not in entry:
            raise TruthError("a line has neither lat and lon nor east and north")
        yield name, kind, (number("east"), number("north"), number("up"))
