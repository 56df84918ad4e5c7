"""States of beginnings that were computed before: a repeated system prompt, a conversation that goes on.

Key and value states depend on nothing but the tokens up to theirs, so whoever begins with the same tokens can begin
with a copy. What was used last stays, within a number of bytes.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

SHORTEST = 16  # tokens; fewer are computed as fast as they are found

MOST = 512  # beginnings; each is looked at for every prompt, and of a small model very many would fit

LayerStates = Sequence[tuple[torch.Tensor, torch.Tensor]]  # keys and values [1, heads, tokens, size] of each layer


@dataclass(frozen=True, slots=True)
class Kept:
    """A beginning and its states."""

    tokens: tuple[int, ...]
    states: LayerStates

    def size(self) -> int:
        """Bytes."""
        return sum(states.numel() * states.element_size() for layer in self.states for states in layer)


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first `length` tokens of something kept."""

    kept: Kept
    length: int

    def shortened(self, length: int) -> "Beginning":
        return Beginning(self.kept, min(length, self.length))


class PrefixStore:
    """Keeps what was used last, as much as fits into `limit` bytes, and at most `MOST` beginnings."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[int, ...], Kept] = OrderedDict()
        self.size = 0  # bytes

    def wants(self, tokens: Sequence[int], *, bytes_per_token: int) -> bool:
        """Whether it is worth while to keep these: long enough, not too long, and not known already."""
        if len(tokens) < SHORTEST or len(tokens) * bytes_per_token > self._limit:
            return False
        known = self._best(tokens)
        return known is None or known.length < len(tokens)

    def add(self, tokens: Sequence[int], states: LayerStates) -> None:
        """Keep these; what they only prolong is dropped."""
        new = Kept(tuple(tokens), states)
        for each in [known for known in self._kept if known == new.tokens[: len(known)]]:
            self._drop(each)
        self._kept[new.tokens] = new
        self.size += new.size()
        while self.size > self._limit or len(self._kept) > MOST:
            self._drop(next(iter(self._kept)))

    def find(self, tokens: Sequence[int]) -> Beginning | None:
        """The longest beginning that is kept, but for the last token, which has to be computed in any case."""
        best = self._best(tokens[:-1])
        if best is not None:
            self._kept.move_to_end(best.kept.tokens)
        return best

    def _best(self, tokens: Sequence[int]) -> Beginning | None:
        found = [Beginning(kept, _shared(known, tokens)) for known, kept in self._kept.items()]
        best = max(found, key=lambda beginning: beginning.length, default=None)
        return best if best is not None and best.length >= SHORTEST else None

    def _drop(self, tokens: tuple[int, ...]) -> None:
        self.size -= self._kept.pop(tokens).size()


def _shared(known: Sequence[int], tokens: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = zip(known, tokens, strict=False)
    return next((count for count, (one, other) in enumerate(pairs) if one != other), min(len(known), len(tokens)))
