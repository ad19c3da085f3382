# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Messages that come or go in parts (rosbridge v2, section 3.2.1)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from rosbridge_server.limits import Limits, RefusedError

__all__ = ["Assembly", "parts_of"]

#: Fragments of one message, and messages of which fragments are held.
_FRAGMENTS, _FRAGMENTED = 10_000, 16


def parts_of(text: str, size: int, identity: object) -> Iterator[str]:
    """The fragment operations, as JSON, that carry a text in pieces of ``size`` characters."""
    total = -(-len(text) // size)
    for number in range(total):
        yield json.dumps(
            {
                "op": "fragment",
                "id": identity,
                "data": text[number * size : (number + 1) * size],
                "num": number,
                "total": total,
            }
        )


class Assembly:
    """Puts together what one client sends in parts; what it holds is bounded in size and age."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held: dict[str, tuple[float, dict[int, str], int]] = {}

    def put(self, identity: str, text: str, number: int, total: int) -> str | None:
        """Take one part; return the whole text once nothing of it is missing.

        Raises:
            RefusedError: the part is none, or more is held than may be; the message is forgotten.
        """
        now = time.monotonic()
        for name, (since, _, _) in list(self._held.items()):
            if now - since > self._limits.fragment_timeout:
                del self._held[name]
        if not 0 <= number < total <= _FRAGMENTS:
            raise RefusedError(f"fragment {number} of {total}: a message has up to {_FRAGMENTS}")
        if identity not in self._held and len(self._held) >= _FRAGMENTED:
            raise RefusedError(f"fragments of {_FRAGMENTED} messages are held already")
        _, parts, wanted = self._held.setdefault(identity, (now, {}, total))
        parts.setdefault(number, text)
        held = sum(len(part) for _, each, _ in self._held.values() for part in each.values())
        if total != wanted or held > self._limits.max_message_size:
            del self._held[identity]
            raise RefusedError(
                "the fragments do not agree"
                if total != wanted
                else f"more than max_message_size, {self._limits.max_message_size} bytes"
            )
        if len(parts) < total:
            return None
        del self._held[identity]
        return "".join(parts[each] for each in range(total))
