"""A batch of rows of an encoder-decoder model.

Every prompt is encoded alone, once. Encoder states are padded on the right, hidden by the encoder's mask; decoder
states on the left, so that all rows write the same column and relative distances are right.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch.nn.functional import pad
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from hfmodel_runtime.engine import kv
from hfmodel_runtime.engine.batch import Prefill, RowTokens


class Seq2SeqPrefill:
    """One row: its prompt encoded, its decoder started. Not split: encoders look in both directions."""

    def __init__(self, model: Any, prompt: Sequence[int], decoder_tokens: Sequence[int]) -> None:
        self._model = model
        self._prompt = list(prompt)
        self._decoder_tokens = list(decoder_tokens)
        self.cache: Any = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.encoded: torch.Tensor | None = None  # [1, prompt, hidden]
        self.length = len(self._decoder_tokens)

    def advance(self) -> torch.Tensor | None:
        device = self._model.get_input_embeddings().weight.device
        prompt = torch.tensor([self._prompt], device=device)
        self.encoded = self._model.get_encoder()(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), return_dict=True
        ).last_hidden_state
        output = self._model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self.encoded),
            attention_mask=torch.ones_like(prompt),
            decoder_input_ids=torch.tensor([self._decoder_tokens], device=device),
            past_key_values=self.cache,
            use_cache=True,
            return_dict=True,
        )
        return cast("torch.Tensor", output.logits[:, -1])


class Seq2SeqBatch:
    """`RowBatch` of an encoder-decoder model."""

    def __init__(self, model: Any, *, start: Sequence[int]) -> None:
        """`start`: the tokens that a decoder begins with."""
        self._model = model
        self._start = tuple(start)
        self._cache: Any = None
        self._encoded: torch.Tensor | None = None  # [rows, longest prompt, hidden]
        self._prompts: list[int] = []
        self._lengths: list[int] = []

    @property
    def rows(self) -> int:
        return len(self._lengths)

    @property
    def columns(self) -> int:
        return max(self._lengths, default=0) + max(self._prompts, default=0)

    def columns_of(self, prompt: int, answer: int) -> int:
        return prompt + len(self._start) + answer

    def bytes_per_token(self) -> int:
        return kv.bytes_per_column(self._cache.self_attention_cache.layers)

    def worth_together(self, rows: Sequence[RowTokens]) -> int:
        return 1

    def prefill(self, rows: Sequence[RowTokens]) -> Seq2SeqPrefill:
        (row,) = rows
        return Seq2SeqPrefill(self._model, row.prompt, (*self._start, *row.answer))

    def join(self, prefill: Prefill, rows: Sequence[int]) -> None:
        if not isinstance(prefill, Seq2SeqPrefill) or prefill.encoded is None or list(rows) != [0]:
            raise TypeError(f"not a finished row of this batch: {type(prefill).__name__}")
        if self._encoded is None:
            self._cache = prefill.cache
            self._encoded = prefill.encoded
        else:
            mine, theirs = self._cache, prefill.cache
            kv.append_rows(mine.self_attention_cache.layers, theirs.self_attention_cache.layers, left=True)
            kv.append_rows(mine.cross_attention_cache.layers, theirs.cross_attention_cache.layers, left=False)
            self._encoded = _stacked(self._encoded, prefill.encoded)
        self._prompts.append(prefill.encoded.shape[1])
        self._lengths.append(prefill.length)

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        if self._encoded is None:
            raise ValueError("the batch has no rows")
        self._lengths = [length + 1 for length in self._lengths]
        device = self._encoded.device
        output = self._model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self._encoded),
            attention_mask=_mask(self._prompts, left=False, device=device),
            decoder_input_ids=torch.tensor([[token] for token in tokens], device=device),
            decoder_attention_mask=_mask(self._lengths, left=True, device=device),
            past_key_values=self._cache,
            use_cache=True,
            return_dict=True,
        )
        return cast("torch.Tensor", output.logits[:, -1])

    def step_beside(self, tokens: Sequence[int], prefill: Prefill) -> None:
        return None

    def simplify(self) -> bool:
        return False

    def improve(self) -> bool:
        return False

    def keep(self, rows: Sequence[int]) -> None:
        if not rows or self._encoded is None:
            self.clear()
            return
        self._lengths = [self._lengths[row] for row in rows]
        self._prompts = [self._prompts[row] for row in rows]
        longest = max(self._prompts)
        kv.select_rows(self._cache.self_attention_cache.layers, rows, width=max(self._lengths), left=True)
        kv.select_rows(self._cache.cross_attention_cache.layers, rows, width=longest, left=False)
        wanted = torch.tensor(rows, device=self._encoded.device)
        self._encoded = self._encoded[:, :longest].index_select(0, wanted)

    def clear(self) -> None:
        self._cache = None
        self._encoded = None
        self._prompts = []
        self._lengths = []


def _mask(lengths: Sequence[int], *, left: bool, device: torch.device) -> torch.Tensor:
    column = torch.arange(max(lengths), device=device)
    own = torch.tensor(lengths, device=device).unsqueeze(-1)
    return (column >= max(lengths) - own if left else column < own).long()


def _stacked(above: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    width = max(above.shape[1], below.shape[1])
    return torch.cat([pad(states, (0, 0, 0, width - states.shape[1])) for states in (above, below)])
