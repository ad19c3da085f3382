# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What ``tune`` asks for, from given measurements; and how it is put into force and taken back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from thebox_bringup.operations.applying import (
    SYSCTL_FILE,
    ApplyError,
    set_in_text,
    undo,
    write_kernel,
    write_parameters,
)
from thebox_bringup.operations.tuning import (
    Driver,
    Facts,
    Kernel,
    changes,
    kernel_facts,
)
from thebox_bringup.settings import load_file

MIB = 1 << 20
WELL = Driver("udp://0.0.0.0:51", 8 * MIB, 5000, rate=1000.0, size=400.0)
FACTS = Facts(
    cores=4,
    memory_available=8e9,
    drivers={"mara": WELL},
    kernel=Kernel(8 * MIB, 1000, 7, 0),
    kernel_before=Kernel(8 * MIB, 1000, 7, 0),
    processor={"mara": 10.0, "fusion": 20.0},
    nodes=10,
    fusion={"publish_rate_max": 20.0, "cycle_p99": 0.01, "dropped": 0.0},
    database={
        "queue_size": 50_000,
        "queue_depth": 100.0,
        "dropped": 0.0,
        "batch_period": 0.5,
        "bytes": 1e9,
        "megabytes": 10_000,
        "disk_free": 50e9,
        "keep": "sampled",
    },
)


def found(facts: Facts) -> dict[str, tuple[object, bool]]:
    """Each change's new value, and whether it is needed."""
    return {change.what: (change.wanted, change.needed) for change in changes(facts)}


def with_driver(**values: object) -> Facts:
    return replace(FACTS, drivers={"mara": replace(WELL, **values)})


def test_a_box_that_loses_nothing_needs_nothing() -> None:
    assert changes(FACTS) == []


def test_a_cut_buffer_asks_for_a_higher_limit() -> None:
    facts = replace(with_driver(cut=True), kernel=Kernel(212_992, 1000, 7, 0))
    assert found(facts) == {"net.core.rmem_max": (8 * MIB, False)}
    lossy = replace(with_driver(cut=True, kernel_drops=3), kernel=Kernel(212_992, 1000, 7, 0))
    assert found(lossy) == {"net.core.rmem_max": (8 * MIB, True)}
    (unknown,) = changes(replace(facts, kernel=Kernel()))
    assert (unknown.how, unknown.wanted) == ("hand", 8 * MIB)


def test_drops_with_the_whole_buffer_ask_for_a_larger_one_and_the_limit_with_it() -> None:
    told = found(with_driver(kernel_drops=10, kernel_drops_now=10))
    assert told == {
        "mara.receive_buffer": (16 * MIB, True),
        "net.core.rmem_max": (16 * MIB, True),
    }
    # Two seconds of what arrives, at what the kernel counts for each, where that is more.
    heavy = found(with_driver(kernel_drops=10, rate=20_000.0, size=1232.0))
    assert heavy["mara.receive_buffer"] == (128 * MIB, True)
    # A stream has no datagrams that the kernel would drop.
    assert found(with_driver(source="tcp://192.0.2.1:50", kernel_drops=10)) == {}


def test_a_full_queue_asks_for_a_longer_one_unless_the_processor_is_short() -> None:
    assert found(with_driver(dropped=5)) == {"mara.queue_size": (10_000, True)}
    busy = replace(with_driver(dropped=5), processor={"mara": 99.0})
    assert list(found(busy)) == ["processor of mara"]


def test_packets_lost_before_any_socket_count_only_while_it_looks() -> None:
    facts = replace(FACTS, kernel=Kernel(8 * MIB, 1000, 9, 0))
    assert found(facts) == {"net.core.netdev_max_backlog": (2000, True)}


def test_cycles_that_fill_the_time_between_pictures_ask_for_fewer_pictures() -> None:
    slow = {"publish_rate_max": 20.0, "cycle_p99": 0.045, "dropped": 0.0}
    assert found(replace(FACTS, fusion=slow)) == {"fusion.publish_rate_max": (8.0, False)}
    lossy = {"publish_rate_max": 20.0, "cycle_p99": 0.08, "dropped": 4.0}
    assert found(replace(FACTS, fusion=lossy)) == {"fusion.publish_rate_max": (5.0, True)}
    assert found(replace(FACTS, fusion={})) == {}


def test_the_database_is_given_room_and_time() -> None:
    waiting = {**FACTS.database, "queue_depth": 30_000.0, "keep": "whole"}
    assert found(replace(FACTS, database=waiting)) == {
        "dronedb.batch_period": (2.0, False),
        "dronedb.queue_size": (100_000, False),
        "dronedb.detections.keep": ("sampled", False),
    }
    small = {**FACTS.database, "disk_free": 2e9}
    assert found(replace(FACTS, database=small)) == {"dronedb.retention.megabytes": (2600, False)}
    tight = {**FACTS.database, "megabytes": 0, "disk_free": 0.5e9}
    assert found(replace(FACTS, database=tight)) == {"dronedb.retention.megabytes": (1400, True)}


def test_composition_follows_memory_and_cores() -> None:
    short = replace(FACTS, memory_available=100e6)
    assert found(short) == {"up --composed": ("up --composed", False)}
    full = replace(FACTS, composed=True, processor={"composed": 97.0})
    assert found(full) == {"up --composed": ("up without it", True)}
    assert found(replace(full, cores=2)) == {}


def test_needed_changes_come_first() -> None:
    facts = replace(with_driver(dropped=5), database={**FACTS.database, "disk_free": 2e9}, cores=2)
    assert [change.needed for change in changes(facts)] == [True, False]


