"""What those who run this process ask it: alive, ready, busy, what is in it, and to retire."""

from functools import partial
from http import HTTPStatus

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hfmodel_api import wire
from hfmodel_api.errors import InvalidRequest
from hfmodel_api.validation import field_errors
from hfmodel_runtime.lifecycle import State
from hfmodel_runtime.server.body import read_body
from hfmodel_runtime.server.gpus import with_gpu_memory
from hfmodel_runtime.server.metrics import CONTENT_TYPE
from hfmodel_runtime.server.model import ServedModel


def routes(model: ServedModel) -> list[Route]:
    return [
        Route(wire.PATH_HEALTHZ, partial(_healthz, model)),
        Route(wire.PATH_READYZ, partial(_readyz, model)),
        Route(wire.PATH_INFO, partial(_info, model)),
        Route(wire.PATH_METRICS, partial(_metrics, model)),
        Route(wire.PATH_ACTIVITY, partial(_activity, model)),
        Route(wire.PATH_RETIRE, partial(_retire, model), methods=["POST"]),
    ]


def _status(is_fine: bool) -> HTTPStatus:
    return HTTPStatus.OK if is_fine else HTTPStatus.SERVICE_UNAVAILABLE


async def _healthz(model: ServedModel, _request: Request) -> Response:
    dead = model.state is State.DEAD
    return JSONResponse({"status": State.DEAD.value if dead else "ok"}, status_code=_status(not dead))


async def _readyz(model: ServedModel, _request: Request) -> Response:
    # Leaving and draining differ only in whether what still comes is served; to those who route they are one.
    state = State.DRAINING if model.state is State.LEAVING else model.state
    return JSONResponse({"status": state.value}, status_code=_status(state is State.READY))


async def _info(model: ServedModel, _request: Request) -> Response:
    return JSONResponse(with_gpu_memory(model.engine.info).model_dump(mode="json"))


async def _metrics(model: ServedModel, _request: Request) -> Response:
    return Response(model.metrics.render(), headers={"content-type": CONTENT_TYPE})


async def _activity(model: ServedModel, _request: Request) -> Response:
    return JSONResponse(model.activity().model_dump(mode="json"))


async def _retire(model: ServedModel, request: Request) -> Response:
    body = await read_body(request, model.settings)
    try:
        wanted = wire.RetireRequest.model_validate_json(body or b"{}")
    except ValidationError as error:
        errors = field_errors(error)
        raise InvalidRequest("; ".join(map(str, errors)), param=errors[0].path or None) from None
    _ = model.state  # an engine that died is noticed before the question, not after
    if model.lifecycle.retire(idle_for=wanted.idle_for_seconds):
        return JSONResponse({"retired": True})
    return JSONResponse(model.activity().model_dump(mode="json"), status_code=HTTPStatus.CONFLICT)
