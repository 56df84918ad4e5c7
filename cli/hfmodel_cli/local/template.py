"""From an HFModel to what a local process is started with, and what of it calls for a new process when it changes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from hfmodel_api.spec import HFModel
from hfmodel_api.status import Reason
from hfmodel_operator.observed import PodFailure
from hfmodel_operator.serving import serve_settings
from hfmodel_operator.source import source_of

_HASH_LENGTH = 16


def environment_of(model: HFModel) -> dict[str, str]:
    return {variable.name: variable.value or "" for variable in model.spec.env}


def template_hash(model: HFModel, path: str) -> str:
    """Two pods with equal hashes are interchangeable. `path`: the model directory, empty while it is not known."""
    template: Mapping[str, Any] = {
        "source": asdict(source_of(model)),
        "settings": serve_settings(model),
        "env": environment_of(model),
        "path": path,
    }
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:_HASH_LENGTH]


def problem_of(model: HFModel) -> PodFailure | None:
    """What the spec asks for that only a cluster has."""
    if model.spec.source.pvc is not None:
        message = "spec.source.pvc needs a cluster; here, name a folder of this machine in spec.source.path"
        return PodFailure(Reason.SOURCE_NOT_SUPPORTED, message, permanent=True)
    for variable in model.spec.env:
        if variable.value_from is not None:
            message = f"spec.env: {variable.name} takes its value from a cluster; here, give it a value"
            return PodFailure(Reason.INVALID_SPEC, message, permanent=True)
    return None
