"""Asks the serving pods what they do, and remembers which agreed to go."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol

from hfmodel_api.wire import Activity
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.labels import CONTAINER_SERVE
from hfmodel_operator.cluster.objects import status_of, uid_of
from hfmodel_operator.cluster.pod_state import Heard, has_served


class Runtime(Protocol):
    """A serving pod at `url`."""

    async def activity(self, url: str) -> Activity | None: ...

    async def retire(self, url: str, idle_for_seconds: float) -> bool: ...


class Hearing:
    """What every serving pod said last. Not concurrent with itself."""

    def __init__(self, runtime: Runtime, now: Callable[[], datetime]) -> None:
        self._runtime = runtime
        self._now = now
        self.heard: dict[str, Heard] = {}

    async def refresh(self, pods: Iterable[Json]) -> bool:
        """Ask all of `pods` that serve; forget the others. Returns whether any serves."""
        asked = {uid_of(pod): url for pod in pods if has_served(pod) and (url := pod_url(pod)) is not None}
        answers = await asyncio.gather(*(self._runtime.activity(url) for url in asked.values()))
        now, before = self._now(), self.heard
        self.heard = {
            uid: Heard(activity=answer, at=now, retired=_still_retired(before.get(uid), answer))
            for uid, answer in zip(asked, answers, strict=True)
        }
        return bool(asked)

    async def retire(self, pod: Json, idle_for_seconds: float) -> bool:
        """Ask `pod` to take no more work. True if it agreed."""
        url = pod_url(pod)
        if url is None or not await self._runtime.retire(url, idle_for_seconds):
            return False
        self.heard[uid_of(pod)] = Heard(at=self._now(), retired=True)
        return True


def pod_url(pod: Json) -> str | None:
    """Where the pod takes requests; None before it has an address."""
    address = status_of(pod).get("podIP")
    if not address:
        return None
    container = next(found for found in pod["spec"]["containers"] if found["name"] == CONTAINER_SERVE)
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{container['ports'][0]['containerPort']}"


def _still_retired(before: Heard | None, answer: Activity | None) -> bool:
    # Silence of one that agreed to go is no sign that it came back.
    return answer.retired if answer is not None else before is not None and before.retired
