"""Who may have a place in the pool: at most `maxLoadedModels` models have pods at a time.

- A model holds a place while it has any pod, also one that is going: its memory is not free before it is gone.
- A model that needs its first pod waits for a place: pinned models first, then in the order in which they began to
  wait. (The router repeats its wants, so the last want says nothing about that; the Reconciling condition remembers.)
- If no place is free and none is becoming free, one more model is asked to give up its place: the least recently active
  of those that may (`idleness.py`: idle, not pinned, past `min_residency`). Nobody idle: it waits, reason PoolFull.
- Nobody waits for ever behind callers who leave no gap: who has waited for `pool_turn` gets the place of the model
  that has had its own longest, and for at least as long. Its pods are told to go, as for a new template: they finish
  what they run, and the router holds what still comes. It then waits in line itself. Pins and starting pods stay.
- A place that becomes free belongs to the first who waits, even if the model that gave it up is wanted again by then.
- A wanted model whose pods are all unschedulable for want of a GPU waits in the same line. It has its place, but needs
  the GPU of another model with the same profile, which is asked in the same way.
- Above the limit (it was lowered), the least recently active go until it holds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from hfmodel_api.status import ConditionType, Reason
from hfmodel_operator.demand import is_pinned, last_active, wanted_at
from hfmodel_operator.idleness import yields_at
from hfmodel_operator.observed import ObservedModel, Settings
from hfmodel_operator.plan import DeletePod, RetirePod
from hfmodel_operator.pods import is_ready, settled_at
from hfmodel_operator.replicas import Sizing

_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What the pool decided."""

    refused: Mapping[str, str]  # models that need a place and get none now, each with a sentence for its status
    evicted: Mapping[str, tuple[RetirePod, ...]]  # models that give up theirs, each with what to ask of its pods
    displaced: Mapping[str, tuple[DeletePod, ...]]  # models whose turn is over, each with what to tell its pods
    deadlines: tuple[datetime, ...]  # when a model may be evicted or displaced that may not be yet


def assign_places(sizings: Sequence[Sizing], now: datetime, settings: Settings) -> Places:
    """Apply the rules above. Assumes nothing about the order of `sizings`."""
    pool = _Pool(sizings, now=now, settings=settings)
    for sizing in sorted(filter(_in_line, sizings), key=lambda sizing: _turn(sizing, now, settings)):
        pool.serve(sizing)
    pool.shrink()
    return pool.places()


def _needs_place(sizing: Sizing) -> bool:
    return sizing.creates > 0 and not sizing.live


def _in_line(sizing: Sizing) -> bool:
    return _needs_place(sizing) or _starved(sizing)


def _starved(sizing: Sizing) -> bool:
    """Somebody wants it, it has pods, and no node has a GPU left for any of them."""
    return (
        sizing.wanted
        and bool(sizing.live)
        and all(pod.unschedulable for pod in sizing.live)
        and _gpu_kind(sizing) is not None
    )


def _turn(sizing: Sizing, now: datetime, settings: Settings) -> tuple[bool, datetime, str]:
    return not is_pinned(sizing.model), _waiting_since(sizing.model, now, settings), sizing.model.model.id


def _waiting_since(model: ObservedModel, now: datetime, settings: Settings) -> datetime:
    conditions = {condition.type: condition for condition in model.status.conditions}
    ready, reconciling = conditions.get(ConditionType.READY), conditions.get(ConditionType.RECONCILING)
    if ready is not None and ready.reason == Reason.POOL_FULL and reconciling is not None:
        return min(reconciling.last_transition_time or now, now)
    return min(wanted_at(model, now, settings) or now, now)


