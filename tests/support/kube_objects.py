"""Kubernetes objects as the API server has them, with only what a test is about."""

from datetime import UTC, datetime
from typing import Any

from hfmodel_api.names import API_VERSION, KIND, LABEL_MODEL, LABEL_TEMPLATE_HASH
from hfmodel_api.parse import parse_manifest
from hfmodel_api.spec import HFModel
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.labels import CONTAINER_SERVE, LABEL_ATTEMPT, LABEL_FETCH, LABEL_SOURCE
from hfmodel_operator.cluster.settings import ClusterSettings
from hfmodel_operator.source import source_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CREATED = "2026-03-01T11:59:00Z"
SETTINGS = ClusterSettings(namespace="models", image="runtime:1", cache_claim="cache")
READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-01T11:59:30Z"}


def model_object(*, uid: str = "m1", status: Json | None = None, **spec: Any) -> Json:
    metadata = {"name": "tiny", "namespace": "models", "uid": uid, "generation": 1, "resourceVersion": "1"}
    thing = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": {"model": "org/tiny", **spec}}
    return {**thing, "status": status} if status is not None else thing


def hfmodel(**spec: Any) -> HFModel:
    return parse_manifest(model_object(**spec))


def owned(uid: str = "m1") -> list[Json]:
    return [{"apiVersion": API_VERSION, "kind": KIND, "name": "tiny", "uid": uid, "controller": True}]


def pod_object(
    *,
    name: str = "tiny-1",
    template_hash: str = "t1",
    containers: list[Json] | None = None,
    init_containers: list[Json] | None = None,
    conditions: list[Json] | None = None,
    fetches: bool = False,
    owner: str = "m1",
    going: bool = False,
    source: str = "",
    **status: Any,
) -> Json:
    """A serving pod; the keyword arguments after `going` go into its status."""
    metadata: Json = {
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": "1",
        "creationTimestamp": CREATED,
        "labels": {LABEL_MODEL: "tiny", LABEL_TEMPLATE_HASH: template_hash, LABEL_SOURCE: source},
        "ownerReferences": owned(owner),
    }
    if going:
        metadata["deletionTimestamp"] = CREATED
    spec: Json = {"containers": [{"name": CONTAINER_SERVE, "ports": [{"containerPort": 8080}]}]}
    if fetches:
        spec["initContainers"] = [{"name": "fetch"}]
    found: Json = {"phase": "Pending", "conditions": conditions or [], **status}
    found["containerStatuses"] = containers or []
    found["initContainerStatuses"] = init_containers or []
    return {"metadata": metadata, "spec": spec, "status": found}


def container(state: Json, *, name: str = CONTAINER_SERVE, **status: Any) -> Json:
    return {"name": name, "image": "runtime:1", "restartCount": 0, "ready": False, "state": state, **status}


def serving(**status: Any) -> Json:
    return container({"running": {"startedAt": CREATED}}, **{"started": True, "ready": True, **status})


def job_object(
    model: HFModel, *, name: str = "tiny-fetch-1", attempt: int = 1, ended: str = "", annotations: Any = None
) -> Json:
    """A fetch Job; `ended` is "Complete" or "Failed"."""
    labels = {LABEL_FETCH: model.id, LABEL_SOURCE: source_of(model).key, LABEL_ATTEMPT: str(attempt)}
    condition = {"type": ended, "status": "True", "lastTransitionTime": "2026-03-01T11:59:40Z", "message": "limit"}
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "creationTimestamp": CREATED,
            "labels": labels,
            "annotations": annotations or {},
            "ownerReferences": owned(model.uid),
        },
        "status": {"conditions": [condition] if ended else []},
    }


def fetch_pod(state: Json, *, job: str = "tiny-fetch-1") -> Json:
    return {
        "metadata": {"name": f"{job}-x", "uid": f"uid-{job}-x", "labels": {LABEL_FETCH: "tiny", "job-name": job}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "fetch"}]},
        "status": {"containerStatuses": [container(state, name="fetch")]},
    }
