"""Starts as stacked bars: what each second went into. Drawn as SVG, with nothing but this file."""

from collections.abc import Mapping
from html import escape

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 860, 250, 70, 44, 76
_COLOURS = {
    "decide": "#8c6d31",
    "schedule": "#9e9ac8",
    "container": "#6b6ecf",
    "port": "#c7c7c7",
    "imports": "#d6616b",
    "weights": "#5b9bd5",
    "warm-up": "#e7ba52",
    "seen": "#a1d99b",
    "answer": "#2f7d4f",
}


def draw(starts: Mapping[str, Mapping[str, float]], *, title: str) -> str:
    """An SVG document; `starts`: seconds of each stage, by what started."""
    longest = max(sum(stages.values()) for stages in starts.values())
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    rows = "".join(
        _row(label, stages, top=_TOP + _ROW * number, scale=scale)
        for number, (label, stages) in enumerate(starts.items())
    )
    shown = [stage for stage in _COLOURS if any(stage in stages for stages in starts.values())]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_TOP + _ROW * len(starts)}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/><text x="12" y="24" font-size="15">{escape(title)}</text>'
        f"{''.join(_legend(stage, number) for number, stage in enumerate(shown))}{rows}</svg>\n"
    )


def _legend(stage: str, number: int) -> str:
    x = 12 + 92 * number
    return (
        f'<rect x="{x}" y="40" width="12" height="12" fill="{_COLOURS[stage]}"/>'
        f'<text x="{x + 17}" y="50">{escape(stage)}</text>'
    )


def _row(label: str, stages: Mapping[str, float], *, top: int, scale: float) -> str:
    x, pieces = float(_LEFT), []
    for stage, seconds in stages.items():
        pieces.append(
            f'<rect x="{x:.1f}" y="{top}" width="{seconds * scale:.1f}" height="26" fill="{_COLOURS[stage]}">'
            f"<title>{escape(stage)} {seconds:.2f} s</title></rect>"
        )
        x += seconds * scale
    return (
        f'<text x="{_LEFT - 8}" y="{top + 17}" text-anchor="end">{escape(label)}</text>{"".join(pieces)}'
        f'<text x="{x + 6:.1f}" y="{top + 17}">{sum(stages.values()):.2f} s</text>'
    )
