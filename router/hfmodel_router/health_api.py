"""Whether the router lives, whether it should get requests, and what it counts.

HEAD is what load balancers and uptime monitors ask with; it answers as GET does, without the body.
"""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from hfmodel_api.wire import PATH_HEALTHZ, PATH_METRICS, PATH_READYZ
from hfmodel_router.surface import Surface

_ALSO_ALIVE = ("/", "/health")  # their bodies tell more, which HEAD does not show


class Status(BaseModel):
    status: str


def routes(surface: Surface) -> APIRouter:
    router = APIRouter(tags=["server"])

    @router.head(PATH_HEALTHZ, include_in_schema=False)
    @router.get(PATH_HEALTHZ, summary="Whether the router is alive")
    async def healthz() -> Status:
        return Status(status="ok")

    for path in _ALSO_ALIVE:
        router.head(path, include_in_schema=False)(healthz)

    @router.head(PATH_READYZ, include_in_schema=False)
    @router.get(
        PATH_READYZ,
        summary="Whether the router takes requests",
        responses={503: {"model": Status, "description": "draining"}},
    )
    async def readyz(response: Response) -> Status:
        if surface.draining:
            response.status_code = 503
            return Status(status="draining")
        return Status(status="ok")

    if surface.settings.enable_metrics:

        @router.head(PATH_METRICS, include_in_schema=False)
        @router.get(PATH_METRICS, summary="Metrics for Prometheus", response_class=Response)
        async def metrics() -> Response:
            """In the Prometheus text format."""
            return Response(surface.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    return router
