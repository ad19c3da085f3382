# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The bridge with a client that others wrote: roslibpy, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.graph

ROSLIBPY = """
import sys, threading
import roslibpy

ros = roslibpy.Ros(host="127.0.0.1", port=int(sys.argv[1]))
ros.run(timeout=30)
heard = threading.Event()
topic = roslibpy.Topic(ros, "/chat", "std_msgs/String")
topic.subscribe(lambda message: message["data"] == "hello" and heard.set())
for _ in range(300):
    topic.publish(roslibpy.Message({"data": "hello"}))
    if heard.wait(0.1):
        break
else:
    sys.exit("not heard")
service = roslibpy.Service(
    ros, "/rosbridge_websocket/get_parameters", "rcl_interfaces/srv/GetParameters"
)
answer = service.call(roslibpy.ServiceRequest({"names": ["max_clients"]}), timeout=30)
print("max_clients", answer["values"][0]["integer_value"])
ros.terminate()
"""


def test_roslibpy_talks_to_it(bench: Any) -> None:
    pytest.importorskip("roslibpy", reason="roslibpy is not installed")
    at = bench(max_clients=7)
    done = subprocess.run(
        [sys.executable, "-c", ROSLIBPY, str(at.bridge.actual_port)],
        capture_output=True,
        text=True,
        timeout=100.0,
        check=False,
    )
    assert "max_clients 7" in done.stdout, done.stdout + done.stderr
