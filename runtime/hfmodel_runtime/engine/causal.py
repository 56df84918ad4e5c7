"""A batch of rows of a decoder-only model: left-padded, all rows write the same column.

- Padding is hidden by a 2D mask over the whole visible window; models that derive distances from columns (alibi,
  relative bias, a sliding window) see the right ones because every row ends at the same column.
- Prompts that wait together are computed together where that is faster; the states of padding are cleared, because
  a masked state that is not a number still spoils a sum.
- True position ids are always given where the model takes them: left out, a padded row is silently wrong.
- The cache is made without the model's config, so that every layer keeps its full length and a sliding window is the
  mask's doing; layers that drop old columns by themselves cannot be padded, nor can a beginning be taken from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hfmodel_runtime.engine import kv
from hfmodel_runtime.engine.batch import Prefill, RowTokens
from hfmodel_runtime.engine.forward import CausalForward, CausalPrefill, GroupPrefill, RowPrefill
from hfmodel_runtime.engine.memory import prefix_bytes
from hfmodel_runtime.engine.packed import Block
from hfmodel_runtime.engine.prefixes import Beginning, PrefixStore
from hfmodel_runtime.engine.products import Products
from hfmodel_runtime.engine.slots import Slots

PREFILL_CHUNK = 256  # tokens computed before running rows get their turn
_PASS = 24  # tokens that take as long as another pass over the weights does


@dataclass(slots=True)
class _Row:
    """A row that decodes.

    Attributes:
        tokens: all that its states were computed from.
        slot: where they are.
    """

    tokens: list[int]
    slot: int


class CausalBatch:
    """`RowBatch` of a decoder-only model.

    Args:
        kept: bytes for beginnings that may come again; None: a share of the memory there is.
    """

    def __init__(self, model: Any, *, chunk: int = PREFILL_CHUNK, kept: int | None = None) -> None:
        self._forward = CausalForward(model)
        self._products = Products(model)
        self._chunk = chunk
        self._prefixes = PrefixStore(prefix_bytes(self._forward.device) if kept is None else kept)
        self._slots = Slots()
        self._rows: list[_Row] = []

    @property
    def rows(self) -> int:
        return len(self._rows)

    @property
    def columns(self) -> int:
        return self._slots.width

    def columns_of(self, prompt: int, answer: int) -> int:
        return prompt + answer

    def bytes_per_token(self) -> int:
        return kv.bytes_per_column(self._slots.cache.layers)

    def worth_together(self, rows: Sequence[RowTokens]) -> int:
        """As many as fit into one chunk, unless passes of their own would cost less than the padding."""
        total = widest = 0
        for count, row in enumerate(rows):
            missing = self._missing(_tokens(row))
            total, widest = total + missing, max(widest, missing)
            computed = (count + 1) * widest
            if count > 0 and (computed > self._chunk or computed - total > count * _PASS):
                return count
        return len(rows)

    def prefill(self, rows: Sequence[RowTokens]) -> CausalPrefill:
        tokens = [_tokens(row) for row in rows]
        kept = [self._prefixes.find(row) for row in tokens]
        if len(tokens) == 1:
            return RowPrefill(self._forward, tokens[0], kept[0], chunk=self._chunk)
        computed = max(len(row) - _length(beginning) for row, beginning in zip(tokens, kept, strict=True))
        return GroupPrefill(self._forward, tokens, kept, computed=computed)

    def join(self, prefill: Prefill, rows: Sequence[int]) -> None:
        ours, first = _ours(prefill), len(self._rows)
        self._slots.add(ours.cache.layers, rows, [ours.lengths[row] for row in rows])
        self._rows += [_Row(ours.rows[row], first + place) for place, row in enumerate(rows)]
        for row in self._rows[first:]:
            self._remember(row)

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        (logits,) = self._forward(self._block(tokens))
        return self._stepped(tokens, logits)

    def step_beside(self, tokens: Sequence[int], prefill: Prefill) -> tuple[torch.Tensor, torch.Tensor | None] | None:
        if not self._forward.packs:
            return None
        ours = _ours(prefill)
        logits, begun = self._forward(self._block(tokens), ours.block())
        return self._stepped(tokens, logits), ours.computed(begun)

    def _block(self, tokens: Sequence[int]) -> Block:
        """A step, in the order of the slots."""
        self._slots.prepare()
        placed = sorted(zip(self._rows, tokens, strict=True), key=lambda pair: pair[0].slot)
        lengths = [len(row.tokens) for row, _ in placed]
        return Block(
            tokens=[[token] for _, token in placed],
            positions=[[length] for length in lengths],
            lengths=[length + 1 for length in lengths],
            cache=self._slots.cache,
        )

    def _stepped(self, tokens: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
        """It was computed: logits in the order of the rows."""
        for row, token in zip(self._rows, tokens, strict=True):
            row.tokens.append(token)
        self._slots.advance()
        self._products.advance()
        slots = [row.slot for row in self._rows]
        return logits if slots == sorted(slots) else logits[torch.tensor(slots, device=logits.device)]

    def simplify(self) -> bool:
        return self._forward.stop_packing()

    def improve(self) -> bool:
        return self._products.advance()

    def keep(self, rows: Sequence[int]) -> None:
        stay = set(rows)
        for gone in sorted(
            (row for place, row in enumerate(self._rows) if place not in stay), key=lambda row: -row.slot
        ):
            self._remember(gone)
            last = max(self._rows, key=lambda row: row.slot)
            self._slots.remove(gone.slot)
            last.slot = gone.slot
            self._rows = [row for row in self._rows if row is not gone]
        if not self._rows:
            self.clear()

    def clear(self) -> None:
        self._slots = Slots()
        self._rows = []

    def _missing(self, tokens: Sequence[int]) -> int:
        """Tokens that would have to be computed."""
        return len(tokens) - _length(self._prefixes.find(tokens))

    def _remember(self, row: _Row) -> None:
        if self._prefixes.wants(row.tokens, bytes_per_token=self.bytes_per_token()):
            self._prefixes.add(row.tokens, self._slots.states(row.slot))


def _ours(prefill: Prefill) -> CausalPrefill:
    if not isinstance(prefill, CausalPrefill):
        raise TypeError(f"not rows of this batch: {type(prefill).__name__}")
    return prefill


def _tokens(row: RowTokens) -> tuple[int, ...]:
    return (*row.prompt, *row.answer)


def _length(beginning: Beginning | None) -> int:
    return 0 if beginning is None else beginning.length
