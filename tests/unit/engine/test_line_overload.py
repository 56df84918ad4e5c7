"""The rate of ends and the line at work, in virtual time: many times more callers than places, who come back or not."""

import heapq
import itertools
import random
import tracemalloc
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hfmodel_runtime.engine.drain import DrainRate
from hfmodel_runtime.engine.line import LONGEST, Line

_TIMES = 10  # of what the server can do


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """A server of so many places, and callers who come for so many seconds.

    Attributes:
        service: shortest and longest seconds of a sequence in the batch.
        obey: share of the callers who come back.
        early: share of the returns that come before they were told to.
        every, while_on: seconds of a burst's period, and of these, those in which anybody comes.
        measured: whether the server was full before, so that its rate is known.
    """

    running: int
    queued: int
    service: tuple[float, float]
    lasts: float
    obey: float = 1.0
    early: float = 0.0
    every: float = 1.0
    while_on: float = 1.0
    measured: bool = True
    keeps_free: float = 0.5  # of the queue, for those who come back
    most_named: int = 65_536

    @property
    def seconds(self) -> float:
        return sum(self.service) / 2

    @property
    def capacity(self) -> float:
        """Sequences a second."""
        return self.running / self.seconds

    def arrivals(self, chance: random.Random) -> Iterator[float]:
        share = self.while_on / self.every
        now = 0.0
        while (now := now + chance.expovariate(_TIMES * self.capacity / share)) < self.lasts * share:
            yield now // self.while_on * self.every + now % self.while_on


@dataclass
class _Overload:
    """What happened to all callers of one shape."""

    shape: _Shape
    seed: int = 7
    ended: int = 0  # while newcomers came
    told: list[int] = field(default_factory=list)
    promises: list[tuple[float, float]] = field(default_factory=list)  # first told, and how long it was until let in
    latencies: list[float] = field(default_factory=list)
    refusals: Counter[int] = field(default_factory=Counter)  # of each caller who came back
    line: Line = field(init=False)

    def __post_init__(self) -> None:
        shape = self.shape
        self._chance, self._numbers = random.Random(self.seed), itertools.count()
        places, reserve = shape.running + shape.queued, int(shape.keeps_free * shape.queued)
        self.line = Line(places=places, reserve=reserve, most_named=shape.most_named)
        self._drain = DrainRate()
        self._events: list[tuple[float, int, bool, int]] = []  # when, a number, whether a sequence ends, whose
        self._first: dict[int, tuple[float, int]] = {}  # when refused, and what was told
        self._began: dict[int, tuple[float, float]] = {}
        self._waiting: deque[tuple[int, float]] = deque()

    def run(self) -> "_Overload":
        shape = self.shape
        if shape.measured:
            for number in range(200):
                now = (number - 200) / shape.capacity
                self._drain.queued(now)
                self._drain.ended(now, seconds_in_batch=shape.seconds, waiting=number < 199)
        for now in shape.arrivals(self._chance):
            self._at(now, next(self._numbers))
        while self._events:
            now, _, ends, caller = heapq.heappop(self._events)
            if ends:
                self._end(caller, now)
            else:
                self._ask(caller, now)
            while self._waiting and len(self._began) < shape.running:
                caller, arrived = self._waiting.popleft()
                self._began[caller] = (now, arrived)
                self._at(now + self._chance.uniform(*shape.service), caller, ends=True)
        return self

    def _at(self, moment: float, caller: int, *, ends: bool = False) -> None:
        heapq.heappush(self._events, (moment, next(self._numbers), ends, caller))

    def _end(self, caller: int, now: float) -> None:
        started, arrived = self._began.pop(caller)
        self.ended += now < self.shape.lasts
        self.latencies.append(now - arrived)
        self._drain.ended(now, seconds_in_batch=now - started, waiting=bool(self._waiting))

    def _ask(self, caller: int, now: float) -> None:
        shape, chance = self.shape, self._chance
        told = self.line.ask(
            caller,
            caller=str(caller),
            wanted=1,
            taken=len(self._began) + len(self._waiting),
            seconds_each=self._drain.seconds_each(now, running=len(self._began)),
            now=now,
        )
        if told is None:
            if caller in self._first:
                since, first_told = self._first[caller]
                self.promises.append((first_told, now - since))
            self._waiting.append((caller, now))
            if len(self._began) == shape.running:
                self._drain.queued(now)
            return
        self.told.append(told)
        if caller in self._first or chance.random() < shape.obey:
            self.refusals[caller] += 1
            self._first.setdefault(caller, (now, told))
            early = chance.random() < shape.early
            self._at(now + (chance.uniform(0.3, 0.9) * told if early else told + 0.1 * chance.random()), caller)

    @property
    def kept(self) -> float:
        """Share of the promises that were right within a factor of two."""
        return sum(actual / 2 <= told <= 2 * actual for told, actual in self.promises) / max(1, len(self.promises))

    @property
    def at_once(self) -> float:
        """Share of those who came back and were let in at their first return."""
        return sum(count == 1 for count in self.refusals.values()) / max(1, len(self.refusals))

    @property
    def throughput(self) -> float:
        """To capacity, while newcomers came and after the first sequences could end."""
        return self.ended / (self.shape.capacity * (self.shape.lasts - self.shape.seconds))


def _usual(**others: Any) -> _Shape:
    usual: dict[str, Any] = {"running": 64, "queued": 256, "service": (0.3, 0.7), "lasts": 10.0}
    return _Shape(**usual | others)


