"""Figures of this engine that need no other server beside it: what sampling costs, whether memory stays flat, what
bfloat16 does to the quality."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import bars
from bench.engine import memory, quality, sampling

HEADER = ("question", "figure", "target")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A percentage that should be at most `target`."""

    name: str
    title: str
    percent: float
    target: float
    details: Mapping[str, Any]

    def row(self) -> tuple[str, ...]:
        """The cells of a table."""
        return (self.title, f"**{round(self.percent, 1) + 0:.1f} %**", f"at most {self.target:g} %")

    def bar(self) -> bars.Bar:
        """The same, drawn."""
        note = "at most the dashed line"
        return bars.Bar(
            label=self.title, note=note, value=max(0.0, self.percent), unit="%", target=self.target, at_most=True
        )


def _sampling(model_dir: Path, threads: int) -> Figure:
    costs = sampling.measure(model_dir, threads=threads)
    return Figure(
        name="sampling",
        title=f"sampling with every parameter, {sampling.ROWS} rows, share of a step",
        percent=costs.percent,
        target=sampling.TARGET,
        details={"step_cpu_ms": round(costs.step, 1), "sampling_cpu_ms": round(costs.sampling, 1)},
    )


def _memory(model_dir: Path, threads: int) -> Figure:
    resident = memory.measure(model_dir, threads=threads)
    return Figure(
        name="memory",
        title=f"resident memory's growth, last three quarters of {memory.REQUESTS} requests",
        percent=resident.growth_percent,
        target=memory.TARGET,
        details={"every": resident.every, "resident_mib": [round(mib, 1) for mib in resident.mib]},
    )


def _bfloat16(model_dir: Path, threads: int) -> Figure:
    compared = quality.measure(model_dir, threads=threads)
    return Figure(
        name="bfloat16-quality",
        title=f"perplexity's increase in bfloat16, {compared.tokens:,} tokens",
        percent=compared.increase_percent,
        target=quality.TARGET,
        details={
            "tokens": compared.tokens,
            "perplexity": {"float32": round(compared.full, 3), "bfloat16": round(compared.half, 3)},
            "same_next_token_percent": round(compared.same_percent, 1),
        },
    )


MEASURES: Mapping[str, Callable[[Path, int], Figure]] = {
    "sampling": _sampling,
    "memory": _memory,
    "bfloat16-quality": _bfloat16,
}
