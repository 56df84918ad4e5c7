"""From an HFModel to its pod, and what of it calls for a new pod when it changes. Pure."""

import hashlib
import json
import secrets
from typing import Any, Final

from hfmodel_api.names import LABEL_MANAGED_BY, LABEL_MODEL, LABEL_TEMPLATE_HASH
from hfmodel_api.spec import HFModel
from hfmodel_api.wire import PATH_HEALTHZ, PATH_READYZ
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.containers import (
    LINK,
    LINK_MOUNT,
    TERMINATION_LOG,
    container_security,
    fetch_container,
    model_mounts,
    model_volumes,
    owner_reference,
    pod_basics,
)
from hfmodel_operator.cluster.fetch_settings import environment_entries
from hfmodel_operator.cluster.labels import CONTAINER_SERVE, LABEL_SOURCE, MANAGER
from hfmodel_operator.cluster.placement import profile_of, serving_placement
from hfmodel_operator.cluster.settings import ClusterSettings
from hfmodel_operator.serving import serve_options, serve_settings
from hfmodel_operator.source import Fetched, source_of

PORT_NAME: Final = "http"
_HASH_LENGTH: Final = 16
_GRACE_SECONDS: Final = 15  # beyond what the runtime takes to drain
# The operator judges by `startTimeout`; the kubelet must not end a start before that.
_STARTUP_SECONDS: Final = 24 * 3600


def pod_manifest(
    model: HFModel, settings: ClusterSettings, *, name: str, fetched: Fetched | None, keep: bool = True
) -> Json:
    """A serving pod. Without `fetched` it fetches the model itself, before it serves; `keep` as in `fetch_container`.

    `model.spec.gpu.profile`, if set, is one of `settings`.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {
                LABEL_MODEL: model.id,
                LABEL_TEMPLATE_HASH: template_hash(model, settings),
                LABEL_MANAGED_BY: MANAGER,
                LABEL_SOURCE: source_of(model).key,
                "app.kubernetes.io/name": "hfmodel-runtime",
            },
            "ownerReferences": [owner_reference(model)],
        },
        "spec": _pod_spec(model, settings, fetched, keep=keep),
    }


def new_pod_name(model: HFModel) -> str:
    return f"{model.id}-{secrets.token_hex(3)}"


def template_hash(model: HFModel, settings: ClusterSettings) -> str:
    """Two pods with equal hashes are interchangeable, whether they fetch or not."""
    spec = _pod_spec(model, settings, None, keep=False)
    # How the weights are fetched (by which token, image and limit, from which mirror) makes no other pod.
    del spec["initContainers"]
    template = {"spec": spec, "source": source_of(model).key}
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:_HASH_LENGTH]


def _pod_spec(model: HFModel, settings: ClusterSettings, fetched: Fetched | None, *, keep: bool) -> Json:
    volumes = model_volumes(model, settings)
    pod: Json = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": settings.drain_delay + settings.drain_timeout + _GRACE_SECONDS,
        "containers": [_serve_container(model, settings, fetched)],
    }
    if fetched is None:
        pod["initContainers"] = [fetch_container(model, settings, link=True, keep=keep)]
        volumes.append({"name": "link", "emptyDir": {}})
    return pod | serving_placement(model, settings) | pod_basics(settings, volumes=volumes)


def _image(model: HFModel, settings: ClusterSettings) -> str:
    """The model's own, else its GPU profile's, else the installation's."""
    for_gpus = "" if model.spec.gpu is None else profile_of(model, settings).image or settings.gpu_image
    return model.spec.image or for_gpus or settings.image


def _serve_container(model: HFModel, settings: ClusterSettings, fetched: Fetched | None) -> Json:
    mounts = model_mounts(model, read_only=True)
    if fetched is None:
        mounts.append({"name": "link", "mountPath": LINK_MOUNT, "readOnly": True})
    return {
        "name": CONTAINER_SERVE,
        "image": _image(model, settings),
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["hfmodel-runtime"],
        "args": _serve_arguments(model, settings, fetched),
        "env": _environment(model),
        "ports": [{"name": PORT_NAME, "containerPort": settings.runtime_port, "protocol": "TCP"}],
        "resources": _resources(model, settings),
        "volumeMounts": mounts,
        "securityContext": container_security(),
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "startupProbe": _probe(PATH_READYZ, period=1, failures=_STARTUP_SECONDS),
        "readinessProbe": _probe(PATH_READYZ, period=2, failures=2),
        "livenessProbe": _probe(PATH_HEALTHZ, period=10, failures=6),
    }


def _serve_arguments(model: HFModel, settings: ClusterSettings, fetched: Fetched | None) -> list[str]:
    options: dict[str, Any] = {
        "model_dir": fetched.path if fetched else LINK,
        **serve_settings(model),
        "revision": fetched.revision if fetched else None,
        "host": "0.0.0.0",
        "port": settings.runtime_port,
        "drain_delay": settings.drain_delay,
        "drain_timeout": settings.drain_timeout,
        "termination_log": TERMINATION_LOG,
    }
    return ["serve", *serve_options(options)]


def _environment(model: HFModel) -> list[Json]:
    own = {"HOME": "/tmp", "HF_HUB_OFFLINE": "1"}  # noqa: S108 - a volume of the pod's own
    given = environment_entries(model.spec.env)
    return [variable for variable in given if variable["name"] not in own] + [
        {"name": name, "value": value} for name, value in own.items()
    ]


def _resources(model: HFModel, settings: ClusterSettings) -> Json:
    requests: dict[str, Any] = dict(model.spec.resources.requests)
    limits: dict[str, Any] = dict(model.spec.resources.limits)
    if model.spec.gpu is not None:
        resource = profile_of(model, settings).resource_name
        requests[resource] = limits[resource] = model.spec.gpu.count
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def _probe(path: str, *, period: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": PORT_NAME},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
