"""The kubelet, the containers it runs, and the network to them. A container is the runtime's own `Lifecycle`."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from hfmodel_api.errors import NotReady
from hfmodel_api.wire import Activity
from hfmodel_operator.cluster.labels import CONTAINER_FETCH, CONTAINER_SERVE
from hfmodel_runtime.lifecycle import Event, Lifecycle, State
from simulation.api_server import ApiServer, Json

_FETCHED: Final = '{"event": "done", "path": "/cache/models/org--tiny/abc", "revision": "abc", "bytes": 7}'
_DRAIN_DELAY: Final = 5.0
_GRACE: Final = 330.0


class Unreachable(Exception):
    """No connection."""


class Cut(Exception):
    """The connection broke."""


@dataclass(eq=False, slots=True)
class Container:
    """A serving process. `died` is set when it is no more."""

    number: int
    lifecycle: Lifecycle
    died: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def alive(self) -> bool:
        return not self.died.is_set()


@dataclass(eq=False, slots=True)
class Place:
    """A pod on the node: its address, and the container that runs there now."""

    name: str
    uid: str
    model_id: str
    address: str
    container: Container | None = None
    called_ready_at: float | None = None  # when the kubelet first said so
    hidden_from: set[str] = field(default_factory=set)  # who cannot reach it
    task: "asyncio.Task[None] | None" = None


@dataclass(slots=True)
class Node:
    """Runs every pod that the API server has. Times are seconds, drawn evenly up to the bounds."""

    server: ApiServer
    random: random.Random
    clock: Callable[[], float]
    queue: int  # requests in a container; more get 429
    start_delay: float = 2.0
    load_delay: float = 6.0
    probe_delay: float = 1.0
    notice_delay: float = 1.0
    failing_loads: int = 0  # the next so many loads end in a crash
    places: dict[str, Place] = field(default_factory=dict)  # by uid of the pod
    ran_after_retirement: list[str] = field(default_factory=list)
    _containers: int = 0
    _addresses: int = 0

    async def run(self) -> None:
        """Take up new pods, and end those that are gone."""
        news = asyncio.Event()
        self.server.watchers.append(news.set)
        while True:
            news.clear()
            present = {pod["metadata"]["uid"]: pod for pod in self.server.all("pods")}
            for uid, pod in present.items():
                if uid not in self.places:
                    self._take_up(pod)
            for uid in [uid for uid in self.places if uid not in present]:
                self._forget(uid)
            await news.wait()

    # The network.

    def at(self, url: str, *, caller: str) -> Container:
        """The process that listens at `url`. Raises Unreachable."""
        for place in self.places.values():
            if url.startswith(f"http://{place.address}:") and caller not in place.hidden_from:
                if place.container is None or not place.container.alive:
                    break
                return place.container
        raise Unreachable(url)

    async def activity(self, url: str, *, caller: str) -> Activity:
        container = self.at(url, caller=caller)
        await self._trip(container)
        return container.lifecycle.activity(sequences_queued=0)

    async def retire(self, url: str, idle_for: float, *, caller: str) -> bool:
        container = self.at(url, caller=caller)
        await self._trip(container)
        agreed = container.lifecycle.retire(idle_for=idle_for)
        await self._trip(container)
        return agreed

    async def ready(self, url: str, *, caller: str) -> bool:
        container = self.at(url, caller=caller)
        await self._trip(container)
        return container.lifecycle.state is State.READY

    async def work(self, container: Container, *, seconds: float, begun: Callable[[], None]) -> bool:
        """One request from its arrival to its end; `begun` is called when half of it is done.

        False: this container's queue is full. Raises NotReady; Cut when the process dies first.
        """
        await self._trip(container)
        if container.lifecycle.in_flight >= self.queue:
            container.lifecycle.check()
            return False
        admission = container.lifecycle.enter()
        try:
            await self._spend(container, seconds / 2)
            begun()
            await self._spend(container, seconds / 2)
        finally:
            if container.alive and container.lifecycle.state in (State.RETIRED, State.LOADING):
                self.ran_after_retirement.append(f"container {container.number}")
            admission.leave()
        return True

    async def _trip(self, container: Container) -> None:
        await self._spend(container, self.random.uniform(0, 0.02))

    async def _spend(self, container: Container, seconds: float) -> None:
        """Raises Cut if the process dies meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await container.died.wait()
        except TimeoutError:
            if container.alive:
                return
        raise Cut

    # The kubelet.

    def of(self, uid: str) -> Place | None:
        return self.places.get(uid)

    def _take_up(self, pod: Json) -> None:
        self._addresses += 1
        metadata = pod["metadata"]
        place = Place(
            name=metadata["name"],
            uid=metadata["uid"],
            model_id=metadata["labels"]["hfmodel.dev/model"],
            address=f"10.0.{self._addresses // 250}.{self._addresses % 250 + 1}",
        )
        self.places[place.uid] = place
        place.task = asyncio.create_task(self._live(place), name=f"pod {place.name}")

    def _forget(self, uid: str) -> None:
        """Deleted by force: the process ends some time after its object."""
        place = self.places.pop(uid)
        if place.task is not None:
            place.task.cancel()
        if place.container is not None:
            place.container.died.set()

    async def _live(self, place: Place) -> None:
        await self._wait(self.start_delay)
        restarts = 0
        while not self._is_going(place):
            container = self._start(place)
            await self._serve(place, container, restarts=restarts)
            if self._is_going(place):
                break
            restarts += 1
            await self._wait(self.notice_delay)
            self._say(place, {"ready": False, "started": False, "restartCount": restarts, "state": {"waiting": {}}})
            await self._wait(self.start_delay)
        self.places.pop(place.uid, None)
        self.server.remove("pods", place.name, place.uid)

    def _start(self, place: Place) -> Container:
        self._containers += 1
        place.container = Container(self._containers, Lifecycle(self.clock))
        return place.container

    async def _serve(self, place: Place, container: Container, *, restarts: int) -> None:
        """Until the process has ended, by itself or because it was told to."""
        running = {"state": {"running": {"startedAt": self._now()}}, "restartCount": restarts}
        self._say(place, {**running, "ready": False, "started": False}, container=container)
        told = asyncio.create_task(self._until_told(place))
        serving = asyncio.create_task(self._become_ready(place, container, running))
        dying = asyncio.create_task(container.died.wait())
        try:
            await asyncio.wait({told, dying}, return_when=asyncio.FIRST_COMPLETED)
            serving.cancel()
            if container.alive:
                await self._drain(container)
        finally:
            container.died.set()
            for task in (told, serving, dying):
                task.cancel()

    async def _become_ready(self, place: Place, container: Container, running: Json) -> None:
        await self._wait(self.load_delay)
        if self.failing_loads > 0:
            self.failing_loads -= 1
            container.died.set()
            return
        container.lifecycle.apply(Event.LOADED)
        await self._wait(self.probe_delay)
        place.called_ready_at = place.called_ready_at or self.clock()
        self._say(place, {**running, "ready": True, "started": True}, container=container)

    async def _until_told(self, place: Place) -> None:
        while not self._is_going(place):
            news = asyncio.Event()
            self.server.watchers.append(news.set)
            try:
                await news.wait()
            finally:
                self.server.watchers.remove(news.set)
        await self._wait(self.notice_delay)

    async def _drain(self, container: Container) -> None:
        """As the runtime does on SIGTERM (`server/process.py`)."""
        if container.lifecycle.apply(Event.LEAVE) is State.LEAVING:
            await self._until_dead(container, _DRAIN_DELAY)
            container.lifecycle.apply(Event.DRAIN)
        idle = asyncio.Event()
        container.lifecycle.when_idle(idle.set)
        waiting = asyncio.create_task(idle.wait())
        dying = asyncio.create_task(container.died.wait())
        await asyncio.wait({waiting, dying}, timeout=_GRACE, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        dying.cancel()

    async def _until_dead(self, container: Container, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await container.died.wait()
        except TimeoutError:
            return

    def _is_going(self, place: Place) -> bool:
        pod = self.server.find("pods", place.name)
        return pod is None or pod["metadata"]["uid"] != place.uid or "deletionTimestamp" in pod["metadata"]

    def _say(self, place: Place, serve: Json, *, container: Container | None = None) -> None:
        pod = self.server.find("pods", place.name)
        if pod is None or pod["metadata"]["uid"] != place.uid:
            return
        identity = {} if container is None else {"containerID": f"containerd://{container.number}"}
        fetched = {"terminated": {"exitCode": 0, "message": _FETCHED, "finishedAt": self._now()}}
        ready = {"type": "Ready", "status": str(bool(serve["ready"])), "lastTransitionTime": self._now()}
        status: dict[str, Any] = {
            "phase": "Running",
            "podIP": place.address,
            "conditions": [ready],
            "initContainerStatuses": [{"name": CONTAINER_FETCH, "state": fetched}],
            "containerStatuses": [{"name": CONTAINER_SERVE, **identity, **serve}],
        }
        self.server.set_status("pods", place.name, status)

    def _now(self) -> str:
        return self.server.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    async def _wait(self, most: float) -> None:
        await asyncio.sleep(self.random.uniform(most / 4, most))


__all__ = ["Container", "Cut", "Node", "NotReady", "Place", "Unreachable"]
