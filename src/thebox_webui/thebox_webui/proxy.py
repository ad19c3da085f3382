# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""One panel's way to the bridge: what it asks is checked, what it hears passes unread. No ROS.

Towards the panel nothing is parsed. A panel that does not keep up loses the oldest of what is
waiting, topics first, up to a bound in bytes; one that takes nothing at all is sent away, and gets
the whole picture again when it comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, WSMsgType, web

from thebox_webui.roles import Refusal, Role, check

__all__ = ["LARGEST_ASKED", "Console", "Pace", "Waiting", "pass_on"]

#: Largest frame taken from a panel: a hundred zones with a hundred corners each.
LARGEST_ASKED = 1_000_000
#: Largest frame taken from the bridge: an uncompressed picture of a camera.
_LARGEST_HEARD = 64 * 2**20
#: Bytes that may wait for one panel.
_WAITING_BYTES = 8 * 2**20
#: Frames refused as no operation after which a panel is sent away.
_MALFORMED = 100
#: Operations that a panel may ask for at once, and a second: a panel's start takes about fifty.
_BURST, _RATE = 400, 100.0
#: Seconds that a panel may take nothing.
_STALLED = 30.0
#: What a frame of text must begin with to be one of many: rosbridge writes the operation first.
_PUBLISHED = ('{"op": "publish"', '{"op":"publish"', '{"op": "fragment"', '{"op":"fragment"')


@dataclass(eq=False)
class Console:
    """One open panel, for the count of what it cost and was refused."""

    user: str
    role: Role
    address: str
    namespace: str
    refused: Callable[[str, str], None]
    sent: int = 0
    dropped: int = 0
    malformed: int = 0
    slowed: bool = False


class Pace:
    """How fast a panel may ask: ``burst`` at once, then ``rate`` a second; the rest waits its turn.

    What waits is not read from the socket: the one who asks too much is slowed, not the box.
    """

    def __init__(
        self,
        rate: float = _RATE,
        burst: int = _BURST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate, self._burst, self._clock = rate, float(burst), clock
        self._left, self._at = float(burst), clock()

    def take(self) -> float:
        """Take one turn; return the seconds to wait before it."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate) - 1.0
        self._at = now
        return max(0.0, -self._left / self._rate)


class Waiting:
    """Frames that wait for a panel, bounded in bytes; what can be missed goes first."""

    def __init__(self, most: int = _WAITING_BYTES) -> None:
        self._most = most
        self._frames: deque[tuple[bytes | str, bool]] = deque()
        self._bytes = 0
        self._something = asyncio.Event()
        self.dropped = 0

    def put(self, frame: bytes | str) -> bool:
        """Queue a frame; False when only frames that must not be missed are left to drop."""
        can_miss = isinstance(frame, bytes) or frame.startswith(_PUBLISHED)
        self._frames.append((frame, can_miss))
        self._bytes += len(frame)
        while self._bytes > self._most:
            for index, (oldest, missable) in enumerate(self._frames):
                if missable:
                    del self._frames[index]
                    self._bytes -= len(oldest)
                    self.dropped += 1
                    break
            else:
                return False
        self._something.set()
        return True

    async def get(self) -> bytes | str:
        """The oldest frame, as soon as there is one."""
        while not self._frames:
            self._something.clear()
            await self._something.wait()
        frame, _ = self._frames.popleft()
        self._bytes -= len(frame)
        return frame


async def pass_on(
    socket: web.WebSocketResponse, console: Console, client: ClientSession, bridge: str
) -> None:
    """Serve one panel until it or the bridge goes away; close both ends.

    A bridge that is away closes the panel's socket with code 1013: try again later.
    """
    try:
        upstream = await asyncio.wait_for(
            client.ws_connect(
                bridge,
                max_msg_size=_LARGEST_HEARD,
                autoping=True,
                autoclose=True,
                compress=0,
            ),
            5.0,
        )
    except (ClientError, OSError, asyncio.TimeoutError):
        console.refused("bridge_away", f"the bridge at {bridge} does not answer")
        await socket.close(code=1013, message=b"the bridge does not answer")
        return
    waiting = Waiting()
    tasks = [
        asyncio.ensure_future(work)
        for work in (
            _listen(upstream, waiting, socket),
            _send(waiting, socket, console),
            _ask(socket, upstream, waiting, console),
        )
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        console.dropped = waiting.dropped
        with contextlib.suppress(Exception):
            await asyncio.wait_for(upstream.close(), 1.0)
        if not socket.closed:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(
                    socket.close(code=1013, message=b"the bridge has gone away"), 1.0
                )


async def _listen(
    upstream: ClientWebSocketResponse[Any], waiting: Waiting, socket: web.WebSocketResponse
) -> None:
    async for frame in upstream:
        if frame.type in (WSMsgType.BINARY, WSMsgType.TEXT) and not waiting.put(frame.data):
            await socket.close(code=1008, message=b"the panel does not take its answers")
            return


async def _send(waiting: Waiting, socket: web.WebSocketResponse, console: Console) -> None:
    while True:
        frame = await waiting.get()
        send = socket.send_bytes(frame) if isinstance(frame, bytes) else socket.send_str(frame)
        try:
            await asyncio.wait_for(send, _STALLED)
        except asyncio.TimeoutError:
            console.refused("stalled", f"a panel took nothing for {_STALLED:g} s")
            return
        except ConnectionError:
            return
        console.sent += 1


async def _ask(
    socket: web.WebSocketResponse,
    upstream: ClientWebSocketResponse[Any],
    waiting: Waiting,
    console: Console,
) -> None:
    pace = Pace()
    async for frame in socket:
        wait = pace.take()
        if wait > 0.0:
            if not console.slowed:
                console.slowed = True
                console.refused("pace", f"{console.role} {console.user} asks too much; slowed")
            await asyncio.sleep(wait)
        if frame.type is WSMsgType.ERROR:
            console.refused("too_large", f"a frame above {LARGEST_ASKED} bytes")
            return
        if frame.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            continue
        try:
            operation = _parse(frame.data)
            passed = check(operation, console.role, console.namespace)
        except Refusal as refusal:
            if not _refuse(refusal, waiting, console):
                await socket.close(code=1008, message=b"too many frames that are no operation")
                return
            continue
        # Written anew, so that the bridge reads what was checked and nothing else.
        await upstream.send_str(json.dumps(passed))


def _parse(frame: bytes | str) -> Any:
    try:
        return json.loads(frame)
    except (ValueError, RecursionError):
        raise Refusal("malformed", "a frame must be one JSON object") from None


def _refuse(refusal: Refusal, waiting: Waiting, console: Console) -> bool:
    """Tell the panel and count; False when it is to be sent away."""
    console.refused(refusal.reason, f"{console.role} {console.user}: {refusal.text}")
    if refusal.reason == "malformed":
        console.malformed += 1
        if console.malformed >= _MALFORMED:
            return False
    answer: dict[str, Any] = {"op": "status", "level": "error", "msg": refusal.text}
    if refusal.identity is not None:
        answer["id"] = refusal.identity
    if not waiting.put(json.dumps(answer)):
        return False
    failed: dict[str, Any] | None = None
    if refusal.operation == "call_service":
        failed = {"op": "service_response", "service": refusal.name}
    elif refusal.operation == "send_action_goal":
        # 0: STATUS_UNKNOWN of action_msgs/GoalStatus.
        failed = {"op": "action_result", "action": refusal.name, "status": 0}
    if failed is not None:
        failed |= {"values": refusal.text, "result": False}
        if refusal.identity is not None:
            failed["id"] = refusal.identity
        return waiting.put(json.dumps(failed))
    return True
