# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The Foxglove node, asked by a client that speaks its WebSocket protocol (foxglove.sdk.v1)."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import pytest

pytestmark = pytest.mark.graph
pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")
pytest.importorskip("foxglove", reason="foxglove-sdk is not installed")

PATIENCE = 30.0


def test_a_viewer_gets_the_bytes_of_the_wire_and_their_description(live: Any) -> None:
    import aiohttp
    from rclpy.serialization import deserialize_message

    from thebox_core.messages import new_track
    from thebox_interfaces.msg import TrackArray
    from thebox_webui.foxglove_node import Foxglove

    node = live.start(Foxglove, port=0)
    tracks = live.observer.create_publisher(TrackArray, "tracks", 10)
    array = TrackArray(tracks=[new_track(), new_track()])
    array.header.frame_id = "map"
    array.tracks[0].number, array.tracks[1].number = 4, 5

    async def script() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(
                f"ws://127.0.0.1:{node.port}", protocols=("foxglove.sdk.v1",), max_msg_size=0
            ) as viewer,
        ):
            channels: dict[str, Any] = {}
            while not {"/thebox/tracks", "/diagnostics"} <= set(channels):
                frame = await asyncio.wait_for(viewer.receive(), PATIENCE)
                if frame.type is aiohttp.WSMsgType.TEXT:
                    said = json.loads(frame.data)
                    if said["op"] == "advertise":
                        channels |= {each["topic"]: each for each in said["channels"]}
            channel = channels["/thebox/tracks"]
            assert channel["encoding"] == "cdr"
            assert channel["schemaEncoding"] == "ros2msg"
            assert channel["schemaName"] == "thebox_interfaces/msg/TrackArray"
            for part in ("MSG: thebox_interfaces/Track\n", "MSG: std_msgs/Header\n"):
                assert part in channel["schema"]
            wishes = 0

            async def wish() -> None:
                nonlocal wishes
                wishes += 1
                asked = [{"id": wishes, "channelId": channel["id"]}]
                await viewer.send_json({"op": "subscribe", "subscriptions": asked})

            async def heard() -> bytes:
                async for frame in viewer:
                    if frame.type is aiohttp.WSMsgType.BINARY and frame.data[0] == 1:
                        return bytes(frame.data)
                pytest.fail("the server closed the connection")

            hearing = asyncio.ensure_future(heard())
            rounds = 0
            while not hearing.done():
                # The SDK advertises a channel a moment before it takes subscriptions to it: one
                # that comes too early is refused, or forgotten.
                if rounds % 40 == 0:
                    await wish()
                rounds += 1
                tracks.publish(array)
                await asyncio.wait([hearing], timeout=0.05)
            data = hearing.result()
            assert 1 <= struct.unpack_from("<I", data, 1)[0] <= wishes
            got = deserialize_message(data[13:], TrackArray)
            assert [track.number for track in got.tracks] == [4, 5]
            assert got.header.frame_id == "map"
            await viewer.send_json(
                {"op": "unsubscribe", "subscriptionIds": list(range(1, wishes + 1))}
            )

    asyncio.run(asyncio.wait_for(script(), 3 * PATIENCE))
    live.wait(
        lambda: all(s.subscription is None for s in node._shown.values()), "nothing to be heard"
    )
