# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What panels cost the bridge and the panel's server in processor time; attacks at full size.

    ./thebox run python benchmarks/bridge/load.py --panels 1 5
    ./thebox run python benchmarks/bridge/load.py --attack
    ./thebox run python benchmarks/bridge/load.py --other ws://127.0.0.1:19090/ --pid PID

200 tracks at 10 Hz come from a process of their own. Panels are WebSocket clients in one process
that ask for ``cbor-raw``, as the panel does. With ``--other`` another bridge (upstream's, say) in
the same ROS domain is measured with JSON and with ``cbor-raw``, without the panel's server.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import rclpy
from rclpy.qos import QoSProfile

from thebox_core.messages import new_track
from thebox_interfaces.msg import TrackArray

TOPIC = "/thebox/tracks"
TYPE = "thebox_interfaces/msg/TrackArray"
BRIDGE_PORT, PANEL_PORT = 24490, 24480


def publish(count: int, rate: float) -> None:
    """Publish moving tracks until killed."""
    rclpy.init()
    node = rclpy.create_node("tracks_source", namespace="/thebox")
    publisher = node.create_publisher(TrackArray, "tracks", QoSProfile(depth=10))
    array = TrackArray()
    for number in range(count):
        track = new_track()
        track.id.uuid = list(number.to_bytes(16, "little"))
        track.number = number
        track.label = "quadcopter"
        array.tracks.append(track)
    started = time.monotonic()
    step = 0
    while True:
        now = node.get_clock().now().to_msg()
        array.header.stamp = now
        array.header.frame_id = "map"
        for number, track in enumerate(array.tracks):
            angle = number + step * 0.01
            track.position.x = 1000.0 * math.cos(angle)
            track.position.y = 1000.0 * math.sin(angle)
            track.bearing = angle % math.tau
        publisher.publish(array)
        step += 1
        time.sleep(max(0.0, started + step / rate - time.monotonic()))


async def panel(
    session: aiohttp.ClientSession, url: str, compression: str, counts: list[int], index: int
) -> None:
    """Hear the tracks and count them."""
    parts = url.split("/")
    origin = f"http://{parts[2]}"
    async with session.ws_connect(url, max_msg_size=0, headers={"Origin": origin}) as socket:
        await socket.send_json(
            {
                "op": "subscribe",
                "topic": TOPIC,
                "type": TYPE,
                "compression": compression,
                "queue_length": 1,
            }
        )
        async for frame in socket:
            if frame.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                return
            counts[index] += 1


async def measure(
    url: str, compression: str, panels: int, pids: dict[str, int], seconds: float
) -> dict[str, float]:
    """Processor share of each process, in per cent of a core, with so many panels."""
    counts = [0] * panels
    async with aiohttp.ClientSession() as session:
        tasks = [
            asyncio.ensure_future(panel(session, url, compression, counts, index))
            for index in range(panels)
        ]
        end = time.monotonic() + 30.0
        while not all(counts) and time.monotonic() < end:
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)
        before = {name: cpu(pid) for name, pid in pids.items()}
        heard, began = sum(counts), time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - began
        result = {name: 100.0 * (cpu(pid) - before[name]) / took for name, pid in pids.items()}
        result["arrays/s a panel"] = (sum(counts) - heard) / took / max(1, panels)
        for name, pid in pids.items():
            result[f"{name} MB"] = psutil.Process(pid).memory_info().rss / 1e6
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return result


def cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


