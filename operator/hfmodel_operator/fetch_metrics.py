"""What fetches did, counted for Prometheus, on a cluster and on one machine alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from pydantic import TypeAdapter, ValidationError

from hfmodel_api.status import Reason

PREFIX: Final = "hfmodel_operator_"
_DONE: Final = "Done"
_SECONDS: Final = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """Of the `done` line of a fetch, what it cost."""

    seconds: float = 0.0
    downloaded_bytes: int = 0
    retries: int = 0
    converted: bool = False
    collected_bytes: int = 0


_WORK: Final = TypeAdapter(_Work)


class FetchMetrics:
    """`registry` None: one of its own. `cache_limit` in bytes; None: there is none, and no metric that would say 0.

    How full the cache is, no fetch tells: each knows its own model.
    """

    def __init__(self, registry: CollectorRegistry | None = None, *, cache_limit: int | None = None) -> None:
        self.registry = registry = registry or CollectorRegistry()
        self._ended = Counter(
            f"{PREFIX}fetches_total",
            "Fetches that ended: Done, or the reason of their failure",
            ("result",),
            registry=registry,
        )
        self._downloaded = Counter(f"{PREFIX}fetched_bytes_total", "Bytes that fetches downloaded", registry=registry)
        self._collected = Counter(
            f"{PREFIX}cache_collected_bytes_total",
            "Bytes of models that fetches removed to make room",
            registry=registry,
        )
        self._retries = Counter(
            f"{PREFIX}fetch_retries_total",
            "Calls to the Hub that failed and were made again, of fetches that were done",
            registry=registry,
        )
        self._conversions = Counter(
            f"{PREFIX}fetch_conversions_total", "Fetches that had to make safetensors of the weights", registry=registry
        )
        if cache_limit is not None:
            limit = Gauge(f"{PREFIX}cache_limit_bytes", "How large the cache may become", registry=registry)
            limit.set(cache_limit)
        self._seconds = Histogram(
            f"{PREFIX}fetch_seconds", "How long fetches took that were done", registry=registry, buckets=_SECONDS
        )

    def ended(self, event: Mapping[str, Any]) -> None:
        """`event` is the last line of a fetch, `done` or `error`; anything else is a crash."""
        if event.get("event") != "done":
            reason = str(event.get("reason"))
            self._ended.labels(reason if reason in set(Reason) else Reason.CRASH_LOOP).inc()
            return
        self._ended.labels(_DONE).inc()
        try:
            work = _WORK.validate_python(dict(event))
        except ValidationError:  # of an image that says less
            return
        self._downloaded.inc(work.downloaded_bytes)
        self._collected.inc(work.collected_bytes)
        self._retries.inc(work.retries)
        self._conversions.inc(work.converted)
        self._seconds.observe(work.seconds)
