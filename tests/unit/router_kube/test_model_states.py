"""From an HFModel and its pods to what the router decides on."""

from typing import Any

import pytest

from hfmodel_api.status import CacheStatus, Phase, Reason
from hfmodel_router.fleet import Endpoint, ModelState, Problem
from hfmodel_router.kube.objects import Pod, read_model, read_pod
from hfmodel_router.kube.states import model_state
from support.router_objects import model_json, pod_json, ready_condition

FAILED = {"phase": "Failed", "conditions": [ready_condition("False", "RepoNotFound", "no such repository")]}


def state(document: dict[str, Any], *pods: dict[str, Any], answering: tuple[str, ...] = ()) -> ModelState:
    record = read_model(document)
    assert record is not None
    return model_state(record, [pod_of(pod) for pod in pods], answering=answering)


def pod_of(document: dict[str, Any]) -> Pod:
    pod = read_pod(document)
    assert pod is not None
    return pod


def test_ready_pods_are_endpoints_in_a_fixed_order() -> None:
    pods = pod_json("b", address="10.0.0.2"), pod_json("a", address="10.0.0.1"), pod_json("c", ready=False)
    found = state(model_json(status={"phase": "Starting"}), *pods)
    assert found.endpoints == (Endpoint("a", "http://10.0.0.1:9000"), Endpoint("b", "http://10.0.0.2:9000"))
    assert found.phase is Phase.READY


def test_a_pod_that_said_itself_that_it_is_ready_is_an_endpoint() -> None:
    starting = pod_json(ready=False)
    assert state(model_json(), starting).endpoints == ()
    assert state(model_json(), starting, answering=(pod_of(starting).incarnation,)).loaded


def test_what_a_pod_said_does_not_count_once_it_is_going() -> None:
    going = pod_json(ready=False, going=True)
    assert not state(model_json(), going, answering=(pod_of(going).incarnation,)).loaded


def test_the_status_is_shown() -> None:
    status = {
        "phase": "Asleep",
        "conditions": [ready_condition("True", "Asleep", "wakes at the next request")],
        "startSeconds": 2.5,
        "lastActiveTime": "2026-01-01T00:00:00Z",
        "resolvedRevision": "a" * 40,
        "cache": {"bytes": 5, "totalBytes": 10},
    }
    found = state(model_json(spec={"model": "acme/smol", "tokenSecretRef": {"name": "hf"}}, status=status))
    assert (found.phase, found.message, found.start_seconds) == (Phase.ASLEEP, "wakes at the next request", 2.5)
    assert found.cache == CacheStatus(bytes=5, total_bytes=10)
    assert found.resolved_revision == "a" * 40
    assert found.last_active is not None
    assert found.has_token
    assert found.problem is None


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (FAILED, Problem("RepoNotFound", "no such repository")),
        ({**FAILED, "phase": "Starting"}, None),
        ({"phase": "Failed"}, None),
        ({"phase": "Failed", "conditions": [ready_condition("Unknown", "Starting")]}, None),
        ({"phase": "Failed", "conditions": [ready_condition("False", "Gated", observedGeneration=1)]}, None),
        (
            {"phase": "Failed", "conditions": [ready_condition("False", "Gated", observedGeneration=2)]},
            Problem("Gated", ""),
        ),
    ],
    ids=["failed", "tried again", "no condition", "not known", "of an older spec", "of this spec"],
)
def test_a_failure_is_a_problem_while_it_stands(status: dict[str, Any], problem: Problem | None) -> None:
    assert state(model_json(status=status, generation=2)).problem == problem


def test_a_model_that_serves_has_no_problem() -> None:
    assert state(model_json(status=FAILED), pod_json()).problem is None


def test_an_invalid_spec_is_a_problem() -> None:
    found = state(model_json(spec={"model": "acme/smol", "typo": 1}))
    assert found.problem is not None
    assert found.problem.reason == Reason.INVALID_SPEC
    assert "spec.typo" in found.problem.message
    assert found.phase is Phase.FAILED


def test_an_invalid_spec_stops_no_pod_that_serves() -> None:
    found = state(model_json(spec={"model": "acme/smol", "typo": 1}), pod_json())
    assert (found.problem, found.phase, found.loaded) == (None, Phase.READY, True)
