"""What one row asks of its logits before a token is chosen: penalties, biases and forbidden end tokens.

Only the few columns that change are touched, gathered over all rows of the batch into one write each.
"""

from collections.abc import Iterable, Sequence

import torch

from hfmodel_runtime.engine.protocol import Sampling


class Counts:
    """How often each token of an answer came, kept so that a step costs the same however long the answer is."""

    def __init__(self) -> None:
        self.ids = torch.empty(0, dtype=torch.long)  # each once
        self.times = torch.empty(0)  # how often, beside its id
        self._place: dict[int, int] = {}

    def add(self, token_id: int) -> None:
        """Count a token."""
        place = self._place.setdefault(token_id, len(self._place))
        if place == len(self.ids):
            self.ids = torch.cat([self.ids, torch.tensor([token_id])])
            self.times = torch.cat([self.times, torch.ones(1)])
        else:
            self.times[place] += 1


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
        self._answered: set[int] = set()
        self._generated = 0
        self._counted = bool(sampling.presence_penalty or sampling.frequency_penalty)
        self._counts = Counts()
        self._bias_ids = torch.tensor([token_id for token_id, _ in sampling.logit_bias], dtype=torch.long)
        self._bias = torch.tensor([value for _, value in sampling.logit_bias], dtype=torch.float32)
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed)

    def record(self, token_id: int) -> None:
        """Count a token of the answer."""
        if self._penalised and token_id not in self._answered and token_id not in self._seen:
            self._repeated = torch.cat([self._repeated, torch.tensor([token_id])])
            self._answered.add(token_id)
        if self._counted:
            self._counts.add(token_id)
        self._generated += 1

    def uniform(self) -> float:
        """The row's next random number, in [0, 1): one for each sampled token, whatever else is in the batch."""
        return float(torch.rand((), generator=self._generator))

    def repeated(self) -> torch.Tensor | None:
        """Ids [n] that the repetition penalty applies to, each once; None if there is no penalty."""
        return self._repeated if self._penalised else None

    def biased(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Ids [n] and what is added to their logits [n]; None if nothing is."""
        return (self._bias_ids, self._bias) if len(self._bias_ids) else None

    def counted(self) -> Counts | None:
        """The tokens that presence and frequency penalties apply to; None if there are no such penalties."""
        return self._counts if self._counted else None

    def forbidden(self) -> tuple[int, ...]:
        """Ids that must not be chosen now."""
        early = self._generated < self.sampling.min_new_tokens
        return self._eos_ids if early or self.sampling.ignore_eos else ()


def edited(logits: torch.Tensor, rows: Sequence[RowSampler]) -> torch.Tensor:
    """`logits` [rows, vocab] with every row's edits; the given tensor itself if there are none."""
    repeated = [(i, ids) for i, row in enumerate(rows) if (ids := row.repeated()) is not None]
    biased = [(i, *bias) for i, row in enumerate(rows) if (bias := row.biased()) is not None]
    counted = [(i, counts) for i, row in enumerate(rows) if (counts := row.counted()) is not None]
    forbidden = [(i, token_id) for i, row in enumerate(rows) for token_id in row.forbidden()]
    if not (repeated or biased or counted or forbidden):
        return logits
    scores = logits.clone()
    if repeated:
        _penalise(scores, repeated, [row.sampling.repetition_penalty for row in rows])
    if biased:
        _add(scores, _where(scores, [(i, ids) for i, ids, _ in biased]), torch.cat([values for *_, values in biased]))
    if counted:
        where = _where(scores, [(i, counts.ids) for i, counts in counted])
        each = scores.new_tensor([(row.sampling.presence_penalty, row.sampling.frequency_penalty) for row in rows])
        presence, frequency = each[where[0]].unbind(dim=1)
        times = torch.cat([counts.times for _, counts in counted]).to(scores.device)
        _add(scores, where, -presence - frequency * times)
    if forbidden:
        scores[_columns(scores, forbidden)] = -torch.inf
    return scores


def _penalise(scores: torch.Tensor, repeated: list[tuple[int, torch.Tensor]], penalties: list[float]) -> None:
    where = _where(scores, repeated)
    penalty = scores.new_tensor(penalties)[where[0]]
    old = scores[where]
    scores[where] = torch.where(old < 0, old * penalty, old / penalty)


def _add(scores: torch.Tensor, where: tuple[torch.Tensor, torch.Tensor], values: torch.Tensor) -> None:
    scores.index_put_(where, values.to(scores.device, scores.dtype), accumulate=True)


def _where(scores: torch.Tensor, places: list[tuple[int, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.tensor([i for i, _ in places]).repeat_interleave(torch.tensor([len(ids) for _, ids in places]))
    return rows.to(scores.device), torch.cat([ids for _, ids in places]).to(scores.device)


def _columns(scores: torch.Tensor, places: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    row, column = torch.tensor(places, device=scores.device).unbind(dim=1)
    return row, column
