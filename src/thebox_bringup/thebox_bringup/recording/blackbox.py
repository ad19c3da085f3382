# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The recorder node: the last minutes of everything, saved at an alert or on demand."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.serialization import deserialize_message
from std_srvs.srv import Trigger

from thebox_bringup.recording.asking import ParameterAsker
from thebox_bringup.recording.bag import BagError, Recorded
from thebox_bringup.recording.keeping import Ring, bag_name
from thebox_bringup.recording.tap import Tap
from thebox_core.health import ERROR, Report
from thebox_core.node import ManagedNode, run
from thebox_core.parameters import Parameter
from thebox_interfaces.msg import Event

__all__ = ["Recorder", "main"]

_MEGABYTE = 1_000_000

PARAMETERS = (
    Parameter(
        "minutes",
        5.0,
        "How much of the past is held in memory.",
        minimum=0.1,
        maximum=120.0,
        unit="min",
    ),
    Parameter(
        "megabytes",
        100,
        "Memory that it may take; beyond it less of the past is held.",
        minimum=1,
        maximum=100_000,
        unit="MB",
    ),
    Parameter(
        "after",
        60.0,
        "How long a saved recording goes on after the event that caused it.",
        minimum=0.0,
        maximum=3600.0,
        unit="s",
    ),
    Parameter("on_alert", True, "Save when a track is confirmed that is an alert."),
    Parameter(
        "folder",
        "",
        "Where recordings are saved; empty: thebox/<namespace>/recordings in the user's data "
        "folder.",
    ),
    Parameter(
        "folder_megabytes",
        5000,
        "Size of the folder beyond which the oldest recordings that it saved are deleted; 0: none.",
        minimum=0,
        maximum=100_000_000,
        unit="MB",
    ),
    Parameter(
        "exclude",
        r"/camera/image_raw",
        "Regular expression of topics that are not held; pictures would fill the memory first.",
    ),
)


class Recorder(ManagedNode):
    """Holds the last minutes of every topic and of the sensors' raw bytes."""

    PARAMETERS = PARAMETERS

    def __init__(self, name: str = "recorder", **options: Any) -> None:
        self._ring: Ring | None = None
        self._fault = ""
        self._last = ""
        self._saved = 0
        super().__init__(name, **options)
        self.health.add("recording", self._report)

    def folder(self) -> Path:
        """Where recordings are saved."""
        if self.values["folder"]:
            return Path(self.values["folder"]).expanduser().absolute()
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        box = self.get_namespace().strip("/").replace("/", "-") or "box"
        return (Path(base) / "thebox" / box / "recordings").absolute()

    def configure(self) -> None:
        """Offer the service."""
        self._save_service = self.create_service(Trigger, "~/save", self._on_save)

    def activate(self) -> None:
        """Begin to hold what is heard."""
        self._ring = Ring(self.values["minutes"] * 60.0, self.values["megabytes"] * _MEGABYTE)
        self._events = f"{self.get_namespace().rstrip('/')}/events"
        self._asker = ParameterAsker(self, self.get_namespace())
        self._tap = Tap(self, self._heard, self._ring.add, exclude=self.values["exclude"])
        self._finish_timer = self.create_timer(
            0.5, self._finish, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def deactivate(self) -> None:
        """Finish what is being saved; what is held is forgotten."""
        for name in ("_tap", "_asker"):
            held = self.__dict__.pop(name, None)
            if held is not None:
                held.close()
        timer = self.__dict__.pop("_finish_timer", None)
        if timer is not None:
            self.destroy_timer(timer)
        self._finish(at_once=True)
        self._ring = None

    def cleanup(self) -> None:
        """Release the service."""
        service = self.__dict__.pop("_save_service", None)
        if service is not None:
            self.destroy_service(service)

    def parameters_changed(self, names: set[str]) -> None:
        """Take new limits; other topics need a new beginning."""
        if self._ring is None:
            return
        if "exclude" in names:
            self.deactivate()
            self.activate()
            return
        self._ring.seconds = self.values["minutes"] * 60.0
        self._ring.bytes_max = self.values["megabytes"] * _MEGABYTE

    def _heard(self, topic: str, data: bytes) -> None:
        ring = self._ring
        if ring is None:
            return
        ring.put(Recorded(topic, self.get_clock().now().nanoseconds, data))
        if topic == self._events and self.values["on_alert"]:
            try:
                event = deserialize_message(data, Event)
            except Exception:
                return  # of another release: held as it is all the same
            confirmed = event.kind == Event.KIND_TRACK_CONFIRMED and not event.acknowledged
            if confirmed and event.severity == Event.SEVERITY_ALERT:
                self._save("alert")

    def _save(self, reason: str) -> str:
        """Begin to save, or go on for longer; return the bag's path, empty when it failed."""
        if self._ring is None:
            self._fault = "recorder is not active: activate it"
            return ""
        until = self.get_clock().now().nanoseconds + round(self.values["after"] * 1e9)
        try:
            path = str(self._ring.save(self.folder() / bag_name(reason), until))
        except BagError as error:
            self._fault = str(error)
            self.get_logger().error(f"cannot save: {error}", throttle_duration_sec=10.0)
            return ""
        if path != self._last:
            self._last = path
            self.get_logger().info(f"saving to {path}")
        self._fault = ""
        return path

    def _on_save(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        path = self._save("demand")
        response.success = bool(path)
        response.message = path or self._fault
        return response

    def _finish(self, at_once: bool = False) -> None:
        ring = self._ring
        if ring is None:
            return
        self._fault = ring.fault or self._fault
        known = self._asker.known if "_asker" in self.__dict__ else {}
        try:
            path = ring.finish(self.get_clock().now().nanoseconds, known, at_once=at_once)
        except BagError as error:
            self._fault = str(error)
            return
        if path is not None:
            self._saved += 1
            self.get_logger().info(f"saved {path}")
            self._make_room(path)

    def _make_room(self, newest: Path) -> None:
        limit = self.values["folder_megabytes"] * _MEGABYTE
        if not limit:
            return
        # By name, which begins with the time; only what this node wrote.
        bags = sorted(
            p
            for p in newest.parent.glob("*Z-*")
            if p.is_dir() and p.name.endswith(("-alert", "-demand"))
        )
        sizes = {bag: sum(f.stat().st_size for f in bag.iterdir() if f.is_file()) for bag in bags}
        total = sum(sizes.values())
        for bag in bags:
            if total <= limit or bag == newest:
                return
            total -= sizes[bag]
            shutil.rmtree(bag, ignore_errors=True)
            self.get_logger().info(f"deleted {bag}: the folder is full")

    def _report(self, report: Report) -> None:
        ring = self._ring
        report.put("saved", self._saved)
        report.put("folder", str(self.folder()))
        if self._fault:
            report.find(ERROR, self._fault)
        if ring is None:
            report.findings.append(self.state)
            return
        report.put("held.seconds", ring.span)
        report.put("held.bytes", ring.bytes)
        report.put("topics", len(self._tap.topics) if "_tap" in self.__dict__ else 0)
        if ring.saving is not None:
            report.put("saving", str(ring.saving))
            report.findings.append(f"saving to {ring.saving.name}")
        report.findings.append(f"{ring.span:.0f} s held, {ring.bytes / 1e6:.1f} MB")


def main() -> None:
    """Run the node as a process."""
    run(Recorder)


if __name__ == "__main__":
    main()
