"""Everything together: two operators, two routers, a node, callers; and what must hold at every moment."""

import asyncio
import random
import secrets
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest import mock

from hfmodel_api.names import API_VERSION, KIND, LABEL_MODEL, LABEL_TEMPLATE_HASH
from hfmodel_api.parse import parse_manifest
from hfmodel_operator.cluster.settings import ClusterSettings
from hfmodel_operator.cluster.template import template_hash
from hfmodel_router import relay
from hfmodel_router.settings import RouterSettings
from hfmodel_runtime.lifecycle import State
from simulation.api_server import NAMESPACE, ApiServer, Json
from simulation.calls import Line, Process, Weather
from simulation.clients import Client, Outcome, Request, Result
from simulation.clock import wall_clock
from simulation.node import Node, Place
from simulation.operators import Operator
from simulation.routers import RunningRouter, relay_through

AMPLE: Final = 1000  # a queue that is never full
_CLAIM: Final = "cache"
_RESTART_SECONDS: Final = 4.0
_PATIENCE: Final = 400.0  # seconds from the last fault until everybody must have their answer
_NEWS_SECONDS: Final = 3.0  # until the operator knows what the kubelet said
_REST: Final = 200.0  # and from there until every model sleeps


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a run begins with. Times are seconds."""

    models: int = 2
    places: int | None = None  # the pool limit
    max_replicas: int = 1
    idle_timeout: float = 2.0
    queue: int = AMPLE  # requests that a pod takes
    skews: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)  # of the clocks of two operators and two routers
    operator_dies_after: int | None = None  # so many writes of the first one
    seed: int = 0


class Broken(AssertionError):
    """Something that must hold did not."""


class World:
    """Made inside the virtual loop; `start` it, let things happen, and `finish`."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.random = random.Random(setup.seed)
        loop = asyncio.get_running_loop()
        self._loop = loop
        self.server = ApiServer(wall_clock(loop), on_pod_deleted=self._check_deletion)
        self.weather = Weather(self.random)
        self.node = Node(self.server, self.random, loop.time, setup.queue)
        self.operators: list[Operator] = []
        self.routers: list[RunningRouter] = []
        self.results: list[Result] = []
        self.crashes = 0  # of containers, each of which may end a request's attempt
        self.broken: list[str] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._background: set[asyncio.Task[Any]] = set()
        self._processes = 0
        self._released: set[str] = set()
        self._client = Client(lambda: self.routers, rng=self.random)
        self._settings = ClusterSettings(
            namespace=NAMESPACE, image="runtime:test", cache_claim=_CLAIM, max_loaded_models=setup.places
        )

    @property
    def model_ids(self) -> list[str]:
        return [f"m{number}" for number in range(self.setup.models)]

    async def start(self) -> None:
        self._create("persistentvolumeclaims", {"metadata": {"name": _CLAIM}})
        for model_id in self.model_ids:
            self._create("hfmodels", self._manifest(model_id))
        self._in_background(self.node.run())
        for number in range(2):
            self.operators.append(self._operator(number))
            self.operators[-1].start()
        self.operators[0].line.process.dies_after = self.setup.operator_dies_after
        for number in range(2):
            router = self._router(number)
            self.routers.append(router)
            await router.start()
        self._in_background(self._mind_the_limits())
        self._in_background(self._revive())

    # What happens.

    def ask(self, request: Request) -> None:
        async def ask() -> None:
            self.results.append(await self._client.ask(request))

        task = asyncio.create_task(ask())
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def befall(self, fault: Coroutine[Any, Any, None]) -> None:
        """Let a fault take its course, beside whatever else happens."""
        self._in_background(fault)

    def for_a_while(self, seconds: float, begin: Callable[[], None], end: Callable[[], None]) -> None:
        begin()
        self._loop.call_later(seconds, end)

    def set_away(self, seconds: float) -> None:
        def back() -> None:
            self.weather.api_is_away = False

        self.weather.api_is_away = True
        self._loop.call_later(seconds, back)

    def lines(self) -> Iterator[Line]:
        yield from (operator.line for operator in self.operators)
        yield from (router.line for router in self.routers)

    def delete_pod(self, place: Place) -> None:
        if self.server.find("pods", place.name) is not None:
            self.server.call("a person", "DELETE", self._path("pods", place.name), query=None, body=None)

    def change_spec(self, number: int) -> None:
        model_id = self.model_ids[number % len(self.model_ids)]
        env = [{"name": "ROLLED", "value": str(self.server.version)}]
        self.server.call("git", "PATCH", self._path("hfmodels", model_id), query=None, body={"spec": {"env": env}})

    def release(self, number: int) -> None:
        model_id = self.model_ids[number % len(self.model_ids)]
        demand = {"demand": {"releasedAt": self.server.now().isoformat()}}
        self.server.set_status("hfmodels", model_id, demand)

    async def kill_operator(self, number: int) -> None:
        number %= len(self.operators)
        await self.operators[number].kill()
        await asyncio.sleep(_RESTART_SECONDS)
        self.operators[number] = self._operator(number)
        self.operators[number].start()

    async def kill_router(self, number: int) -> None:
        number %= len(self.routers)
        await self.routers[number].kill()
        await asyncio.sleep(_RESTART_SECONDS)
        self.routers[number] = self._router(number)
        await self.routers[number].start()

    async def roll_router(self, number: int) -> None:
        number %= len(self.routers)
        old, new = self.routers[number], self._router(number)
        await new.start()
        self.routers[number] = new
        self._in_background(old.stop())

    # How it ends.

    async def finish(self) -> None:
        """From here on nothing fails: everybody is answered, then everything comes to rest. Raises Broken."""
        await self._until(lambda: not self._calls, _PATIENCE, lambda: f"{len(self._calls)} never answered: {self}")
        for result in self.results:
            self._check_result(result)
        await self._until(lambda: not self.server.all("pods"), _REST, lambda: f"does not go to sleep: {self}")
        if self.node.ran_after_retirement:
            self.broken.append(f"ran a request while retired: {self.node.ran_after_retirement}")
        if self.broken:
            raise Broken("; ".join(self.broken))

    async def close(self) -> None:
        for task in (*self._calls, *self._background):
            task.cancel()
        for operator in self.operators:
            await operator.kill()
        for router in self.routers:
            await router.kill()

    def __str__(self) -> str:
        phases = {
            thing["metadata"]["name"]: (thing.get("status") or {}).get("phase") for thing in self.server.all("hfmodels")
        }
        return f"phases {phases}, pods {[pod['metadata']['name'] for pod in self.server.all('pods')]}"

    # What must hold.

    def _check_result(self, result: Result) -> None:
        """Every request was answered; what else may come of it has a cause that was put there."""
        match result.outcome:
            case Outcome.ANSWERED | Outcome.LEFT:
                return
            case Outcome.CUT if result.request.stream:
                return  # after its first byte, and visibly
            case Outcome.REFUSED if self.setup.queue < AMPLE:
                return  # the pod was full
            case Outcome.FAILED if self.crashes >= 3 and "broke off" in result.note:
                return  # it met three crashes: it may be what causes them
        self.broken.append(f"{result.request}: {result.outcome} {result.note}")

    def _check_deletion(self, who: str, pod: Json) -> None:
        """The operator deletes nothing that it can know to work, but for a roll-out or because its turn is over."""
        place = self.node.of(pod["metadata"]["uid"])
        if not who.startswith("operator") or place is None or place.container is None or not place.container.alive:
            return
        if place.called_ready_at is None or place.called_ready_at + _NEWS_SECONDS > self._loop.time():
            return  # nobody uses a pod that is not ready, but who asked it itself; told to go, it finishes that
        lifecycle = place.container.lifecycle
        has_turns = self.setup.places is not None
        if lifecycle.state is State.READY and not self._is_outdated(pod) and not has_turns:
            self.broken.append(f"{who} deleted {place.name}, which was {lifecycle.state} with {lifecycle.in_flight}")

    def _is_outdated(self, pod: Json) -> bool:
        labels = pod["metadata"]["labels"]
        model = self.server.find("hfmodels", labels[LABEL_MODEL])
        asked = None if model is None else template_hash(parse_manifest(model), self._settings)
        return bool(labels.get(LABEL_TEMPLATE_HASH) != asked)

    async def _mind_the_limits(self) -> None:
        """After every change: never more pods than the plan allows."""
        news = asyncio.Event()
        self.server.watchers.append(news.set)
        while True:
            news.clear()
            pods = self.server.all("pods")
            for model_id in self.model_ids:
                mine = [pod for pod in pods if pod["metadata"]["labels"][LABEL_MODEL] == model_id]
                live = [pod for pod in mine if "deletionTimestamp" not in pod["metadata"]]
                if len(live) > self.setup.max_replicas + 1:
                    self.broken.append(f"{len(live)} pods of {model_id}")
            loaded = {pod["metadata"]["labels"][LABEL_MODEL] for pod in pods}
            if self.setup.places is not None and len(loaded) > self.setup.places:
                self.broken.append(f"{len(loaded)} models are loaded, of {self.setup.places} that may be")
            await news.wait()

    # Its parts.

    async def _revive(self) -> None:
        """An operator that died of a fault of its own comes back."""
        while True:
            for number, operator in enumerate(self.operators):
                if not operator.line.process.alive:
                    await self.kill_operator(number)
            await asyncio.sleep(1)

    def _operator(self, number: int) -> Operator:
        line = self._line(f"operator {number}")
        now = wall_clock(self._loop, ahead=self.setup.skews[number])
        identity = line.process.name
        return Operator(line, self.node, settings=self._settings, now=now, identity=identity)

    def _router(self, number: int) -> RunningRouter:
        now = wall_clock(self._loop, ahead=self.setup.skews[2 + number])
        return RunningRouter(self._line(f"router {number}"), self.node, settings=RouterSettings(), now=now)

    def _line(self, name: str) -> Line:
        self._processes += 1
        return Line(self.server, self.weather, Process(f"{name} ({self._processes})"))

    def _manifest(self, model_id: str) -> Json:
        scaling = {
            "minReplicas": 0,
            "maxReplicas": self.setup.max_replicas,
            "idleTimeout": f"{self.setup.idle_timeout:g}s",
            "targetInFlight": 2,
            "scaleDownDelay": "5s",
        }
        spec = {"model": "org/tiny", "cache": {"prefetch": False}, "scaling": scaling}
        return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": model_id}, "spec": spec}

    def _create(self, plural: str, thing: Json) -> None:
        self.server.call("a person", "POST", self._path(plural), query=None, body=thing)

    def _path(self, plural: str, name: str = "") -> str:
        return f"/namespaces/{NAMESPACE}/{plural}" + (f"/{name}" if name else "")

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)

    async def _until(self, holds: Callable[[], bool], seconds: float, complaint: Callable[[], str]) -> None:
        deadline = self._loop.time() + seconds
        while not holds():
            if self._loop.time() > deadline:
                raise Broken("; ".join([*self.broken, complaint()]))
            await asyncio.sleep(0.5)


@contextmanager
def played(world: World) -> Iterator[None]:
    """What is played stands in for the real thing, and chance comes from the seed."""
    random.seed(world.setup.seed)
    with (
        mock.patch.object(relay, "send", relay_through(world.node)),
        mock.patch.object(secrets, "token_hex", lambda size=8: f"{world.random.getrandbits(8 * size):0{2 * size}x}"),
    ):
        yield
