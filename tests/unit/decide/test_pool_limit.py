"""At most `max_loaded_models` models at a time: who waits, who gives up a place, and in which order."""

from dataclasses import replace
from typing import Any

import pytest

from hfmodel_api.status import Phase, Reason
from hfmodel_operator.observed import ObservedModel, PodState, Settings
from support.decider_values import (
    CRASHED,
    ago,
    at,
    created,
    deleted,
    idle,
    model,
    plan_of,
    pod,
    retired,
    settled,
    status_of,
    working,
)

ONE, TWO = Settings(max_loaded_models=1), Settings(max_loaded_models=2)


def loaded(name: str, *, idle_for: float | None = 60, age: float = 3600, **fields: Any) -> ObservedModel:
    """A model with one ready pod; `idle_for` None: it is busy."""
    activity = working() if idle_for is None else idle(idle_for)
    return model(name, pod(f"{name}-0", age=age, activity=activity), **fields)


def test_without_a_limit_all_who_are_wanted_start() -> None:
    assert created(plan_of(model("a", wanted=1), model("b", wanted=1), loaded("c"))) == ["a", "b"]


def test_a_free_place_is_taken_and_nobody_is_evicted() -> None:
    plan = plan_of(loaded("a"), model("b", wanted=1), settings=TWO)
    assert (created(plan), retired(plan)) == (["b"], [])


def test_the_least_recently_active_gives_up_its_place() -> None:
    plan = plan_of(loaded("a", idle_for=10), loaded("b", idle_for=20), model("c", wanted=1), settings=TWO)
    assert (created(plan), [(retire.pod, retire.idle_for_seconds) for retire in plan.retires]) == ([], [("b-0", 0.0)])


@pytest.mark.parametrize(
    "incumbent",
    [
        pytest.param(loaded("a", idle_for=None), id="busy"),
        pytest.param(model("a", pod()), id="does not answer"),
        pytest.param(loaded("a", scaling={"min_replicas": 1}), id="pinned"),
        pytest.param(model("a", pod(state=PodState.STARTING, age=5), wanted=6), id="starting"),
        pytest.param(loaded("a", age=4, idle_for=3), id="just became ready"),
        pytest.param(loaded("a", wanted=2), id="just wanted"),
    ],
)
def test_a_model_that_cannot_go_is_not_asked(incumbent: ObservedModel) -> None:
    plan = plan_of(incumbent, model("b", wanted=1), settings=ONE)
    assert (retired(plan), deleted(plan), created(plan)) == ([], [], [])
    status = status_of(plan, "b")
    assert status.phase is Phase.STARTING
    assert {condition.reason for condition in status.conditions if condition.type == "Ready"} == {Reason.POOL_FULL}


def test_the_next_look_is_when_the_incumbent_has_stayed_long_enough() -> None:
    plan = plan_of(loaded("a", age=4, idle_for=3), model("b", wanted=1), settings=ONE)
    assert plan.look_again_at == at(2)


@pytest.mark.parametrize("state", [PodState.RETIRED, PodState.GOING, PodState.FAILED])
def test_a_place_is_not_free_before_the_last_pod_is_gone(state: PodState) -> None:
    leaving = model("a", pod(state=state))
    plan = plan_of(leaving, loaded("b", idle_for=500), model("c", wanted=1), settings=TWO)
    assert (created(plan), retired(plan)) == ([], [])


def test_nobody_else_is_evicted_while_a_place_becomes_free() -> None:
    sleepy = loaded("a", idle_for=1800)
    plan = plan_of(sleepy, loaded("b", idle_for=500), model("c", wanted=1), settings=TWO)
    assert (created(plan), retired(plan)) == ([], ["a-0"])


def test_two_who_wait_need_two_places() -> None:
    plan = plan_of(
        loaded("a", idle_for=10), loaded("b", idle_for=20), model("c", wanted=1), model("d", wanted=2), settings=TWO
    )
    assert retired(plan) == ["a-0", "b-0"]


