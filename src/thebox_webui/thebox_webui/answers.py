# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Bodies and answers of the HTTP server. No ROS."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

__all__ = [
    "LARGEST_BODY",
    "Answer",
    "File",
    "error_answer",
    "is_plain_host",
    "json_answer",
    "origin_of",
    "read_body",
]

LARGEST_BODY = 64 * 1024
#: Seconds that a request may take to send its body.
_BODY_WITHIN = 10.0
#: Seconds that a client may take to fetch a file.
_FILE_WITHIN = 120.0


class Answer(Exception):  # noqa: N818 - an answer, not a failure
    """Ends a handler with an answer."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


class File(web.FileResponse):
    """A file that is sent within a bound: who asks and does not read holds no connection."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send it; drop the connection when it is not taken in time."""
        try:
            return await asyncio.wait_for(super().prepare(request), _FILE_WITHIN)
        except asyncio.TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the client does not read") from None


async def read_body(request: web.Request) -> dict[str, Any]:
    """The JSON object that a request brings, within the bounds of size and time.

    Raises:
        web.HTTPException: 400 (no JSON object), 408 (too slow), 413 (too large), 415 (not JSON).
    """
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType
    try:
        sent = await asyncio.wait_for(request.read(), _BODY_WITHIN)
    except asyncio.TimeoutError:
        raise web.HTTPRequestTimeout from None
    try:
        body = json.loads(sent)
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest
    return body


def json_answer(body: Any, status: int = 200) -> web.Response:
    """An answer in JSON that no cache keeps."""
    return web.Response(
        text=json.dumps(body, allow_nan=False),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def error_answer(status: int, text: str) -> web.Response:
    """An answer that says what went wrong."""
    return json_answer({"error": text}, status=status)


def origin_of(request: web.Request) -> str:
    """Where the request's page comes from, for the log."""
    return request.headers.get("Origin", "no page")[:120]


def is_plain_host(host: str) -> bool:
    """Whether a Host header may be written into a header of the answer."""
    return bool(host) and all(c.isalnum() or c in ".-:[]" for c in host) and len(host) < 256
