"""The calls that the router answers itself, as a FastAPI app."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from hfmodel_api.errors import EngineFailed, InvalidRequest, RequestError
from hfmodel_router import admin_api, health_api, load_api, models_api, openai_api, server_api
from hfmodel_router.auth import DOCS_ASSETS
from hfmodel_router.errors import ClientGone, plain_status_error
from hfmodel_router.exchange import error_headers, exchange_of
from hfmodel_router.openapi import document_everything
from hfmodel_router.surface import Surface
from hfmodel_router.version import version

_CLIENT_CLOSED = 499  # as nginx logs it; nobody reads it

logger = logging.getLogger(__name__)


def documented_app(surface: Surface) -> FastAPI:
    """Everything but the calls that pods answer; those are in its documentation all the same."""
    app = FastAPIOffline(  # /docs and /redoc bring their own scripts: a cluster may have no way out
        static_url=DOCS_ASSETS,
        title="HFModel",
        version=version(),
        description="Hugging Face models over REST. A model that is not loaded is loaded by the first call.",
        redirect_slashes=False,
    )
    for group in (models_api, load_api, admin_api, openai_api, server_api, health_api):
        app.include_router(group.routes(surface))
    app.add_exception_handler(RequestError, _request_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _status_error)
    app.add_exception_handler(ClientGone, _client_gone)
    app.add_exception_handler(Exception, _bug)
    document_everything(app, with_keys=bool(surface.settings.api_keys))
    return app


def _shaped(request: Request, error: RequestError) -> Response:
    exchange_of(request.scope).refused = error.code
    headers = {name.decode(): value.decode() for name, value in error_headers(error)}
    return JSONResponse(error.body(request.url.path), status_code=error.status, headers=headers)


async def _request_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestError):
        raise error
    return _shaped(request, error)


async def _validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    location = ".".join(str(part) for part in first["loc"][1:])
    message = f"{location}: {first['msg']}" if location else first["msg"]
    return _shaped(request, InvalidRequest(message, param=location or None))


async def _status_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    detail = f"{request.method} {request.url.path}: {error.detail}"
    return _shaped(request, plain_status_error(error.status_code, detail, headers=error.headers or {}))


async def _client_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=_CLIENT_CLOSED)


async def _bug(request: Request, error: Exception) -> Response:
    return _shaped(request, EngineFailed("the router failed on this request; its log says more"))
