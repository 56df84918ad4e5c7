"""The one decision, shared by the operator and by local mode: what there is, and what to do about it.

`decide` is a pure function; time is an argument. The rules stand in words above the code that applies them:

- `demand.py`: who wants a model (pins, wants, releases)
- `idleness.py`: when its last pods may go
- `replicas.py`: how many pods it should have, and how a new template replaces old pods
- `removal.py`: which pods are deleted whatever is wanted
- `backoff.py`: when what failed is tried again
- `pool.py`: who may have a place when not all models can be loaded
- `phases.py`, `conditions.py`, `status.py`: what is said about it

What holds for every plan: a ready pod is only ever asked to go, never deleted, unless ready pods of a new template
stand in for it (or it must make room for one), or its model's turn in the pool is over. A pod that did not answer is
never idle. The same picture at the same
time gives the same plan, and a plan that took effect is followed by an empty one until something happens or
`look_again_at` comes.
"""

from datetime import datetime

from hfmodel_operator.backoff import fetch_block
from hfmodel_operator.demand import want_met_at
from hfmodel_operator.observed import Observed, ObservedModel, ObservedPod, Settings
from hfmodel_operator.phases import Decision
from hfmodel_operator.plan import CreatePod, DeletePod, Plan, Prefetch, RetirePod
from hfmodel_operator.pods import is_live, is_ready
from hfmodel_operator.pool import Places, assign_places
from hfmodel_operator.replicas import Sizing, size
from hfmodel_operator.status import changed_status


def decide(observed: Observed, settings: Settings, now: datetime) -> Plan:
    """What to do now. `now`, like every time in `observed`, has a time zone."""
    sizings = [size(model, now, settings) for model in observed.models]
    places = assign_places(sizings, now, settings)
    decisions = [_decide_one(sizing, places, now=now, settings=settings) for sizing in sizings]
    changed = {decision.model.model.id: changed_status(decision, now, settings) for decision in decisions}
    statuses = {model_id: status for model_id, status in changed.items() if status is not None}
    due = {decision.model.model.id: _due(decision, now, settings) for decision in decisions}
    return Plan(
        deletes=tuple(delete for sizing in sizings for delete in _deletes(sizing, places)),
        retires=tuple(retire for sizing in sizings for retire in _retires(sizing, places)),
        prefetches=tuple(Prefetch(decision.model.model.id) for decision in decisions if decision.prefetches),
        creates=tuple(create for decision in decisions for create in _creates(decision)),
        statuses=statuses,
        look_again_at=min(
            (at for at in (*due.values(), *places.deadlines) if at is not None and at > now), default=None
        ),
        rests={
            decision.model.model.id: due[decision.model.model.id]
            for decision in decisions
            if decision.model.model.id not in statuses and _rests(decision, settings)
        },
    )


def _decide_one(sizing: Sizing, places: Places, *, now: datetime, settings: Settings) -> Decision:
    model_id = sizing.model.model.id
    refused = places.refused.get(model_id)
    leaves = model_id in places.evicted or model_id in places.displaced
    creates = 0 if refused is not None or leaves else sizing.creates
    prefetches = not creates and _prefetches(sizing.model, now, settings)
    return Decision(sizing=sizing, creates=creates, refused=refused, prefetches=prefetches)


def _prefetches(model: ObservedModel, now: datetime, settings: Settings) -> bool:
    """The weights are missing, nobody is downloading them (a starting pod does it itself), and a try may be made."""
    missing = model.model.spec.cache.prefetch and not model.cached and not model.fetching
    return missing and not any(map(is_live, model.pods)) and fetch_block(model, now, settings) is None


def _creates(decision: Decision) -> tuple[CreatePod, ...]:
    return (CreatePod(decision.model.model.id, decision.model.template_hash),) * decision.creates


def _deletes(sizing: Sizing, places: Places) -> tuple[DeletePod, ...]:
    return sizing.deletes + places.displaced.get(sizing.model.model.id, ())


def _retires(sizing: Sizing, places: Places) -> tuple[RetirePod, ...]:
    """An eviction asks every pod of the model, so it stands for whatever its size alone would have asked."""
    if sizing.model.model.id in places.displaced:
        return ()
    return places.evicted.get(sizing.model.model.id, sizing.retires)


def _due(decision: Decision, now: datetime, settings: Settings) -> datetime | None:
    """When time alone changes what is decided about this model, its place in the pool aside."""
    times = list(decision.sizing.deadlines)
    block = fetch_block(decision.model, now, settings)
    if block is not None and block.until is not None and not decision.model.cached:
        times.append(block.until)
    if (met := want_met_at(decision.model, now, settings)) is not None:
        times.append(met)
    return min((time for time in times if time > now), default=None)


def _rests(decision: Decision, settings: Settings) -> bool:
    """Nothing happens to it or for it, and it neither has nor awaits a place in a pool that has a limit."""
    model, sizing = decision.model, decision.sizing
    acts = decision.creates or decision.prefetches or decision.refused is not None or sizing.deletes or sizing.retires
    if acts or model.fetching:
        return False
    return not model.pods or (settings.max_loaded_models is None and all(map(_serves, model.pods)))


def _serves(pod: ObservedPod) -> bool:
    """It has told what it does, and when; what it tells next is news."""
    return is_ready(pod) and pod.activity is not None and pod.activity_at is not None
