"""Who is refused is told when to come back, and that turns out right: the rate of ends, the line, and both at work."""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from hfmodel_runtime.engine.drain import DrainRate
from hfmodel_runtime.engine.line import LONGEST, Line


def _ask(line: Line, caller: str, *, taken: int, now: float, wanted: int = 1, key: str = "") -> int | None:
    return line.ask(key or caller, caller=caller, wanted=wanted, taken=taken, seconds_each=2.0, now=now)


def test_whoever_finds_a_place_comes_in() -> None:
    assert _ask(Line(places=2, reserve=1), "a", taken=1, now=0) is None


def test_each_one_refused_is_told_to_come_after_the_one_before() -> None:
    line = Line(places=2, reserve=1)
    assert [_ask(line, caller, taken=2, now=0) for caller in "abc"] == [2, 4, 6]


def test_several_sequences_wait_for_as_many_places() -> None:
    assert _ask(Line(places=8, reserve=4), "a", taken=7, wanted=4, now=0) == 6


def test_a_place_is_kept_for_who_comes_back_and_newcomers_wait() -> None:
    line = Line(places=2, reserve=1)
    assert _ask(line, "a", taken=2, now=0) == 2
    assert _ask(line, "new", taken=1, now=2) is not None
    assert _ask(line, "a", taken=1, now=2) is None


def test_a_place_that_nobody_is_told_to_take_yet_is_free_for_all() -> None:
    line = Line(places=2, reserve=1)
    assert [_ask(line, caller, taken=2, now=0) for caller in "abc"] == [2, 4, 6]
    assert _ask(line, "a", taken=1, now=2) is None
    assert _ask(line, "new", taken=0, now=2) is None


def test_who_comes_too_early_is_told_the_rest_and_loses_nothing() -> None:
    line = Line(places=2, reserve=1)
    assert [_ask(line, caller, taken=2, now=0) for caller in "abc"] == [2, 4, 6]
    assert _ask(line, "c", taken=2, now=1) == 5
    assert _ask(line, "d", taken=2, now=1) == 8


def test_who_comes_back_when_it_took_longer_is_still_before_the_others() -> None:
    line = Line(places=2, reserve=1)
    assert [_ask(line, caller, taken=2, now=0) for caller in "abc"] == [2, 4, 6]
    assert _ask(line, "a", taken=2, now=2) == 2


def test_a_place_is_not_kept_for_ever() -> None:
    line = Line(places=2, reserve=1)
    _ask(line, "a", taken=2, now=0)
    assert _ask(line, "new", taken=1, now=30) is None
    assert line.empty


def test_the_same_question_of_another_caller_is_another_place_in_line() -> None:
    line = Line(places=2, reserve=1)
    assert [_ask(line, caller, key="hello", taken=2, now=0) for caller in "abc"] == [2, 4, 6]


def test_who_comes_back_is_known_by_the_question_where_the_id_is_new() -> None:
    line = Line(places=2, reserve=1)
    assert _ask(line, "id-1", key="hello", taken=2, now=0) == 2
    assert _ask(line, "new", taken=1, now=2) is not None
    assert _ask(line, "id-2", key="hello", taken=1, now=2) is None


def test_no_more_is_kept_free_than_the_reserve() -> None:
    line = Line(places=10, reserve=3)
    for caller in range(10):
        line.ask(caller, caller=str(caller), wanted=1, taken=10, seconds_each=0.01, now=0)
    assert _ask(line, "new", taken=7, now=1) is not None
    assert _ask(line, "new", taken=6, now=1) is None


def test_nobody_is_told_more_than_the_longest_time_and_the_line_is_bounded() -> None:
    line = Line(places=1, reserve=1)
    told = [_ask(line, str(caller), taken=1, now=0) for caller in range(10_000)]
    assert max(filter(None, told)) == LONGEST
    assert len(line._promises) < 5000


def test_who_never_comes_back_makes_the_others_wait_no_longer() -> None:
    line = Line(places=1, reserve=1)
    for number in range(200):
        _ask(line, f"gone {number}", taken=1, now=100 * number)
    assert [_ask(line, caller, taken=1, now=20_000) for caller in "abc"] == [2, 3, 3]


def test_the_rate_is_that_of_a_full_engine_only() -> None:
    drain = DrainRate()
    now = 0.0
    for _ in range(500):  # one at a time, none waits: says nothing of how fast a queue is worked off
        now += 60
        drain.ended(now, seconds_in_batch=8, waiting=False)
    assert drain.seconds_each(now, running=4) == pytest.approx(2, rel=0.01)
    drain.queued(now)
    for _ in range(500):
        now += 0.5
        drain.ended(now, seconds_in_batch=8, waiting=True)
    assert drain.seconds_each(now, running=4) == pytest.approx(0.5, rel=0.2)


def test_sequences_that_end_together_count_as_many() -> None:
    drain, now = DrainRate(), 0.0
    drain.queued(now)
    for _ in range(50):
        now += 16
        for _ in range(64):
            drain.ended(now, seconds_in_batch=16, waiting=True)
        assert drain.seconds_each(now, running=64) == pytest.approx(0.25, rel=0.5)


