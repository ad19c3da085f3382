# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""From the tracker's banks to a picture on the wire, many times a second.

Where a track is changes with every instant; what is said of it (reason, label, keys, sensors)
changes with evidence only. So the numbers of all tracks are written at once, and the words of a
track are kept from picture to picture until its marks change.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from thebox_core.packed import PackedTrack, Stamp
from thebox_fusion.conversion import RANGE_CODES, packed_words
from thebox_fusion.tracker import TrackState
from thebox_fusion.tracker.core import Core
from thebox_fusion.tracker.views import Figures, figures_of, marks_of, reasons_of, said_of

LEAST_SHOWN = 0.05
"""A tentative track less likely than this is in no picture: mostly a single plot, most of them
false, that the next look takes back. In a flood they are many times as many as all others."""
_WORDS_AT = 400
"""Bytes of a body before its words: numbers, range method, whether observed, existence."""


class Packer:
    """Packs pictures of one tracker; remembers the words of the last one's tracks."""

    def __init__(self) -> None:
        # Serial number -> its marks, the 16 bytes of its identity, and its words.
        self._words: dict[int, tuple[bytes, bytes, bytes]] = {}

    def pack(
        self, core: Core, when: float, stamp: Stamp
    ) -> tuple[list[PackedTrack], Counter[TrackState]]:
        """Return the tracks as they are expected to be at ``when``, and how many in each state.

        They are to the byte what `to_packed_track` makes of `tracks_of`, without the tentative ones
        that are less likely than `LEAST_SHOWN`.

        Args:
            core: of the tracker.
            when: seconds.
            stamp: ``when`` as (seconds, nanoseconds).
        """
        tracks: list[PackedTrack] = []
        words: dict[int, tuple[bytes, bytes, bytes]] = {}
        states: Counter[TrackState] = Counter()
        for figures in figures_of(core, when, LEAST_SHOWN):
            serials = figures.bank.number[figures.rows].tolist()
            self._renew(core, figures, serials, words)
            block, width = _block(figures), _WORDS_AT
            stage_of = figures.bank.state[figures.rows]
            for row, (serial, stage) in enumerate(zip(serials, stage_of.tolist(), strict=True)):
                _, identity, rest = words[serial]
                packed = block[row * width : (row + 1) * width] + rest
                tracks.append(PackedTrack(stamp, identity, core.number_of(serial), stage, packed))
            found, count = np.unique(stage_of, return_counts=True)
            for stage, number in zip(found.tolist(), count.tolist(), strict=True):
                states[TrackState(stage)] += number
        self._words = words
        return tracks, states

    def _renew(
        self,
        core: Core,
        figures: Figures,
        serials: list[int],
        words: dict[int, tuple[bytes, bytes, bytes]],
    ) -> None:
        """Put the words of a bank's tracks into ``words``, made again where marks changed."""
        table = np.ascontiguousarray(marks_of(core, figures.bank)[figures.rows])
        width = table.strides[0]
        marks = table.tobytes()
        changed: list[int] = []
        for row, serial in enumerate(serials):
            known = self._words.get(serial)
            if known is not None and known[0] == marks[row * width : (row + 1) * width]:
                words[serial] = known
            else:
                changed.append(row)
        if not changed:
            return
        rows = figures.rows[changed]
        reasons = reasons_of(core, figures.bank, rows)
        told = said_of(core, figures.bank, rows)
        for row, reason, track in zip(changed, reasons, told, strict=True):
            mark = marks[row * width : (row + 1) * width]
            serial = serials[row]
            identity = bytes.fromhex(core.id_of(serial).replace("-", ""))
            words[serial] = (mark, identity, packed_words(track, reason))


def _block(figures: Figures) -> bytes:
    """Return what changes with every instant, `_WORDS_AT` bytes a track."""
    count = len(figures.rows)
    block = np.zeros((count, _WORDS_AT), dtype=np.uint8)
    numbers = np.ascontiguousarray(figures.numbers, dtype="<f8")
    block[:, :384] = numbers.view(np.uint8).reshape(count, 384)
    block[:, 384] = RANGE_CODES[figures.method]
    block[:, 385] = figures.observed
    existence = np.ascontiguousarray(figures.existence, dtype="<f8")
    block[:, 392:] = existence.view(np.uint8).reshape(count, 8)
    return block.tobytes()
