"""Server-sent events."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hfmodel_runtime.server.disconnect import while_connected

DONE: Final = b"data: [DONE]\n\n"
PING: Final = b": ping\n\n"
# Silence after which a comment is sent, so that nobody between here and the caller gives up on the connection.
PING_SECONDS: Final = 15.0


def event(data: Any) -> bytes:
    """One event with `data` as JSON."""
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class EventStream(Response):
    """Sends what `chunks` yields as it comes; closes `chunks` when the caller goes away.

    Args:
        stall_timeout: a caller that reads nothing for so many seconds is dropped; others wait for its place.
    """

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncGenerator[bytes], *, stall_timeout: float) -> None:
        self._chunks = chunks
        self._stall_timeout = stall_timeout
        self.status_code = 200
        self.background = None
        # X-Accel-Buffering: nginx would otherwise collect the tokens before it passes them on.
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                try:
                    async with asyncio.timeout(self._stall_timeout):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                except TimeoutError:
                    raise ClientDisconnect from None
        await send({"type": "http.response.body", "body": b"", "more_body": False})
