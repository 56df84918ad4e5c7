"""What is said about a model: phase, conditions and numbers, written only when they changed."""

from dataclasses import replace
from typing import Any

import pytest

from hfmodel_api.status import Condition, ConditionType, HFModelStatus, Phase, Reason
from hfmodel_operator.observed import ObservedModel, ObservedPod, PodState, Settings
from support.decider_values import (
    CRASHED,
    GATED,
    NOW,
    ago,
    at,
    idle,
    model,
    plan_of,
    pod,
    settled,
    status_of,
    working,
)

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"


def conditions_of(status: HFModelStatus) -> dict[ConditionType, Condition]:
    return {condition.type: condition for condition in status.conditions}


def texts(observed: ObservedModel) -> dict[str, str]:
    found = conditions_of(settled(observed).status)
    return {kind.value: condition.status for kind, condition in found.items()}


def expected(accepted: str, cached: str, ready: str, reconciling: str, stalled: str) -> dict[str, str]:
    names = ("Accepted", "Cached", "Ready", "Reconciling", "Stalled")
    return dict(zip(names, (accepted, cached, ready, reconciling, stalled), strict=True))


BAD: dict[str, Any] = {"failures": 1, "last_failure": GATED, "last_failed_at": ago(5)}


@pytest.mark.parametrize(
    ("observed", "phase", "conditions"),
    [
        pytest.param(model(), Phase.ASLEEP, expected(TRUE, TRUE, TRUE, FALSE, FALSE), id="asleep is healthy"),
        pytest.param(
            model("m", pod(activity=working())), Phase.READY, expected(TRUE, TRUE, TRUE, FALSE, FALSE), id="ready"
        ),
        pytest.param(
            model("m", pod(), pod("s", PodState.STARTING, age=1), scaling={"max_replicas": 2}),
            Phase.READY,
            expected(TRUE, TRUE, TRUE, FALSE, FALSE),
            id="ready, one more starts",
        ),
        pytest.param(model(wanted=1), Phase.STARTING, expected(TRUE, TRUE, UNKNOWN, TRUE, FALSE), id="woken now"),
        pytest.param(
            model("m", pod(state=PodState.STARTING, age=1)),
            Phase.STARTING,
            expected(TRUE, TRUE, UNKNOWN, TRUE, FALSE),
            id="starting",
        ),
        pytest.param(
            model("m", pod(state=PodState.FETCHING), cached=False),
            Phase.STARTING,
            expected(TRUE, FALSE, UNKNOWN, TRUE, FALSE),
            id="its pod downloads",
        ),
        pytest.param(
            model(cached=False), Phase.FETCHING, expected(TRUE, FALSE, UNKNOWN, TRUE, FALSE), id="downloads ahead"
        ),
        pytest.param(
            model("m", pod(state=PodState.RETIRED)),
            Phase.RETIRING,
            expected(TRUE, TRUE, TRUE, FALSE, FALSE),
            id="retiring",
        ),
        pytest.param(
            model("m", pod(state=PodState.GOING)), Phase.RETIRING, expected(TRUE, TRUE, TRUE, FALSE, FALSE), id="going"
        ),
        pytest.param(model(**BAD), Phase.FAILED, expected(TRUE, TRUE, FALSE, FALSE, TRUE), id="failed"),
        pytest.param(
            model(problem=GATED), Phase.FAILED, expected(FALSE, TRUE, FALSE, FALSE, TRUE), id="a problem outside"
        ),
        pytest.param(
            model("m", pod(activity=working()), problem=GATED),
            Phase.READY,
            expected(FALSE, TRUE, TRUE, FALSE, FALSE),
            id="a problem outside, its pods serve on",
        ),
        pytest.param(
            model("m", pod(activity=working()), template_hash="t2"),
            Phase.READY,
            expected(TRUE, TRUE, TRUE, TRUE, FALSE),
            id="a new template",
        ),
        pytest.param(
            model("m", pod(activity=working()), template_hash="t2", **BAD),
            Phase.READY,
            expected(TRUE, TRUE, TRUE, FALSE, TRUE),
            id="a new template that fails",
        ),
    ],
)
def test_phase_and_conditions(observed: ObservedModel, phase: Phase, conditions: dict[str, str]) -> None:
    assert (settled(observed).status.phase, texts(observed)) == (phase, conditions)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({"fetching": True}, Reason.FETCHING, id="downloading"),
        pytest.param({"fetch_failure": GATED, "fetch_failed_at": ago(1)}, Reason.GATED_NO_TOKEN, id="it failed"),
        pytest.param({"problem": GATED}, Reason.NOT_CACHED, id="nobody downloads it"),
    ],
)
def test_the_cached_condition_says_why_not(fields: dict[str, Any], reason: Reason) -> None:
    status = settled(model(cached=False, **fields)).status
    assert conditions_of(status)[ConditionType.CACHED].reason == reason


def test_the_ready_condition_of_a_sleeping_model_names_its_last_failure() -> None:
    status = settled(model(failures=1, last_failure=CRASHED, last_failed_at=ago(99))).status
    assert CRASHED.message in conditions_of(status)[ConditionType.READY].message


