"""The reconcile loop: look at everything, decide, act; again whenever anything changes.

Level-triggered: a round looks at what is, not at what happened, so a change that comes during a round is seen by the
next, and a round that fails is made good by the next, which lists everything anew. A model for which nothing is to be
done rests until something about it changes, or its pods say something new: a round costs what there is to do, not what
there is.
"""

import asyncio
import contextlib
import itertools
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from hfmodel_operator.cluster.api import HFMODELS, JOBS, PODS, KubeApi, KubeError
from hfmodel_operator.cluster.apply import Applier
from hfmodel_operator.cluster.books import Book
from hfmodel_operator.cluster.hearing import Hearing
from hfmodel_operator.cluster.labels import OURS
from hfmodel_operator.cluster.metrics import OperatorMetrics
from hfmodel_operator.cluster.observe import Look, Picture, observe
from hfmodel_operator.cluster.seen import Rest, Seen, rests
from hfmodel_operator.cluster.settings import ClusterSettings
from hfmodel_operator.cluster.store import Store
from hfmodel_operator.cluster.world import World
from hfmodel_operator.observed import Observed, Settings
from hfmodel_operator.plan import Plan

logger = logging.getLogger(__name__)

_AT_ONCE: Final = float("-inf")
_SHORTEST_SECONDS: Final = 0.05  # between rounds that nothing called for
_AFTER_ERROR_SECONDS: Final = 2.0
_FACTS_SECONDS: Final = 10.0  # what is not watched changes too
_STATUSES_A_ROUND: Final = 50  # who wants a model now does not wait until a thousand others have theirs
_LONGEST_REST: Final = (30.0, 60.0)  # seconds; whatever was missed is seen then

Decide = Callable[[Observed, Settings, datetime], Plan]


class Leadership(Protocol):
    """Whether this process may act."""

    @property
    def held(self) -> bool: ...


@dataclass(slots=True, kw_only=True)
class Reconciler:
    """Runs the rounds, one at a time."""

    api: KubeApi
    store: Store
    hearing: Hearing
    world: World
    applier: Applier
    lease: Leadership
    decide: Decide
    cluster: ClusterSettings
    settings: Settings
    now: Callable[[], datetime]
    called: asyncio.Event  # set by whoever changed something
    metrics: OperatorMetrics = field(default_factory=OperatorMetrics)
    monotonic: Callable[[], float] = time.monotonic
    _books: dict[str, Book] = field(default_factory=dict)
    _seen: Mapping[str, Seen] = field(default_factory=dict)
    _resting: dict[str, Rest] = field(default_factory=dict)  # both by the uid of the model
    _list_at: float = _AT_ONCE  # when everything is listed next
    _listing: asyncio.Task[None] | None = None  # the resync that is under way

    async def run(self) -> None:
        """Reconcile until cancelled."""
        try:
            await self._rounds()
        finally:
            self._forget_lists()

    async def _rounds(self) -> None:
        while True:
            self.called.clear()
            try:
                pause = await self.round() if self.lease.held else self._stand_by()
            except KubeError as error:
                logger.warning("event=round_failed error=%s", error)
                pause = self._begin_anew()
            except Exception:  # the next round looks again at everything
                logger.exception("event=round_broken")
                pause = self._begin_anew()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.called.wait()

    async def round(self) -> float:
        """Look, decide, act once. Returns the seconds after which to look again even if nothing happens."""
        await self._resync()
        serving = await self.hearing.refresh(self.store.all(PODS))
        self.metrics.outcomes(await self.applier.note_outcomes())
        self.metrics.pods(self.store.all(PODS))
        look = self._look()
        facts, progress = dict(self.world.facts), dict(self.world.progress)
        changing = await self.world.refresh(look.needs, self.store.all(PODS))
        if (facts, progress) != (self.world.facts, self.world.progress):
            look = self._look()
        now = self.now()
        plan = _first_of(self.decide(look.awake, self.settings, now))
        if not self.lease.held:  # it was lost on the way
            return self._stand_by()
        self.metrics.decided(look.observed, plan)
        before, self._books = self._books, dict(look.books)
        self._books = await self.applier.apply(plan, look)
        self.metrics.applied(before, self._books)
        self._resting = {**look.rested, **rests(plan.rests, look.awake, now=now, longest=_longest_rest)}
        return self._pause(plan, busy=serving or changing)

    def _look(self) -> Look:
        picture = Picture(
            models=self.store.all(HFMODELS),
            pods=self.store.all(PODS),
            jobs=self.store.all(JOBS),
            heard=self.hearing.heard,
            progress=self.world.progress,
            facts=self.world.facts,
            books=self._books,
        )
        look = observe(picture, self.cluster, self.settings, self.now(), before=self._seen, resting=self._resting)
        self._seen = look.seen
        return look

    async def _resync(self) -> None:
        """List everything where that is due: before anything is decided if nothing is known, else beside the rounds.

        A thousand models take the server a second, in which one of them may be wanted. The store keeps what is younger.
        Raises KubeError: a list failed, this one or the last.
        """
        if self._listing is not None and self._listing.done():
            done, self._listing = self._listing, None
            done.result()
        if self._list_at == _AT_ONCE:
            await self._list()
        elif self._listing is None and self.monotonic() >= self._list_at:
            self._listing = asyncio.create_task(self._list())
            self._listing.add_done_callback(lambda _: self.called.set())

    async def _list(self) -> None:
        for resource, labels in ((HFMODELS, None), (PODS, OURS), (JOBS, OURS)):
            listing = await self.api.list(resource, labels=labels)
            self.store.replace(resource, listing.items, version=listing.version)
        self._list_at = self.monotonic() + self.cluster.resync_seconds

    def _pause(self, plan: Plan, *, busy: bool) -> float:
        pause = _FACTS_SECONDS
        if self._listing is None:  # else its end calls
            pause = min(pause, self._list_at - self.monotonic())
        if busy:
            pause = min(pause, self.cluster.heartbeat_seconds)
        due = [rest.due for rest in self._resting.values() if rest.due is not None]
        if plan.look_again_at is not None:
            due.append(plan.look_again_at)
        if due:
            pause = min(pause, (min(due) - self.now()).total_seconds())
        return max(pause, _SHORTEST_SECONDS)

    def _stand_by(self) -> float:
        # What was remembered will be old when it is this one's turn.
        self._books, self._seen, self._resting = {}, {}, {}
        self._forget_lists()
        self.metrics.stand_by()
        return float(self.cluster.lease_seconds)

    def _begin_anew(self) -> float:
        self._resting = {}
        self._forget_lists()
        return _AFTER_ERROR_SECONDS

    def _forget_lists(self) -> None:
        """One that began before what went wrong is as old as that."""
        if self._listing is not None:
            self._listing.cancel()
        self._listing, self._list_at = None, _AT_ONCE


def _first_of(plan: Plan) -> Plan:
    """The next round comes at once and decides on the other statuses again."""
    return replace(plan, statuses=dict(itertools.islice(plan.statuses.items(), _STATUSES_A_ROUND)))


def _longest_rest() -> timedelta:
    return timedelta(seconds=random.uniform(*_LONGEST_REST))  # noqa: S311 - spreads work, hides nothing
