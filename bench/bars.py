"""A bar for each question, with its target as a dashed line. Drawn as SVG, with nothing but this file."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 860, 400, 90, 34, 46
_GOOD, _SHORT = "#2f7d4f", "#b5651d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One figure and what it should be.

    Attributes:
        note: in small print below the label, such as what it was measured beside.
        unit: follows the figure; "x" for a ratio.
        target: None where there is none.
        at_most: whether the target is a bound from above.
    """

    label: str
    note: str
    value: float
    unit: str
    target: float | None
    at_most: bool = False

    @property
    def met(self) -> bool:
        if self.target is None:
            return True
        return self.value <= self.target if self.at_most else self.value >= self.target


def draw(bars: Sequence[Bar], *, title: str) -> str:
    """An SVG document. All bars share one scale."""
    most = max(max(bar.value, bar.target or 0) for bar in bars)
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    drawn = "".join(_bar(bar, top=_TOP + _ROW * number, scale=scale) for number, bar in enumerate(bars))
    height = _TOP + _ROW * len(bars) + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/><text x="12" y="24" font-size="15">{escape(title)}</text>'
        f"{drawn}</svg>\n"
    )


def _bar(bar: Bar, *, top: int, scale: float) -> str:
    width = bar.value * scale
    colour = _GOOD if bar.met else _SHORT
    return (
        f'<text x="{_LEFT - 8}" y="{top + 10}" text-anchor="end">{escape(bar.label)}</text>'
        f'<text x="{_LEFT - 8}" y="{top + 23}" text-anchor="end" fill="#777">{escape(bar.note)}</text>'
        f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="20" fill="{colour}"/>'
        f'<text x="{_LEFT + width + 5:.1f}" y="{top + 14}">{bar.value:.3g} {escape(bar.unit)}</text>'
        f"{'' if bar.target is None else _target(_LEFT + bar.target * scale, top)}"
    )


def _target(x: float, top: int) -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 3}" y2="{top + 23}" stroke="black" stroke-dasharray="3 2"/>'
