"""What surrounds every request: its id in and out, its log line, and the undoing of whatever it started."""

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hfmodel_api import wire
from hfmodel_api.names import HEADER_REQUEST_ID, HEADER_TOKENS
from hfmodel_api.request_id import request_id_of

logger = logging.getLogger(__name__)

_SCOPE_KEY: Final = "hfmodel.exchange"
# Asked for every second or so by whoever watches; their lines would bury the others.
_QUIET: Final = frozenset({wire.PATH_HEALTHZ, wire.PATH_READYZ, wire.PATH_METRICS, wire.PATH_ACTIVITY})
CLIENT_GONE: Final = 499  # nginx's word for it; only ever seen in the log


@dataclass(slots=True)
class Exchange:
    """One request: its id, the facts for its log line, and what ends with it."""

    request_id: str
    prompt_tokens: int = 0
    answer_tokens: int = 0
    sequences: int = 0  # how many answers there will be
    first_token_seconds: float | None = None  # from submission: waiting for a place, and computing the prompt
    finish_reasons: list[str] = field(default_factory=list)
    undo: ExitStack = field(default_factory=ExitStack)

    @property
    def complete(self) -> bool:
        """All its tokens are counted."""
        return 0 < self.sequences == len(self.finish_reasons)


def exchange_of(request: Request) -> Exchange:
    """The exchange that `request` belongs to."""
    exchange = request.scope[_SCOPE_KEY]
    assert isinstance(exchange, Exchange)  # noqa: S101 - set by ExchangeMiddleware for every request
    return exchange


class ExchangeMiddleware:
    """Outermost: whatever happens inside, the request leaves one log line and nothing running."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(request_id=request_id_of(scope["headers"]))
        scope[_SCOPE_KEY] = exchange
        status = CLIENT_GONE
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (HEADER_REQUEST_ID.encode(), exchange.request_id.encode())]
                if exchange.complete:
                    counts = f"{exchange.prompt_tokens} {exchange.answer_tokens}"
                    headers.append((HEADER_TOKENS.encode(), counts.encode()))
                message = {**message, "headers": headers}
            await send(message)

        try:
            with exchange.undo:
                await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = CLIENT_GONE
        except Exception:
            # The answer was sent already (or its connection cut); what is left is to say so.
            logger.exception("request failed unexpectedly", extra={"fields": {"request_id": exchange.request_id}})
        finally:
            _log(scope, exchange, status=status, seconds=time.perf_counter() - started)


def _log(scope: Scope, exchange: Exchange, *, status: int, seconds: float) -> None:
    fields: dict[str, object] = {
        "request_id": exchange.request_id,
        "method": scope["method"],
        "path": scope["path"][:200],
        "status": status,
        "seconds": seconds,
    }
    if exchange.prompt_tokens:
        fields["prompt_tokens"] = exchange.prompt_tokens
        fields["answer_tokens"] = exchange.answer_tokens
        if exchange.first_token_seconds is not None:
            fields["first_token"] = exchange.first_token_seconds
        fields["finish_reason"] = ",".join(exchange.finish_reasons) or "none"
    level = logging.DEBUG if scope["path"] in _QUIET else logging.INFO
    logger.log(level, "request", extra={"fields": fields})