def test_an_engine_that_hangs_makes_the_estimate_grow() -> None:
    drain = DrainRate()
    drain.queued(0)
    assert drain.seconds_each(1000, running=1) > 100


@dataclass
class _Overload:
    """A server of so many places, asked faster than it answers; refused callers come back once they were told to."""

    running: int
    queued: int
    seconds: Callable[[random.Random], float]  # of a sequence in the batch
    arrivals: float  # a second
    lasts: float
    obey: float = 1.0  # share of the callers who come back
    keeps_free: float = 0.5  # of the queue, for those who come back
    ended: int = 0
    promises: list[tuple[float, float]] = field(default_factory=list)  # told, and how long it was until let in
    latencies: list[float] = field(default_factory=list)
    refusals: Counter[int] = field(default_factory=Counter)  # of each caller who came back

    def run(self) -> None:
        chance, numbers = random.Random(7), itertools.count()
        line, drain = Line(places=self.running + self.queued, reserve=int(self.keeps_free * self.queued)), DrainRate()
        events: list[tuple[float, int, str, int]] = []
        told_at: dict[int, tuple[float, int]] = {}
        began: dict[int, tuple[float, float]] = {}
        waiting: list[tuple[int, float]] = []
        running = 0
        now = 0.0
        while (now := now + chance.expovariate(self.arrivals)) < self.lasts:
            heapq.heappush(events, (now, next(numbers), "ask", next(numbers)))
        while events:
            now, _, what, caller = heapq.heappop(events)
            if what == "end":
                running -= 1
                started, arrived = began.pop(caller)
                self.ended += now < self.lasts
                self.latencies.append(now - arrived)
                drain.ended(now, seconds_in_batch=now - started, waiting=bool(waiting))
            else:
                told = line.ask(
                    caller,
                    caller=str(caller),
                    wanted=1,
                    taken=running + len(waiting),
                    seconds_each=drain.seconds_each(now, running=running),
                    now=now,
                )
                if told is None:
                    if caller in told_at:
                        since, first_told = told_at[caller]
                        self.promises.append((first_told, now - since))
                    waiting.append((caller, now))
                    if running == self.running:
                        drain.queued(now)
                elif caller in told_at or chance.random() < self.obey:
                    self.refusals[caller] += 1
                    told_at.setdefault(caller, (now, told))
                    heapq.heappush(events, (now + told + 0.1 * chance.random(), next(numbers), "ask", caller))
            while waiting and running < self.running:
                caller, arrived = waiting.pop(0)
                running += 1
                began[caller] = (now, arrived)
                heapq.heappush(events, (now + self.seconds(chance), next(numbers), "end", caller))

    @property
    def kept(self) -> float:
        """Share of the promises that were right within a factor of two."""
        return sum(actual / 2 <= told <= 2 * actual for told, actual in self.promises) / len(self.promises)


OVERLOADS = {
    "64 places, answers of 8 to 12 s": _Overload(64, 256, lambda chance: chance.uniform(8, 12), 64, 60),
    "answers that end together": _Overload(64, 256, lambda _: 10, 64, 60),
    "4 places, answers of half a second": _Overload(4, 256, lambda chance: chance.uniform(0.3, 0.6), 90, 60),
    "a short queue": _Overload(8, 16, lambda chance: chance.uniform(1, 9), 16, 60),
    "a short burst": _Overload(64, 256, lambda chance: chance.uniform(8, 12), 64, 15),
    "half of the callers give up": _Overload(64, 256, lambda chance: chance.uniform(8, 12), 64, 60, obey=0.5),
}


@pytest.mark.parametrize("overload", OVERLOADS.values(), ids=OVERLOADS.keys())
def test_at_ten_times_the_load_promises_are_kept_within_a_factor_of_two(overload: _Overload) -> None:
    overload.run()
    assert len(overload.promises) > 50
    assert overload.kept > 0.95


@pytest.mark.parametrize("obey", [1.0, 0.0], ids=["all come back", "nobody comes back"])
def test_places_kept_free_cost_no_throughput_and_the_wait_is_bounded(obey: float) -> None:
    overload = _Overload(64, 256, lambda chance: chance.uniform(8, 12), 64, 120, obey=obey)
    overload.run()
    assert overload.ended > 0.95 * 64 * (120 - 10) / 10
    assert max(overload.latencies) < 12 * (1 + (64 + 256) / 64)


def test_with_places_kept_free_more_come_in_at_their_first_return() -> None:
    shares = []
    for keeps_free in (0.5, 0.0):
        overload = _Overload(4, 256, lambda chance: chance.uniform(0.3, 0.6), 90, 60, keeps_free=keeps_free)
        overload.run()
        shares.append(sum(count == 1 for count in overload.refusals.values()) / len(overload.refusals))
    assert shares[0] > 0.5 > shares[1]
