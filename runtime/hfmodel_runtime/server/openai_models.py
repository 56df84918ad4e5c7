"""`GET /v1/models`: the one model, under its id and its repo id."""

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hfmodel_api import wire
from hfmodel_runtime.server.model import ServedModel


def routes(model: ServedModel) -> list[Route]:
    return [
        Route(wire.PATH_V1_MODELS, partial(_models, model)),
        Route(f"{wire.PATH_V1_MODELS}/{{name:path}}", partial(_model, model)),
    ]


async def _models(model: ServedModel, _request: Request) -> Response:
    return JSONResponse({"object": "list", "data": [_described(model)]})


async def _model(model: ServedModel, request: Request) -> Response:
    model.answers_to(request.path_params["name"])
    return JSONResponse(_described(model))


def _described(model: ServedModel) -> dict[str, Any]:
    return {
        "id": model.settings.model_id,
        "object": "model",
        "created": model.created,
        "owned_by": "hfmodel",
        "root": model.settings.model,
    }
