# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What all parts of the tracker share: its state, its settings, and its names."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from .arrays import indices
from .arrivals import Arrivals
from .bank import TrackBank
from .detection import Detection, DetectionBatch
from .identity import KeyTable
from .parameters import TrackerParameters
from .sensors import SensorState
from .types import FloatArray, IntArray
from .update import Dynamics

BEARING_COMPONENTS = 10
MOST_SENSORS = 200
MOST_LABELS = 500
_NAMESPACE = uuid.UUID("6f1d9a52-2f0c-5c1e-9f6b-7a4f3a5d1e10")
_Origin = tuple[str, int, float, float, str, str, tuple[str, str] | str]


@dataclass
class State:
    """Everything that a late detection may have to undo."""

    time: float
    kinematic: TrackBank
    bearings: TrackBank
    keys: KeyTable
    sensors: list[SensorState]
    own_time: float
    own_position: FloatArray
    own_velocity: FloatArray
    last_merge: float = -math.inf

    def copy(self) -> State:
        """Return an independent copy."""
        return replace(
            self,
            kinematic=self.kinematic.copy(),
            bearings=self.bearings.copy(),
            keys=self.keys.copy(),
            sensors=[sensor.copy() for sensor in self.sensors],
        )


class Core:
    """State and settings; names of sensors, keys and labels by number; identities of tracks.

    The state can be taken back to an earlier one; the names only grow, so that they need no
    undoing, until `forget` drops those that nothing refers to any more.

    Attributes:
        state: what a late detection may have to undo.
        motion, drift: how kinematic and bearing-only tracks move.
        sensor_names, key_names, label_names: by number; a key is (sensor, key).
        key_cameras: by number of the key, the camera that tells its objects apart; "" none.
        sensor_index: numbers of sensors by name.
        numbered: sensors that number what they measure the range of.
        arrivals: how late detections come; ``now``, the time up to which they have come.
    """

    def __init__(self, parameters: TrackerParameters) -> None:
        self.parameters = p = parameters
        self.counters: Counter[str] = Counter()
        self.arrivals = Arrivals(p.max_lateness)
        self.now = -math.inf
        self.sensor_names: list[str] = []
        self.sensor_index: dict[str, int] = {}
        self.numbered: set[int] = set()
        self.key_names: list[tuple[str, str]] = []
        self.key_index: dict[tuple[str, str], int] = {}
        self.key_cameras: list[str] = []
        self.label_names: list[str] = []
        self.label_index: dict[str, int] = {}
        self._modality: list[str] = []
        self._serial: dict[_Origin, int] = {}
        self._newest_serial = 0
        self._origins: dict[int, _Origin] = {}
        self._ids: dict[int, str] = {}
        self._display: dict[int, int] = {}
        self._newest_display = 0
        self._widened = (0, 0, 0)
        self.motion = Dynamics(
            density=np.square(
                [p.acceleration_cruise, p.acceleration_turn, p.acceleration_manoeuvre]
            ),
            vertical=p.acceleration_vertical**2,
            dwell=np.array([p.dwell_cruise, p.dwell_turn, p.dwell_manoeuvre]),
            lowest=p.lowest,
        )
        self.drift = Dynamics(
            density=np.full(BEARING_COMPONENTS, p.bearing_acceleration**2),
            vertical=p.acceleration_vertical**2,
            dwell=None,
            lowest=p.lowest,
        )
        self.state = State(
            time=-math.inf,
            kinematic=TrackBank(len(self.motion.density), p.ledger_length),
            bearings=TrackBank(BEARING_COMPONENTS, p.ledger_length),
            keys=KeyTable(),
            sensors=[],
            own_time=-math.inf,
            own_position=np.zeros(3),
            own_velocity=np.zeros(3),
        )

    # Names.

    def register(self, detection: Detection) -> bool:
        """Give numbers to the names in a detection; False when there are too many sensors."""
        name = detection.sensor
        if name not in self.sensor_index:
            if len(self.sensor_names) >= MOST_SENSORS:
                return False
            self.sensor_index[name] = len(self.sensor_names)
            self.sensor_names.append(name)
            self._modality.append(detection.modality)
        if detection.key:
            if math.isfinite(detection.range):
                self.numbered.add(self.sensor_index[name])
            key = (name, detection.key)
            if key not in self.key_index:
                self.key_index[key] = len(self.key_names)
                self.key_names.append(key)
                self.key_cameras.append(_camera_of(detection))
        label = detection.label
        if label and label not in self.label_index and len(self.label_names) < MOST_LABELS:
            self.label_index[label] = len(self.label_names)
            self.label_names.append(label)
        names = (len(self.sensor_names), len(self.key_names), len(self.label_names))
        if names != self._widened:
            self.widen()
        return True

    def widen(self) -> None:
        """Make room in the state for all names."""
        state = self.state
        while len(state.sensors) < len(self.sensor_names):
            index = len(state.sensors)
            model = self.parameters.sensor_model(self.sensor_names[index], self._modality[index])
            state.sensors.append(SensorState(model, numbered=index in self.numbered))
        for bank in (state.kinematic, state.bearings):
            bank.widen(len(self.sensor_names), len(self.label_names))
        state.keys.grow(len(self.key_names))
        self._widened = (len(self.sensor_names), len(self.key_names), len(self.label_names))

    def key_of(self, detection: Detection) -> int:
        """Return the number of a detection's key, -1 for none."""
        return self.key_index[detection.sensor, detection.key] if detection.key else -1

    def label_of(self, detection: Detection) -> int:
        """Return the number of a detection's label, -1 for none."""
        return self.label_index.get(detection.label, -1)

    # Identities of tracks.

    def serials(self, batch: DetectionBatch, kind: str) -> IntArray:
        """Return serial numbers of new tracks; the same first detection gives the same."""
        numbers = []
        for row in range(len(batch)):
            key = int(batch.key[row])
            origin = (
                kind,
                batch.sensor,
                float(batch.time[row]),
                float(batch.bearing[row]),
                repr(float(batch.range[row])),
                repr(float(batch.position[row, 0])),
                self.key_names[key] if key >= 0 else "",
            )
            serial = self._serial.get(origin)
            if serial is None:
                self._newest_serial = serial = self._newest_serial + 1
                self._serial[origin] = serial
                self._origins[serial] = origin
            numbers.append(serial)
        return np.array(numbers, dtype=np.int64)

    def confirmed(self, serial: int) -> None:
        """Give a track its short number, once."""
        if serial not in self._display:
            self._newest_display += 1
            self._display[serial] = self._newest_display

    def id_of(self, serial: int) -> str:
        """Return the UUID string of a serial number."""
        known = self._ids.get(serial)
        if known is None:
            # Most plots begin a track that nobody ever asks the identity of.
            _, sensor, *first = self._origins[serial]
            text = f"{serial}:{self.sensor_names[sensor]}:{tuple(first)!r}"
            known = self._ids[serial] = str(uuid.uuid5(_NAMESPACE, text))
        return known

    def number_of(self, serial: int) -> int:
        """Return the short number of a serial number; 0 before confirmation."""
        return self._display.get(serial, 0)

    # A year of names.

    @property
    def names_held(self) -> int:
        """How many keys and identities are remembered."""
        return max(len(self.key_names), len(self._origins))

    def forget(self) -> None:
        """Drop the keys and identities that no track and no recent emitter refers to.

        The numbers of keys change: earlier states are of no use afterwards.
        """
        state = self.state
        table = state.keys
        banks = (state.kinematic, state.bearings)
        recent = state.time - table.time < self.parameters.emitter_memory
        alive = np.concatenate([bank.number for bank in banks])
        kept = recent | np.isin(table.track, alive) | np.isin(table.own, alive)
        rows = indices(kept[: len(self.key_names)])
        place = np.full(len(table) + 1, -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        table.keep_keys(rows)
        self.key_names = [self.key_names[row] for row in rows.tolist()]
        self.key_cameras = [self.key_cameras[row] for row in rows.tolist()]
        self.key_index = {name: index for index, name in enumerate(self.key_names)}
        self._widened = (-1, -1, -1)
        for bank in banks:
            bank.key = np.where(bank.key >= 0, place[bank.key], -1)
        named = {*alive.tolist(), *table.own.tolist(), *table.track.tolist()}
        self._origins = {s: origin for s, origin in self._origins.items() if s in named}
        self._ids = {s: text for s, text in self._ids.items() if s in named}
        self._display = {s: number for s, number in self._display.items() if s in named}
        self._serial = {origin: s for origin, s in self._serial.items() if s in named}


def _camera_of(detection: Detection) -> str:
    """Return the name of the camera that numbers its objects so; "" for no camera.

    Two boxes in one picture are two objects, where a drone may have two radio links. One sensor
    with a camera for light and one for heat numbers the objects of each, and often says so in the
    letters that a key begins with.
    """
    if detection.modality not in ("EO", "IR", "VISION"):
        return ""
    letters = detection.key.rstrip("0123456789")
    return f"{detection.sensor} {detection.modality} {letters}"


def rows_of(bank: TrackBank, serial: IntArray) -> IntArray:
    """Return the bank rows of serial numbers, -1 where there is none."""
    result: IntArray = np.full(len(serial), -1, dtype=np.int64)
    if len(bank) and len(serial):
        order = np.argsort(bank.number, kind="stable")
        place = np.searchsorted(bank.number[order], serial)
        candidate = order[np.minimum(place, len(order) - 1)]
        result = np.where(bank.number[candidate] == serial, candidate, -1)
    return result
