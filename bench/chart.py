"""A bar for each question: how many times better, beside its target. Drawn as SVG, with nothing but this file."""

from collections.abc import Sequence
from html import escape

from bench.engine import Answer

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 860, 400, 60, 34, 46


def chart(answers: Sequence[Answer], *, title: str) -> str:
    """An SVG document."""
    most = max(max(answer.ratio, answer.question.target) for answer in answers)
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    bars = "".join(_bar(answer, top=_TOP + _ROW * number, scale=scale) for number, answer in enumerate(answers))
    height = _TOP + _ROW * len(answers) + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/><text x="12" y="24" font-size="15">{escape(title)}</text>'
        f"{bars}</svg>\n"
    )


def _bar(answer: Answer, *, top: int, scale: float) -> str:
    question = answer.question
    width, target = answer.ratio * scale, _LEFT + question.target * scale
    colour = "#2f7d4f" if answer.ratio >= question.target else "#b5651d"
    return (
        f'<text x="{_LEFT - 8}" y="{top + 10}" text-anchor="end">{escape(question.title)}</text>'
        f'<text x="{_LEFT - 8}" y="{top + 23}" text-anchor="end" fill="#777">beside {escape(question.against.name)}'
        "</text>"
        f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="20" fill="{colour}"/>'
        f'<text x="{_LEFT + width + 5:.1f}" y="{top + 14}">{answer.ratio:.1f}x</text>'
        f'<line x1="{target:.1f}" x2="{target:.1f}" y1="{top - 3}" y2="{top + 23}" stroke="black" '
        'stroke-dasharray="3 2"/>'
    )
