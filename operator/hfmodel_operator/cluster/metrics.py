"""What the operator counts; scraped at /metrics. No label is a model: there may be thousands; the router has them."""

import json
from collections import Counter as Count
from collections.abc import Iterable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from hfmodel_api.status import Phase
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.books import Book
from hfmodel_operator.cluster.labels import CONTAINER_FETCH
from hfmodel_operator.cluster.objects import container_status, has_init_container, uid_of
from hfmodel_operator.fetch_metrics import PREFIX, FetchMetrics
from hfmodel_operator.observed import Observed
from hfmodel_operator.plan import Plan

_AWAKE: Final = frozenset({Phase.STARTING, Phase.READY})
_FROM_SLEEP: Final = frozenset(Phase) - _AWAKE
_UP: Final = _AWAKE | {Phase.RETIRING}


class OperatorMetrics:
    """Counts from when this process began to act: what it finds then was another's.

    `cache_limit`: in bytes, as set.
    """

    def __init__(self, *, cache_limit: int | None = None) -> None:
        self.registry = registry = CollectorRegistry()
        self._fetches = FetchMetrics(registry, cache_limit=cache_limit)
        self._models = Gauge(f"{PREFIX}models", "Models by phase", ("phase",), registry=registry)
        self._wakes = Counter(f"{PREFIX}wakes_total", "Times a model without a pod was started", registry=registry)
        self._sleeps = Counter(f"{PREFIX}sleeps_total", "Times a model went to sleep", registry=registry)
        self._failed_starts = Counter(
            f"{PREFIX}failed_starts_total", "Pods that failed before they were ready", ("reason",), registry=registry
        )
        self._observed = Observed()
        self._phases: Mapping[str, Phase] = {}  # of the models whose status the last plan wrote
        self._fetching_pods: frozenset[str] | None = None  # uids of those whose own fetch had ended at the last look

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        # Counted when somebody asks: a round costs what there is to do, not how many models there are.
        found = Count(self._phases.get(model.model.id, model.status.phase) for model in self._observed.models)
        for phase in Phase:
            self._models.labels(phase).set(found[phase])
        return generate_latest(self.registry)

    def outcomes(self, words: Iterable[str]) -> None:
        """Last words of fetch Jobs, each once."""
        for word in words:
            self._fetches.ended(_event(word))

    def pods(self, pods: Iterable[Json]) -> None:
        """At every look: pods that fetch for themselves have a word of their own."""
        ended = {uid_of(pod): words for pod in pods if (words := _fetch_ended(pod))}
        for uid in ended.keys() - self._fetching_pods if self._fetching_pods is not None else ():
            self._fetches.ended(_event(str(ended[uid].get("message") or "")))
        self._fetching_pods = frozenset(ended)

    def decided(self, observed: Observed, plan: Plan) -> None:
        """Before the plan is applied."""
        self._observed, self._phases = observed, {name: status.phase for name, status in plan.statuses.items()}
        for model in observed.models if self._phases else ():
            if (after := self._phases.get(model.model.id)) is None:
                continue
            before = model.status.phase
            self._wakes.inc(before in _FROM_SLEEP and after is Phase.STARTING)
            self._sleeps.inc(after is Phase.ASLEEP and before in _UP)

    def applied(self, before: Mapping[str, Book], after: Mapping[str, Book]) -> None:
        """The books of two rounds, by the uid of the model."""
        for uid, book in after.items():
            old = before.get(uid)
            if old is None or old is book:
                continue
            failure, more = book.last_failure, book.failures - old.failures
            if failure is not None and more > 0:
                self._failed_starts.labels(failure.reason).inc(more)

    def stand_by(self) -> None:
        """Another process acts: the models are its to tell of."""
        self._observed, self._phases = Observed(), {}
        self._fetching_pods = None


def _fetch_ended(pod: Json) -> Json | None:
    if not has_init_container(pod, CONTAINER_FETCH):
        return None
    status = container_status(pod, CONTAINER_FETCH)
    # One that failed waits to be restarted at the next look, with its end as the last state.
    return (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated")


def _event(word: str) -> Mapping[str, Any]:
    lines = word.strip().splitlines()
    try:
        event = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
