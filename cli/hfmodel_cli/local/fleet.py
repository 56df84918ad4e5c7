"""Local processes as the router sees them."""

from collections.abc import Awaitable, Callable, Mapping

from hfmodel_api.status import ConditionType, HFModelStatus, Phase
from hfmodel_cli.local.pods import Pods
from hfmodel_cli.local.registry import Record, Registry
from hfmodel_router.fleet import Endpoint, ModelState, Problem


class LocalFleet:
    """`hfmodel_router.fleet.Fleet` over the pods of this machine.

    Args:
        resync: reads the catalogue again, now.
        has_token: a Hugging Face token is configured.
    """

    def __init__(
        self, *, registry: Registry, pods: Pods, resync: Callable[[], Awaitable[None]], has_token: bool = False
    ) -> None:
        self._registry = registry
        self._pods = pods
        self._resync = resync
        self._has_token = has_token
        self._seen_version = -1
        self._snapshot: Mapping[str, ModelState] = {}

    def catalogue(self) -> Mapping[str, ModelState]:
        if self._seen_version != self._registry.version:
            self._snapshot = {record.model.id: self._state(record) for record in self._registry}
            self._seen_version = self._registry.version
        return self._snapshot

    def subscribe(self, changed: Callable[[str], None]) -> Callable[[], None]:
        return self._registry.subscribe(changed)

    async def want(self, model_id: str) -> None:
        self._registry.want(model_id)

    async def release(self, model_id: str) -> None:
        self._registry.release(model_id)

    async def resync(self) -> None:
        await self._resync()

    def _state(self, record: Record) -> ModelState:
        pods = self._pods.of(record.model.id)
        endpoints = tuple(Endpoint(pod.name, pod.url) for pod in pods if pod.url is not None)
        status = record.status
        return ModelState(
            model=record.model,
            # A pod that has just come up is news that the status does not have yet.
            phase=Phase.READY if endpoints else status.phase,
            endpoints=endpoints,
            problem=None if endpoints else problem_of(status),
            message=_ready_message(status),
            start_seconds=record.start_seconds,
            last_start=status.last_start,
            last_active=record.last_active,
            cache=status.cache,
            resolved_revision=status.resolved_revision,
            has_token=self._has_token,
        )


def problem_of(status: HFModelStatus) -> Problem | None:
    """Why waiting for this model does not help, if so."""
    if status.phase is not Phase.FAILED:
        return None
    for condition in status.conditions:
        if condition.type is ConditionType.READY:
            return Problem(condition.reason, condition.message)
    return None


def _ready_message(status: HFModelStatus) -> str:
    return next((each.message for each in status.conditions if each.type is ConditionType.READY), "")
