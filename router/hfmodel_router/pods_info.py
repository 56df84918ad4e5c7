"""What running pods say of themselves (`GET /info`), asked once per pod."""

import asyncio
import logging
from collections.abc import Iterable, Mapping

import aiohttp
from pydantic import ValidationError

from hfmodel_api.wire import PATH_INFO, RuntimeInfo
from hfmodel_router.fleet import Endpoint, ModelState

logger = logging.getLogger(__name__)

_TIMEOUT = aiohttp.ClientTimeout(total=1.0)
_AT_ONCE = 16


class PodsInfo:
    """A pod's answer does not change over its life, so it is kept while the pod is there."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._known: dict[str, dict[str, RuntimeInfo]] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def of(self, state: ModelState) -> RuntimeInfo | None:
        """Of the model's first pod that answers; None where none does within a second."""
        known = self._known.get(state.model.id, {})
        for endpoint in state.endpoints:
            info = known.get(endpoint.name) or await self._ask(endpoint)
            if info is not None:
                self._known[state.model.id] = {endpoint.name: info}
                return info
        return None

    async def of_all(self, states: Iterable[ModelState]) -> Mapping[str, RuntimeInfo]:
        """By model id, of those that are loaded and answer."""
        loaded = [state for state in states if state.loaded]
        infos = await asyncio.gather(*map(self.of, loaded))
        return {state.model.id: info for state, info in zip(loaded, infos, strict=True) if info is not None}

    def news(self, model_id: str, state: ModelState | None) -> None:
        """Forget pods that are gone."""
        if state is None or not state.loaded:
            self._known.pop(model_id, None)

    async def _ask(self, endpoint: Endpoint) -> RuntimeInfo | None:
        try:
            async with self._places, self._session.get(endpoint.url + PATH_INFO, timeout=_TIMEOUT) as response:
                response.raise_for_status()
                return RuntimeInfo.model_validate_json(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError, ValidationError) as error:
            logger.debug("no info", extra={"pod": endpoint.name, "error": str(error)})
            return None
