"""Kubernetes Events: what `kubectl describe hfm` tells a person who looks. Best effort, nothing depends on them."""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from hfmodel_api.names import API_VERSION, KIND
from hfmodel_api.spec import HFModel
from hfmodel_api.status import ConditionType, HFModelStatus, Phase
from hfmodel_operator.cluster.api import EVENTS, Json, KubeApi, KubeError
from hfmodel_operator.cluster.labels import MANAGER
from hfmodel_operator.observed import Observed
from hfmodel_operator.plan import DeletePod

logger = logging.getLogger(__name__)

_MESSAGE_LENGTH: Final = 1000
_MOST_WAITING: Final = 5000
_AT_ONCE: Final = 2


def event(model: HFModel, reason: str, message: str, *, warning: bool, now: datetime) -> Json:
    """An Event about `model`."""
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{model.id}.{secrets.token_hex(6)}"},
        "involvedObject": {"apiVersion": API_VERSION, "kind": KIND, "name": model.id, "uid": model.uid},
        "reason": reason,
        "message": message[:_MESSAGE_LENGTH],
        "type": "Warning" if warning else "Normal",
        "source": {"component": MANAGER},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


class Recorder:
    """Writes the Events of one namespace, while `run` runs. Nobody waits for them; what does not fit is left out."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._waiting: asyncio.Queue[Json] = asyncio.Queue(_MOST_WAITING)

    async def run(self) -> None:
        """Never returns."""
        await asyncio.gather(*(self._write() for _ in range(_AT_ONCE)))

    def record(self, model: HFModel, reason: str, message: str, *, now: datetime, warning: bool = False) -> None:
        manifest = event(model, reason, message, warning=warning, now=now)
        manifest["involvedObject"]["namespace"] = self._api.namespace
        try:
            self._waiting.put_nowait(manifest)
        except asyncio.QueueFull:
            logger.warning("event=event_not_recorded model=%s reason=%s error='too many wait'", model.id, reason)

    def deleted(self, model: HFModel, delete: DeletePod, *, now: datetime) -> None:
        self.record(model, "PodDeleted", f"Deleted pod {delete.pod}: {delete.why}", now=now)

    def transitions(self, observed: Observed, written: Mapping[str, HFModelStatus], *, now: datetime) -> None:
        """Phases that a model newly is in, and failures that are new."""
        for model in observed.models:
            status = written.get(model.model.id)
            if status is None or _told(status) == _told(model.status):
                continue
            phase, reason, message = _told(status)
            self.record(model.model, reason, f"{phase}: {message}", now=now, warning=phase is Phase.FAILED)

    async def _write(self) -> None:
        while True:
            manifest = await self._waiting.get()
            try:
                await self._api.create(EVENTS, manifest)
            except KubeError as error:
                model, reason = manifest["involvedObject"]["name"], manifest["reason"]
                logger.warning("event=event_not_recorded model=%s reason=%s error=%s", model, reason, error)


def _told(status: HFModelStatus) -> tuple[Phase, str, str]:
    """What of a status is worth an Event when it changes; a message counts only where something is wrong."""
    ready = next((found for found in status.conditions if found.type is ConditionType.READY), None)
    if ready is None:
        return status.phase, "", ""
    return status.phase, ready.reason, ready.message
