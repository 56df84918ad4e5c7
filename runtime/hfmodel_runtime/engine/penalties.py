"""What one row asks of its logits before a token is chosen: penalties, biases and forbidden end tokens.

Only the few columns that change are touched, gathered over all rows of the batch into one write each.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch

from hfmodel_runtime.engine.protocol import Sampling


class RowSampler:
    """Sampling state of one sequence: its parameters, the tokens it has seen and its random numbers.

    Args:
        prompt: ids that the repetition penalty counts beside the answer (for seq2seq: the decoder's start).
        eos_ids: the model's end tokens.
    """

    def __init__(self, sampling: Sampling, *, prompt: Sequence[int], eos_ids: Iterable[int]) -> None:
        self.sampling = sampling
        self._penalised = sampling.repetition_penalty != 1
        self._seen = frozenset(prompt) if self._penalised else frozenset()
        self._repeated = torch.tensor(sorted(self._seen), dtype=torch.long)
        self._eos_ids = tuple(eos_ids)
        self._counts: Counter[int] = Counter()
        self._generated = 0
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed)

    def record(self, token_id: int) -> None:
        """Count a token of the answer."""
        if self._penalised and token_id not in self._counts and token_id not in self._seen:
            self._repeated = torch.cat([self._repeated, torch.tensor([token_id])])
        self._counts[token_id] += 1
        self._generated += 1

    def uniform(self) -> float:
        """The row's next random number, in [0, 1): one for each sampled token, whatever else is in the batch."""
        return float(torch.rand((), generator=self._generator))

    def repeated(self) -> torch.Tensor | None:
        """Ids [n] that the repetition penalty applies to, each once; None if there is no penalty."""
        return self._repeated if self._penalised else None

    def additions(self) -> list[tuple[int, float]]:
        """(id, what is added to its logit); an id may occur more than once."""
        added = list(self.sampling.logit_bias)
        presence, frequency = self.sampling.presence_penalty, self.sampling.frequency_penalty
        if presence or frequency:
            added.extend((token_id, -presence - frequency * count) for token_id, count in self._counts.items())
        return added

    def forbidden(self) -> tuple[int, ...]:
        """Ids that must not be chosen now."""
        early = self._generated < self.sampling.min_new_tokens
        return self._eos_ids if early or self.sampling.ignore_eos else ()


def edited(logits: torch.Tensor, rows: Sequence[RowSampler]) -> torch.Tensor:
    """`logits` [rows, vocab] with every row's edits; the given tensor itself if there are none."""
    repeated = [(i, ids) for i, row in enumerate(rows) if (ids := row.repeated()) is not None]
    added = [(i, token_id, value) for i, row in enumerate(rows) for token_id, value in row.additions()]
    forbidden = [(i, token_id) for i, row in enumerate(rows) for token_id in row.forbidden()]
    if not (repeated or added or forbidden):
        return logits
    scores = logits.clone()
    if repeated:
        _penalise(scores, repeated, [row.sampling.repetition_penalty for row in rows])
    if added:
        where = _columns(scores, [(i, token_id) for i, token_id, _ in added])
        scores.index_put_(where, scores.new_tensor([value for *_, value in added]), accumulate=True)
    if forbidden:
        scores[_columns(scores, forbidden)] = -torch.inf
    return scores


def _penalise(scores: torch.Tensor, repeated: list[tuple[int, torch.Tensor]], penalties: list[float]) -> None:
    row = torch.cat([torch.full_like(ids, i) for i, ids in repeated]).to(scores.device)
    column = torch.cat([ids for _, ids in repeated]).to(scores.device)
    where = (row, column)
    penalty = scores.new_tensor(penalties)[row]
    old = scores[where]
    scores[where] = torch.where(old < 0, old * penalty, old / penalty)


def _columns(scores: torch.Tensor, places: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    row, column = torch.tensor(places, device=scores.device).unbind(dim=1)
    return row, column
