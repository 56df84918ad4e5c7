"""A cluster that works by itself: every fetch ends well, every pod becomes ready."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from hfmodel_api.names import LABEL_MODEL
from hfmodel_operator.cluster.api import JOBS, PODS, KubeApi, KubeError
from hfmodel_operator.cluster.labels import OURS
from support.kubelet import RuntimeState, finish_job, make_ready

_LOOK_SECONDS: Final = 0.05


@dataclass(slots=True)
class AutoCluster:
    """Job controller, scheduler and kubelet of a namespace. `runtime` starts what answers at the address of a pod."""

    api: KubeApi
    runtime: Callable[[], RuntimeState]
    fetched: str  # what every fetch says at its end
    runtimes: dict[str, RuntimeState] = field(default_factory=dict)  # by the name of the pod
    pods_seen: set[str] = field(default_factory=set)  # uids of those that serve
    jobs_seen: set[str] = field(default_factory=set)

    async def run(self) -> None:
        while True:
            with contextlib.suppress(KubeError):  # deleted meanwhile
                await self._look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> None:
        for job in (await self.api.list(JOBS, labels=OURS)).items:
            if job["metadata"]["uid"] not in self.jobs_seen:
                self.jobs_seen.add(job["metadata"]["uid"])
                await finish_job(self.api, job, message=self.fetched, succeeded=True)
        for pod in (await self.api.list(PODS, labels=OURS)).items:
            metadata = pod["metadata"]
            if LABEL_MODEL in metadata["labels"] and metadata["uid"] not in self.pods_seen:
                self.pods_seen.add(metadata["uid"])
                state = self.runtimes[metadata["name"]] = self.runtime()
                await make_ready(self.api, pod, address=state.address)


@asynccontextmanager
async def auto_cluster(
    api: KubeApi, runtime: Callable[[], RuntimeState], *, fetched: str
) -> AsyncIterator[AutoCluster]:
    cluster = AutoCluster(api, runtime, fetched)
    task = asyncio.create_task(cluster.run())
    try:
        yield cluster
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
