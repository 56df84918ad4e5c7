"""HFModels and Pods as an API server writes them, with what the router reads."""

from typing import Any

from hfmodel_api.names import API_VERSION, KIND, LABEL_MODEL


def model_json(
    name: str = "smol",
    *,
    spec: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
    created: str = "2026-01-01T00:00:00Z",
    generation: int = 1,
) -> dict[str, Any]:
    metadata = {"name": name, "uid": f"uid-of-{name}", "creationTimestamp": created, "generation": generation}
    document: dict[str, Any] = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata}
    document["spec"] = {"model": f"acme/{name}"} if spec is None else spec
    return document if status is None else {**document, "status": status}


def ready_condition(status: str, reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"type": "Ready", "status": status, "reason": reason, "message": message, **more}


def pod_json(
    name: str = "smol-1",
    *,
    model: str = "smol",
    address: str | None = "10.0.0.7",
    ready: bool = True,
    running: bool = True,
    going: bool = False,
    phase: str = "Running",
    ports: list[dict[str, Any]] | None = None,
    started: str = "first",
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "uid": f"uid-of-{name}", "labels": {LABEL_MODEL: model}}
    if going:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    status: dict[str, Any] = {
        "phase": phase,
        "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": str(ready)}],
        "containerStatuses": [
            {"containerID": started, "state": {"running": {}} if running else {"waiting": {"reason": "Creating"}}}
        ],
    }
    if address is not None:
        status["podIP"] = address
    containers = [{"name": "serve", "ports": [{"name": "http", "containerPort": 9000}] if ports is None else ports}]
    return {"metadata": metadata, "spec": {"containers": containers}, "status": status}
