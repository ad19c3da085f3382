# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The operator's commands without a graph: rules, log lines, losses, places."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

from builtin_interfaces.msg import Time

from thebox_bringup.operations import box, logs, perf, validate
from thebox_bringup.operations.box import NoBoxError, find_box
from thebox_core.messages import new_detection

_NOW = 1_800_000_000.0


def detection():
    made = new_detection()
    made.header.stamp = Time(sec=int(_NOW))
    made.received = Time(sec=int(_NOW))
    made.header.frame_id = "hark_link"
    made.sensor = "hark"
    made.bearing, made.bearing_std = 1.0, 0.1
    return made


def test_a_right_detection_has_no_faults() -> None:
    assert validate.detection_faults(detection(), "hark", _NOW) == []


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("bearing", -0.1, "not in [0, 2*pi)"),
        ("bearing", 2.0 * math.pi, "not in [0, 2*pi)"),
        ("range", -1.0, "is negative"),
        ("range_std", 3.0, "without range"),
        ("confidence", 1.5, "not in [0, 1]"),
        ("elevation", 2.0, "beyond the zenith"),
        ("rssi", math.inf, "infinite"),
        ("sensor", "other", "not 'hark'"),
        ("modality", 77, "unknown"),
    ],
)
def test_each_rule_of_a_detection_is_held(field: str, value: object, said: str) -> None:
    made = detection()
    setattr(made, field, value)
    faults = validate.detection_faults(made, "hark", _NOW)
    assert len(faults) == 1
    assert said in faults[0]


def test_stamps_and_frames_are_checked() -> None:
    made = detection()
    made.header.stamp = Time()
    made.header.frame_id = "map"
    made.received = Time()
    faults = " ".join(validate.detection_faults(made, "hark", _NOW))
    assert "stamp is not set" in faults
    assert "received is not set" in faults
    assert "frame_id 'map'" in faults
    assert "+100.0 s" in " ".join(validate.detection_faults(detection(), "hark", _NOW - 100.0))


def test_two_sensors_on_one_port_clash() -> None:
    both = validate.clashes(
        [("a", "udp://0.0.0.0:51"), ("b", "udp://127.0.0.1:51"), ("c", "tcp://x:51")]
    )
    assert both == ["a and b both listen on UDP port 51"]


def test_a_parameter_file_is_checked_without_a_box(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("/thebox/mara:\n  ros__parameters:\n    queue_sise: 3\n", encoding="utf-8")
    assert validate.main(["--config", str(path), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["valid"]
    assert f"{path}:3" in told["findings"][0]["text"]
    path.write_text("/thebox/mara:\n  ros__parameters:\n    queue_size: 30\n", encoding="utf-8")
    assert validate.main(["--config", str(path)]) == 0


def test_log_lines_are_read_with_what_follows_them() -> None:
    line = logs.parse("[WARN] [1800000000.250000000] [thebox.mara]: no heading", "mara", None)
    assert line is not None
    assert (line.level, line.node, line.message) == ("warn", "mara", "no heading")
    assert line.stamp == "2027-01-15T08:00:00.250Z"
    after = logs.parse("  File x.py", "mara", line)
    assert after is not None
    assert (after.time, after.level) == (line.time, "warn")


def test_since_is_a_span_or_a_time() -> None:
    assert logs.since("10m", 1000.0) == 400.0
    assert logs.since("2027-01-15T08:00:00Z", 0.0) == _NOW
    with pytest.raises(ValueError, match="--since soon"):
        logs.since("soon", 0.0)


def test_kernel_drops_are_read_by_port() -> None:
    text = (
        "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "
        "timeout inode ref pointer drops\n"
        "  100: 0100007F:2710 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000     "
        "   0 12345 2 0000000000000000 17\n"
    )
    assert perf.udp_drops(text) == {10000: 17}


def test_the_box_is_looked_for_where_it_was_said_to_be(tmp_path: Path) -> None:
    nothing = {"THEBOX_RUN_DIR": str(tmp_path)}
    options = argparse.Namespace(domain_id=None, namespace=None)
    assert find_box(options, nothing) == box.Box(0, "/thebox", "default")
    told = {**nothing, "ROS_DOMAIN_ID": "7", "THEBOX_NAMESPACE": "/north"}
    assert find_box(options, told) == box.Box(7, "/north", "ROS_DOMAIN_ID")
    asked = argparse.Namespace(domain_id=9, namespace="south")
    assert find_box(asked, told) == box.Box(9, "/south", "asked for")
    with pytest.raises(NoBoxError, match="0 to 232"):
        find_box(options, {**nothing, "ROS_DOMAIN_ID": "x"})
