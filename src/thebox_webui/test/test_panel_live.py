# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The panel's node with a real bridge behind it, and everything a stranger may try."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.graph
pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

aiohttp = pytest.importorskip("aiohttp")
PATIENCE = 30.0


def hashed(user: str, role: str) -> dict[str, str]:
    from thebox_webui.accounts import hash_password

    return {"user": user, "role": role, "password_hash": hash_password("correct horse")}


class Desk:
    """A panel server, its bridge, and browsers that ask it."""

    def __init__(self, live: Any, folder: Path, parameters: dict[str, Any]) -> None:
        from rosbridge_server.rosbridge_websocket import RosbridgeWebsocketNode

        from thebox_webui.node import Panel

        self.live = live
        self.bridge = live.start(
            lambda **options: RosbridgeWebsocketNode("rosbridge", **options),
            port=0,
            address="127.0.0.1",
        )
        live.wait(lambda: self.bridge.actual_port, "the bridge to listen")
        static = folder / "static"
        (static / "assets").mkdir(parents=True)
        (static / "index.html").write_text("<!doctype html><title>TheBox</title>")
        (static / "assets" / "app.js").write_text("'use strict';")
        given = {
            "port": 0,
            "bridge": f"ws://127.0.0.1:{self.bridge.actual_port}/",
            "static_folder": str(static),
            "accounts_file": str(folder / "accounts.json"),
            "nodes": ["panel", "rosbridge", "observer"],
            "plugins": ["observer"],
        }
        self.panel = live.start(Panel, **{**given, **parameters})
        live.wait(lambda: self.panel.server and self.panel.server.port, "the panel to listen")
        self.origin = f"http://127.0.0.1:{self.panel.server.port}"

    @property
    def refused(self) -> dict[str, int]:
        return self.panel.server.own().refused

    def run(self, script: Callable[[Any], Awaitable[Any]]) -> Any:
        """Run a script with an HTTP client that keeps cookies and knows the origin."""

        async def main() -> Any:
            async with aiohttp.ClientSession(
                self.origin,
                cookie_jar=aiohttp.CookieJar(unsafe=True),
                headers={"Origin": self.origin},
            ) as client:
                return await asyncio.wait_for(script(client), 3 * PATIENCE)

        return asyncio.run(main())

    def get(self, path: str, **headers: str) -> tuple[int, Any, Any]:
        async def script(client: Any) -> tuple[int, Any, Any]:
            async with client.get(path, headers=headers) as answer:
                text = await answer.text()
                is_json = answer.content_type == "application/json"
                return answer.status, json.loads(text) if is_json else text, answer.headers

        return self.run(script)


@pytest.fixture
def desk(live: Any, tmp_path: Path) -> Callable[..., Desk]:
    def start(**parameters: Any) -> Desk:
        return Desk(live, tmp_path, parameters)

    return start


@pytest.fixture
def guarded(desk: Any, tmp_path: Path) -> Desk:
    """A desk that asks for a login."""
    path = tmp_path / "accounts.json"
    path.write_text(json.dumps({"accounts": [hashed("anna", "operator"), hashed("vic", "viewer")]}))
    path.chmod(0o600)
    return desk()


async def log_in(client: Any, user: str, password: str = "correct horse") -> int:  # noqa: S107
    async with client.post("/api/login", json={"user": user, "password": password}) as answer:
        return int(answer.status)


async def hear(console: Any, accept: Callable[[Any], bool]) -> Any:
    import cbor2

    while True:
        frame = await asyncio.wait_for(console.receive(), PATIENCE)
        if frame.type is aiohttp.WSMsgType.TEXT:
            operation = json.loads(frame.data)
        elif frame.type is aiohttp.WSMsgType.BINARY:
            operation = cbor2.loads(frame.data)
        else:
            pytest.fail(f"the connection ended: {frame!r}")
        if accept(operation):
            return operation


async def list_parameters(console: Any) -> Any:
    """Ask a service through the bridge until the answer is there."""
    while True:
        await console.send_json(
            {"op": "call_service", "service": "/thebox/panel/list_parameters", "id": "l"}
        )
        answer = await hear(console, lambda o: o.get("op") == "service_response")
        if answer["result"]:
            return answer


# Files, headers, health ---------------------------------------------------------------------------


