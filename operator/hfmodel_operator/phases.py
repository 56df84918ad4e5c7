"""In which phase a model is, and the sentence that says why. The first rule that holds decides:

1. A pod is ready                                     -> Ready
2. A pod starts, or is created now                    -> Starting (reason Fetching while its weights are on their way)
3. Starting has been given up, or cannot be tried     -> Failed: a problem outside, a permanent failure, or
   `max_failures` failures in a row. While a new try is under way rule 2 holds: it has its chance.
4. It is wanted, but the pool has no place            -> Starting, reason PoolFull
5. It is wanted, and waits for the next try           -> Starting, with the reason of the last failure
6. Pods retired or are going                          -> Retiring
7. A download runs, or failed and is tried again      -> Fetching
8. A download failed and is not tried again           -> Failed
9. Otherwise                                          -> Asleep
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hfmodel_api.status import Phase, Reason
from hfmodel_operator.backoff import given_up
from hfmodel_operator.observed import ObservedModel, ObservedPod, PodFailure, PodState, Settings
from hfmodel_operator.pods import is_ready, was_taken
from hfmodel_operator.replicas import Sizing

_ON_ITS_WAY_OUT = frozenset({PodState.RETIRED, PodState.GOING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """All that was decided about one model in this round."""

    sizing: Sizing
    creates: int  # pods that are created now
    refused: str | None  # it needs a place in the pool and gets none now; the sentence says why
    prefetches: bool  # a download is started now

    @property
    def model(self) -> ObservedModel:
        return self.sizing.model


@dataclass(frozen=True, slots=True)
class Standing:
    """A phase, and why: the reason for programs, the message for people."""

    phase: Phase
    reason: Reason
    message: str


def standing(decision: Decision, settings: Settings) -> Standing:
    """Apply the rules above."""
    model, live = decision.model, decision.sizing.live
    if any(map(is_ready, live)):
        return Standing(Phase.READY, Reason.READY, "takes requests")
    if live or decision.creates:
        return _starting(live)
    failure = given_up(model, settings)
    if failure is not None:
        return Standing(Phase.FAILED, failure.reason, failure.message)
    if decision.refused is not None:
        return Standing(Phase.STARTING, Reason.POOL_FULL, decision.refused)
    if decision.sizing.target > 0:
        return _between_tries(decision)
    if any(pod.state in _ON_ITS_WAY_OUT for pod in model.pods):
        return Standing(Phase.RETIRING, Reason.RETIRING, "its last pod is going; the next request wakes it")
    return _resting(decision)


def _starting(live: Sequence[ObservedPod]) -> Standing:
    waiting = [pod.failure for pod in live if pod.failure is not None]
    if live and len(waiting) == len(live):
        return Standing(Phase.STARTING, waiting[0].reason, waiting[0].message)
    if live and all(pod.unschedulable for pod in live):
        return Standing(Phase.STARTING, Reason.UNSCHEDULABLE, "no node has room for its pod yet")
    if live and all(pod.state is PodState.FETCHING for pod in live):
        return Standing(Phase.STARTING, Reason.FETCHING, "its pod is downloading the weights")
    return Standing(Phase.STARTING, Reason.STARTING, "its pod is starting")


def _between_tries(decision: Decision) -> Standing:
    failure = _latest_failure(decision)
    if failure is None:
        return Standing(Phase.STARTING, Reason.STARTING, "a pod is about to be started")
    return Standing(Phase.STARTING, failure.reason, f"{failure.message}; it is tried again")


def _latest_failure(decision: Decision) -> PodFailure | None:
    """The failure of this round, which the adapter may not have counted yet, or the last one that counted."""
    found = [delete.failure for delete in decision.sizing.deletes if delete.failure is not None]
    found += [pod.failure for pod in decision.model.pods if pod.failure is not None and not was_taken(pod)]
    if found:
        return found[0]
    return decision.model.last_failure if decision.model.failures else None


def _resting(decision: Decision) -> Standing:
    model = decision.model
    failure = model.fetch_failure if not model.cached and model.model.spec.cache.prefetch else None
    if model.fetching and model.fetch_waiting is not None:
        return Standing(Phase.FETCHING, model.fetch_waiting.reason, model.fetch_waiting.message)
    if model.fetching or decision.prefetches:
        return Standing(Phase.FETCHING, Reason.FETCHING, "its weights are being downloaded")
    if failure is not None and failure.permanent:
        return Standing(Phase.FAILED, failure.reason, failure.message)
    if failure is not None:
        return Standing(Phase.FETCHING, failure.reason, f"{failure.message}; it is tried again")
    last = _latest_failure(decision)
    if last is not None:
        return Standing(
            Phase.ASLEEP, Reason.ASLEEP, f"the next request tries again; the last start failed: {last.message}"
        )
    return Standing(Phase.ASLEEP, Reason.ASLEEP, "no pod; the next request wakes it")
