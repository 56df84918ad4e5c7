"""The old server's calls about the server itself."""

from fastapi import APIRouter
from pydantic import BaseModel

from hfmodel_router.catalogue import loaded_ids
from hfmodel_router.gated import AuthStatus, auth_status
from hfmodel_router.surface import Surface
from hfmodel_router.system import System, SystemInfo, system, system_info
from hfmodel_router.version import version


class Root(BaseModel):
    message: str
    version: str
    docs: str
    health: str


class Health(BaseModel):
    status: str
    loaded_models: list[str]
    total_models_available: int
    system_info: SystemInfo


def routes(surface: Surface) -> APIRouter:
    """/, /health, /system and /auth/status."""
    router = APIRouter(tags=["server"])
    fleet = surface.fleet

    @router.get("/", summary="What this is")
    async def root() -> Root:
        return Root(message="HFModel: Hugging Face models over REST", version=version(), docs="/docs", health="/health")

    @router.get("/health", summary="Health, with counts of models")
    async def health() -> Health:
        models = fleet.catalogue()
        infos = await surface.infos.of_all(models.values())
        return Health(
            status="draining" if surface.draining else "healthy",
            loaded_models=loaded_ids(models),
            total_models_available=len(models),
            system_info=system_info(infos.values()),
        )

    @router.get("/system", summary="The machine: memory, processors, GPUs")
    async def machine() -> System:
        infos = await surface.infos.of_all(fleet.catalogue().values())
        return system(infos.values())

    @router.get("/auth/status", summary="Whether a Hugging Face token is configured")
    async def auth() -> AuthStatus:
        return auth_status(fleet.catalogue())

    return router
