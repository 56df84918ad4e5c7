"""What failed is tried again, later each time, and given up for as long as nobody changes anything."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from hfmodel_api.status import Phase, Reason
from hfmodel_operator.observed import PodFailure, PodState, Settings
from support.decider_values import (
    CRASHED,
    GATED,
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
    status_of,
    working,
)

STARTING, FETCHING = PodState.STARTING, PodState.FETCHING


def failed(failure: PodFailure = CRASHED, *, times: int = 1, seconds_ago: float = 0) -> dict[str, Any]:
    return {"failures": times, "last_failure": failure, "last_failed_at": ago(seconds_ago)}


def test_a_failed_pod_is_deleted_and_not_replaced_in_the_same_round() -> None:
    plan = plan_of(model("m", pod(state=PodState.FAILED, failure=CRASHED), wanted=1))
    assert (deleted(plan), created(plan)) == (["p0"], [])
    assert [delete.failure for delete in plan.deletes] == [None]
    assert "CrashLoop" in plan.deletes[0].why


EVICTED = PodFailure(Reason.UNSCHEDULABLE, "its node has no disk left", taken=True)


@pytest.mark.parametrize(
    ("ready_at", "replaced"),
    [pytest.param(ago(5), ["m"], id="after it served"), pytest.param(None, [], id="before it served")],
)
def test_a_pod_that_was_taken_away_is_replaced_at_once(ready_at: datetime | None, replaced: list[str]) -> None:
    taken = pod(state=PodState.FAILED, failure=EVICTED, ready_at=ready_at)
    plan = plan_of(model("m", taken, wanted=1))
    assert (deleted(plan), created(plan)) == (["p0"], replaced)


def test_a_sleeping_model_does_not_tell_of_a_pod_that_was_taken_away() -> None:
    status = status_of(plan_of(model("m", pod(state=PodState.FAILED, failure=EVICTED, ready_at=ago(5)))))
    ready = next(each for each in status.conditions if each.type == "Ready")
    assert (status.phase, ready.message) == (Phase.ASLEEP, "no pod; the next request wakes it")


@pytest.mark.parametrize(
    ("times", "delay"),
    [(1, 1), (2, 2), (3, 4), (5, 16), (9, 256), (10, 300), (10_000, 300)],
    ids=lambda value: str(value),
)
def test_each_failure_doubles_the_wait(times: int, delay: float) -> None:
    early = model("m", wanted=1, **failed(times=times, seconds_ago=delay - 0.5))
    plan = plan_of(early)
    assert (created(plan), plan.look_again_at) == ([], at(0.5))
    assert created(plan_of(model("m", wanted=1, **failed(times=times, seconds_ago=delay)))) == ["m"]


def test_nobody_waits_so_nothing_is_tried() -> None:
    plan = plan_of(model("m", **failed(seconds_ago=3600)))
    assert created(plan) == []
    assert (status_of(plan).phase, plan.look_again_at) == (Phase.ASLEEP, None)


@pytest.mark.parametrize(
    ("fields", "tries"),
    [
        pytest.param({"wanted": 30, **failed(GATED, seconds_ago=20)}, False, id="not for the want that it failed"),
        pytest.param({"wanted": 5, **failed(GATED, seconds_ago=20)}, True, id="for a new want"),
        pytest.param({"wanted": 5, **failed(GATED, times=9, seconds_ago=20)}, False, id="not faster than the back-off"),
        pytest.param({"scaling": {"min_replicas": 1}, **failed(GATED, seconds_ago=9999)}, False, id="not for a pin"),
        pytest.param(
            {"wanted": 5, **failed(GATED, seconds_ago=-600)}, True, id="a failure of the future blocks nothing"
        ),
        pytest.param({"wanted": 5, **failed(CRASHED, seconds_ago=-600)}, True, id="nor does a crash of the future"),
        pytest.param({"wanted": 5, "problem": GATED}, False, id="not while there is a problem"),
        pytest.param({"wanted": 5, **failed(CRASHED, times=0)}, True, id="a failure that was overcome is past"),
    ],
)
def test_a_permanent_failure_is_tried_again_only(fields: dict[str, Any], tries: bool) -> None:
    assert created(plan_of(model("m", **fields))) == (["m"] if tries else [])


@pytest.mark.parametrize(
    ("fields", "tries"),
    [
        pytest.param({"wanted": 40, **failed(seconds_ago=35)}, True, id="while the want is repeated"),
        pytest.param({"wanted": 40, **failed(seconds_ago=20)}, False, id="not for a want that nobody repeated"),
        pytest.param({"wanted": 2, **failed(seconds_ago=20)}, True, id="for the next caller"),
        pytest.param({"wanted": 40, "scaling": {"min_replicas": 1}, **failed(seconds_ago=20)}, True, id="for a pin"),
        pytest.param({"wanted": 40, **failed(seconds_ago=-5)}, True, id="whatever failed in the future"),
        pytest.param({"wanted": 40, **failed(times=0, seconds_ago=20)}, True, id="after a failure that was overcome"),
    ],
)
def test_a_failed_start_is_tried_again(fields: dict[str, Any], tries: bool) -> None:
    assert created(plan_of(model("m", **fields))) == (["m"] if tries else [])


def test_nobody_gives_up_a_place_for_a_start_that_nobody_waits_for() -> None:
    used = model("used", pod("u", activity=idle(30)))
    failing = model("failing", wanted=40, **failed(seconds_ago=20))
    plan = plan_of(used, failing, settings=Settings(max_loaded_models=1))
    assert (created(plan), retired(plan), plan.look_again_at) == ([], [], plan_of(used).look_again_at)
    assert status_of(plan, "failing").phase is Phase.ASLEEP


def test_extra_pods_wait_for_the_back_off_too() -> None:
    busy = model("m", pod(activity=working(40)), scaling={"max_replicas": 4}, **failed(times=3, seconds_ago=1))
    plan = plan_of(busy)
    assert (created(plan), plan.look_again_at) == ([], at(3))


@pytest.mark.parametrize(
    ("fields", "late"),
    [
        pytest.param({"age": 599}, False, id="within startTimeout"),
        pytest.param({"age": 600}, True, id="after startTimeout"),
        pytest.param({"age": 5000, "starting_since": ago(599)}, False, id="downloading does not count"),
        pytest.param({"age": 5000, "starting_since": ago(600)}, True, id="counted from the end of the download"),
        pytest.param({"age": 600, "unschedulable": True}, True, id="no room within startTimeout"),
    ],
)
def test_a_start_that_takes_too_long_is_a_failure(fields: dict[str, Any], late: bool) -> None:
    plan = plan_of(model("m", pod(state=STARTING, **fields), wanted=1))
    assert (deleted(plan), created(plan), retired(plan)) == (["p0"] if late else [], [], [])
    reason = Reason.UNSCHEDULABLE if fields.get("unschedulable") else Reason.START_TIMEOUT
    assert [delete.failure.reason for delete in plan.deletes if delete.failure] == ([reason] if late else [])


def test_a_download_is_never_too_late() -> None:
    assert deleted(plan_of(model("m", pod(state=FETCHING, age=99_999), wanted=1))) == []


def test_the_next_look_is_when_the_start_is_too_late() -> None:
    assert plan_of(model("m", pod(state=STARTING, age=590), wanted=1)).look_again_at == at(10)


def test_a_late_pod_of_an_older_template_is_no_failure_of_the_new_one() -> None:
    plan = plan_of(model("m", pod(state=STARTING, template_hash="t0"), wanted=1))
    assert (deleted(plan), [delete.failure for delete in plan.deletes], created(plan)) == (["p0"], [None], ["m"])


@pytest.mark.parametrize(
    ("fields", "phase", "reason"),
    [
        pytest.param({"wanted": 5, **failed()}, Phase.STARTING, Reason.CRASH_LOOP, id="waits for the next try"),
        pytest.param({"wanted": 5, **failed(times=5)}, Phase.FAILED, Reason.CRASH_LOOP, id="five in a row"),
        pytest.param(failed(times=5), Phase.FAILED, Reason.CRASH_LOOP, id="five in a row, nobody waits"),
        pytest.param({"wanted": 5, **failed(GATED)}, Phase.FAILED, Reason.GATED_NO_TOKEN, id="permanent"),
        pytest.param(
            {"wanted": 5, **failed(GATED, seconds_ago=9, times=1)}, Phase.STARTING, Reason.STARTING, id="retry"
        ),
        pytest.param(
            {"wanted": 5, **failed(times=5, seconds_ago=16)}, Phase.STARTING, Reason.STARTING, id="the sixth try"
        ),
        pytest.param({"problem": GATED}, Phase.FAILED, Reason.GATED_NO_TOKEN, id="a problem"),
        pytest.param(failed(), Phase.ASLEEP, Reason.ASLEEP, id="once, nobody waits"),
    ],
)
def test_the_status_says_how_it_stands(fields: dict[str, Any], phase: Phase, reason: Reason) -> None:
    status = status_of(plan_of(model("m", **fields)))
    ready = next(each for each in status.conditions if each.type == "Ready")
    assert (status.phase, ready.reason) == (phase, reason)


def test_tries_go_on_after_max_failures() -> None:
    settings = Settings(max_failures=2, backoff_max=timedelta(seconds=10))
    plan = plan_of(model("m", wanted=1, **failed(times=7, seconds_ago=10)), settings=settings)
    assert created(plan) == ["m"]


def test_a_start_that_fails_this_very_moment_is_named_at_once() -> None:
    status = status_of(plan_of(model("m", pod(state=STARTING, age=600), wanted=1), settings=SETTINGS))
    assert next(each for each in status.conditions if each.type == "Ready").reason == Reason.START_TIMEOUT
