"""The old server's calls that load and unload one model."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from hfmodel_router import catalogue
from hfmodel_router.disconnect import UntilDisconnect
from hfmodel_router.exchange import exchange_of
from hfmodel_router.message import Message
from hfmodel_router.surface import Surface
from hfmodel_router.trip import asked_hold_timeout


class LoadRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    force_reload: bool = False


class LoadAnswer(BaseModel):
    message: str
    model_id: str
    force_reload: bool


def routes(surface: Surface) -> APIRouter:
    """The calls; each that waits gives up when its client goes."""
    router = APIRouter(tags=["load and unload"])
    fleet, loader, settings = surface.fleet, surface.loader, surface.settings

    @router.post("/models/{model_id}/load", summary="Wake a model and wait until it is ready")
    async def load(model_id: str, request: Request, body: LoadRequest | None = None, wait: bool = True) -> LoadAnswer:
        """Wake a model. Answers when it is ready; with `wait=false` at once."""
        exchange = exchange_of(request.scope)
        exchange.model_id = catalogue.by_id(fleet.catalogue(), model_id).model.id
        force = body is not None and body.force_reload
        timeout = asked_hold_timeout(exchange, limit=settings.hold_timeout)
        work = (loader.reload if force else loader.load)(model_id, timeout=timeout)
        if not wait:
            loader.start(work, model_id=model_id)
            return LoadAnswer(message=f"Model {model_id} is being loaded", model_id=model_id, force_reload=force)
        async with UntilDisconnect(exchange.turn):
            await work
        return LoadAnswer(message=f"Model {model_id} loaded successfully", model_id=model_id, force_reload=force)

    @router.post("/models/{model_id}/unload", summary="Let a model go to sleep once it is idle")
    async def unload(model_id: str, request: Request, wait: bool = True) -> Message:
        """Let a model go. Running requests are finished first, so a busy model goes later."""
        exchange = exchange_of(request.scope)
        state = catalogue.by_id(fleet.catalogue(), model_id)
        exchange.model_id = state.model.id
        async with UntilDisconnect(exchange.turn):
            gone = await loader.unload(model_id, timeout=settings.unload_wait if wait else 0.0)
        if not state.loaded:
            return Message(message=f"Model {model_id} was not loaded")
        if not gone:
            return Message(message=f"Model {model_id} will be unloaded as soon as it has finished its requests")
        return Message(message=f"Model {model_id} unloaded successfully")

    return router
