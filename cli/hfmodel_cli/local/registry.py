"""What local mode remembers of each model: in a cluster this is the HFModel's status and the operator's memory."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hfmodel_api.spec import HFModel
from hfmodel_api.status import Demand, HFModelStatus
from hfmodel_cli.local.pod import Pod
from hfmodel_operator.observed import PodFailure

logger = logging.getLogger(__name__)

# A pod that served for so long and then ended does not fail to start: it is replaced without waiting.
STABLE = timedelta(seconds=10)


@dataclass(slots=True)
class Record:
    """One model and its bookkeeping."""

    model: HFModel
    status: HFModelStatus = field(default_factory=HFModelStatus)
    demand: Demand = field(default_factory=Demand)
    last_active: datetime | None = None
    start_seconds: float | None = None
    failures: int = 0  # in a row
    failures_before_ready: int = 0  # what `failures` was when the last pod became ready
    last_failure: PodFailure | None = None
    last_failed_at: datetime | None = None

    def forget_failures(self) -> None:
        self.failures = self.failures_before_ready = 0
        self.last_failure = self.last_failed_at = None


class Registry:
    """All records, and who wants to hear of changes. Lives in one event loop.

    Args:
        now: the time, in UTC.
        changed: called after every change of anything; wakes the reconciler.
    """

    def __init__(self, *, now: Callable[[], datetime], changed: Callable[[], None]) -> None:
        self._now = now
        self._changed = changed
        self._records: dict[str, Record] = {}
        self._subscribers: dict[object, Callable[[str], None]] = {}
        self.version = 0  # grows with every change

    def get(self, model_id: str) -> Record | None:
        return self._records.get(model_id)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def set_models(self, models: Mapping[str, HFModel]) -> None:
        """The catalogue is `models` now, in this order. What stays the same keeps all its bookkeeping."""
        before, self._records = self._records, {}
        for model_id, model in models.items():
            self._records[model_id] = _updated(before.get(model_id), model)
        touched = [i for i, record in self._records.items() if i not in before or before[i] is not record]
        for model_id in (*touched, *(before.keys() - self._records.keys())):
            self.notify(model_id)

    def want(self, model_id: str) -> None:
        self._demand(model_id, wanted_at=self._now())

    def release(self, model_id: str) -> None:
        self._demand(model_id, released_at=self._now())

    def write_status(self, model_id: str, status: HFModelStatus) -> None:
        if (record := self._records.get(model_id)) is not None:
            record.status = status
            # Whoever decided on this status need not be told: only those who read it.
            self._tell(model_id)

    def pod_ready(self, pod: Pod) -> None:
        if (record := self._record_of(pod)) is None or pod.ready_at is None:
            return
        # Without the download: the next wake will not have to do it again.
        record.start_seconds = (pod.ready_at - (pod.starting_since or pod.created_at)).total_seconds()
        record.status = record.status.model_copy(update={"start_seconds": record.start_seconds})
        record.failures_before_ready, record.failures = record.failures, 0

    def pod_failed(self, pod: Pod, failure: PodFailure) -> None:
        if (record := self._record_of(pod)) is None:
            return
        now = self._now()
        if pod.ready_at is not None:
            if now - pod.ready_at >= STABLE:
                return
            # It came up and fell over at once: becoming ready proved nothing.
            record.failures = max(record.failures, record.failures_before_ready)
        record.failures += 1
        record.last_failure, record.last_failed_at = failure, now

    def pod_changed(self, pod: Pod) -> None:
        self.notify(pod.model.id)

    def notify(self, model_id: str) -> None:
        """Something about this model is not as it was."""
        self._tell(model_id)
        self._changed()

    def subscribe(self, changed: Callable[[str], None]) -> Callable[[], None]:
        key = object()
        self._subscribers[key] = changed
        return lambda: void(self._subscribers.pop(key, None))

    def _tell(self, model_id: str) -> None:
        self.version += 1
        for changed in tuple(self._subscribers.values()):
            try:
                changed(model_id)
            except Exception:  # one who listens badly must not keep the news from the others
                logger.exception("event=subscriber_failed model=%s", model_id)

    def _demand(self, model_id: str, **times: datetime) -> None:
        if (record := self._records.get(model_id)) is not None:
            record.demand = record.demand.model_copy(update=times)
            self._changed()

    def _record_of(self, pod: Pod) -> Record | None:
        """The record of the model that `pod` was made for, unless its spec has changed since: old news, then."""
        record = self._records.get(pod.model.id)
        return record if record is not None and record.model.spec == pod.model.spec else None


def _updated(record: Record | None, model: HFModel) -> Record:
    if record is None:
        return Record(model)
    if record.model.spec == model.spec:
        return record
    generation = record.model.generation + 1
    return Record(
        model.model_copy(update={"generation": generation}),
        status=record.status,
        demand=record.demand,
        last_active=record.last_active,
        start_seconds=record.start_seconds,
    )


def void(_: object) -> None:
    """Drop a value where a callable must return None."""
