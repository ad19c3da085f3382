# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The node: its parameters, the WebSocket server in a thread of its own, the executor's spin."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import ssl
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import rclpy
from aiohttp import WSMsgType, web
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.task import Future
from std_msgs.msg import Int32

from rosbridge_server.graph import Crossing, Graph
from rosbridge_server.limits import Globs, Limits
from rosbridge_server.session import Session

__all__ = ["RosbridgeWebsocketNode", "main"]

#: Parameters by upstream's names, with upstream's defaults; then those of the stand-in alone.
_PARAMETERS: dict[str, tuple[Any, str]] = {
    "port": (9090, "TCP port; 0 takes a free one, see actual_port."),
    "address": ("", "Address to listen on; empty: all of this machine's."),
    "url_path": ("/", "Path of the WebSocket."),
    "certfile": ("", "TLS certificate, a PEM file; with keyfile."),
    "keyfile": ("", "TLS key, a PEM file."),
    "retry_startup_delay": (2.0, "Seconds until the port is tried again."),
    "fragment_timeout": (600, "Seconds that fragments of a message are waited for."),
    "delay_between_messages": (0, "Seconds between two frames to one client."),
    "max_message_size": (10_000_000, "Largest frame taken, and fragment sent, in bytes."),
    "unregister_timeout": (10.0, "Seconds that a publisher outlives its last client."),
    "use_compression": (False, "WebSocket compression (permessage-deflate)."),
    "websocket_ping_interval": (0, "Seconds between pings; 0: none."),
    "websocket_ping_timeout": (30, "Seconds that a pong may take."),
    "topics_glob": ("", "Topics that clients may touch, ['/a/*', …]; empty: all."),
    "services_glob": ("", "Services that clients may call; empty: all."),
    "actions_glob": ("", "Actions that clients may use; empty: all."),
    "params_glob": ("", "Taken and not used: for upstream's rosapi only."),
    "call_services_in_new_thread": (False, "Taken and not used: calls never wait for another."),
    "send_action_goals_in_new_thread": (False, "Taken and not used: goals never wait."),
    "bson_only_mode": (False, "Not offered by the stand-in: must be false."),
    "default_call_service_timeout": (5.0, "Seconds that a service may take; 0: for ever."),
    "max_clients": (64, "Clients at a time; more are refused."),
    "allowed_origins": (
        "",
        "Origins of pages that may connect, ['https://host', …], beside this machine's own.",
    ),
}


