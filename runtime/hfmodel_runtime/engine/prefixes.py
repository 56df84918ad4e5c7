"""States of beginnings that were computed before: a repeated system prompt, a conversation that goes on.

Key and value states depend on nothing but the tokens up to theirs, so whoever begins with the same tokens can begin
with a copy. What was used last stays, within a number of bytes.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

SHORTEST = 16  # tokens; fewer are computed as fast as they are found

MOST = 512  # beginnings; of a small model very many would fit, and those that begin alike are all looked at

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
        self._by_head: dict[tuple[int, ...], set[tuple[int, ...]]] = {}  # the same, by their first `SHORTEST` tokens
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
        for each in [known for known in self._alike(new.tokens) if known == new.tokens[: len(known)]]:
            self._drop(each)
        self._kept[new.tokens] = new
        self._by_head.setdefault(_head(new.tokens), set()).add(new.tokens)
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
        """Of at least `SHORTEST` tokens."""
        wanted = tuple(tokens)
        best: tuple[int, ...] | None = None
        length = SHORTEST - 1
        for known in self._alike(wanted):
            # Only who shares the next token, too, shares more than the best so far.
            if known[length : length + 1] != wanted[length : length + 1]:
                continue
            shared = _shared(known, wanted)
            if shared > length:
                best, length = known, shared
        return None if best is None else Beginning(self._kept[best], length)

    def _alike(self, tokens: tuple[int, ...]) -> set[tuple[int, ...]]:
        """What is kept and begins alike."""
        return self._by_head.get(_head(tokens), set())

    def _drop(self, tokens: tuple[int, ...]) -> None:
        self.size -= self._kept.pop(tokens).size()
        alike = self._by_head[_head(tokens)]
        alike.remove(tokens)
        if not alike:
            del self._by_head[_head(tokens)]


def _head(tokens: tuple[int, ...]) -> tuple[int, ...]:
    return tokens[:SHORTEST]


def _shared(known: tuple[int, ...], tokens: tuple[int, ...]) -> int:
    """How many tokens both begin with."""
    # By halves: comparing slices is a hundred times faster than comparing tokens one by one.
    same, most = 0, min(len(known), len(tokens))
    while same < most:
        middle = (same + most + 1) // 2
        if known[same:middle] == tokens[same:middle]:
            same = middle
        else:
            most = middle - 1
    return same
