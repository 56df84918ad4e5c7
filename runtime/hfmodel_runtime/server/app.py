"""The ASGI application of one serving process."""

from starlette.applications import Starlette
from starlette.types import ASGIApp

from hfmodel_runtime.server import (
    chat,
    generate,
    health,
    openai_chat,
    openai_completions,
    openai_models,
    tokenize,
)
from hfmodel_runtime.server.errors import EXCEPTION_HANDLERS
from hfmodel_runtime.server.exchange import ExchangeMiddleware
from hfmodel_runtime.server.model import ServedModel

_ENDPOINTS = (health, generate, chat, openai_chat, openai_completions, openai_models, tokenize)


def create_app(model: ServedModel) -> ASGIApp:
    """Serves `model`, loaded or not."""
    routes = [route for endpoint in _ENDPOINTS for route in endpoint.routes(model)]
    app = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)
    app.router.redirect_slashes = False
    return ExchangeMiddleware(app)
