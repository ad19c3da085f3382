# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Stand-in for the Python half of the ROS package diagnostic_updater; see README.md."""

from diagnostic_updater._monitors import (
    FrequencyStatus,
    FrequencyStatusParam,
    Heartbeat,
    TimeStampStatus,
    TimeStampStatusParam,
)
from diagnostic_updater._status import DiagnosticStatusWrapper
from diagnostic_updater._tasks import (
    CompositeDiagnosticTask,
    DiagnosticTask,
    FunctionDiagnosticTask,
)
from diagnostic_updater._topics import (
    DiagnosedPublisher,
    HeaderlessTopicDiagnostic,
    TopicDiagnostic,
)
from diagnostic_updater._updater import DiagnosticTaskVector, Updater

__all__ = [
    "CompositeDiagnosticTask",
    "DiagnosedPublisher",
    "DiagnosticStatusWrapper",
    "DiagnosticTask",
    "DiagnosticTaskVector",
    "FrequencyStatus",
    "FrequencyStatusParam",
    "FunctionDiagnosticTask",
    "HeaderlessTopicDiagnostic",
    "Heartbeat",
    "TimeStampStatus",
    "TimeStampStatusParam",
    "TopicDiagnostic",
    "Updater",
]
