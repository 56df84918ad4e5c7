"""What the router itself knows of the pods: how many requests each has, and which failed just now."""

import asyncio
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from hfmodel_router.fleet import Endpoint, ModelState
from hfmodel_router.pick import least_busy


class Lease:
    """One request's place at a pod; ends with the `with` block."""

    __slots__ = ("_counts", "endpoint")

    def __init__(self, endpoint: Endpoint, counts: Counter[str]) -> None:
        self.endpoint = endpoint
        self._counts = counts
        counts[endpoint.name] += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._counts[self.endpoint.name] -= 1
        if self._counts[self.endpoint.name] <= 0:
            del self._counts[self.endpoint.name]


class Pool:
    """Counts requests in flight per pod, and sets pods aside.

    Args:
        returned: called with the model's id when a pod that was set aside may be tried again.
        set_aside: for how long, in seconds, unless `news` comes first.
    """

    def __init__(self, *, set_aside: float, returned: Callable[[str], None]) -> None:
        self._set_aside = set_aside
        self._returned = returned
        self._in_flight: Counter[str] = Counter()
        self._aside: dict[str, dict[str, asyncio.TimerHandle]] = {}
        self._turn = 0

    def take(self, state: ModelState) -> Lease | None:
        """A place at the least busy pod of this model; None where every pod is set aside or there is none."""
        aside = self._aside.get(state.model.id)
        endpoints = state.endpoints
        if aside:
            endpoints = tuple(endpoint for endpoint in endpoints if endpoint.name not in aside)
        self._turn += 1
        chosen = least_busy(endpoints, in_flight=self._in_flight, turn=self._turn)
        return None if chosen is None else Lease(chosen, self._in_flight)

    def set_aside(self, model_id: str, endpoint: Endpoint) -> None:
        """Give this pod no request for a short time."""
        aside = self._aside.setdefault(model_id, {})
        if endpoint.name not in aside:
            loop = asyncio.get_running_loop()
            aside[endpoint.name] = loop.call_later(self._set_aside, self._return, model_id, endpoint.name)

    def news(self, model_id: str) -> None:
        """The fleet has news of this model: what was set aside on older news is tried again."""
        for timer in self._aside.pop(model_id, {}).values():
            timer.cancel()

    def close(self) -> None:
        for model_id in tuple(self._aside):
            self.news(model_id)

    def _return(self, model_id: str, name: str) -> None:
        aside = self._aside[model_id]
        del aside[name]
        if not aside:
            del self._aside[model_id]
        self._returned(model_id)
