"""Prometheus metrics of one serving process, named after vLLM's so that dashboards need only another prefix."""

from collections.abc import Callable
from typing import Final

from prometheus_client import (
    GC_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from hfmodel_api.wire import Activity, Start

PREFIX: Final = "hfmodel_runtime_"
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
# vLLM's buckets, cut at both ends to what one model on a CPU or a GPU shows.
_TOKEN_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_FIRST_TOKEN_SECONDS: Final = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160)
_REQUEST_SECONDS: Final = (0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960)


class Metrics:
    """What `/metrics` shows; `activity` is asked at every scrape."""

    def __init__(self, *, activity: Callable[[], Activity]) -> None:
        # A registry of its own: one process may hold several servers (tests do).
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(GC_COLLECTOR)

        def gauge(name: str, text: str, value: Callable[[], float]) -> None:
            Gauge(PREFIX + name, text, registry=registry).set_function(value)

        gauge("requests_running", "Requests that generate now", lambda: activity().running)
        gauge("requests_waiting", "Requests waiting for a place in the batch", lambda: activity().queued)
        gauge("idle_seconds", "Seconds since the last request ended", lambda: activity().idle_seconds)
        self.load_seconds = Gauge(PREFIX + "load_seconds", "Seconds that loading the model took", registry=registry)
        self._start_seconds = Gauge(
            PREFIX + "start_seconds", "Seconds that each stage of the start took", ["stage"], registry=registry
        )
        self.prompt_tokens = Counter(PREFIX + "prompt_tokens", "Prompt tokens taken in", registry=registry)
        self.generation_tokens = Counter(PREFIX + "generation_tokens", "Tokens generated", registry=registry)
        self.sequences = Counter(
            PREFIX + "request_success",
            "Sequences that ended, by why",
            ["finish_reason"],
            registry=registry,
        )
        self.refused = Counter(
            PREFIX + "requests_refused", "Requests refused before they were started", ["reason"], registry=registry
        )
        self.first_token = Histogram(
            PREFIX + "time_to_first_token_seconds",
            "From submission to the first token of a sequence",
            buckets=_FIRST_TOKEN_SECONDS,
            registry=registry,
        )
        self.inter_token = Histogram(
            PREFIX + "inter_token_latency_seconds",
            "Between two tokens of a sequence",
            buckets=_TOKEN_SECONDS,
            registry=registry,
        )
        self.request_seconds = Histogram(
            PREFIX + "e2e_request_latency_seconds",
            "From submission to the end of a request's last sequence",
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )

    def started(self, start: Start) -> None:
        """The process is ready, by these stages."""
        for stage, seconds in start.stages.items():
            self._start_seconds.labels(stage).set(seconds)

    def render(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
