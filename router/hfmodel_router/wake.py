"""Wanting a model: one task per model while somebody waits for it, however many wait."""

import asyncio
import logging

from hfmodel_router.fleet import Fleet
from hfmodel_router.trial import Trial

logger = logging.getLogger(__name__)

_WANT_TIMEOUT = 10.0  # seconds for the fleet to take a want
_WANT_RETRY = 1.0  # seconds after a want that failed


class Waker:
    """Tells the fleet that a model is wanted, at once and then every `interval` seconds."""

    def __init__(self, fleet: Fleet, *, interval: float) -> None:
        self._fleet = fleet
        self._interval = interval

    def start(self, model_id: str, trial: Trial) -> "Wanting":
        """Want this model until it is stopped; the first time when `trial` says that it is due."""
        delay = trial.due_at - asyncio.get_running_loop().time()
        if delay <= 0:
            # Noted before the caller looks: a problem that is shown now is from before this try.
            self._note(model_id, trial)
        wanting = Wanting(due=delay <= 0)
        wanting.task = asyncio.create_task(self._keep_wanting(model_id, trial, delay, wanting), name=f"want {model_id}")
        return wanting

    async def _keep_wanting(self, model_id: str, trial: Trial, delay: float, wanting: "Wanting") -> None:
        while wanting.due or not wanting.stopped:
            if delay > 0:
                await asyncio.sleep(delay)
                self._note(model_id, trial)
                wanting.due = True
            if await self._want(model_id):
                delay = self._interval
            else:
                trial.due_at = 0.0
                delay = min(_WANT_RETRY, self._interval)
            wanting.due = False

    def _note(self, model_id: str, trial: Trial) -> None:
        state = self._fleet.catalogue().get(model_id)
        due_at = asyncio.get_running_loop().time() + self._interval
        trial.wanted(None if state is None else state.problem, due_at=due_at)

    async def _want(self, model_id: str) -> bool:
        try:
            async with asyncio.timeout(_WANT_TIMEOUT):
                await self._fleet.want(model_id)
        except Exception:  # whatever it is, the requests still wait and the next try may succeed
            logger.warning("want failed", extra={"model": model_id}, exc_info=True)
            return False
        return True


class Wanting:
    """What wants one model. Its users stop it; a want that is due by then is still told to the fleet: who asks without
    waiting for the answer wakes the model, too.
    """

    def __init__(self, *, due: bool) -> None:
        self.due = due  # a want was noted, and the fleet does not have it yet
        self.stopped = False
        self.task: asyncio.Task[None] | None = None

    def stop(self) -> None:
        self.stopped = True
        if not self.due and self.task is not None:
            self.task.cancel()
