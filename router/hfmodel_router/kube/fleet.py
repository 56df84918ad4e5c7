"""`Fleet` over a Kubernetes cluster."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from hfmodel_api.errors import ModelNotFound
from hfmodel_router.fleet import ModelState
from hfmodel_router.kube.demand import DemandWriter, StatusWriter, utc_now
from hfmodel_router.kube.errors import Absent, ApiError, ClusterUnavailable
from hfmodel_router.kube.listwatch import Reflector, Source
from hfmodel_router.kube.objects import ModelRecord, Pod
from hfmodel_router.kube.probe import Ask
from hfmodel_router.kube.view import View

_RETRY_AFTER = 5.0  # seconds


class Cluster(StatusWriter, Protocol):
    """What the fleet reads and writes."""

    @property
    def models(self) -> Source[ModelRecord]: ...

    @property
    def pods(self) -> Source[Pod]: ...


class KubeFleet:
    """Implements `Fleet`; use it as an async context manager, and take requests once `synced` returns.

    Reading is from memory. While the API server is away, what was last known is served; a model that sleeps then wakes
    when it is back, because the router repeats its want.
    """

    def __init__(
        self, cluster: Cluster, *, ask: Ask, hub_token: bool = False, clock: Callable[[], datetime] = utc_now
    ) -> None:
        """`hub_token`: the installation has a Hugging Face token, for models that name none."""
        self._view = View(ask, hub_token=hub_token)
        self._demand = DemandWriter(cluster, known=self._view.demand, clock=clock)
        self._models = Reflector(cluster.models, self._view.models, what="hfmodels")
        self._pods = Reflector(cluster.pods, self._view.pods, what="pods")
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._models.run(), name="watch hfmodels"),
            asyncio.create_task(self._pods.run(), name="watch pods"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._view.prober.close()

    async def synced(self) -> None:
        """Return once the first lists are in, however long that takes."""
        await asyncio.gather(self._models.synced.wait(), self._pods.synced.wait())

    def catalogue(self) -> Mapping[str, ModelState]:
        return self._view.catalogue()

    def subscribe(self, changed: Callable[[str], None]) -> Callable[[], None]:
        return self._view.subscribe(changed)

    async def want(self, model_id: str) -> None:
        """Raises ApiError where the demand cannot be written within seconds."""
        self._view.prober.wanted(model_id)
        await self._demand.want(model_id)

    async def release(self, model_id: str) -> None:
        """Raises ModelNotFound; ClusterUnavailable where the release cannot be written within seconds."""
        try:
            await self._demand.release(model_id)
        except Absent as error:
            raise ModelNotFound(f"{model_id} was removed") from error
        except ApiError as error:
            raise ClusterUnavailable(f"{model_id} was not let go: {error}", retry_after=_RETRY_AFTER) from error

    async def resync(self) -> None:
        """Raises ApiError."""
        await asyncio.gather(self._models.relist(), self._pods.relist())
