# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Asks a rosbridge server a fixed list of things and prints its answers, one JSON a line.

    ./thebox run python benchmarks/bridge/exchanges.py ws://127.0.0.1:9090/ > ours
    ./thebox run python benchmarks/bridge/exchanges.py ws://127.0.0.1:19090/ > theirs
    diff ours theirs

Shows where the stand-in of compat/ and upstream's rosbridge_server answer differently.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aiohttp
import cbor2

TYPES = {
    "/x/text": "std_msgs/msg/String",
    "/x/fix": "sensor_msgs/msg/NavSatFix",
    "/x/image": "sensor_msgs/CompressedImage",
    "/x/joints": "sensor_msgs/msg/JointState",
    "/x/status": "diagnostic_msgs/msg/DiagnosticArray",
    "/x/header": "std_msgs/Header",
    "/x/matrix": "std_msgs/msg/Float64MultiArray",
}
STAMP = {"sec": 5, "nanosec": 6}
MESSAGES: list[tuple[str, Any]] = [
    ("/x/text", {"data": "grüß"}),
    ("/x/fix", {"header": {"stamp": STAMP}, "latitude": 1, "position_covariance": [1.5] * 9}),
    ("/x/image", {"header": {"stamp": STAMP}, "format": "jpeg", "data": "AQL/"}),
    ("/x/image", {"header": {"stamp": STAMP}, "format": "jpeg", "data": [1, 2, 255]}),
    ("/x/joints", {"header": {"stamp": STAMP}, "name": ["a", "b"], "position": [1, 2.5]}),
    ("/x/status", {"header": {"stamp": STAMP}, "status": [{"level": 2, "name": "n"}]}),
    ("/x/header", {"stamp": {"secs": 7, "nsecs": 8}, "frame_id": "f"}),
    ("/x/matrix", {"data": [1, 2.5, 3], "layout": {"dim": [{"label": "l", "size": 3}]}}),
]
NODE = "/thebox/rosbridge"
CALLS: list[dict[str, Any]] = [
    {"service": f"{NODE}/get_parameters", "args": {"names": ["unregister_timeout", "nope"]}},
    {"service": f"{NODE}/get_parameters", "args": [["unregister_timeout"]]},
    {"service": f"{NODE}/get_parameters"},
    {"service": f"{NODE}/get_parameters", "args": {"names": "text"}},
    {"service": f"{NODE}/get_parameters", "args": {"name": []}},
    {"service": f"{NODE}/get_parameters#tail", "args": {"names": []}},
    {"service": "/nobody/here", "args": {}},
    {"service": "rosbridge/get_parameters", "args": {"names": []}},
]


async def main(url: str) -> None:
    """Hold the conversation."""
    async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as ws:

        async def hear(patience: float = 5.0) -> Any:
            try:
                frame = await ws.receive(timeout=patience)
            except asyncio.TimeoutError:
                return "silence"
            if frame.type is aiohttp.WSMsgType.BINARY:
                return cbor2.loads(frame.data)
            return json.loads(frame.data) if frame.type is aiohttp.WSMsgType.TEXT else frame.type

        def show(asked: Any, got: Any) -> None:
            if isinstance(got, dict) and isinstance(got.get("msg"), dict):
                got["msg"].pop("secs", None)
                got["msg"].pop("nsecs", None)
            print(json.dumps(asked), "->", json.dumps(got, default=str, sort_keys=True), flush=True)

        for index, call in enumerate(CALLS):
            asked = {"op": "call_service", "id": f"c{index}", **call}
            if "#" in call["service"]:
                del asked["id"]
            await ws.send_json(asked)
            show(asked, await hear())
        for topic, kind in TYPES.items():
            await ws.send_json({"op": "advertise", "topic": topic, "type": kind})
        for compression in ("none", "cbor", "cbor-raw"):
            for topic, values in MESSAGES:
                listen = {"topic": topic, "type": TYPES[topic], "compression": compression}
                await asyncio.sleep(1.2)
                await ws.send_json({"op": "subscribe", **listen})
                await asyncio.sleep(0.7)
                await ws.send_json({"op": "publish", "topic": topic, "msg": values})
                show([compression, topic, values], await hear())
                await ws.send_json({"op": "unsubscribe", "topic": topic})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
