# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Tasks that watch how often something happens, how old its time stamps are, or nothing at all."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import MutableMapping

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ROSClock
from rclpy.clock_type import ClockType
from rclpy.time import Time

from diagnostic_updater._status import DiagnosticStatusWrapper
from diagnostic_updater._tasks import DiagnosticTask


class FrequencyStatusParam:
    """What FrequencyStatus accepts.

    `freq_bound` holds "min" and, where there is an upper bound, "max", in hertz; it is read at each
    report, so it may be changed while in use. `tolerance` widens both bounds by that fraction.
    `window_size` is the number of reports over which events are counted.
    """

    def __init__(
        self, freq_bound: MutableMapping[str, float], tolerance: float = 0.1, window_size: int = 5
    ) -> None:
        self.freq_bound = freq_bound
        self.tolerance = tolerance
        self.window_size = window_size


class FrequencyStatus(DiagnosticTask):
    """Warns when events are too rare or too frequent; an error when there were none.

    Time is that of the node whose updater it was added to, simulated time included; on its own it
    is the system's.

    Raises:
        ValueError: the window has no report in it.
    """

    def __init__(self, params: FrequencyStatusParam, name: str = "FrequencyStatus") -> None:
        super().__init__(name)
        if params.window_size < 1:
            raise ValueError(f"window_size must be at least 1 report, got {params.window_size}")
        self.params = params
        self.lock = threading.Lock()
        self._clock = Clock(clock_type=ClockType.ROS_TIME)
        self.clear()

    def clear(self) -> None:
        """Forget all events; the window begins now."""
        with self.lock:
            self.count = 0
            self._begin_window(self._clock.now().nanoseconds)

    def tick(self) -> None:
        """Count one event."""
        with self.lock:
            self.count += 1

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Report the frequency since the oldest report in the window."""
        with self.lock:
            now = self._clock.now().nanoseconds
            start, count_at_start = self._window[0]
            events = self.count - count_at_start
            # Zero is simulated time before its first /clock message; a replay that starts again
            # goes backwards.
            jumped = now < start or (start == 0 and now > 0)
            window = 0.0 if jumped else (now - start) * 1e-9
            if jumped:
                self._begin_window(now)
            elif window > 0.0:
                self._window.append((now, self.count))
            frequency = events / window if window > 0.0 else float("nan")
            count = self.count

        bounds = self.params.freq_bound
        lowest = bounds["min"] * (1 - self.params.tolerance)
        highest = bounds["max"] * (1 + self.params.tolerance) if "max" in bounds else None

        if window == 0.0:
            stat.summary(DiagnosticStatus.WARN, "Frequency unknown: no time passed on this clock.")
        elif events == 0:
            stat.summary(DiagnosticStatus.ERROR, "No events recorded.")
        elif frequency < lowest:
            stat.summary(DiagnosticStatus.WARN, "Frequency too low.")
        elif highest is not None and frequency > highest:
            stat.summary(DiagnosticStatus.WARN, "Frequency too high.")
        else:
            stat.summary(DiagnosticStatus.OK, "Desired frequency met")

        stat.add("Events in window", f"{events:d}")
        stat.add("Events since startup", f"{count:d}")
        stat.add("Duration of window (s)", f"{window:f}")
        stat.add("Actual frequency (Hz)", f"{frequency:f}")
        if bounds.get("max") == bounds["min"]:
            stat.add("Target frequency (Hz)", f"{bounds['min']:f}")
        if bounds["min"] > 0:
            stat.add("Minimum acceptable frequency (Hz)", f"{lowest:f}")
        if highest is not None:
            stat.add("Maximum acceptable frequency (Hz)", f"{highest:f}")
        return stat

    def _begin_window(self, now: int) -> None:
        """Let the window begin at `now`, nanoseconds, as if it had been full of reports."""
        size = self.params.window_size
        self._window = deque([(now, self.count)] * size, maxlen=size)

    def _use_clock(self, clock: Clock) -> None:
        with self.lock:
            self._clock = clock
            if isinstance(clock, ROSClock) and clock.ros_time_is_active:
                self._begin_window(clock.now().nanoseconds)


class TimeStampStatusParam:
    """Bounds on a time stamp's age at arrival, seconds; negative means from the future."""

    def __init__(self, min_acceptable: float = -1, max_acceptable: float = 5) -> None:
        self.max_acceptable = max_acceptable
        self.min_acceptable = min_acceptable


