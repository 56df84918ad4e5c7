"""What a client may take of this router: connections, headers, and a body within bounds of size and time."""

import asyncio
from collections.abc import Callable, Mapping

from starlette.types import Message, Receive

from hfmodel_api.connections import ConnectionLimits, affordable_connections
from hfmodel_api.errors import BodyTooLarge, InvalidRequest
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


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], *, max_bytes: int, timeout: float) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: by its Content-Length, or as soon as more than `max_bytes` arrived.
        InvalidRequest: it did not arrive within `timeout` seconds.
        ClientGone: the client went away in the middle.
    """
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
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
                    raise _too_large(max_bytes)
    except TimeoutError:
        raise InvalidRequest(f"the body did not arrive within {timeout:g} seconds") from None
    return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that starts with an already read body; what follows (the disconnect) comes from `receive`."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than the limit of {max_bytes} bytes")
