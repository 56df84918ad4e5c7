"""Choosing one token for every row of a batch, each row by its own parameters.

A sampled token costs its row one uniform number and is read off the row's own cumulative distribution, so a seed gives
the same tokens alone and in any batch. Sorting the whole vocabulary is what makes sampling slow, so filters look at the
likeliest tokens only; a row whose filter reaches beyond them is sorted in full.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from hfmodel_runtime.engine.penalties import RowSampler, edited

_COLDEST = 1e-6  # a temperature below it is no number any more once scores are divided by it
_TOP_SETS = (256, 2048)
_GROUP = 64  # columns
_AT_ONCE = 512 * 1024  # scores whose copies stay in the processor's cache, and need no fresh memory


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen token; log probabilities only where the row asked for them."""

    token_id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()  # likeliest first


@dataclass(frozen=True, slots=True)
class Kept:
    """The tokens that filters leave, likeliest first.

    Attributes:
        ids, weights: [rows, n]; the weight of a token that was filtered out is 0, the others do not sum to 1.
        complete: [rows]; False where it takes tokens beyond these n to tell.
    """

    ids: torch.Tensor
    weights: torch.Tensor
    complete: torch.Tensor


def sample(logits: torch.Tensor, rows: Sequence[RowSampler]) -> list[Choice | None]:
    """A choice for each row of `logits` [rows, vocab]; None where the model's output is not a number."""
    raw = logits.float()
    usable = torch.isfinite(raw.amax(dim=-1)).tolist()
    scores = edited(raw, rows)
    chosen = torch.empty(len(rows), dtype=torch.long, device=scores.device)
    by_way: dict[Callable[[torch.Tensor, Sequence[RowSampler]], torch.Tensor], list[int]] = {}
    for i, row in enumerate(rows):
        by_way.setdefault(_way(row), []).append(i)
    for way, picked in by_way.items():
        where = torch.tensor(picked, device=scores.device)
        picked_scores = scores if len(picked) == len(rows) else scores[where]
        chosen[where] = way(picked_scores, [rows[i] for i in picked])
    choices = _with_logprobs(raw, rows, chosen)
    return [choice if ok else None for choice, ok in zip(choices, usable, strict=True)]


def scaled(scores: torch.Tensor, rows: Sequence[RowSampler]) -> torch.Tensor:
    """Scores by temperature, the likeliest of each row at 0, so that no temperature overflows."""
    temperature = scores.new_tensor([max(row.sampling.temperature, _COLDEST) for row in rows]).unsqueeze(-1)
    return (scores - scores.amax(dim=-1, keepdim=True)).div_(temperature)


def kept(scores: torch.Tensor, rows: Sequence[RowSampler], *, width: int) -> Kept:
    """What top_k, top_p and min_p leave of the `width` likeliest tokens, as transformers applies them in that order."""
    best, ids = likeliest(scores, width)
    values = scaled(best, rows)
    top_k = torch.tensor([row.sampling.top_k for row in rows], device=scores.device)
    top_p = scores.new_tensor([row.sampling.top_p for row in rows])
    min_p = scores.new_tensor([row.sampling.min_p for row in rows])

    bounded = (top_k > 0) & (top_k <= width)
    beyond = (top_k > width) & (top_k < scores.shape[-1])  # top_p is a share of a set that is not all here
    last = values.gather(1, (top_k.clamp(1, width) - 1).unsqueeze(-1))
    keep = ~bounded.unsqueeze(-1) | (values >= last)  # as transformers, ties with the k-th stay
    everything = values.masked_fill(~keep, -torch.inf).logsumexp(dim=-1)
    if not bool(bounded.all()):
        # The likeliest is at 0, so nothing overflows; in place, because a vocabulary's worth of memory costs time.
        everything = torch.where(bounded, everything, scaled(scores, rows).exp_().sum(dim=-1).log_())
    probabilities = (values - everything.unsqueeze(-1)).exp().masked_fill(~keep, 0.0)
    before = probabilities.cumsum(dim=-1) - probabilities
    keep &= (before < top_p.unsqueeze(-1)) | (top_p >= 1).unsqueeze(-1)
    keep &= values >= values[:, :1] + min_p.log().unsqueeze(-1)
    return Kept(
        ids=ids,
        weights=probabilities.masked_fill(~keep, 0.0),
        complete=bounded | (~keep[:, -1] & ~beyond) | (width == scores.shape[-1]),
    )


