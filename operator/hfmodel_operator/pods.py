"""What one pod tells: whether it serves, whether it is known to be idle, and since when."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from hfmodel_operator.observed import ObservedPod, PodState

_LIVE = frozenset({PodState.FETCHING, PodState.STARTING, PodState.READY})


def is_live(pod: ObservedPod) -> bool:
    """It serves, or will by itself."""
    return pod.state in _LIVE


def is_ready(pod: ObservedPod) -> bool:
    return pod.state is PodState.READY


def was_taken(pod: ObservedPod) -> bool:
    """It served, and was taken away. One that never served may be taken again and again: that is a failed start."""
    return pod.state is PodState.FAILED and pod.failure is not None and pod.failure.taken and pod.ready_at is not None


def known_idle(pod: ObservedPod) -> bool:
    """It is ready and said that it has nothing to do; a pod that did not answer is not idle."""
    return is_ready(pod) and pod.activity is not None and not pod.activity.busy


def settled_at(pod: ObservedPod, residency: timedelta, now: datetime) -> datetime:
    """When it has been ready for `residency`; now, if it became ready in the future (the clock was set back)."""
    ready_at = pod.ready_at or pod.created_at
    return ready_at + residency if ready_at <= now else now


def quiet_since(pod: ObservedPod, now: datetime) -> datetime | None:
    """When its last request ended, as far as it has told; None where it has not."""
    if pod.activity is None:
        return None
    told_at = pod.activity_at or now
    return told_at if pod.activity.busy else told_at - timedelta(seconds=max(0.0, pod.activity.idle_seconds))


def due_at(pod: ObservedPod, start_timeout: timedelta) -> datetime:
    """When a starting pod must be ready; downloading is not starting."""
    return (pod.starting_since or pod.created_at) + start_timeout


def in_flight(pods: Iterable[ObservedPod]) -> int:
    """Requests running or queued in those pods that told."""
    return sum(pod.activity.running + pod.activity.queued for pod in pods if pod.activity is not None)
