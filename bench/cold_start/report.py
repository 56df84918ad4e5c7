"""What was measured, as rows of tables and as JSON."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.cold_start.started import Started
from bench.cold_start.wakes import LocalWakes, Wakes

PROCESS_TARGET = 0.5  # of the baseline's time
LOCAL_TARGET, CLUSTER_TARGET = 1.2, 4.0  # seconds
HEADER = ("question", "figure", "target")


@dataclass(frozen=True, slots=True)
class Measured:
    """All of one run; None for what was not asked for."""

    pairs: tuple[tuple[Started, Started], ...]  # ours, the baseline's
    local: LocalWakes | None
    cluster: Wakes | None

    @property
    def ratio(self) -> float:
        return statistics.median(ours.seconds / plain.seconds for ours, plain in self.pairs)

    @property
    def cpu_ratio(self) -> float:
        return statistics.median(ours.cpu_seconds / plain.cpu_seconds for ours, plain in self.pairs)


def rows(measured: Measured) -> list[tuple[str, ...]]:
    """The cells of the table."""
    each = ", ".join(f"{ours.seconds:.2f}/{plain.seconds:.2f}" for ours, plain in measured.pairs)
    found: list[tuple[str, ...]] = [
        ("process start to ready, of a plain import and load", f"**{measured.ratio:.2f}** ({each} s)", "0.5"),
        ("the same in CPU time", f"{measured.cpu_ratio:.2f}", ""),
    ]
    if measured.local is not None:
        found += _wakes("`hfmodel up`", measured.local.wakes, target=LOCAL_TARGET)
        for name, memory in (("parent", measured.local.parent), ("runtime", measured.local.runtime)):
            figure = f"{memory.resident / 2**20:.0f} MiB resident, {memory.proportional / 2**20:.0f} MiB its share"
            found.append((f"`hfmodel up`, memory of the {name}", figure, ""))
    if measured.cluster is not None:
        found += _wakes("cluster", measured.cluster, target=CLUSTER_TARGET)
    return found


def charted(measured: Measured) -> dict[str, dict[str, float]]:
    """Median seconds of each stage, by what started."""
    ours, plain = zip(*measured.pairs, strict=True)
    found = {"plain import and load": _median(each.stages for each in plain)}
    found["runtime process"] = _median(each.stages for each in ours)
    if measured.local is not None:
        found["wake of hfmodel up"] = _median(measured.local.wakes.stages)
    if measured.cluster is not None:
        found["wake in a cluster"] = _median(measured.cluster.stages)
    return found


def savings(measured: Measured) -> list[str]:
    """What could be saved at most by doing away with each stage, the largest first."""
    lines = []
    for name, stages in charted(measured).items():
        largest = sorted(stages.items(), key=lambda each: -each[1])[:4]
        lines.append(f"{name}: " + ", ".join(f"without {stage} {seconds:.2f} s less" for stage, seconds in largest))
    return lines


def content(measured: Measured, *, model: str) -> dict[str, Any]:
    """What goes into the JSON."""
    return {
        "model": model,
        "ratio": round(measured.ratio, 3),
        "cpu_ratio": round(measured.cpu_ratio, 3),
        "pairs": [{"ours": asdict(ours), "plain": asdict(plain)} for ours, plain in measured.pairs],
        "local": None if measured.local is None else asdict(measured.local),
        "cluster": None if measured.cluster is None else asdict(measured.cluster),
        "stages": charted(measured),
    }


def _wakes(name: str, wakes: Wakes, *, target: float) -> list[tuple[str, ...]]:
    p50, p95 = _share(wakes.seconds, 0.5), _share(wakes.seconds, 0.95)
    figure = f"**{p50:.2f} s**, p95 {p95:.2f} s ({len(wakes.seconds)} wakes)"
    return [(f"{name}: sleeping model to first byte, p50", figure, f"{target:g} s")]


def _share(times: Sequence[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def _median(stages: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """A stage that a start lacks took it no time."""
    starts = list(stages)
    names = dict.fromkeys(name for start in starts for name in start)
    return {name: round(statistics.median(start.get(name, 0.0) for start in starts), 3) for name in names}
