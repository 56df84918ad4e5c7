"""Router, operator and runtime run a simulated cluster in which anything may fail at any moment."""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from simulation.clients import Outcome, Request
from simulation.faults import FAULTS
from simulation.script import Step, play
from simulation.world import AMPLE, Broken, Setup

# A longer search: HFMODEL_SIMULATIONS=2000, with another seed each time.
EXAMPLES = int(os.environ.get("HFMODEL_SIMULATIONS", "0"))

requests = st.builds(
    Request,
    model_id=st.sampled_from(["m0", "m0", "m1"]),
    number=st.just(0),
    stream=st.booleans(),
    seconds=st.sampled_from([0.1, 1.0, 5.0]),
    leaves_after=st.sampled_from([None, None, None, 1.0, 6.0]),
)
steps = st.builds(
    Step,
    requests=st.lists(requests, max_size=5).map(tuple),
    fault=st.sampled_from(["", *(fault.__name__ for fault in FAULTS)]),
    where=st.integers(0, 5),
    pause=st.sampled_from([0.1, 1.0, 3.0, 8.0]),
)
# Clocks may differ by less than a minute.
skews = st.tuples(*(st.sampled_from([0.0, -29.0, 29.0]) for _ in range(4)))
setups = st.builds(
    Setup,
    models=st.just(2),
    places=st.sampled_from([None, None, 1]),
    max_replicas=st.sampled_from([1, 2]),
    queue=st.sampled_from([AMPLE, AMPLE, 4]),
    skews=skews,
    seed=st.integers(0, 10_000),
)


@given(setup=setups, script=st.lists(steps, min_size=4, max_size=14))
@settings(
    max_examples=EXAMPLES or 60,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink] if EXAMPLES else [Phase.explicit, Phase.generate],
)
def test_whatever_fails_every_request_is_answered(setup: Setup, script: list[Step]) -> None:
    play(setup, script)


CALLERS = tuple(Request(model_id="m0", number=0, stream=stream) for stream in (False, True))
# Woken, served, rolled out while busy, asleep again, and woken once more: all that an operator writes.
A_DAY = [
    Step(CALLERS, pause=14.0),
    Step(CALLERS, fault="change_spec", pause=25.0),
    Step(CALLERS, pause=20.0),
    Step(CALLERS, pause=1.0),
]


@pytest.mark.parametrize("writes", range(1, 41))
def test_an_operator_that_dies_right_after_a_write_loses_nothing(writes: int) -> None:
    results = play(Setup(models=1, operator_dies_after=writes), A_DAY)
    assert {result.outcome for result in results} == {Outcome.ANSWERED}
    assert len(results) == len(CALLERS) * len(A_DAY)


@pytest.mark.parametrize("tenths", range(0, 200, 10))
def test_a_router_killed_at_any_moment_loses_nothing_that_a_client_may_ask_again(tenths: int) -> None:
    plain, stream = CALLERS
    steps = [Step((plain, plain, stream, stream), pause=tenths / 10), Step(fault="kill_router", pause=10.0)]
    results = play(Setup(models=1), steps)
    assert {result.outcome for result in results if not result.request.stream} == {Outcome.ANSWERED}
    # A stream whose beginning the client has cannot be asked again without it; it is never cut in silence.
    assert {result.outcome for result in results} <= {Outcome.ANSWERED, Outcome.CUT}


def test_two_hundred_callers_of_a_sleeping_model_are_answered_after_one_wake() -> None:
    results = play(Setup(models=1), [Step(CALLERS * 100)])
    assert [result.outcome for result in results] == [Outcome.ANSWERED] * 200


def test_the_same_seed_is_the_same_run() -> None:
    script = [Step(CALLERS, fault="crash_container"), Step(CALLERS, fault="lose_answers", pause=9.0)]
    first, second = (play(Setup(seed=5, places=1), script) for _ in range(2))
    assert first == second


def test_a_request_that_nobody_can_answer_is_told_to_be_broken() -> None:
    """The checks can fail: a model that never becomes ready."""
    with pytest.raises(Broken, match="number=1"):
        play(Setup(models=1), [Step(CALLERS[:1]), *[Step(fault="fail_next_load", pause=0.1)] * 60])
