"""What the decider looks at: models, their pods and what is wanted, as frozen values. No I/O, no clock.

The Kubernetes observer and `hfmodel up` both build these; `decide` knows no difference.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from hfmodel_api.spec import HFModel
from hfmodel_api.status import CacheStatus, Demand, HFModelStatus, Reason
from hfmodel_api.wire import Activity


class PodState(StrEnum):
    """Where a pod stands; one value at a time, each read off the pod itself."""

    FETCHING = "fetching"  # its weights are still on their way
    STARTING = "starting"  # the container was asked for; not ready yet
    READY = "ready"  # takes requests
    RETIRED = "retired"  # agreed to go, takes nothing any more, runs nothing
    GOING = "going"  # deletion was asked for
    FAILED = "failed"  # will not come up by itself; `failure` says why


@dataclass(frozen=True, slots=True)
class PodFailure:
    """Why a pod failed. `permanent`: trying again without a change of the spec or the world cannot help.

    `taken`: its node went away, or the cluster had another use for it; says nothing about the model.
    """

    reason: Reason
    message: str
    permanent: bool = False
    taken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedPod:
    """One runtime pod (or local process).

    A pod whose `POST /retire` was answered 200 is observed as RETIRED from then on, never as READY once more, unless
    its retirement ended by itself.
    """

    name: str
    uid: str
    template_hash: str
    state: PodState
    created_at: datetime
    scheduled_at: datetime | None = None  # when a node was chosen; None: there is nothing to choose
    starting_since: datetime | None = None  # when its fetch ended, if it had to fetch; None: since created_at
    ready_at: datetime | None = None
    activity: Activity | None = None  # None: it did not answer, which is never idleness
    activity_at: datetime | None = None  # when it answered so; None: just now
    failure: PodFailure | None = None  # of a STARTING pod: what it waits for, where that is known
    unschedulable: bool = False  # pending for want of a resource that another model holds


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedModel:
    """One HFModel with everything that belongs to it.

    The adapter keeps the bookkeeping of failures: it counts a pod once, when it sees it FAILED (unless that one served
    and was taken away: `pods.was_taken`) or when a `DeletePod` carries a `failure`; it sets `failures` to 0 when a pod
    becomes ready, and forgets all failures when the template changes. `status` must be what the last plan wrote (at
    least its conditions and its `last_active_time`): deciding remembers through it, over restarts.
    """

    model: HFModel
    template_hash: str  # of the pod that the spec asks for now
    status: HFModelStatus = field(default_factory=HFModelStatus)  # as last written
    demand: Demand = field(default_factory=Demand)
    pods: tuple[ObservedPod, ...] = ()
    cached: bool = False
    fetching: bool = False  # a prefetch is under way
    fetch_waiting: PodFailure | None = None  # what that prefetch waits for, where it cannot begin
    cache: CacheStatus | None = None
    fetch_failure: PodFailure | None = None  # the last prefetch failed so
    fetch_failed_at: datetime | None = None
    fetch_failures: int = 0  # prefetches in a row that failed
    resolved_revision: str | None = None
    last_active: datetime | None = None  # the latest activity known from any pod, where finer than status has it
    problem: PodFailure | None = (
        None  # what only the world can tell before a pod exists: no such secret, no such profile
    )
    failures: int = 0  # pods in a row that failed to become ready
    last_failure: PodFailure | None = None
    last_failed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The whole picture; the pool limit needs all models at once."""

    models: tuple[ObservedModel, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an administrator sets for all models."""

    max_loaded_models: int | None = None  # None: no pool limit
    surge: int = 1  # pods above the target while a new template replaces an old one
    # A pod stays at least so long after it became ready, and a model after it was wanted: its caller may be on the way.
    min_residency: timedelta = timedelta(seconds=5)
    # Where not all models can be loaded: how long a busy model keeps its place while another waits for one.
    pool_turn: timedelta = timedelta(seconds=30)
    demand_window: timedelta = timedelta(seconds=60)  # how long one `wantedAt` counts after it was written
    want_repeat: timedelta = timedelta(seconds=15)  # whoever waits repeats the want within this; the router each 5 s
    backoff_base: timedelta = timedelta(seconds=1)  # between a failure and the next try; doubles with each
    backoff_max: timedelta = timedelta(minutes=5)
    max_failures: int = 5  # in a row; after that held requests end with the reason, though tries go on
    base_url: str = ""  # of the router, for status.url
