"""How many pods a model that is awake should have, and which of them may go."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hfmodel_operator.observed import ObservedPod, PodState
from support.decider_values import (
    SETTINGS,
    ago,
    at,
    created,
    deleted,
    idle,
    model,
    plan_of,
    pod,
    retired,
    working,
)

STARTING = PodState.STARTING


def ready(count: int, *, running: int) -> tuple[ObservedPod, ...]:
    """`count` ready pods that share `running` requests."""
    shares = [running // count + (index < running % count) for index in range(count)]
    return tuple(pod(f"p{index}", activity=working(share) if share else idle(5)) for index, share in enumerate(shares))


@pytest.mark.parametrize(
    ("pods", "scaling", "creates"),
    [
        pytest.param(ready(1, running=16), {"max_replicas": 4}, 0, id="as much as one pod takes"),
        pytest.param(ready(1, running=17), {"max_replicas": 4}, 1, id="one request more"),
        pytest.param(ready(1, running=40), {"max_replicas": 4}, 2, id="two pods more at once"),
        pytest.param(ready(1, running=999), {"max_replicas": 4}, 3, id="never above maxReplicas"),
        pytest.param(ready(1, running=999), {}, 0, id="maxReplicas is one by default"),
        pytest.param(ready(1, running=3), {"max_replicas": 4, "target_in_flight": 1}, 2, id="a target of one"),
        pytest.param(
            (*ready(1, running=40), pod("s", STARTING, age=5)), {"max_replicas": 4}, 1, id="starting pods count"
        ),
        pytest.param((*ready(1, running=40), pod("g", PodState.GOING)), {"max_replicas": 4}, 2, id="going pods do not"),
        pytest.param((pod(),), {"max_replicas": 4}, 0, id="no answer asks for no more"),
        pytest.param((pod("a"), *ready(1, running=17)), {"max_replicas": 4}, 0, id="no answer beside a full pod"),
        pytest.param((), {"min_replicas": 2, "max_replicas": 4}, 2, id="minReplicas from nothing"),
        pytest.param(ready(1, running=0), {"min_replicas": 3, "max_replicas": 4}, 2, id="minReplicas while idle"),
        pytest.param(
            (pod(activity=working(20, queued=20)),), {"max_replicas": 4}, 2, id="queued requests are in flight too"
        ),
    ],
)
def test_pods_are_added_at_once(pods: tuple[ObservedPod, ...], scaling: dict[str, Any], creates: int) -> None:
    assert created(plan_of(model("m", *pods, scaling=scaling))) == ["m"] * creates


@pytest.mark.parametrize(
    ("pods", "goes"),
    [
        pytest.param((pod("a", activity=working()), pod("b", activity=idle(31))), ["b"], id="the idle one"),
        pytest.param((pod("a", activity=working()), pod("b", activity=idle(29))), [], id="not before scaleDownDelay"),
        pytest.param((pod("a", activity=idle(40)), pod("b", activity=idle(60))), ["b"], id="the longest idle, not all"),
        pytest.param((pod("a"), pod("b", activity=idle(60))), ["b"], id="one that does not answer counts as one"),
        pytest.param(
            (pod("a"), pod("b", activity=working(17)), pod("c", activity=idle(60)), pod("d", activity=idle(50))),
            ["c"],
            id="one that does not answer is needed beside the two that the work needs",
        ),
        pytest.param((pod("a"), pod("b")), [], id="none that does not answer"),
        pytest.param((pod("a", activity=working()), pod("b", activity=working())), [], id="none that is busy"),
        pytest.param((pod("s", STARTING, age=5), pod("b", activity=idle(60))), [], id="not the only one that is ready"),
        pytest.param((pod("a", activity=working(17)), pod("b", activity=idle(60))), [], id="none that is needed"),
    ],
)
def test_surplus_pods_are_asked_to_go(pods: tuple[ObservedPod, ...], goes: list[str]) -> None:
    plan = plan_of(model("m", *pods, scaling={"max_replicas": 4, "idle_timeout": 1800}))
    assert (retired(plan), deleted(plan), created(plan)) == (goes, [], [])
    assert all(retire.idle_for_seconds == 30.0 for retire in plan.retires)


def test_a_pod_that_just_became_ready_is_not_surplus_yet() -> None:
    settings = replace(SETTINGS, min_residency=timedelta(seconds=5))
    pods = (pod("a", activity=working()), pod("b", age=4, activity=idle(3)))
    plan = plan_of(model("m", *pods, scaling={"max_replicas": 2, "scale_down_delay": 0}), settings=settings)
    assert retired(plan) == []
    assert plan.look_again_at == at(2)


def test_pinned_models_shrink_to_min_replicas_and_no_further() -> None:
    pods = tuple(pod(f"p{index}", activity=idle(100 + index)) for index in range(4))
    plan = plan_of(model("m", *pods, scaling={"min_replicas": 2, "max_replicas": 4}))
    assert retired(plan) == ["p3", "p2"]


def test_when_max_replicas_is_lowered_pods_that_never_were_ready_are_deleted_and_busy_ones_stay() -> None:
    pods = (
        pod("a", activity=working(60)),
        pod("b", activity=working(60)),
        pod("new", STARTING, age=1),
        pod("old", STARTING, age=9),
    )
    lowered = plan_of(model("m", *pods, scaling={"max_replicas": 3}))
    assert (deleted(lowered), retired(lowered)) == (["new"], [])
    lowest = plan_of(model("m", *pods, scaling={"max_replicas": 1}))
    assert (deleted(lowest), retired(lowest), created(lowest)) == (["new", "old"], [], [])


class TestGoingToSleep:
    @pytest.mark.parametrize(
        ("pods", "fields", "goes"),
        [
            pytest.param((pod(activity=idle(1800)),), {}, ["p0"], id="idle for the time-out"),
            pytest.param((pod(activity=idle(1799)),), {}, [], id="not long enough"),
            pytest.param((pod(activity=working()),), {}, [], id="busy"),
            pytest.param((pod(),), {}, [], id="no answer"),
            pytest.param((pod("a", activity=idle(2000)), pod("b")), {"max": 1}, [], id="one of two does not answer"),
            pytest.param(
                (pod("a", activity=idle(2000)), pod("b", activity=idle(1900))), {"max": 2}, ["a", "b"], id="both idle"
            ),
            pytest.param(
                (pod("a", activity=idle(2000)), pod("b", STARTING, age=5)), {"max": 2}, [], id="another is starting"
            ),
            pytest.param((pod(activity=idle(2000)),), {"wanted": 60}, [], id="wanted while it was ready"),
            pytest.param((pod(activity=idle(2000)),), {"wanted": 1801}, ["p0"], id="wanted long ago"),
            pytest.param((pod(activity=idle(2000)),), {"min": 1}, [], id="pinned"),
            pytest.param(
                (pod(activity=idle(1700), activity_at=ago(100)),), {}, ["p0"], id="what it said a while ago has aged"
            ),
        ],
    )
    def test_every_pod_must_have_been_idle(
        self, pods: tuple[ObservedPod, ...], fields: dict[str, Any], goes: list[str]
    ) -> None:
        scaling = {"min_replicas": fields.get("min", 0), "max_replicas": fields.get("max", 1)}
        # No scale-down of surplus pods in these cases: it has its own test.
        scaling["scale_down_delay"] = 9999
        plan = plan_of(model("m", *pods, scaling=scaling, wanted=fields.get("wanted")))
        assert (retired(plan), deleted(plan), created(plan)) == (goes, [], [])
        assert all(retire.idle_for_seconds == 1800.0 for retire in plan.retires)

    @pytest.mark.parametrize(
        ("age", "wanted", "look"),
        [
            pytest.param(3, 2, 3, id="it just became ready"),
            pytest.param(3, 4, 1, id="it just became ready, and the want counts as met before it may go"),
            pytest.param(60, 2, 3, id="it was just wanted"),
        ],
    )
    def test_a_caller_on_the_way_is_waited_for_even_without_an_idle_timeout(
        self, age: float, wanted: float, look: float
    ) -> None:
        plan = plan_of(model("m", pod(age=age, activity=idle(age - 1)), wanted=wanted, scaling={"idle_timeout": 0}))
        assert retired(plan) == []
        assert plan.look_again_at == at(look)

    def test_the_next_look_is_when_the_last_pod_has_been_idle_long_enough(self) -> None:
        pods = (pod("a", activity=idle(1790)), pod("b", activity=idle(1700)))
        plan = plan_of(model("m", *pods, scaling={"max_replicas": 2, "min_replicas": 0, "scale_down_delay": 3600}))
        assert plan.look_again_at == at(100)

    def test_a_retired_pod_is_deleted_and_not_asked_again(self) -> None:
        plan = plan_of(model("m", pod(state=PodState.RETIRED, activity=idle(2000))))
        assert (deleted(plan), retired(plan), created(plan)) == (["p0"], [], [])

    def test_a_going_pod_is_left_alone(self) -> None:
        plan = plan_of(model("m", pod(state=PodState.GOING, activity=idle(2000))))
        assert (deleted(plan), retired(plan), created(plan)) == ([], [], [])