def likeliest(scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `count` greatest of each row and their columns, [rows, count] each, as `topk` finds them.

    None of them is outside the `count` groups of columns with the greatest maxima, so that only those are sorted. Where
    that would be most of the row, and on GPUs, all of it is.
    """
    columns = scores.shape[-1]
    grouped = columns - columns % _GROUP
    if scores.device.type != "cpu" or 2 * count * _GROUP > columns:
        sorted_whole = scores.topk(count, dim=-1)
        return sorted_whole.values, sorted_whole.indices
    maxima = scores[:, :grouped].reshape(len(scores), -1, _GROUP).amax(dim=-1)
    groups = maxima.topk(count, dim=-1).indices.unsqueeze(-1)
    inside = (groups * _GROUP + torch.arange(_GROUP)).flatten(1)
    rest = torch.arange(grouped, columns).expand(len(scores), -1)
    found = torch.cat([inside, rest], dim=1)
    best = scores.gather(1, found).topk(count, dim=-1)
    return best.values, found.gather(1, best.indices)


def _way(row: RowSampler) -> Callable[[torch.Tensor, Sequence[RowSampler]], torch.Tensor]:
    """How tokens are chosen from scores [rows, vocab] for rows like this one."""
    if row.sampling.greedy:
        return _likeliest
    is_filtered = row.sampling.top_k > 0 or row.sampling.top_p < 1 or row.sampling.min_p > 0
    return _draw_filtered if is_filtered else _draw_plain


def _likeliest(scores: torch.Tensor, _: Sequence[RowSampler]) -> torch.Tensor:
    return scores.argmax(dim=-1)


def _draw_plain(scores: torch.Tensor, rows: Sequence[RowSampler]) -> torch.Tensor:
    weights = scaled(scores, rows).exp_()
    return _read_off(weights, _uniforms(rows, weights)).squeeze(-1)


def _draw_filtered(scores: torch.Tensor, rows: Sequence[RowSampler]) -> torch.Tensor:
    uniforms = _uniforms(rows, scores)
    chosen = torch.empty(len(rows), dtype=torch.long, device=scores.device)
    left = list(range(len(rows)))
    for width in _widths(rows, scores.shape[-1]):
        where = torch.tensor(left, device=scores.device)
        tokens = kept(scores if len(left) == len(rows) else scores[where], [rows[i] for i in left], width=width)
        chosen[where] = tokens.ids.gather(1, _read_off(tokens.weights, uniforms[where])).squeeze(-1)
        left = [i for i, complete in zip(left, tokens.complete.tolist(), strict=True) if not complete]
        if not left:
            break
    return chosen


def _widths(rows: Sequence[RowSampler], vocabulary: int) -> list[int]:
    """How many of the likeliest tokens to look at: first few, then more for the rows that need them, then all."""
    first = max(min(row.sampling.top_k or _TOP_SETS[0], _TOP_SETS[0]) for row in rows)
    return [*(width for width in (first, *_TOP_SETS[1:]) if width < vocabulary), vocabulary]


def _uniforms(rows: Sequence[RowSampler], like: torch.Tensor) -> torch.Tensor:
    return like.new_tensor([row.uniform() for row in rows]).unsqueeze(-1)


def _read_off(weights: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Columns [rows, 1] where the cumulative weights pass the uniform share of their total; never one of weight 0."""
    cumulative = weights.cumsum(dim=-1)
    total = cumulative[:, -1:]
    # Rounding must not reach the total itself, or the last column would be taken whatever its weight.
    target = torch.minimum(uniforms * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, target, right=True).clamp(max=weights.shape[-1] - 1)


def _with_logprobs(raw: torch.Tensor, rows: Sequence[RowSampler], chosen: torch.Tensor) -> list[Choice]:
    token_ids: list[int] = chosen.tolist()
    choices = [Choice(token_id) for token_id in token_ids]
    asked = [(i, row.sampling.logprobs) for i, row in enumerate(rows) if row.sampling.logprobs is not None]
    if not asked:
        return choices
    where = torch.tensor([i for i, _ in asked], device=raw.device)
    asked_logits = raw if len(asked) == len(rows) else raw[where]
    few = max(1, _AT_ONCE // raw.shape[-1])
    total = torch.cat([part.logsumexp(dim=-1, keepdim=True) for part in torch.split(asked_logits, few)])
    own = (asked_logits.gather(1, chosen[where].unsqueeze(-1)) - total).squeeze(-1).tolist()
    best, best_ids = likeliest(asked_logits, min(max(k for _, k in asked), raw.shape[-1]))
    best = best - total
    for (i, k), logprob, ids, values in zip(asked, own, best_ids.tolist(), best.tolist(), strict=True):
        choices[i] = Choice(token_ids[i], logprob, tuple(zip(ids[:k], values[:k], strict=True)))
    return choices
