"""From what was read to what the router decides on. Pure."""

from collections.abc import Collection, Iterable

from hfmodel_api.status import Condition, ConditionType, Phase, Reason
from hfmodel_router.fleet import Endpoint, ModelState, Problem
from hfmodel_router.kube.objects import ModelRecord, Pod


def model_state(
    record: ModelRecord, pods: Iterable[Pod], *, answering: Collection[str] = (), hub_token: bool = False
) -> ModelState:
    """One model as the router shows it.

    Args:
        pods: of this model.
        answering: incarnations of pods that said themselves that they are ready, before the kubelet did.
        hub_token: the installation has a Hugging Face token, for models that name none.
    """
    status = record.status
    endpoints = tuple(
        Endpoint(pod.name, pod.url)
        for pod in sorted(pods, key=lambda pod: pod.name)
        if pod.url is not None and (pod.serves or (pod.may_serve_soon and pod.incarnation in answering))
    )
    # What serves is no problem, whatever the status (which is older news) or a spec changed since say.
    problem = None if endpoints else problem_of(record)
    condition = _ready(record)
    return ModelState(
        model=record.model,
        phase=_phase(record, endpoints),
        endpoints=endpoints,
        problem=problem,
        message=record.invalid or (condition.message if condition else ""),
        start_seconds=status.start_seconds,
        last_start=status.last_start,
        last_active=status.last_active_time,
        cache=status.cache,
        resolved_revision=status.resolved_revision,
        has_token=hub_token or record.model.spec.token_secret_ref is not None,
    )


def problem_of(record: ModelRecord) -> Problem | None:
    """Why waiting for this model does not help, if so. A failure of a spec that was changed since does not count."""
    if record.invalid is not None:
        return Problem(Reason.INVALID_SPEC, record.invalid)
    condition = _ready(record)
    if record.status.phase is not Phase.FAILED or condition is None or condition.status != "False":
        return None
    is_of_this_spec = condition.observed_generation in (None, record.model.generation)
    return Problem(condition.reason, condition.message) if is_of_this_spec else None


def _phase(record: ModelRecord, endpoints: tuple[Endpoint, ...]) -> Phase:
    if endpoints:
        return Phase.READY
    return record.status.phase if record.invalid is None else Phase.FAILED


def _ready(record: ModelRecord) -> Condition | None:
    return next((each for each in record.status.conditions if each.type is ConditionType.READY), None)
