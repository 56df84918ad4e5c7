"""What the router counts; scraped at /metrics. Model labels hold known ids only, paths are call names: both bounded."""

import functools
from typing import TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_HOLD_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)
_TIME_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

_Metric = TypeVar("_Metric", Counter, Gauge, Histogram)


class Metrics:
    """One registry per router, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        prefix = "hfmodel_router_"
        self.requests = Counter(
            f"{prefix}requests_total", "Answered requests", ("model", "path", "code"), registry=registry
        )
        self.in_flight = Gauge(f"{prefix}in_flight", "Requests at a pod", ("model",), registry=registry)
        self.held = Gauge(f"{prefix}held", "Requests that wait for their model", ("model",), registry=registry)
        self.hold_seconds = Histogram(
            f"{prefix}hold_seconds",
            "How long held requests waited",
            ("model",),
            registry=registry,
            buckets=_HOLD_BUCKETS,
        )
        self.wakes = Counter(f"{prefix}wakes_total", "Times a model had to be woken", ("model",), registry=registry)
        self.wake_seconds = Histogram(
            f"{prefix}wake_seconds",
            "From the first request that wakes a model to its first ready pod",
            ("model",),
            registry=registry,
            buckets=_HOLD_BUCKETS,
        )
        self.retries = Counter(f"{prefix}retries_total", "Requests sent again", ("reason",), registry=registry)
        self.refused = Counter(
            f"{prefix}refused_total",
            "Requests the router answered with an error itself",
            ("reason",),
            registry=registry,
        )
        self.first_byte_seconds = Histogram(
            f"{prefix}time_to_first_byte_seconds",
            "From a request's first byte to the first byte of a model's answer, holding included",
            ("path",),
            registry=registry,
            buckets=_TIME_BUCKETS,
        )
        self.request_seconds = Histogram(
            f"{prefix}request_seconds", "How long requests took", ("path",), registry=registry, buckets=_TIME_BUCKETS
        )

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)


def labelled(metric: _Metric, *labels: str) -> _Metric:
    """`metric.labels(*labels)`, which a request should not pay for: it checks them and takes a lock each time."""
    return cast("_Metric", _labelled(metric, labels))


@functools.lru_cache(maxsize=8192)
def _labelled(metric: Counter | Gauge | Histogram, labels: tuple[str, ...]) -> Counter | Gauge | Histogram:
    return metric.labels(*labels)
