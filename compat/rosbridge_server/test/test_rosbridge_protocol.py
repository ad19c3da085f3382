# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What a client asks and gets, on a live graph."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import zlib
from typing import Any

import pytest

pytestmark = pytest.mark.graph


def published(topic: str) -> Any:
    return lambda operation: operation.get("op") == "publish" and operation["topic"] == topic


async def flowing(client: Any, publisher: Any, message: Any, accept: Any) -> Any:
    """Publish until the client hears it."""
    hearing = asyncio.ensure_future(client.hear(accept))
    while not hearing.done():
        publisher.publish(message)
        await asyncio.wait([hearing], timeout=0.05)
    return hearing.result()


def test_json_has_null_for_nan_and_base64_for_bytes(bench: Any, talk: Any) -> None:
    from sensor_msgs.msg import CompressedImage, NavSatFix

    at = bench()
    fix = NavSatFix(latitude=math.nan, longitude=1.5, altitude=math.inf)
    fix.position_covariance[0] = math.nan
    picture = CompressedImage(format="jpeg", data=[1, 2, 255])
    fixes, pictures = at.publisher(NavSatFix, "/fix"), at.publisher(CompressedImage, "/picture")

    async def script(connect: Any) -> None:
        client = await connect()
        await client.say(op="subscribe", topic="/fix", type="sensor_msgs/msg/NavSatFix")
        got = await flowing(client, fixes, fix, published("/fix"))
        assert got["msg"]["latitude"] is None
        assert got["msg"]["altitude"] is None
        assert got["msg"]["longitude"] == 1.5
        assert got["msg"]["position_covariance"][:2] == [None, 0.0]
        assert got["msg"]["header"] == {"stamp": {"sec": 0, "nanosec": 0}, "frame_id": ""}
        await client.say(op="subscribe", topic="/picture", type="sensor_msgs/CompressedImage")
        got = await flowing(client, pictures, picture, published("/picture"))
        assert base64.b64decode(got["msg"]["data"]) == bytes([1, 2, 255])

    talk(at, script)


def test_cbor_has_typed_arrays_and_raw_has_the_bytes_of_the_wire(bench: Any, talk: Any) -> None:
    import struct

    import cbor2
    from rclpy.serialization import deserialize_message, serialize_message
    from sensor_msgs.msg import NavSatFix

    at = bench()
    fix = NavSatFix(latitude=math.nan, longitude=1.5)
    fix.position_covariance[8] = 4.0
    fixes = at.publisher(NavSatFix, "/fix")

    async def script(connect: Any) -> None:
        client, other = await connect(), await connect()
        await client.say(
            op="subscribe", topic="/fix", type="sensor_msgs/NavSatFix", compression="cbor"
        )
        await other.say(
            op="subscribe", topic="/fix", type="sensor_msgs/NavSatFix", compression="cbor-raw"
        )
        got = await flowing(client, fixes, fix, published("/fix"))
        assert math.isnan(got["msg"]["latitude"])
        tag = got["msg"]["position_covariance"]
        assert isinstance(tag, cbor2.CBORTag)
        assert tag.tag == 86
        assert struct.unpack("<9d", tag.value)[8] == 4.0
        raw = await flowing(other, fixes, fix, published("/fix"))
        assert set(raw["msg"]) == {"secs", "nsecs", "bytes"}
        assert raw["msg"]["bytes"] == bytes(serialize_message(fix))
        assert deserialize_message(raw["msg"]["bytes"], NavSatFix).longitude == 1.5

    talk(at, script)


def test_png_carries_the_json(bench: Any, talk: Any) -> None:
    from std_msgs.msg import String

    at = bench()
    words = at.publisher(String, "/words")

    async def script(connect: Any) -> None:
        client = await connect()
        await client.say(op="subscribe", topic="/words", type="std_msgs/String", compression="png")
        got = await flowing(client, words, String(data="hello" * 50), lambda o: o["op"] == "png")
        picture = base64.b64decode(got["data"])
        width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
        length = int.from_bytes(picture[33:37], "big")
        rows = zlib.decompress(picture[41 : 41 + length])
        size = 3 * width + 1
        assert len(rows) == size * height
        text = b"".join(rows[at + 1 : at + size] for at in range(0, len(rows), size))
        assert json.loads(text)["msg"]["data"] == "hello" * 50

    talk(at, script)


