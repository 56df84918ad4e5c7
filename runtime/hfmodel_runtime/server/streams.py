"""Starting a stream: what fails before the first byte is a plain error, what fails after it is an event."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request

from hfmodel_api.errors import RequestError
from hfmodel_api.names import HEADER_TOKENS
from hfmodel_api.wire import TOKENS_COMMENT
from hfmodel_runtime.server.exchange import exchange_of
from hfmodel_runtime.server.model import ServedModel
from hfmodel_runtime.server.sse import EventStream, event

logger = logging.getLogger(__name__)


async def stream(chunks: AsyncGenerator[bytes], model: ServedModel, request: Request) -> EventStream:
    """`chunks` as the answer to `request`, once there is a first one; errors raised before that are the caller's."""
    first = await anext(chunks)
    return EventStream(_guarded(first, chunks, request), stall_timeout=model.settings.stall_timeout)


async def _guarded(first: bytes, rest: AsyncGenerator[bytes], request: Request) -> AsyncGenerator[bytes]:
    async with aclosing(rest):
        yield first
        try:
            async for chunk in rest:
                yield chunk
        except RequestError as error:
            fields = {"request_id": exchange_of(request).request_id}
            logger.warning("a stream failed after it had begun: %s", error, extra={"fields": fields})
            yield event(error.body(request.url.path))
        if HEADER_TOKENS in request.headers:
            exchange = exchange_of(request)
            yield b"%b%d %d\n\n" % (TOKENS_COMMENT, exchange.prompt_tokens, exchange.answer_tokens)
