# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What an updater runs: one task gives one diagnostic status."""
# ruff: noqa: N802  the method names are upstream's

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from rclpy.clock import Clock

from diagnostic_updater._status import DiagnosticStatusWrapper

StatusFunction = Callable[[DiagnosticStatusWrapper], DiagnosticStatusWrapper]


def filled(
    name: str, function: Callable[[DiagnosticStatusWrapper], Any], stat: DiagnosticStatusWrapper
) -> DiagnosticStatusWrapper:
    """Run a task's function on a status and return what it returned.

    Raises:
        TypeError: the function returned nothing. It fails with upstream's package too, there with
            an AttributeError that does not name the task.
    """
    result = function(stat)
    if result is None:
        raise TypeError(
            f"diagnostic task {name!r} returned None: it must return the status it was given"
        )
    return cast(DiagnosticStatusWrapper, result)


class DiagnosticTask:
    """A named source of one diagnostic status; subclasses override `run`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def getName(self) -> str:
        """Return the task's name."""
        return self.name

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Fill in and return the status."""
        return stat

    def _use_clock(self, clock: Clock) -> None:
        """Measure time with the clock of the node that runs this task, from now on."""


class FunctionDiagnosticTask(DiagnosticTask):
    """A task that is a function from status to status."""

    def __init__(self, name: str, fn: StatusFunction) -> None:
        super().__init__(name)
        self.fn = fn

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Return what the function returns."""
        return self.fn(stat)


class CompositeDiagnosticTask(DiagnosticTask):
    """Several tasks that report as one status: all their values, their summaries merged."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.tasks: list[DiagnosticTask] = []
        self._clock: Clock | None = None

    def addTask(self, t: DiagnosticTask) -> None:
        """Run this task too, after those added before it."""
        self.tasks.append(t)
        if self._clock is not None and isinstance(t, DiagnosticTask):
            t._use_clock(self._clock)

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Run every task, each starting from the summary that this one was given."""
        given = DiagnosticStatusWrapper()
        given.summary(stat)
        merged = DiagnosticStatusWrapper()
        for task in self.tasks:
            stat.summary(given)
            stat = filled(task.getName(), task.run, stat)
            merged.mergeSummary(stat)
        stat.summary(merged)
        return stat

    def _use_clock(self, clock: Clock) -> None:
        self._clock = clock
        for task in self.tasks:
            if isinstance(task, DiagnosticTask):
                task._use_clock(clock)
