# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What a database cannot do, in words that an operator can act on."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

__all__ = ["BadQueryError", "DamagedError", "StoreError", "explain", "explained"]


class StoreError(Exception):
    """The database cannot do this now; the text says why and what to do."""


class DamagedError(StoreError):
    """The file is not a sound database."""


class BadQueryError(ValueError):
    """A query that makes no sense; the text says what is wrong with it."""


#: What SQLite says, what the operator is told, and whether the file itself is bad.
_EXPLANATIONS: tuple[tuple[tuple[str, ...], str, type[StoreError]], ...] = (
    (("malformed", "not a database", "no such table"), "{path} is damaged: {text}", DamagedError),
    (
        ("locked", "busy"),
        "{path} is locked by another program: end it (fuser {path} shows which)",
        StoreError,
    ),
    (
        ("full",),
        "no room to write {path}: free space on the disk, or lower retention.*",
        StoreError,
    ),
    (
        ("interrupted",),
        "the query took too long: narrow its span of time or its area",
        StoreError,
    ),
    (
        ("unable to open", "readonly"),
        "{path} cannot be opened or written: check the folder, its rights and the disk",
        StoreError,
    ),
)


def explain(error: sqlite3.Error | OSError, path: Path) -> StoreError:
    """Turn an error of SQLite or the file system into one that an operator can act on."""
    text = str(error)
    if isinstance(error, OSError):
        return StoreError(f"{path}: {error.strerror or error}: check the folder and its rights")
    for words, told, kind in _EXPLANATIONS:
        if any(word in text for word in words):
            return kind(told.format(path=path, text=text))
    return StoreError(f"{path}: {text}")


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise what goes wrong inside as a :class:`StoreError` about ``path``."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise explain(error, path) from error
