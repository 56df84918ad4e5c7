"""The reconcile loop: look at everything, decide, act; again whenever anything changes.

Level-triggered: a round looks at what is, not at what happened, so a change that comes during a round is seen by the
next, and a round that fails is made good by the next.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime

from hfmodel_cli.local.apply import apply
from hfmodel_cli.local.fetches import Fetches
from hfmodel_cli.local.observe import observe
from hfmodel_cli.local.pods import Pods
from hfmodel_cli.local.registry import Registry
from hfmodel_operator.observed import Observed, Settings
from hfmodel_operator.plan import Plan

logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 0.1  # how long a round waits for what pods say of themselves
_HEARTBEAT_SECONDS = 1.0  # while pods serve: their activity is news that comes by asking only
_RESYNC_SECONDS = 30.0
_SHORTEST_SECONDS = 0.02  # between rounds that nothing called for
_AFTER_ERROR_SECONDS = 1.0

Decide = Callable[[Observed, Settings, datetime], Plan]


class Reconciler:
    """Runs the rounds, one at a time."""

    def __init__(
        self,
        *,
        registry: Registry,
        pods: Pods,
        fetches: Fetches,
        decide: Decide,
        settings: Callable[[], Settings],
        now: Callable[[], datetime],
        called: asyncio.Event,
    ) -> None:
        self._registry = registry
        self._pods = pods
        self._fetches = fetches
        self._decide = decide
        self._settings = settings
        self._now = now
        self._called = called  # set by whoever changed something

    async def run(self) -> None:
        """Reconcile until cancelled."""
        while True:
            self._called.clear()
            try:
                pause = await self.round()
            except Exception:  # the next round looks again at everything
                logger.exception("event=round_failed")
                pause = _AFTER_ERROR_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._called.wait()

    async def round(self) -> float:
        """Look, decide, act once. Returns the seconds after which to look again even if nothing happens."""
        await self._pods.refresh(wait=_ANSWER_SECONDS)
        now = self._now()
        observed = observe(self._registry, self._pods, self._fetches)
        plan = self._decide(observed, self._settings(), now)
        await apply(plan, registry=self._registry, pods=self._pods, fetches=self._fetches)
        pause = _HEARTBEAT_SECONDS if any(pod.serves for pod in self._pods.all()) else _RESYNC_SECONDS
        if plan.look_again_at is not None:
            pause = min(pause, (plan.look_again_at - self._now()).total_seconds())
        return max(pause, _SHORTEST_SECONDS)