@pytest.mark.parametrize(
    ("waiting", "first"),
    [
        pytest.param((model("x", wanted=1), model("y", wanted=2)), "y", id="who was wanted first"),
        pytest.param((model("x", wanted=50), model("y", scaling={"min_replicas": 1})), "y", id="a pinned model"),
        pytest.param((model("y", wanted=1), model("x", wanted=1)), "x", id="the name, if all else is equal"),
    ],
)
def test_one_free_place_goes_to(waiting: tuple[ObservedModel, ...], first: str) -> None:
    assert created(plan_of(*waiting, settings=ONE)) == [first]


def test_waiting_is_remembered_though_the_want_is_repeated() -> None:
    busy = loaded("a", idle_for=None)
    early = settled_waiting(busy, model("early", wanted=0), waited=40)
    late = settled_waiting(busy, model("late", wanted=0), waited=20)
    # Both callers' wants were repeated since, the later one's last.
    early = replace(early, demand=early.demand.model_copy(update={"wanted_at": ago(0)}))
    late = replace(late, demand=late.demand.model_copy(update={"wanted_at": ago(4)}))
    assert created(plan_of(late, early, settings=ONE)) == ["early"]


class TestTurns:
    """Who has waited for `pool_turn` (30 s) gets the place of a model that never pauses."""

    BUSY = loaded("a", idle_for=None)

    def waiter(self, waited: float) -> ObservedModel:
        told = settled_waiting(self.BUSY, model("b", wanted=0), waited=waited)
        return replace(told, demand=told.demand.model_copy(update={"wanted_at": ago(1)}))

    def test_a_busy_model_is_told_to_go_once_another_has_waited_long_enough(self) -> None:
        plan = plan_of(self.BUSY, self.waiter(31), settings=ONE)
        assert (deleted(plan), retired(plan), created(plan)) == (["a-0"], [], [])
        assert "b has waited" in plan.deletes[0].why
        assert "waits for a to give up its place" in status_of(plan, "b").conditions[2].message

    def test_until_then_it_keeps_its_place(self) -> None:
        plan = plan_of(self.BUSY, self.waiter(20), settings=ONE)
        assert (deleted(plan), plan.look_again_at) == ([], at(10))

    def test_it_has_a_whole_turn_itself(self) -> None:
        young = loaded("a", idle_for=None, age=21)
        plan = plan_of(young, self.waiter(40), settings=ONE)
        assert (deleted(plan), plan.look_again_at) == ([], at(10))

    @pytest.mark.parametrize(
        "incumbent",
        [
            pytest.param(loaded("a", idle_for=None, scaling={"min_replicas": 1}), id="pinned"),
            pytest.param(model("a", pod(state=PodState.STARTING, age=50), wanted=1), id="starting"),
            pytest.param(
                model("a", pod(activity=working(9)), pod("s", PodState.STARTING, age=1), scaling={"max_replicas": 2}),
                id="one more pod starts",
            ),
        ],
    )
    def test_it_is_not_told_while(self, incumbent: ObservedModel) -> None:
        assert deleted(plan_of(incumbent, self.waiter(100), settings=ONE)) == []

    def test_an_idle_model_goes_first(self) -> None:
        plan = plan_of(self.BUSY, loaded("c", idle_for=6), self.waiter(100), settings=TWO)
        assert (deleted(plan), retired(plan)) == ([], ["c-0"])

    def test_the_one_that_has_had_its_place_longest_goes(self) -> None:
        newer = loaded("c", idle_for=None, age=60)
        assert deleted(plan_of(newer, self.BUSY, self.waiter(100), settings=TWO)) == ["a-0"]

    def test_nobody_goes_where_a_place_becomes_free(self) -> None:
        leaving = model("c", pod("c-0", PodState.GOING))
        assert deleted(plan_of(self.BUSY, leaving, self.waiter(100), settings=TWO)) == []

    def test_one_who_waits_displaces_one(self) -> None:
        other = loaded("c", idle_for=None, age=60)
        assert len(deleted(plan_of(self.BUSY, other, self.waiter(100), settings=TWO))) == 1


def settled_waiting(busy: ObservedModel, waiter: ObservedModel, *, waited: float) -> ObservedModel:
    """`waiter` as it is after it was told `waited` seconds ago that the pool is full."""
    then = ago(waited)
    wanting = replace(waiter, demand=waiter.demand.model_copy(update={"wanted_at": then}))
    return replace(waiter, status=plan_of(busy, wanting, settings=ONE, now=then).statuses[waiter.model.id])