def test_a_client_publishes_and_its_mistakes_are_named(bench: Any, talk: Any) -> None:
    from geometry_msgs.msg import PointStamped

    at = bench()
    points = at.heard(PointStamped, "/points")

    async def script(connect: Any) -> None:
        client = await connect()
        await client.say(op="set_level", level="error")
        await client.say(op="advertise", topic="/points", type="geometry_msgs/msg/PointStamped")
        value = {"header": {"frame_id": "map"}, "point": {"x": 1, "y": 2.5, "z": None}}
        await client.say(op="publish", topic="/points", msg=value)
        while not points:
            await asyncio.sleep(0.01)
        assert (points[0].point.x, points[0].point.y) == (1.0, 2.5)
        assert math.isnan(points[0].point.z)
        assert points[0].header.frame_id == "map"
        assert points[0].header.stamp.sec > 0

        for wrong, why in (
            ({"point": {"w": 1}}, "geometry_msgs/PointStamped does not have a field point.w"),
            ({"point": {"x": "1"}}, "requires a double for field point.x"),
            ({"point": 3}, "geometry_msgs/Point"),
            ([], "Expected a JSON object for type geometry_msgs/PointStamped"),
        ):
            await client.say(op="publish", topic="/points", msg=wrong, id="p")
            told = await client.hear(lambda o: o["op"] == "status")
            assert why in told["msg"], told
            assert told["id"] == "p"
        await client.say(op="publish", topic="/unheard_of", msg={})
        told = await client.hear(lambda o: o["op"] == "status")
        assert "Cannot infer topic type for topic /unheard_of" in told["msg"]
        await client.say(op="subscribe", topic="/points", type="std_msgs/msg/String")
        told = await client.hear(lambda o: o["op"] == "status")
        assert "already established with type geometry_msgs/msg/PointStamped" in told["msg"]

    talk(at, script)


def test_services_answer_fail_and_time_out(bench: Any, talk: Any) -> None:
    from std_srvs.srv import SetBool

    at = bench()

    def answer(request: Any, response: Any) -> Any:
        response.success, response.message = request.data, "done"
        return response

    at.node.create_service(SetBool, "/switch", answer)

    async def script(connect: Any) -> None:
        client = await connect()
        response = {"success": False}
        while not response.get("success"):
            await client.say(op="call_service", service="/switch", args={"data": True}, id="a")
            got = await client.hear(lambda o: o.get("id") == "a")
            response = got["values"] if got["result"] else {}
        assert got == {
            "op": "service_response",
            "service": "/switch",
            "id": "a",
            "values": {"success": True, "message": "done"},
            "result": True,
        }
        await client.say(op="call_service", service="/switch", args=[True], id="list")
        assert (await client.hear(lambda o: o.get("id") == "list"))["values"]["success"] is True
        await client.say(op="call_service", service="/switch", args={"nope": 1}, id="b")
        got = await client.hear(lambda o: o.get("id") == "b")
        assert got["result"] is False
        assert got["values"] == "Message type std_srvs/SetBool_Request does not have a field nope"
        await client.say(op="call_service", service="/nowhere", id="c")
        got = await client.hear(lambda o: o.get("id") == "c")
        assert (got["result"], got["values"]) == (False, "Service /nowhere does not exist")

    talk(at, script)


def test_a_service_that_does_not_answer_holds_up_nobody(bench: Any, talk: Any) -> None:
    import threading

    from std_srvs.srv import SetBool

    at = bench(default_call_service_timeout=0.5)
    gone = threading.Event()

    def never(request: Any, response: Any) -> Any:
        gone.wait(60.0)
        return response

    at.node.create_service(SetBool, "/slow", never)

    async def script(connect: Any) -> None:
        client = await connect()
        got: dict[str, Any] = {"values": "does not exist"}
        while "does not exist" in got["values"]:
            await client.say(op="call_service", service="/slow", id="s")
            await client.say(
                op="call_service", service="/rosbridge_websocket/list_parameters", id="q"
            )
            quick = await client.hear(lambda o: o.get("id") == "q")
            assert quick["result"] is True
            got = await client.hear(lambda o: o.get("id") == "s")
        assert got["result"] is False
        assert "Timeout exceeded" in got["values"]

    try:
        talk(at, script)
    finally:
        gone.set()


