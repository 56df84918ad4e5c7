"""The parts that containers of serving and of fetching pods share. Builders return new values and change nothing."""

from collections.abc import Iterable
from typing import Any, Final

from hfmodel_api.names import API_VERSION, KIND
from hfmodel_api.spec import HFModel
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.fetch_settings import environment_entries
from hfmodel_operator.cluster.labels import CONTAINER_FETCH, KEEP_MAP
from hfmodel_operator.cluster.settings import ClusterSettings
from hfmodel_operator.source import source_of

TERMINATION_LOG: Final = "/dev/termination-log"
CACHE_MOUNT: Final = "/cache"
SOURCE_MOUNT: Final = "/source"
LINK_MOUNT: Final = "/run/hfmodel"
LINK: Final = f"{LINK_MOUNT}/model"  # a symbolic link to the model directory, which only the fetch knows
_USER: Final = 65532  # nobody in particular; not root
_KEEP_VARIABLES: Final = tuple(f"HFMODEL_CACHE_{name}" for name in ("LIMIT", "KEEPER", "KEEP", "KEEP_AS_OF"))


def owner_reference(model: HFModel) -> Json:
    """`controller`: drains and autoscalers take what has it for managed. It goes with its owner."""
    return {"apiVersion": API_VERSION, "kind": KIND, "name": model.id, "uid": model.uid, "controller": True}


def pod_security() -> Json:
    """With `container_security`, the Restricted Pod Security Standard."""
    return {
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "runAsGroup": _USER,
        "fsGroup": _USER,
        # Else a kubelet changes the owner of every file of the cache at every start.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Json:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def fetch_container(model: HFModel, settings: ClusterSettings, *, link: bool, keep: bool) -> Json:
    """Brings the weights into the cache: the one container that gets the token and may write there.

    `keep`: it goes by the ConfigMap that says what must stay, and how large the cache may become.
    """
    source = source_of(model).arguments(cache_dir=CACHE_MOUNT, mount=SOURCE_MOUNT)
    arguments = ["fetch", *source, "--termination-log", TERMINATION_LOG]
    mounts = model_mounts(model, read_only=False)
    if link:
        arguments += ["--link", LINK]
        mounts.append({"name": "link", "mountPath": LINK_MOUNT})
    return {
        "name": CONTAINER_FETCH,
        "image": model.spec.image or settings.image,  # also of a model that is served on GPUs: fetching needs none
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["hfmodel-runtime"],
        "args": arguments,
        "env": [
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 - a volume of the pod's own
            *(_kept() if keep else ()),
            *_hub(settings),
            *environment_entries(settings.fetch_env),
            *_token(model, settings),
        ],
        "resources": settings.fetch_resources.model_dump(mode="json", exclude_defaults=True),
        "volumeMounts": mounts,
        "securityContext": container_security(),
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _kept() -> list[Json]:
    references = ({"name": KEEP_MAP, "key": name, "optional": True} for name in _KEEP_VARIABLES)
    return [{"name": each["key"], "valueFrom": {"configMapKeyRef": each}} for each in references]


def _hub(settings: ClusterSettings) -> list[Json]:
    """For all models: one that names a mirror of its own has it as an argument, which goes before."""
    hub = {"HF_ENDPOINT": settings.hub_endpoint, "HF_HUB_OFFLINE": "1" if settings.hub_offline else ""}
    return [{"name": name, "value": value} for name, value in hub.items() if value]


def _token(model: HFModel, settings: ClusterSettings) -> list[Json]:
    own, shared = model.spec.token_secret_ref, settings.token_secret
    if own is not None:
        reference: dict[str, Any] = {"name": own.name, "key": own.key}
    elif shared is not None:
        # Not every installation has one, and most models need none.
        reference = {"name": shared.name, "key": shared.key, "optional": True}
    else:
        return []
    return [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": reference}}]


def model_mounts(model: HFModel, *, read_only: bool) -> list[Json]:
    mounts: list[Json] = [
        {"name": "cache", "mountPath": CACHE_MOUNT, "readOnly": read_only},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
    ]
    if source_of(model).claim is not None:
        mounts.append({"name": "source", "mountPath": SOURCE_MOUNT, "readOnly": True})
    return mounts


def model_volumes(model: HFModel, settings: ClusterSettings) -> list[Json]:
    volumes: list[Json] = [
        {"name": "cache", "persistentVolumeClaim": {"claimName": settings.cache_claim}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if (claim := source_of(model).claim) is not None:
        # Not read-only here: the cache itself may be what it names, and a pod mounts a claim in one way.
        volumes.append({"name": "source", "persistentVolumeClaim": {"claimName": claim}})
    return volumes


def pod_basics(settings: ClusterSettings, *, volumes: Iterable[Json]) -> Json:
    """What every pod of ours has in its spec."""
    basics: Json = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "volumes": list(volumes),
    }
    if settings.image_pull_secrets:
        basics["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    return basics
