"""Who is refused is told when to come back, and that turns out right: the rate of ends, and the line."""

import pytest

from hfmodel_runtime.engine.drain import DrainRate
from hfmodel_runtime.engine.line import LONGEST, Line


def _ask(line: Line, caller: str, *, taken: int, now: float, wanted: int = 1, key: str = "") -> int | None:
    return line.ask(
        key or caller, caller=caller, wanted=wanted, taken=taken, seconds_each=1.9, now=now
    )  # two, with the slack


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


def test_nobody_is_told_more_than_the_longest_time() -> None:
    line = Line(places=1, reserve=1)
    told = [_ask(line, str(caller), taken=1, now=0) for caller in range(10_000)]
    assert max(filter(None, told)) == LONGEST


def test_who_never_comes_back_makes_the_others_wait_no_longer() -> None:
    line = Line(places=1, reserve=1)
    for number in range(200):
        _ask(line, f"gone {number}", taken=1, now=100 * number)
    assert [_ask(line, caller, taken=1, now=20_000) for caller in "abc"] == [2, 2, 2]


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
