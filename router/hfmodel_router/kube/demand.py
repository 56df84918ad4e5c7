"""Writing demand into an HFModel's status: one field at a time, again where the API server does not take it."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from hfmodel_api.status import Demand
from hfmodel_router.kube.errors import Unavailable
from hfmodel_router.kube.objects import Json

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 0.1  # seconds
_LONGEST_PAUSE = 2.0
_GIVE_UP = 9.0  # seconds; the router itself repeats a want
_SKEW = timedelta(seconds=60)  # how much clocks may differ
_TICK = timedelta(microseconds=1)


class StatusWriter(Protocol):
    async def merge_status(self, model_id: str, status: Json) -> None:
        """Raises ApiError."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class DemandWriter:
    """Writes what callers want.

    Args:
        known: the demand of a model as last seen in the cluster.
    """

    def __init__(
        self,
        status: StatusWriter,
        *,
        known: Callable[[str], Demand],
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._status = status
        self._known = known
        self._clock = clock
        self._sleep = sleep
        self._latest = datetime.min.replace(tzinfo=UTC)

    async def want(self, model_id: str) -> None:
        """Raises ApiError where it cannot be written within seconds."""
        await self._write(model_id, "wantedAt", lambda: self._known(model_id).released_at)

    async def release(self, model_id: str) -> None:
        """Raises ApiError as `want` does."""
        await self._write(model_id, "releasedAt", lambda: self._known(model_id).wanted_at)

    async def _write(self, model_id: str, field: str, other: Callable[[], datetime | None]) -> None:
        failure: Unavailable | None = None
        try:
            async with asyncio.timeout(_GIVE_UP):
                pause = _FIRST_PAUSE
                while True:
                    try:
                        await self._status.merge_status(model_id, {"demand": {field: rfc3339(self._now(other()))}})
                    except Unavailable as error:
                        failure = error
                        logger.info("demand not taken", extra={"model": model_id, "field": field, "error": str(error)})
                    else:
                        return
                    await self._sleep(pause * random.uniform(0.5, 1))  # noqa: S311
                    pause = min(2 * pause, _LONGEST_PAUSE)
        except TimeoutError:
            raise failure or Unavailable("the API server did not answer in time") from None

    def _now(self, other: datetime | None) -> datetime:
        """The time, but after whatever this router wrote before, and after `other`, which this write overrules."""
        now = max(self._clock(), self._latest + _TICK)
        # Another router's clock may be ahead; a time beyond any sane difference is a relic and overrules nothing.
        if other is not None and now <= other <= now + _SKEW:
            now = other + _TICK
        self._latest = now
        return now


def rfc3339(time: datetime) -> str:
    """As Kubernetes writes a MicroTime."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
