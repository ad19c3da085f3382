# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: files, sessions, the way to the bridge, health and metrics. No ROS.

Runs in an event loop of its own thread; what it needs of ROS comes as :class:`Box`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientSession, TCPConnector, web

from thebox_webui.accounts import Account, Guesses, Session, Sessions, check_password
from thebox_webui.answers import (
    LARGEST_BODY,
    Answer,
    File,
    error_answer,
    is_plain_host,
    json_answer,
    origin_of,
    read_body,
)
from thebox_webui.connections import FIRST_REQUEST, Connections
from thebox_webui.metrics import CONTENT_TYPE, Own, Usage, exposition
from thebox_webui.openapi import describe
from thebox_webui.picture import (
    Expected,
    Graph,
    database_health,
    event_manager_health,
    health_of,
    plugin_detail,
    plugin_status,
)
from thebox_webui.proxy import LARGEST_ASKED, Console, pass_on
from thebox_webui.settings_file import SettingsFileError, save, writable
from thebox_webui.snapshots import Snapshots
from thebox_webui.static import Files

__all__ = ["Box", "Server", "Setup", "is_loopback"]

COOKIE = "thebox_session"
#: Nodes whose settings are not saved from the panel: they guard it.
_GUARDS = ("panel", "rosbridge")
_NO_SESSION = Session("operator", "operator", float("inf"))
_VERSION = "0.1.0"


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches a server on that address."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Setup:
    """What the server is told."""

    address: str = "127.0.0.1"
    port: int = 8080
    bridge: str = "ws://127.0.0.1:9090/"
    certfile: str = ""
    keyfile: str = ""
    session_seconds: float = 12 * 3600.0
    allowed_hosts: tuple[str, ...] = ()
    health_needs_login: bool = False
    max_consoles: int = 32
    max_connections: int = 256
    namespace: str = "/thebox"
    settings_file: Path | None = None
    accounts: dict[str, Account] = field(default_factory=dict)
    expected: Expected = field(default_factory=Expected)


@dataclass(frozen=True)
class Box:
    """What the server needs of the box."""

    graph: Callable[[], Graph]
    #: The present parameters of a node by its full name; raises LookupError, TimeoutError.
    parameters: Callable[[str], Awaitable[dict[str, Any]]]
    usage: Callable[[], dict[str, Usage]]
    log: Callable[[str, str], None]


