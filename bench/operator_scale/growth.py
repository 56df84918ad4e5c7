"""How a cost grows with the number of models: a straight line by least squares. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """`fixed` for no model at all, and `each` for every model more."""

    fixed: float
    each: float

    def at(self, models: float) -> float:
        return self.fixed + self.each * models


def fit(points: Sequence[tuple[float, float]]) -> Line:
    """The line nearest to the points (models, cost); level where there is only one number of models."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return Line(mean_y, 0.0)
    each = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return Line(mean_y - each * mean_x, each)
