"""What the operator counts, and where it can be scraped."""

import json
import socket
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from hfmodel_api.status import HFModelStatus, Phase, Reason
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.books import Book
from hfmodel_operator.cluster.health import CannotListen, health_server
from hfmodel_operator.cluster.metrics import OperatorMetrics
from hfmodel_operator.observed import Observed, PodFailure
from hfmodel_operator.plan import Plan
from support.decider_values import CRASHED, NOW, model
from support.kube_objects import container, pod_object

DONE = {"event": "done", "path": "/cache/x", "bytes": 9, "seconds": 7.5, "downloaded_bytes": 5, "collected_bytes": 3}
HARD = {**DONE, "retries": 4, "converted": True}
GATED = {"event": "error", "reason": "GatedNoToken", "message": "set a token", "retryable": False}


def samples(metrics: OperatorMetrics) -> dict[str, float]:
    """Every sample that is not nothing, without the operator's prefix."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    found: Iterable[Any] = (sample for family in families for sample in family.samples)
    kept = (each for each in found if each.value and not each.name.endswith(("_created", "_bucket")))
    return {".".join((each.name.removeprefix("hfmodel_operator_"), *each.labels.values())): each.value for each in kept}


@pytest.mark.parametrize(
    ("word", "counted"),
    [
        pytest.param(
            json.dumps(DONE),
            {
                "fetches_total.Done": 1,
                "fetched_bytes_total": 5,
                "cache_collected_bytes_total": 3,
                "fetch_seconds_count": 1,
                "fetch_seconds_sum": 7.5,
            },
            id="done",
        ),
        pytest.param(
            json.dumps(HARD),
            {
                "fetches_total.Done": 1,
                "fetched_bytes_total": 5,
                "cache_collected_bytes_total": 3,
                "fetch_retries_total": 4,
                "fetch_conversions_total": 1,
                "fetch_seconds_count": 1,
                "fetch_seconds_sum": 7.5,
            },
            id="done with retries and a conversion",
        ),
        pytest.param(f"a log\n{json.dumps(GATED)}", {"fetches_total.GatedNoToken": 1}, id="failed"),
        pytest.param("Killed", {"fetches_total.CrashLoop": 1}, id="no last word"),
        pytest.param("[]", {"fetches_total.CrashLoop": 1}, id="nonsense"),
        pytest.param('{"event": "error", "reason": ["x"]}', {"fetches_total.CrashLoop": 1}, id="no reason"),
        pytest.param('{"event": "done", "seconds": "x"}', {"fetches_total.Done": 1}, id="numbers that are none"),
    ],
)
def test_a_fetch_that_ends_is_counted(word: str, counted: dict[str, float]) -> None:
    metrics = OperatorMetrics()
    metrics.outcomes([word])
    assert samples(metrics) == counted


@pytest.mark.parametrize(
    ("limit", "told"), [pytest.param(40 * 2**30, True, id="a limit"), pytest.param(None, False, id="no limit")]
)
def test_the_limit_of_the_cache_is_told_where_there_is_one(limit: int | None, told: bool) -> None:
    text = OperatorMetrics(cache_limit=limit).exposition().decode()
    assert ("hfmodel_operator_cache_limit_bytes" in text) is told
    assert samples(OperatorMetrics(cache_limit=limit)) == ({"cache_limit_bytes": limit} if told else {})


def fetching_pod(name: str, state: Json) -> Json:
    return pod_object(name=name, fetches=True, init_containers=[container(state, name="fetch")])


def test_a_pod_that_fetched_for_itself_is_counted_once() -> None:
    metrics, ended = OperatorMetrics(), {"terminated": {"exitCode": 0, "message": json.dumps(DONE)}}
    before = fetching_pod("before", ended)  # was another's to count
    for pods in (
        [before, pod_object(name="without")],
        [before, fetching_pod("p", {"running": {}})],
        [before, fetching_pod("p", ended)],
        [before, fetching_pod("p", ended)],
    ):
        metrics.pods(pods)
    assert samples(metrics)["fetches_total.Done"] == 1


@pytest.mark.parametrize(
    ("before", "after", "counted"),
    [
        (Phase.ASLEEP, Phase.STARTING, {"wakes_total": 1, "models.Starting": 1}),
        (Phase.FAILED, Phase.STARTING, {"wakes_total": 1, "models.Starting": 1}),
        (Phase.READY, Phase.STARTING, {"models.Starting": 1}),
        (Phase.RETIRING, Phase.ASLEEP, {"sleeps_total": 1, "models.Asleep": 1}),
        (Phase.FETCHING, Phase.ASLEEP, {"models.Asleep": 1}),
        (Phase.READY, None, {"models.Ready": 1}),
    ],
)
def test_wakes_and_sleeps_are_counted_and_models_by_phase(
    before: Phase, after: Phase | None, counted: dict[str, float]
) -> None:
    metrics = OperatorMetrics()
    observed = Observed(models=(model(status=HFModelStatus(phase=before)),))
    metrics.decided(observed, Plan(statuses={"m": HFModelStatus(phase=after)} if after else {}))
    assert samples(metrics) == counted


def test_starts_that_fail_are_counted_by_reason() -> None:
    metrics, book = OperatorMetrics(), Book(template_hash="t")
    crashed = book.failed(CRASHED, NOW)
    stuck = crashed.failed(PodFailure(Reason.UNSCHEDULABLE, "no room"), NOW)
    metrics.applied({"m": book, "gone": book}, {"m": crashed, "restored": replace(book, failures=5)})
    metrics.applied({"m": crashed}, {"m": crashed})
    metrics.applied({"m": crashed}, {"m": stuck})
    metrics.applied({"m": stuck}, {"m": book})
    assert samples(metrics) == {"failed_starts_total.CrashLoop": 1, "failed_starts_total.Unschedulable": 1}


def test_one_that_stands_by_tells_of_no_models() -> None:
    metrics = OperatorMetrics()
    metrics.decided(Observed(models=(model(),)), Plan())
    metrics.stand_by()
    assert samples(metrics) == {}


async def test_it_lives_and_is_scraped_at_its_own_port() -> None:
    metrics = OperatorMetrics()
    metrics.outcomes([json.dumps(DONE)])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with health_server(port, metrics.exposition), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        async with session.get("/healthz") as answer:
            assert answer.status == 200
        async with session.get("/metrics") as answer:
            assert answer.headers["content-type"].startswith("text/plain")
            assert 'hfmodel_operator_fetches_total{result="Done"} 1.0' in await answer.text()


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"HFMODEL_HEALTH_PORT: cannot listen on port {port}"):
            async with health_server(port, lambda: b""):
                pass
