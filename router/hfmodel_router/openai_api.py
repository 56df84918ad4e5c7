"""OpenAI's model listing; completions are relayed to pods."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from hfmodel_router import catalogue
from hfmodel_router.fleet import ModelState
from hfmodel_router.surface import Surface


class OpenAIModel(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = 0  # not known; the field is required of this API
    owned_by: str
    root: str  # Hugging Face repo id
    max_model_len: int | None


class OpenAIModels(BaseModel):
    object: Literal["list"] = "list"
    data: list[OpenAIModel]


def routes(surface: Surface) -> APIRouter:
    """`GET /v1/models`, and one of them by id or repo."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])

    @router.get("/models", summary="Every model, as OpenAI lists them")
    async def models() -> OpenAIModels:
        return OpenAIModels(data=[_shown(state) for state in surface.fleet.catalogue().values()])

    @router.get("/models/{model:path}", summary="One model, as OpenAI shows it")
    async def one(model: str) -> OpenAIModel:
        return _shown(catalogue.by_name(surface.fleet.catalogue(), model))

    return router


def _shown(state: ModelState) -> OpenAIModel:
    spec = state.model.spec
    owner = spec.model.partition("/")[0] if "/" in spec.model else "huggingface"
    return OpenAIModel(id=state.model.id, owned_by=owner, root=spec.model, max_model_len=spec.max_length)
