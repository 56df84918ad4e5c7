"""From a pod, as the API server has it, to what the decider looks at. Pure.

- It was ready once: the kubelet says so (`started`, by the startup probe), for as long as the container runs. From then
  on it is READY or, if it said so, RETIRED. A readiness that comes and goes makes it no starting pod again.
- One that has not been ready for a minute, though it was, is gone for good: its node is lost, or it hangs.
- A container that the kubelet restarts is a start of its own.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hfmodel_api.names import LABEL_TEMPLATE_HASH
from hfmodel_api.status import Reason
from hfmodel_api.wire import Activity
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.failures import container_failure, pod_failure, waiting_for
from hfmodel_operator.cluster.labels import CONTAINER_FETCH, CONTAINER_SERVE
from hfmodel_operator.cluster.objects import (
    condition,
    container_status,
    has_init_container,
    labels_of,
    name_of,
    time_at,
    uid_of,
)
from hfmodel_operator.observed import ObservedPod, PodFailure, PodState

UNREADY_LIMIT: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a pod said of itself, or was asked. `activity` None: it did not answer."""

    activity: Activity | None = None
    at: datetime | None = None
    retired: bool = False  # it agreed to go, and nothing since says otherwise


def observed_pod(pod: Json, heard: Heard, now: datetime) -> ObservedPod:
    failure = _failure(pod, now)
    waiting = waiting_for(pod)
    state = _state(pod, heard, failed=failure is not None)
    created_at = time_at(pod["metadata"], "creationTimestamp") or now
    return ObservedPod(
        name=name_of(pod),
        uid=uid_of(pod),
        template_hash=labels_of(pod).get(LABEL_TEMPLATE_HASH, ""),
        state=state,
        created_at=created_at,
        scheduled_at=_scheduled_at(pod),
        starting_since=_starting_since(pod),
        ready_at=_ready_at(pod, now) if state in (PodState.READY, PodState.RETIRED) else None,
        activity=heard.activity,
        activity_at=heard.at,
        failure=failure if state is PodState.FAILED else waiting if state is PodState.STARTING else None,
        unschedulable=state is PodState.STARTING and waiting is not None and waiting.reason is Reason.UNSCHEDULABLE,
    )


def has_served(pod: Json) -> bool:
    """Its container runs and was ready at least once: worth asking what it does."""
    status = container_status(pod, CONTAINER_SERVE)
    running = "running" in (status.get("state") or {})
    return running and bool(status.get("started") or status.get("ready"))


def _state(pod: Json, heard: Heard, *, failed: bool) -> PodState:
    if "deletionTimestamp" in pod["metadata"]:
        return PodState.GOING
    if failed:
        return PodState.FAILED
    if has_served(pod):
        said = heard.retired or (heard.activity is not None and heard.activity.retired)
        return PodState.RETIRED if said else PodState.READY
    if "running" in (container_status(pod, CONTAINER_FETCH).get("state") or {}):
        return PodState.FETCHING
    return PodState.STARTING


def _failure(pod: Json, now: datetime) -> PodFailure | None:
    if (failure := pod_failure(pod)) is not None:
        return failure
    if has_init_container(pod, CONTAINER_FETCH) and (failure := container_failure(pod, CONTAINER_FETCH)) is not None:
        return failure
    return container_failure(pod, CONTAINER_SERVE) or _lost(pod, now)


def _lost(pod: Json, now: datetime) -> PodFailure | None:
    unready = condition(pod, "Ready")
    if unready is None or unready["status"] == "True" or not has_served(pod):
        return None
    since = time_at(unready, "lastTransitionTime")
    if since is None or now - since < UNREADY_LIMIT:
        return None
    text = f"the pod was ready, and then not for {UNREADY_LIMIT.seconds} s: it hangs, or its node is lost"
    return PodFailure(Reason.CRASH_LOOP, text, taken=True)


def _scheduled_at(pod: Json) -> datetime | None:
    scheduled = condition(pod, "PodScheduled", "True")
    return time_at(scheduled, "lastTransitionTime") if scheduled else None


def _starting_since(pod: Json) -> datetime | None:
    serve = container_status(pod, CONTAINER_SERVE)
    running = (serve.get("state") or {}).get("running") or {}
    if serve.get("restartCount") and (restarted := time_at(running, "startedAt")) is not None:
        return restarted
    fetch = (container_status(pod, CONTAINER_FETCH).get("state") or {}).get("terminated") or {}
    return time_at(fetch, "finishedAt")


def _ready_at(pod: Json, now: datetime) -> datetime:
    ready = condition(pod, "Ready", "True")
    return (time_at(ready, "lastTransitionTime") if ready else None) or now
