"""Where a serving process stands, what it may take on, and how busy it is. Pure: time comes from the clock it is given.

Every method runs on the event loop and none awaits, so admission and retirement cannot interleave: a process that said
"retired" has nothing running and starts nothing.
"""

import time
from collections.abc import Callable
from enum import Enum, StrEnum, auto
from typing import Final

from hfmodel_api.errors import NotReady
from hfmodel_api.wire import RETIREMENT_SECONDS, Activity


class State(StrEnum):
    """The states; their values are the reason words of `/readyz` and of a refusal."""

    LOADING = "loading"  # the port is open, the model is not there yet
    READY = "ready"
    RETIRED = "retired"  # idle, and promised not to start anything until the retirement ends
    LEAVING = "leaving"  # told to stop; still serves while the news reaches those who route
    DRAINING = "draining"  # finishes what runs, refuses the rest
    DEAD = "engine-dead"  # the engine's thread has ended; only a new process helps


class Event(Enum):
    LOADED = auto()
    RETIRE = auto()
    REVIVE = auto()  # the retirement ended without a follow-up
    LEAVE = auto()
    DRAIN = auto()
    DIE = auto()


_TRANSITIONS: Final = {
    (State.LOADING, Event.LOADED): State.READY,
    (State.READY, Event.RETIRE): State.RETIRED,
    (State.RETIRED, Event.REVIVE): State.READY,
    (State.READY, Event.LEAVE): State.LEAVING,
    # Nothing runs and nothing would be admitted: there is nobody to go on serving for.
    (State.LOADING, Event.LEAVE): State.DRAINING,
    (State.RETIRED, Event.LEAVE): State.DRAINING,
    (State.LEAVING, Event.DRAIN): State.DRAINING,
    (State.READY, Event.DRAIN): State.DRAINING,
    (State.READY, Event.DIE): State.DEAD,
    (State.RETIRED, Event.DIE): State.DEAD,
    (State.LEAVING, Event.DIE): State.DEAD,
    (State.DRAINING, Event.DIE): State.DEAD,
}

_REFUSALS: Final = {
    State.LOADING: "the model is still loading",
    State.RETIRED: "this replica is retired",
    State.DRAINING: "this replica is shutting down",
    State.DEAD: "the engine of this replica has failed",
}


def transition(state: State, event: Event) -> State:
    """The state after `event`; an event that means nothing in `state` changes nothing."""
    return _TRANSITIONS.get((state, event), state)


class Admission:
    """One request that was let in. It counts as work until `leave`, which may be called more than once."""

    def __init__(self, lifecycle: "Lifecycle") -> None:
        self._lifecycle = lifecycle
        self._computing = False
        self._left = False

    def computing(self) -> None:
        """The engine works on it: it no longer waits for a place in the batch."""
        if not self._computing and not self._left:
            self._computing = True
            self._lifecycle.waiting -= 1

    def leave(self) -> None:
        """The last byte was sent, or nobody wants it any more."""
        if self._left:
            return
        self.computing()
        self._left = True
        self._lifecycle.left()


class Lifecycle:
    """The state of this process and the requests in it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._state = State.LOADING
        self._idle_since: float | None = None
        self._retired_until = 0.0
        self._when_idle: Callable[[], None] | None = None
        self._requests_total = 0
        self._in_flight = 0
        self.waiting = 0  # of those in flight, the ones no token was computed for yet

    @property
    def state(self) -> State:
        if self._state is State.RETIRED and self._clock() >= self._retired_until:
            self._state = transition(self._state, Event.REVIVE)
        return self._state

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def apply(self, event: Event) -> State:
        """Move on by `event`. To retire, ask `retire`."""
        if event is Event.LOADED:
            self._idle_since = self._clock()
        self._state = transition(self.state, event)
        return self._state

    def check(self) -> None:
        """Raises NotReady, with the state as its reason, if `enter` would now."""
        state = self.state
        if state in _REFUSALS:
            raise NotReady(f"{_REFUSALS[state]}; nothing was started", reason=state.value, retry_after=1)

    def enter(self) -> Admission:
        """Let one request in.

        Raises:
            NotReady: this process takes no work; nothing was started.
        """
        self.check()
        self._requests_total += 1
        self._in_flight += 1
        self.waiting += 1
        return Admission(self)

    def left(self) -> None:
        """An admission ended; only `Admission` calls this."""
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle_since = self._clock()
            if self._when_idle is not None:
                self._when_idle()

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call `callback` now if nothing is in flight, and each time the last request leaves."""
        self._when_idle = callback
        if self._in_flight == 0:
            callback()

    def retire(self, *, idle_for: float) -> bool:
        """Retire if idle for at least `idle_for` seconds: true, and from now on nothing is admitted; or false.

        A retirement ends by itself after RETIREMENT_SECONDS; asking again prolongs it.
        """
        if self.state not in (State.READY, State.RETIRED):
            return False
        if self._in_flight or self.idle_seconds < idle_for:
            return False
        self.apply(Event.RETIRE)
        self._retired_until = self._clock() + RETIREMENT_SECONDS
        return True

    @property
    def idle_seconds(self) -> float:
        if self._in_flight or self._idle_since is None:
            return 0.0
        return self._clock() - self._idle_since

    def activity(self, *, sequences_queued: int) -> Activity:
        """How busy this process is; `sequences_queued` is the engine's own count of those waiting for a place."""
        queued = min(self.waiting, sequences_queued)
        return Activity(
            running=self._in_flight - queued,
            queued=queued,
            requests_total=self._requests_total,
            idle_seconds=self.idle_seconds,
            retired=self.state is State.RETIRED,
        )
