"""Admission, retirement and draining: what a serving process may take on in which state."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfmodel_api.errors import NotReady
from hfmodel_api.wire import RETIREMENT_SECONDS
from hfmodel_runtime.lifecycle import Event, Lifecycle, State, transition
from support.fake_clock import FakeClock


@pytest.fixture
def lifecycle(clock: FakeClock) -> Lifecycle:
    ready = Lifecycle(clock)
    ready.apply(Event.LOADED)
    return ready


TRANSITIONS = {
    "loaded": (State.LOADING, Event.LOADED, State.READY),
    "told to stop while loading, nobody to wait for": (State.LOADING, Event.LEAVE, State.DRAINING),
    "told to stop while ready goes on serving": (State.READY, Event.LEAVE, State.LEAVING),
    "told to stop while retired takes nothing on again": (State.RETIRED, Event.LEAVE, State.DRAINING),
    "leaving drains": (State.LEAVING, Event.DRAIN, State.DRAINING),
    "leaving cannot be retired": (State.LEAVING, Event.RETIRE, State.LEAVING),
    "draining never comes back": (State.DRAINING, Event.LOADED, State.DRAINING),
    "draining cannot be revived": (State.DRAINING, Event.REVIVE, State.DRAINING),
    "dead stays dead": (State.DEAD, Event.LOADED, State.DEAD),
    "dead is not revived": (State.DEAD, Event.REVIVE, State.DEAD),
    "a draining engine can die": (State.DRAINING, Event.DIE, State.DEAD),
    "an engine that is not there cannot die": (State.LOADING, Event.DIE, State.LOADING),
}


@pytest.mark.parametrize(("before", "event", "after"), TRANSITIONS.values(), ids=TRANSITIONS.keys())
def test_transitions(before: State, event: Event, after: State) -> None:
    assert transition(before, event) is after


def _in_state(state: State, clock: FakeClock) -> Lifecycle:
    events: dict[State, Sequence[Event]] = {
        State.LOADING: (),
        State.READY: (Event.LOADED,),
        State.RETIRED: (Event.LOADED,),
        State.LEAVING: (Event.LOADED, Event.LEAVE),
        State.DRAINING: (Event.LOADED, Event.DRAIN),
        State.DEAD: (Event.LOADED, Event.DIE),
    }
    lifecycle = Lifecycle(clock)
    for event in events[state]:
        lifecycle.apply(event)
    if state is State.RETIRED:
        assert lifecycle.retire(idle_for=0)
    assert lifecycle.state is state
    return lifecycle


@pytest.mark.parametrize("state", [State.LOADING, State.RETIRED, State.DRAINING, State.DEAD])
def test_work_is_refused_with_the_state_as_the_reason(state: State, clock: FakeClock) -> None:
    lifecycle = _in_state(state, clock)
    with pytest.raises(NotReady) as refusal:
        lifecycle.enter()
    assert refusal.value.reason == state.value
    assert lifecycle.activity(sequences_queued=0).requests_total == 0


@pytest.mark.parametrize("state", [State.READY, State.LEAVING])
def test_work_is_admitted(state: State, clock: FakeClock) -> None:
    lifecycle = _in_state(state, clock)
    lifecycle.enter()
    assert lifecycle.in_flight == 1


@pytest.mark.parametrize("state", [State.LOADING, State.LEAVING, State.DRAINING, State.DEAD])
def test_only_a_ready_process_can_be_retired(state: State, clock: FakeClock) -> None:
    lifecycle = _in_state(state, clock)
    assert not lifecycle.retire(idle_for=0)
    assert lifecycle.state is state


def test_a_busy_process_cannot_be_retired(lifecycle: Lifecycle) -> None:
    admission = lifecycle.enter()
    assert not lifecycle.retire(idle_for=0)
    admission.leave()
    assert lifecycle.retire(idle_for=0)


def test_retiring_needs_the_idle_time_that_was_asked_for(lifecycle: Lifecycle, clock: FakeClock) -> None:
    lifecycle.enter().leave()
    clock.now += 9.9
    assert not lifecycle.retire(idle_for=10)
    clock.now += 0.1
    assert lifecycle.retire(idle_for=10)


def test_a_retirement_ends_by_itself_and_asking_again_prolongs_it(lifecycle: Lifecycle, clock: FakeClock) -> None:
    assert lifecycle.retire(idle_for=0)
    clock.now += RETIREMENT_SECONDS - 1
    assert lifecycle.retire(idle_for=0)
    clock.now += RETIREMENT_SECONDS - 1
    assert lifecycle.activity(sequences_queued=0).retired
    clock.now += 1
    assert lifecycle.state is State.READY
    lifecycle.enter()


def test_idle_time_counts_from_ready_then_from_the_last_end(clock: FakeClock) -> None:
    lifecycle = Lifecycle(clock)
    clock.now += 50
    assert lifecycle.activity(sequences_queued=0).idle_seconds == 0
    lifecycle.apply(Event.LOADED)
    clock.now += 5
    assert lifecycle.activity(sequences_queued=0).idle_seconds == 5
    first, second = lifecycle.enter(), lifecycle.enter()
    clock.now += 5
    first.leave()
    assert lifecycle.activity(sequences_queued=0).idle_seconds == 0
    second.leave()
    clock.now += 3
    activity = lifecycle.activity(sequences_queued=0)
    assert (activity.idle_seconds, activity.requests_total, activity.busy) == (3, 2, False)


def test_waiting_requests_are_queued_only_as_far_as_the_engine_queues(lifecycle: Lifecycle) -> None:
    computing, _waiting, _tokenizing = lifecycle.enter(), lifecycle.enter(), lifecycle.enter()
    computing.computing()
    activity = lifecycle.activity(sequences_queued=1)
    assert (activity.running, activity.queued) == (2, 1)
    activity = lifecycle.activity(sequences_queued=40)
    assert (activity.running, activity.queued) == (1, 2)


def test_leaving_twice_counts_once(lifecycle: Lifecycle) -> None:
    admission, other = lifecycle.enter(), lifecycle.enter()
    admission.leave()
    admission.leave()
    admission.computing()
    assert lifecycle.in_flight == 1
    assert lifecycle.waiting == 1
    other.leave()
    assert lifecycle.in_flight == lifecycle.waiting == 0


def test_idleness_is_told_at_once_and_again(lifecycle: Lifecycle) -> None:
    told: list[int] = []
    lifecycle.when_idle(lambda: told.append(lifecycle.in_flight))
    assert told == [0]
    first, second = lifecycle.enter(), lifecycle.enter()
    first.leave()
    assert told == [0]
    second.leave()
    assert told == [0, 0]


@given(st.lists(st.sampled_from(["enter", "leave", "compute", "retire", "tick", "minute"]), max_size=60))
def test_a_retired_process_never_has_work(steps: list[str]) -> None:
    clock = FakeClock()
    lifecycle = Lifecycle(clock)
    lifecycle.apply(Event.LOADED)
    inside = []
    for step in steps:
        match step:
            case "enter":
                try:
                    inside.append(lifecycle.enter())
                except NotReady:
                    assert lifecycle.state is State.RETIRED
            case "leave" if inside:
                inside.pop(0).leave()
            case "compute" if inside:
                inside[-1].computing()
            case "retire":
                lifecycle.retire(idle_for=1)
            case "tick":
                clock.now += 1
            case "minute":
                clock.now += RETIREMENT_SECONDS
        activity = lifecycle.activity(sequences_queued=1)
        assert activity.running + activity.queued == len(inside)
        assert activity.running >= 0
        assert activity.queued >= 0
        assert not (activity.retired and activity.busy)
