"""What is read off a Pod and an HFModel."""

from typing import Any

import pytest

from hfmodel_api.status import Phase
from hfmodel_router.kube.objects import read_model, read_pod
from support.router_objects import model_json, pod_json


def test_a_running_ready_pod_serves_at_its_named_port() -> None:
    pod = read_pod(pod_json())
    assert pod is not None
    assert (pod.name, pod.model_id, pod.url, pod.serves) == ("smol-1", "smol", "http://10.0.0.7:9000", True)


@pytest.mark.parametrize(
    ("fields", "serves", "may_serve_soon"),
    [
        ({}, True, False),
        ({"ready": False}, False, True),
        ({"ready": False, "running": False}, False, False),
        ({"ready": False, "address": None}, False, False),
        ({"address": None}, False, False),
        ({"going": True}, False, False),
        ({"ready": False, "going": True}, False, False),
        ({"phase": "Failed", "ready": False}, False, False),
        ({"phase": "Succeeded"}, False, False),
        ({"phase": "Pending", "ready": False, "running": False}, False, False),
    ],
    ids=[
        "ready",
        "not ready yet",
        "container creating",
        "starting without an address",
        "ready without an address",
        "terminating",
        "terminating while it starts",
        "failed",
        "ended",
        "pending",
    ],
)
def test_a_pod_is_judged_by_its_status(fields: dict[str, Any], serves: bool, may_serve_soon: bool) -> None:
    pod = read_pod(pod_json(**fields))
    assert pod is not None
    assert (pod.serves, pod.may_serve_soon) == (serves, may_serve_soon)


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"ports": []}, "http://10.0.0.7:8080"),
        ({"ports": [{"containerPort": 1}]}, "http://10.0.0.7:8080"),
        (
            {"ports": [{"name": "metrics", "containerPort": 1}, {"name": "http", "containerPort": 2}]},
            "http://10.0.0.7:2",
        ),
        ({"address": "fd00::7"}, "http://[fd00::7]:9000"),
    ],
    ids=["no port", "a port without a name", "the one named http", "IPv6"],
)
def test_where_a_pod_listens(fields: dict[str, Any], url: str) -> None:
    pod = read_pod(pod_json(**fields))
    assert pod is not None
    assert pod.url == url


def test_a_container_that_started_anew_is_another_incarnation() -> None:
    first, again = read_pod(pod_json(started="first")), read_pod(pod_json(started="second"))
    assert first is not None
    assert again is not None
    assert first.incarnation != again.incarnation


@pytest.mark.parametrize(
    "document",
    [
        {"metadata": {"name": "other"}},
        {"metadata": {"name": "other", "labels": {"app": "other"}}},
    ],
    ids=["no label", "another label"],
)
def test_a_pod_of_no_model_is_passed_over(document: dict[str, Any]) -> None:
    assert read_pod(document) is None


def test_a_pod_that_was_only_just_created_has_nothing_yet() -> None:
    pod = read_pod({"metadata": {"name": "smol-1", "labels": {"hfmodel.dev/model": "smol"}}, "spec": {}})
    assert pod is not None
    assert (pod.url, pod.serves, pod.may_serve_soon) == (None, False, False)


def test_a_model_comes_with_its_status() -> None:
    record = read_model(model_json(status={"phase": "Asleep", "startSeconds": 2.5, "demand": {}}))
    assert record is not None
    assert (record.model.id, record.status.phase, record.status.start_seconds) == ("smol", Phase.ASLEEP, 2.5)
    assert record.invalid is None


@pytest.mark.parametrize(
    ("spec", "repo"),
    [
        ({"model": "acme/smol", "scaling": {"minReplicas": 3, "maxReplicas": 2}}, "acme/smol"),
        ({"model": "acme/smol", "fromTheFuture": True}, "acme/smol"),
        ({"model": 5}, "smol"),
        ({}, "smol"),
    ],
    ids=["a rule between fields", "an unknown field", "a repo that is none", "an empty spec"],
)
def test_an_invalid_spec_leaves_a_stub_that_can_be_shown(spec: dict[str, Any], repo: str) -> None:
    record = read_model(model_json(spec=spec))
    assert record is not None
    assert (record.model_id, record.model.spec.model) == ("smol", repo)
    assert record.invalid


def test_a_model_whose_name_is_no_id_is_passed_over() -> None:
    assert read_model(model_json("x" * 64)) is None


def test_a_status_that_is_not_understood_hides_no_model() -> None:
    record = read_model(model_json(status={"phase": "FromTheFuture"}))
    assert record is not None
    assert (record.invalid, record.status.phase) == (None, Phase.PENDING)
