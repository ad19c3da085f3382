# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox record``: a running graph into a bag."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.task import Future

from thebox_bringup.graph import NAMESPACE
from thebox_bringup.recording.asking import ParameterAsker
from thebox_bringup.recording.bag import BagError, Recorded
from thebox_bringup.recording.keeping import BagThread, bag_name
from thebox_bringup.recording.tap import Tap
from thebox_bringup.transport import stay_local

__all__ = ["EXCLUDED", "main", "parser"]

#: Uncompressed pictures are not recorded unless they are asked for.
EXCLUDED = r"/camera/image_raw$"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox record",
        description="Record a running graph, every topic and the sensors' raw bytes, into a bag "
        "that rosbag2 and Foxglove open. Ctrl-C ends it.",
        epilog="exit codes: 0 recorded; 1 the bag is not whole; 2 something given is wrong",
    )
    made.add_argument("bag", nargs="?", type=Path, help="folder to write; default: a dated name")
    made.add_argument("--topics", default="", metavar="REGEX", help="only topics that match")
    made.add_argument(
        "--exclude",
        default=EXCLUDED,
        metavar="REGEX",
        help=f"not topics that match; default {EXCLUDED}",
    )
    made.add_argument("--no-raw", action="store_true", help="without the sensors' raw bytes")
    made.add_argument("--duration", type=float, metavar="SECONDS", help="end by itself")
    made.add_argument("--namespace", default=NAMESPACE, help=f"of the box; default {NAMESPACE}")
    made.add_argument("--use-sim-time", action="store_true", help="stamp by /clock")
    made.add_argument("--json", action="store_true", help="say what was recorded as JSON")
    return made


class _Recording(Node):
    """Hears a graph and writes a bag."""

    def __init__(self, options: argparse.Namespace, bag: BagThread) -> None:
        super().__init__(
            f"record_{os.getpid()}",
            namespace=options.namespace,
            use_global_arguments=False,
            start_parameter_services=False,
            enable_rosout=False,
            parameter_overrides=[
                rclpy.parameter.Parameter("use_sim_time", value=options.use_sim_time)
            ],
        )
        self._bag = bag
        self._clock_now = self.get_clock().now
        exclude = options.exclude
        if options.no_raw:
            raw = f"^{options.namespace.rstrip('/')}/raw/"
            exclude = f"{exclude}|{raw}" if exclude else raw
        self.asker = ParameterAsker(self, options.namespace)
        self.tap = Tap(self, self._heard, bag.add, include=options.topics, exclude=exclude)

    def _heard(self, topic: str, data: bytes) -> None:
        self._bag.put(Recorded(topic, self._clock_now().nanoseconds, data))


def main(argv: Sequence[str] | None = None) -> int:
    """Record until Ctrl-C or the duration's end; return the exit status."""
    from rclpy.experimental.events_executor import EventsExecutor  # noqa: PLC0415

    options = parser().parse_args(argv)
    path = (options.bag or Path(bag_name("recording"))).absolute()
    try:
        bag = BagThread(path)
    except BagError as error:
        print(f"record: {error}", file=sys.stderr)
        return 2
    stay_local()
    rclpy.init(args=[], signal_handler_options=rclpy.SignalHandlerOptions.NO)
    ended: Future[Any] = Future()

    def stop(number: int, frame: FrameType | None) -> None:
        ended.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    node = _Recording(options, bag)
    executor = EventsExecutor()
    executor.add_node(node)
    print(f"recording to {path}; Ctrl-C ends it", file=sys.stderr, flush=True)
    end = time.monotonic() + options.duration if options.duration else None
    while not ended.done() and not bag.fault:
        # In slices: the executor's thread is the only one that sees a signal.
        left = 0.25 if end is None else min(0.25, end - time.monotonic())
        if left <= 0:
            break
        executor.spin_until_future_complete(ended, timeout_sec=left)
    node.tap.close()
    node.asker.close()
    status = 0
    try:
        bag.close(node.asker.known)
    except BagError as error:
        bag.fault = bag.fault or str(error)
    if bag.fault or bag.dropped:
        print(
            f"record: {bag.fault or 'the disk was too slow'}: {bag.dropped} lost", file=sys.stderr
        )
        status = 1
    _say(options, path, bag, node)
    with contextlib.suppress(Exception):
        executor.remove_node(node)
        node.destroy_node()
        executor.shutdown()
        rclpy.try_shutdown()
    return status


def _say(options: argparse.Namespace, path: Path, bag: BagThread, node: _Recording) -> None:
    told = {
        "bag": str(path),
        "messages": bag.writer.count,
        "bytes": bag.writer.bytes,
        "topics": sorted(node.tap.topics),
        "passed_over": node.tap.passed_over,
        "dropped": bag.dropped,
        "parameters_of": sorted(node.asker.known),
    }
    if options.json:
        print(json.dumps(told))
        return
    print(f"{told['messages']} messages of {len(node.tap.topics)} topics in {path}")
    for name, why in node.tap.passed_over.items():
        print(f"  not recorded: {name}: {why}")


if __name__ == "__main__":
    raise SystemExit(main())