def test_an_action_is_pursued_fed_back_and_cancelled(bench: Any, talk: Any) -> None:
    action = pytest.importorskip("thebox_interfaces.action", reason="needs an action type")
    import threading
    import time

    import rclpy
    from rclpy.action import ActionServer, CancelResponse
    from rclpy.callback_groups import ReentrantCallbackGroup
    from rclpy.executors import MultiThreadedExecutor

    at = bench()
    slew = action.SlewTo

    fields = slew.Goal().get_fields_and_field_types()
    hold = next(name for name, kind in fields.items() if kind in ("double", "float"))

    def run(handle: Any) -> Any:
        while True:
            handle.publish_feedback(slew.Feedback())
            time.sleep(0.1)
            if getattr(handle.request, hold) == 0.0:
                handle.succeed()
                return slew.Result()
            if handle.is_cancel_requested:
                handle.canceled()
                return slew.Result()

    worker = rclpy.create_node("worker", context=at.context, use_global_arguments=False)
    executor = MultiThreadedExecutor(4, context=at.context)
    executor.add_node(worker)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    server = ActionServer(
        worker,
        slew,
        "/slew",
        run,
        cancel_callback=lambda handle: CancelResponse.ACCEPT,
        callback_group=ReentrantCallbackGroup(),
    )

    async def script(connect: Any) -> None:
        client = await connect()

        async def send(identity: str, value: float) -> None:
            await client.say(
                op="send_action_goal",
                action="/slew",
                action_type="thebox_interfaces/action/SlewTo",
                args={hold: value},
                feedback=True,
                id=identity,
            )

        while True:
            await send("one", 0.0)
            got = await client.hear(lambda o: o["op"] == "action_result" and o["id"] == "one")
            if got["result"]:
                break
            assert "does not exist" in got["values"]
        assert got["status"] == 4  # succeeded
        assert any(o["op"] == "action_feedback" and o["id"] == "one" for o in client.aside)
        await send("two", 1.0)
        await client.hear(lambda o: o["op"] == "action_feedback" and o["id"] == "two")
        await client.say(op="cancel_action_goal", action="/slew", id="two")
        got = await client.hear(lambda o: o["op"] == "action_result" and o["id"] == "two")
        assert (got["result"], got["status"]) == (True, 5)  # canceled
        # At once: no server can have accepted the goal yet.
        await send("three", 1.0)
        await client.say(op="cancel_action_goal", action="/slew", id="three")
        got = await client.hear(lambda o: o["op"] == "action_result" and o["id"] == "three")
        assert (got["result"], got["status"]) == (True, 5)
        await client.say(op="set_level", level="error")
        await client.say(op="cancel_action_goal", action="/slew", id="two")
        told = await client.hear(lambda o: o["op"] == "status")
        assert "under way" in told["msg"]

    try:
        talk(at, script)
    finally:
        server.destroy()
        executor.shutdown()
        thread.join(10.0)
        worker.destroy_node()


def test_throttle_drops_and_a_queue_of_one_keeps_the_newest(bench: Any, talk: Any) -> None:
    from std_msgs.msg import Int32

    at = bench()
    numbers, marks = at.publisher(Int32, "/numbers", 100), at.publisher(Int32, "/marks", 100)

    async def script(connect: Any) -> None:
        hour = 3_600_000
        client = await connect()
        await client.say(op="subscribe", topic="/marks", type="std_msgs/Int32")
        await client.say(
            op="subscribe", topic="/numbers", type="std_msgs/Int32", throttle_rate=hour
        )
        first = await flowing(client, numbers, Int32(data=1), published("/numbers"))
        assert first["msg"] == {"data": 1}
        for number in range(2, 30):
            numbers.publish(Int32(data=number))
        await flowing(client, marks, Int32(data=1), published("/marks"))
        assert not [o for o in client.aside if o["topic"] == "/numbers"]

        # Asked again with a queue and a short throttle: what is held comes, the newest of all.
        await client.say(op="unsubscribe", topic="/numbers")
        await client.say(
            op="subscribe",
            topic="/numbers",
            type="std_msgs/Int32",
            throttle_rate=200,
            queue_length=1,
        )
        await flowing(client, numbers, Int32(data=100), published("/numbers"))
        for number in range(101, 131):
            numbers.publish(Int32(data=number))
        await client.hear(lambda o: published("/numbers")(o) and o["msg"]["data"] == 130)
        seen = [o for o in client.aside if o["topic"] == "/numbers" and o["msg"]["data"] > 100]
        assert len(seen) < 20

    talk(at, script)


