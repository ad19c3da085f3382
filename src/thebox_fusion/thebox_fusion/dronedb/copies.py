# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Whole files: a verified copy of a database in use, and what is to be had of a damaged one."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from thebox_fusion.dronedb.errors import StoreError, explained
from thebox_fusion.dronedb.records import EventRow, ZoneRow
from thebox_fusion.dronedb.rows import EVENT_COLUMNS, ZONES, event_of, zone_of
from thebox_fusion.dronedb.schema import version_of

__all__ = ["back_up", "quarantine", "salvage"]


def back_up(
    path: Path, target: Path, progress: Callable[[int, int], None] = lambda left, total: None
) -> int:
    """Copy a database that is in use, verify the copy, and return its bytes.

    The copy has its name only once it is whole and verified. What is there already stays.

    Raises:
        StoreError: it cannot be copied, or the copy is not sound; nothing is left behind.
    """
    if target.exists():
        raise StoreError(f"{target} is there already: give the copy another name")
    part = target.with_name(target.name + ".part")
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
    try:
        with (
            explained(path),
            contextlib.closing(
                sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
            ) as source,
            contextlib.closing(sqlite3.connect(part)) as copy,
        ):
            # One step is one consistent picture: a writer in between would start it anew.
            source.backup(copy, pages=-1, progress=lambda _, left, total: progress(left, total))
            copy.execute("PRAGMA journal_mode = DELETE")
            verdict = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if verdict != "ok" or version_of(copy) != version_of(source):
                raise StoreError(f"the copy is not sound ({verdict}): check the disk of {target}")
        with explained(target):
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            size = part.stat().st_size
            part.rename(target)
            _sync_folder(target.parent)
        return size
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def quarantine(path: Path, stamp: str) -> Path:
    """Move a damaged database, with its journal, out of the way; return where it is now.

    Raises:
        StoreError: it cannot be moved.
    """
    kept = path.with_name(f"{path.name}.damaged-{stamp}")
    with explained(path):
        number = 1
        while kept.exists():
            number += 1
            kept = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
        for suffix in ("", "-wal", "-shm"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                source.rename(kept.with_name(kept.name + suffix))
        _sync_folder(path.parent)
    return kept


def salvage(damaged: Path) -> tuple[list[EventRow], list[ZoneRow]]:
    """Read what can still be read of the events and zones of a damaged database."""
    events: list[EventRow] = []
    zones: list[ZoneRow] = []
    with (
        contextlib.suppress(sqlite3.Error, ValueError, TypeError),
        contextlib.closing(
            sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
        ) as source,
    ):
        source.text_factory = lambda raw: raw.decode("utf-8", "replace")
        zones.extend(zone_of(row) for row in _until_damage(source, ZONES))
        # From both ends: one bad page in the middle hides nothing beyond it.
        seen: dict[str, EventRow] = {}
        for order in ("ASC", "DESC"):
            for row in _until_damage(
                source,
                f"SELECT {EVENT_COLUMNS} FROM events ORDER BY seq {order}",  # noqa: S608
            ):
                event = event_of(row)
                seen.setdefault(event.id, event)
        events = sorted(seen.values(), key=lambda event: event.stamp)
    return events, zones


def _until_damage(source: sqlite3.Connection, sql: str) -> Iterator[Sequence[Any]]:
    with contextlib.suppress(sqlite3.Error):
        yield from source.execute(sql)
