"""Downloading before anybody calls."""

from typing import Any

import pytest

from hfmodel_api.spec import Cache
from hfmodel_api.status import CacheStatus, Phase, Reason
from hfmodel_operator.observed import PodFailure, PodState
from support.decider_values import GATED, ago, at, model, plan_of, pod, settled, status_of

OFFLINE = PodFailure(Reason.HUB_UNREACHABLE, "the Hub does not answer")

NO_ROOM = PodFailure(Reason.UNSCHEDULABLE, "no node has room")


def failed(failure: PodFailure, seconds_ago: float, *, times: int = 1) -> dict[str, Any]:
    return {"fetch_failure": failure, "fetch_failed_at": ago(seconds_ago), "fetch_failures": times}


@pytest.mark.parametrize(
    ("fields", "fetches"),
    [
        pytest.param({}, True, id="missing weights"),
        pytest.param({"cached": True}, False, id="cached"),
        pytest.param({"fetching": True}, False, id="under way"),
        pytest.param({"spec": {"cache": Cache(prefetch=False)}}, False, id="not wished for"),
        pytest.param({"problem": GATED}, False, id="there is a problem"),
        pytest.param({"wanted": 1}, False, id="the pod that is started now does it"),
        pytest.param(failed(OFFLINE, 0.5), False, id="just failed"),
        pytest.param(failed(OFFLINE, 1), True, id="failed a back-off ago"),
        pytest.param(failed(OFFLINE, 7.5, times=4), False, id="the back-off doubles"),
        pytest.param(failed(OFFLINE, 8, times=4), True, id="and passes"),
        pytest.param(failed(GATED, 9999), False, id="failed for good"),
        pytest.param({"released": 1, "wanted": 5, **failed(GATED, 9999)}, False, id="failed for good, released"),
    ],
)
def test_weights_are_downloaded_ahead(fields: dict[str, Any], fetches: bool) -> None:
    plan = plan_of(model(**{"cached": False, **fields}))
    assert [prefetch.model_id for prefetch in plan.prefetches] == (["m"] if fetches else [])


def test_what_a_download_waits_for_is_why_the_weights_are_not_there() -> None:
    status = status_of(plan_of(model(cached=False, fetching=True, fetch_waiting=NO_ROOM)))
    cached = next(each for each in status.conditions if each.type == "Cached")
    assert (cached.status, cached.reason, cached.message) == ("False", Reason.UNSCHEDULABLE, "no node has room")


def test_a_pod_that_downloads_needs_no_second_download() -> None:
    assert plan_of(model("m", pod(state=PodState.FETCHING), cached=False, wanted=1)).prefetches == ()


def test_the_next_look_is_when_the_download_may_be_tried_again() -> None:
    assert plan_of(model(cached=False, **failed(OFFLINE, 3, times=4))).look_again_at == at(5)


@pytest.mark.parametrize(
    ("fields", "phase", "reason"),
    [
        pytest.param({}, Phase.FETCHING, Reason.FETCHING, id="started now"),
        pytest.param({"fetching": True}, Phase.FETCHING, Reason.FETCHING, id="under way"),
        pytest.param(
            {"fetching": True, "fetch_waiting": NO_ROOM}, Phase.FETCHING, Reason.UNSCHEDULABLE, id="waits for a node"
        ),
        pytest.param(failed(OFFLINE, 0.5), Phase.FETCHING, Reason.HUB_UNREACHABLE, id="tried again"),
        pytest.param(failed(GATED, 5), Phase.FAILED, Reason.GATED_NO_TOKEN, id="failed for good"),
        pytest.param({"spec": {"cache": Cache(prefetch=False)}}, Phase.ASLEEP, Reason.ASLEEP, id="not wished for"),
        pytest.param({"cached": True}, Phase.ASLEEP, Reason.ASLEEP, id="done"),
    ],
)
def test_the_status_says_how_the_download_stands(fields: dict[str, Any], phase: Phase, reason: Reason) -> None:
    status = status_of(plan_of(model(**{"cached": False, **fields})))
    ready = next(each for each in status.conditions if each.type == "Ready")
    assert (status.phase, ready.reason) == (phase, reason)


@pytest.mark.parametrize(
    ("done", "written"),
    [
        pytest.param(1_009, False, id="less than a hundredth"),
        pytest.param(2_000, True, id="a hundredth"),
        pytest.param(0, True, id="begun again"),
        pytest.param(100_000, True, id="all"),
    ],
)
def test_progress_is_written_in_steps(done: int, written: bool) -> None:
    early = CacheStatus(bytes=1_000, total_bytes=100_000, bytes_per_second=16.0, seconds_left=6_000.0)
    before = settled(model(cached=False, fetching=True, cache=early))
    now = CacheStatus(bytes=done, total_bytes=100_000, bytes_per_second=17.0, seconds_left=5_000.0)
    plan = plan_of(model(cached=False, fetching=True, cache=now, status=before.status))
    assert [status.cache for status in plan.statuses.values()] == ([now] if written else [])


def test_progress_of_unknown_size_is_written_too() -> None:
    before = settled(model(cached=False, fetching=True, cache=CacheStatus(bytes=0)))
    small, large = CacheStatus(bytes=2**20), CacheStatus(bytes=2**27)
    assert plan_of(model(cached=False, fetching=True, cache=small, status=before.status)).statuses == {}
    assert list(plan_of(model(cached=False, fetching=True, cache=large, status=before.status)).statuses) == ["m"]


TIMED = CacheStatus(bytes=1_000, total_bytes=100_000, bytes_per_second=16.0, seconds_left=6_000.0)
UNTIMED = CacheStatus(bytes=1_000, total_bytes=100_000)


@pytest.mark.parametrize(
    ("before", "fields", "after"),
    [
        pytest.param(UNTIMED, {"fetching": True, "cache": TIMED}, TIMED, id="it is known now"),
        pytest.param(TIMED, {"fetching": True, "cache": UNTIMED}, UNTIMED, id="nothing comes any more"),
        pytest.param(TIMED, {**failed(OFFLINE, 0.5), "cache": TIMED}, UNTIMED, id="it failed"),
        pytest.param(TIMED, failed(OFFLINE, 0.5), UNTIMED, id="it failed and nobody remembers"),
        pytest.param(TIMED, {"fetching": True}, UNTIMED, id="the next try has said nothing yet"),
    ],
)
def test_a_speed_is_told_only_while_it_is_known(
    before: CacheStatus, fields: dict[str, Any], after: CacheStatus
) -> None:
    told = settled(model(cached=False, fetching=True, cache=before)).status
    assert told.cache == before
    plan = plan_of(model(cached=False, **fields, status=told))
    assert [status.cache for status in plan.statuses.values()] == [after]


def test_the_pod_that_downloads_tells_its_speed_too() -> None:
    found = model("m", pod(state=PodState.FETCHING), cached=False, cache=TIMED)
    assert settled(found).status.cache == TIMED
