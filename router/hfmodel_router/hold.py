"""Holding requests until their model answers: one wake for all who wait, bounded, no wake-up lost.

A waiter registers for changes first and looks second, with nothing awaited in between: a change is either seen by the
look or wakes the waiter.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from hfmodel_api.errors import ModelFailed, ModelNotFound, Overloaded, RequestError
from hfmodel_router.fleet import Fleet, ModelState
from hfmodel_router.metrics import Metrics
from hfmodel_router.settings import RouterSettings
from hfmodel_router.trial import Trial
from hfmodel_router.wake import Waker, Wanting

T = TypeVar("T")

_DEFAULT_ETA = 10.0  # seconds, where no start was measured yet


def eta(state: ModelState | None) -> float:
    """Seconds that a wake of this model takes, as measured, or a guess."""
    return _DEFAULT_ETA if state is None or state.start_seconds is None else state.start_seconds


def remaining(usual: float, elapsed: float) -> float:
    """Seconds that a wake still takes, after `elapsed`; once it takes longer than usual, as long again."""
    return usual - elapsed if elapsed < usual else elapsed


@dataclass(slots=True)
class _Group:
    """Everybody who waits for one model. Times are the event loop's clock."""

    trial: Trial
    since: float  # when the first began to wait
    woken_at: float | None = None  # when the model was wanted; None once it is loaded
    busy_for: float = 0.0  # seconds until a place is free, as a pod that was full said last
    members: int = 0
    wakers: int = 0  # members who want the model to wake
    waiters: set[asyncio.Future[None]] = field(default_factory=set)
    wanting: Wanting | None = None


class Hold:
    """One request's place among those who wait; made by `HoldRoom.enter`."""

    def __init__(self, room: "HoldRoom", model_id: str, group: _Group, *, wake: bool) -> None:
        self._room = room
        self._model_id = model_id
        self._group = group
        self._wake = wake
        self._since = asyncio.get_running_loop().time()

    async def wait(self, look: Callable[[ModelState], T | None], *, until: float) -> T | None:
        """What `look` finds, tried now and after each change; None at `until` (the loop's clock).

        Raises:
            ModelNotFound: the model was removed.
            ModelFailed: it cannot start (only where the hold wakes it).
            RequestError: the room is closed.
        """
        loop = asyncio.get_running_loop()
        while True:
            waiter = loop.create_future()
            self._group.waiters.add(waiter)
            try:
                state = self._room.state(self._model_id)
                found = look(state)
                if found is not None:
                    return found
                look_again_at = min(until, self._check(state, loop.time()))
                if loop.time() >= until:
                    return None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(look_again_at):
                        await waiter
            finally:
                self._group.waiters.discard(waiter)

    def _check(self, state: ModelState, now: float) -> float:
        """Raise what ends this hold; else the time at which a problem that stands now would."""
        if state.problem is None or not self._wake:
            return float("inf")
        grace = self._room.settings.problem_grace
        if self._group.trial.counts(state.problem, held_since=self._since, now=now, grace=grace):
            self._group.trial.settled()
            message = f"{self._model_id} cannot start: {state.problem.message}"
            raise ModelFailed(message, reason=state.problem.reason)
        return self._since + grace


