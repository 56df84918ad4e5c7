"""The conditions of an HFModel: one named setter each, in the words of kstatus.

- Ready is True while the model does what it should, and sleeping is what it should: a model that scaled to zero is
  healthy to `kubectl wait`, Flux and Argo CD. It is Unknown while a pod starts or weights are downloaded, and False
  only when it has failed.
- Reconciling is True while something is on its way: a start, a download, a new template.
- Stalled is True when waiting does not help: the model failed, or pods of a new template do (the old ones serve on).
"""

from collections.abc import Iterable
from datetime import datetime

from hfmodel_api.status import Condition, ConditionType, Phase, Reason
from hfmodel_operator.backoff import given_up
from hfmodel_operator.observed import ObservedModel, PodFailure, PodState, Settings
from hfmodel_operator.phases import Decision, Standing

_READY = {
    Phase.READY: "True",
    Phase.ASLEEP: "True",
    Phase.RETIRING: "True",
    Phase.FAILED: "False",
    Phase.STARTING: "Unknown",
    Phase.FETCHING: "Unknown",
    Phase.PENDING: "Unknown",
}
_ON_THE_WAY = frozenset({Phase.STARTING, Phase.FETCHING, Phase.PENDING})


def conditions(decision: Decision, standing: Standing, *, now: datetime, settings: Settings) -> tuple[Condition, ...]:
    """All conditions, in a fixed order; a transition time moves only with its condition's status."""
    model = decision.model
    stalled = _stalled(decision, standing, settings)
    found = (
        _accepted(model),
        _cached(decision),
        _condition(ConditionType.READY, _READY[standing.phase], standing.reason, standing.message),
        _reconciling(decision, standing, stalled),
        _condition(ConditionType.STALLED, _text(stalled is not None), *(stalled or (standing.reason, ""))),
    )
    return tuple(_timed(condition, model, now) for condition in found)


def _accepted(model: ObservedModel) -> Condition:
    if model.problem is not None:
        return _failure(ConditionType.ACCEPTED, model.problem)
    return _condition(ConditionType.ACCEPTED, "True", Reason.ACCEPTED, "the spec can be served")


def _cached(decision: Decision) -> Condition:
    model = decision.model
    if model.cached:
        return _condition(ConditionType.CACHED, "True", Reason.CACHED, "the weights are in the cache")
    if model.fetching and model.fetch_waiting is not None:
        return _failure(ConditionType.CACHED, model.fetch_waiting)
    if model.fetching or decision.prefetches or any(pod.state is PodState.FETCHING for pod in model.pods):
        return _condition(ConditionType.CACHED, "False", Reason.FETCHING, "the weights are being downloaded")
    if model.fetch_failure is not None:
        return _failure(ConditionType.CACHED, model.fetch_failure)
    return _condition(
        ConditionType.CACHED, "False", Reason.NOT_CACHED, "the weights are downloaded when they are needed"
    )


def _reconciling(decision: Decision, standing: Standing, stalled: tuple[Reason, str] | None) -> Condition:
    if stalled is None and standing.phase in _ON_THE_WAY:
        return _condition(ConditionType.RECONCILING, "True", standing.reason, standing.message)
    if stalled is None and _outdated(decision):
        message = "pods of the new template replace the old ones"
        return _condition(ConditionType.RECONCILING, "True", Reason.STARTING, message)
    return _condition(ConditionType.RECONCILING, "False", standing.reason, "")


def _stalled(decision: Decision, standing: Standing, settings: Settings) -> tuple[Reason, str] | None:
    if standing.phase is Phase.FAILED:
        return standing.reason, standing.message
    failure = given_up(decision.model, settings)
    if failure is not None and _outdated(decision):
        return failure.reason, f"the old pods serve on: {failure.message}"
    return None


def _outdated(decision: Decision) -> bool:
    return any(pod.template_hash != decision.model.template_hash for pod in decision.sizing.live)


def _text(status: bool) -> str:
    return "True" if status else "False"


def _failure(kind: ConditionType, failure: PodFailure) -> Condition:
    return _condition(kind, "False", failure.reason, failure.message)


def _condition(kind: ConditionType, status: str, reason: Reason, message: str) -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message)


def _timed(condition: Condition, model: ObservedModel, now: datetime) -> Condition:
    since = now if (old := _find(model.status.conditions, condition.type)) is None else old.last_transition_time
    if old is not None and old.status != condition.status:
        since = now
    update = {"last_transition_time": since or now, "observed_generation": model.model.generation}
    return condition.model_copy(update=update)


def _find(found: Iterable[Condition], kind: ConditionType) -> Condition | None:
    return next((condition for condition in found if condition.type is kind), None)
