# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The recorder node on a live graph: the past is saved at an alert and on demand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

from rclpy.serialization import deserialize_message
from std_msgs.msg import String
from std_srvs.srv import Trigger

from thebox_bringup.recording.bag import BagReader
from thebox_bringup.recording.blackbox import Recorder
from thebox_core.qos import EVENTS
from thebox_interfaces.msg import Event


def _bags(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/metadata.yaml"))


def test_past_is_saved_at_an_alert_and_on_demand(live: Any, tmp_path: Path) -> None:
    saying = live.observer.create_publisher(String, "said", 10)
    events = live.observer.create_publisher(Event, "events", EVENTS)
    node = live.start(Recorder, folder=str(tmp_path), after=0.2)
    live.wait(lambda: saying.get_subscription_count() and events.get_subscription_count(), "ears")
    saying.publish(String(data="before the alert"))
    live.wait(lambda: node._ring.bytes, "something held")

    events.publish(Event(kind=Event.KIND_TRACK_CONFIRMED, severity=Event.SEVERITY_INFO))
    events.publish(Event(kind=Event.KIND_TRACK_CONFIRMED, severity=Event.SEVERITY_ALERT))
    (bag,) = live.wait(lambda: _bags(tmp_path), "a finished bag")
    assert bag.name.endswith("-alert")
    with BagReader(bag) as reader:
        said = [deserialize_message(m.data, String).data for m in reader.messages({"/thebox/said"})]
        assert len(list(reader.messages({"/thebox/events"}))) == 2
    assert said == ["before the alert"]

    answer = live.call(Trigger, "recorder/save", Trigger.Request())
    assert answer.success
    assert answer.message.endswith("-demand")
    live.wait(lambda: len(_bags(tmp_path)) == 2, "the second bag")
    live.wait(lambda: live.value("recorder: recording", "saved") == "2", "health to say so")


def test_folder_that_cannot_be_written_is_said(live: Any, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    node = live.start(Recorder, folder=str(taken))
    live.wait(lambda: node.is_active, "an active node")
    answer = live.call(Trigger, "recorder/save", Trigger.Request())
    assert not answer.success
    assert "cannot write" in answer.message
    live.wait(lambda: live.level("recorder: recording") == 2, "health to say so")


def test_a_hundred_times_round_the_life_cycle(
    live: Any, tmp_path: Path, circle_a_hundred_times: Callable[[Any], None]
) -> None:
    node = live.start(Recorder, folder=str(tmp_path), autostart=False)
    circle_a_hundred_times(node)
