"""A `RowBatch` without a model: a row's next token is its newest plus one, and tests say when it waits or fails."""

import threading
from collections.abc import Callable, Sequence

import torch

from hfmodel_runtime.engine.batch import Prefill, RowTokens

VOCABULARY = 320
_DEADLINE = 60.0


class ScriptedPrefill:
    def __init__(self, rows: Sequence[list[int]], *, pieces: int, fail: Callable[[int], bool]) -> None:
        self.rows = rows
        self._pieces = pieces
        self._fail = fail

    def finish(self) -> None:
        """Its next piece is its last."""
        self._pieces = 1

    def advance(self) -> torch.Tensor | None:
        if any(self._fail(row[0]) for row in self.rows):
            raise RuntimeError("no such prompt")
        self._pieces -= 1
        return None if self._pieces > 0 else _one_hot([row[-1] + 1 for row in self.rows])


class ScriptedBatch:
    """Rows are told apart by the first token of their prompt.

    Attributes:
        fail_prefill: whether the prefill of this row fails.
        fail_step: called with the rows of a step; what it returns is raised.
        prefill_now: the newest prefill.
        together: how many rows it would rather prefill at once.
        begun: how many rows each prefill had.
        joined: rows in the order in which they joined.
        most_rows: the largest batch so far.
        turn: clear it to hold the engine before its next step.
        improvements: how often it can still be improved; `improved` is set after the last.
    """

    def __init__(self, *, pieces: int = 1, one_pass: bool = False) -> None:
        self.fail_prefill: Callable[[int], bool] = lambda row: False
        self.fail_step: Callable[[list[int]], BaseException | None] = lambda rows: None
        self.together = 1
        self.prefill_now: ScriptedPrefill | None = None
        self.begun: list[int] = []
        self.joined: list[int] = []
        self.most_rows = 0
        self.turn = threading.Event()
        self.turn.set()
        self.improvements = 0
        self.improved = threading.Event()
        self._pieces = pieces
        self._one_pass = one_pass
        self._rows: list[list[int]] = []

    @property
    def rows(self) -> int:
        return len(self._rows)

    @property
    def columns(self) -> int:
        return max(map(len, self._rows), default=0)

    def columns_of(self, prompt: int, answer: int) -> int:
        return prompt + answer

    def bytes_per_token(self) -> int:
        return 1

    def worth_together(self, rows: Sequence[RowTokens]) -> int:
        return min(len(rows), self.together)

    def prefill(self, rows: Sequence[RowTokens]) -> ScriptedPrefill:
        self.begun.append(len(rows))
        tokens = [[*row.prompt, *row.answer] for row in rows]
        self.prefill_now = ScriptedPrefill(tokens, pieces=self._pieces, fail=self.fail_prefill)
        return self.prefill_now

    def join(self, prefill: Prefill, rows: Sequence[int]) -> None:
        assert isinstance(prefill, ScriptedPrefill)
        joining = [prefill.rows[row] for row in rows]
        self._rows += joining
        self.joined += [row[0] for row in joining]
        self.most_rows = max(self.most_rows, len(self._rows))

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        assert self.turn.wait(_DEADLINE)
        error = self.fail_step([row[0] for row in self._rows])
        if error is not None:
            raise error
        for row, token in zip(self._rows, tokens, strict=True):
            row.append(token)
        return _one_hot([token + 1 for token in tokens])

    def step_beside(self, tokens: Sequence[int], prefill: Prefill) -> tuple[torch.Tensor, torch.Tensor | None] | None:
        if not self._one_pass:
            return None
        begun = prefill.advance()
        return self.step(tokens), begun

    def simplify(self) -> bool:
        return False

    def improve(self) -> bool:
        self.improvements -= 1
        if self.improvements > 0:
            return True
        self.improved.set()
        return False

    def keep(self, rows: Sequence[int]) -> None:
        self._rows = [self._rows[row] for row in rows]

    def clear(self) -> None:
        self._rows = []


def _one_hot(tokens: Sequence[int]) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(tokens) % VOCABULARY, VOCABULARY).float()
