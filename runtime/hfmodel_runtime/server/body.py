"""Request bodies: bounded while they are read, validated once they are there."""

import asyncio
from typing import TypeVar

from starlette.requests import Request

from hfmodel_api.errors import BodyTooLarge, InvalidRequest
from hfmodel_api.requests import (
    ChatCompletionRequest,
    ChatRequest,
    CompletionRequest,
    GenerateRequest,
    TokenizeRequest,
    parse_request,
)
from hfmodel_runtime.settings import ServeSettings

Call = TypeVar("Call", GenerateRequest, ChatRequest, CompletionRequest, ChatCompletionRequest, TokenizeRequest)


async def read_body(request: Request, settings: ServeSettings) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: as soon as that is known: from the announced length, or from what came so far.
        InvalidRequest: it did not arrive in time.
        ClientDisconnect: the caller went away before its end.
    """
    limit = settings.max_body_bytes
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(settings.body_timeout):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise InvalidRequest(f"the body did not arrive within {settings.body_timeout:g} seconds") from None
    return bytes(body)


async def read_call(kind: type[Call], request: Request, settings: ServeSettings) -> Call:
    """The body as a `kind`.

    Raises:
        RequestError: it is too large, too slow, or not a valid `kind`.
        ClientDisconnect: the caller went away before its end.
    """
    return parse_request(kind, await read_body(request, settings))


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit} bytes")
