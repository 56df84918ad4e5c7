"""Errors as answers: every one is JSON, in the shape the callers of the path expect."""

import logging
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ExceptionHandler

from hfmodel_api.errors import BodyTooLarge, EngineFailed, NotReady, RequestError
from hfmodel_api.names import HEADER_REFUSED
from hfmodel_runtime.server.exchange import exchange_of

logger = logging.getLogger(__name__)


class _NoSuchPath(RequestError):
    status = HTTPStatus.NOT_FOUND
    code = "not_found"


class _WrongMethod(RequestError):
    status = HTTPStatus.METHOD_NOT_ALLOWED
    code = "method_not_allowed"


def error_response(error: RequestError, path: str) -> JSONResponse:
    """`error` as the answer to a request for `path`."""
    headers = error.headers()
    if isinstance(error, NotReady) and error.reason:
        # A promise to whoever relays: nothing was started, the same request may go elsewhere.
        headers[HEADER_REFUSED] = error.reason
    if isinstance(error, BodyTooLarge):
        # What is left of the body was not read and never will be.
        headers["connection"] = "close"
    return JSONResponse(error.body(path), status_code=error.status, headers=headers)


async def _request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101 - registered for that type
    return error_response(error, request.url.path)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for that type
    path = request.url.path
    wrong: RequestError
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "")
        wrong = _WrongMethod(f"{request.method} is not allowed here; allowed: {allowed}")
    else:
        wrong = _NoSuchPath(f"there is no {path[:200]} here")
    response = error_response(wrong, path)
    response.headers.update(error.headers or {})
    return response


async def _unexpected(request: Request, _error: Exception) -> Response:
    # The middleware outside logs it with its traceback; a caller can do nothing with either.
    request_id = exchange_of(request).request_id
    return error_response(EngineFailed(f"internal error; the log has more under {request_id}"), request.url.path)


EXCEPTION_HANDLERS: dict[type[Exception], ExceptionHandler] = {
    RequestError: _request_error,
    HTTPException: _http_exception,
    Exception: _unexpected,
}
