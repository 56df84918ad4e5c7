"""What a model needs and the cluster may lack: GPU profiles, secrets, volumes. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from hfmodel_api.spec import HFModel
from hfmodel_api.status import Reason
from hfmodel_operator.cluster.api import CLAIMS, SECRETS, Resource
from hfmodel_operator.cluster.settings import ClusterSettings
from hfmodel_operator.observed import PodFailure
from hfmodel_operator.source import source_of


class Need(NamedTuple):
    """An object that must be there before a pod can start. A tuple: a thousand of them are looked up in every round."""

    resource: Resource
    name: str


# Whether it is there; absent: not known, which is no problem (the kubelet will tell).
Facts = Mapping[Need, bool]


def needs(model: HFModel, settings: ClusterSettings, *, cached: bool) -> tuple[Need, ...]:
    found = [Need(CLAIMS, settings.cache_claim)]
    if (claim := source_of(model).claim) is not None:
        found.append(Need(CLAIMS, claim))
    if model.spec.token_secret_ref is not None and not cached:
        found.append(Need(SECRETS, model.spec.token_secret_ref.name))
    return tuple(found)


def problem_of(model: HFModel, settings: ClusterSettings, facts: Facts, *, cached: bool) -> PodFailure | None:
    """Why no pod of this model can start, as far as is known before there is one."""
    spec = model.spec
    if spec.source.path is not None:
        message = "spec.source.path is a path of one machine, for `hfmodel up`; in a cluster, use spec.source.pvc"
        return PodFailure(Reason.SOURCE_NOT_SUPPORTED, message, permanent=True)
    if spec.gpu is not None and spec.gpu.profile is not None and spec.gpu.profile not in settings.profiles:
        known = ", ".join(sorted(settings.profiles)) or "none"
        message = f"there is no GPU profile {spec.gpu.profile!r}; this installation has: {known}"
        return PodFailure(Reason.PROFILE_UNKNOWN, message, permanent=True)
    missing = [need for need in needs(model, settings, cached=cached) if facts.get(need) is False]
    return _missing(missing[0]) if missing else None


def _missing(need: Need) -> PodFailure:
    if need.resource is SECRETS:
        message = f"there is no Secret {need.name!r}, which spec.tokenSecretRef names: create it, in the same namespace"
        return PodFailure(Reason.SECRET_MISSING, message)
    return PodFailure(Reason.VOLUME_NOT_BOUND, f"there is no PersistentVolumeClaim {need.name!r}")
