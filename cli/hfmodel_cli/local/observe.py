"""What there is, as the decider wants to see it."""

from datetime import datetime, timedelta

from hfmodel_cli.local.fetches import Fetches
from hfmodel_cli.local.pod import Pod
from hfmodel_cli.local.pods import Pods
from hfmodel_cli.local.registry import Record, Registry
from hfmodel_cli.local.template import problem_of, template_hash
from hfmodel_operator.observed import Observed, ObservedModel
from hfmodel_operator.source import source_of


def observe(registry: Registry, pods: Pods, fetches: Fetches) -> Observed:
    """The whole picture, from memory."""
    return Observed(models=tuple(_model(record, pods.of(record.model.id), fetches) for record in registry))


def wanted_hash(record: Record, fetches: Fetches) -> str:
    """The template that a pod of this model has if it is made now."""
    return template_hash(record.model, _known_path(fetches, record))


def _model(record: Record, pods: tuple[Pod, ...], fetches: Fetches) -> ObservedModel:
    record.last_active = max(filter(None, (record.last_active, *map(_last_active, pods))), default=None)
    state = fetches.state(source_of(record.model))
    return ObservedModel(
        model=record.model,
        template_hash=wanted_hash(record, fetches),
        status=record.status,
        demand=record.demand,
        pods=tuple(pod.observed(template_hash(pod.model, _path_of(pod, fetches))) for pod in pods),
        cached=state.fetched is not None,
        fetching=state.running,
        cache=state.cache,
        fetch_failure=state.failure,
        fetch_failed_at=state.failed_at,
        fetch_failures=state.failures,
        resolved_revision=state.fetched.revision if state.fetched else None,
        last_active=record.last_active,
        problem=problem_of(record.model),
        failures=record.failures,
        last_failure=record.last_failure,
        last_failed_at=record.last_failed_at,
    )


def _known_path(fetches: Fetches, record: Record) -> str:
    fetched = fetches.state(source_of(record.model)).fetched
    return fetched.path if fetched else ""


def _path_of(pod: Pod, fetches: Fetches) -> str:
    # A pod that still fetches will serve what everybody else finds: it must not look outdated when that becomes known.
    fetched = pod.fetched or fetches.state(source_of(pod.model)).fetched
    return fetched.path if fetched else ""


def _last_active(pod: Pod) -> datetime | None:
    if pod.activity is None or pod.activity_at is None:
        return None
    return pod.activity_at - timedelta(seconds=pod.activity.idle_seconds)
