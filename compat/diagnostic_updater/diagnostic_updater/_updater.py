# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs a node's diagnostic tasks by a timer and publishes what they report."""
# ruff: noqa: N802  the method names are upstream's

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from diagnostic_updater._status import DiagnosticStatusWrapper
from diagnostic_updater._tasks import DiagnosticTask, StatusFunction, filled

if TYPE_CHECKING:
    from rclpy.node import Node


@dataclass
class NamedTask:
    """One entry of the list of tasks: a name and the function that fills in its status."""

    name: str
    fn: StatusFunction

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Return the status filled in, named after the task."""
        stat.name = self.name
        return filled(self.name, self.fn, stat)


class DiagnosticTaskVector:
    """The list of tasks that an Updater runs."""

    def __init__(self) -> None:
        self.tasks: list[NamedTask] = []
        # Held while tasks run, so that a task which was removed is not running any more.
        # Re-entrant, so that a task may add and remove tasks.
        self.lock = threading.RLock()

    def addedTaskCallback(self, task: NamedTask) -> None:
        """Do what is to be done when a task was added; here nothing."""

    def add(self, *args: Any) -> None:
        """Add a task: `add(task)`, or `add(name, function)` from status to status.

        Raises:
            TypeError: it was called in neither way.
        """
        if len(args) == 1:
            task = NamedTask(args[0].getName(), args[0].run)
        elif len(args) == 2:
            task = NamedTask(args[0], args[1])
        else:
            raise TypeError(f"add takes a task, or a name and a function; got {args!r}")
        with self.lock:
            self.tasks.append(task)
            self.addedTaskCallback(task)

    def removeByName(self, name: str) -> bool:
        """Remove the first task of that name; False when there is none."""
        with self.lock:
            for i, task in enumerate(self.tasks):
                if task.name == name:
                    del self.tasks[i]
                    return True
        return False


class Updater(DiagnosticTaskVector):
    """Publishes the status of every task on /diagnostics, by a timer of the node.

    Statuses are named "<node>: <task>" and carry the hardware ID. Parameters that it declares on
    the node, unless they are there already (an earlier updater of the same node declared them):
    `diagnostic_updater.period`, seconds between reports, and `diagnostic_updater.use_fqn`, whether
    <node> is the fully qualified name. Both are read once, here.

    `timer` and `publisher` belong to the node; a node that drops its updater destroys them.

    Raises:
        ValueError: the period is not a positive number.
    """

    def __init__(self, node: Node, period: float = 1.0) -> None:
        super().__init__()
        self.node = node
        self.verbose = False
        self.hwid = ""
        self.warn_nohwid_done = False

        self.period_parameter = "diagnostic_updater.period"
        self.use_fqn_parameter = "diagnostic_updater.use_fqn"
        self.__period = self.__valid_period(self.__parameter(self.period_parameter, period))
        if self.__parameter(self.use_fqn_parameter, False):
            # Not get_fully_qualified_name: upstream's join doubles the slash of the root namespace.
            self.node_name = f"{node.get_namespace()}/{node.get_name()}"
        else:
            self.node_name = node.get_name()

        self.publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 1)
        self.timer = node.create_timer(self.__period, self.update)

    @property
    def period(self) -> float:
        """Seconds between two reports; setting it restarts the timer."""
        return self.__period

    @period.setter
    def period(self, period: float) -> None:
        self.__period = self.__valid_period(period)
        self.node.destroy_timer(self.timer)
        self.timer = self.node.create_timer(self.__period, self.update)

    def add(self, *args: Any) -> None:
        """Add a task: `add(task)`, or `add(name, function)` from status to status.

        Its status is published at once, as starting up. A task that measures time does so with the
        node's clock from now on.
        """
        if len(args) == 1 and isinstance(args[0], DiagnosticTask):
            args[0]._use_clock(self.node.get_clock())
        super().add(*args)

    def addedTaskCallback(self, task: NamedTask) -> None:
        """Publish that the new task is starting up."""
        stat = DiagnosticStatusWrapper(name=task.name)
        stat.summary(DiagnosticStatus.OK, "Node starting up")
        self.publish(stat)

    def update(self) -> None:
        """Run every task and publish the statuses, in the order in which tasks were added."""
        statuses = []
        with self.lock:
            for task in tuple(self.tasks):
                stat = DiagnosticStatusWrapper(name=task.name, hardware_id=self.hwid)
                stat.summary(DiagnosticStatus.ERROR, "No message was set")
                statuses.append(task.run(stat))

        failing = [stat for stat in statuses if stat.level != DiagnosticStatus.OK]
        if self.verbose:
            for stat in failing:
                self.node.get_logger().warning(
                    f"Diagnostic status {stat.name!r} has level {stat.level[0]}: {stat.message}"
                )
        if not failing and not self.hwid and not self.warn_nohwid_done:
            self.node.get_logger().warning(
                "The diagnostics of this node carry no hardware ID. Call setHardwareID with the "
                "device's serial number, or with 'none' where there is no device."
            )
            self.warn_nohwid_done = True

        self.publish(statuses)

    def force_update(self) -> None:
        """Run every task and publish the statuses now; the timer goes on as before."""
        self.update()

    def broadcast(self, lvl: bytes, msg: str) -> None:
        """Publish this level and message for every task, without running any."""
        statuses = []
        with self.lock:
            for task in self.tasks:
                stat = DiagnosticStatusWrapper(name=task.name)
                stat.summary(lvl, msg)
                statuses.append(stat)
        self.publish(statuses)

    def setHardwareID(self, hwid: str) -> None:
        """Set the hardware ID of every status from the next report on."""
        self.hwid = hwid

    def publish(self, msg: DiagnosticStatus | list[DiagnosticStatus]) -> None:
        """Publish one status or a list of them; their names get the node's name put before them."""
        array = DiagnosticArray()
        array.header.stamp = self.node.get_clock().now().to_msg()
        array.status = [
            DiagnosticStatus(
                level=stat.level,
                name=f"{self.node_name}: {stat.name}",
                message=stat.message,
                hardware_id=stat.hardware_id,
                values=stat.values,
            )
            for stat in ([msg] if isinstance(msg, DiagnosticStatus) else msg)
        ]
        self.publisher.publish(array)

    def __parameter(self, name: str, default: Any) -> Any:
        """Value of a parameter of the node, declared here when nobody has yet."""
        if self.node.has_parameter(name):
            return self.node.get_parameter(name).value
        return self.node.declare_parameter(name, default).value

    def __valid_period(self, period: float) -> float:
        if not (math.isfinite(period) and period > 0.0):
            raise ValueError(
                f"{self.period_parameter} of node {self.node.get_fully_qualified_name()} must be a "
                f"positive number of seconds, got {period!r}"
            )
        return period
