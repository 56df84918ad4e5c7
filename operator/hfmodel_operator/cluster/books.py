"""What the operator remembers of a model between two looks: its failures, and when its pods became ready. Pure.

After a restart the status says what had been given up, so that it is not tried again for nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hfmodel_api.spec import HFModel
from hfmodel_api.status import ConditionType, HFModelStatus, Phase, Reason
from hfmodel_operator.observed import ObservedPod, PodFailure, PodState, Settings

# What the world lacks is seen anew; it is no failure of a pod.
_PROBLEMS = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.SOURCE_NOT_SUPPORTED,
        Reason.SECRET_MISSING,
        Reason.PROFILE_UNKNOWN,
        Reason.VOLUME_NOT_BOUND,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Of one model."""

    template_hash: str
    failures: int = 0
    last_failure: PodFailure | None = None
    last_failed_at: datetime | None = None
    refused: PodFailure | None = None  # the API server did not take the last fetch Job
    refused_at: datetime | None = None
    counted: frozenset[str] = frozenset()  # uids of failed pods
    ready_at: Mapping[str, datetime] = field(default_factory=dict)  # by uid; a pod becomes ready once
    last_active: datetime | None = None

    def failed(self, failure: PodFailure, at: datetime, *, uid: str = "") -> "Book":
        """One more pod failed, or could not even be made."""
        if uid and uid in self.counted:
            return self
        return replace(
            self,
            failures=self.failures + 1,
            last_failure=failure,
            last_failed_at=at,
            counted=self.counted | {uid},
        )

    def fetch_refused(self, failure: PodFailure, at: datetime) -> "Book":
        return replace(self, refused=failure, refused_at=at)

    def seen(self, pods: Sequence[ObservedPod], *, template_hash: str, now: datetime) -> "Book":
        """After a look at all pods of the model."""
        book = (
            self if template_hash == self.template_hash else Book(template_hash=template_hash, ready_at=self.ready_at)
        )
        uids = {pod.uid for pod in pods}
        current = [pod for pod in pods if pod.template_hash == template_hash]
        ready = {pod.uid: pod.ready_at or now for pod in pods if pod.state is PodState.READY}
        if any(pod.state is PodState.READY and pod.uid not in self.ready_at for pod in current):
            book = replace(book, failures=0, last_failure=None, last_failed_at=None)
        for pod in current:
            # Whether it served is what the book has, not what is left to see of the pod.
            taken = pod.failure is not None and pod.failure.taken and pod.uid in self.ready_at
            if pod.state is PodState.FAILED and pod.failure is not None and not taken:
                book = book.failed(pod.failure, now, uid=pod.uid)
        return replace(
            book,
            counted=book.counted & uids,
            ready_at={uid: at for uid, at in {**ready, **self.ready_at}.items() if uid in uids},
            last_active=max(filter(None, (self.last_active, *map(_last_active, pods))), default=None),
        )


def opened(model: HFModel, status: HFModelStatus, *, template_hash: str, settings: Settings) -> Book:
    """The book of a model that is seen for the first time by this process."""
    conditions = {condition.type: condition for condition in status.conditions}
    ready = conditions.get(ConditionType.READY)
    given_up = status.phase is Phase.FAILED and status.observed_generation == model.generation
    if not given_up or ready is None or ready.last_transition_time is None:
        return Book(template_hash=template_hash)
    try:
        reason = Reason(ready.reason)
    except ValueError:  # written by another version
        return Book(template_hash=template_hash)
    if reason in _PROBLEMS:
        return Book(template_hash=template_hash)
    return Book(
        template_hash=template_hash,
        failures=settings.max_failures,
        last_failure=PodFailure(reason, ready.message),
        last_failed_at=ready.last_transition_time,
    )


def _last_active(pod: ObservedPod) -> datetime | None:
    if pod.activity is None or pod.activity_at is None:
        return None
    return pod.activity_at - timedelta(seconds=max(0.0, pod.activity.idle_seconds))
