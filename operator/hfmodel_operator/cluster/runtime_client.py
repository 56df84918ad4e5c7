"""What the operator asks a serving pod. No answer is an answer of its own: None, which is never idle."""

import logging
from typing import Final

import aiohttp
from pydantic import ValidationError

from hfmodel_api.wire import PATH_ACTIVITY, PATH_RETIRE, Activity, RetireRequest

logger = logging.getLogger(__name__)

_TIMEOUT: Final = aiohttp.ClientTimeout(total=1.0)
_RETIRE_TIMEOUT: Final = aiohttp.ClientTimeout(total=3.0)


class RuntimeClient:
    """Asks over the network of pods."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def activity(self, url: str) -> Activity | None:
        try:
            async with self._session.get(url + PATH_ACTIVITY, timeout=_TIMEOUT) as response:
                return Activity.model_validate_json(await response.read()) if response.status == 200 else None
        except (TimeoutError, aiohttp.ClientError, OSError, ValidationError) as error:
            logger.debug("event=no_activity url=%s error=%r", url, error)
            return None

    async def retire(self, url: str, idle_for_seconds: float) -> bool:
        """True if it agreed: from now on it takes nothing."""
        body = RetireRequest(idle_for_seconds=idle_for_seconds).model_dump(mode="json")
        try:
            async with self._session.post(url + PATH_RETIRE, json=body, timeout=_RETIRE_TIMEOUT) as response:
                return response.status == 200
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            logger.debug("event=no_answer url=%s error=%r", url, error)
            return False
