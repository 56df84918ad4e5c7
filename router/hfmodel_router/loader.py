"""Loading and unloading on request: demand, and waiting for what comes of it."""

import asyncio
import logging
from collections.abc import Collection, Coroutine

from hfmodel_api.errors import HFModelError, HoldTimeout
from hfmodel_router.fleet import Fleet, ModelState
from hfmodel_router.hold import HoldRoom, eta

logger = logging.getLogger(__name__)


class Loader:
    """`load`, `reload` and `unload` as the REST calls mean them. Times are in seconds."""

    def __init__(self, *, fleet: Fleet, holds: HoldRoom) -> None:
        self._fleet = fleet
        self._holds = holds
        self._background: set[asyncio.Task[None]] = set()

    async def load(self, model_id: str, *, timeout: float) -> None:
        """Want the model until it answers.

        Raises:
            Overloaded, ModelNotFound, ModelFailed: as for any held request.
            HoldTimeout: it did not answer in time.
        """
        await self._until_ready(model_id, timeout=timeout)

    async def reload(self, model_id: str, *, timeout: float) -> None:
        """Let the model go, wait until its pods are gone, and want it again. Raises as `load` does."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        if not await self.unload(model_id, timeout=timeout):
            raise HoldTimeout(f"{model_id} still works and was not let go within {timeout:g} seconds")
        await self._until_ready(model_id, timeout=deadline - loop.time())

    async def unload(self, model_id: str, *, timeout: float) -> bool:
        """Let the model go; whether its pods were gone in time. A busy pod goes once it has finished its work."""
        going = {endpoint.name for endpoint in self._holds.state(model_id).endpoints}
        await self._fleet.release(model_id)
        self._holds.released(model_id)
        with self._holds.enter(model_id, wake=False, again=True) as hold:
            until = asyncio.get_running_loop().time() + timeout
            return await hold.wait(lambda state: _gone(state, going), until=until) is not None

    def start(self, work: Coroutine[None, None, object], *, model_id: str) -> None:
        """Do `work` while nobody waits for it; what it raises goes to the log."""
        task = asyncio.create_task(self._logged(work, model_id))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def close(self) -> None:
        """End what still goes on in the background."""
        for task in self._background:
            task.cancel()

    async def _until_ready(self, model_id: str, *, timeout: float) -> None:
        until = asyncio.get_running_loop().time() + timeout
        if self._holds.state(model_id).loaded:
            return
        with self._holds.enter(model_id) as hold:
            if await hold.wait(lambda state: state.loaded or None, until=until) is None:
                retry_after = eta(self._holds.state(model_id))
                raise HoldTimeout(f"{model_id} was not ready within {timeout:g} seconds", retry_after=retry_after)

    async def _logged(self, work: Coroutine[None, None, object], model_id: str) -> None:
        try:
            await work
        except HFModelError as error:
            logger.warning("load failed", extra={"model": model_id, "error": str(error)})


def _gone(state: ModelState, names: Collection[str]) -> bool | None:
    return None if any(endpoint.name in names for endpoint in state.endpoints) else True
