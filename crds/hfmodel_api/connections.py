"""What one client can take of a server before its request is one: connections, headers, the time to send and to read.

Router and runtime serve with it; both look over their connections about once a second (`look_over`), so that no request
pays for a timer. uvicorn itself bounds none of this.
"""

import asyncio
import json
import logging
import resource
import socket
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hfmodel_api.errors import HeadTimeout, HeadTooLarge, InvalidRequest, Overloaded, RequestError
from hfmodel_api.names import HEADER_REQUEST_ID

logger = logging.getLogger(__name__)

_BEYOND = 1.25  # times as many connections are open for as long as it takes to say that there are too many
_FILES_FOR_OTHERS = 64
# After so many seconds a peer that is gone without a word (its machine died, a middlebox forgot it) is noticed.
_IDLE, _INTERVAL, _PROBES = 30, 10, 3
_UNACKNOWLEDGED_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Times in seconds.

    Attributes:
        refused: called with an error's code for each refusal that is no request's.
    """

    max_connections: int
    max_header_bytes: int  # request line and headers
    max_headers: int
    header_timeout: float  # for the whole head to arrive
    stall_timeout: float  # for a client to take some of what is left of an answer
    refused: Callable[[str], None] = lambda _: None


class Connection(HttpToolsProtocol):
    """uvicorn's, within `limits`."""

    limits: ClassVar[ConnectionLimits]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        self._in_head = False
        self._head_bytes = 0
        self._head_since: float | None = self.loop.time()  # when the head began that is not complete
        self._refusal: RequestError | None = None
        self._unsent = 0
        self._unsent_since = 0.0
        open_now = len(self.connections)
        if open_now > self.limits.max_connections:
            self.app = self._crowded
        if open_now > _BEYOND * self.limits.max_connections:
            self.limits.refused(Overloaded.code)
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._head_bytes = self._head_bytes + len(data) if self._in_head else len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.limits.max_header_bytes:
            self._refuse(self._too_large())
        elif self._head_since is None and (self._in_head or self.cycle is None or self.cycle.response_complete):
            self._head_since = self.loop.time()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_since = None
        limits = self.limits
        if len(self.headers) > limits.max_headers or (
            # With the head came perhaps some of the body.
            self._head_bytes > limits.max_header_bytes and self._head_size() > limits.max_header_bytes
        ):
            self._refusal = self._too_large()
            raise self._refusal  # ends the parser, which then calls send_400_response
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal or InvalidRequest("this is not a valid HTTP request"))

    def look(self, now: float) -> None:
        """End what takes too long. `now` is the event loop's clock."""
        if self._head_since is not None and now - self._head_since > self.limits.header_timeout:
            self._head_since = None
            if self._in_head:
                self._refuse(HeadTimeout(f"the headers did not arrive within {self.limits.header_timeout:g} seconds"))
            else:
                self.transport.close()
        self._look_at_the_rest(now)

    def _look_at_the_rest(self, now: float) -> None:
        """Of an answer that is complete, or was broken off, some may not be taken yet: it can only become less."""
        unsent = self.transport.get_write_buffer_size()
        is_over = self.transport.is_closing() or (self.cycle is not None and self.cycle.response_complete)
        if not unsent or not is_over or not self._unsent or unsent < self._unsent:
            self._unsent, self._unsent_since = (unsent if is_over else 0), now
        elif now - self._unsent_since > self.limits.stall_timeout:
            self.limits.refused("client_stalled")
            self.transport.abort()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _too_large(self) -> HeadTooLarge:
        limits = self.limits
        return HeadTooLarge(f"more than {limits.max_headers} headers, or {limits.max_header_bytes} bytes of them")

    def _refuse(self, error: RequestError) -> None:
        if self.transport.is_closing():
            return
        self.limits.refused(error.code)
        phrase = HTTPStatus(error.status).phrase
        lines = [f"HTTP/1.1 {error.status.value} {phrase}", *(f"{name}: {value}" for name, value in _headers(error))]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + _body(error))
        self.transport.close()

    async def _crowded(self, scope: Scope, _receive: Receive, send: Send) -> None:
        error = Overloaded("too many connections are open already", retry_after=1)
        self.limits.refused(error.code)
        headers = [(name.encode(), value.encode()) for name, value in _headers(error)]
        await send({"type": "http.response.start", "status": error.status.value, "headers": headers})
        await send({"type": "http.response.body", "body": _body(error), "more_body": False})


def _body(error: RequestError) -> bytes:
    return json.dumps(error.native_body()).encode()


def _headers(error: RequestError) -> list[tuple[str, str]]:
    """With an id of its own: what came is not a request yet, so it has none."""
    request_id = uuid.uuid4().hex
    logger.info("refused before it was a request: %s request_id=%s", error, request_id)
    return [
        ("content-type", "application/json"),
        ("content-length", str(len(_body(error)))),
        ("connection", "close"),
        (HEADER_REQUEST_ID, request_id),
        *error.headers().items(),
    ]


def limited(limits: ConnectionLimits, *, protocol: type[HttpToolsProtocol] = HttpToolsProtocol) -> type[Connection]:
    """`protocol` within `limits`, for uvicorn's `http`."""
    return type("LimitedConnection", (Connection, protocol), {"limits": limits})


def look_over(connections: Iterable[object], now: float) -> None:
    """Call about once a second with uvicorn's connections. `now` is the event loop's clock."""
    for connection in tuple(connections):
        if isinstance(connection, Connection):
            connection.look(now)


def watch_for_dead_peers(listener: socket.socket) -> None:
    """Every connection that `listener` accepts from now on notices a peer that is gone without a word."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _IDLE),
        ("TCP_KEEPINTVL", _INTERVAL),
        ("TCP_KEEPCNT", _PROBES),
        ("TCP_USER_TIMEOUT", _UNACKNOWLEDGED_MS),
    ):
        if hasattr(socket, name):  # not every system has every one
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def affordable_connections(wanted: int, *, files_each: int) -> int:
    """At most `wanted`, and at most what this process may open; asks the system for as many files as it gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, int((hard - _FILES_FOR_OTHERS) / files_each / _BEYOND)))
