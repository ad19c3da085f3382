# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What it costs to take in a detection: as a message object, and as it is on the wire.

    ./thebox run python benchmarks/receive.py

A process publishes looks of 200 detections, one a second. This one takes them in, first as rclpy's
message objects and then packed (`thebox_core/packed_detection.py`), and tells its own processor
time a detection: the middleware's threads, the executor, and the reading.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from typing import Any

from thebox_bringup.transport import speak_as_the_box

LOOK = 200
TOPIC = "detections/dspnor"


def publish(looks: int) -> None:
    """Publish looks as soon as somebody listens; as a process of its own."""
    import rclpy  # noqa: PLC0415 - after the domain is set

    from thebox_core.messages import new_detection  # noqa: PLC0415
    from thebox_core.qos import DETECTIONS  # noqa: PLC0415
    from thebox_interfaces.msg import Detection  # noqa: PLC0415

    rclpy.init(args=[])
    node = rclpy.create_node("radar", namespace="/bench")
    publisher = node.create_publisher(Detection, TOPIC, DETECTIONS)
    message = new_detection()
    message.sensor, message.modality = "dspnor", Detection.MODALITY_RADAR
    while not publisher.get_subscription_count():
        time.sleep(0.01)
    for _ in range(looks):
        time.sleep(1.0)
        for _ in range(LOOK):
            publisher.publish(message)
    time.sleep(1.0)
    rclpy.shutdown()


def measured(raw: bool, looks: int) -> float:
    """Return the microseconds of processor time a detection."""
    import rclpy  # noqa: PLC0415
    from rclpy.experimental.events_executor import EventsExecutor  # noqa: PLC0415
    from rclpy.task import Future  # noqa: PLC0415

    from thebox_core.packed_detection import PackedDetection  # noqa: PLC0415
    from thebox_core.qos import DETECTIONS  # noqa: PLC0415
    from thebox_interfaces.msg import Detection  # noqa: PLC0415

    sender = multiprocessing.get_context("spawn").Process(
        target=publish, args=(looks,), daemon=True
    )
    sender.start()
    rclpy.init(args=[])
    node = rclpy.create_node("taker", namespace="/bench")
    done: Future = Future()
    spent = [0.0, 0.0]
    count = 0

    def take(message: Any) -> None:
        nonlocal count
        read: Callable[[Any], Any] = PackedDetection.read if raw else lambda whole: whole
        assert read(message).sensor == "dspnor"
        count += 1
        # The first look warms up.
        if count == LOOK:
            spent[0] = time.process_time()
        elif count == LOOK * looks:
            spent[1] = time.process_time()
            done.set_result(None)

    node.create_subscription(Detection, TOPIC, take, DETECTIONS, raw=raw)
    executor = EventsExecutor()
    executor.add_node(node)
    executor.spin_until_future_complete(done, timeout_sec=looks + 30.0)
    if not done.done():
        raise TimeoutError(f"{count} of {LOOK * looks} detections came")
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()
    sender.join(10.0)
    return 1e6 * (spent[1] - spent[0]) / (LOOK * (looks - 1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--looks", type=int, default=9)
    parser.add_argument("--domain", type=int, default=66, help="ROS domain of its own")
    options = parser.parse_args()
    os.environ["ROS_DOMAIN_ID"] = str(options.domain)
    speak_as_the_box()
    objects, packed = measured(False, options.looks), measured(True, options.looks)
    print(f"as objects {objects:.0f} us a detection, as on the wire {packed:.0f}: ", end="")
    print(f"{objects / packed:.1f} times as much")


if __name__ == "__main__":
    main()
