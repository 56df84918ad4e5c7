"""The server's side of a connection: uvicorn's protocol, with a shorter way for answers and news of clients that leave.

An answer's head goes out with the first bytes of its body, in one write; a disconnect is a call and not a task that
waits for it; and what is written synchronously need not pass through ASGI's messages. Everything else is uvicorn's.
"""

import asyncio
import urllib.parse
from collections.abc import Callable
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import (
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

Headers = list[tuple[bytes, bytes]]

TURN = "hfmodel.turn"  # the key in a scope's `extensions`
_NO_BODY = frozenset({204, 304})


class Turn(RequestResponseCycle):
    """One request and its answer."""

    _head = b""  # of the answer, until it is sent with what follows
    _until_close = False  # the end of the connection is that of the answer
    _on_gone: Callable[[], None] | None = None

    def watch(self, on_gone: Callable[[], None] | None) -> None:
        """Call `on_gone` when the client leaves before its answer is complete, or has left; None ends that."""
        self._on_gone = on_gone
        if on_gone is None:
            return
        # A long body pauses reading, and who does not read sees nobody leave.
        self.flow.resume_reading()
        if self.disconnected:
            on_gone()

    def gone(self) -> None:
        """The connection is lost."""
        if self.response_complete:
            return
        self.disconnected = True
        self.message_event.set()
        if self._on_gone is not None:
            self._on_gone()

    def whole_body(self) -> bytes | None:
        """The request's body, where all of it is here and none was read; then `receive` has nothing more of it."""
        if self.more_body or self.disconnected:
            return None
        self.message_event.clear()
        body, self.body = bytes(self.body), bytearray()
        return body

    @property
    def is_full(self) -> bool:
        """The client is slow to take what was written: wait with `drain` before more."""
        return bool(self.flow.write_paused) and not self.disconnected

    async def drain(self) -> None:
        await self.flow.drain()

    def start(self, status: int, headers: Headers) -> None:
        """The answer's head; it goes out with the first call of `write`."""
        if self.response_started:
            raise RuntimeError("the answer has begun already")
        closes = False
        lines = []
        for name, value in (*self.default_headers, *headers):
            if name == b"content-length" and self.chunked_encoding is None:
                self.chunked_encoding, self.expected_content_length = False, int(value)
            elif name == b"connection" and b"close" in value.lower():
                closes, self.keep_alive = True, False
            lines.append(b"%b: %b" % (name, value))
        if HEADER_VALUE_RE.search(b"".join(lines)):
            raise RuntimeError("a header has characters that would end it early")
        if not self.keep_alive and not closes:
            lines.append(b"connection: close")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _NO_BODY:
            self._until_close = self.scope["http_version"] == "1.0"  # which knows no chunks
            self.chunked_encoding = not self._until_close
            if self.chunked_encoding:
                lines.append(b"transfer-encoding: chunked")
        self.response_started = True
        self.waiting_for_100_continue = False
        self._head = b"%b%b\r\n\r\n" % (STATUS_LINE[status], b"\r\n".join(lines))

    def write(self, body: bytes, *, more: bool) -> None:
        """A part of the answer's body, or with `more=False` its end. Never waits; see `is_full`."""
        if self.disconnected:
            return
        if not self.response_started or self.response_complete:
            raise RuntimeError("there is no answer under way")
        data = self._head + self._framed(body, more=more)
        self._head = b""
        if data:
            self.transport.write(data)
        if not more:
            self._complete()

    def cut(self) -> None:
        """End the connection in the middle of the answer, so that the client sees that something is missing."""
        if self.response_complete or self.disconnected:
            return
        if self._until_close:
            self.abort()
        else:
            self.transport.close()

    def abort(self) -> None:
        """End the connection at once; what the client did not take is dropped."""
        self.transport.abort()

    async def run_asgi(self, app: Any) -> None:
        """As uvicorn's; but an answer that is cut on purpose is no error, and has its line in the log already."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException:  # as uvicorn does: nothing is above
            self.logger.exception("the application failed on a request")
        finally:
            if self.response_started or self.disconnected:
                self.cut()
            else:
                await self.send_500_response()
            self.on_response = lambda: None

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            return b""
        if self.chunked_encoding:
            framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return framed if more else framed + b"0\r\n\r\n"
        if self._until_close:
            return body
        self.expected_content_length -= len(body)
        if self.expected_content_length < 0:
            raise RuntimeError("the answer is longer than its content-length")
        return body

    def _complete(self) -> None:
        if self.expected_content_length > 0:
            raise RuntimeError("the answer is shorter than its content-length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    async def send(self, message: Any) -> None:
        """ASGI's."""
        if self.is_full:
            await self.drain()
        if message["type"] == "http.response.start":
            self.start(message["status"], [(name.lower(), value) for name, value in message.get("headers", ())])
        else:
            self.write(message.get("body", b""), more=message.get("more_body", False))


class Front(HttpToolsProtocol):
    """Makes a `Turn` of each request, and puts it into the scope's extensions."""

    _running: Turn | None = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cast("Turn", cycle)
        super()._start_asgi_task(cycle, app)

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope = cast("dict[str, Any]", self.scope)
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        before = self.cycle
        self.cycle = turn = Turn(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        scope["extensions"] = {TURN: turn}
        if before is None or before.response_complete:
            self._start_asgi_task(turn, self.app)
        else:
            # Pipelined: it has to wait for the answer before it.
            self.pipeline.appendleft((turn, self.app))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # uvicorn tells the newest request only, which waits for this one where requests are pipelined.
        if self._running is not None:
            self._running.gone()
