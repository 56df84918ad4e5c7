"""A batch of rows of a decoder-only model: left-padded, all rows write the same column.

- Padding is hidden by a 2D mask over the whole visible window; models that derive distances from columns (alibi,
  relative bias, a sliding window) see the right ones because every row ends at the same column.
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
from hfmodel_runtime.engine.batch import Prefill

PREFILL_CHUNK = 512  # tokens computed before running rows get their turn


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
        self.cache: Any = DynamicCache()
        self.length = 0

    def advance(self) -> torch.Tensor | None:
        end = min(self.length + self._chunk, len(self._tokens))
        tokens = list(self._tokens[self.length : end])
        positions = list(range(self.length, end))
        logits = self._forward([tokens], [positions], lengths=[end], cache=self.cache)
        self.length = end
        return cast("torch.Tensor", logits[0]) if end == len(self._tokens) else None


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

    def prefill(self, prompt: Sequence[int], answer: Sequence[int]) -> CausalPrefill:
        return CausalPrefill(self._forward, (*prompt, *answer), chunk=self._chunk)

    def join(self, prefill: Prefill) -> None:
        if not isinstance(prefill, CausalPrefill):
            raise TypeError(f"not a row of this batch: {type(prefill).__name__}")
        if self.rows:
            kv.append_rows(self._cache.layers, prefill.cache.layers, left=True)
        else:
            self._cache = prefill.cache
        self._lengths.append(prefill.length)

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
