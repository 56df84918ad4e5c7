"""How a model came up the last time: what its youngest ready pod tells of itself, and what went before.

Kubernetes' times are whole seconds, so in a cluster `decide`, `schedule`, `container` and `seen` are right to a second;
what the process measured itself is exact. The clocks of nodes may differ; a stage is never less than nothing.
"""

from datetime import datetime

from hfmodel_api.status import LastStart
from hfmodel_api.wire import Stage
from hfmodel_operator.observed import ObservedModel, ObservedPod
from hfmodel_operator.pods import is_ready


def last_start(model: ObservedModel) -> LastStart | None:
    """Of the youngest ready pod; what was written before where none has told yet, and where it speaks of that pod."""
    told = [pod for pod in model.pods if is_ready(pod) and pod.activity is not None and pod.activity.start is not None]
    written = model.status.last_start
    if not told:
        return written
    pod = max(told, key=lambda each: (each.created_at, each.name))
    if written is not None and written.at == pod.created_at:
        return written
    return LastStart(at=pod.created_at, stages=_stages(pod, wanted_at=model.demand.wanted_at))


def _stages(pod: ObservedPod, *, wanted_at: datetime | None) -> dict[str, float]:
    start = None if pod.activity is None else pod.activity.start
    if start is None:
        return {}
    stages: dict[str, float] = {}
    # A want is written again while somebody waits; one that is later than the pod says nothing of the first.
    if wanted_at is not None and wanted_at <= pod.created_at:
        stages[Stage.DECIDE] = _seconds(wanted_at, pod.created_at)
    if pod.scheduled_at is not None:
        stages[Stage.SCHEDULE] = _seconds(pod.created_at, pod.scheduled_at)
    since = max(filter(None, (pod.created_at, pod.scheduled_at, pod.starting_since)))
    stages[Stage.CONTAINER] = _seconds(since, start.began_at)
    stages |= start.stages
    if pod.ready_at is not None:
        seen = _seconds(start.began_at, pod.ready_at) - sum(start.stages.values())
        stages[Stage.SEEN] = round(max(0.0, seen), 3)
    return stages


def _seconds(earlier: datetime, later: datetime) -> float:
    return round(max(0.0, (later - earlier).total_seconds()), 3)
