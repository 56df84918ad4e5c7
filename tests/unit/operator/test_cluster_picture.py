"""From the objects of a cluster to the picture that is decided on."""

import json
from datetime import timedelta
from typing import Any

import pytest

from hfmodel_api.status import CacheStatus, Phase, Reason
from hfmodel_operator.cluster.api import CLAIMS, SECRETS, Json
from hfmodel_operator.cluster.books import Book
from hfmodel_operator.cluster.facts import Need
from hfmodel_operator.cluster.labels import ANNOTATION_OUTCOME, LABEL_FETCH_HASH
from hfmodel_operator.cluster.observe import Look, Picture, observe
from hfmodel_operator.cluster.prefetch import fetch_hash, outcomes_to_note
from hfmodel_operator.cluster.template import template_hash
from hfmodel_operator.observed import ObservedModel, PodState, Settings
from hfmodel_operator.source import source_of
from support.kube_objects import (
    NOON,
    READY,
    SETTINGS,
    container,
    fetch_pod,
    hfmodel,
    job_object,
    model_object,
    pod_object,
    serving,
)

DONE = '{"event": "done", "path": "/cache/models/org--tiny/abc", "revision": "abc", "bytes": 7}'
ERROR = '{"event": "error", "reason": "RepoNotFound", "message": "no such repo", "retryable": false}'
NO_CLAIM = {Need(CLAIMS, "cache"): False}
NO_SECRET = {Need(SECRETS, "hub"): False}
HASH = template_hash(hfmodel(), SETTINGS)
RUNNING: Json = {"running": {}}


def ended(message: str, code: int = 0) -> Json:
    return {"terminated": {"exitCode": code, "message": message}}


def look(**picture: Any) -> Look:
    things = {"models": (model_object(),), **picture}
    return observe(Picture(**things), SETTINGS, Settings(), NOON)


def seen(**picture: Any) -> ObservedModel:
    (model,) = look(**picture).observed.models
    return model


@pytest.mark.parametrize(
    ("spec", "facts", "reason", "says"),
    [
        pytest.param({"source": {"path": "/m"}}, {}, Reason.SOURCE_NOT_SUPPORTED, "hfmodel up", id="a local path"),
        pytest.param({"gpu": {"profile": "h100"}}, {}, Reason.PROFILE_UNKNOWN, "has: none", id="no such profile"),
        pytest.param({"tokenSecretRef": {"name": "hub"}}, NO_SECRET, Reason.SECRET_MISSING, "'hub'", id="no secret"),
        pytest.param({}, NO_CLAIM, Reason.VOLUME_NOT_BOUND, "'cache'", id="no cache"),
        pytest.param(
            {"scaling": {"minReplicas": 2, "maxReplicas": 1}}, {}, Reason.INVALID_SPEC, "maxReplicas", id="a rule"
        ),
        pytest.param({"model": "no repo!"}, {}, Reason.INVALID_SPEC, "spec.model", id="a field"),
    ],
)
def test_what_keeps_a_model_from_having_pods(spec: Json, facts: Any, reason: Reason, says: str) -> None:
    problem = seen(models=(model_object(**spec),), facts=facts).problem
    assert problem is not None
    assert problem.reason is reason
    assert says in problem.message


def test_what_is_not_known_is_no_problem() -> None:
    assert seen(models=(model_object(tokenSecretRef={"name": "hub"}),)).problem is None


def test_a_secret_is_not_missed_once_the_weights_are_there() -> None:
    spec: Any = {"tokenSecretRef": {"name": "hub"}}
    jobs = (job_object(hfmodel(**spec), ended="Complete", annotations={ANNOTATION_OUTCOME: DONE}),)
    assert seen(models=(model_object(**spec),), facts=NO_SECRET, jobs=jobs).problem is None


def test_pods_of_a_spec_that_cannot_be_read_serve_on() -> None:
    pods = (pod_object(containers=[serving()], conditions=[READY]),)
    model = seen(models=(model_object(model="no repo!"),), pods=pods)
    assert [pod.template_hash for pod in model.pods] == [model.template_hash]


@pytest.mark.parametrize(
    ("job", "pods", "cached", "fetching"),
    [
        pytest.param({}, (), False, True, id="created"),
        pytest.param({}, (fetch_pod(RUNNING),), False, True, id="runs"),
        pytest.param({"ended": "Complete"}, (fetch_pod(ended(DONE)),), True, False, id="its pod said what it fetched"),
        pytest.param(
            {"ended": "Complete", "annotations": {ANNOTATION_OUTCOME: DONE}}, (), True, False, id="it was noted"
        ),
        pytest.param({"ended": "Complete"}, (), False, False, id="nobody knows what it fetched"),
    ],
)
def test_what_a_fetch_job_tells(job: Json, pods: tuple[Json, ...], cached: bool, fetching: bool) -> None:
    model = seen(jobs=(job_object(hfmodel(), **job),), pods=pods)
    assert (model.cached, model.fetching) == (cached, fetching)
    assert model.resolved_revision == ("abc" if cached else None)


