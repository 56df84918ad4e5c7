"""What counts as kept and as broken, request by request."""

from typing import Any

import pytest

from chaos.ledger import Outcome, settle
from chaos.plan import Kind
from chaos.records import Attempt, Record, Strike

BOUND = 2
WHOLE: dict[str, Any] = {"status": 200, "complete": True, "right": True}
CUT: dict[str, Any] = {"status": 200, "stream": True, "right": True, "error": "engine_failed"}


def attempt(sent: float = 10.0, ended: float = 12.0, **fields: Any) -> Attempt:
    return Attempt(sent=sent, ended=ended, **fields)


def record(*attempts: Attempt, model: str = "a", **fields: Any) -> Record:
    return Record(**{"id": "1", "model": model, "stream": False, "attempts": attempts or (attempt(),), **fields})


def strike(kind: Kind, *, model: str = "a", at: tuple[float, float] = (11.0, 11.0)) -> Strike:
    return Strike(kind=kind, target="x", model=model, began=at[0], over=at[1])


def outcome(one: Record, *strikes: Strike, others: tuple[Record, ...] = ()) -> Outcome:
    return settle([one, *others], strikes, bound=BOUND)[0].outcome


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(WHOLE, Outcome.ANSWERED, id="whole and right"),
        pytest.param({**WHOLE, "right": False}, Outcome.WRONG, id="whole and another text"),
        pytest.param({**CUT, "error": ""}, Outcome.LOST, id="a part that ends as if it were whole"),
        pytest.param(CUT, Outcome.LOST, id="cut, and nothing was killed"),
        pytest.param({"status": 503, "error": "model_failed"}, Outcome.LOST, id="an error"),
        pytest.param({"status": None, "error": "refused"}, Outcome.LOST, id="no answer"),
        pytest.param({**WHOLE, "complete": False, "hung": True}, Outcome.LOST, id="no end"),
    ],
)
def test_without_a_fault(fields: dict[str, Any], expected: Outcome) -> None:
    assert outcome(record(**fields)) is expected


@pytest.mark.parametrize(
    ("struck", "expected"),
    [
        pytest.param(strike(Kind.KILL_RUNTIME), Outcome.CUT, id="its runtime was killed"),
        pytest.param(strike(Kind.KILL_POD), Outcome.CUT, id="its pod was killed"),
        pytest.param(strike(Kind.KILL_ROUTER, model=""), Outcome.CUT, id="a router was killed"),
        pytest.param(strike(Kind.KILL_RUNTIME, model="b"), Outcome.LOST, id="another model's runtime was killed"),
        pytest.param(strike(Kind.KILL_RUNTIME, at=(5, 9)), Outcome.LOST, id="it was killed before"),
        pytest.param(strike(Kind.KILL_RUNTIME, at=(13, 14)), Outcome.LOST, id="it was killed after"),
        pytest.param(strike(Kind.STOP_POD), Outcome.LOST, id="its pod was told to go"),
        pytest.param(strike(Kind.STOP_ROUTER, model=""), Outcome.LOST, id="a router was told to go"),
        pytest.param(strike(Kind.PAUSE_API, model=""), Outcome.LOST, id="the API server was paused"),
    ],
)
def test_an_answer_may_be_cut_only_by_the_death_of_who_sends_it(struck: Strike, expected: Outcome) -> None:
    assert outcome(record(**CUT), struck) is expected


def test_a_kill_long_before_the_end_is_not_what_cut_it() -> None:
    long = record(attempt(10, 60), **CUT)
    assert outcome(long, strike(Kind.KILL_RUNTIME, at=(12, 12))) is Outcome.LOST
    assert outcome(long, strike(Kind.KILL_RUNTIME, at=(59, 59))) is Outcome.CUT


def test_a_kill_excuses_no_other_text_and_no_silent_end() -> None:
    killed = strike(Kind.KILL_RUNTIME)
    assert outcome(record(**{**CUT, "right": False}), killed) is Outcome.WRONG
    assert outcome(record(**{**CUT, "error": ""}), killed) is Outcome.LOST
    assert outcome(record(status=500, error="engine_failed"), killed) is Outcome.LOST


@pytest.mark.parametrize(
    ("failed", "struck", "expected"),
    [
        pytest.param(attempt(10, 11, failure="reset"), Kind.KILL_ROUTER, Outcome.ANSWERED, id="a router was killed"),
        pytest.param(attempt(10, 11, failure="reset"), Kind.STOP_ROUTER, Outcome.LOST, id="a router was told to go"),
        pytest.param(attempt(10, 11, failure="reset"), Kind.KILL_POD, Outcome.LOST, id="a pod was killed"),
        pytest.param(
            attempt(10, 11, failure="reset", reused=True), Kind.PAUSE_API, Outcome.ANSWERED, id="it had been idle"
        ),
        pytest.param(
            attempt(1, 11, failure="reset", reused=True), Kind.PAUSE_API, Outcome.LOST, id="it waited on it for long"
        ),
    ],
)
def test_a_client_may_have_to_connect_again_only_after_a_router_was_killed(
    failed: Attempt, struck: Kind, expected: Outcome
) -> None:
    again = record(failed, attempt(11.5, 13), **WHOLE)
    assert outcome(again, strike(struck, model="")) is expected


def test_one_that_never_connects_is_lost_even_if_a_router_was_killed() -> None:
    never = record(attempt(10, 11, failure="refused"), attempt(11, 12, failure="refused"))
    assert outcome(never, strike(Kind.KILL_ROUTER, model="", at=(9, 13))) is Outcome.LOST


def refused(retry_after: float | None = 3.0) -> Record:
    return record(attempt(10, 12), status=429, error="overloaded", retry_after=retry_after)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param([(9, 11), (9, 11)], Outcome.REFUSED, id="more than the bound with it"),
        pytest.param([(9, 11)], Outcome.LOST, id="as many as the bound with it"),
        pytest.param([(9, 10.5), (11, 13)], Outcome.LOST, id="more, but never together"),
        pytest.param([(1, 9), (13, 14)], Outcome.LOST, id="more, but at other times"),
    ],
)
def test_a_refusal_is_right_only_beyond_the_bound(times: list[tuple[float, float]], expected: Outcome) -> None:
    others = tuple(record(attempt(*time), **WHOLE) for time in times)
    assert outcome(refused(), others=others) is expected


def test_requests_for_other_models_are_no_reason_to_refuse() -> None:
    others = tuple(record(attempt(9, 13), model="b", **WHOLE) for _ in range(5))
    assert outcome(refused(), others=others) is Outcome.LOST


def test_a_refusal_says_when_to_come_again() -> None:
    others = tuple(record(attempt(9, 13), **WHOLE) for _ in range(5))
    assert outcome(refused(retry_after=None), others=others) is Outcome.LOST
