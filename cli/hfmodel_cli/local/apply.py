"""Does what was decided, and decides nothing."""

import asyncio
import logging

from hfmodel_cli.local.fetches import Fetches
from hfmodel_cli.local.observe import wanted_hash
from hfmodel_cli.local.pods import Pods
from hfmodel_cli.local.registry import Registry
from hfmodel_operator.plan import CreatePod, DeletePod, Plan, RetirePod
from hfmodel_operator.source import source_of

logger = logging.getLogger(__name__)


async def apply(plan: Plan, *, registry: Registry, pods: Pods, fetches: Fetches) -> None:
    """Execute `plan`. What is gone already is done; what has changed meanwhile is left to the next plan."""
    for delete in plan.deletes:
        _delete(delete, registry, pods)
    await asyncio.gather(*(_retire(retire, pods) for retire in plan.retires))
    for prefetch in plan.prefetches:
        if (record := registry.get(prefetch.model_id)) is not None:
            fetches.start(source_of(record.model))
    for create in plan.creates:
        _create(create, registry, pods, fetches)
    for model_id, status in plan.statuses.items():
        registry.write_status(model_id, status)


def _delete(delete: DeletePod, registry: Registry, pods: Pods) -> None:
    if (pod := pods.find(delete.pod, delete.uid)) is None:
        return
    logger.info("event=delete model=%s pod=%s why=%s", delete.model_id, delete.pod, delete.why)
    if delete.failure is not None:
        registry.pod_failed(pod, delete.failure)
    pods.delete(pod)


async def _retire(retire: RetirePod, pods: Pods) -> None:
    if (pod := pods.find(retire.pod, retire.uid)) is not None:
        await pods.retire(pod, retire.idle_for_seconds)


def _create(create: CreatePod, registry: Registry, pods: Pods, fetches: Fetches) -> None:
    record = registry.get(create.model_id)
    if record is not None and wanted_hash(record, fetches) == create.template_hash:
        pods.create(record.model)
