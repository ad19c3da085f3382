# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The bridge with clients that others wrote: roslibpy and roslibjs, each in its own process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
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

#: Where the library is that the panel itself is made with.
PANEL = Path(__file__).resolve().parents[3] / "src/thebox_webui/panel"
ROSLIBJS = """
import { Ros, Topic, Service } from "roslib";
const ros = new Ros({ url: process.argv[2] });
await new Promise((done, failed) => { ros.on("connection", done); ros.on("error", failed); });
for (const compression of ["none", "cbor"]) {
  const topic = new Topic({ ros, name: "/chat", messageType: "std_msgs/msg/String", compression });
  const heard = new Promise((done) => topic.subscribe((m) => m.data === "hello" && done()));
  const again = setInterval(() => topic.publish({ data: "hello" }), 100);
  await heard;
  clearInterval(again);
  topic.unsubscribe();
}
const service = new Service({
  ros, name: "/rosbridge_websocket/get_parameters",
  serviceType: "rcl_interfaces/srv/GetParameters",
});
const answer = await new Promise((done, failed) =>
  service.callService({ names: ["max_clients"] }, done, failed));
console.log("max_clients", answer.values[0].integer_value);
process.exit(0);
"""


def test_roslibjs_talks_to_it(bench: Any) -> None:
    node = shutil.which("node")
    if node is None or not (PANEL / "node_modules/roslib").is_dir():
        pytest.skip("no Node.js with roslib here: npm ci in src/thebox_webui/panel")
    at = bench(max_clients=7)
    done = subprocess.run(
        [node, "--input-type=module", "-", f"ws://127.0.0.1:{at.bridge.actual_port}/"],
        input=ROSLIBJS,
        cwd=PANEL,
        capture_output=True,
        text=True,
        timeout=100.0,
        check=False,
    )
    assert "max_clients 7" in done.stdout, done.stdout + done.stderr


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
