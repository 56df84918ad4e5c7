"""What operator and local mode ask a runtime. No answer is an answer of its own: None, never idle and never dead."""

import logging
from typing import Final

import aiohttp
from pydantic import BaseModel, ValidationError

from hfmodel_api.wire import PATH_ACTIVITY, PATH_HEALTHZ, PATH_READYZ, PATH_RETIRE, Activity, RetireRequest

logger = logging.getLogger(__name__)

_DEFAULT_SECONDS: Final = 2.0


class RuntimeClient:
    """Asks over the network. Who takes longer than `timeout` seconds (to retire: `retire_timeout`) did not answer."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        timeout: float = _DEFAULT_SECONDS,
        retire_timeout: float = _DEFAULT_SECONDS,
    ) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._retire_timeout = aiohttp.ClientTimeout(total=retire_timeout)

    async def ready(self, url: str) -> bool:
        return await self._status("GET", url + PATH_READYZ, self._timeout) == 200

    async def dead(self, url: str) -> bool:
        """It says of itself that only a new process helps."""
        return await self._status("GET", url + PATH_HEALTHZ, self._timeout) == 503

    async def activity(self, url: str) -> Activity | None:
        try:
            async with self._session.get(url + PATH_ACTIVITY, timeout=self._timeout) as response:
                return Activity.model_validate_json(await response.read()) if response.status == 200 else None
        except (TimeoutError, aiohttp.ClientError, OSError, ValidationError) as error:
            logger.debug("event=no_activity url=%s error=%r", url, error)
            return None

    async def retire(self, url: str, idle_for_seconds: float) -> bool:
        """True if it agreed: from now on it takes nothing."""
        request = RetireRequest(idle_for_seconds=idle_for_seconds)
        return await self._status("POST", url + PATH_RETIRE, self._retire_timeout, request) == 200

    async def _status(
        self, method: str, url: str, timeout: aiohttp.ClientTimeout, body: BaseModel | None = None
    ) -> int | None:
        json = None if body is None else body.model_dump(mode="json")
        try:
            async with self._session.request(method, url, json=json, timeout=timeout) as response:
                return response.status
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            logger.debug("event=no_answer url=%s error=%r", url, error)
            return None