SHAPES = {
    "64 run, half a second, unmeasured": _usual(service=(0.5, 0.5), lasts=20, measured=False),
    "8 run, a twentieth of a second, unmeasured": _usual(
        running=8, queued=32, service=(0.05, 0.05), lasts=20, measured=False
    ),
    "uneven services": _usual(),
    "long services": _usual(service=(8, 12), lasts=60),
    "long services that end together": _usual(service=(10, 10), lasts=60, measured=False),
    "few places": _usual(running=4, queued=64, service=(0.3, 0.6), lasts=30),
    "bursts": _usual(lasts=15, every=5.0, while_on=0.5),
    "more than are kept by name": _usual(most_named=1000),
}
DISOBEDIENT = {
    "half never return": _usual(obey=0.5),
    "half never return to long services": _usual(service=(8, 12), lasts=60, obey=0.5),
    "a third return early": _usual(early=0.3),
    "half never return, a third early": _usual(obey=0.5, early=0.3),
    "a third return early, more than are kept by name": _usual(early=0.3, most_named=1000),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_at_ten_times_the_load_who_obeys_is_let_in_when_told(shape: _Shape) -> None:
    overload = _Overload(shape).run()
    assert len(overload.promises) > 1000
    assert overload.kept >= 0.9
    assert overload.at_once >= 0.85
    assert overload.throughput >= 0.95
    assert max(overload.told) <= LONGEST


@pytest.mark.parametrize("shape", DISOBEDIENT.values(), ids=DISOBEDIENT.keys())
def test_who_does_not_obey_breaks_no_promise_and_costs_no_throughput(shape: _Shape) -> None:
    overload = _Overload(shape).run()
    assert len(overload.promises) > 1000
    assert overload.kept >= 0.9
    assert overload.throughput >= 0.95


@pytest.mark.parametrize("obey", [1.0, 0.0], ids=["all come back", "nobody comes back"])
def test_the_wait_of_who_is_let_in_is_bounded(obey: float) -> None:
    overload = _Overload(_usual(service=(8, 12), lasts=120, obey=obey)).run()
    assert overload.throughput >= 0.95
    assert max(overload.latencies) < 12 * (1 + (64 + 256) / 64)


def test_with_places_kept_free_more_come_in_at_their_first_return() -> None:
    with_reserve, without = (
        _Overload(_usual(running=4, service=(0.3, 0.6), lasts=60, keeps_free=keeps_free)).run()
        for keeps_free in (0.5, 0.0)
    )
    assert with_reserve.at_once > without.at_once


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    running=st.integers(4, 32),
    queue=st.integers(2, 6),
    seconds=st.floats(0.05, 5),
    uneven=st.floats(0, 0.5),
    obey=st.floats(0.3, 1),
    most_named=st.sampled_from([50, 65_536]),
    seed=st.integers(0, 1000),
)
def test_whatever_the_server_promises_are_kept_and_nobody_is_forgotten(
    running: int, queue: int, seconds: float, uneven: float, obey: float, most_named: int, seed: int
) -> None:
    lasts = max(5 * seconds, 1000 / (_TIMES * running / seconds))
    service = (seconds * (1 - uneven), seconds * (1 + uneven))
    shape = _usual(
        running=running, queued=queue * running, service=service, lasts=lasts, obey=obey, most_named=most_named
    )
    overload = _Overload(shape, seed=seed).run()
    assert len(overload.promises) == len(overload.refusals), "whoever comes back is let in at last"
    assert overload.kept >= 0.9
    assert max(overload.told) <= LONGEST


@settings(deadline=None, derandomize=True)
@given(
    asks=st.lists(
        st.tuples(st.integers(0, 30), st.integers(1, 3), st.floats(0, 5), st.integers(0, 8)), min_size=1, max_size=200
    ),
    most_named=st.integers(0, 20),
)
def test_whatever_is_asked_who_is_not_let_in_is_told_a_time_and_all_are_forgotten_at_last(
    asks: list[tuple[int, int, float, int]], most_named: int
) -> None:
    line, now = Line(places=8, reserve=4, most_named=most_named), 0.0
    for number, wanted, passes, taken in asks:
        now += passes
        told = line.ask(number % 7, caller=str(number), wanted=wanted, taken=taken, seconds_each=0.5, now=now)
        assert wanted <= 8 - taken if told is None else 1 <= told <= LONGEST
    assert line.ask("last", caller="last", wanted=1, taken=0, seconds_each=0.5, now=now + 2 * LONGEST) is None
    assert line.empty


def test_who_is_not_kept_by_name_is_let_in_before_newcomers() -> None:
    line = Line(places=2, reserve=1, most_named=0)

    def ask(key: str, *, taken: int, now: float) -> int | None:
        return line.ask(key, caller=f"{key} at {now}", wanted=1, taken=taken, seconds_each=1.9, now=now)

    assert ask("mine", taken=2, now=0) == 2
    assert ask("new", taken=1, now=2) is not None
    assert ask("mine", taken=1, now=2) is None


def test_memory_stays_flat_however_many_are_refused_and_however_long_their_ids_are() -> None:
    line = Line(places=1, reserve=1, most_named=500)
    numbers = itertools.count()

    def refuse(seconds: Callable[[int], float]) -> int:
        for number in range(4000):
            caller = f"{next(numbers)}" * 200
            line.ask(hash(caller), caller=caller, wanted=1, taken=1, seconds_each=1e-4, now=seconds(number))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first = refuse(lambda number: number / 1000)
        second = refuse(lambda number: 4 + number / 1000)
    finally:
        tracemalloc.stop()
    assert second < 1.1 * first + 50_000
    assert second < 1_000_000
