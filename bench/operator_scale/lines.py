"""One small diagram for each cost: points that were measured, the line through them, the target. SVG by hand."""

from collections.abc import Sequence
from html import escape

from bench.operator_scale.costs import Cost
from bench.operator_scale.growth import Line

_WIDTH, _HEIGHT, _PAD, _TOP = 400, 190, 46, 40
_COLUMNS = 2
_MEASURED, _TARGET = "#2f7d4f", "#b5651d"

Diagram = tuple[Cost, Sequence[tuple[float, float]], Line]


def draw(diagrams: Sequence[Diagram], *, far: int, title: str) -> str:
    """An SVG document; every diagram goes from no model to `far`."""
    rows = -(-len(diagrams) // _COLUMNS)
    drawn = "".join(
        f'<g transform="translate({_WIDTH * (number % _COLUMNS)},{_TOP + _HEIGHT * (number // _COLUMNS)})">'
        f"{_diagram(diagram, far)}</g>"
        for number, diagram in enumerate(diagrams)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH * _COLUMNS}" height="{_TOP + _HEIGHT * rows}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/><text x="12" y="24" font-size="15">{escape(title)}</text>'
        f"{drawn}</svg>\n"
    )


def _diagram(diagram: Diagram, far: int) -> str:
    cost, points, line = diagram
    highest = 1.15 * max([cost.target or 0, line.at(far), line.fixed, *(y for _, y in points)])
    low, high = _HEIGHT - 30, 30

    def x(models: float) -> float:
        return _PAD + models / far * (_WIDTH - 2 * _PAD)

    def y(value: float) -> float:
        return low - max(0.0, value) / highest * (low - high)

    dots = "".join(f'<circle cx="{x(n):.1f}" cy="{y(v):.1f}" r="4" fill="{_MEASURED}"/>' for n, v in points)
    target = "" if cost.target is None else _stroke(x(0), y(cost.target), x(far), y(cost.target), _TARGET, dashed=True)
    return (
        f'<text x="{_PAD}" y="18">{escape(f"{cost.title} ({cost.unit}; dashed: at most {cost.target:g})")}</text>'
        f"{_stroke(x(0), low, x(far), low, '#999')}{_stroke(x(0), low, x(0), high, '#999')}"
        f"{_stroke(x(0), y(line.fixed), x(far), y(line.at(far)), _MEASURED)}{target}{dots}"
        f'<text x="{x(0):.0f}" y="{low + 16}">0</text>'
        f'<text x="{x(far):.0f}" y="{low + 16}" text-anchor="end">{far} models</text>'
        f'<text x="{x(far) + 4:.0f}" y="{y(line.at(far)):.0f}">{line.at(far):.3g}</text>'
    )


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>'