def test_a_place_goes_to_who_waited_for_it_though_its_last_holder_is_wanted_again() -> None:
    evicted = model("a", pod(state=PodState.RETIRED, activity=idle(9), activity_at=ago(5)), wanted=1)
    plan = plan_of(evicted, model("b", wanted=3), settings=ONE)
    assert (deleted(plan), created(plan)) == (["p0"], [])
    gone = replace(evicted, pods=())
    assert created(plan_of(gone, model("b", wanted=3), settings=ONE)) == ["b"]


def test_a_model_wanted_again_while_it_leaves_keeps_its_place_if_nobody_waits() -> None:
    leaving = model("a", pod(state=PodState.RETIRED), wanted=1)
    assert created(plan_of(leaving, loaded("b"), settings=TWO)) == ["a"]


def test_two_evicted_models_that_are_wanted_again_do_not_both_lose_their_place_to_one() -> None:
    leaving = [
        model(name, pod(f"{name}-0", PodState.RETIRED, activity=idle(9), activity_at=ago(5)), wanted=1)
        for name in ("a", "b")
    ]
    assert len(created(plan_of(*leaving, model("c", wanted=4), settings=TWO))) == 1


def test_who_may_not_start_yet_neither_waits_nor_evicts() -> None:
    failing = model("b", wanted=1, failures=3, last_failure=CRASHED, last_failed_at=ago(1))
    assert retired(plan_of(loaded("a"), failing, settings=ONE)) == []


def test_an_eviction_cancels_what_else_the_model_would_have_got() -> None:
    outdated = replace(loaded("a", idle_for=60), template_hash="t2")
    plan = plan_of(outdated, model("b", wanted=1), settings=ONE)
    assert (retired(plan), created(plan), deleted(plan)) == (["a-0"], [], [])


def test_when_the_limit_is_lowered_the_least_recently_active_go() -> None:
    models = [loaded("a", idle_for=10), loaded("b", idle_for=20), loaded("c", idle_for=30)]
    assert retired(plan_of(*models, settings=ONE)) == ["b-0", "c-0"]


def test_scaling_up_and_replacing_need_no_further_place() -> None:
    busy = model("a", pod(activity=working(40)), scaling={"max_replicas": 3})
    assert created(plan_of(busy, settings=ONE)) == ["a", "a"]


class TestUnschedulable:
    STUCK = model("a", pod(state=PodState.STARTING, age=5, unschedulable=True), wanted=6, gpu="l4")

    def test_the_least_recently_active_of_the_same_gpu_profile_gives_way(self) -> None:
        holders = [loaded("b", idle_for=20, gpu="l4"), loaded("c", idle_for=30, gpu="l4"), loaded("d", idle_for=40)]
        assert retired(plan_of(self.STUCK, *holders)) == ["c-0"]

    def test_nobody_gives_way_while_one_is_leaving(self) -> None:
        leaving = model("b", pod(state=PodState.GOING), gpu="l4")
        assert retired(plan_of(self.STUCK, leaving, loaded("c", gpu="l4"))) == []

    @pytest.mark.parametrize(
        "stuck",
        [
            pytest.param(replace(STUCK, demand=model(wanted=90).demand), id="nobody waits for it any more"),
            pytest.param(model("a", *STUCK.pods, wanted=6), id="it needs no GPU"),
            pytest.param(model("a", *STUCK.pods, wanted=6, gpu="a100"), id="it needs another kind of GPU"),
        ],
    )
    def test_nobody_gives_way_if(self, stuck: ObservedModel) -> None:
        assert retired(plan_of(stuck, loaded("b", gpu="l4"), loaded("c"))) == []

    def test_models_that_any_gpu_will_do_for_give_way_to_each_other(self) -> None:
        stuck = model("a", *self.STUCK.pods, wanted=6, gpu="")
        assert retired(plan_of(stuck, loaded("b", gpu=""), loaded("c", gpu="l4"), loaded("d"))) == ["b-0"]

    def test_its_status_says_so(self) -> None:
        ready = next(each for each in settled(self.STUCK).status.conditions if each.type == "Ready")
        assert (ready.status, ready.reason) == ("Unknown", Reason.UNSCHEDULABLE)
