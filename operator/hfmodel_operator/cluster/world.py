"""Looks at what is not watched: secrets and volumes that models need, and how far downloads have come."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from hfmodel_api.status import CacheStatus
from hfmodel_operator.cluster.api import Json, KubeApi, KubeError
from hfmodel_operator.cluster.facts import Need
from hfmodel_operator.cluster.labels import CONTAINER_FETCH
from hfmodel_operator.cluster.objects import container_status, name_of

logger = logging.getLogger(__name__)

_FACT_AGE: Final = timedelta(seconds=10)
_LACK_AGE: Final = timedelta(seconds=2)  # somebody is about to mend it
_PROGRESS_AGE: Final = timedelta(seconds=5)
_LOG_LINES: Final = 5


class World:
    """Answers are kept for some seconds. What the server does not let us see is not known, and no problem."""

    def __init__(self, api: KubeApi, now: Callable[[], datetime]) -> None:
        self._api, self._now = api, now
        self._asked_at: dict[Need | str, datetime] = {}
        self.facts: dict[Need, bool] = {}
        self.progress: dict[str, CacheStatus] = {}

    async def refresh(self, needed: Iterable[Need], pods: Iterable[Json]) -> bool:
        """Look at what is due; returns whether there is something to look at again soon."""
        needs = set(needed)
        fetching = {
            name_of(pod) for pod in pods if "running" in (container_status(pod, CONTAINER_FETCH).get("state") or {})
        }
        self.facts = {need: fact for need, fact in self.facts.items() if need in needs}
        self.progress = {pod: seen for pod, seen in self.progress.items() if pod in fetching}
        self._asked_at = {key: at for key, at in self._asked_at.items() if key in needs or key in fetching}
        looks = [self._look(need) for need in needs if self._is_due(need, self._age(need))]
        looks += [self._follow(pod) for pod in fetching if self._is_due(pod, _PROGRESS_AGE)]
        await asyncio.gather(*looks)
        return bool(fetching) or not all(self.facts.values())

    def _age(self, need: Need) -> timedelta:
        return _LACK_AGE if self.facts.get(need) is False else _FACT_AGE

    def _is_due(self, key: Need | str, age: timedelta) -> bool:
        now = self._now()
        at = self._asked_at.get(key)
        if at is not None and at <= now < at + age:
            return False
        self._asked_at[key] = now
        return True

    async def _look(self, need: Need) -> None:
        try:
            # A Secret's content stays where it is.
            self.facts[need] = await self._api.get(need.resource, need.name, metadata_only=True) is not None
        except KubeError as error:
            self.facts.pop(need, None)
            logger.debug("event=fact_unknown resource=%s name=%s error=%s", need.resource.plural, need.name, error)

    async def _follow(self, pod: str) -> None:
        try:
            text = await self._api.last_lines(pod, CONTAINER_FETCH, lines=_LOG_LINES)
        except KubeError as error:
            logger.debug("event=no_progress pod=%s error=%s", pod, error)
            return
        for line in text.splitlines():
            if (progress := _progress(line)) is not None:
                self.progress[pod] = progress


def _progress(line: str) -> CacheStatus | None:
    try:
        event: Any = json.loads(line)
        return CacheStatus.model_validate(event) if event["event"] == "progress" else None
    except (ValueError, KeyError, TypeError, ValidationError):
        return None