class RosbridgeWebsocketNode(Node):
    """Serves the rosbridge v2 protocol; ``close`` before it is destroyed."""

    def __init__(self, name: str = "rosbridge_websocket", **options: Any) -> None:
        super().__init__(name, **options)
        self._parameter: dict[str, Any] = {}
        for key, (default, description) in _PARAMETERS.items():
            descriptor = ParameterDescriptor(description=description, read_only=True)
            self._parameter[key] = self.declare_parameter(key, default, descriptor).value
        if self._parameter["bson_only_mode"]:
            raise ValueError("bson_only_mode is not offered: use upstream's rosbridge_server")
        self._graph = Graph(self, float(self._parameter["unregister_timeout"]))
        self._limits = Limits(
            max_message_size=int(self._parameter["max_message_size"]),
            fragment_timeout=float(self._parameter["fragment_timeout"]),
            delay_between_messages=float(self._parameter["delay_between_messages"]),
            service_timeout=float(self._parameter["default_call_service_timeout"]),
        )
        services = Globs.parse(self._parameter["services_glob"])
        self._globs = Globs(
            Globs.parse(self._parameter["topics_glob"]),
            # As upstream: who may see names at all, sees them through rosapi.
            (*services, "/rosapi/*") if services else (),
            Globs.parse(self._parameter["actions_glob"]),
        )
        self._origins = Globs.parse(self._parameter["allowed_origins"])
        self._count = self.create_publisher(
            Int32, "client_count", QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        )
        self._count.publish(Int32(data=0))
        self._sessions: set[Session] = set()
        self._sockets: set[web.WebSocketResponse] = set()
        self._refused: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._stop: asyncio.Event | None = None
        self._closing = False
        self.actual_port = 0
        self._crossing = Crossing(self._wake)
        self._thread = threading.Thread(target=self._serve, name="websocket", daemon=True)
        # From the executor: a client's first operation needs it.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._starter: Any = self.create_timer(0.001, self._start, clock=steady)
        self._tending = self.create_timer(1.0, self._tend, clock=steady)

    def _start(self) -> None:
        if self._starter is not None:
            self.destroy_timer(self._starter)
            self._starter = None
            self._thread.start()

    def _tend(self) -> None:
        self._graph.tend(time.monotonic())

    # Between the threads ----------------------------------------------------------------------

    def _wake(self, call: Callable[[], None]) -> None:
        # The loop is closed a moment before the last message comes.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call)

    def _in_ros(self, call: Callable[[], Any]) -> Awaitable[Any]:
        """Run a call in the executor's thread; a future of the loop."""
        done: asyncio.Future[Any] = self._loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            if not done.done():
                if error is not None:
                    done.set_exception(error)
                else:
                    done.set_result(result)

        def run() -> None:
            result, error = None, None
            try:
                result = call()
            except Exception as caught:
                error = caught
            self._wake(lambda: settle(result, error))

        executor = self.executor
        if executor is None or self._closing:
            done.set_exception(RuntimeError("the bridge is stopping"))
        else:
            executor.create_task(run)
        return done

    def _log(self, level: str, text: str) -> None:
        logger = self.get_logger()
        # rclpy wants one line of code for each severity.
        if level == "debug":
            logger.debug(text)
        elif level == "info":
            logger.info(text)
        elif level == "warning":
            logger.warning(text)
        else:
            logger.error(text)

    # The server -------------------------------------------------------------------------------

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        except Exception as error:
            self.get_logger().fatal(f"the WebSocket server has ended: {error!r}")
        finally:
            self._loop.close()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        application = web.Application()
        path = self._parameter["url_path"] or "/"
        application.router.add_get(path if path.startswith("/") else f"/{path}", self._connect)
        runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=1.0
        )
        await runner.setup()
        try:
            site = await self._listen(runner)
            if site is None:
                return
            await self._stop.wait()
        finally:
            for socket in list(self._sockets):
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(socket.close(code=1001, message=b"stopping"), 0.5)
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> web.TCPSite | None:
        assert self._stop is not None  # noqa: S101 - set before
        context = None
        if self._parameter["certfile"] and self._parameter["keyfile"]:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self._parameter["certfile"], self._parameter["keyfile"])
        delay = max(0.1, float(self._parameter["retry_startup_delay"]))
        while not self._stop.is_set():
            site = web.TCPSite(
                runner,
                self._parameter["address"] or None,
                self._parameter["port"],
                ssl_context=context,
            )
            try:
                await site.start()
            except OSError as error:
                self._log("warning", f"Unable to start server: {error} Retrying in {delay:g}s.")
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), delay)
                continue
            port = int(runner.addresses[0][1])
            self.actual_port = port
            await self._in_ros(self._declare_actual_port)
            self._log("info", f"Rosbridge WebSocket server started on port {port}")
            return site
        return None

    def _declare_actual_port(self) -> None:
        self.declare_parameter("actual_port", self.actual_port)

    def _refuse(self, status: int, reason: str) -> web.Response:
        count = self._refused.get(reason, 0) + 1
        self._refused[reason] = count
        # Once, then at each power of ten: a flood must not fill the log.
        if str(count).strip("0") == "1":
            self._log("warning", f"refused {count} connections so far: {reason}")
        return web.Response(status=status, text=f"{reason}\n")

    def _origin_allowed(self, origin: str) -> bool:
        if origin in self._origins or "*" in self._origins:
            return True
        host = urlsplit(origin).hostname or ""
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if origin is not None and not self._origin_allowed(origin):
            return self._refuse(403, "the page's origin is not in allowed_origins")
        if len(self._sessions) >= self._parameter["max_clients"]:
            return self._refuse(503, "max_clients are connected")
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=426, text="this address speaks WebSocket (rosbridge v2)\n")
        heartbeat = float(self._parameter["websocket_ping_interval"]) or None
        socket = web.WebSocketResponse(
            max_msg_size=self._limits.max_message_size,
            compress=bool(self._parameter["use_compression"]),
            heartbeat=heartbeat,
            timeout=1.0,
        )

        async def send(payload: bytes | str) -> None:
            if isinstance(payload, str):
                await socket.send_str(payload)
            else:
                await socket.send_bytes(payload)

        async def close(code: int, reason: str) -> None:
            await socket.close(code=code, message=reason.encode())

        peer = request.transport.get_extra_info("peername") if request.transport else None
        session = Session(
            f"Client {peer[0]}:{peer[1]}" if peer else "Client",
            send=send,
            close=close,
            graph=self._graph,
            in_ros=self._in_ros,
            crossing=self._crossing,
            limits=self._limits,
            globs=self._globs,
            log=self._log,
        )
        self._sessions.add(session)
        pump: asyncio.Task[None] | None = None
        try:
            await socket.prepare(request)
            self._sockets.add(socket)
            self._changed(f"Client connected. {len(self._sessions)} clients total.")
            pump = asyncio.create_task(self._pump(session))
            async for frame in socket:
                if frame.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    await session.incoming(frame.data)
                if socket.closed:
                    break
        finally:
            if pump is not None:
                pump.cancel()
            self._sessions.discard(session)
            self._sockets.discard(socket)
            await session.finish()
            note = f" {session.dropped} messages were dropped for it." if session.dropped else ""
            self._changed(f"Client disconnected. {len(self._sessions)} clients total.{note}")
        return socket

    async def _pump(self, session: Session) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await session.pump()

    def _changed(self, text: str) -> None:
        count = len(self._sessions)
        self._log("info", text)

        def publish() -> None:
            self._count.publish(Int32(data=count))

        if self.executor is not None and not self._closing:
            self.executor.create_task(publish)

    def close(self) -> None:
        """Stop serving and let go of what the clients held."""
        self._closing = True
        if self._starter is not None:
            self.destroy_timer(self._starter)
            self._starter = None
        if self._thread.is_alive():

            def stop() -> None:
                if self._stop is not None:
                    self._stop.set()

            self._wake(stop)
            self._thread.join(10.0)
        elif not self._loop.is_closed():
            self._loop.close()
        self._graph.close()


def main(args: Sequence[str] | None = None) -> None:
    """Run the node until SIGINT or SIGTERM."""
    from rclpy.experimental.events_executor import EventsExecutor  # noqa: PLC0415

    rclpy.init(args=list(args) if args is not None else None)
    executor = EventsExecutor()
    node: RosbridgeWebsocketNode | None = None
    try:
        node = RosbridgeWebsocketNode()
        executor.add_node(node)
        never: Future = Future()
        # With a deadline: without one the wheels' EventsExecutor spins a core.
        while rclpy.ok():
            executor.spin_until_future_complete(never, timeout_sec=60.0)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            node.close()
            executor.remove_node(node)
            node.destroy_node()
        executor.shutdown()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