def test_fragments_both_ways(bench: Any, talk: Any) -> None:
    from std_msgs.msg import String

    at = bench()
    words = at.publisher(String, "/long")
    heard = at.heard(String, "/back")

    async def script(connect: Any) -> None:
        client = await connect()
        await client.say(op="subscribe", topic="/long", type="std_msgs/String", fragment_size=100)
        first = await flowing(
            client, words, String(data="x" * 350), lambda o: o["op"] == "fragment"
        )
        parts = [first]
        while len(parts) < first["total"]:
            parts.append(await client.hear(lambda o: o.get("id") == first["id"]))
        assert [part["num"] for part in parts] == list(range(first["total"]))
        whole = json.loads("".join(part["data"] for part in parts))
        assert whole["msg"]["data"] == "x" * 350

        text = json.dumps({"op": "publish", "topic": "/back", "msg": {"data": "y" * 50}})
        await client.say(op="advertise", topic="/back", type="std_msgs/String")
        pieces = [text[at : at + 20] for at in range(0, len(text), 20)]
        for number in reversed(range(len(pieces))):
            await client.say(
                op="fragment", id="f", data=pieces[number], num=number, total=len(pieces)
            )
        while not heard:
            await asyncio.sleep(0.01)
        assert heard[0].data == "y" * 50

    talk(at, script)


def test_a_latched_message_reaches_each_client_that_comes_later(bench: Any, talk: Any) -> None:
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import String

    at = bench()
    latched = at.publisher(
        String, "/latched", QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    )
    latched.publish(String(data="kept"))

    async def script(connect: Any) -> None:
        for _ in range(3):
            client = await connect()
            await client.say(op="subscribe", topic="/latched", type="std_msgs/String")
            assert (await client.hear(published("/latched")))["msg"]["data"] == "kept"

    talk(at, script)


def test_a_best_effort_publisher_that_comes_later_is_heard(bench: Any, talk: Any) -> None:
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from std_msgs.msg import String

    at = bench()

    async def script(connect: Any) -> None:
        client = await connect()
        await client.say(op="subscribe", topic="/late", type="std_msgs/String")
        await asyncio.sleep(0)
        late = at.publisher(
            String, "/late", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        )
        await flowing(client, late, String(data="here"), published("/late"))

    talk(at, script)


def test_globs_name_what_clients_may_touch(bench: Any, talk: Any) -> None:
    at = bench(topics_glob="['/open/*']", services_glob="['/never']", actions_glob="['/never']")

    async def script(connect: Any) -> None:
        client = await connect()
        await client.say(op="set_level", level="warning")
        for operation in (
            {"op": "subscribe", "topic": "/closed", "type": "std_msgs/String"},
            {"op": "advertise", "topic": "/closed", "type": "std_msgs/String"},
            {"op": "publish", "topic": "/closed", "msg": {}},
            {"op": "call_service", "service": "/rosbridge_websocket/list_parameters"},
            {"op": "send_action_goal", "action": "/x", "action_type": "a/b"},
        ):
            await client.say(**operation)
            told = await client.hear(lambda o: o["op"] == "status")
            assert "No match found" in told["msg"]
        await client.say(op="advertise", topic="/open/door", type="std_msgs/String")
        await client.say(op="call_service", service="/rosapi/topics", id="r")
        got = await client.hear(lambda o: o["op"] == "service_response")
        assert got["values"] == "Service /rosapi/topics does not exist"

    talk(at, script)
