# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The node ``panel``: hears the diagnostics, and serves the panel from a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import psutil
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.clock import Clock, ClockType
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import QoSProfile

from thebox_core.health import ERROR, WARN, Report
from thebox_core.node import BoxNode, run
from thebox_core.parameters import Parameter, ParameterError
from thebox_webui.accounts import AccountsError, load_accounts
from thebox_webui.metrics import Usage
from thebox_webui.parameters import PANEL
from thebox_webui.picture import Diagnostics, Expected
from thebox_webui.server import Box, Server, Setup, is_loopback
from thebox_webui.static import Files

__all__ = ["Panel", "main"]

_ANSWER_WITHIN = 5.0
_SCAN_EVERY = 10.0


class Panel(BoxNode):
    """The operator's panel as a node."""

    PARAMETERS: ClassVar[tuple[Parameter, ...]] = PANEL

    def __init__(self, **options: Any) -> None:
        super().__init__("panel", **options)
        self.diagnostics = Diagnostics()
        self._processes: dict[str, psutil.Process] = {}
        self._scanned = -_SCAN_EVERY
        self._closing = False
        self._setup = self._read_setup()
        self._files = Files(self._static_folder())
        self.server: Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="panel", daemon=True)
        self.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=100)
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._looker = self.create_timer(1.0, self._look, clock=steady)
        self.health.add("server", self._report)
        self._thread.start()

    # Set-up -----------------------------------------------------------------------------------

    def _read_setup(self) -> Setup:
        given = self.values
        path = Path(str(given["accounts_file"])).expanduser()
        try:
            accounts = load_accounts(path)
        except AccountsError as error:
            raise ParameterError(f"panel: accounts_file: {error}") from None
        address = str(given["address"])
        if not accounts and not is_loopback(address):
            raise ParameterError(
                f"panel: address: {address} reaches beyond this machine, and no password is set. "
                "Set one first: ./thebox run python -m thebox_webui.passwd NAME"
            )
        for name in ("certfile", "keyfile"):
            if given[name] and not Path(str(given[name])).is_file():
                raise ParameterError(f"panel: {name}: there is no file {given[name]}")
        if bool(given["certfile"]) != bool(given["keyfile"]):
            raise ParameterError("panel: certfile and keyfile go together")
        settings = str(given["settings_file"])
        return Setup(
            address=address,
            port=int(given["port"]),
            bridge=str(given["bridge"]),
            certfile=str(given["certfile"]),
            keyfile=str(given["keyfile"]),
            session_seconds=float(given["session_hours"]) * 3600.0,
            allowed_hosts=tuple(given["allowed_hosts"]),
            health_needs_login=bool(given["health_needs_login"]),
            max_consoles=int(given["max_consoles"]),
            max_connections=int(given["max_connections"]),
            namespace=self.get_namespace(),
            settings_file=Path(settings).expanduser() if settings else None,
            accounts=accounts,
            expected=Expected(tuple(given["nodes"]), tuple(given["plugins"])),
        )

    def _static_folder(self) -> Path:
        given = str(self.values["static_folder"])
        if given:
            return Path(given).expanduser()
        try:
            return Path(get_package_share_directory("thebox_webui")) / "panel"
        except PackageNotFoundError:
            return Path(__file__).resolve().parents[1] / "panel" / "dist"

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        box = Box(self.diagnostics.now, self._parameters_of, self._usage, self._log)
        self.server = Server(self._setup, box, self._files)
        if self._closing:
            return
        try:
            await self.server.serve()
        except Exception as error:
            # Shown in the diagnostics; the rest of the box must not notice.
            self.server.fault = f"the server has ended: {error!r}"
            self.get_logger().error(self.server.fault)

    def _log(self, level: str, text: str) -> None:
        if level == "info":
            self.get_logger().info(text)
        else:
            self.get_logger().warning(text)

    # What the server asks ---------------------------------------------------------------------

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
            values = {pair.key: pair.value for pair in status.values}
            self.diagnostics.heard(status.name, level, status.message, values)

    def _look(self) -> None:
        here = self.get_namespace()
        names = self.get_node_names_and_namespaces()
        self.diagnostics.saw([name for name, space in names if space == here])

    async def _parameters_of(self, full: str) -> dict[str, Any]:
        """The present parameters of a node that can be set while it runs or at its start."""
        names = await self._call(ListParameters, f"{full}/list_parameters", ListParameters.Request)
        wanted = list(names.result.names)

        def request() -> GetParameters.Request:
            return GetParameters.Request(names=wanted)

        got = await self._call(GetParameters, f"{full}/get_parameters", request)
        values: dict[str, Any] = {}
        for name, value in zip(wanted, got.values, strict=True):
            if value.type == ParameterType.PARAMETER_NOT_SET:
                continue
            plain = parameter_value_to_python(value)
            values[name] = plain if isinstance(plain, (bool, int, float, str)) else list(plain)
        return values

    async def _call(self, kind: Any, service: str, request: Callable[[], Any]) -> Any:
        """Ask a service from the server's loop.

        Raises:
            LookupError: there is no such service.
            TimeoutError: no answer came.
        """
        answered: asyncio.Future[Any] = self._loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            if answered.done():
                return
            if error is not None:
                answered.set_exception(error)
            else:
                answered.set_result(result)

        clients: list[Any] = []

        def done(future: Any) -> None:
            error = future.exception()
            result = None if error is not None else future.result()
            self._loop.call_soon_threadsafe(settle, result, error)

        def ask() -> None:
            try:
                if service not in dict(self.get_service_names_and_types()):
                    raise LookupError(service)
                client = self.create_client(kind, service)
                clients.append(client)
                client.call_async(request()).add_done_callback(done)
            except Exception as error:
                self._loop.call_soon_threadsafe(settle, None, error)

        def release() -> None:
            for client in clients:
                self.destroy_client(client)

        executor = self.executor
        if executor is None:
            raise LookupError(service)
        executor.create_task(ask)
        try:
            return await asyncio.wait_for(answered, _ANSWER_WITHIN)
        finally:
            executor.create_task(release)

    def _usage(self) -> dict[str, Usage]:
        """Processor time and memory of each node's process, by the id that it reports."""
        graph = self.diagnostics.now()
        pids = {self.get_name(): os.getpid()}
        for node in graph.nodes:
            text = graph.values(node).get("pid", "")
            if text.isdigit():
                pids[node] = int(text)
        self._scan(pids, set(graph.nodes) | set(self._setup.expected.nodes))
        used: dict[str, Usage] = {}
        for node, pid in pids.items():
            usage = self._usage_of(node, pid)
            if usage is not None:
                used[node] = usage
        return used

    def _usage_of(self, node: str, pid: int) -> Usage | None:
        try:
            process = self._processes.get(node)
            if process is None or process.pid != pid:
                process = self._processes[node] = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                return Usage(times.user + times.system, process.memory_info().rss)
        except psutil.Error:
            self._processes.pop(node, None)
            return None

    def _scan(self, pids: dict[str, int], wanted: set[str]) -> None:
        """Find the processes of nodes that report no id, among those started beside this one."""
        for node, process in self._processes.items():
            if node in wanted and process.is_running():
                pids.setdefault(node, process.pid)
        now = time.monotonic()
        if not wanted - set(pids) or now - self._scanned < _SCAN_EVERY:
            return
        self._scanned = now
        try:
            beside = psutil.Process(os.getppid()).children()
        except psutil.Error:
            return
        for process in beside:
            try:
                command = process.cmdline()
            except psutil.Error:
                continue
            for part in command[:3]:
                name = Path(part).name
                node = {"rosbridge_websocket": "rosbridge", "sky": "sim"}.get(name, name)
                if "/lib/" in part and node in wanted:
                    pids.setdefault(node, process.pid)

    # Health -----------------------------------------------------------------------------------

    def _report(self, report: Report) -> None:
        report.put("pid", os.getpid())
        server = self.server
        if server is None or server.fault:
            report.find(ERROR, server.fault if server else "the server has not started")
            return
        own = server.own()
        scheme = "https" if server.secure else "http"
        report.put("address", f"{scheme}://{self._setup.address}:{server.port}/")
        report.put("consoles", own.consoles)
        report.put("connections", own.connections)
        report.put("sent", own.sent)
        report.put("skipped", own.dropped)
        report.put("login_required", server.login_required)
        report.put_all((f"refused.{reason}", count) for reason, count in own.refused.items())
        if not self._files.built:
            report.find(WARN, "the panel is not built: install Node.js, then ./thebox build")
        if not is_loopback(self._setup.address) and not server.secure:
            report.find(WARN, "passwords cross the network in the clear: set certfile and keyfile")
        panels = "panel" if own.consoles == 1 else "panels"
        report.findings.append(f"{own.consoles} {panels} open")

    def close(self) -> None:
        """Stop serving."""
        self._closing = True
        server = self.server
        if self._thread.is_alive() and server is not None:
            self._loop.call_soon_threadsafe(server.stop)
        self._thread.join(10.0)


def main(args: Sequence[str] | None = None) -> None:
    """Run the node until SIGINT or SIGTERM."""
    run(Panel, args=args)


if __name__ == "__main__":
    main()
