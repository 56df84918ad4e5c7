"""A decoder-only model's forward pass, and the start of rows by it."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch.nn.functional import pad
from transformers.cache_utils import DynamicCache

from hfmodel_runtime.engine import kv
from hfmodel_runtime.engine.prefixes import Beginning
from hfmodel_runtime.engine.slots import Frame, SlotLayer


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


class CausalPrefill(ABC):
    """Rows of a decoder-only model on their way into the batch; they end at the last column of `cache`."""

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        self.rows = [list(row) for row in rows]
        self.lengths = [len(row) for row in rows]
        self.cache: Any = DynamicCache()

    @abstractmethod
    def advance(self) -> torch.Tensor | None:
        """As `Prefill.advance`."""


class RowPrefill(CausalPrefill):
    """One row, computed chunk by chunk, from what is kept of it on."""

    def __init__(self, forward: CausalForward, tokens: Sequence[int], kept: Beginning | None, *, chunk: int) -> None:
        super().__init__([tokens])
        self._forward = forward
        self._chunk = chunk
        self._done = 0
        self._frame = Frame(rows=1)
        if kept is not None:
            self._go_on_from(kept)

    def advance(self) -> torch.Tensor | None:
        (row,) = self.rows
        end = min(self._done + self._chunk, len(row))
        positions = list(range(self._done, end))
        logits = self._forward([row[self._done : end]], [positions], lengths=[end], cache=self.cache)
        self._done = self._frame.end = end
        return cast("torch.Tensor", logits) if end == len(row) else None

    def _go_on_from(self, kept: Beginning) -> None:
        """Copy what is kept once, into buffers with room for the whole row."""
        self._done = self._frame.end = kept.length
        for pair in kept.kept.states:
            buffers = []
            for states in pair:
                buffer = states.new_empty((1, states.shape[1], self.lengths[0], states.shape[3]))
                buffer[:, :, : kept.length] = states[:, :, : kept.length]
                buffers.append(buffer)
            self.cache.layers.append(SlotLayer(self._frame, *buffers))


class GroupPrefill(CausalPrefill):
    """Several rows, computed in one pass: of each as many of its last tokens, before them what is kept of it."""

    def __init__(
        self, forward: CausalForward, rows: Sequence[Sequence[int]], kept: Sequence[Beginning | None], *, computed: int
    ) -> None:
        super().__init__(rows)
        self._forward = forward
        self._computed = computed
        shortened = [
            None if beginning is None or length <= computed else beginning.shortened(length - computed)
            for beginning, length in zip(kept, self.lengths, strict=True)
        ]
        _fill(self.cache, shortened)

    def advance(self) -> torch.Tensor | None:
        width, computed = max(self.lengths), self._computed
        tokens = [
            [0] * (computed - length) + row[-computed:] for length, row in zip(self.lengths, self.rows, strict=True)
        ]
        positions = [[max(0, length - computed + column) for column in range(computed)] for length in self.lengths]
        logits = self._forward(tokens, positions, lengths=self.lengths, cache=self.cache)
        kv.clear_padding(self.cache.layers, [width - length for length in self.lengths])
        return cast("torch.Tensor", logits)


def _fill(cache: Any, kept: Sequence[Beginning | None]) -> None:
    """Begin an empty cache with the states that are kept of its rows, padded on the left."""
    width = max(0 if beginning is None else beginning.length for beginning in kept)
    if width == 0:
        return
    some = next(beginning for beginning in kept if beginning is not None)
    for index, pair in enumerate(some.kept.states):
        blank = [states.new_zeros((1, states.shape[1], width, states.shape[3])) for states in pair]
        rows = [
            blank
            if beginning is None
            else [_padded(states, beginning.length, width) for states in beginning.kept.states[index]]
            for beginning in kept
        ]
        cache.update(torch.cat([row[0] for row in rows]), torch.cat([row[1] for row in rows]), index)


def _padded(states: torch.Tensor, length: int, width: int) -> torch.Tensor:
    return pad(states[:, :, :length], (0, 0, width - length, 0))
