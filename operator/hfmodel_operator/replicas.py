"""How many pods a model should have, and which of those it has must go. The pool limit comes after this (`pool.py`).

Awake or not:
- A released model has no target: what is idle retires at once, what is busy goes on until it is idle, what never became
  ready is deleted.
- A model with pods is awake until it may sleep (`idleness.py`); then every pod is asked to retire. A model without pods
  is awake if it is pinned or demanded. A pod that still starts when its caller has gone is let become ready.

How many:
- requests in flight / `targetInFlight`, rounded up, between `minReplicas` (at least 1 while awake) and `maxReplicas`.
- Up at once. Down: pods beyond that are asked to retire, the longest idle first, each once it has been idle for
  `scaleDownDelay`. A pod that did not answer counts as needed, so it never scales anything down; nor does it scale up.
- No pod is created while a start is blocked (`backoff.py`), nor in the round that sees a failure. A pod that served and
  was taken away (its node is gone, it was evicted) is no failure: what is still wanted of it is created at once.

Replacing (the template changed):
- Up to `surge` pods above the target; the old ones go one by one as new ones are ready, so that as many serve as are
  needed. Without a surge, or where the new pod finds no room, an old one goes first.
- An old pod is not asked but deleted: by SIGTERM it stops taking work, finishes what it runs and exits. Asking would
  wait for ever for a pod that is never idle. An old pod that never became ready is deleted at once.

Pods that are going are waited for by nobody: one on a lost node may be going for ever. They are not counted here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hfmodel_operator.backoff import Block, start_block
from hfmodel_operator.demand import is_demanded, is_pinned, is_released
from hfmodel_operator.idleness import sleeps_at
from hfmodel_operator.observed import ObservedModel, ObservedPod, PodState, Settings
from hfmodel_operator.plan import DeletePod, RetirePod
from hfmodel_operator.pods import due_at, in_flight, is_live, is_ready, known_idle, quiet_since, settled_at, was_taken
from hfmodel_operator.removal import removals


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """What one model should have, seen alone."""

    model: ObservedModel
    live: tuple[ObservedPod, ...]  # pods that stay or were asked to retire; none of those that are deleted now
    wanted: bool  # pinned, or somebody waits for its first pod
    target: int  # pods to have; 0: asleep, or released
    creates: int  # pods to start now, if the pool has a place
    deletes: tuple[DeletePod, ...]
    retires: tuple[RetirePod, ...]
    block: Block | None  # what forbids a new pod
    deadlines: tuple[datetime, ...]  # when time alone changes this

    @property
    def leaving(self) -> bool:
        """Nothing of it will be there once what was asked for has happened (a pod may still refuse)."""
        asked = {retire.uid for retire in self.retires}
        return bool(self.model.pods) and all(pod.uid in asked for pod in self.live)


def size(model: ObservedModel, now: datetime, settings: Settings) -> Sizing:
    """Apply the rules above to one model."""
    gone = removals(model, now, settings)
    live = _without(tuple(filter(is_live, model.pods)), gone)
    block = start_block(model, now, settings)
    wanted = is_pinned(model) or is_demanded(model, now, settings)
    target, keep = _target(model, live, wanted=wanted, now=now, settings=settings)
    # Where no new pod may be created, no old one goes first to make room for it.
    replaced = _replaced(model, live, keep=keep, in_place=settings.surge == 0 and block is None)
    live = _without(live, replaced)
    retires = _retires(model, live, target=target, keep=keep, now=now, settings=settings)
    failing = any(pod.state is PodState.FAILED and not was_taken(pod) for pod in model.pods)
    return Sizing(
        model=model,
        live=live,
        wanted=wanted,
        target=target,
        creates=0
        if block is not None or failing or any(delete.failure for delete in gone)
        else _missing(model, live, target=target, surge=settings.surge),
        deletes=gone + replaced,
        retires=retires,
        block=block,
        deadlines=tuple(_deadlines(model, live, keep=keep, block=block, now=now, settings=settings)),
    )


def _without(pods: tuple[ObservedPod, ...], deletes: tuple[DeletePod, ...]) -> tuple[ObservedPod, ...]:
    uids = {delete.uid for delete in deletes}
    return tuple(pod for pod in pods if pod.uid not in uids)


def _target(
    model: ObservedModel, live: tuple[ObservedPod, ...], *, wanted: bool, now: datetime, settings: Settings
) -> tuple[int, int]:
    """(pods to have: below it some are created; pods to keep: above it some retire). Unknown pods only add to keep."""
    sleeps = sleeps_at(model, live, now=now, settings=settings)
    if is_released(model, now, settings) or (sleeps is not None and sleeps <= now) or not (live or wanted):
        return 0, 0
    scaling = model.model.spec.scaling
    ready = [pod for pod in live if is_ready(pod)]
    busy = -(-in_flight(ready) // scaling.target_in_flight)
    unknown = sum(pod.activity is None for pod in ready)
    least, most = max(scaling.min_replicas, 1), scaling.max_replicas
    return min(max(busy, least), most), min(max(busy + unknown, least), most)


def _is_current(model: ObservedModel, pod: ObservedPod) -> bool:
    return pod.template_hash == model.template_hash


def _missing(model: ObservedModel, live: Sequence[ObservedPod], *, target: int, surge: int) -> int:
    current = sum(_is_current(model, pod) for pod in live)
    return max(0, min(target - current, target + surge - len(live)))


def _replaced(
    model: ObservedModel, live: tuple[ObservedPod, ...], *, keep: int, in_place: bool
) -> tuple[DeletePod, ...]:
    """Ready pods of an older template that can be spared now. A model that shall not stay is left to `_retires`."""
    old = [pod for pod in live if is_ready(pod) and not _is_current(model, pod)]
    if keep == 0 or not old:
        return ()
    no_room = any(pod.unschedulable and _is_current(model, pod) for pod in live)
    spare = sum(map(is_ready, live)) - (keep - 1 if in_place or no_room else keep)
    old.sort(key=lambda pod: (not known_idle(pod), pod.created_at, pod.name))
    why = "it makes room for a pod of the new template" if no_room else "it is replaced by a pod of the new template"
    return tuple(DeletePod(model.model.id, pod.name, pod.uid, why) for pod in old[: max(0, spare)])


def _retires(
    model: ObservedModel,
    live: tuple[ObservedPod, ...],
    *,
    target: int,
    keep: int,
    now: datetime,
    settings: Settings,
) -> tuple[RetirePod, ...]:
    scaling = model.model.spec.scaling
    if target == 0:
        idle_for = timedelta(0) if is_released(model, now, settings) else scaling.idle_timeout
        leavers = [pod for pod in live if known_idle(pod)]
    else:
        idle_for = scaling.scale_down_delay
        leavers = [pod for at, pod in _surplus(model, live, keep=keep, now=now, settings=settings) if at <= now]
    return tuple(RetirePod(model.model.id, pod.name, pod.uid, idle_for.total_seconds()) for pod in leavers)


def _surplus(
    model: ObservedModel, live: tuple[ObservedPod, ...], *, keep: int, now: datetime, settings: Settings
) -> list[tuple[datetime, ObservedPod]]:
    """Idle pods above `keep`, the longest idle first, each with the time from which it may be asked to retire."""
    if not all(_is_current(model, pod) for pod in live):
        return []  # while pods are replaced, the old ones are what is spared
    delay = model.model.spec.scaling.scale_down_delay
    idle = [
        (max(quiet + delay, settled_at(pod, settings.min_residency, now)), pod)
        for pod in live
        if known_idle(pod) and (quiet := quiet_since(pod, now)) is not None
    ]
    idle.sort(key=lambda entry: (entry[0], entry[1].name))
    return idle[: max(0, sum(map(is_ready, live)) - keep)]


def _deadlines(
    model: ObservedModel,
    live: tuple[ObservedPod, ...],
    *,
    keep: int,
    block: Block | None,
    now: datetime,
    settings: Settings,
) -> Iterator[datetime]:
    scaling = model.model.spec.scaling
    yield from (due_at(pod, scaling.start_timeout) for pod in live if pod.state is PodState.STARTING)
    yield from (at for at, _ in _surplus(model, live, keep=keep, now=now, settings=settings))
    sleeps = sleeps_at(model, live, now=now, settings=settings)
    if sleeps is not None:
        yield sleeps
    if block is not None and block.until is not None and keep > 0:
        yield block.until
    wanted, released = model.demand.wanted_at, model.demand.released_at
    if wanted is not None and keep > 0 and not live:
        yield wanted + settings.demand_window
    if released is not None:
        yield released  # of the future, where clocks differ
