"""On which nodes the pods of a model may run: those that serve, and those that only fetch. Pure.

A fetch goes where the model may run, because the volume of the cache may come to lie on the node, or in the zone, of
the first pod that mounts it. It needs no GPU, though: it must not wait for a node with one, nor have one added by an
autoscaler. So what the manifest says of nodes holds for it as well, what the GPU profile says is only preferred, and
the profile's taints are tolerated.
"""

from hfmodel_api.spec import HFModel
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.profiles import Profile
from hfmodel_operator.cluster.settings import ClusterSettings

_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def profile_of(model: HFModel, settings: ClusterSettings) -> Profile:
    """The model's GPU profile; one that says nothing where it names none."""
    gpu = model.spec.gpu
    return Profile() if gpu is None or gpu.profile is None else settings.profiles.get(gpu.profile, Profile())


def serving_placement(model: HFModel, settings: ClusterSettings) -> Json:
    """Fields of a pod's spec, without those that say nothing."""
    spec, profile = model.spec, profile_of(model, settings)
    return _said(
        {
            "nodeSelector": {**profile.node_selector, **spec.node_selector},
            "tolerations": [*profile.tolerations, *spec.tolerations],
            "affinity": spec.affinity,
            "runtimeClassName": profile.runtime_class_name,
            "priorityClassName": spec.priority_class_name,
            "serviceAccountName": spec.service_account_name,
        }
    )


def fetching_placement(model: HFModel, settings: ClusterSettings) -> Json:
    """The same for a pod that only fetches.

    Affinity to other pods is left out: it is between pods that serve, and one that fetches has not their labels.
    """
    spec, profile = model.spec, profile_of(model, settings)
    nodes = _preferring(profile.node_selector, dict(spec.affinity.get("nodeAffinity") or {}))
    return _said(
        {
            "nodeSelector": dict(spec.node_selector),
            "tolerations": [*profile.tolerations, *spec.tolerations],
            "affinity": {"nodeAffinity": nodes} if nodes else {},
            # Policies go by the account: one that lets the model's pods run has to let this one.
            "serviceAccountName": spec.service_account_name,
        }
    )


def _preferring(labels: dict[str, str], affinity: Json) -> Json:
    """`affinity` to nodes, with a preference for those that have all of `labels`."""
    if not labels:
        return affinity
    wanted = [{"key": key, "operator": "In", "values": [value]} for key, value in labels.items()]
    term = {"weight": 100, "preference": {"matchExpressions": wanted}}
    return {**affinity, _PREFERRED: [*(affinity.get(_PREFERRED) or ()), term]}


def _said(fields: Json) -> Json:
    return {key: value for key, value in fields.items() if value}
