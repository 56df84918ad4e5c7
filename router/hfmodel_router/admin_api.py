"""The old server's /admin calls."""

import asyncio

from fastapi import APIRouter, Request
from pydantic import BaseModel

from hfmodel_api.errors import HFModelError, InvalidRequest
from hfmodel_router.catalogue import loaded_ids
from hfmodel_router.disconnect import UntilDisconnect
from hfmodel_router.exchange import exchange_of
from hfmodel_router.message import Message
from hfmodel_router.surface import Surface

_GPU_MEMORY = "GPU memory belongs to the models' own pods and is free once a model is unloaded; nothing to clear here"


class UnloadAll(BaseModel):
    message: str
    unloaded_models: list[str]


def routes(surface: Surface) -> APIRouter:
    """The calls."""
    router = APIRouter(tags=["admin"])
    fleet, loader, settings = surface.fleet, surface.loader, surface.settings

    @router.post("/admin/reload-config", summary="Read the catalogue again")
    async def reload_config() -> Message:
        """Look at the catalogue's source again now; changes are picked up without this call too."""
        try:
            await fleet.resync()
        except HFModelError as error:
            raise InvalidRequest(f"the catalogue was not reloaded: {error}") from error
        return Message(message=f"Catalogue reloaded: {len(fleet.catalogue())} models")

    @router.post("/admin/clear-gpu-memory", summary="Free GPU memory nobody uses")
    async def clear_gpu_memory() -> Message:
        """Kept for old clients."""
        return Message(message=_GPU_MEMORY)

    @router.post("/admin/unload-all", summary="Let every model go to sleep once it is idle")
    async def unload_all(request: Request) -> UnloadAll:
        """Let every loaded model go."""
        ids = loaded_ids(fleet.catalogue())
        async with UntilDisconnect(exchange_of(request.scope).turn):
            unloads = (loader.unload(model_id, timeout=settings.unload_wait) for model_id in ids)
            results = await asyncio.gather(*unloads, return_exceptions=True)
        unloaded = [model_id for model_id, gone in zip(ids, results, strict=True) if gone is True]
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures and not unloaded:
            raise failures[0]
        still_there = len(ids) - len(unloaded)
        rest = f"; {still_there} still at work or held, and let go as soon as possible" if still_there else ""
        return UnloadAll(message=f"Unloaded {len(unloaded)} models{rest}", unloaded_models=unloaded)

    return router
