"""Why a pod does not come up, in words a person can act on: read off what scheduler and kubelet say of it.

A container that ended on its own is left to the kubelet, which restarts it, until that has become a crash loop; unless
it said itself why (`wire.Failure` in its termination message), or ran out of memory: then the same would happen again.
"""

import re
from typing import Final

from hfmodel_api.status import Reason
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.labels import CONTAINER_FETCH
from hfmodel_operator.cluster.objects import condition, container_status, status_of
from hfmodel_operator.last_word import parse_failure as parse_failure
from hfmodel_operator.observed import PodFailure

_MESSAGE_LENGTH: Final = 600
_TAIL_LINES: Final = 5
_PULLING: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_NOT_CREATED: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_NEVER_PULLED: Final = re.compile(r"not found|manifest unknown|unauthorized|denied|does not exist", re.IGNORECASE)
# Reasons of a pod's end that kubelet, scheduler and node controller give: eviction, preemption, shutdown, loss.
_TAKEN: Final = frozenset(
    {"Evicted", "Preempting", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "NodeAffinity"}
)
_NOT_ADMITTED: Final = ("OutOf", "UnexpectedAdmissionError")  # the node had less left than the scheduler thought
_OUT_OF_MEMORY: Final = re.compile(r"low on resource: memory|MemoryPressure")
_TOO_BIG: Final = (
    "the container needs more memory than its limit: raise spec.resources.limits.memory, or use a smaller dtype"
)
_FETCH_TOO_BIG: Final = (
    "the download needs more memory than it may have (weights that are no safetensors are converted in memory): raise "
    "limits.memory of the Helm value fetch.resources, or the default limit of the namespace; where there is no limit, "
    "raise requests.memory there, for the node had too little"
)
_SECRET: Final = re.compile(r"\bsecret\b", re.IGNORECASE)
_CLAIM: Final = re.compile(r"persistentvolumeclaim", re.IGNORECASE)


def waiting_for(pod: Json) -> PodFailure | None:
    """Why no node has taken the pod, in the scheduler's words."""
    found = condition(pod, "PodScheduled", "False")
    if found is None or found.get("reason") != "Unschedulable":
        return None
    message = str(found.get("message") or "no node has room for the pod")
    reason = Reason.VOLUME_NOT_BOUND if _CLAIM.search(message) else Reason.UNSCHEDULABLE
    return PodFailure(reason, _cut(message))


def pod_failure(pod: Json) -> PodFailure | None:
    """Why the pod as a whole has ended, or its node is lost."""
    status = status_of(pod)
    word = str(status.get("reason") or "")
    if status.get("phase") not in ("Failed", "Succeeded") and word != "NodeLost":
        return None
    disrupted = condition(pod, "DisruptionTarget", "True") or {}
    message = str(status.get("message") or disrupted.get("message") or word or "its containers ended")
    if word in _TAKEN or disrupted or word.startswith(_NOT_ADMITTED):
        # An eviction for want of memory is told as such: the kubelet names who used it.
        reason = Reason.OUT_OF_MEMORY if _OUT_OF_MEMORY.search(message) else Reason.UNSCHEDULABLE
        return PodFailure(reason, _cut(f"the cluster took the pod away: {message}"), taken=True)
    return PodFailure(Reason.CRASH_LOOP, _cut(f"the pod has ended: {message}"))


def container_failure(pod: Json, container: str) -> PodFailure | None:
    """Why a container will not come up by itself; None while it may."""
    status = container_status(pod, container)
    state = status.get("state") or {}
    if ended := state.get("terminated"):
        return None if ended.get("exitCode") == 0 else _ended(ended, container, final=_is_final(pod))
    waiting = state.get("waiting") or {}
    reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    if reason in _PULLING:
        return _not_pulled(reason, message, image=str(status.get("image") or ""))
    if reason in _NOT_CREATED:
        kind = Reason.SECRET_MISSING if _SECRET.search(message) else Reason.CRASH_LOOP
        return PodFailure(kind, _cut(f"the container {container!r} cannot be created: {message or reason}"))
    if reason == "CrashLoopBackOff":
        return _ended((status.get("lastState") or {}).get("terminated") or {}, container, final=True)
    return None


def said(pod: Json, container: str) -> str:
    """The termination message of a container that has ended; empty if it left none."""
    ended = (container_status(pod, container).get("state") or {}).get("terminated") or {}
    return str(ended.get("message") or "")


def _is_final(pod: Json) -> bool:
    return bool(pod["spec"].get("restartPolicy") == "Never")


def _ended(ended: Json, container: str, *, final: bool) -> PodFailure | None:
    message = str(ended.get("message") or "")
    if (failure := parse_failure(message)) is not None:
        return failure
    if ended.get("reason") == "OOMKilled":
        return PodFailure(Reason.OUT_OF_MEMORY, _FETCH_TOO_BIG if container == CONTAINER_FETCH else _TOO_BIG)
    if not final:
        return None
    tail = " | ".join([line.strip() for line in message.splitlines() if line.strip()][-_TAIL_LINES:])
    text = f"the container ended with exit code {ended.get('exitCode', 'unknown')}"
    return PodFailure(Reason.CRASH_LOOP, _cut(f"{text}: {tail}" if tail else text))


def _not_pulled(reason: str, message: str, *, image: str) -> PodFailure | None:
    never = reason in ("InvalidImageName", "ErrImageNeverPull") or _NEVER_PULLED.search(message) is not None
    if reason == "ErrImagePull" and not never:
        return None  # the kubelet tries again at once; the next failure is a back-off
    text = message or reason
    return PodFailure(Reason.IMAGE_PULL_FAILED, _cut(f"the image {image} cannot be pulled: {text}"), permanent=never)


def _cut(text: str) -> str:
    return text if len(text) <= _MESSAGE_LENGTH else f"{text[:_MESSAGE_LENGTH]}…"