class Server:
    """The server; ``serve`` runs it until ``stop``."""

    def __init__(self, setup: Setup, box: Box, files: Files) -> None:
        self.setup = setup
        self._box = box
        self._files = files
        self._snapshots = Snapshots(box.parameters, f"{setup.namespace}/vision")
        self._sessions = Sessions(setup.session_seconds)
        self._guesses = Guesses()
        self._refused: dict[str, int] = {}
        self._consoles: dict[web.WebSocketResponse, Console] = {}
        self._by_session: dict[str, set[web.WebSocketResponse]] = {}
        self._sent = self._dropped = 0
        self._connections: Connections | None = None
        # Two at a time: each takes 32 MiB.
        self._hashing = asyncio.Semaphore(2)
        self._saving = asyncio.Lock()
        self._stop = asyncio.Event()
        self._client: ClientSession | None = None
        #: The port in use, once it is bound.
        self.port = 0
        self.fault = ""

    @property
    def login_required(self) -> bool:
        """Whether a user must log in."""
        return bool(self.setup.accounts)

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""
        return bool(self.setup.certfile)

    def refused(self, reason: str, text: str) -> None:
        """Count a refusal; log the first of its kind, then one at each power of ten."""
        count = self._refused.get(reason, 0) + 1
        self._refused[reason] = count
        if str(count).strip("0") == "1":
            many = f" (the {count}th of its kind)" if count > 1 else ""
            # repr: what a stranger sends must not write lines of its own into the log.
            self._box.log("warning", f"refused, {reason}: {ascii(text)[1:-1]}{many}")

    def own(self) -> Own:
        """What the server counts about itself."""
        live = list(self._consoles.values())
        return Own(
            consoles=len(live),
            connections=len(self._connections or ()),
            sent=self._sent + sum(console.sent for console in live),
            dropped=self._dropped + sum(console.dropped for console in live),
            refused=dict(self._refused),
        )

    # Running ----------------------------------------------------------------------------------

    def stop(self) -> None:
        """End ``serve``; from the loop's thread."""
        self._stop.set()

    async def serve(self) -> None:
        """Listen, trying again while the port is taken, until ``stop``."""
        application = web.Application(middlewares=[self._guarded], client_max_size=LARGEST_BODY)
        self._routes(application)
        # One upstream connection a console, and no cookies kept.
        self._client = ClientSession(connector=TCPConnector(limit=0), auto_decompress=False)
        runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=FIRST_REQUEST,
            shutdown_timeout=1.0,
        )
        await runner.setup()
        listening: asyncio.Server | None = None
        try:
            listening = await self._listen(runner)
            while not self._stop.is_set():
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), 2.0)
                if self._connections is not None:
                    self._connections.end_idle()
        finally:
            if listening is not None:
                listening.close()
            for socket in list(self._consoles):
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(
                        socket.close(code=1001, message=b"the panel's server is stopping"), 0.5
                    )
            await runner.cleanup()
            await self._client.close()

    async def _listen(self, runner: web.AppRunner) -> asyncio.Server | None:
        context = None
        if self.secure:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(self.setup.certfile, self.setup.keyfile or None)
        loop = asyncio.get_running_loop()
        server = runner.server
        assert server is not None  # noqa: S101 - set up before

        self._connections = Connections(self.setup.max_connections, server, self.refused)
        while not self._stop.is_set():
            try:
                listening = await loop.create_server(
                    self._connections.connected, self.setup.address, self.setup.port, ssl=context
                )
            except OSError as error:
                fault = f"cannot listen on {self.setup.address}:{self.setup.port}: {error.strerror}"
                if fault != self.fault:
                    self.fault = fault
                    self._box.log("warning", f"{fault}; trying again")
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), 2.0)
                continue
            self.fault = ""
            self.port = int(listening.sockets[0].getsockname()[1])
            scheme = "https" if self.secure else "http"
            host = self.setup.address
            host = f"[{host}]" if ":" in host else host
            self._box.log("info", f"panel at {scheme}://{host}:{self.port}/")
            return listening
        return None

    # Guarding ---------------------------------------------------------------------------------

    def _routes(self, application: web.Application) -> None:
        # HEAD too: what watches over servers asks with it.
        get, post = application.router.add_get, application.router.add_post
        get("/api/session", self._get_session)
        get("/api/config", self._get_config)
        post("/api/login", self._post_login)
        post("/api/logout", self._post_logout)
        post("/api/settings/save", self._post_save)
        get("/bridge", self._get_bridge, allow_head=False)
        get("/health", self._get_health)
        get("/health/plugins", self._get_plugins)
        get("/health/plugins/{name}", self._get_plugin)
        get("/health/database", self._get_database)
        get("/health/event_manager", self._get_event_manager)
        get("/metrics", self._get_metrics)
        get("/openapi.json", self._get_openapi)
        get("/snapshots/{name}", self._get_snapshot)
        # What is under api/ is no file: a wrong method there is told with the right ones.
        get("/{path:(?!api/).*}", self._get_file)

    def _headers(self, request: web.Request) -> dict[str, str]:
        host = request.host if is_plain_host(request.host) else ""
        sockets = f" ws://{host} wss://{host}" if host else ""
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
            f"font-src 'self'; media-src 'self' blob:; connect-src 'self'{sockets}; "
            "worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
            "frame-ancestors 'none'"
        )
        return {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
            **({"Strict-Transport-Security": "max-age=31536000"} if self.secure else {}),
        }

    def _host_known(self, host: str) -> bool:
        """Whether the request is meant for this server.

        A page elsewhere can point a name of its own at the loopback (DNS rebinding); its requests
        then come with that name. Beyond the loopback a login stands in the way.
        """
        name = urlsplit(f"//{host}").hostname or ""
        if name in self.setup.allowed_hosts:
            return True
        if not is_loopback(self.setup.address):
            return True
        return is_loopback(name)

    def _same_origin(self, request: web.Request) -> bool:
        origin = request.headers.get("Origin")
        if origin is None:
            return False
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.netloc == request.host

    @web.middleware
    async def _guarded(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        if self._connections is not None:
            self._connections.asked(request.transport)
        try:
            response = await self._judged(request, handler)
        except Answer as answer:
            response = answer.response
        except web.HTTPException as error:
            # aiohttp's own: 404, 405, 413.
            self.refused(f"http_{error.status}", f"{request.method} {request.path[:120]}")
            response = error_answer(error.status, error.reason)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
        if not response.prepared:
            response.headers.update(self._headers(request))
        return response

    async def _judged(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        if not self._host_known(request.host):
            self.refused("host", f"a request for {request.host[:80]}")
            return error_answer(
                421, "this server does not go by that name; allowed_hosts can add it"
            )
        # Where nothing takes a POST the answer is 405, whoever asks.
        taken = request.match_info.http_exception is None
        if request.method == "POST" and taken and not self._same_origin(request):
            self.refused("origin", f"POST {request.path[:80]} from {origin_of(request)}")
            return error_answer(403, "only the panel's own page may ask for this")
        return await handler(request)

    def _session(self, request: web.Request) -> Session | None:
        if not self.login_required:
            return _NO_SESSION
        return self._sessions.find(request.cookies.get(COOKIE))

    def _need_session(self, request: web.Request) -> Session:
        session = self._session(request)
        if session is None:
            self.refused("no_session", f"{request.method} {request.path[:80]}")
            raise Answer(error_answer(401, "log in first"))
        return session

    # Sessions ---------------------------------------------------------------------------------

    def _session_json(self, session: Session) -> dict[str, Any]:
        return {
            "user": session.user,
            "role": session.role,
            "login_required": self.login_required,
        }

    async def _get_session(self, request: web.Request) -> web.Response:
        session = self._session(request)
        # Asked at each start of the panel: no refusal to count.
        if session is None:
            return error_answer(401, "log in first")
        return json_answer(self._session_json(session))

    async def _get_config(self, request: web.Request) -> web.Response:
        self._need_session(request)
        return json_answer(
            {
                "namespace": self.setup.namespace,
                "bridge": "/bridge",
                "version": _VERSION,
                "settings_writable": writable(self.setup.settings_file),
            }
        )

    async def _post_login(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        user, password = body.get("user"), body.get("password")
        if not isinstance(user, str) or not isinstance(password, str):
            return error_answer(400, "a login has a user and a password")
        if not self.login_required:
            return json_answer(self._session_json(_NO_SESSION))
        keys = (f"address {request.remote}", f"user {user[:64]}")
        wait = self._guesses.wait(*keys)
        if wait > 0:
            self.refused("guessing", f"too many failed logins from {request.remote}")
            answer = error_answer(429, f"too many failed logins; try again in {wait:.0f} s")
            answer.headers["Retry-After"] = str(int(wait) + 1)
            return answer
        # Counted before the check, so that many tries at once do not slip through together.
        self._guesses.failed(*keys)
        account = self.setup.accounts.get(user)
        async with self._hashing:
            good = await asyncio.get_running_loop().run_in_executor(
                None, check_password, password, account.password_hash if account else None
            )
        if account is None or not good:
            self.refused("login", f"a failed login from {request.remote}")
            return error_answer(401, "wrong user or password")
        self._guesses.succeeded(*keys)
        token = self._sessions.begin(account)
        session = self._sessions.find(token)
        assert session is not None  # noqa: S101 - just begun
        self._box.log("info", f"{account.user} ({account.role}) logged in from {request.remote}")
        response = json_answer(self._session_json(session))
        response.set_cookie(
            COOKIE,
            token,
            max_age=int(self.setup.session_seconds),
            httponly=True,
            samesite="Strict",
            secure=self.secure,
            path="/",
        )
        return response

    async def _post_logout(self, request: web.Request) -> web.Response:
        session = self._session(request)
        self._sessions.end(request.cookies.get(COOKIE))
        if session is not None and session.key:
            for socket in list(self._by_session.get(session.key, ())):
                await socket.close(code=1008, message=b"logged out")
        response = web.Response(status=204)
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict", secure=self.secure)
        return response

    async def _post_save(  # noqa: PLR0911 - each refusal has its status
        self, request: web.Request
    ) -> web.Response:
        session = self._need_session(request)
        if session.role != "operator":
            self.refused("role", f"{session.user} would save settings")
            return error_answer(403, "a viewer may not save settings; log in as an operator")
        name = (await read_body(request)).get("node")
        if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
            return error_answer(400, "node must be the name of a node, such as fusion")
        if name in _GUARDS:
            return error_answer(403, f"the settings of {name} are made in the file alone")
        path = self.setup.settings_file
        if path is None:
            return error_answer(
                409,
                "this box was started without a parameter file of its site; "
                "start it with --config FILE to save settings",
            )
        full = f"{self.setup.namespace.rstrip('/')}/{name}"
        try:
            values = await self._box.parameters(full)
        except LookupError:
            return error_answer(404, f"there is no node {full}")
        except asyncio.TimeoutError:
            return error_answer(502, f"{full} does not answer")
        try:
            async with self._saving:
                backup = await asyncio.get_running_loop().run_in_executor(
                    None, save, path, full, values
                )
        except SettingsFileError as error:
            return error_answer(409, str(error))
        self._box.log("info", f"{session.user} saved the settings of {full} to {path}")
        return json_answer(
            {
                "message": f"{len(values)} settings of {name} saved to {path}",
                "path": str(path),
                "backup": str(backup),
            }
        )

    # The way to the bridge --------------------------------------------------------------------

    async def _get_bridge(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return error_answer(426, "this address speaks WebSocket")
        if not self._same_origin(request):
            self.refused("origin", f"a WebSocket from {origin_of(request)}")
            return error_answer(403, "only the panel's own page may connect")
        session = self._need_session(request)
        if len(self._consoles) >= self.setup.max_consoles:
            self.refused("consoles", f"{self.setup.max_consoles} panels are open")
            return error_answer(503, f"{self.setup.max_consoles} panels are open already")
        mine = sum(1 for console in self._consoles.values() if console.user == session.user)
        if self.login_required and mine >= max(1, self.setup.max_consoles // 2):
            # No user, a viewer least of all, keeps the others out.
            self.refused("consoles", f"{mine} panels of {session.user} are open")
            return error_answer(503, f"{mine} panels of {session.user} are open already; close one")
        socket = web.WebSocketResponse(
            max_msg_size=LARGEST_ASKED, compress=False, heartbeat=20.0, timeout=1.0
        )
        console = Console(
            session.user,
            session.role,
            str(request.remote),
            self.setup.namespace,
            self.refused,
        )
        # Counted before the first wait, so that many at once do not slip through together.
        self._consoles[socket] = console
        self._by_session.setdefault(session.key, set()).add(socket)
        expiry: asyncio.TimerHandle | None = None
        try:
            await socket.prepare(request)
            if session.key:
                left = session.expires - time.monotonic()
                loop = asyncio.get_running_loop()
                expiry = loop.call_later(
                    max(0.0, left), lambda: loop.create_task(_close(socket, "session over"))
                )
            assert self._client is not None  # noqa: S101 - made before the first request
            await pass_on(socket, console, self._client, self.setup.bridge)
        finally:
            if expiry is not None:
                expiry.cancel()
            self._consoles.pop(socket, None)
            kept = self._by_session.get(session.key)
            if kept is not None:
                kept.discard(socket)
                if not kept:
                    del self._by_session[session.key]
            self._sent += console.sent
            self._dropped += console.dropped
        return socket

    # Health and metrics -----------------------------------------------------------------------

    def _may_see_health(self, request: web.Request) -> None:
        if self.setup.health_needs_login:
            self._need_session(request)

    def _checked(self, request: web.Request, make: Callable[[Graph], Any]) -> web.Response:
        self._may_see_health(request)
        body = make(self._box.graph())
        return json_answer(body, status=200 if body["healthy"] else 503)

    async def _get_health(self, request: web.Request) -> web.Response:
        started = time.perf_counter()
        return self._checked(request, lambda g: health_of(g, self.setup.expected, started))

    async def _get_plugins(self, request: web.Request) -> web.Response:
        def make(graph: Graph) -> dict[str, Any]:
            health = health_of(graph, self.setup.expected, 0.0)
            plugins = plugin_status(graph, self.setup.expected)
            bad = [s for s in plugins.values() if s in ("failing", "inactive", "missing")]
            return {"healthy": not bad, "plugins": health["checks"]["plugins"]}

        return self._checked(request, make)

    async def _get_plugin(self, request: web.Request) -> web.Response:
        self._may_see_health(request)
        name = request.match_info["name"]
        known = self.setup.expected.plugins
        if name not in known:
            return json_answer(
                {"error": f"there is no plug-in {name[:80]!r}", "known": list(known)}, status=404
            )
        detail = plugin_detail(self._box.graph(), name)
        well = detail["status"] in ("available", "degraded", "silent")
        return json_answer(detail, status=200 if well else 503)

    async def _get_database(self, request: web.Request) -> web.Response:
        return self._checked(request, lambda g: database_health(g, self.setup.expected))

    async def _get_event_manager(self, request: web.Request) -> web.Response:
        return self._checked(request, lambda g: event_manager_health(g, self.setup.expected))

    async def _get_metrics(self, request: web.Request) -> web.Response:
        self._may_see_health(request)
        started = time.perf_counter()
        usage = await asyncio.get_running_loop().run_in_executor(None, self._box.usage)
        body = exposition(self._box.graph(), self.setup.expected, usage, self.own(), started)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _get_openapi(self, request: web.Request) -> web.Response:
        return json_answer(describe(_VERSION))

    # Files ------------------------------------------------------------------------------------

    async def _get_snapshot(self, request: web.Request) -> web.StreamResponse:
        self._need_session(request)
        file = await self._snapshots.find(request.match_info["name"])
        if file is None:
            return error_answer(404, "there is no such picture, or it was the oldest of too many")
        kept = {"Content-Type": "image/jpeg", "Cache-Control": "private, max-age=86400, immutable"}
        return File(file, headers=kept)

    async def _get_file(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        found = self._files.find(path)
        if found is None:
            if path == "" and not self._files.built:
                return web.Response(
                    status=503,
                    text="The panel is not built: it needs Node.js 20 or newer. Install it, run "
                    "./thebox build, and start again. /health and /metrics work without.\n",
                )
            self.refused("no_such_file", f"GET /{path[:120]}")
            return error_answer(404, "there is no such page")
        file, kind = found
        # What Vite names by its content never changes; the page itself is asked for each time.
        cache = "public, max-age=31536000, immutable" if path.startswith("assets/") else "no-cache"
        return File(file, headers={"Content-Type": kind, "Cache-Control": cache})


async def _close(socket: web.WebSocketResponse, why: str) -> None:
    with contextlib.suppress(Exception):
        await socket.close(code=1008, message=why.encode())
