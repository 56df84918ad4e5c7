"""One attempt: a request to one pod, and its answer chunk by chunk.

Errors before the first byte of the answer's body are `AttemptFailed` (nothing was passed on yet, so the request can go
elsewhere); after it, `BrokenOff`.
"""

from http import HTTPStatus
from types import TracebackType
from typing import Self

from hfmodel_api.names import HEADER_REFUSED, HEADER_TOKENS
from hfmodel_router.cors import Headers
from hfmodel_router.errors import BrokenOff, Died, Refused, Unreachable
from hfmodel_router.fleet import Endpoint
from hfmodel_router.sse import CONTENT_TYPE
from hfmodel_router.upstream import Reply, UpstreamBroken
from hfmodel_router.upstream_pool import UpstreamPool, target

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
_REFUSED = HEADER_REFUSED.encode()
_TOKENS = HEADER_TOKENS.encode()
_SHORT_BODY = 256 * 1024  # up to here an answer of known length is passed on only once it is complete
_MAX_ERROR_BODY = 64 * 1024


class Answer:
    """A pod's answer that has begun: at least one byte of its body is here, or it is complete and empty."""

    __slots__ = ("_reply", "first", "headers", "is_events", "retry_after", "status", "tokens")

    def __init__(self, reply: Reply, first: bytes) -> None:
        self._reply = reply
        self.first = first
        self.status = reply.status
        self.headers: Headers = []
        self.is_events = False
        self.retry_after: float | None = None  # seconds
        self.tokens = b""  # of prompt and answer, where the pod says so
        for header in reply.headers:
            name, value = header
            if name in _NOT_PASSED_ON:
                continue
            self.headers.append(header)
            if name == b"content-type":
                self.is_events = value.lower().startswith(CONTENT_TYPE)
            elif name == b"retry-after" and value.isdigit():
                self.retry_after = float(value)
            elif name == _TOKENS:
                self.tokens = value

    @property
    def complete(self) -> bool:
        """Nothing follows what was read so far."""
        return self._reply.at_end

    async def read(self) -> bytes:
        """The next chunk; empty only at the end. Raises BrokenOff."""
        try:
            return await self._reply.read()
        except UpstreamBroken as error:
            raise BrokenOff(str(error)) from error

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
        self._reply.close()


async def send(pool: UpstreamPool, endpoint: Endpoint, path: str, *, body: bytes, headers: Headers) -> Answer:
    """POST `body` to this pod and wait for the first byte of the answer's body.

    A connection that was kept open may be one that the pod closed just then, so where it breaks before anything came
    back, a new one is tried at once: the pod's death is told by that one.

    Raises:
        Unreachable: no connection.
        Refused: the pod says that it started nothing.
        Died: the connection broke before the first byte.
    """
    try:
        where = target(endpoint.url)
        connection = await pool.take(where)
    except (OSError, ValueError) as error:
        raise Unreachable(f"{type(error).__name__}: {error}") from error
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    head = b"POST %b%b HTTP/1.1\r\n%b%bcontent-length: %d\r\n\r\n" % (
        where.prefix,
        path.encode(),
        where.fixed_headers,
        lines,
        len(body),
    )
    reply = connection.post(head, body)
    try:
        try:
            return await _begin(reply)
        except UpstreamBroken:
            if connection.idle_since is None or reply.status:
                raise
        pool.forget(where)
        return await _begin((await pool.open(where)).post(head, body))
    except (OSError, UpstreamBroken) as error:
        raise Died(str(error) or type(error).__name__) from error


async def _begin(reply: Reply) -> Answer:
    """Raises UpstreamBroken or Refused."""
    try:
        # All of a short body, so that a pod that dies in the middle of one costs a try and no answer.
        await reply.began(whole_up_to=_SHORT_BODY)
        answer = Answer(reply, await reply.read())
        _raise_if_refused(reply)
    except BaseException:
        reply.close()
        raise
    return answer


def _raise_if_refused(reply: Reply) -> None:
    refusal = dict(reply.headers).get(_REFUSED) if reply.status == HTTPStatus.SERVICE_UNAVAILABLE else None
    if refusal is not None:
        raise Refused(refusal.decode("latin-1"))
