"""Figures as tables, as a chart, and as JSON; with what a straight line through them says of more models."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench import results
from bench.operator_scale.costs import COSTS, Cost
from bench.operator_scale.growth import Line, fit
from bench.operator_scale.lines import draw
from bench.operator_scale.measure import Figures

FAR = 5000  # models, extrapolated


def tables(figures: Sequence[Figures]) -> str:
    """What it costs, and what was asked of the API server."""
    header = ["cost", *(f"{each.course.models} models" for each in figures), "target at 1000", f"a line to {FAR}"]
    rows = [_row(cost, figures) for cost in COSTS]
    calls = [_calls(each) for each in figures]
    return results.table(header, rows) + "\n\n" + "\n".join(calls)


def _row(cost: Cost, figures: Sequence[Figures]) -> list[str]:
    cells = [f"{cost.of(each):.3g} {cost.unit}" for each in figures]
    target = "" if cost.target is None else f"{cost.target:g} {cost.unit}"
    line = _line(cost, figures)
    far = f"{line.at(FAR):.3g} {cost.unit}" if line.each >= 0 else "no growth"
    return [cost.title, *cells, target, far]


def _line(cost: Cost, figures: Sequence[Figures]) -> Line:
    return fit([(each.course.models, cost.of(each)) for each in figures])


def _calls(figures: Figures) -> str:
    parts = {
        "to settle": figures.settle_calls,
        "idle": figures.idle_calls,
        "to wake one by one": figures.paced.calls,
        "to wake all at once": figures.burst.calls,
        "with pods serving": figures.awake_calls,
    }
    lines = [f"- {name}: {_counted(calls)}" for name, calls in parts.items()]
    return f"Calls with {figures.course.models} models:\n" + "\n".join(lines)


def _counted(calls: Mapping[str, int]) -> str:
    most_first = sorted(calls.items(), key=lambda entry: entry[1], reverse=True)
    return ", ".join(f"{count} {call}" for call, count in most_first)


def content(figures: Sequence[Figures]) -> dict[str, Any]:
    """What goes into the JSON."""
    return {
        "costs": [
            {
                "title": cost.title,
                "unit": cost.unit,
                "target": cost.target,
                "measured": {each.course.models: _number(cost.of(each)) for each in figures},
                "fixed": _number(_line(cost, figures).fixed),
                "each_model": _number(_line(cost, figures).each),
            }
            for cost in COSTS
        ],
        "courses": [asdict(each) for each in figures],
    }


def _number(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def chart(figures: Sequence[Figures]) -> str:
    """A small diagram of each cost that has a target."""
    return draw(
        [
            (cost, [(each.course.models, cost.of(each)) for each in figures], _line(cost, figures))
            for cost in COSTS
            if cost.target is not None
        ],
        far=FAR,
        title="What many models cost: measured, and a straight line on",
    )
