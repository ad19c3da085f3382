# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The status message that a task fills in."""
# ruff: noqa: N802  the method names are upstream's

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue


def _summary_of(arguments: tuple[Any, ...], method: str) -> tuple[bytes, str]:
    """Level and text out of upstream's two call forms, `(status)` and `(level, text)`."""
    if len(arguments) == 1:
        return arguments[0].level, arguments[0].message
    if len(arguments) == 2:
        return arguments[0], str(arguments[1])
    raise TypeError(f"{method} takes a status, or a level and a message; got {arguments!r}")


class DiagnosticStatusWrapper(DiagnosticStatus):  # type: ignore[misc]  # generated, untyped
    """A diagnostic_msgs/DiagnosticStatus with methods to fill it in.

    Levels are the one-byte constants of DiagnosticStatus: OK < WARN < ERROR < STALE.
    """

    def summary(self, *args: Any) -> None:
        """Replace level and message: `summary(status)` or `summary(level, message)`."""
        self.level, self.message = _summary_of(args, "summary")

    def clearSummary(self) -> None:
        """Set the level to OK and the message to nothing."""
        self.summary(DiagnosticStatus.OK, "")

    def mergeSummary(self, *args: Any) -> None:
        """Merge `(status)` or `(level, message)` into level and message.

        The worse level stays. Two OK messages, or two that are not, are joined by "; "; of one that
        is OK and one that is not, the one that is not stays.
        """
        level, message = _summary_of(args, "mergeSummary")
        if (level > DiagnosticStatus.OK) == (self.level > DiagnosticStatus.OK):
            self.message = f"{self.message}; {message}" if self.message else message
        elif level > self.level:
            self.message = message
        self.level = max(self.level, level)

    def add(self, key: str, val: str) -> None:
        """Append one key and its value.

        Raises:
            TypeError: key or value is not a string. Upstream lets it through, and publishing it
                then fails far from the cause.
        """
        if not isinstance(key, str) or not isinstance(val, str):
            raise TypeError(
                f"DiagnosticStatusWrapper.add takes two strings, got {key!r} and {val!r}: "
                "format the value first"
            )
        self.values.append(KeyValue(key=key, value=val))
