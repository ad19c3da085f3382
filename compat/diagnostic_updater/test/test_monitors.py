# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""FrequencyStatus and TimeStampStatus: what upstream's do too, on the system's clock."""

from __future__ import annotations

import time

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import (
    DiagnosticStatusWrapper,
    FrequencyStatus,
    FrequencyStatusParam,
    TimeStampStatus,
    TimeStampStatusParam,
)
from rclpy.clock import Clock, ClockType

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def report(task: FrequencyStatus | TimeStampStatus) -> tuple[bytes, str, dict[str, str]]:
    stat = task.run(DiagnosticStatusWrapper())
    return stat.level, stat.message, {entry.key: entry.value for entry in stat.values}


def now() -> float:
    return Clock(clock_type=ClockType.ROS_TIME).now().nanoseconds * 1e-9


def tick(frequency: FrequencyStatus, times: int) -> None:
    for _ in range(times):
        frequency.tick()


# The bounds are so wide that how fast the machine is decides nothing.
@pytest.mark.parametrize(
    ("bounds", "level", "message"),
    [
        ({"min": 1e-6, "max": 1e12}, OK, "Desired frequency met"),
        ({"min": 1e-6}, OK, "Desired frequency met"),
        ({"min": 1e12}, WARN, "Frequency too low."),
        ({"min": 0, "max": 1e-6}, WARN, "Frequency too high."),
    ],
)
def test_frequency_against_its_bounds(bounds: dict[str, float], level: bytes, message: str) -> None:
    frequency = FrequencyStatus(FrequencyStatusParam(bounds))
    tick(frequency, 3)
    reported = report(frequency)
    assert reported[:2] == (level, message)
    assert reported[2]["Events in window"] == "3"


def test_frequency_is_events_over_the_window() -> None:
    began = time.monotonic()
    frequency = FrequencyStatus(FrequencyStatusParam({"min": 1}), "rate")
    tick(frequency, 40)
    _, _, values = report(frequency)
    elapsed = time.monotonic() - began
    window = float(values["Duration of window (s)"])
    assert frequency.getName() == "rate"
    assert 0.0 <= window <= elapsed + 1e-6
    assert float(values["Actual frequency (Hz)"]) >= 40 / (elapsed + 1e-6)


def test_no_events_is_an_error() -> None:
    frequency = FrequencyStatus(FrequencyStatusParam({"min": 0}))
    assert report(frequency)[:2] == (ERROR, "No events recorded.")


def test_bounds_are_widened_by_the_tolerance_and_reported() -> None:
    frequency = FrequencyStatus(FrequencyStatusParam({"min": 10, "max": 20}, 0.5))
    assert FrequencyStatus(FrequencyStatusParam({"min": 1})).getName() == "FrequencyStatus"
    tick(frequency, 1)
    values = report(frequency)[2]
    assert list(values) == [
        "Events in window",
        "Events since startup",
        "Duration of window (s)",
        "Actual frequency (Hz)",
        "Minimum acceptable frequency (Hz)",
        "Maximum acceptable frequency (Hz)",
    ]
    assert values["Minimum acceptable frequency (Hz)"] == "5.000000"
    assert values["Maximum acceptable frequency (Hz)"] == "30.000000"


def test_equal_bounds_are_a_target_and_may_change_while_in_use() -> None:
    bounds = {"min": 10, "max": 10}
    frequency = FrequencyStatus(FrequencyStatusParam(bounds))
    assert report(frequency)[2]["Target frequency (Hz)"] == "10.000000"
    bounds["min"] = 0
    del bounds["max"]
    values = report(frequency)[2]
    assert not {key for key in values if "arget" in key or "acceptable" in key}


def test_the_window_slides_over_the_reports() -> None:
    frequency = FrequencyStatus(FrequencyStatusParam({"min": 0}, window_size=2))
    counted = []
    for events in (1, 2, 4, 8):
        tick(frequency, events)
        values = report(frequency)[2]
        counted.append((values["Events in window"], values["Events since startup"]))
    assert counted == [("1", "1"), ("3", "3"), ("6", "7"), ("12", "15")]


def test_clear_forgets() -> None:
    frequency = FrequencyStatus(FrequencyStatusParam({"min": 0}))
    tick(frequency, 3)
    frequency.clear()
    level, message, values = report(frequency)
    assert (level, message) == (ERROR, "No events recorded.")
    assert values["Events since startup"] == "0"


def test_no_stamps_is_a_warning() -> None:
    level, message, values = report(TimeStampStatus())
    assert (level, message) == (WARN, "No data since last update.")
    assert list(values.items()) == [
        ("Earliest timestamp delay:", "0.000000"),
        ("Latest timestamp delay:", "0.000000"),
        ("Earliest acceptable timestamp delay:", "-1.000000"),
        ("Latest acceptable timestamp delay:", "5.000000"),
        ("Late diagnostic update count:", "0"),
        ("Early diagnostic update count:", "0"),
        ("Zero seen diagnostic update count:", "0"),
    ]


def test_stamps_in_order_are_ok_as_floats_and_as_times() -> None:
    stamps = TimeStampStatus(TimeStampStatusParam(-100, 100))
    stamps.tick(now())
    assert report(stamps)[:2] == (OK, "Timestamps are reasonable.")
    stamps.tick(Clock(clock_type=ClockType.ROS_TIME).now())
    assert report(stamps)[:2] == (OK, "Timestamps are reasonable.")
    assert report(stamps)[:2] == (WARN, "No data since last update.")


@pytest.mark.parametrize(
    ("age", "message", "counts"),
    [
        (-50.0, "Timestamps too far in future seen.", ("0", "1", "0")),
        (50.0, "Timestamps too far in past seen.", ("1", "0", "0")),
    ],
)
def test_a_bad_stamp_is_an_error_once_and_counted_for_good(
    age: float, message: str, counts: tuple[str, str, str]
) -> None:
    stamps = TimeStampStatus(TimeStampStatusParam(-20, 20), "stamps")
    stamps.tick(now())
    stamps.tick(now() - age)
    level, text, values = report(stamps)
    assert (stamps.getName(), level, text) == ("stamps", ERROR, message)
    extreme = "Earliest timestamp delay:" if age < 0 else "Latest timestamp delay:"
    assert float(values[extreme]) == pytest.approx(age, abs=10.0)
    stamps.tick(now())
    level, _, values = report(stamps)
    assert level == OK
    assert tuple(values.values())[4:] == counts


def test_a_zero_stamp_among_good_ones_is_an_error() -> None:
    stamps = TimeStampStatus(TimeStampStatusParam(-100, 100))
    stamps.tick(0.0)
    stamps.tick(now())
    level, message, values = report(stamps)
    assert (level, message) == (ERROR, "Zero timestamp seen.")
    assert values["Zero seen diagnostic update count:"] == "1"


def test_default_bounds_are_not_shared() -> None:
    assert TimeStampStatus().getName() == "Timestamp Status"
    param = TimeStampStatusParam()
    assert (param.min_acceptable, param.max_acceptable) == (-1, 5)
