"""What was measured as tables, as bars, and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench import bars, results
from bench.relay.measure import CONNECTIONS, RATE, STREAMS, Figures, Measured
from bench.relay.proxies import CADDY, OURS, without_log

_PLAIN_TARGET, _STREAM_TARGET = 1.25, 1.1  # times the baseline's CPU
_P50_TARGET, _P99_TARGET = 1.5, 5.0  # milliseconds added
_MEMORY_TARGET = 250.0  # MB
_HEADER = (
    "proxy",
    "CPU per request",
    "CPU per stream of 50 chunks",
    "requests/s seen",
    f"added at {RATE:g}/s, p50",
    "p99",
    f"{STREAMS} open streams",
    "reads per stream",
)


def tables(measured: Measured) -> str:
    """Each proxy's figures, and ours beside their targets."""
    rows = [_row(figures, measured) for figures in measured.proxies]
    targets = [(bar.label, f"**{bar.value:.3g}**", f"at most {bar.target:g} {bar.unit}") for bar in chart(measured)]
    one, two = measured.replicas[1], measured.replicas[2]
    replicas = (
        f"Two routers behind {CONNECTIONS} connections: {two.per_second:.0f} requests/s, one: {one.per_second:.0f}; "
        f"CPU per request {two.cpu * 1e6:.0f} and {one.cpu * 1e6:.0f} us."
    )
    parts = [results.table(_HEADER, rows), results.table(("hfmodel-router", "figure", "target"), targets), replicas]
    return "\n\n".join(parts)


def _row(figures: Figures, measured: Measured) -> Sequence[str]:
    return (
        figures.name,
        f"{figures.plain_cpu() * 1e6:.0f} us",
        f"{figures.stream_cpu() * 1e6:.0f} us",
        f"{max(each.per_second for each in figures.plain):.0f}",
        f"{measured.added(figures, lambda paced: paced.p50) * 1e3:.2f} ms",
        f"{measured.added(figures, lambda paced: paced.p99) * 1e3:.2f} ms",
        f"{figures.resident / 1e6:.0f} MB",
        f"{sum(each.reads for each in figures.stream) / len(figures.stream):.0f}",
    )


def chart(measured: Measured) -> list[bars.Bar]:
    """Our figures, beside what they should be at most; those beside the baseline only where it was there."""
    ours = measured.proxies[0]
    added = [measured.added(ours, share) * 1e3 for share in (lambda paced: paced.p50, lambda paced: paced.p99)]
    return [
        *_beside_caddy(measured),
        _at_most(f"added at {RATE:g} requests/s, p50", added[0], "ms", _P50_TARGET),
        _at_most(f"added at {RATE:g} requests/s, p99", added[1], "ms", _P99_TARGET),
        _at_most(f"{STREAMS} open streams", ours.resident / 1e6, "MB", _MEMORY_TARGET),
    ]


def _beside_caddy(measured: Measured) -> list[bars.Bar]:
    """Like beside like: both write a line for each request, or neither does."""
    by_name = {figures.name: figures for figures in measured.proxies}
    found = []
    for note, name, other in (("", OURS, CADDY), (", without log", without_log(OURS), without_log(CADDY))):
        if other in by_name:
            ours, theirs = by_name[name], by_name[other]
            plain, stream = ours.plain_cpu() / theirs.plain_cpu(), ours.stream_cpu() / theirs.stream_cpu()
            found.append(_at_most(f"CPU per request, of {CADDY}'s{note}", plain, "times", _PLAIN_TARGET))
            found.append(_at_most(f"CPU per stream, of {CADDY}'s{note}", stream, "times", _STREAM_TARGET))
    return found


def _at_most(label: str, value: float, unit: str, target: float) -> bars.Bar:
    return bars.Bar(label=label, note="", value=value, unit=unit, target=target, at_most=True)


def content(measured: Measured) -> dict[str, Any]:
    """What goes into the JSON."""
    return asdict(measured)
