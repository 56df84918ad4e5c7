"""Asks the serving pods what they do, and remembers which agreed to go."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final, Protocol

from hfmodel_api.wire import Activity
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.labels import CONTAINER_SERVE
from hfmodel_operator.cluster.objects import status_of, uid_of
from hfmodel_operator.cluster.pod_state import Heard, has_served

_PATIENCE_SECONDS: Final = 0.1  # of a look; who needs longer is heard at the next


class Runtime(Protocol):
    """A serving pod at `url`."""

    async def activity(self, url: str) -> Activity | None: ...

    async def retire(self, url: str, idle_for_seconds: float) -> bool: ...


class Hearing:
    """What every serving pod said last. Not concurrent with itself.

    Each is asked once a `heartbeat`, however often there is a look. Who is slow to answer holds up nobody: what it said
    before counts until it answers, or has not for as long as `runtime` waits.
    """

    def __init__(self, runtime: Runtime, now: Callable[[], datetime], *, heartbeat: timedelta = timedelta(0)) -> None:
        self._runtime, self._now, self._heartbeat = runtime, now, heartbeat
        self._asking: dict[str, asyncio.Task[None]] = {}
        self.heard: dict[str, Heard] = {}

    async def refresh(self, pods: Iterable[Json]) -> bool:
        """Ask those of `pods` that serve and are due; forget the others. Returns whether any serves."""
        serving = {uid_of(pod): url for pod in pods if has_served(pod) and (url := pod_url(pod)) is not None}
        self.heard = {uid: heard for uid, heard in self.heard.items() if uid in serving}
        for uid in [uid for uid in self._asking if uid not in serving]:
            self._asking.pop(uid).cancel()
        for uid, url in serving.items():
            if uid not in self._asking and self._is_due(uid):
                self._asking[uid] = asyncio.create_task(self._ask(uid, url))
        if self._asking:
            await asyncio.wait(self._asking.values(), timeout=_PATIENCE_SECONDS)
        return bool(serving)

    async def retire(self, pod: Json, idle_for_seconds: float) -> bool:
        """Ask `pod` to take no more work. True if it agreed."""
        url, uid = pod_url(pod), uid_of(pod)
        if url is None or not await self._runtime.retire(url, idle_for_seconds):
            return False
        # What it was asked before may be answered later, and is old then.
        if (asking := self._asking.pop(uid, None)) is not None:
            asking.cancel()
        self.heard[uid] = Heard(at=self._now(), retired=True)
        return True

    def _is_due(self, uid: str) -> bool:
        heard, now = self.heard.get(uid), self._now()
        return heard is None or heard.at is None or not heard.at <= now < heard.at + self._heartbeat

    async def _ask(self, uid: str, url: str) -> None:
        answer = await self._runtime.activity(url)
        before = self.heard.get(uid)
        self.heard[uid] = Heard(activity=answer, at=self._now(), retired=_still_retired(before, answer))
        del self._asking[uid]


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
