"""Starting a stream: what fails before the first byte is a plain error, what fails after it is an event."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from hfmodel_api.errors import RequestError
from hfmodel_runtime.server.sse import EventStream, event

logger = logging.getLogger(__name__)


async def stream(chunks: AsyncGenerator[bytes], *, path: str) -> EventStream:
    """`chunks` as an answer to `path`, once there is a first one; errors raised before that are the caller's."""
    first = await anext(chunks)
    return EventStream(_guarded(first, chunks, path=path))


async def _guarded(first: bytes, rest: AsyncGenerator[bytes], *, path: str) -> AsyncGenerator[bytes]:
    async with aclosing(rest):
        yield first
        try:
            async for chunk in rest:
                yield chunk
        except RequestError as error:
            logger.warning("a stream failed after it had begun: %s", error)
            yield event(error.body(path))
