"""Request bodies: bounded while they are read, validated once they are there."""

from typing import TypeVar

from starlette.requests import Request

from hfmodel_api.errors import BodyTooLarge
from hfmodel_api.requests import (
    ChatCompletionRequest,
    ChatRequest,
    CompletionRequest,
    GenerateRequest,
    TokenizeRequest,
    parse_request,
)

Call = TypeVar("Call", GenerateRequest, ChatRequest, CompletionRequest, ChatCompletionRequest, TokenizeRequest)


async def read_body(request: Request, *, limit: int) -> bytes:
    """The whole body, at most `limit` bytes.

    Raises:
        BodyTooLarge: as soon as that is known: from the announced length, or from what came so far.
        ClientDisconnect: the caller went away before its end.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


async def read_call(kind: type[Call], request: Request, *, limit: int) -> Call:
    """The body as a `kind`.

    Raises:
        RequestError: it is too large, or not a valid `kind`.
        ClientDisconnect: the caller went away before its end.
    """
    return parse_request(kind, await read_body(request, limit=limit))


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit} bytes")
