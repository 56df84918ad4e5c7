"""Kubernetes' objects as the router sees them: read once off their JSON, only the fields that matter are kept."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from hfmodel_api.errors import InvalidManifest
from hfmodel_api.names import LABEL_MODEL
from hfmodel_api.parse import parse_manifest
from hfmodel_api.spec import HFModel, HFModelSpec
from hfmodel_api.status import HFModelStatus

logger = logging.getLogger(__name__)

Json = Mapping[str, Any]

PORT_NAME = "http"
DEFAULT_PORT = 8080


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """An HFModel and its status."""

    model: HFModel
    status: HFModelStatus
    created: str  # RFC 3339, hence in order of time
    invalid: str | None = None  # what is wrong with the spec; `model` is a stub then

    @property
    def name(self) -> str:
        return self.model.id

    @property
    def model_id(self) -> str:
        return self.model.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A runtime pod."""

    name: str
    model_id: str
    incarnation: str  # changes when a container starts anew, and with another pod of the same name
    url: str | None  # None until it has an address
    ready: bool  # as the kubelet says
    running: bool  # all containers run
    going: bool  # deletion was asked for, or it has ended

    @property
    def serves(self) -> bool:
        return self.ready and not self.going and self.url is not None

    @property
    def may_serve_soon(self) -> bool:
        """It runs, and the kubelet does not call it ready (yet)."""
        return self.running and not self.ready and not self.going and self.url is not None


def read_model(document: Json) -> ModelRecord | None:
    """The HFModel in `document`; None where not even its id can be used."""
    metadata = document["metadata"]
    status = _status(document)
    created = metadata.get("creationTimestamp") or ""
    try:
        return ModelRecord(model=parse_manifest(dict(document)), status=status, created=created)
    except InvalidManifest as error:
        stub = _stub(document)
        if stub is None:
            logger.warning("HFModel without a usable name", extra={"model": metadata.get("name"), "error": str(error)})
            return None
        return ModelRecord(model=stub, status=status, created=created, invalid=str(error))


def read_pod(document: Json) -> Pod | None:
    """The pod in `document`; None where it belongs to no model."""
    metadata, status = document["metadata"], document.get("status") or {}
    model_id = (metadata.get("labels") or {}).get(LABEL_MODEL)
    if not model_id:
        return None
    containers = status.get("containerStatuses") or ()
    phase = status.get("phase")
    started = ",".join(sorted(each.get("containerID") or "" for each in containers))
    return Pod(
        name=metadata["name"],
        model_id=model_id,
        incarnation=f"{metadata.get('uid') or metadata['name']}/{started}",
        url=_url(status.get("podIP"), _port(document)),
        ready=phase == "Running" and _is_true(status, "Ready"),
        running=phase == "Running" and bool(containers) and all(map(_runs, containers)),
        going=bool(metadata.get("deletionTimestamp")) or phase in ("Succeeded", "Failed"),
    )


def _stub(document: Json) -> HFModel | None:
    """An HFModel that lists can show: the id, and the repo where that is readable."""
    metadata = document["metadata"]
    name, spec = metadata.get("name"), document.get("spec")
    repo: Any = spec.get("model") if isinstance(spec, Mapping) else None
    generation = metadata.get("generation") or 1
    for shown in (repo, name):
        try:
            return HFModel(id=name, spec=HFModelSpec(model=shown), generation=generation)
        except ValidationError:
            continue
    return None


def _status(document: Json) -> HFModelStatus:
    try:
        return HFModelStatus.model_validate(document.get("status") or {})
    except ValidationError as error:
        # Written by another version, or by hand: the model itself can still be served.
        details = {"model": document["metadata"].get("name"), "errors": error.error_count()}
        logger.warning("status not understood", extra=details)
        return HFModelStatus()


def _port(document: Json) -> int:
    containers = (document.get("spec") or {}).get("containers") or ()
    ports = (port for container in containers for port in container.get("ports") or ())
    return next((int(port["containerPort"]) for port in ports if port.get("name") == PORT_NAME), DEFAULT_PORT)


def _url(address: str | None, port: int) -> str | None:
    if not address:
        return None
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def _is_true(status: Json, condition: str) -> bool:
    conditions = status.get("conditions") or ()
    return any(each.get("type") == condition and each.get("status") == "True" for each in conditions)


def _runs(container: Json) -> bool:
    return "running" in (container.get("state") or {})
