"""The old server's calls that list models, with the same paths and fields."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from hfmodel_api.errors import ModelNotFound
from hfmodel_api.wire import MemoryUsage
from hfmodel_router import catalogue
from hfmodel_router.catalogue import ModelRow, loaded_ids, row
from hfmodel_router.fleet import ModelState
from hfmodel_router.gated import AuthStatus, access_url, auth_status
from hfmodel_router.surface import Surface


class LoadedModels(BaseModel):
    loaded_models: list[str]


class ModelsOfType(BaseModel):
    model_type: str
    models: dict[str, ModelRow]


class GatedModels(BaseModel):
    gated_models: list[str]
    auth_status: AuthStatus
    models_detail: dict[str, ModelRow]


class ModelInfo(ModelRow):
    model_id: str
    auth_status: AuthStatus | None = None  # of gated models
    access_url: str | None = None  # where access to a gated model is asked for
    memory_usage: MemoryUsage | None = None  # of loaded models


def routes(surface: Surface) -> APIRouter:
    """Lists, and one model's details."""
    router = APIRouter(tags=["models"])
    fleet = surface.fleet

    async def rows(states: dict[str, ModelState]) -> dict[str, ModelRow]:
        infos = await surface.infos.of_all(states.values())
        devices = {model_id: info.device for model_id, info in infos.items()}
        return {model_id: row(state, device=devices.get(model_id)) for model_id, state in states.items()}

    @router.get("/models", summary="Every model, by id")
    async def models() -> dict[str, ModelRow]:
        return await rows(dict(fleet.catalogue()))

    @router.get("/models/loaded", summary="Ids of the models that are loaded")
    async def loaded() -> LoadedModels:
        return LoadedModels(loaded_models=loaded_ids(fleet.catalogue()))

    @router.get("/models/gated", summary="Models that need access from their owner")
    async def gated() -> GatedModels:
        detail = await rows({key: state for key, state in fleet.catalogue().items() if state.model.spec.gated})
        status = auth_status(fleet.catalogue())
        return GatedModels(gated_models=list(detail), auth_status=status, models_detail=detail)

    @router.get("/models/types/{model_type}", summary="Models of one type")
    async def of_type(model_type: str) -> ModelsOfType:
        found = {key: state for key, state in fleet.catalogue().items() if state.model.spec.type == model_type}
        if not found:
            raise ModelNotFound(f"there is no model of type {model_type!r}")
        return ModelsOfType(model_type=model_type, models=await rows(found))

    @router.get("/models/{model_id}/info", summary="One model, with its memory when loaded")
    async def info(model_id: str) -> ModelInfo:
        state = catalogue.by_id(fleet.catalogue(), model_id)
        running = await surface.infos.of(state)
        fields: dict[str, Any] = row(state, device=running.device if running else None).model_dump()
        gate: dict[str, Any] = {}
        if state.model.spec.gated:
            gate = {"auth_status": auth_status(fleet.catalogue()), "access_url": access_url(state)}
        return ModelInfo(
            **fields, **gate, model_id=model_id, memory_usage=None if running is None else running.memory_usage
        )

    return router
