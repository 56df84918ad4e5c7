"""A batch of rows of a decoder-only model: left-padded, all rows write the same column.

- Padding is hidden by a 2D mask over the whole visible window; models that derive distances from columns (alibi,
  relative bias, a sliding window) see the right ones because every row ends at the same column.
- Short prompts that wait together are computed together, padded in the same way; the states of their padding are
  cleared before they join, because a masked state that is not a number still spoils a sum.
- True position ids are always given where the model takes them: left out, a padded row is silently wrong.
- The cache is made without the model's config, so that every layer keeps its full length and a sliding window is the
  mask's doing; layers that drop old columns by themselves cannot be padded.
"""

import inspect
from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers import DynamicCache

from hfmodel_runtime.engine import kv
from hfmodel_runtime.engine.batch import Prefill, RowTokens

PREFILL_CHUNK = 512  # tokens computed before running rows get their turn
_MAX_PADDING = 2.0  # times the tokens of a group that may be computed for it


class CausalForward:
    """The model's forward pass with only the arguments it takes."""

    def __init__(self, model: Any) -> None:
        parameters = inspect.signature(model.forward).parameters
        self._model = model
        self._takes_positions = "position_ids" in parameters
        self._fixed: dict[str, Any] = {"use_cache": True, "return_dict": True}
        if "logits_to_keep" in parameters:
            self._fixed["logits_to_keep"] = 1
        self.device: torch.device = model.get_input_embeddings().weight.device

    def __call__(self, tokens: list[list[int]], positions: list[list[int]], *, lengths: list[int], cache: Any) -> Any:
        """Logits [rows, vocab] after the last of `tokens`, by which `cache` grows.

        `lengths` are the rows' true ones, tokens included.
        """
        arguments: dict[str, Any] = {"attention_mask": self._mask(lengths)}
        if self._takes_positions:
            arguments["position_ids"] = torch.tensor(positions, device=self.device)
        output = self._model(
            input_ids=torch.tensor(tokens, device=self.device), past_key_values=cache, **arguments, **self._fixed
        )
        return output.logits[:, -1]

    def _mask(self, lengths: list[int]) -> torch.Tensor | None:
        width = max(lengths)
        if min(lengths) == width:
            return None
        first = torch.tensor([width - length for length in lengths], device=self.device).unsqueeze(-1)
        return (torch.arange(width, device=self.device) >= first).long()


class CausalPrefill:
    """One row of a decoder-only model, prompt and earlier answer computed chunk by chunk."""

    def __init__(self, forward: CausalForward, tokens: Sequence[int], *, chunk: int) -> None:
        self._forward = forward
        self._tokens = tuple(tokens)
        self._chunk = chunk
        self._done = 0
        self.cache: Any = DynamicCache()
        self.lengths = [len(tokens)]

    def advance(self) -> torch.Tensor | None:
        end = min(self._done + self._chunk, len(self._tokens))
        tokens = list(self._tokens[self._done : end])
        positions = list(range(self._done, end))
        logits = self._forward([tokens], [positions], lengths=[end], cache=self.cache)
        self._done = end
        return cast("torch.Tensor", logits) if end == len(self._tokens) else None


class GroupPrefill:
    """Several short rows of a decoder-only model, computed in one pass."""

    def __init__(self, forward: CausalForward, rows: Sequence[Sequence[int]]) -> None:
        self._forward = forward
        self._rows = [list(row) for row in rows]
        self.cache: Any = DynamicCache()
        self.lengths = [len(row) for row in rows]

    def advance(self) -> torch.Tensor | None:
        width = max(self.lengths)
        missing = [width - length for length in self.lengths]
        tokens = [[0] * count + row for count, row in zip(missing, self._rows, strict=True)]
        positions = [[0] * count + list(range(width - count)) for count in missing]
        logits = self._forward(tokens, positions, lengths=self.lengths, cache=self.cache)
        kv.clear_padding(self.cache.layers, missing)
        return cast("torch.Tensor", logits)


class CausalBatch:
    """`RowBatch` of a decoder-only model."""

    def __init__(self, model: Any, *, chunk: int = PREFILL_CHUNK) -> None:
        self._forward = CausalForward(model)
        self._chunk = chunk
        self._cache: Any = None
        self._lengths: list[int] = []

    @property
    def rows(self) -> int:
        return len(self._lengths)

    @property
    def columns(self) -> int:
        return max(self._lengths, default=0)

    def columns_of(self, prompt: int, answer: int) -> int:
        return prompt + answer

    def bytes_per_token(self) -> int:
        return kv.bytes_per_column(self._cache.layers)

    def worth_together(self, columns: Sequence[int]) -> int:
        """As many as fit into one chunk, unless more than half of what is computed would be padding."""
        total = widest = 0
        for count, own in enumerate(columns):
            total, widest = total + own, max(widest, own)
            computed = (count + 1) * widest
            if count > 0 and (computed > self._chunk or computed > _MAX_PADDING * total):
                return count
        return len(columns)

    def prefill(self, rows: Sequence[RowTokens]) -> CausalPrefill | GroupPrefill:
        tokens = [(*row.prompt, *row.answer) for row in rows]
        if len(tokens) == 1:
            return CausalPrefill(self._forward, tokens[0], chunk=self._chunk)
        return GroupPrefill(self._forward, tokens)

    def join(self, prefill: Prefill, rows: Sequence[int]) -> None:
        if not isinstance(prefill, CausalPrefill | GroupPrefill):
            raise TypeError(f"not rows of this batch: {type(prefill).__name__}")
        lengths = [prefill.lengths[row] for row in rows]
        if len(lengths) < len(prefill.lengths):
            kv.select_rows(prefill.cache.layers, rows, width=max(lengths), left=True)
        if self.rows:
            kv.append_rows(self._cache.layers, prefill.cache.layers, left=True)
        else:
            self._cache = prefill.cache
        self._lengths += lengths

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        positions = [[length] for length in self._lengths]
        self._lengths = [length + 1 for length in self._lengths]
        logits = self._forward([[token] for token in tokens], positions, lengths=self._lengths, cache=self._cache)
        return cast("torch.Tensor", logits)

    def keep(self, rows: Sequence[int]) -> None:
        if not rows:
            self.clear()
            return
        self._lengths = [self._lengths[row] for row in rows]
        kv.select_rows(self._cache.layers, rows, width=self.columns, left=True)

    def clear(self) -> None:
        self._cache = None
        self._lengths = []