@pytest.mark.parametrize(
    ("job", "pods", "reason", "permanent"),
    [
        pytest.param({}, (fetch_pod(ended(ERROR, 1)),), Reason.REPO_NOT_FOUND, True, id="its pod said why"),
        pytest.param({"annotations": {ANNOTATION_OUTCOME: ERROR}}, (), Reason.REPO_NOT_FOUND, True, id="why was noted"),
        pytest.param({}, (), Reason.CRASH_LOOP, False, id="nobody knows why"),
    ],
)
def test_why_a_fetch_failed(job: Json, pods: tuple[Json, ...], reason: Reason, permanent: bool) -> None:
    model = seen(jobs=(job_object(hfmodel(), ended="Failed", attempt=3, **job),), pods=pods)
    assert model.fetch_failure is not None
    assert (model.fetch_failure.reason, model.fetch_failure.permanent) == (reason, permanent)
    assert (model.fetch_failures, model.fetch_failed_at) == (3, NOON - timedelta(seconds=20))


UNSCHEDULED = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "full"}
WAITING_POD: Json = {
    **fetch_pod(RUNNING),
    "status": {
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "full"}]
    },
}


@pytest.mark.parametrize(
    ("pods", "created", "says"),
    [
        pytest.param((fetch_pod(RUNNING),), 60, "", id="nothing, it runs"),
        pytest.param((WAITING_POD,), 1, "full", id="a node"),
        pytest.param((), 10, "kubectl describe job tiny-fetch-1", id="a pod"),
        pytest.param((), 9, "", id="nothing, it is new"),
    ],
)
def test_what_a_fetch_job_waits_for(pods: tuple[Json, ...], created: float, says: str) -> None:
    job = job_object(hfmodel())
    job["metadata"]["creationTimestamp"] = (NOON - timedelta(seconds=created)).isoformat()
    model = seen(jobs=(job,), pods=pods)
    assert model.fetching
    waits_for = model.fetch_waiting.message if model.fetch_waiting is not None else ""
    assert (says in waits_for, bool(waits_for)) == (True, bool(says))


def waiting_job(**labels: str) -> Json:
    job = job_object(hfmodel())
    job["metadata"]["labels"] |= labels
    return job


@pytest.mark.parametrize(
    ("labels", "pods", "fetching"),
    [
        pytest.param({LABEL_FETCH_HASH: fetch_hash(hfmodel(), SETTINGS)}, (WAITING_POD,), True, id="as it is now"),
        pytest.param({LABEL_FETCH_HASH: "before"}, (WAITING_POD,), False, id="of another manifest"),
        pytest.param({LABEL_FETCH_HASH: "before"}, (fetch_pod(RUNNING),), True, id="which runs already"),
        pytest.param({}, (WAITING_POD,), True, id="nobody knows"),
    ],
)
def test_a_job_that_no_node_takes_is_waited_for_while_it_is_what_is_wanted(
    labels: dict[str, str], pods: tuple[Json, ...], fetching: bool
) -> None:
    assert seen(jobs=(waiting_job(**labels),), pods=pods).fetching is fetching


def test_a_fetch_that_would_go_elsewhere_is_another() -> None:
    assert fetch_hash(hfmodel(nodeSelector={"zone": "b"}), SETTINGS) != fetch_hash(hfmodel(), SETTINGS)
    assert fetch_hash(hfmodel(description="x"), SETTINGS) == fetch_hash(hfmodel(), SETTINGS)


def test_a_job_of_another_source_says_nothing() -> None:
    model = seen(jobs=(job_object(hfmodel(revision="v1"), ended="Complete", annotations={ANNOTATION_OUTCOME: DONE}),))
    assert (model.cached, model.fetching) == (False, False)


def test_a_pod_that_fetched_the_model_itself_tells_so() -> None:
    fetched = container(ended(DONE), name="fetch")
    pods = (pod_object(fetches=True, init_containers=[fetched], source=source_of(hfmodel()).key),)
    model = seen(pods=pods)
    assert (model.cached, model.cache) == (True, CacheStatus(bytes=7, total_bytes=7))