class TimeStampStatus(DiagnosticTask):
    """An error while time stamps arrive that are zero, too old or from the future.

    A report covers what came since the one before it; the counts of bad reports never fall. Time
    is that of the node whose updater it was added to; on its own it is the system's.
    """

    def __init__(
        self, params: TimeStampStatusParam | None = None, name: str = "Timestamp Status"
    ) -> None:
        super().__init__(name)
        self.params = TimeStampStatusParam() if params is None else params
        self.lock = threading.Lock()
        self.early_count = 0
        self.late_count = 0
        self.zero_count = 0
        self.zero_seen = False
        self.deltas_valid = False
        self.max_delta = 0.0
        self.min_delta = 0.0
        self._clock = Clock(clock_type=ClockType.ROS_TIME)

    def tick(self, stamp: float | Time) -> None:
        """Note one time stamp, seconds or rclpy.time.Time.

        Raises:
            TypeError: it is neither; a message's stamp is converted with Time.from_msg.
        """
        if isinstance(stamp, Time):
            seconds = stamp.nanoseconds * 1e-9
        elif isinstance(stamp, float):
            seconds = stamp
        else:
            raise TypeError(
                f"a time stamp is a float in seconds or an rclpy.time.Time, got {stamp!r}; "
                "use Time.from_msg for a message's stamp"
            )
        with self.lock:
            if seconds == 0:
                self.zero_seen = True
                return
            age = (self._clock.now().nanoseconds - seconds * 1e9) * 1e-9
            self.max_delta = max(age, self.max_delta) if self.deltas_valid else age
            self.min_delta = min(age, self.min_delta) if self.deltas_valid else age
            self.deltas_valid = True

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Report on the time stamps since the last report."""
        with self.lock:
            stat.summary(DiagnosticStatus.OK, "Timestamps are reasonable.")
            if not self.deltas_valid:
                stat.summary(DiagnosticStatus.WARN, "No data since last update.")
            else:
                if self.min_delta < self.params.min_acceptable:
                    stat.summary(DiagnosticStatus.ERROR, "Timestamps too far in future seen.")
                    self.early_count += 1
                if self.max_delta > self.params.max_acceptable:
                    stat.summary(DiagnosticStatus.ERROR, "Timestamps too far in past seen.")
                    self.late_count += 1
                if self.zero_seen:
                    stat.summary(DiagnosticStatus.ERROR, "Zero timestamp seen.")
                    self.zero_count += 1

            stat.add("Earliest timestamp delay:", f"{self.min_delta:f}")
            stat.add("Latest timestamp delay:", f"{self.max_delta:f}")
            stat.add("Earliest acceptable timestamp delay:", f"{self.params.min_acceptable:f}")
            stat.add("Latest acceptable timestamp delay:", f"{self.params.max_acceptable:f}")
            stat.add("Late diagnostic update count:", f"{self.late_count:d}")
            stat.add("Early diagnostic update count:", f"{self.early_count:d}")
            stat.add("Zero seen diagnostic update count:", f"{self.zero_count:d}")

            self.zero_seen = False
            self.deltas_valid = False
            self.max_delta = 0.0
            self.min_delta = 0.0
        return stat

    def _use_clock(self, clock: Clock) -> None:
        with self.lock:
            self._clock = clock


class Heartbeat(DiagnosticTask):
    """Reports OK for as long as the node runs its timers."""

    def __init__(self) -> None:
        super().__init__("Heartbeat")

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Report OK."""
        stat.summary(DiagnosticStatus.OK, "Alive")
        return stat
