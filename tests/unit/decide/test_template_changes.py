"""Replacing pods one by one when the template changes, without losing a request."""

from dataclasses import replace
from typing import Any

import pytest

from hfmodel_operator.observed import ObservedPod, PodState
from support.decider_values import CRASHED, SETTINGS, ago, created, deleted, idle, model, plan_of, pod, retired, working

STARTING, READY = PodState.STARTING, PodState.READY
TWO = {"min_replicas": 2, "max_replicas": 2}


def old(name: str = "old", state: PodState = READY, **fields: Any) -> ObservedPod:
    if state is READY:
        fields.setdefault("activity", working())
    return pod(name, state, template_hash="t0", **fields)


def new(name: str = "new", state: PodState = READY, **fields: Any) -> ObservedPod:
    if state is READY:
        fields.setdefault("activity", idle(1))
    return pod(name, state, age=60, **fields)


@pytest.mark.parametrize(
    ("pods", "scaling", "deletes", "creates"),
    [
        pytest.param((old(),), {}, [], 1, id="the new pod comes first"),
        pytest.param((old(), new(state=STARTING)), {}, [], 0, id="the old one serves while the new one starts"),
        pytest.param((old(), new()), {}, ["old"], 0, id="the old one goes when the new one is ready, though busy"),
        pytest.param((old(activity=None), new()), {}, ["old"], 0, id="though it does not answer"),
        pytest.param((old("a"), old("b")), TWO, [], 1, id="two: one above the target"),
        pytest.param((old("a"), old("b"), new(state=STARTING)), TWO, [], 0, id="two: none more while it starts"),
        pytest.param((old("a"), old("b"), new()), TWO, ["a"], 1, id="two: one for one"),
        pytest.param((old("a"), old("b", activity=idle(9)), new()), TWO, ["b"], 1, id="two: the idle one first"),
        pytest.param((old("a"), new()), TWO, [], 1, id="two: both are needed"),
        pytest.param((old("a"), new("x"), new("y")), TWO, ["a"], 0, id="two: the last old one"),
        pytest.param((old(state=STARTING),), {}, ["old"], 0, id="an old one that never was ready, nobody waits"),
        pytest.param(
            (old("a", STARTING), old("b")), {}, ["a"], 1, id="an old one that never was ready, another serves"
        ),
        pytest.param((old(state=PodState.GOING), new()), {}, [], 0, id="an old one that goes already"),
    ],
)
def test_old_pods_are_replaced_one_by_one(
    pods: tuple[ObservedPod, ...], scaling: dict[str, Any], deletes: list[str], creates: int
) -> None:
    plan = plan_of(model("m", *pods, scaling=scaling))
    assert (deleted(plan), retired(plan), created(plan)) == (deletes, [], ["m"] * creates)


def test_an_old_pod_that_starts_for_a_waiting_caller_is_replaced_at_once() -> None:
    plan = plan_of(model("m", old(state=STARTING, age=5), wanted=5))
    assert (deleted(plan), created(plan)) == (["old"], ["m"])


def test_without_surge_the_old_pod_goes_first() -> None:
    settings = replace(SETTINGS, surge=0)
    assert deleted(plan_of(model("m", old()), settings=settings)) == ["old"]
    assert created(plan_of(model("m", old(state=PodState.GOING), scaling={"min_replicas": 1}), settings=settings)) == [
        "m"
    ]


def test_without_surge_an_old_pod_stays_while_no_new_one_may_be_created() -> None:
    failed: dict[str, Any] = {"failures": 3, "last_failure": CRASHED, "last_failed_at": ago(1)}
    assert deleted(plan_of(model("m", old(), **failed), settings=replace(SETTINGS, surge=0))) == []


def test_where_the_new_pod_finds_no_room_an_old_one_makes_it() -> None:
    plan = plan_of(model("m", old("a"), old("b"), new(state=STARTING, unschedulable=True), scaling=TWO))
    assert deleted(plan) == ["a"]
    after = plan_of(model("m", old("b"), new(state=STARTING, unschedulable=True), scaling=TWO))
    assert (deleted(after), created(after)) == ([], ["m"])


def test_an_old_model_that_may_sleep_is_not_replaced_but_sleeps() -> None:
    plan = plan_of(model("m", old(activity=idle(1800))))
    assert (deleted(plan), retired(plan), created(plan)) == ([], ["old"], [])


def test_old_pods_serve_on_while_new_ones_fail() -> None:
    failed: dict[str, Any] = {"failures": 9, "last_failure": replace(CRASHED, permanent=True), "last_failed_at": ago(1)}
    plan = plan_of(model("m", old(), **failed))
    assert (deleted(plan), retired(plan), created(plan)) == ([], [], [])


def test_a_released_model_is_not_replaced() -> None:
    plan = plan_of(model("m", old(), released=1))
    assert (deleted(plan), retired(plan), created(plan)) == ([], [], [])
