# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import math
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebox_core.measures import LATENCY_BUCKETS, Latency, Rate, Tally


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=50))
def test_tally_counts_by_name(adds: list[tuple[str, int]]) -> None:
    tally = Tally()
    for name, count in adds:
        tally.add(name, count)
    for name in "abc":
        assert tally[name] == sum(count for n, count in adds if n == name)
    assert tally.total() == sum(count for _, count in adds)
    names = [name for name, _ in tally.items()]
    assert names == sorted(names)
    assert "z" not in names
    assert tally["z"] == 0
    assert "z" not in [name for name, _ in tally.items()]


def test_tally_loses_nothing_between_threads() -> None:
    tally = Tally()

    def add() -> None:
        for _ in range(5000):
            tally.add("x")

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tally["x"] == 20_000


@given(
    st.lists(st.floats(0.0, 3.0), min_size=1, max_size=60),
    st.floats(0.0, 8.0),
)
def test_rate_is_the_count_over_the_window(steps: list[float], silence: float) -> None:
    rate = Rate(window=5.0)
    times = 1.7e9 + np.cumsum(steps)
    for time in times:
        rate.add(float(time))
    now = float(times[-1]) + silence
    # An event may be kept under the start of its grain, 0.1 s earlier.
    surely = int(np.sum(now - times <= 4.9))
    perhaps = int(np.sum(now - times <= 5.0))
    assert surely <= round(rate.per_second(now) * 5.0) <= perhaps
    assert rate.count == len(steps)
    assert rate.age(now) == pytest.approx(silence, abs=1e-5)


def test_rate_of_a_flood_keeps_few_entries() -> None:
    rate = Rate()
    for index in range(100_000):
        rate.add(index * 1e-4)
    assert rate.per_second(10.0) == pytest.approx(10_000, rel=0.03)
    assert len(rate._seconds) < 60


def test_a_rate_is_asked_from_one_thread_while_another_adds() -> None:
    rate = Rate(window=0.5)
    adding = threading.Event()
    faults: list[BaseException] = []

    def add() -> None:
        try:
            for index in range(50_000):
                rate.add(0.11 * index)
        except BaseException as error:
            faults.append(error)
        finally:
            adding.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread = threading.Thread(target=add)
        thread.start()
        while not adding.is_set():
            assert rate.per_second(rate.last) <= 10.0
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not faults
    assert rate.count == 50_000


def test_rate_begins_anew_when_the_clock_jumps_back() -> None:
    rate = Rate()
    rate.add(1000.0, 500)
    rate.add(10.0, 5)
    assert rate.per_second(10.0) == 1.0
    assert rate.count == 505
    assert math.isnan(Rate().age(5.0))


@given(st.lists(st.floats(-1.0, 20.0), min_size=1, max_size=300))
def test_latency_against_numpy(values: list[float]) -> None:
    latency = Latency(keep=128)
    for value in values:
        latency.add(value)
    clipped = np.maximum(values, 0.0)
    kept = clipped[-128:]
    assert latency.percentiles(50, 90, 99, 100) == pytest.approx(
        list(np.percentile(kept, [50, 90, 99, 100]))
    )
    assert latency.count == len(values)
    assert latency.total == pytest.approx(clipped.sum())
    edges = [-np.inf, *LATENCY_BUCKETS, np.inf]
    expected = [
        int(np.sum((clipped > low) & (clipped <= high))) for low, high in itertools.pairwise(edges)
    ]
    assert latency.buckets == expected


def test_latency_before_the_first_is_unknown() -> None:
    assert all(math.isnan(value) for value in Latency().percentiles(50, 99))


def test_an_unknown_latency_is_left_out() -> None:
    latency = Latency()
    latency.add(math.nan)
    assert latency.count == 0
    assert sum(latency.buckets) == 0
    assert latency.total == 0.0
