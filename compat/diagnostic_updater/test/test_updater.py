# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Updater and the topic tasks on a live graph: what upstream's do too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from builtin_interfaces.msg import Time as TimeMessage
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import (
    DiagnosedPublisher,
    DiagnosticStatusWrapper,
    FrequencyStatusParam,
    FunctionDiagnosticTask,
    HeaderlessTopicDiagnostic,
    Heartbeat,
    TimeStampStatusParam,
    TopicDiagnostic,
    Updater,
)
from geometry_msgs.msg import PointStamped
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

if TYPE_CHECKING:
    from conftest import Graph

pytestmark = pytest.mark.graph

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def link(stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
    stat.summary(WARN, "slow")
    stat.add("rate", "1.5")
    return stat


def silent(stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
    return stat


def content(status: DiagnosticStatus) -> tuple[object, ...]:
    values = [(entry.key, entry.value) for entry in status.values]
    return status.level, status.name, status.message, status.hardware_id, values


def test_statuses_in_order_with_node_name_and_hardware_id(graph: Graph) -> None:
    node = graph.node(namespace="/thebox")
    updater = Updater(node)
    updater.setHardwareID("SN7")
    updater.add("link", link)
    updater.add(FunctionDiagnosticTask("silent", silent))
    before = node.get_clock().now()

    array = graph.array_after(node, updater.publisher, updater.force_update)

    name = node.get_name()
    assert [content(status) for status in array.status] == [
        (WARN, f"{name}: link", "slow", "SN7", [("rate", "1.5")]),
        (ERROR, f"{name}: silent", "No message was set", "SN7", []),
    ]
    stamp = array.header.stamp.sec * 10**9 + array.header.stamp.nanosec
    assert before.nanoseconds <= stamp <= node.get_clock().now().nanoseconds


def test_a_task_is_announced_when_it_is_added(graph: Graph) -> None:
    node = graph.node()
    updater = Updater(node)
    updater.setHardwareID("SN7")
    array = graph.array_after(node, updater.publisher, lambda: updater.add("link", link))
    assert [content(status) for status in array.status] == [
        (OK, f"{node.get_name()}: link", "Node starting up", "", [])
    ]


def test_broadcast_reaches_every_task_without_running_it(graph: Graph) -> None:
    node = graph.node()
    updater = Updater(node)
    updater.setHardwareID("SN7")
    ran = []
    updater.add("link", lambda stat: ran.append(stat) or stat)
    updater.add(Heartbeat())
    array = graph.array_after(node, updater.publisher, lambda: updater.broadcast(ERROR, "going"))
    assert [content(status) for status in array.status] == [
        (ERROR, f"{node.get_name()}: link", "going", "", []),
        (ERROR, f"{node.get_name()}: Heartbeat", "going", "", []),
    ]
    assert ran == []


def test_the_first_task_of_a_name_is_removed(graph: Graph) -> None:
    node = graph.node()
    updater = Updater(node)
    updater.add("link", silent)
    updater.add("link", link)
    assert updater.removeByName("link") is True
    assert updater.removeByName("nobody") is False
    array = graph.array_after(node, updater.publisher, updater.force_update)
    assert [status.message for status in array.status] == ["slow"]
    assert [task.name for task in updater.tasks] == ["link"]


def test_the_topic_and_its_quality_of_service(graph: Graph) -> None:
    updater = Updater(graph.node(namespace="/thebox"))
    assert updater.publisher.topic_name == "/diagnostics"
    info = graph.listener.get_publishers_info_by_topic
    graph.wait(lambda: bool(info("/diagnostics")), "the publisher to be discovered")
    [endpoint] = info("/diagnostics")
    assert endpoint.topic_type == "diagnostic_msgs/msg/DiagnosticArray"
    assert endpoint.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    assert endpoint.qos_profile.durability == DurabilityPolicy.VOLATILE


def test_the_timer_reports_at_the_period_of_the_parameter(graph: Graph) -> None:
    node = graph.node(diagnostic_updater__period=0.05)
    updater = Updater(node, 3600.0)
    updater.add("link", link)
    assert updater.period == 0.05
    assert node.get_parameter("diagnostic_updater.period").value == 0.05
    graph.wait(lambda: len(graph.heard) >= 3, "three reports by the timer")


def test_the_period_can_be_given_and_changed(graph: Graph) -> None:
    node = graph.node()
    updater = Updater(node)
    assert updater.period == 3600.0
    updater.period = 0.05
    assert updater.period == 0.05
    graph.wait(lambda: len(graph.heard) >= 3, "three reports by the new timer")


def test_a_whole_number_as_period_is_refused(graph: Graph) -> None:
    node = graph.node(diagnostic_updater__period=2)
    with pytest.raises(InvalidParameterTypeException):
        Updater(node)


def test_fully_qualified_names_on_request(graph: Graph) -> None:
    node = graph.node(namespace="/thebox", diagnostic_updater__use_fqn=True)
    updater = Updater(node)
    array = graph.array_after(node, updater.publisher, lambda: updater.add("link", link))
    assert array.status[0].name == f"/thebox/{node.get_name()}: link"


def test_a_headerless_topic(graph: Graph) -> None:
    node = graph.node()
    updater = Updater(node)
    topic = HeaderlessTopicDiagnostic("sky", updater, FrequencyStatusParam({"min": 1e-6}))
    topic.tick()
    array = graph.array_after(node, updater.publisher, updater.force_update)
    assert array.status[0].name == f"{node.get_name()}: sky topic status"
    assert (array.status[0].level, array.status[0].message) == (OK, "Desired frequency met")
    topic.clear_window()
    array = graph.array_after(node, updater.publisher, updater.force_update)
    assert (array.status[0].level, array.status[0].message) == (ERROR, "No events recorded.")


def test_a_stamped_topic(graph: Graph) -> None:
    node = graph.node()
    updater = Updater(node)
    topic = TopicDiagnostic(
        "sky", updater, FrequencyStatusParam({"min": 1e-6}), TimeStampStatusParam(-100, 100)
    )
    topic.tick(node.get_clock().now())
    array = graph.array_after(node, updater.publisher, updater.force_update)
    [status] = array.status
    assert (status.level, status.message) == (
        OK,
        "Desired frequency met; Timestamps are reasonable.",
    )
    assert len(status.values) == 12
    topic.tick(node.get_clock().now())
    topic.tick(1.0)
    array = graph.array_after(node, updater.publisher, updater.force_update)
    assert (array.status[0].level, array.status[0].message) == (
        ERROR,
        "Timestamps too far in past seen.",
    )


def test_a_diagnosed_publisher_publishes_and_reports(graph: Graph) -> None:
    node = graph.node(namespace="/thebox")
    updater = Updater(node)
    publisher = node.create_publisher(PointStamped, "sky", 10)
    diagnosed = DiagnosedPublisher(
        publisher, updater, FrequencyStatusParam({"min": 1e-6}), TimeStampStatusParam(-100, 100)
    )
    assert diagnosed.publisher is publisher
    received: list[PointStamped] = []
    graph.listener.create_subscription(PointStamped, "/thebox/sky", received.append, 10)
    graph.wait(lambda: publisher.get_subscription_count() > 0, "the subscription")

    message = PointStamped()
    message.header.stamp = node.get_clock().now().to_msg()
    message.point.z = 80.0
    diagnosed.publish(message)
    graph.wait(lambda: bool(received), "the message")
    assert received == [message]

    array = graph.array_after(node, updater.publisher, updater.force_update)
    assert array.status[0].name == f"{node.get_name()}: /thebox/sky topic status"
    assert array.status[0].level == OK

    message.header.stamp = TimeMessage(sec=1)
    diagnosed.publish(message)
    array = graph.array_after(node, updater.publisher, updater.force_update)
    assert array.status[0].message == "Timestamps too far in past seen."
