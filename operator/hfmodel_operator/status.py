"""The status to write. Nothing is written that is already so, and what only ticks is written in steps.

`lastActiveTime` moves in steps of `ACTIVE_STEP`, the download's bytes by a hundredth of the total, its speed with them;
both are exact whenever something else changes, also where a speed becomes known or is no longer. `lastActiveTime` is
exact also when it passes the last want: it is the memory that the want was met, so that a model that went to sleep
after it is not woken by it again, over a restart of the operator too.
"""

from datetime import datetime, timedelta

from hfmodel_api.status import CacheStatus, HFModelStatus
from hfmodel_operator.conditions import conditions
from hfmodel_operator.demand import last_active
from hfmodel_operator.observed import ObservedModel, PodState, Settings
from hfmodel_operator.phases import Decision, standing
from hfmodel_operator.pods import is_live, is_ready
from hfmodel_operator.starts import last_start

ACTIVE_STEP = timedelta(seconds=10)
_CACHE_STEP_OF_TOTAL = 100
_CACHE_STEP_BYTES = 64 * 2**20  # while the total is not known


def changed_status(decision: Decision, now: datetime, settings: Settings) -> HFModelStatus | None:
    """The status as it should read now; None if what was written last says the same."""
    old = decision.model.status
    new = _status(decision, now, settings)
    ticking = {"last_active_time": old.last_active_time, "cache": old.cache}
    if new.model_copy(update=ticking) != old:
        return new
    ticked = _active_moved(decision.model, old=old, new=new) or _cache_moved(old.cache, new.cache)
    return new if ticked else None


def _status(decision: Decision, now: datetime, settings: Settings) -> HFModelStatus:
    model, stands = decision.model, standing(decision, settings)
    live = [pod for pod in model.pods if is_live(pod)]
    return HFModelStatus(
        observed_generation=model.model.generation,
        phase=stands.phase,
        conditions=conditions(decision, stands, now=now, settings=settings),
        replicas=len(live),
        ready_replicas=sum(map(is_ready, live)),
        resolved_revision=_resolved_revision(model),
        cache=_cache(model),
        url=f"{settings.base_url.rstrip('/')}/models/{model.model.id}" if settings.base_url else None,
        last_active_time=last_active(model, now, settings) or model.status.last_active_time,
        start_seconds=_start_seconds(model),
        last_start=last_start(model),
        demand=model.status.demand,
    )


def _cache(model: ObservedModel) -> CacheStatus | None:
    """What was fetched, also by an earlier try; with a speed only while that is known."""
    downloading = model.fetching or any(pod.state is PodState.FETCHING for pod in model.pods)
    if model.cache is not None and downloading:
        return model.cache
    cache = model.cache or model.status.cache
    return None if cache is None else cache.model_copy(update={"bytes_per_second": None, "seconds_left": None})


def _resolved_revision(model: ObservedModel) -> str | None:
    """What is known now; what was written before only as long as it speaks of the same spec."""
    same_spec = model.status.observed_generation == model.model.generation
    return model.resolved_revision or (model.status.resolved_revision if same_spec else None)


def _start_seconds(model: ObservedModel) -> float | None:
    """How long the youngest ready pod took, downloading not counted; else what was measured before."""
    ready = [(pod.ready_at, pod) for pod in model.pods if is_ready(pod) and pod.ready_at is not None]
    if not ready:
        return model.status.start_seconds
    ready_at, pod = max(ready, key=lambda entry: (entry[0], entry[1].name))
    return round(max(0.0, (ready_at - (pod.starting_since or pod.created_at)).total_seconds()), 2)


def _active_moved(model: ObservedModel, *, old: HFModelStatus, new: HFModelStatus) -> bool:
    before, after, wanted = old.last_active_time, new.last_active_time, model.demand.wanted_at
    if before is None or after is None:
        return before != after
    return abs(after - before) >= ACTIVE_STEP or (wanted is not None and before < wanted <= after)


def _cache_moved(old: CacheStatus | None, new: CacheStatus | None) -> bool:
    if old is None or new is None or old.total_bytes != new.total_bytes:
        return old != new
    step = max(1, (new.total_bytes // _CACHE_STEP_OF_TOTAL) if new.total_bytes else _CACHE_STEP_BYTES)
    finished = new.bytes == new.total_bytes != old.bytes
    timed = (old.bytes_per_second is None) != (new.bytes_per_second is None)
    return abs(new.bytes - old.bytes) >= step or finished or timed
