"""One process of the operator: everything of it but kopf, whose part (list, watch, put into the store) is played."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hfmodel_api.wire import Activity
from hfmodel_operator.cluster.api import HFMODELS, JOBS, PODS, KubeApi, KubeError, NotActive, Resource
from hfmodel_operator.cluster.apply import Applier
from hfmodel_operator.cluster.events import Recorder
from hfmodel_operator.cluster.hearing import Hearing
from hfmodel_operator.cluster.labels import OURS
from hfmodel_operator.cluster.lease import Lease
from hfmodel_operator.cluster.loop import Reconciler
from hfmodel_operator.cluster.settings import ClusterSettings
from hfmodel_operator.cluster.store import Store
from hfmodel_operator.cluster.world import World
from hfmodel_operator.decide import decide
from hfmodel_operator.observed import Settings
from simulation.api_server import NAMESPACE, Json, Refused
from simulation.calls import Line, NoAnswer, Process
from simulation.node import Cut, Node, Unreachable

_SELECTOR: Final = ",".join(f"{key}={value}" for key, value in OURS.items())
_ACTIVITY_SECONDS: Final = 1.0
_KOPF_PAUSE: Final = 1.0


class SimulatedApi(KubeApi):
    """The operator's client, over a line instead of HTTP."""

    def __init__(self, line: Line, *, may_write: Callable[[], bool] = lambda: True) -> None:
        self.namespace = NAMESPACE
        self.may_write = may_write
        self._line = line

    def while_held(self, may_write: Callable[[], bool]) -> "SimulatedApi":
        return SimulatedApi(self._line, may_write=may_write)

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: Mapping[str, str] | None = None,
        **_headers: Any,
    ) -> Json:
        # Where a process stands still and goes on, it goes on here, and looks again whether it may.
        await self._line.process.gate()
        if method != "GET" and not self.may_write():
            raise NotActive
        try:
            return await self._line.call(method, path, query=query, body=body)
        except NoAnswer as error:
            raise KubeError(0, "no answer") from error
        except Refused as error:
            raise KubeError(error.status, error.message) from error


@dataclass(slots=True)
class SimulatedRuntime:
    """Implements `hearing.Runtime`."""

    node: Node
    process: Process

    async def activity(self, url: str) -> Activity | None:
        await self.process.gate()
        try:
            async with asyncio.timeout(_ACTIVITY_SECONDS):
                return await self.node.activity(url, caller="operator")
        except (TimeoutError, Unreachable, Cut):
            return None

    async def retire(self, url: str, idle_for_seconds: float) -> bool:
        await self.process.gate()
        try:
            agreed = await self.node.retire(url, idle_for_seconds, caller="operator")
        except (Unreachable, Cut):
            return False
        await self.process.gate()
        return agreed


class Operator:
    """Runs from `start` until it is killed; what it remembered is gone then."""

    def __init__(
        self, line: Line, node: Node, *, settings: ClusterSettings, now: Callable[[], datetime], identity: str
    ) -> None:
        self.line = line
        called = asyncio.Event()
        clock = asyncio.get_running_loop().time
        api = SimulatedApi(line)
        self._api = api
        self._store = Store(called.set)
        self.lease = Lease(
            api,
            name=settings.lease_name,
            identity=identity,
            seconds=settings.lease_seconds,
            changed=called.set,
            monotonic=clock,
        )
        active = api.while_held(lambda: self.lease.held)
        hearing = Hearing(SimulatedRuntime(node, line.process), now)
        self._reconciler = Reconciler(
            api=active,
            store=self._store,
            hearing=hearing,
            world=World(active, now),
            applier=Applier(
                active, store=self._store, hearing=hearing, recorder=Recorder(active), settings=settings, now=now
            ),
            lease=self.lease,
            decide=decide,
            cluster=settings,
            settings=Settings(max_loaded_models=settings.max_loaded_models),
            now=now,
            called=called,
            monotonic=clock,
        )
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        parts = [self.lease.run(), self._reconciler.run()]
        parts += [
            self._follow(resource, labels) for resource, labels in ((HFMODELS, ""), (PODS, _SELECTOR), (JOBS, ""))
        ]
        self._tasks = [asyncio.create_task(part) for part in parts]

    async def kill(self) -> None:
        """At once: nothing that it began is ended, no Lease let go."""
        self.line.process.kill()
        for task in self._tasks:
            task.cancel()
        # What it still tries to send on its way out goes nowhere.
        await asyncio.wait(self._tasks, timeout=0)

    async def _follow(self, resource: Resource, selector: str) -> None:
        """As kopf does: list, tell of each, watch from there; again and again."""
        path = f"{resource.prefix}/namespaces/{NAMESPACE}/{resource.plural}"
        while True:
            with contextlib.suppress(KubeError, NoAnswer):
                listing = await self._api.list(resource, labels=OURS if selector else None)
                for thing in listing.items:
                    self._store.put(resource, thing)
                async with contextlib.aclosing(self.line.watch(path, listing.version, selector=selector)) as events:
                    async for event in events:
                        self._apply(resource, event)
            await asyncio.sleep(_KOPF_PAUSE)

    def _apply(self, resource: Resource, event: Json) -> None:
        thing = event["object"]
        if event["type"] == "DELETED":
            self._store.remove(resource, thing["metadata"]["uid"])
        else:
            self._store.put(resource, thing)
