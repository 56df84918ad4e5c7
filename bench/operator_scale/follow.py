"""What a user with `kubectl get --watch` would see, and when: each model's state, and each pod."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from hfmodel_api.names import GROUP, LABEL_MODEL, PLURAL, VERSION
from hfmodel_router.kube.api import Collection, KubeApi
from hfmodel_router.kube.listwatch import Reflector

Json = Mapping[str, Any]


class Followed:
    """When what was seen first, by name: seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.settled: dict[str, float] = {}
        self.ready: dict[str, float] = {}
        self.pod_created: dict[str, float] = {}  # by the model's name
        self.pods: asyncio.Queue[Json] = asyncio.Queue()  # new ones
        self._changed = asyncio.Event()

    async def until(self, holds: Callable[[], bool], *, seconds: float) -> bool:
        """Wait until `holds`, which is looked at after each change; False if it did not within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def model(self, thing: Json) -> None:
        name, status = thing["metadata"]["name"], thing.get("status") or {}
        told = status.get("observedGeneration") == thing["metadata"]["generation"]
        if told and status.get("phase", "Pending") != "Pending":
            self.settled.setdefault(name, time.monotonic())
        if status.get("phase") == "Ready":
            self.ready.setdefault(name, time.monotonic())
        self._changed.set()

    def pod(self, thing: Json) -> None:
        name = thing["metadata"]["labels"][LABEL_MODEL]
        if name not in self.pod_created:
            self.pod_created[name] = time.monotonic()
            self.pods.put_nowait(thing)
        self._changed.set()


class _Sink:
    def __init__(self, put: Callable[[Json], None]) -> None:
        self.put = put

    def replace(self, items: Sequence[Json]) -> None:
        for item in items:
            self.put(item)

    def remove(self, name: str) -> None:
        """What was seen was seen."""


@asynccontextmanager
async def following(api: KubeApi, namespace: str) -> AsyncIterator[Followed]:
    """Watches all models and their pods of the namespace."""
    followed = Followed()
    models = Collection(api, f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}", lambda thing: thing)
    pods = Collection(api, f"/api/v1/namespaces/{namespace}/pods", lambda thing: thing, LABEL_MODEL)
    reflectors = [
        Reflector(models, _Sink(followed.model), what="models"),
        Reflector(pods, _Sink(followed.pod), what="pods"),
    ]
    tasks = [asyncio.create_task(reflector.run()) for reflector in reflectors]
    try:
        await asyncio.gather(*(reflector.synced.wait() for reflector in reflectors))
        yield followed
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