class Processes:
    """The processes of one measurement; a context manager."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []
        self._folder = tempfile.TemporaryDirectory()

    def start(self, *command: str) -> int:
        log = (Path(self._folder.name) / f"{len(self.started)}.log").open("wb")
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self.started.append(process)
        return process.pid

    def logs(self) -> str:
        texts = [p.read_text(errors="replace") for p in sorted(Path(self._folder.name).iterdir())]
        return "\n".join(texts)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.started:
            process.terminate()
        for process in self.started:
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:  # noqa: PERF203 - each its own patience
                process.kill()
                process.wait()
        self._folder.cleanup()


async def answering(url: str) -> None:
    """Wait until a server answers."""
    async with aiohttp.ClientSession() as session:
        for _ in range(300):
            try:
                async with session.get(url):
                    return
            except aiohttp.ClientError:  # noqa: PERF203 - tried again
                await asyncio.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def start_ours(processes: Processes) -> dict[str, int]:
    pids = {
        "bridge": processes.start(
            *(sys.executable, "-m", "rosbridge_server.rosbridge_websocket", "--ros-args"),
            *("-r", "__ns:=/thebox", "-r", "__node:=rosbridge"),
            *("-p", f"port:={BRIDGE_PORT}", "-p", "address:=127.0.0.1"),
        ),
        "panel": processes.start(
            *(sys.executable, "-m", "thebox_webui.node", "--ros-args", "-r", "__ns:=/thebox"),
            *("-p", f"port:={PANEL_PORT}", "-p", f"bridge:=ws://127.0.0.1:{BRIDGE_PORT}/"),
            *("-p", "accounts_file:=/nonexistent/accounts.json"),
        ),
    }
    for port in (BRIDGE_PORT, PANEL_PORT):
        asyncio.run(answering(f"http://127.0.0.1:{port}/"))
    return pids


def show(title: str, result: dict[str, float]) -> None:
    both = result.get("bridge", 0.0) + result.get("panel", 0.0)
    values = ", ".join(f"{name} {value:.1f}" for name, value in result.items())
    each = 10.0 * both / result["arrays/s a panel"] if result["arrays/s a panel"] else math.nan
    print(
        f"{title}: {both:.1f} % of a core together, {each:.1f} ms of it an array ({values})",
        flush=True,
    )


async def attack(pids: dict[str, int]) -> None:  # noqa: PLR0915 - one attack after the other
    """Every attack at full size, one after the other, while one panel counts."""
    url = f"ws://127.0.0.1:{PANEL_PORT}/bridge"
    origin = {"Origin": f"http://127.0.0.1:{PANEL_PORT}"}
    counts = [0]

    def memory() -> str:
        return ", ".join(
            f"{name} {psutil.Process(pid).memory_info().rss / 1e6:.0f} MB"
            for name, pid in pids.items()
        )

    async def malformed(session: aiohttp.ClientSession) -> str:
        sent = 0
        for _ in range(200):
            if sent >= 10_000:
                break
            try:
                async with session.ws_connect(url, headers=origin) as socket:
                    while sent < 10_000:
                        await socket.send_str('{"op": ["' + "x" * (sent % 50))
                        sent += 1
            except (ConnectionError, aiohttp.ClientError):
                continue
        return f"{sent} frames"

    async def huge(session: aiohttp.ClientSession) -> str:
        try:
            async with session.ws_connect(url, headers=origin) as socket:
                await socket.send_str('"' + "x" * 100_000_000)
                frame = await asyncio.wait_for(socket.receive(), 30.0)
                return f"closed with {socket.close_code} ({frame.type.name})"
        except (ConnectionError, aiohttp.ClientError) as error:
            return f"cut off: {type(error).__name__}"

    async def crowd(session: aiohttp.ClientSession) -> str:
        opened: list[asyncio.StreamWriter] = []
        for _ in range(500):
            _, writer = await asyncio.open_connection("127.0.0.1", PANEL_PORT)
            opened.append(writer)
        await asyncio.sleep(3.0)
        for writer in opened:
            writer.close()
        return f"{len(opened)} connections"

    async def stalled(session: aiohttp.ClientSession) -> str:
        async with session.ws_connect(url, headers=origin, max_msg_size=0) as socket:
            await socket.send_json(
                {"op": "subscribe", "topic": TOPIC, "type": TYPE, "compression": "none"}
            )
            connection: Any = socket._response.connection
            connection.transport.pause_reading()
            await asyncio.sleep(15.0)
            return "15 s of JSON not read"

    async with aiohttp.ClientSession() as session:
        good = asyncio.ensure_future(panel(session, url, "cbor-raw", counts, 0))
        while not counts[0]:
            await asyncio.sleep(0.1)
        print(f"before: {memory()}", flush=True)
        for work in (malformed, huge, crowd, stalled):
            heard, began = counts[0], time.monotonic()
            said = await work(session)
            took = time.monotonic() - began
            left = max(0.0, 3.0 - took)
            await asyncio.sleep(left)
            rate = (counts[0] - heard) / (took + left)
            print(
                f"{work.__name__}: {said} in {took:.1f} s; the other panel heard {rate:.1f} "
                f"arrays/s meanwhile; {memory()}",
                flush=True,
            )
        async with session.get(f"http://127.0.0.1:{PANEL_PORT}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        print("\n".join(line for line in lines if line.startswith("thebox_panel_")))
        good.cancel()
        await asyncio.gather(good, return_exceptions=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--panels", type=int, nargs="*", default=[1, 5])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--tracks", type=int, default=200)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--attack", action="store_true")
    parser.add_argument("--other", help="WebSocket address of another bridge")
    parser.add_argument("--pid", type=int, help="its process")
    parser.add_argument("--publish", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.publish:
        publish(options.tracks, options.rate)
    with Processes() as processes:
        processes.start(
            *(sys.executable, str(Path(__file__).resolve()), "--publish"),
            *("--tracks", str(options.tracks), "--rate", str(options.rate)),
        )
        load = os.getloadavg()[0]
        print(f"{options.tracks} tracks at {options.rate:g} Hz; load average {load:.1f}")
        if options.other:
            for compression in ("none", "cbor-raw"):
                pids = {"bridge": options.pid}
                result = asyncio.run(measure(options.other, compression, 1, pids, options.seconds))
                show(f"other bridge, {compression}, 1 client", result)
            return
        pids = start_ours(processes)
        if options.attack:
            asyncio.run(attack(pids))
            print("\n".join(line for line in processes.logs().splitlines() if "refused" in line))
            return
        url = f"ws://127.0.0.1:{PANEL_PORT}/bridge"
        for panels in options.panels:
            result = asyncio.run(measure(url, "cbor-raw", panels, pids, options.seconds))
            show(f"cbor-raw, {panels} panels", result)
        result = asyncio.run(measure(url, "none", 1, pids, options.seconds))
        show("JSON, 1 panel", result)


if __name__ == "__main__":
    main()
