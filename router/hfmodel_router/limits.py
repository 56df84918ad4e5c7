"""What a client may take of this router: connections, headers, and a body within bounds of size and time."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from starlette.types import Message, Receive

from hfmodel_api.connections import ConnectionLimits, affordable_connections
from hfmodel_api.errors import BodyTooLarge, InvalidRequest, Overloaded
from hfmodel_router.errors import ClientGone
from hfmodel_router.settings import RouterSettings


def connection_limits(settings: RouterSettings, *, refused: Callable[[str], None]) -> ConnectionLimits:
    """`settings`, within what this process may open: a client's connection may need one to a pod, too."""
    return ConnectionLimits(
        max_connections=affordable_connections(settings.max_connections, files_each=2),
        max_header_bytes=settings.max_header_bytes,
        max_headers=settings.max_headers,
        header_timeout=settings.header_timeout,
        stall_timeout=settings.stall_timeout,
        refused=refused,
    )


class BodyRoom:
    """The bodies of all requests that are read, held or worked on, together within a bound of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._taken = 0

    @contextmanager
    def place(self) -> Iterator[Callable[[int], None]]:
        """For one body: call what it gives with the bytes that are there each time there are more.

        That call raises Overloaded where they do not fit.
        """
        mine = 0

        def grow_to(size: int) -> None:
            nonlocal mine
            if self._taken - mine + size > self._max_bytes:
                raise Overloaded(f"the bodies of other requests take all of {self._max_bytes} bytes", retry_after=1)
            self._taken += size - mine
            mine = size

        try:
            yield grow_to
        finally:
            self._taken -= mine


async def read_body(
    receive: Receive,
    headers: Mapping[bytes, bytes],
    *,
    max_bytes: int,
    timeout: float,
    grown: Callable[[int], None] = lambda _: None,
) -> bytes:
    """The whole body.

    Args:
        grown: called with the bytes that are here, each time more arrived; what it raises ends the reading.

    Raises:
        BodyTooLarge: by its Content-Length, or as soon as more than `max_bytes` arrived.
        InvalidRequest: it did not arrive within `timeout` seconds.
        ClientGone: the client went away in the middle.
    """
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_large(max_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(timeout):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > max_bytes:
                    raise too_large(max_bytes)
                grown(len(body))
    except TimeoutError:
        raise InvalidRequest(f"the body did not arrive within {timeout:g} seconds") from None
    return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that starts with an already read body; what follows (the disconnect) comes from `receive`."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed


def too_large(max_bytes: int) -> BodyTooLarge:
    """What to raise for a body beyond `max_bytes`."""
    return BodyTooLarge(f"the body is larger than the limit of {max_bytes} bytes")
