"""What the engine needs of a model: rows of key and value states that decode together and join and leave at any step.

Behind this interface the storage may change (preallocated slots, paged blocks, a prefix cache) and the engine does not
notice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True, slots=True)
class RowTokens:
    """What a row begins with."""

    prompt: Sequence[int]
    answer: Sequence[int] = ()  # the tokens it has generated before, if it starts anew


class Prefill(Protocol):
    """Rows in the making, computed apart and piece by piece so that running rows need not wait for a long prompt."""

    def advance(self) -> torch.Tensor | None:
        """Compute the next piece: None, or once it was the last the logits [rows, vocab] of the rows' next tokens."""


class RowBatch(Protocol):
    """Rows that decode together. If `join`, `keep` or `step` raises, the batch is void and its rows must start anew."""

    @property
    def rows(self) -> int: ...

    @property
    def columns(self) -> int:
        """Cached tokens of the longest row: the batch takes the memory of `rows * columns` tokens."""

    def columns_of(self, prompt: int, answer: int) -> int:
        """Columns that a row of so many tokens needs."""

    def bytes_per_token(self) -> int:
        """Bytes that one column of one row takes, measured on the rows it has (at least one)."""

    def worth_together(self, rows: Sequence[RowTokens]) -> int:
        """How many of the first of these rows are better computed together; at least one."""

    def prefill(self, rows: Sequence[RowTokens]) -> Prefill:
        """Begin rows."""

    def join(self, prefill: Prefill, rows: Sequence[int]) -> None:
        """Add these rows of a finished prefill, in this order, as the last ones."""

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Feed each row its newest token; returns the logits [rows, vocab] of the next ones."""

    def step_beside(self, tokens: Sequence[int], prefill: Prefill) -> tuple[torch.Tensor, torch.Tensor | None] | None:
        """`step`, and `prefill.advance` of rows that are not in it yet, in one pass. None: that cannot be done in one.

        If it raises, the batch is as it was, and the prefill is void.
        """

    def simplify(self) -> bool:
        """Compute in a plainer and slower way from now on; the batch is empty. Whether there was one."""

    def improve(self) -> bool:
        """Nobody needs the engine now: do a little of what makes later steps faster. Whether more of it is left."""

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but these, which keep their order."""

    def clear(self) -> None:
        """Drop everything, also after a failure."""
