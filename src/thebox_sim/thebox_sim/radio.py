# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Radio emitters: bands and hopping, and how strongly they are heard.

Received power follows the log-distance law (T. S. Rappaport, Wireless Communications, 2nd ed.,
eq. 4.69a): ``P(d) = EIRP - L0(f) - 10 n log10(d / 1 m) + X``, with the free-space loss at one metre
``L0 = 20 log10(f / MHz) - 27.55`` dB (Friis) and a slowly varying shadowing ``X`` in dB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from thebox_sim.config import setting

# Channel centres in hertz. The 2.4 and 5.8 GHz grids are those seen in captures of real links.
BANDS: dict[str, tuple[float, ...]] = {
    "900m": tuple(1e6 * (902.5 + 0.5 * i) for i in range(50)),
    "2g4": tuple(1e6 * f for f in (2405, 2412, 2419, 2426, 2433, 2440, 2447, 2454, 2461, 2468)),
    "5g8": tuple(
        1e6 * f
        for f in (
            5743,
            5750,
            5757,
            5764,
            5771,
            5778,
            5785,
            5792,
            5799,
            5806,
            5813,
            5820,
            5827,
            5834,
        )
    ),
}


@dataclass(frozen=True)
class LinkKind:
    """What one protocol looks like on the air."""

    band: str
    bandwidth_hz: float
    hop_period_s: float
    power_dbm: float
    vendor: str


PROTOCOLS: dict[str, LinkKind] = {
    "FHSS": LinkKind("5g8", 2e6, 0.4, 26.0, "DJI AUT XIA"),
    "OS_OFDM": LinkKind("5g8", 20e6, 4.0, 28.0, "DJI AUT XIA"),
    "DSMX": LinkKind("2g4", 1e6, 0.3, 20.0, "Spektrum"),
    "GHOST": LinkKind("2g4", 1.5e6, 0.3, 20.0, "IMMERSION RC"),
    "CROSSFIRE": LinkKind("900m", 0.5e6, 0.5, 27.0, "TBS"),
    "ELRS": LinkKind("2g4", 0.8e6, 0.3, 20.0, "ExpressLRS"),
}


@dataclass(frozen=True)
class Propagation:
    """The air between emitters and receivers, the same for all in one scenario."""

    exponent: float = setting(2.1, doc="log-distance exponent n", minimum=1.5, maximum=6.0)
    shadowing_db: float = setting(2.0, doc="sigma of the shadowing", minimum=0.0, maximum=20.0)
    shadowing_time_s: float = setting(
        8.0, doc="time after which shadowing is new", minimum=0.1, maximum=1000.0
    )

    def mean_rssi_dbm(self, power_dbm: float, frequency_hz: float, distance_m: float) -> float:
        """Return the received power in dBm, shadowing apart; within 1 m as at 1 m."""
        loss_at_1m = 20.0 * math.log10(frequency_hz / 1e6) - 27.55
        return power_dbm - loss_at_1m - 10.0 * self.exponent * math.log10(max(distance_m, 1.0))


@dataclass(frozen=True)
class EmitterSpec:
    """One radio link of an object, as the scenario gives it."""

    protocol: str = setting(doc="name of the link's protocol", choices=tuple(PROTOCOLS))
    link: str = setting("control", doc="what it carries", choices=("control", "video", "telemetry"))
    vendor: str = setting("", doc="vendor as detectors name it; empty: the protocol's usual one")
    key: str = setting("", doc="identity that detectors report; empty: made from the seed")
    band: str = setting("", doc="band; empty: the protocol's usual one", choices=("", *BANDS))
    power_dbm: float = setting(
        math.nan, doc="EIRP; absent: the protocol's usual one", minimum=-40.0, maximum=60.0
    )
    starts_s: float = setting(0.0, doc="on the air from this time", minimum=0.0)
    stops_s: float = setting(math.inf, doc="silent from this time", minimum=0.0)


class Emitter:
    """A radio link on the air: hops over its band, is heard through slow shadowing."""

    def __init__(
        self, spec: EmitterSpec, key: str, propagation: Propagation, rng: np.random.Generator
    ) -> None:
        kind = PROTOCOLS[spec.protocol]
        self.spec = spec
        self.key = key
        self.protocol = spec.protocol
        self.link = spec.link
        self.vendor = spec.vendor or kind.vendor
        self.bandwidth_hz = kind.bandwidth_hz
        self.power_dbm = kind.power_dbm if math.isnan(spec.power_dbm) else spec.power_dbm
        self._channels = BANDS[spec.band or kind.band]
        self._hop_period = kind.hop_period_s
        self._propagation = propagation
        self._rng = rng
        self._next_hop = 0.0
        self.frequency_hz = self._channels[int(rng.integers(len(self._channels)))]
        self._shadowing = propagation.shadowing_db * float(rng.standard_normal())

    def on_air(self, time: float) -> bool:
        """Say whether it transmits at ``time`` (seconds since the scenario's start)."""
        return self.spec.starts_s <= time < self.spec.stops_s

    def step(self, time: float, dt: float) -> None:
        """Advance hopping and shadowing to ``time``."""
        while time >= self._next_hop:
            self.frequency_hz = self._channels[int(self._rng.integers(len(self._channels)))]
            self._next_hop += self._hop_period * (0.75 + 0.5 * float(self._rng.random()))
        keep = math.exp(-dt / self._propagation.shadowing_time_s)
        spread = self._propagation.shadowing_db * math.sqrt(1.0 - keep * keep)
        self._shadowing = keep * self._shadowing + spread * float(self._rng.standard_normal())

    def rssi_dbm(self, distance_m: float) -> float:
        """Return the received power now, in dBm, at a distance in metres."""
        mean = self._propagation.mean_rssi_dbm(self.power_dbm, self.frequency_hz, distance_m)
        return mean + self._shadowing
