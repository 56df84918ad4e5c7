"""One connection to a pod: a request goes out, its answer comes in, and the connection is good for the next one.

HTTP/1.1 over asyncio, with httptools' parser, and only what a relay needs: POST with a body of known length, one
request at a time. A general client costs more than everything else that the router does for a request.
"""

import asyncio
import socket
from collections.abc import Callable

import httptools

_HIGH_WATER = 256 * 1024  # bytes of an answer that wait to be read; with more, the pod has to wait
_INFORMATIONAL = range(100, 200)


class UpstreamBroken(Exception):
    """The connection to the pod ended, or what came over it was no HTTP, before the answer was complete."""


class Reply:
    """A pod's answer while it arrives. One reader at a time."""

    __slots__ = ("_chunks", "_connection", "_size", "_waiter", "complete", "error", "headers", "length", "status")

    def __init__(self, connection: "Connection") -> None:
        self.status = 0  # 0: the headers are not here yet
        self.headers: list[tuple[bytes, bytes]] = []  # names in lower case
        self.length: int | None = None  # of the body, where the pod says it
        self.complete = False  # all has arrived, though maybe not been read
        self.error: UpstreamBroken | None = None
        self._connection: Connection | None = connection
        self._chunks: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None

    @property
    def at_end(self) -> bool:
        """Everything was read."""
        return self.complete and not self._chunks

    async def began(self, *, whole_up_to: int) -> None:
        """Wait for the headers and the first byte of the body; for all of a body that says it is that short.

        Raises UpstreamBroken.
        """
        while not self._has_begun(whole_up_to):
            await self._news()

    async def read(self) -> bytes:
        """What has arrived since the last read, at least a byte; empty only at the end. Raises UpstreamBroken."""
        while not self._chunks:
            if self.complete:
                return b""
            await self._news()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        if self._size > _HIGH_WATER and self._connection is not None:
            self._connection.resume()
        self._size = 0
        return data

    def close(self) -> None:
        """Read no more of it. Closing the connection is what tells a pod to stop."""
        if self._connection is not None:
            self._connection.abort()

    def body(self, data: bytes) -> bool:
        """More has arrived; whether that is enough for now."""
        self._chunks.append(data)
        self._size += len(data)
        self._tell()
        return self._size > _HIGH_WATER

    def end(self, error: UpstreamBroken | None = None) -> None:
        """Nothing more will arrive."""
        self._connection = None
        self.complete, self.error = error is None, error
        self._tell()

    def _has_begun(self, whole_up_to: int) -> bool:
        if self.complete:
            return True
        short = self.length is not None and self.length <= whole_up_to
        return bool(self._chunks) and not short

    async def _news(self) -> None:
        if self.error is not None:
            raise self.error
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _tell(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Connection(asyncio.Protocol):
    """Made by `loop.create_connection`.

    Args:
        freed: called when the connection can take the next request.
        lost: called when it is gone.
    """

    def __init__(self, *, freed: Callable[["Connection"], None], lost: Callable[["Connection"], None]) -> None:
        self._freed = freed
        self._lost = lost
        self._parser = httptools.HttpResponseParser(self)
        self._reply: Reply | None = None
        self._keep_alive = self._until_close = self._unasked = self._finished = False
        self._paused = False
        self.idle_since: float | None = None  # the loop's clock; None: it never was, it is new

    @property
    def is_usable(self) -> bool:
        return not self._transport.is_closing()

    @property
    def socket(self) -> socket.socket:
        found: socket.socket = self._transport.get_extra_info("socket")
        return found

    def post(self, head: bytes, body: bytes) -> Reply:
        """Send a request; nothing else may be under way."""
        self._reply = reply = Reply(self)
        self._keep_alive = self._until_close = self._finished = False
        if len(body) < _HIGH_WATER:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        return reply

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._transport.abort()
        self._end(UpstreamBroken("the connection was given up"))

    def resume(self) -> None:
        """Let the pod send on."""
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._finished:
                self._transport.abort()
                self._end(UpstreamBroken(f"the pod's answer is not HTTP/1.1: {type(error).__name__}"))
                return
            self._unasked = True
        if self._finished:
            self._finish()
        elif self._reply is None:
            self._unasked = True
        if self._unasked:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        ended_cleanly = exc is None and self._until_close
        self._end(
            None if ended_cleanly else UpstreamBroken("the pod closed the connection" if exc is None else str(exc))
        )
        self._lost(self)

    # httptools' callbacks

    def on_message_begin(self) -> None:
        if self._reply is None or self._finished:
            self._unasked = True

    def on_header(self, name: bytes, value: bytes) -> None:
        # Not of trailers, which come after the body, and not of an answer that nobody asked for.
        if self._reply is not None and not self._reply.status:
            self._reply.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        reply = self._reply
        if reply is None or reply.status:
            return
        status = self._parser.get_status_code()
        if status in _INFORMATIONAL:
            reply.headers.clear()
            return
        chunked = False
        for name, value in reply.headers:
            if name == b"content-length":
                reply.length = int(value)
            elif name == b"transfer-encoding":
                chunked = True
        self._keep_alive = self._parser.should_keep_alive()
        self._until_close = reply.length is None and not chunked
        reply.status = status

    def on_body(self, data: bytes) -> None:
        if self._reply is None or self._finished:
            return
        if self._reply.body(data) and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._reply is not None and self._reply.status:
            self._finished = True

    def _finish(self) -> None:
        self.resume()
        # A pod that answered before it took the whole request would take the rest of it for the next one.
        reusable = self._keep_alive and not self._unasked and not self._transport.get_write_buffer_size()
        self._finished = False
        self._end(None)
        if reusable:
            self._freed(self)
        else:
            self._transport.close()

    def _end(self, error: UpstreamBroken | None) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.end(error)
