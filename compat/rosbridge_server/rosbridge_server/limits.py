# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What a client of the bridge may touch, and how much of it."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

__all__ = ["Globs", "Limits", "RefusedError"]


@dataclass(frozen=True)
class Globs:
    """Names that clients may touch; an empty tuple allows all, as upstream's empty glob does."""

    topics: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()

    @staticmethod
    def parse(text: str) -> tuple[str, ...]:
        """Take upstream's form apart: ``['/a/*', '/b']``."""
        parts = (part.strip().strip("'\"") for part in text.strip()[1:-1].split(","))
        return tuple(part for part in parts if part)

    @staticmethod
    def allow(globs: tuple[str, ...], name: str) -> bool:
        """Whether a name matches one of them."""
        return not globs or any(fnmatch.fnmatchcase(name, glob) for glob in globs)


@dataclass(frozen=True)
class Limits:
    """The bridge's parameters that hold for each client."""

    max_message_size: int = 10_000_000
    fragment_timeout: float = 600.0
    delay_between_messages: float = 0.0
    service_timeout: float = 5.0


class RefusedError(ValueError):
    """An operation that is not done; the text says why."""
