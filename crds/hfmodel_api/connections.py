"""What one client can take of a server before its request is one: connections, headers, the time to send and to read.

Router and runtime serve with it; both look over their connections about once a second (`look_over`), so that no request
pays for a timer. uvicorn itself bounds none of this.
"""

import asyncio
import json
import logging
import resource
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

import httptools
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from hfmodel_api.errors import HeadTimeout, HeadTooLarge, InvalidRequest, Overloaded, RequestError
from hfmodel_api.names import HEADER_REQUEST_ID
from hfmodel_api.request_id import request_id_of

logger = logging.getLogger(__name__)

Headers = list[tuple[bytes, bytes]]

CLIENT_STALLED = "client_stalled"  # the reason, in metrics

# Answered also on connections beyond the bound: a server that is full is not one that has to be restarted.
PROBES = frozenset({"/healthz", "/readyz"})

_BEYOND = 1.25  # times as many connections are open for as long as it takes to say that there are too many
_CROWDED_HEAD_TIMEOUT = 2.0  # seconds, of those
_MOST_AHEAD = 8  # requests that a client may send before the answer to its first
_FILES_FOR_OTHERS = 64
# After so many seconds a peer that is gone without a word (its machine died, a middlebox forgot it) is noticed.
_IDLE, _INTERVAL, _PROBES = 30, 10, 3
_UNACKNOWLEDGED_MS = 60_000
# What asks for another protocol, which nobody here speaks.
_UPGRADE = frozenset({b"upgrade", b"http2-settings"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Times in seconds.

    Attributes:
        refused: called with an error's code for each refusal that is no request's.
    """

    max_connections: int
    max_header_bytes: int  # request line and headers, and again what comes as trailers
    max_headers: int
    header_timeout: float  # for the whole head to arrive
    stall_timeout: float  # for a client to take what is left of an answer that is complete
    refused: Callable[[str], None] = lambda _: None


class Connection(HttpToolsProtocol):
    """uvicorn's, within `limits`."""

    limits: ClassVar[ConnectionLimits]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        self._in_head = False
        self._head_bytes = 0
        self._head_since: float | None = self.loop.time()  # when the head began that is not complete
        self._head_timeout = self.limits.header_timeout
        self._trailer_bytes = 0
        self._refusal: RequestError | None = None
        self._answering: RequestResponseCycle | None = None
        self._deaf = False
        self._drained_by: float | None = None  # until when the rest of an answer has to be taken
        open_now = len(self.connections)
        if open_now > self.limits.max_connections:
            self.app = self._crowded
            self._head_timeout = min(self._head_timeout, _CROWDED_HEAD_TIMEOUT)
        if open_now > _BEYOND * self.limits.max_connections:
            self.limits.refused(Overloaded.code)
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._head_bytes = self._head_bytes + len(data) if self._in_head else len(data)
        self._unset_keepalive_if_required()
        self._parse(data)
        if self._in_head and self._head_bytes > self.limits.max_header_bytes:
            self._refuse(self._too_large())
        elif self._head_since is None and (self._in_head or self.cycle is None or self.cycle.response_complete):
            self._head_since = self.loop.time()

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._parse_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._refusal or InvalidRequest("this is not a valid HTTP request"))

    def _parse_without_upgrade(self, rest: bytes) -> None:
        """The same request as from a client that wishes for no other protocol, which is for a server to decide.

        The parser takes what follows such a head for the other protocol, also where a body was announced.
        """
        line = b"%b %b HTTP/%b\r\n" % (
            self.parser.get_method(),
            self.url,
            self.parser.get_http_version().encode(),
        )
        headers = b"".join(b"%b: %b\r\n" % header for header in _without_upgrade(self.headers))
        self.parser = httptools.HttpRequestParser(self)
        self._parse(line + headers + b"\r\n" + rest)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._trailer_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)
            return
        # A trailer: nobody here has a use for one, least of all as a header.
        self._trailer_bytes += len(name) + len(value)
        if self._trailer_bytes > self.limits.max_header_bytes:
            self._give_up_on(self._too_large())

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._give_up_on(InvalidRequest("this server is no proxy: it takes no CONNECT"))
            return  # it comes again, without
        self._in_head = False
        self._head_since = None
        self._head_timeout = self.limits.header_timeout
        limits = self.limits
        if len(self.headers) > limits.max_headers or (
            # With the head came perhaps some of the body.
            self._head_bytes > limits.max_header_bytes and self._head_size() > limits.max_header_bytes
        ):
            self._give_up_on(self._too_large())
        if len(self.pipeline) >= _MOST_AHEAD:
            self._give_up_on(Overloaded(f"more than {_MOST_AHEAD} requests before the answer to the first"))
        super().on_headers_complete()
        # uvicorn pauses where requests wait for the answer before theirs; who does not read sees nobody leave.
        if self.pipeline:
            self.flow.resume_reading()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self.cycle is not self._answering and len(self.cycle.body) > HIGH_WATER_LIMIT:
            self._give_up_on(Overloaded("a large body before the answer to an earlier request"))

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.pipeline.clear()

    def look(self, now: float) -> None:
        """End what takes too long. `now` is the event loop's clock."""
        if self._head_since is not None and now - self._head_since > self._head_timeout:
            self._head_since = None
            if self._in_head:
                self._refuse(HeadTimeout(f"the headers did not arrive within {self._head_timeout:g} seconds"))
            else:
                self.transport.close()
        self._look_at_the_rest(now)

    def _look_at_the_rest(self, now: float) -> None:
        """Of an answer that is complete, or was broken off, some may not be taken yet.

        While an answer is under way, whoever writes it sees that nothing is taken.
        """
        is_over = self.transport.is_closing() or (self.cycle is not None and self.cycle.response_complete)
        if not is_over or not self.transport.get_write_buffer_size():
            self._drained_by = None
        elif self._drained_by is None:
            self._drained_by = now + self.limits.stall_timeout
        elif now > self._drained_by:
            self.limits.refused(CLIENT_STALLED)
            self.transport.abort()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _too_large(self) -> HeadTooLarge:
        limits = self.limits
        return HeadTooLarge(f"more than {limits.max_headers} headers, or {limits.max_header_bytes} bytes of them")

    def _give_up_on(self, error: RequestError) -> None:
        """Ends the parser, which then has `error` told to the client."""
        self._refusal = error
        raise error

    def _refuse(self, error: RequestError) -> None:
        """Say why, and close. Where an answer is under way, that one is the client's last, and this goes unsaid."""
        if self._deaf or self.transport.is_closing():
            return
        self._deaf = True
        self.limits.refused(error.code)
        answering = self._answering
        headers = _headers(error, self.headers or [])
        if answering is not None and not answering.response_complete and self._is_another(answering):
            answering.keep_alive = False
            self.pipeline.clear()
        elif answering is not None and answering.response_started and not self._is_another(answering):
            # It was answered before all of its body came, or is being answered.
            self.transport.close()
        else:
            self._say(error, headers)

    def _is_another(self, answering: RequestResponseCycle) -> bool:
        """Whether what is refused is not the request that is being answered, but one after it."""
        return self._in_head or self.cycle is not answering or not answering.more_body

    def _say(self, error: RequestError, headers: Headers) -> None:
        lines = [b"%b: %b" % header for header in headers]
        phrase = HTTPStatus(error.status).phrase
        first = f"HTTP/1.1 {error.status.value} {phrase}".encode()
        self.transport.write(b"\r\n".join([first, *lines, b"", b""]) + _body(error))
        self.transport.close()

    async def _crowded(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PROBES:
            await self.config.loaded_app(scope, receive, send)
            return
        error = Overloaded("too many connections are open already", retry_after=1)
        self.limits.refused(error.code)
        headers = _headers(error, scope["headers"])
        await send({"type": "http.response.start", "status": error.status.value, "headers": headers})
        await send({"type": "http.response.body", "body": _body(error), "more_body": False})


def _without_upgrade(headers: Headers) -> Headers:
    """Names in lower case. What is left of `connection` is whether it is closed."""
    kept = [header for header in headers if header[0] not in _UPGRADE and header[0] != b"connection"]
    closes = any(name == b"connection" and b"close" in value.lower() for name, value in headers)
    return [*kept, (b"connection", b"close")] if closes else kept


def _body(error: RequestError) -> bytes:
    return json.dumps(error.native_body()).encode()


def _headers(error: RequestError, request: Headers) -> Headers:
    """Of the answer, with the id that `request` has among its headers, as far as they came; and a line in the log."""
    request_id = request_id_of(request)
    logger.info("refused before it was a request: %s", error, extra={"fields": {"request_id": request_id}})
    headers = {
        "content-type": "application/json",
        "content-length": str(len(_body(error))),
        "connection": "close",
        HEADER_REQUEST_ID: request_id,
        **error.headers(),
    }
    return [(name.encode(), value.encode()) for name, value in headers.items()]


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
