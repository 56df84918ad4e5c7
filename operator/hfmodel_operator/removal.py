"""Pods that are deleted whatever else is wanted, each with the sentence that says why.

- It retired: it agreed, takes nothing and runs nothing.
- It failed: it will not come up by itself.
- It was not ready within `startTimeout` (downloading does not count); this is a failure that the decider finds.
- It never became ready and has no use: released, of an older template, or more than `maxReplicas`, the newest first.

A ready pod is never in this list.
"""

from datetime import datetime

from hfmodel_api.duration import format_duration
from hfmodel_api.status import Reason
from hfmodel_operator.demand import is_released
from hfmodel_operator.observed import ObservedModel, ObservedPod, PodFailure, PodState, Settings
from hfmodel_operator.plan import DeletePod
from hfmodel_operator.pods import due_at, is_live, is_ready

_COMING = frozenset({PodState.FETCHING, PodState.STARTING})


def removals(model: ObservedModel, now: datetime, settings: Settings) -> tuple[DeletePod, ...]:
    """Which pods go now, in the order in which they were observed."""
    excess, released = _excess(model), is_released(model, now, settings)
    found = []
    for pod in model.pods:
        why, failure = _why(model, pod, released=released, excess=excess), None
        # Only of a pod that would have been of use: a pod of an older template says nothing about this one.
        if not why and (failure := _late(model, pod, now)) is not None:
            why = failure.message
        if why:
            found.append(DeletePod(model.model.id, pod.name, pod.uid, why, failure))
    return tuple(found)


def _why(model: ObservedModel, pod: ObservedPod, *, released: bool, excess: frozenset[str]) -> str:
    if pod.state is PodState.RETIRED:
        return "it retired and runs nothing any more"
    if pod.state is PodState.FAILED:
        return f"it failed: {pod.failure.reason}: {pod.failure.message}" if pod.failure else "it failed"
    if pod.state not in _COMING:
        return ""
    if released:
        return "the model was released before the pod was ready"
    if pod.template_hash != model.template_hash:
        return "the template changed before the pod was ready"
    return "there are more pods than maxReplicas" if pod.uid in excess else ""


def _late(model: ObservedModel, pod: ObservedPod, now: datetime) -> PodFailure | None:
    timeout = model.model.spec.scaling.start_timeout
    if pod.state is not PodState.STARTING or now < due_at(pod, timeout):
        return None
    if pod.failure is not None:
        return PodFailure(pod.failure.reason, f"{pod.failure.message} (for {format_duration(timeout)})")
    if pod.unschedulable:
        return PodFailure(Reason.UNSCHEDULABLE, f"no node had room for the pod within {format_duration(timeout)}")
    return PodFailure(Reason.START_TIMEOUT, f"the pod was not ready within {format_duration(timeout)}")


def _excess(model: ObservedModel) -> frozenset[str]:
    """Pods above maxReplicas that are not ready yet; pods of an older template are not counted."""
    current = [pod for pod in model.pods if is_live(pod) and pod.template_hash == model.template_hash]
    coming = sorted((pod for pod in current if not is_ready(pod)), key=lambda pod: (pod.created_at, pod.name))
    above = len(current) - model.model.spec.scaling.max_replicas
    return frozenset(pod.uid for pod in coming[max(0, len(coming) - above) :]) if above > 0 else frozenset()
