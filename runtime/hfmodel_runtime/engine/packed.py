"""Blocks of rows that are computed in one pass without padding each other: all their tokens lie in one row.

Only attention has to know who is whose. The model takes it from transformers' registry, where this module puts its own;
everything else in a model treats each token alone, given its position.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from transformers.cache_utils import DynamicCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

from hfmodel_runtime.engine.attention import attend

_NAME: Final = "hfmodel"
_ARGUMENT: Final = "packed"
# What attention may be asked for besides and is computed here, or changes nothing.
_KNOWN: Final = frozenset({"dropout", "position_ids", "use_cache", "output_attentions"})


class Unpackable(Exception):
    """This model's attention asks for what is not computed here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Rows that are padded on the left to one length, and a cache that ends at the same column for all.

    Attributes:
        tokens: of each row the next ones, as many of each; padding where a row has fewer.
        positions: of each token.
        lengths: the rows' true ones, tokens included.
        cache: grows by the tokens.
    """

    tokens: list[list[int]]
    positions: list[list[int]]
    lengths: list[int]
    cache: Any

    @property
    def rows(self) -> int:
        return len(self.tokens)

    @property
    def columns(self) -> int:
        """Of the tokens."""
        return len(self.tokens[0])


def install(model: Any) -> bool:
    """Let `model` compute attention here. Returns whether it has attention that can be replaced."""
    config = model.config
    if config._attn_implementation != "sdpa" or not getattr(model, "_supports_attention_backend", False):
        return False
    AttentionInterface.register(_NAME, _attention)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    model.set_attn_implementation(_NAME)
    return bool(config._attn_implementation == _NAME)


def uninstall(model: Any) -> None:
    model.set_attn_implementation("sdpa")


def arguments(blocks: Sequence[Block], device: torch.device) -> tuple["Pass", dict[str, Any]]:
    """What the model's forward pass takes to compute `blocks`; its logits are those of each row's last token."""
    packed = Pass(blocks)
    ends = [end for pack in packed.packs for end in pack.ends]
    return packed, {
        "input_ids": _flat((block.tokens for block in blocks), device),
        "position_ids": _flat((block.positions for block in blocks), device),
        "logits_to_keep": torch.tensor(ends, device=device),
        # A mask that is complete already is handed through, and none is made.
        "attention_mask": torch.zeros((1, 1, 1, 1), device=device),
        "past_key_values": packed,
        _ARGUMENT: packed,
    }


def _flat(numbers: Iterator[list[list[int]]], device: torch.device) -> torch.Tensor:
    return torch.tensor([[number for rows in numbers for row in rows for number in row]], device=device)


@dataclass(slots=True)
class _Pack:
    """A block, and where it lies in the one row."""

    block: Block
    start: int
    masks: dict[int | None, torch.Tensor | None] = field(default_factory=dict)  # by the window

    @property
    def stop(self) -> int:
        return self.start + self.block.rows * self.block.columns

    @property
    def ends(self) -> range:
        """Where the rows' last tokens are."""
        return range(self.start + self.block.columns - 1, self.stop, self.block.columns)

    def of(self, states: torch.Tensor) -> torch.Tensor:
        """The block's [rows, heads, columns, size] of [1, heads, tokens, size]."""
        block, (_, heads, _, size) = self.block, states.shape
        return states[0, :, self.start : self.stop].reshape(heads, block.rows, block.columns, size).transpose(0, 1)

    def attend(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, *, scale: float | None, window: int | None
    ) -> torch.Tensor:
        """[tokens, heads, size]."""
        block, width = self.block, keys.shape[-2]
        if window not in self.masks:
            self.masks[window] = _mask(block.lengths, block.columns, width, window, like=query)
        mask = self.masks[window]
        ordered = mask is None and block.columns > 1
        found = attend(query, keys, values, mask=mask, in_order=ordered, scale=scale)
        return found.transpose(1, 2).reshape(block.rows * block.columns, query.shape[1], -1)


class Pass(DynamicCache):  # type: ignore[misc]
    """One pass over blocks: a cache that hands each of them its own states, and attention among those."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.packs: list[_Pack] = []
        start = 0
        for block in blocks:
            self.packs.append(_Pack(block, start))
            start = self.packs[-1].stop
        self._states: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.attended = 0  # layers

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give each block its states; `attend` follows before the next."""
        if self._states:
            raise Unpackable("a layer's attention is not asked of the registry")
        self._states = [
            pack.block.cache.update(pack.of(key_states), pack.of(value_states), layer_idx) for pack in self.packs
        ]
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0

    def attend(self, query: torch.Tensor, *, scale: float | None, window: int | None) -> torch.Tensor:
        """[1, tokens, heads, size] for a `query` [1, heads, tokens, size] of the layer whose states came last."""
        if not self._states:
            raise Unpackable("a layer without keys and values of its own")
        states, self._states = self._states, []
        found = [
            pack.attend(pack.of(query), keys, values, scale=scale, window=window)
            for pack, (keys, values) in zip(self.packs, states, strict=True)
        ]
        self.attended += 1
        return (found[0] if len(found) == 1 else torch.cat(found)).unsqueeze(0)

    def check(self) -> None:
        """Raises Unpackable: not every layer's attention was computed here."""
        if self._states or self.attended == 0:
            raise Unpackable("its attention is not asked of the registry")


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    packed: Pass | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers calls it; a pass without blocks is computed as ever, if it is not of one token a row."""
    unknown = {name for name, value in others.items() if value is not None} - _KNOWN
    if packed is not None:
        if unknown or not getattr(module, "is_causal", True):
            raise Unpackable(f"attention with {', '.join(sorted(unknown)) or 'no order'}")
        return packed.attend(query, scale=scaling, window=sliding_window), None
    if query.shape[-2] == 1 and not unknown:
        found = attend(query, key, value, mask=attention_mask, in_order=False, scale=scaling)
        return found.transpose(1, 2), None
    as_ever: tuple[torch.Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, scaling=scaling, sliding_window=sliding_window, **others
    )
    return as_ever


def _mask(
    lengths: list[int], columns: int, width: int, window: int | None, *, like: torch.Tensor
) -> torch.Tensor | None:
    """What is added for the last `columns` of `width`, [rows or 1, 1, columns, width]; None: order alone counts."""
    window = None if window is None or window >= width else window
    padded = min(lengths) < width
    if columns in (1, width) and not padded and window is None:
        return None
    column = torch.arange(width, device=like.device)
    own = column[width - columns :].unsqueeze(-1)
    seen = column <= own
    if window is not None:
        seen = seen & (column > own - window)
    if padded:
        first = torch.tensor([width - length for length in lengths], device=like.device).view(-1, 1, 1)
        # Padding sees itself: of nothing at all there is no mean, and what is not a number spreads.
        seen = seen & ((column >= first) | (column == own))
    seen = seen.view(-1, 1, columns, width)
    return like.new_zeros(seen.shape).masked_fill(~seen, float("-inf"))
