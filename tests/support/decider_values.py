"""Observed models and pods in few words, for tests of the decider. Times are seconds before or after `NOW`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hfmodel_api.spec import GPU, HFModel, HFModelSpec, Scaling
from hfmodel_api.status import Demand, HFModelStatus, Reason
from hfmodel_api.wire import Activity
from hfmodel_operator.decide import decide
from hfmodel_operator.observed import Observed, ObservedModel, ObservedPod, PodFailure, PodState, Settings
from hfmodel_operator.plan import Plan

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SETTINGS = Settings()
HASH = "t1"

GATED = PodFailure(Reason.GATED_NO_TOKEN, "the repository is gated and no token is configured", permanent=True)
CRASHED = PodFailure(Reason.CRASH_LOOP, "the process ended with code 1")


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def working(running: int = 1, queued: int = 0) -> Activity:
    return Activity(running=running, queued=queued, requests_total=running + queued, idle_seconds=0.0)


def idle(seconds: float) -> Activity:
    return Activity(running=0, queued=0, requests_total=1, idle_seconds=seconds)


def pod(name: str = "p0", state: PodState = PodState.READY, *, age: float = 3600.0, **fields: Any) -> ObservedPod:
    """A pod created `age` seconds ago and, if it is ready, ready a second later."""
    fields.setdefault("template_hash", HASH)
    if state is PodState.READY:
        fields.setdefault("ready_at", ago(age - 1))
    return ObservedPod(name=name, uid=f"uid-{name}", state=state, created_at=ago(age), **fields)


def model(
    model_id: str = "m",
    *pods: ObservedPod,
    scaling: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
    wanted: float | None = None,
    released: float | None = None,
    gpu: str | None = None,
    **fields: Any,
) -> ObservedModel:
    """A cached model; `wanted`, `released`: seconds ago; times in `scaling`: seconds; `gpu`: a profile, empty: any."""
    fields.setdefault("cached", True)
    fields.setdefault("template_hash", HASH)
    gpus = None if gpu is None else GPU(profile=gpu or None)
    parsed = HFModelSpec(model="org/repo", gpu=gpus, scaling=_scaling(scaling or {}), **(spec or {}))
    demand = Demand(
        wanted_at=None if wanted is None else ago(wanted), released_at=None if released is None else ago(released)
    )
    return ObservedModel(model=HFModel(id=model_id, spec=parsed), pods=pods, demand=demand, **fields)


def _scaling(values: dict[str, Any]) -> Scaling:
    times = ("idle_timeout", "scale_down_delay", "start_timeout")
    parsed: dict[str, Any] = {key: timedelta(seconds=value) if key in times else value for key, value in values.items()}
    return Scaling(**parsed)


def plan_of(*models: ObservedModel, settings: Settings = SETTINGS, now: datetime = NOW) -> Plan:
    return decide(Observed(models=models), settings, now)


def created(plan: Plan) -> list[str]:
    return [create.model_id for create in plan.creates]


def deleted(plan: Plan) -> list[str]:
    return [delete.pod for delete in plan.deletes]


def retired(plan: Plan) -> list[str]:
    return [retire.pod for retire in plan.retires]


def status_of(plan: Plan, model_id: str = "m") -> HFModelStatus:
    return plan.statuses[model_id]


def settled(observed: ObservedModel, *, settings: Settings = SETTINGS, now: datetime = NOW) -> ObservedModel:
    """The same model with the status that the decider wrote for it."""
    status = plan_of(observed, settings=settings, now=now).statuses.get(observed.model.id, observed.status)
    return replace(observed, status=status)