@pytest.mark.parametrize(
    "observed",
    [
        pytest.param(model(), id="asleep"),
        pytest.param(model("m", pod(activity=idle(5))), id="ready"),
        pytest.param(model("m", pod(state=PodState.STARTING, age=1), wanted=1), id="starting"),
        pytest.param(model(**BAD), id="failed"),
        pytest.param(model(fetching=True, cached=False), id="downloading"),
    ],
)
def test_nothing_is_written_twice(observed: ObservedModel) -> None:
    assert plan_of(settled(observed)).statuses == {}


def test_a_transition_time_moves_only_with_the_status_of_its_condition() -> None:
    asleep = settled(model(), now=ago(100))
    starting = settled(replace(asleep, demand=model(wanted=0).demand))
    times = {kind: condition.last_transition_time for kind, condition in conditions_of(starting.status).items()}
    assert times == {
        ConditionType.ACCEPTED: ago(100),
        ConditionType.CACHED: ago(100),
        ConditionType.READY: NOW,
        ConditionType.RECONCILING: NOW,
        ConditionType.STALLED: ago(100),
    }


def test_a_new_generation_is_acknowledged() -> None:
    observed = settled(model())
    changed = replace(observed, model=observed.model.model_copy(update={"generation": 2}))
    status = status_of(plan_of(changed))
    assert status.observed_generation == 2
    assert {condition.observed_generation for condition in status.conditions} == {2}


def test_replicas_are_those_that_serve_or_will() -> None:
    pods = (
        pod("a", activity=working()),
        pod("b", PodState.STARTING, age=1),
        pod("c", PodState.GOING),
        pod("d", PodState.FAILED),
    )
    status = status_of(plan_of(model("m", *pods, scaling={"max_replicas": 2})))
    assert (status.replicas, status.ready_replicas) == (2, 1)


@pytest.mark.parametrize(
    ("base_url", "url"), [("", None), ("http://r:8000", "http://r:8000/models/m"), ("http://r/", "http://r/models/m")]
)
def test_the_url_is_the_routers(base_url: str, url: str | None) -> None:
    assert status_of(plan_of(model(), settings=Settings(base_url=base_url))).url == url


@pytest.mark.parametrize(
    ("pods", "seconds"),
    [
        pytest.param((pod(age=60, ready_at=ago(52.5)),), 7.5, id="created to ready"),
        pytest.param((pod(age=60, starting_since=ago(20), ready_at=ago(18)),), 2.0, id="the download is not counted"),
        pytest.param((pod("a", age=60), pod("b", age=9, ready_at=ago(4))), 5.0, id="the last one that came up"),
        pytest.param((), 3.0, id="kept while there is none"),
        pytest.param((pod(age=1, ready_at=ago(5)),), 0.0, id="never negative"),
    ],
)
def test_start_seconds_are_measured(pods: tuple[ObservedPod, ...], seconds: float) -> None:
    assert status_of(plan_of(model("m", *pods, status=HFModelStatus(start_seconds=3.0)))).start_seconds == seconds


@pytest.mark.parametrize(
    ("known", "generation", "revision"),
    [
        pytest.param("new", 1, "new", id="what is known now"),
        pytest.param(None, 1, "old", id="what was known of this spec"),
        pytest.param(None, 2, None, id="not what was known of another spec"),
    ],
)
def test_the_resolved_revision_belongs_to_the_spec(known: str | None, generation: int, revision: str | None) -> None:
    before = HFModelStatus(resolved_revision="old", observed_generation=1)
    observed = model(resolved_revision=known, status=before)
    observed = replace(observed, model=observed.model.model_copy(update={"generation": generation}))
    assert status_of(plan_of(observed)).resolved_revision == revision


def test_demand_is_the_routers_and_is_not_touched() -> None:
    observed = model(wanted=5)
    assert status_of(plan_of(observed)).demand == observed.status.demand


class TestLastActiveTime:
    def test_is_when_the_last_request_ended(self) -> None:
        assert settled(model("m", pod(activity=idle(17)))).status.last_active_time == ago(17)

    def test_is_now_while_a_request_runs(self) -> None:
        assert settled(model("m", pod(activity=working()))).status.last_active_time == NOW

    @pytest.mark.parametrize(("later", "written"), [(9, False), (10, True)], ids=["small step", "large step"])
    def test_moves_in_steps(self, later: float, written: bool) -> None:
        observed = settled(model("m", pod(activity=working())))
        plan = plan_of(observed, now=at(later))
        assert [status.last_active_time for status in plan.statuses.values()] == ([at(later)] if written else [])

    def test_is_exact_when_it_passes_a_want(self) -> None:
        observed = settled(model("m", pod(activity=idle(4))))
        served = replace(observed, demand=model(wanted=3).demand, pods=(pod(activity=idle(2)),))
        assert status_of(plan_of(served)).last_active_time == ago(2)

    def test_is_kept_without_pods_and_over_a_clock_set_back(self) -> None:
        before = settled(model("m", pod(activity=idle(17)))).status
        assert settled(model(status=before)).status.last_active_time == ago(17)
        assert settled(model(status=before), now=ago(3600)).status.last_active_time == ago(17)
