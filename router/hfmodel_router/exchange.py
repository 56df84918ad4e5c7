"""One HTTP request and its answer: what every part of the chain reads of it, and leaves on it for the log."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, cast

from starlette.types import Message, Receive, Scope

from hfmodel_api.connections import CLIENT_STALLED
from hfmodel_api.errors import RequestError, Unauthorized
from hfmodel_api.names import HEADER_HELD_SECONDS, HEADER_REQUEST_ID, HEADER_RETRIES
from hfmodel_router import sse
from hfmodel_router.cors import Headers
from hfmodel_router.errors import ClientGone
from hfmodel_router.front import Turn

SCOPE_KEY = "hfmodel.exchange"
_REQUEST_ID = HEADER_REQUEST_ID.encode()


class Exchange:
    """Wraps the server's side: adds the headers that every answer carries, and notes what was sent and when.

    Args:
        clock: seconds, from any start.
        stall_timeout: seconds after which a client that takes nothing of its answer counts as gone.
    """

    __slots__ = (
        "_base_headers",
        "_clock",
        "_held_before",
        "_hold_began",
        "_stall_timeout",
        "aborted",
        "first_byte_at",
        "headers",
        "method",
        "model_id",
        "path",
        "pod",
        "receive",
        "refused",
        "request_id",
        "retries",
        "route",
        "scope",
        "started_at",
        "status",
        "streaming",
        "tokens",
        "turn",
    )

    def __init__(
        self,
        scope: Scope,
        turn: Turn,
        *,
        headers: Mapping[bytes, bytes],
        request_id: str,
        base_headers: Headers,
        clock: Callable[[], float],
        stall_timeout: float,
    ) -> None:
        self.scope = scope
        self.turn = turn
        self.receive = cast("Receive", turn.receive)
        self._clock = clock
        self._stall_timeout = stall_timeout
        self.headers = headers
        self.request_id = request_id
        self._base_headers = [(_REQUEST_ID, request_id.encode()), *base_headers]
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.started_at = clock()
        self.first_byte_at: float | None = None  # of a model's answer
        self.route = "other"  # the call's name, for metrics
        self.model_id = ""
        self.pod = ""
        self.status = 0  # 0: nothing was sent yet
        self._held_before: float | None = None
        self._hold_began: float | None = None
        self.retries = 0
        self.tokens = b""  # of prompt and answer, as the pod counted them
        self.streaming = False  # the answer is a stream of events that this router began itself
        self.aborted = ""  # why the answer was cut off
        self.refused = ""  # the code of the error that this router answered with

    @property
    def elapsed(self) -> float:
        """Seconds since the request came in."""
        return self._clock() - self.started_at

    @property
    def held(self) -> float | None:
        """Seconds the request waited for its model so far; None: it was never held."""
        if self._hold_began is None:
            return self._held_before
        return (self._held_before or 0.0) + self._clock() - self._hold_began

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Counts the time in its block as held."""
        self._held_before = self.held or 0.0
        self._hold_began = self._clock()
        try:
            yield
        finally:
            self._held_before, self._hold_began = self.held, None

    async def send(self, message: Message) -> None:
        """ASGI's `send`."""
        if message["type"] == "http.response.start":
            headers = [(name.lower(), value) for name, value in message.get("headers", ())]
            self.start(message["status"], headers)
        else:
            await self.write(message.get("body", b""), more=message.get("more_body", False))

    def start(self, status: int, headers: Headers) -> None:
        """The answer's head, names in lower case; it is sent with what is written next."""
        self.status = status
        all_headers = [*headers, *self._base_headers]
        held = self.held
        if held is not None:
            all_headers.append((HEADER_HELD_SECONDS.encode(), f"{held:.3f}".encode()))
        if self.retries:
            all_headers.append((HEADER_RETRIES.encode(), str(self.retries).encode()))
        self.turn.start(status, all_headers)

    async def write(self, body: bytes, *, more: bool) -> None:
        """Raises ClientGone where the client takes nothing of its answer for too long."""
        if self.turn.is_full:
            try:
                async with asyncio.timeout(self._stall_timeout):
                    await self.turn.drain()
            except TimeoutError:
                self.refused = CLIENT_STALLED
                self.turn.abort()
                raise ClientGone from None
        self.turn.write(body, more=more)

    async def answer(self, status: int, body: bytes, headers: Headers) -> None:
        """A whole answer."""
        self.start(status, [*headers, (b"content-length", str(len(body)).encode())])
        await self.write(body, more=False)

    def start_events(self) -> None:
        """Begin a stream of events before it is known what will be in it."""
        self.streaming = True
        self.start(HTTPStatus.OK, sse.HEADERS)

    async def fail(self, error: RequestError) -> None:
        """Answer with `error`: as a status while that is possible, else as an event of the stream that began."""
        self.refused = error.code
        if self.streaming:
            self.aborted = error.code
            await self.write(sse.error_events(error.body(self.path)), more=False)
        elif self.status == 0:
            body = json.dumps(error.body(self.path)).encode()
            await self.answer(error.status, body, [_JSON, *error_headers(error)])
        else:
            # Leaving the answer unfinished makes the server close the connection: visibly cut, never cleanly ended.
            self.aborted = error.code


_JSON = (b"content-type", b"application/json")


def error_headers(error: RequestError) -> Headers:
    """The headers that belong to `error` in every shape of answer."""
    headers = [(name.encode(), value.encode()) for name, value in error.headers().items()]
    return [*headers, (b"www-authenticate", b"Bearer")] if isinstance(error, Unauthorized) else headers


def exchange_of(scope: Mapping[str, Any]) -> Exchange:
    """The exchange that this ASGI scope belongs to."""
    exchange: Exchange = scope[SCOPE_KEY]
    return exchange
