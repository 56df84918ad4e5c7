"""Who gets a first pod: wants, releases, pins, and clocks that disagree."""

from dataclasses import replace
from typing import Any

import pytest

from hfmodel_operator.observed import PodState
from support.decider_values import ago, at, created, deleted, idle, model, plan_of, pod, retired, settled, working


@pytest.mark.parametrize(
    ("fields", "wakes"),
    [
        pytest.param({}, False, id="never wanted"),
        pytest.param({"wanted": 0}, True, id="wanted just now"),
        pytest.param({"wanted": 59}, True, id="wanted within the window"),
        pytest.param({"wanted": 60}, False, id="the window has passed"),
        pytest.param({"wanted": -30}, True, id="wanted in the future, by a clock ahead"),
        pytest.param({"wanted": -61}, False, id="wanted in a future that is a relic of a clock set back"),
        pytest.param({"wanted": 10, "released": 5}, False, id="released after it was wanted"),
        pytest.param({"wanted": 5, "released": 10}, True, id="wanted after it was released"),
        pytest.param({"wanted": 5, "released": 5}, True, id="both at once: who waits wins"),
        pytest.param({"wanted": 10, "released": -5}, True, id="released in the future, by a clock ahead"),
        pytest.param({"released": 5}, False, id="released and never wanted"),
        pytest.param({"wanted": 10, "last_active": ago(5)}, False, id="the want was met by a pod that has gone since"),
        pytest.param({"wanted": 10, "last_active": ago(15)}, True, id="it was of use before the want only"),
        pytest.param({"wanted": 10, "last_active": at(3600)}, True, id="activity of the future does not count"),
        pytest.param({"scaling": {"min_replicas": 1}}, True, id="pinned"),
        pytest.param({"scaling": {"min_replicas": 1}, "released": 5}, True, id="a pin wins over a release"),
    ],
)
def test_a_model_without_pods_is_woken_by(fields: dict[str, Any], wakes: bool) -> None:
    assert created(plan_of(model(**fields))) == (["m"] if wakes else [])


def test_a_wake_starts_one_pod_however_many_replicas_are_allowed() -> None:
    assert created(plan_of(model(wanted=1, scaling={"max_replicas": 5}))) == ["m"]


@pytest.mark.parametrize("state", [PodState.FETCHING, PodState.STARTING, PodState.READY])
def test_a_wanted_model_that_has_a_pod_gets_no_second(state: PodState) -> None:
    assert created(plan_of(model("m", pod(state=state, age=30), wanted=1))) == []


@pytest.mark.parametrize("state", [PodState.RETIRED, PodState.GOING])
def test_a_model_wanted_while_its_pod_is_leaving_gets_a_new_one_at_once(state: PodState) -> None:
    assert created(plan_of(model("m", pod(state=state), wanted=1))) == ["m"]


def test_a_pod_that_still_starts_when_its_caller_has_gone_is_let_become_ready() -> None:
    plan = plan_of(model("m", pod(state=PodState.STARTING, age=120), wanted=110))
    assert (deleted(plan), retired(plan), created(plan)) == ([], [], [])


class TestReleased:
    def test_idle_pods_are_asked_to_go_however_short_they_were_idle(self) -> None:
        plan = plan_of(model("m", pod(activity=idle(0.1), age=2), wanted=2, released=1))
        assert [(retire.pod, retire.idle_for_seconds) for retire in plan.retires] == [("p0", 0.0)]

    def test_busy_pods_go_on(self) -> None:
        plan = plan_of(model("m", pod(activity=working()), released=1))
        assert (retired(plan), deleted(plan)) == ([], [])

    def test_a_pod_that_does_not_answer_is_not_idle(self) -> None:
        plan = plan_of(model("m", pod(activity=None), released=1))
        assert (retired(plan), deleted(plan)) == ([], [])

    @pytest.mark.parametrize("state", [PodState.FETCHING, PodState.STARTING])
    def test_pods_that_never_were_ready_are_deleted(self, state: PodState) -> None:
        plan = plan_of(model("m", pod(state=state, age=3), wanted=3, released=1))
        assert (deleted(plan), created(plan)) == (["p0"], [])

    def test_a_pinned_model_keeps_its_pods(self) -> None:
        plan = plan_of(model("m", pod(activity=idle(9999)), released=1, scaling={"min_replicas": 1}))
        assert (retired(plan), deleted(plan)) == ([], [])

    def test_requests_that_still_come_start_no_further_pods(self) -> None:
        busy = pod(activity=working(100))
        assert created(plan_of(model("m", busy, released=1, scaling={"max_replicas": 4}))) == []


class TestAMetWant:
    def test_is_remembered_over_the_pod_that_met_it(self) -> None:
        # Ready after the want, never called, retired at the idle time-out: the old want must not wake it again.
        served = settled(model("m", pod(age=20, activity=idle(19)), wanted=25, scaling={"idle_timeout": 10}))
        assert created(plan_of(replace(served, pods=()))) == []

    def test_is_remembered_when_a_pod_was_ready_already(self) -> None:
        served = settled(model("m", pod(activity=idle(50)), wanted=20, scaling={"idle_timeout": 10}))
        assert created(plan_of(replace(served, pods=()))) == []

    def test_is_not_claimed_by_a_pod_that_may_have_refused_the_caller_a_moment_ago(self) -> None:
        served = settled(model("m", pod(activity=idle(50)), wanted=1))
        assert created(plan_of(replace(served, pods=(pod(state=PodState.RETIRED),)))) == ["m"]

    def test_is_not_claimed_by_what_a_failed_pod_last_said(self) -> None:
        crashed = settled(model("m", replace(pod(activity=working()), state=PodState.FAILED), wanted=1))
        assert created(plan_of(replace(crashed, pods=()))) == ["m"]
