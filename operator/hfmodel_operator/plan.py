"""What the decider answers: actions in words, to be executed by an adapter and by nobody else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hfmodel_api.status import HFModelStatus
from hfmodel_operator.observed import PodFailure


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Start one more pod of this model, with the template the spec asks for now."""

    model_id: str
    template_hash: str


@dataclass(frozen=True, slots=True)
class RetirePod:
    """Ask the pod to stop taking work, if it has been idle for at least this long. It may refuse."""

    model_id: str
    pod: str
    uid: str
    idle_for_seconds: float


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete exactly this pod (uid precondition), by SIGTERM: it finishes what it runs. `why` goes to log and event.

    `failure`: the decider itself found that the pod failed (it was not ready in time); to be counted as if the pod had
    been seen FAILED. None for every other reason, also for a pod that was observed FAILED.
    """

    model_id: str
    pod: str
    uid: str
    why: str
    failure: PodFailure | None = None


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Fetch the weights of this model now, so that a wake does not have to."""

    model_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Executed in this order: deletes, retires, prefetches, creates, statuses. Empty where nothing is to be done.

    The next decision must see the effect of this plan (the created pods among them), or it decides the same again.
    """

    deletes: tuple[DeletePod, ...] = ()
    retires: tuple[RetirePod, ...] = ()
    prefetches: tuple[Prefetch, ...] = ()
    creates: tuple[CreatePod, ...] = ()
    # Only of models whose status differs from what was observed. `demand` is the router's: adapters never write it.
    statuses: Mapping[str, HFModelStatus] = field(default_factory=dict)
    # When to look again even if nothing happens: the next time-out, back-off or idle deadline.
    look_again_at: datetime | None = None
    # Models for which nothing is to be done before that time (None: ever), as long as they and their pods are as they
    # were observed. Leaving them out until then changes nothing for the others.
    rests: Mapping[str, datetime | None] = field(default_factory=dict)
