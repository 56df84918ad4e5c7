"""One request as a client library makes it: with an id, with new tries where its connection failed before any byte.

It never tries again once a byte of an answer is here, nor after an answer that it does not like.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from chaos.questions import Question
from chaos.reading import Reading, begins
from chaos.records import Attempt, Record
from hfmodel_api.names import HEADER_HELD_SECONDS, HEADER_REQUEST_ID, HEADER_RETRIES

_TRIES: Final = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 2.0  # seconds between tries, doubled each time
# As the openai client's. A router that is gone without a word is noticed by this.
_CONNECT_SECONDS: Final = 5.0
# Longer than anything takes here: one try without an end by then is given up, and its request lost.
_ANSWER_SECONDS: Final = 300.0
_LOST_BEFORE_A_BYTE: Final = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout)


def http_client(*, pooled: bool) -> httpx.AsyncClient:
    """What callers connect with; one that is not `pooled` opens a connection for every request."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None if pooled else 0)
    timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)
    return httpx.AsyncClient(limits=limits, timeout=timeout, trust_env=False)


@dataclass(slots=True, kw_only=True)
class Caller:
    """Asks at `url`; `clock` gives seconds since the start of the run."""

    url: str
    http: httpx.AsyncClient
    clock: Callable[[], float]

    async def ask(self, question: Question, *, expected: str, stream: bool, request_id: str) -> Record:
        """Its record, whatever happens."""
        asking = _Asking(question, expected, stream, request_id)
        pause = _FIRST_PAUSE
        for _ in range(_TRIES):
            if not await self._try(asking):
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return asking.record()

    async def _try(self, asking: "_Asking") -> bool:
        """Whether the connection failed before any byte came."""
        sent, connection = self.clock(), _Connection()
        failure = ""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._exchange(asking, connection)
        except TimeoutError:
            asking.hung = True
        except httpx.HTTPError as error:
            again = asking.status is None and isinstance(error, _LOST_BEFORE_A_BYTE)
            if again:
                failure = repr(error)
            else:
                asking.error = asking.error or repr(error)
        attempt = Attempt(sent=sent, ended=self.clock(), failure=failure, reused=not connection.opened)
        asking.attempts.append(attempt)
        return bool(failure)

    async def _exchange(self, asking: "_Asking", connection: "_Connection") -> None:
        question = asking.question
        async with self.http.stream(
            "POST",
            f"{self.url}{question.path}",
            json=question.body(stream=asking.stream),
            headers={HEADER_REQUEST_ID: asking.request_id},
            extensions={"trace": connection.trace},
        ) as response:
            asking.began(response)
            if asking.stream and response.status_code == httpx.codes.OK:
                async for line in response.aiter_lines():
                    asking.reading.feed(line)
            else:
                asking.whole(await response.aread(), response)


@dataclass(slots=True)
class _Connection:
    """Sees whether a connection was opened for a request."""

    opened: bool = False

    async def trace(self, event: str, _: Any) -> None:
        self.opened = self.opened or event.startswith("connection.connect_tcp")


@dataclass(slots=True)
class _Asking:
    """One request on its way."""

    question: Question
    expected: str
    stream: bool
    request_id: str
    attempts: list[Attempt] = field(default_factory=list)
    status: int | None = None
    error: str = ""
    hung: bool = False
    held: float | None = None
    retries: int = 0
    retry_after: float | None = None
    text: str | None = None  # of an answer that is whole
    reading: Reading = field(init=False)

    def __post_init__(self) -> None:
        self.reading = Reading(self.question)

    def began(self, response: httpx.Response) -> None:
        headers = response.headers
        self.status = response.status_code
        self.held = float(headers[HEADER_HELD_SECONDS]) if HEADER_HELD_SECONDS in headers else None
        self.retries = int(headers.get(HEADER_RETRIES, 0))
        self.retry_after = float(headers["retry-after"]) if "retry-after" in headers else None

    def whole(self, body: bytes, response: httpx.Response) -> None:
        if response.status_code == httpx.codes.OK:
            self.text = self.question.text_of(response.json())
        else:
            self.error = body.decode(errors="replace")[:300]

    def record(self) -> Record:
        streamed = self.stream and self.status == httpx.codes.OK
        if streamed and self.reading.complete:
            self.text = self.reading.text
        complete = self.text is not None
        right = self.text == self.expected if complete else begins(self.expected, self.question, self.reading.text)
        return Record(
            id=self.request_id,
            model=self.question.model,
            stream=self.stream,
            attempts=tuple(self.attempts),
            status=self.status,
            complete=complete,
            right=right,
            error=self.error or self.reading.error,
            hung=self.hung,
            held=self.held,
            retries=self.retries,
            retry_after=self.retry_after,
        )