class HoldRoom:
    """Where requests wait. All methods belong to one event loop."""

    def __init__(self, *, fleet: Fleet, settings: RouterSettings, metrics: Metrics) -> None:
        self.settings = settings
        self._fleet = fleet
        self._waker = Waker(fleet, interval=settings.want_interval)
        self._metrics = metrics
        self._groups: dict[str, _Group] = {}
        self._trials: dict[str, Trial] = {}
        self._total = 0
        self._closed: RequestError | None = None

    def held(self, model_id: str) -> int:
        """How many wait for this model now."""
        return self._groups[model_id].members if model_id in self._groups else 0

    @contextlib.contextmanager
    def enter(self, model_id: str, *, wake: bool = True, again: bool = False) -> Iterator[Hold]:
        """A place among those who wait for this model.

        Args:
            wake: want the model while this place is held.
            again: the request was held before and comes back; it keeps its right to a place.

        Raises:
            Overloaded: the bound is reached.
        """
        if not again:
            self._admit(model_id)
        group = self._join(model_id, wake=wake)
        try:
            yield Hold(self, model_id, group, wake=wake)
        finally:
            self._leave(model_id, group, wake=wake)

    def state(self, model_id: str) -> ModelState:
        """The model as the fleet shows it; raises what ends every hold of it."""
        if self._closed is not None:
            raise self._closed
        state = self._fleet.catalogue().get(model_id)
        if state is None:
            raise ModelNotFound(f"{model_id} was removed while the request waited for it")
        return state

    def changed(self, model_id: str) -> None:
        """The fleet, or the pool, has news of this model: everybody who waits for it looks again."""
        state = self._fleet.catalogue().get(model_id)
        trial = self._trials.get(model_id)
        if state is None:
            self._trials.pop(model_id, None)
        elif trial is not None:
            trial.saw(state.problem)
            if state.loaded:
                trial.due_at = 0.0  # it woke; should it go again, the next want must not wait its turn
        if state is not None and state.loaded:
            self._woke(model_id)
        self._rouse(model_id)

    def released(self, model_id: str) -> None:
        """The model was released: who waits for it next must want it at once."""
        if model_id in self._trials:
            self._trials[model_id].due_at = 0.0

    def busy(self, model_id: str, seconds: float) -> None:
        """A pod of the model was full, and said for how long."""
        if model_id in self._groups:
            self._groups[model_id].busy_for = seconds

    def close(self, error: RequestError) -> None:
        """Everybody who waits, and who would from now on, ends with `error`."""
        self._closed = error
        for model_id in self._groups:
            self._rouse(model_id)

    def _admit(self, model_id: str) -> None:
        if self.held(model_id) >= self.settings.max_held_per_model:
            message = f"{self.held(model_id)} requests wait for {model_id} already"
            raise Overloaded(message, retry_after=self._place_in(model_id))
        if self._total >= self.settings.max_held_total:
            message = f"{self._total} requests wait for their models already"
            raise Overloaded(message, retry_after=min(map(self._place_in, self._groups)))

    def _place_in(self, model_id: str) -> float:
        """Seconds until those who wait for this model have gone on, as far as can be told."""
        state = self._fleet.catalogue().get(model_id)
        if state is not None and state.loaded:
            return self._groups[model_id].busy_for
        return remaining(eta(state), asyncio.get_running_loop().time() - self._groups[model_id].since)

    def _join(self, model_id: str, *, wake: bool) -> _Group:
        group = self._groups.get(model_id)
        now = asyncio.get_running_loop().time()
        if group is None:
            group = self._groups[model_id] = _Group(self._trials.setdefault(model_id, Trial()), since=now)
        group.members += 1
        group.wakers += wake
        self._total += 1
        self._metrics.held.labels(model_id).inc()
        if wake and group.wanting is None:
            self._metrics.wakes.labels(model_id).inc()
            group.woken_at = now
            group.wanting = self._waker.start(model_id, group.trial)
        return group

    def _leave(self, model_id: str, group: _Group, *, wake: bool) -> None:
        group.members -= 1
        group.wakers -= wake
        self._total -= 1
        self._metrics.held.labels(model_id).dec()
        if group.wakers == 0 and group.wanting is not None:
            group.wanting.stop()
            group.wanting = None
        if group.members == 0:
            del self._groups[model_id]

    def _woke(self, model_id: str) -> None:
        group = self._groups.get(model_id)
        if group is not None and group.woken_at is not None:
            self._metrics.wake_seconds.labels(model_id).observe(asyncio.get_running_loop().time() - group.woken_at)
            group.woken_at = None

    def _rouse(self, model_id: str) -> None:
        group = self._groups.get(model_id)
        for waiter in () if group is None else group.waiters:
            if not waiter.done():
                waiter.set_result(None)
