"""One attempt: a request to one pod, and its answer chunk by chunk.

Errors before the first byte of the answer's body are `AttemptFailed` (nothing was passed on yet, so the request can go
elsewhere); after it, `BrokenOff`.
"""

import functools
import io
import socket
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from hfmodel_api.names import HEADER_REFUSED
from hfmodel_router.cors import Headers
from hfmodel_router.errors import BrokenOff, Died, Refused, Unreachable
from hfmodel_router.fleet import Endpoint
from hfmodel_router.sse import CONTENT_TYPE

# What belongs to one connection, or is set anew on the other side.
_NOT_PASSED_ON = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"date",
        b"server",
        b"x-request-id",
        HEADER_REFUSED.encode(),
    }
)
_NO_AUTO_HEADERS = ("accept", "accept-encoding", "user-agent", "content-type")
# Shorter than uvicorn's 5 s, so that this side closes an idle connection first.
_KEEPALIVE = 4.0
_BIG_BODY = 512 * 1024  # from here on a body is written in pieces
_SHORT_BODY = 256 * 1024  # up to here an answer of known length is passed on only once it is complete
_MAX_ERROR_BODY = 64 * 1024
# A pod whose node is lost sends nothing, not even a reset: probe a silent connection.
_KEEPALIVE_IDLE, _KEEPALIVE_INTERVAL, _KEEPALIVE_PROBES = 15, 5, 4
_UNACKNOWLEDGED_MS = 30_000


def open_session(*, connect_timeout: float) -> aiohttp.ClientSession:
    """A client for pods: no limit on connections (the router bounds requests itself), no decoding, no cookies."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE, socket_factory=_socket, ttl_dns_cache=30)
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_NO_AUTO_HEADERS,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout),
        trust_env=False,
    )


class Answer:
    """A pod's answer that has begun: at least one byte of its body is here, or it is complete and empty."""

    def __init__(self, response: aiohttp.ClientResponse, first: bytes) -> None:
        self._response = response
        self.first = first
        self.status = response.status
        self.headers: Headers = [
            (lower, value) for name, value in response.raw_headers if (lower := name.lower()) not in _NOT_PASSED_ON
        ]
        content_type = next((value for name, value in self.headers if name == b"content-type"), b"")
        self.is_events = content_type.lower().startswith(CONTENT_TYPE)

    @property
    def complete(self) -> bool:
        """Nothing follows what was read so far."""
        return self._response.content.at_eof()

    @property
    def retry_after(self) -> float | None:
        text = self._response.headers.get("retry-after", "")
        return float(text) if text.isdigit() else None

    async def read(self) -> bytes:
        """The next chunk; empty only at the end. Raises BrokenOff."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise BrokenOff(_named(error)) from error

    async def read_error(self) -> bytes:
        """The whole body of a short answer, cut at a bound. Raises BrokenOff."""
        body = bytearray(self.first)
        while not self.complete and len(body) < _MAX_ERROR_BODY:
            body += await self.read()
        return bytes(body)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Closing the connection is what tells the pod to stop; a complete answer has given it back already.
        if not self.complete:
            self._response.close()


async def send(
    session: aiohttp.ClientSession, endpoint: Endpoint, path: str, *, body: bytes, headers: dict[str, str]
) -> Answer:
    """POST `body` to this pod and wait for the first byte of the answer's body.

    Raises:
        Unreachable: no connection.
        Refused: the pod says that it started nothing.
        Died: the connection broke before the first byte.
    """
    data: Any = body if len(body) < _BIG_BODY else io.BytesIO(body)
    try:
        response = await session.post(_url(endpoint.url, path), data=data, headers=headers, allow_redirects=False)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise Unreachable(_named(error)) from error
    except (aiohttp.ClientError, OSError) as error:
        raise Died(_named(error)) from error
    refusal = response.headers.get(HEADER_REFUSED)
    if refusal is not None and response.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.close()
        raise Refused(refusal)
    try:
        return Answer(response, await _beginning(response))
    except (aiohttp.ClientError, OSError) as error:
        response.close()
        raise Died(_named(error)) from error
    except BaseException:
        response.close()
        raise


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The first chunk; all of a short body, so that a pod that dies in the middle of one costs a try and no answer."""
    length = response.content_length
    if length is not None and length <= _SHORT_BODY:
        return await response.content.read()
    return await response.content.readany()


@functools.lru_cache(maxsize=4096)
def _url(base: str, path: str) -> URL:
    return URL(base + path)


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _socket(address: Any) -> socket.socket:
    family, kind, protocol, *_ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _KEEPALIVE_IDLE),
        ("TCP_KEEPINTVL", _KEEPALIVE_INTERVAL),
        ("TCP_KEEPCNT", _KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", _UNACKNOWLEDGED_MS),
    ):
        if hasattr(socket, name):  # not every system has every one
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return sock