def test_the_kernel_is_read_where_it_can_be(tmp_path: Path) -> None:
    (tmp_path / "sys/net/core").mkdir(parents=True)
    (tmp_path / "net").mkdir()
    (tmp_path / "sys/net/core/rmem_max").write_text("212992\n")
    (tmp_path / "net/softnet_stat").write_text("0000010b 00000002 0\n0000a675 0000000a 0\n")
    (tmp_path / "net/snmp").write_text(
        "Tcp: RtoAlgorithm\nTcp: 1\n"
        "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\nUdp: 9 8 7 6 5\n"
    )
    assert kernel_facts(tmp_path) == Kernel(212_992, None, 12, 5)
    assert kernel_facts(tmp_path / "none") == Kernel()
    assert kernel_facts().udp_errors is not None


# Parameters --------------------------------------------------------------------------------------

SITE = """\
# Our site.
# thebox-format: 2
/thebox/mara:
  ros__parameters:
    # As the mast is turned.
    mounting_bearing: 0.5
    queue_size: 6000  # since March
/**/dronedb:
  ros__parameters: {retention: {days: 10.0, megabytes: 4000}}
"""


def test_a_parameter_is_set_in_its_line_and_all_else_stays(tmp_path: Path) -> None:
    text = set_in_text(SITE, "/thebox", "mara", "queue_size", 12_000)
    assert text == SITE.replace("6000", "12000")
    text = set_in_text(text, "/thebox", "dronedb", "retention.megabytes", 2600)
    assert "{days: 10.0, megabytes: 2600}" in text
    text = set_in_text(text, "/thebox", "dronedb", "batch_period", 2.0)
    text = set_in_text(text, "/thebox", "mara", "receive_buffer", 16 * MIB)
    text = set_in_text(text, "/thebox", "fusion", "publish_rate_max", 8.0)
    path = tmp_path / "site.yaml"
    path.write_text(text)
    assert load_file(path, "/thebox") == {
        "mara": {"mounting_bearing": 0.5, "queue_size": 12_000, "receive_buffer": 16 * MIB},
        "dronedb": {"retention.days": 10.0, "retention.megabytes": 2600, "batch_period": 2.0},
        "fusion": {"publish_rate_max": 8.0},
    }
    for comment in ("# Our site.", "    # As the mast is turned.", "  # since March"):
        assert comment in text


@pytest.mark.parametrize(
    "text", ["", "/thebox/mara:\n  ros__parameters: {}\n", "/thebox/mara:\n  ros__parameters:\n"]
)
def test_a_file_or_section_with_nothing_in_it_is_filled(text: str, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(set_in_text(text, "/thebox", "mara", "queue_size", 70))
    assert load_file(path, "/thebox") == {"mara": {"queue_size": 70}}


# Importing the declarations takes ROS.
def test_a_file_is_kept_before_it_is_written(tmp_path: Path) -> None:
    pytest.importorskip("diagnostic_updater", reason="no ROS here: run through ./thebox test")
    path = tmp_path / "site.yaml"
    assert write_parameters(path, "/thebox", {("mara", "queue_size"): 70}) is None
    first = path.read_text()
    kept = write_parameters(path, "/thebox", {("mara", "queue_size"): 80})
    assert kept is not None
    assert kept.read_text() == first
    assert load_file(path, "/thebox") == {"mara": {"queue_size": 80}}


def test_a_value_that_is_not_allowed_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("diagnostic_updater", reason="no ROS here: run through ./thebox test")
    path = tmp_path / "site.yaml"
    path.write_text(SITE.replace("mounting_bearing: 0.5", "receive_buffer: 8192"))
    before = path.read_text()
    with pytest.raises(ApplyError, match="queue_size"):
        write_parameters(path, "/thebox", {("mara", "queue_size"): -1})
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


# The kernel --------------------------------------------------------------------------------------


def system(root: Path) -> Path:
    core = root / "proc/sys/net/core"
    core.mkdir(parents=True)
    (core / "rmem_max").write_text("212992\n")
    (core / "netdev_max_backlog").write_text("1000\n")
    return core


def test_the_kernels_values_are_set_and_set_back(tmp_path: Path) -> None:
    core, record = system(tmp_path), tmp_path / "data/before.json"
    write_kernel({"net.core.rmem_max": 8 * MIB}, record, tmp_path)
    # A second time: what was there at first is what undo brings back.
    write_kernel(
        {"net.core.rmem_max": 16 * MIB, "net.core.netdev_max_backlog": 2000}, record, tmp_path
    )
    assert (core / "rmem_max").read_text() == f"{16 * MIB}\n"
    told = (tmp_path / SYSCTL_FILE).read_text().splitlines()
    assert told[1:] == ["net.core.netdev_max_backlog = 2000", f"net.core.rmem_max = {16 * MIB}"]
    assert undo(record, tmp_path) == {
        "net.core.rmem_max": "212992",
        "net.core.netdev_max_backlog": "1000",
    }
    assert (core / "rmem_max").read_text() == "212992\n"
    assert (core / "netdev_max_backlog").read_text() == "1000\n"
    assert not (tmp_path / SYSCTL_FILE).exists()
    assert undo(record, tmp_path) == {}


def test_what_cannot_be_set_leaves_the_kernel_as_it_was(tmp_path: Path) -> None:
    core, record = system(tmp_path), tmp_path / "before.json"
    with pytest.raises(ApplyError, match="stay as they were"):
        write_kernel({"net.core.rmem_max": 8 * MIB, "net.core.none": 1}, record, tmp_path)
    assert (core / "rmem_max").read_text() == "212992\n"
    assert not (tmp_path / SYSCTL_FILE).exists()
    # What was written down is of a value that was never changed: harmless to bring back.
    assert json.loads(record.read_text()) == {"net.core.rmem_max": "212992"}