class _Pool:
    """The places while they are given out; lives for one decision."""

    def __init__(self, sizings: Sequence[Sizing], *, now: datetime, settings: Settings) -> None:
        self._now, self._settings = now, settings
        held = [sizing for sizing in sizings if sizing.model.pods]
        self._limit = settings.max_loaded_models
        self._free = None if self._limit is None else self._limit - len(held)
        # Places that become free once what was asked for has happened, and are not promised to anybody yet.
        self._leaving = [sizing for sizing in held if sizing.leaving]
        self._candidates = sorted((sizing for sizing in held if not sizing.leaving), key=self._last_active)
        self._refused: dict[str, str] = {}
        self._evicted: dict[str, tuple[RetirePod, ...]] = {}
        self._displaced: dict[str, tuple[DeletePod, ...]] = {}
        self._deadlines: list[datetime] = []

    def _last_active(self, sizing: Sizing) -> tuple[datetime, str]:
        return last_active(sizing.model, self._now, self._settings) or _EVER, sizing.model.model.id

    def serve(self, sizing: Sizing) -> None:
        """Give a place, promise one that becomes free, make one free, or let wait."""
        if _needs_place(sizing) and self._take(sizing):
            return
        promised = self._promise(sizing) or self._evict(sizing) or self._displace(sizing)
        if _needs_place(sizing):
            self._refused[sizing.model.model.id] = self._sentence(promised)

    def shrink(self) -> None:
        """Make free what is above the limit and not becoming free anyway."""
        for _ in range(max(0, -(self._free or 0) - len(self._leaving))):
            self._evict(None)

    def places(self) -> Places:
        return Places(
            refused=self._refused,
            evicted=self._evicted,
            displaced=self._displaced,
            deadlines=tuple(self._deadlines),
        )

    def _take(self, sizing: Sizing) -> bool:
        """A free place, or its own that it was about to leave."""
        if self._free is None:
            return True
        if sizing in self._leaving and self._free >= 0:
            self._leaving.remove(sizing)
            return True
        if sizing.model.pods or self._free <= 0:
            return False
        self._free -= 1
        return True

    def _promise(self, sizing: Sizing) -> Sizing | None:
        suitable = [other for other in self._leaving if other is not sizing and _helps(other, sizing)]
        if not suitable:
            return None
        # Rather the place of a model that does not want it back, else of the one whose turn comes last.
        chosen = max(suitable, key=lambda other: (not _in_line(other), _turn(other, self._now, self._settings)))
        self._leaving.remove(chosen)
        return chosen

    def _evict(self, sizing: Sizing | None) -> Sizing | None:
        for victim in self._candidates:
            if victim is sizing or (sizing is not None and not _helps(victim, sizing)):
                continue
            at = yields_at(victim.model, victim.live, now=self._now, settings=self._settings)
            if at is not None and at > self._now:
                self._deadlines.append(at)
            elif at is not None:
                self._candidates.remove(victim)
                retires = (RetirePod(victim.model.model.id, pod.name, pod.uid, 0.0) for pod in victim.live)
                self._evicted[victim.model.model.id] = tuple(retires)
                return victim
        return None

    def _displace(self, sizing: Sizing) -> Sizing | None:
        """The turn of the model that has had its place longest is over, once that and the wait are long enough."""
        holders = [other for other in self._candidates if other is not sizing and _may_be_displaced(other, sizing)]
        if not holders:
            return None
        victim = min(holders, key=lambda other: (self._settled(other), other.model.model.id))
        waited = _waiting_since(sizing.model, self._now, self._settings) + self._settings.pool_turn
        if (due := max(waited, self._settled(victim))) > self._now:
            self._deadlines.append(due)
            return None
        self._candidates.remove(victim)
        why = f"its turn in the pool is over: {sizing.model.model.id} has waited for a place"
        told = (DeletePod(victim.model.model.id, pod.name, pod.uid, why) for pod in victim.live)
        self._displaced[victim.model.model.id] = tuple(told)
        return victim

    def _settled(self, sizing: Sizing) -> datetime:
        """When it has had its place for a whole turn."""
        return min(settled_at(pod, self._settings.pool_turn, self._now) for pod in sizing.live)

    def _sentence(self, promised: Sizing | None) -> str:
        if promised is not None:
            return f"waits for {promised.model.model.id} to give up its place"
        return f"waits for a place: {self._limit} models may be loaded and none of those loaded is idle"


def _may_be_displaced(other: Sizing, sizing: Sizing) -> bool:
    """It serves, with no start under way that somebody may wait for, and its owner did not pin it."""
    serves = bool(other.live) and all(map(is_ready, other.live))
    return serves and not is_pinned(other.model) and _helps(other, sizing)


def _helps(other: Sizing, sizing: Sizing) -> bool:
    """Whether what `other` gives up is of use to `sizing`: any place for a place, the same kind of GPU for a GPU."""
    return _needs_place(sizing) or _gpu_kind(other) == _gpu_kind(sizing)


def _gpu_kind(sizing: Sizing) -> str | None:
    """Its GPU profile; empty where any GPU will do, None where it needs none."""
    gpu = sizing.model.model.spec.gpu
    return None if gpu is None else gpu.profile or ""
