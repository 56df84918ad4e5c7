"""What is asked of a course: each cost with its unit and, where there is one, its target. Pure."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.operator_scale.measure import Figures


@dataclass(frozen=True, slots=True)
class Cost:
    """One cost; `target` is the most that it may be with 1,000 models."""

    title: str
    unit: str
    of: Callable[[Figures], float]
    target: float | None = None


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed; infinite where there is none."""
    if not values:
        return float("inf")
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def _percent(seconds: float, figures: Figures) -> float:
    return 100 * seconds / figures.course.idle_seconds


COSTS = (
    Cost("all settled", "s", lambda f: f.settle_seconds, 60),
    Cost("operator's CPU to settle all", "s", lambda f: f.settle_cpu.own),
    Cost("API server's and etcd's CPU to apply and settle all", "s", lambda f: f.settle_cpu.servers),
    Cost("idle operator", "% of a core", lambda f: _percent(f.idle_cpu.own, f), 2),
    Cost("API server and etcd meanwhile", "% of a core", lambda f: _percent(f.idle_cpu.servers, f)),
    Cost("want to pod, one by one, p50", "ms", lambda f: 1000 * quantile(f.paced.to_pod, 0.5)),
    Cost("want to pod, one by one, p95", "ms", lambda f: 1000 * quantile(f.paced.to_pod, 0.95), 150),
    Cost("want to pod, all at once, p95", "ms", lambda f: 1000 * quantile(f.burst.to_pod, 0.95)),
    Cost("want to status Ready, one by one, p95", "ms", lambda f: 1000 * quantile(f.paced.to_ready, 0.95)),
    Cost("operator's CPU for a wake", "ms", lambda f: 1000 * f.paced.cpu.own / f.paced.wanted),
    Cost("operator with the woken pods serving", "% of a core", lambda f: _percent(f.awake_cpu.own, f)),
    Cost("operator's memory", "MiB", lambda f: f.resident_mib, 200),
    Cost("router: CPU to start", "s", lambda f: f.router.start_cpu.own),
    Cost("router: idle", "% of a core", lambda f: _percent(f.router.idle_cpu.own, f)),
    Cost("router: GET /v1/models, p50", "ms", lambda f: 1000 * quantile(f.router.list_seconds, 0.5)),
    Cost("router: memory", "MiB", lambda f: f.router.resident_mib),
)