def test_files_headers_and_addresses(desk: Any) -> None:
    import jsonschema

    from thebox_webui.openapi import SCHEMAS

    at = desk()
    status, page, headers = at.get("/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "TheBox" in page
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    status, _, headers = at.get("/assets/app.js")
    assert (status, headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert "immutable" in headers["Cache-Control"]

    at.live.wait(lambda: at.get("/health")[0] == 200, "health to be well")

    # Every address answers as it is described.
    document = at.get("/openapi.json")[1]
    assert document["openapi"] == "3.1.0"
    components = {"components": {"schemas": SCHEMAS}}
    for path, wanted in {
        "/health": "Health",
        "/health/plugins": "Plugins",
        "/health/plugins/observer": "Plugin",
        "/health/database": "Database",
        "/health/event_manager": "EventManager",
        "/api/session": "Session",
        "/api/config": "Config",
    }.items():
        status, body, headers = at.get(path)
        assert status == 200, (path, body)
        assert headers["Cache-Control"] == "no-store"
        jsonschema.Draft202012Validator(
            {"$ref": f"#/components/schemas/{wanted}", **components}
        ).validate(body)
    described = {path.replace("{name}", "observer") for path in document["paths"]}
    references = json.dumps(document).split('"#/components/schemas/')[1:]
    assert {text.split('"')[0] for text in references} <= set(document["components"]["schemas"])
    assert {"/metrics", "/api/login", "/api/settings/save"} <= described

    async def other_methods(client: Any) -> None:
        for method, path, allowed in (
            ("DELETE", "/health", "GET,HEAD"),
            # From no page: that it is no address for that comes first.
            ("POST", "/health", "GET,HEAD"),
            ("GET", "/api/login", "POST"),
        ):
            async with client.request(method, path) as answer:
                assert (answer.status, answer.headers["Allow"]) == (405, allowed), (method, path)
        async with client.get("/api/nothing") as answer:
            assert answer.status == 404
        async with client.head("/health") as answer:
            assert (answer.status, await answer.read()) == (200, b"")

    at.run(other_methods)
    status, body, _ = at.get("/health/plugins/nobody")
    assert (status, body["known"]) == (404, ["observer"])
    assert at.get("/health/database")[1]["status"] == "disabled"
    status, text, headers = at.get("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "thebox_healthy 1.0" in text
    assert 'thebox_node_memory_bytes{node="panel"}' in text
    assert at.get("/api/session")[1] == {
        "user": "operator",
        "role": "operator",
        "login_required": False,
    }


def test_health_says_503_when_a_node_is_missing(desk: Any) -> None:
    at = desk(nodes=["panel", "rosbridge", "mara"], plugins=["mara"])
    at.live.wait(
        lambda: at.get("/health/event_manager")[1]["nodes"]["missing"] == ["mara"], "one missing"
    )
    status, body, _ = at.get("/health")
    assert (status, body["healthy"]) == (503, False)
    assert body["checks"]["plugins"] == {"mara": "missing"}
    assert at.get("/health/plugins/mara")[0] == 503


def test_without_a_built_panel_it_says_what_to_do(desk: Any, tmp_path: Path) -> None:
    at = desk(static_folder=str(tmp_path / "none"))
    status, text, _ = at.get("/")
    assert status == 503
    assert "./thebox build" in text
    at.live.wait(lambda: at.live.level("panel: server") == 1, "the diagnostics to warn")


# Over the bridge ----------------------------------------------------------------------------------


def test_a_panel_hears_and_asks_through_the_server(desk: Any) -> None:
    from rclpy.serialization import deserialize_message
    from std_msgs.msg import String

    at = desk()
    words = at.live.observer.create_publisher(String, "words", 10)

    async def script(client: Any) -> None:
        async with client.ws_connect("/bridge") as console:
            await console.send_json(
                {
                    "op": "subscribe",
                    "topic": "/thebox/words",
                    "type": "std_msgs/msg/String",
                    "compression": "cbor-raw",
                }
            )
            hearing = asyncio.ensure_future(hear(console, lambda o: o["op"] == "publish"))
            while not hearing.done():
                words.publish(String(data="hello"))
                await asyncio.wait([hearing], timeout=0.05)
            raw = hearing.result()["msg"]["bytes"]
            assert deserialize_message(raw, String).data == "hello"
            answer = await list_parameters(console)
            assert "port" in answer["values"]["result"]["names"]

    at.run(script)


def test_a_bridge_that_is_away_is_told_and_found_again(desk: Any) -> None:
    at = desk(bridge="ws://127.0.0.1:1/")

    async def script(client: Any) -> None:
        console = await client.ws_connect("/bridge")
        await console.receive()
        assert console.close_code == 1013

    at.run(script)
    assert at.refused["bridge_away"] == 1


def test_operators_command_and_viewers_do_not(guarded: Desk) -> None:
    change = {
        "op": "call_service",
        "service": "/thebox/mara/change_state",
        "args": {"transition": {"id": 3}},
        "id": "c",
    }

    async def script(client: Any) -> None:
        async with client.get("/api/session") as answer:
            assert answer.status == 401
        assert await log_in(client, "vic") == 200
        async with client.ws_connect("/bridge") as console:
            await console.send_json(change)
            told = await hear(console, lambda o: o["op"] == "status")
            assert told["level"] == "error"
            assert told["id"] == "c"
            answer = await hear(console, lambda o: o["op"] == "service_response")
            assert answer["result"] is False
            assert "log in as an operator" in answer["values"]
            await console.send_json({"op": "publish", "topic": "/thebox/tracks", "msg": {}})
            await hear(console, lambda o: o["op"] == "status" and "tracks" in o["msg"])
            # What it may do still works.
            await list_parameters(console)
        async with client.post("/api/settings/save", json={"node": "panel"}) as answer:
            assert answer.status == 403
        async with client.post("/api/logout") as answer:
            assert answer.status == 204
        assert await log_in(client, "anna") == 200
        async with client.ws_connect("/bridge") as console:
            await console.send_json(change)
            answer = await hear(console, lambda o: o["op"] == "service_response")
            assert answer["values"] == "Service /thebox/mara/change_state does not exist"

    guarded.run(script)


def test_settings_are_saved_to_the_sites_file(desk: Any, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("/**/mara:\n  ros__parameters: {source: 'udp://0.0.0.0:8787'}\n")
    at = desk(settings_file=str(path))
    at.live.observer.declare_parameter("speed", 4.5)
    at.live.observer.declare_parameter("names", ["a", "b"])

    async def save(client: Any, body: Any, **options: Any) -> tuple[int, Any]:
        async with client.post("/api/settings/save", json=body, **options) as answer:
            return answer.status, await answer.json()

    async def script(client: Any) -> None:
        assert (await save(client, {"node": "observer"}))[0] == 200
        for body, status in (
            ({"node": "nobody"}, 404),
            ({"node": "../x"}, 400),
            ({"node": 7}, 400),
            ({}, 400),
            ({"node": "panel"}, 403),
            ({"node": "rosbridge"}, 403),
        ):
            assert (await save(client, body))[0] == status, body
        async with client.get("/api/config") as answer:
            assert (await answer.json())["settings_writable"] is True

    at.run(script)
    content = yaml.safe_load(path.read_text())
    assert content["/thebox/observer"]["ros__parameters"]["speed"] == 4.5
    assert content["/thebox/observer"]["ros__parameters"]["names"] == ["a", "b"]
    assert content["/**/mara"]["ros__parameters"] == {"source": "udp://0.0.0.0:8787"}


# Attacks ------------------------------------------------------------------------------------------


def test_a_wrong_origin_and_a_wrong_name_are_refused(desk: Any) -> None:
    at = desk()

    async def script(client: Any) -> None:
        for origin in ("http://evil.example", at.origin.replace("127", "128"), "null", ""):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect("/bridge", headers={"Origin": origin})
            assert refused.value.status == 403
            async with client.post("/api/logout", headers={"Origin": origin}) as answer:
                assert answer.status == 403
        # DNS rebinding: the page's own name, pointed at the loopback.
        name = {"Host": "evil.example", "Origin": "http://evil.example"}
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect("/bridge", headers=name)
        assert refused.value.status == 421
        async with client.get("/health", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 421

    at.run(script)
    assert at.refused["origin"] == 8
    assert at.refused["host"] == 2


def test_without_a_session_nothing_is_told(guarded: Desk) -> None:
    async def script(client: Any) -> None:
        snapshot = "/snapshots/d7f4c9f7-0001-4002-8003-0123456789ab_1.jpg"
        for path in ("/api/session", "/api/config", snapshot):
            async with client.get(path) as answer:
                assert answer.status == 401
        for cookie in ("", "thebox_session=guess", f"thebox_session={'x' * 4000}"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect("/bridge", headers={"Cookie": cookie})
            assert refused.value.status == 401
        async with client.post("/api/settings/save", json={"node": "fusion"}) as answer:
            assert answer.status == 401

    guarded.run(script)
    assert guarded.refused["no_session"] == 6


def test_with_a_certificate_everything_goes_over_tls(desk: Any, tmp_path: Path) -> None:
    import ssl

    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make a certificate with")
    cert, key = tmp_path / "panel.pem", tmp_path / "panel.key"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    at = desk(certfile=str(cert), keyfile=str(key))
    trusting = ssl.create_default_context(cafile=str(cert))
    at.origin = at.origin.replace("http:", "https:")

    async def script(client: Any) -> None:
        async with client.get("/api/session", ssl=trusting) as answer:
            assert answer.status == 200
            assert "max-age" in answer.headers["Strict-Transport-Security"]
        console = await client.ws_connect("/bridge", ssl=trusting)
        await list_parameters(console)
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await client.get("/api/session")
        old = ssl.create_default_context(cafile=str(cert))
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get("/api/session", ssl=old)

    at.run(script)


def test_guessing_is_stopped_and_logging_out_closes_the_panel(guarded: Desk) -> None:
    async def script(client: Any) -> None:
        assert await log_in(client, "anna") == 200
        cookie = next(iter(client.cookie_jar))
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        console = await client.ws_connect("/bridge")
        await list_parameters(console)
        async with client.post("/api/logout") as answer:
            assert answer.status == 204
        while not console.closed:
            await asyncio.wait_for(console.receive(), PATIENCE)
        # 1006 when the connection ends before its last frame: closed all the same.
        assert console.close_code in (1006, 1008)
        answers = [await log_in(client, "anna", f"wrong {n}") for n in range(5)]
        assert answers == [401] * 5
        assert await log_in(client, "anna") == 429
        async with client.post("/api/login", data=b"{", headers={"Content-Type": "text/x"}) as got:
            assert got.status == 415
        for body in (b"{", b"[]", b"[" * 10_000):
            async with client.post(
                "/api/login", data=body, headers={"Content-Type": "application/json"}
            ) as got:
                assert got.status == 400
        async with client.post("/api/login", json={"user": "a" * 100_000}) as got:
            assert got.status == 413

    guarded.run(script)


def test_no_path_leads_out_of_the_panels_folder(desk: Any) -> None:
    at = desk()
    host, port = "127.0.0.1", at.panel.server.port
    for path in (
        "/../accounts.json",
        "/assets/../../accounts.json",
        "/%2e%2e/accounts.json",
        "/..%2faccounts.json",
        "/assets/%2e%2e%2f%2e%2e%2faccounts.json",
        "/..%5caccounts.json",
        "//etc/passwd",
        "/assets//etc/passwd",
        "/index.html%00.js",
        "/%ff%fe",
    ):
        with socket.create_connection((host, port), timeout=PATIENCE) as raw:
            raw.sendall(
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
            )
            answer = b""
            while chunk := raw.recv(65536):
                answer += chunk
        assert answer.split()[1] in (b"404", b"400"), (path, answer)


def test_a_flood_of_nonsense_ends_with_its_console_and_no_other(desk: Any) -> None:
    at = desk()

    async def script(client: Any) -> None:
        good = await client.ws_connect("/bridge")
        bad = await client.ws_connect("/bridge")
        with contextlib.suppress(ConnectionError):
            for number in range(10_000):
                await bad.send_str(["{", "[]", "7", '{"op": 1}', "\x00"][number % 5])
        while not bad.closed:
            await asyncio.wait_for(bad.receive(), PATIENCE)
        # 1006 when the flood behind the last frame swept the reason away.
        assert bad.close_code in (1006, 1008)
        large = await client.ws_connect("/bridge")
        with contextlib.suppress(ConnectionError):
            await large.send_str('{"op": "' + "x" * 20_000_000)
        while not large.closed:
            await asyncio.wait_for(large.receive(), PATIENCE)
        assert large.close_code in (1006, 1009)
        await list_parameters(good)

    at.run(script)
    at.live.wait(lambda: at.refused.get("too_large") == 1, "the large frame to be counted")
    assert 100 <= at.refused["malformed"] + at.refused["operation"] <= 200


def test_a_body_that_never_ends_is_not_waited_for(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import thebox_webui.answers

    monkeypatch.setattr(thebox_webui.answers, "_BODY_WITHIN", 0.2)
    at = desk()
    origin = at.origin.removeprefix("http://")

    async def script(client: Any) -> None:
        reader, writer = await asyncio.open_connection(*origin.split(":"))
        writer.write(
            f"POST /api/login HTTP/1.1\r\nHost: {origin}\r\nOrigin: {at.origin}\r\n"
            "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{".encode()
        )
        answer = await asyncio.wait_for(reader.readline(), PATIENCE)
        assert answer.startswith(b"HTTP/1.1 408 ")
        writer.close()
        assert (await client.get("/health/plugins")).status in (200, 503)

    at.run(script)
    assert at.refused["http_408"] == 1


def test_one_user_cannot_keep_the_others_out(desk: Any, tmp_path: Path) -> None:
    path = tmp_path / "accounts.json"
    path.write_text(json.dumps({"accounts": [hashed("anna", "operator"), hashed("vic", "viewer")]}))
    path.chmod(0o600)
    at = desk(max_consoles=4)

    async def script(client: Any) -> None:
        assert await log_in(client, "vic") == 200
        held = [await client.ws_connect("/bridge") for _ in range(2)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect("/bridge")
        assert refused.value.status == 503
        # A place that was left is free again.
        await held.pop().close()
        while at.panel.server.own().consoles > 1:
            await asyncio.sleep(0.01)
        held.append(await client.ws_connect("/bridge"))
        client.cookie_jar.clear()
        assert await log_in(client, "anna") == 200
        await list_parameters(await client.ws_connect("/bridge"))

    at.run(script)
    assert at.refused["consoles"] == 1


def test_hundreds_of_connections_are_refused_and_an_open_panel_goes_on(desk: Any) -> None:
    at = desk(max_connections=20, max_consoles=3)
    host, port = "127.0.0.1", at.panel.server.port

    async def script(client: Any) -> None:
        good = await client.ws_connect("/bridge")
        # Kept by name: a connection that nobody holds is closed when Python collects it.
        others = [await client.ws_connect("/bridge") for _ in range(2)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect("/bridge")
        assert refused.value.status == 503
        # Many at once do not slip through together.
        tries = (client.ws_connect("/bridge") for _ in range(5))
        for answer in await asyncio.gather(*tries, return_exceptions=True):
            assert isinstance(answer, aiohttp.WSServerHandshakeError)
        assert not any(other.closed for other in others)
        idle = []
        for _ in range(500):
            reader, writer = await asyncio.open_connection(host, port)
            idle.append((reader, writer))
        # All of an address's share are held, the rest turned away; the open panel does not notice.
        assert at.panel.server.own().connections <= 20
        await list_parameters(good)
        # The machine takes a connection before the server does: the last may still wait for it.
        while at.refused["connections"] < 480:
            await asyncio.sleep(0.05)
        for _, writer in idle:
            writer.close()

    at.run(script)
    assert at.refused["consoles"] == 6


def test_beyond_this_machine_only_with_a_password(live: Any, tmp_path: Path) -> None:
    from thebox_core.parameters import ParameterError
    from thebox_webui.node import Panel

    for address in ("0.0.0.0", "::", "192.0.2.1", "box.example"):  # noqa: S104
        with pytest.raises(ParameterError, match="no password is set"):
            live.start(Panel, address=address, accounts_file=str(tmp_path / "none.json"))
    with pytest.raises(ParameterError, match="go together"):
        live.start(Panel, certfile=__file__, keyfile="", accounts_file=str(tmp_path / "none.json"))
    with pytest.raises(ParameterError, match="there is no file"):
        live.start(Panel, certfile="/nowhere", accounts_file=str(tmp_path / "none.json"))
