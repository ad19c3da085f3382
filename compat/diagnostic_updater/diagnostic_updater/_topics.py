# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Tasks that watch a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rclpy.time import Time

from diagnostic_updater._monitors import (
    FrequencyStatus,
    FrequencyStatusParam,
    TimeStampStatus,
    TimeStampStatusParam,
)
from diagnostic_updater._tasks import CompositeDiagnosticTask

if TYPE_CHECKING:
    from rclpy.publisher import Publisher

    from diagnostic_updater._updater import DiagnosticTaskVector


class HeaderlessTopicDiagnostic(CompositeDiagnosticTask):
    """Watches how often a topic whose messages carry no header is published.

    It adds itself to the updater `diag` under the name "<name> topic status".
    """

    def __init__(self, name: str, diag: DiagnosticTaskVector, freq: FrequencyStatusParam) -> None:
        super().__init__(f"{name} topic status")
        self.diag = diag
        self.freq = FrequencyStatus(freq)
        self.addTask(self.freq)
        self.diag.add(self)

    def tick(self) -> None:
        """Note one publication."""
        self.freq.tick()

    def clear_window(self) -> None:
        """Forget the publications so far."""
        self.freq.clear()


class TopicDiagnostic(HeaderlessTopicDiagnostic):
    """Watches how often a topic is published and how old its time stamps are."""

    def __init__(
        self,
        name: str,
        diag: DiagnosticTaskVector,
        freq: FrequencyStatusParam,
        stamp: TimeStampStatusParam,
    ) -> None:
        super().__init__(name, diag, freq)
        self.stamp = TimeStampStatus(stamp)
        self.addTask(self.stamp)

    def tick(self, stamp: float | Time) -> None:  # type: ignore[override]  # upstream's shape
        """Note one publication and its time stamp, seconds or rclpy.time.Time."""
        self.stamp.tick(stamp)
        super().tick()


class DiagnosedPublisher(TopicDiagnostic):
    """A publisher that is watched by a TopicDiagnostic named after its resolved topic."""

    def __init__(
        self,
        pub: Publisher,
        diag: DiagnosticTaskVector,
        freq: FrequencyStatusParam,
        stamp: TimeStampStatusParam,
    ) -> None:
        super().__init__(pub.topic_name, diag, freq, stamp)
        self.publisher = pub

    def publish(self, message: Any) -> None:
        """Note and publish a message, which must have a header."""
        self.tick(Time.from_msg(message.header.stamp))
        self.publisher.publish(message)