def test_last_words_are_noted_once() -> None:
    job = job_object(hfmodel(), ended="Complete")
    pod = fetch_pod(ended(f"some line\n{DONE}"))
    assert [word for _, word in outcomes_to_note([job], [pod])] == [DONE]
    noted = job_object(hfmodel(), ended="Complete", annotations={ANNOTATION_OUTCOME: DONE})
    assert outcomes_to_note([noted], [pod]) == []


def test_pods_of_another_model_of_that_name_are_not_counted() -> None:
    assert seen(pods=(pod_object(owner="m0"),)).pods == ()


def test_a_model_that_is_being_deleted_is_left_to_the_garbage_collector() -> None:
    thing = model_object()
    thing["metadata"]["deletionTimestamp"] = "2026-03-01T11:59:00Z"
    assert look(models=(thing,)).observed.models == ()


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"phase": "Dreaming", "demand": {"wantedAt": "2026-03-01T11:59:00Z"}}, id="an unknown phase"),
        pytest.param({"conditions": [{"type": "New"}], "demand": {"wantedAt": "2026-03-01T11:59:00Z"}}, id="a type"),
    ],
)
def test_a_status_of_another_version_hides_no_demand(status: Json) -> None:
    model = seen(models=(model_object(status=status),))
    assert model.demand.wanted_at == NOON - timedelta(minutes=1)
    assert model.status.phase is Phase.PENDING


FAILED_POD = pod_object(
    template_hash=HASH,
    containers=[
        container({"terminated": {"exitCode": 1, "message": json.dumps({"reason": "NoSpace", "message": "x"})}})
    ],
)


def test_a_failed_pod_is_counted_once() -> None:
    first = look(pods=(FAILED_POD,))
    second = look(pods=(FAILED_POD,), books=first.books)
    (model,) = second.observed.models
    assert (model.failures, model.last_failed_at) == (1, NOON)
    assert model.last_failure is not None
    assert model.last_failure.reason is Reason.NO_SPACE


EVICTED = pod_object(template_hash=HASH, phase="Failed", reason="Evicted")


def test_a_pod_that_served_and_was_taken_away_is_no_failure() -> None:
    served = look(pods=(pod_object(template_hash=HASH, containers=[serving()], conditions=[READY]),))
    assert seen(pods=(EVICTED,), books=served.books).failures == 0


def test_a_pod_that_was_taken_away_before_it_served_is_a_failed_start() -> None:
    assert seen(pods=(EVICTED,)).failures == 1


def test_a_ready_pod_ends_the_count() -> None:
    books = look(pods=(FAILED_POD,)).books
    ready = pod_object(name="tiny-2", template_hash=HASH, containers=[serving()], conditions=[READY])
    assert seen(pods=(ready,), books=books).failures == 0


def test_a_changed_template_forgets_failures() -> None:
    books = look(pods=(FAILED_POD,)).books
    assert seen(models=(model_object(maxLength=9),), pods=(FAILED_POD,), books=books).failures == 0


def test_a_pod_becomes_ready_once() -> None:
    pod = pod_object(template_hash=HASH, containers=[serving()], conditions=[READY])
    books = look(pods=(pod,)).books
    again = {**READY, "lastTransitionTime": "2026-03-01T11:59:59Z"}
    model = seen(pods=(pod_object(template_hash=HASH, containers=[serving()], conditions=[again]),), books=books)
    assert [(pod.state, pod.ready_at) for pod in model.pods] == [(PodState.READY, NOON - timedelta(seconds=30))]


GIVEN_UP: Json = {
    "phase": "Failed",
    "observedGeneration": 1,
    "conditions": [
        {
            "type": "Ready",
            "status": "False",
            "reason": "WeightsInvalid",
            "message": "torn",
            "lastTransitionTime": "2026-03-01T11:00:00Z",
        }
    ],
}


def test_a_restart_remembers_what_was_given_up() -> None:
    model = seen(models=(model_object(status=GIVEN_UP),))
    assert model.last_failure is not None
    assert (model.last_failure.reason, model.last_failure.message) == (Reason.WEIGHTS_INVALID, "torn")
    assert model.failures == Settings().max_failures


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"observedGeneration": 0}, id="of an older spec"),
        pytest.param({"phase": "Asleep"}, id="that did not fail"),
        pytest.param({"conditions": [{**GIVEN_UP["conditions"][0], "reason": "SecretMissing"}]}, id="of the world"),
    ],
)
def test_a_restart_takes_nothing_else_for_a_failure(change: Json) -> None:
    assert seen(models=(model_object(status={**GIVEN_UP, **change}),)).failures == 0


def test_the_book_of_a_model_that_is_gone_is_closed() -> None:
    assert look(models=(), books={"m1": Book(template_hash="t")}).books == {}
