"""A decoder-only model's forward pass over blocks of rows, and the start of rows by it."""

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch.nn.functional import pad
from transformers.cache_utils import DynamicCache

from hfmodel_runtime.engine import kv, packed
from hfmodel_runtime.engine.packed import Block
from hfmodel_runtime.engine.prefixes import Beginning
from hfmodel_runtime.engine.slots import Frame, SlotLayer

logger = logging.getLogger(__name__)


class CausalForward:
    """The model's forward pass with only the arguments it takes.

    On a CPU blocks are packed into one pass, if the model's attention can be replaced: reading the weights once more
    takes longer there than a few tokens do. The first pass, which begins a row, shows whether it can; later ones that
    have one block go the model's own way, which is the shorter.
    """

    def __init__(self, model: Any) -> None:
        parameters = inspect.signature(model.forward).parameters
        self._model = model
        self._takes_positions = "position_ids" in parameters
        self._keeps_logits = "logits_to_keep" in parameters
        self.device: torch.device = model.get_input_embeddings().weight.device
        handed_on = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
        possible = self._takes_positions and self._keeps_logits and handed_on and self.device.type == "cpu"
        self._packs = possible and packed.install(model)
        self._proven = False

    def __call__(self, *blocks: Block) -> list[torch.Tensor]:
        """Logits [rows, vocab] after the last tokens of each block, by which its cache grows."""
        if self._packs and (len(blocks) > 1 or not self._proven):
            logits = self._packed_if_possible(blocks)
            if logits is not None:
                return logits
        return [self._padded(block) for block in blocks]

    @property
    def packs(self) -> bool:
        """Whether several blocks take one pass."""
        return self._packs

    def stop_packing(self) -> bool:
        """One pass for each block from now on. Whether that is new."""
        was, self._packs = self._packs, False
        if was:
            packed.uninstall(self._model)
        return was

    def _packed_if_possible(self, blocks: Sequence[Block]) -> list[torch.Tensor] | None:
        try:
            logits = self._packed(blocks)
        except Exception as error:  # a model's own code may raise anything
            if self._proven:
                raise
            logger.info("blocks are not packed for this model: %s", error)
            self.stop_packing()
            for block in blocks:
                block.cache.layers.clear()  # the first pass finds nothing there
            return None
        self._proven = True
        return logits

    def _packed(self, blocks: Sequence[Block]) -> list[torch.Tensor]:
        whole, arguments = packed.arguments(blocks, self.device)
        logits = self._model(**arguments, use_cache=True, return_dict=True).logits[0]
        whole.check()
        return list(logits.split([block.rows for block in blocks]))

    def _padded(self, block: Block) -> torch.Tensor:
        arguments: dict[str, Any] = {"attention_mask": self._mask(block.lengths), "past_key_values": block.cache}
        if self._takes_positions:
            arguments["position_ids"] = torch.tensor(block.positions, device=self.device)
        if self._keeps_logits:
            arguments["logits_to_keep"] = 1
        tokens = torch.tensor(block.tokens, device=self.device)
        output = self._model(input_ids=tokens, **arguments, use_cache=True, return_dict=True)
        return cast("torch.Tensor", output.logits[:, -1])

    def _mask(self, lengths: list[int]) -> torch.Tensor | None:
        width = max(lengths)
        if min(lengths) == width:
            return None
        first = torch.tensor([width - length for length in lengths], device=self.device).unsqueeze(-1)
        return (torch.arange(width, device=self.device) >= first).long()


class CausalPrefill(ABC):
    """Rows of a decoder-only model on their way into the batch; they end at the last column of `cache`."""

    def __init__(self, forward: CausalForward, rows: Sequence[Sequence[int]]) -> None:
        self.rows = [list(row) for row in rows]
        self.lengths = [len(row) for row in rows]
        self.cache: Any = DynamicCache()
        self._forward = forward

    def advance(self) -> torch.Tensor | None:
        """As `Prefill.advance`."""
        (logits,) = self._forward(self.block())
        return self.computed(logits)

    @abstractmethod
    def block(self) -> Block:
        """What is to be computed next."""

    @abstractmethod
    def computed(self, logits: torch.Tensor) -> torch.Tensor | None:
        """It was, with these logits: what `advance` returns."""


class RowPrefill(CausalPrefill):
    """One row, computed chunk by chunk, from what is kept of it on."""

    def __init__(self, forward: CausalForward, tokens: Sequence[int], kept: Beginning | None, *, chunk: int) -> None:
        super().__init__(forward, [tokens])
        self._chunk = chunk
        self._done = 0
        self._frame = Frame(rows=1)
        if kept is not None:
            self._go_on_from(kept)

    def block(self) -> Block:
        (row,), end = self.rows, self._end()
        positions = list(range(self._done, end))
        return Block(tokens=[row[self._done : end]], positions=[positions], lengths=[end], cache=self.cache)

    def computed(self, logits: torch.Tensor) -> torch.Tensor | None:
        self._done = self._frame.end = self._end()
        return logits if self._done == self.lengths[0] else None

    def _end(self) -> int:
        return min(self._done + self._chunk, self.lengths[0])

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
        super().__init__(forward, rows)
        self._computed = computed
        shortened = [
            None if beginning is None or length <= computed else beginning.shortened(length - computed)
            for beginning, length in zip(kept, self.lengths, strict=True)
        ]
        _fill(self.cache, shortened)

    def block(self) -> Block:
        computed = self._computed
        tokens = [
            [0] * (computed - length) + row[-computed:] for length, row in zip(self.lengths, self.rows, strict=True)
        ]
        positions = [[max(0, length - computed + column) for column in range(computed)] for length in self.lengths]
        return Block(tokens=tokens, positions=positions, lengths=self.lengths, cache=self.cache)

    def computed(self, logits: torch.Tensor) -> torch.Tensor | None:
        width = max(self.lengths)
        kv.clear_padding(self.cache.layers, [width - length for length in self.lengths])
        return logits


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
