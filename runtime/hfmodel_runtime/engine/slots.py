"""Key and value states of the rows that decode, in buffers with room: a step writes one column and copies nothing else.

All rows end at one column, `end`; a row that joins is written so that it ends there too, a row that leaves has its slot
taken by the last one. Everything is copied only when there is no room left: every few dozen steps, or when many join.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

_ROWS = 4  # slots are made in multiples of it
_COLUMNS = 16  # to grow into, and an eighth of what there is


@dataclass(slots=True)
class Frame:
    """Which part of the buffers is in use, in every layer the same."""

    rows: int = 0
    start: int = 0
    end: int = 0


class SlotLayer(DynamicLayer):  # type: ignore[misc]
    """A layer of the cache: a window on a buffer [slots, heads, columns, size] each of keys and of values."""

    def __init__(self, frame: Frame, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self.keys, self.values = keys, values
        self._frame = frame

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Write the states of a step after the last column; returns all that are in use."""
        frame = self._frame
        end = frame.end + key_states.shape[-2]
        self.keys[: frame.rows, :, frame.end : end] = key_states
        self.values[: frame.rows, :, frame.end : end] = value_states
        return self.keys[: frame.rows, :, frame.start : end], self.values[: frame.rows, :, frame.start : end]

    def get_seq_length(self) -> int:
        return self._frame.end - self._frame.start


class Slots:
    """The states of some rows, each with its length. Slots are numbered from 0, without holes."""

    def __init__(self) -> None:
        self._frame = Frame()
        self._lengths: list[int] = []
        self.cache: Any = DynamicCache()

    @property
    def width(self) -> int:
        """Columns in use: those of the longest row."""
        return max(self._lengths, default=0)

    def add(self, layers: Sequence[Any], rows: Sequence[int], lengths: Sequence[int]) -> None:
        """Copy these rows of other layers, which end at their last column, each its last `length` columns."""
        first, longest = len(self._lengths), max(self.width, *lengths)
        self._make_room(layers, rows=first + len(rows), columns=longest, ahead=0)
        frame = self._frame
        start = frame.end - longest
        for layer, other in zip(self.cache.layers, layers, strict=True):
            for mine, theirs in ((layer.keys, other.keys), (layer.values, other.values)):
                mine[:first, :, start : frame.start] = 0
                for slot, (row, length) in enumerate(zip(rows, lengths, strict=True), start=first):
                    # A masked state still spoils a sum if it is not a number.
                    mine[slot, :, start : frame.end - length] = 0
                    mine[slot, :, frame.end - length : frame.end] = theirs[row, :, -length:]
        self._lengths += lengths
        self._settle()

    def remove(self, slot: int) -> None:
        """Drop one row; the last one gets its number."""
        last, frame = len(self._lengths) - 1, self._frame
        if slot != last:
            for layer in self.cache.layers:
                for states in (layer.keys, layer.values):
                    states[slot, :, frame.start : frame.end] = states[last, :, frame.start : frame.end]
        self._lengths[slot] = self._lengths[last]
        self._lengths.pop()
        self._settle()

    def prepare(self) -> None:
        """Make room for one more column."""
        self._make_room(self.cache.layers, rows=len(self._lengths), columns=self.width, ahead=1)

    def advance(self) -> None:
        """Count the column that a step has written."""
        self._lengths = [length + 1 for length in self._lengths]
        self._frame.end += 1

    def states(self, slot: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """A copy of one row's keys and values [1, heads, length, size], layer by layer."""
        frame = self._frame
        where = slice(frame.end - self._lengths[slot], frame.end)
        return [
            (layer.keys[slot : slot + 1, :, where].clone(), layer.values[slot : slot + 1, :, where].clone())
            for layer in self.cache.layers
        ]

    def _settle(self) -> None:
        self._frame.rows = len(self._lengths)
        self._frame.start = self._frame.end - self.width

    def _make_room(self, layers: Sequence[Any], *, rows: int, columns: int, ahead: int) -> None:
        """Buffers for so many rows whose longest has `columns`, and for `ahead` columns more."""
        frame, mine = self._frame, self.cache.layers
        if mine:
            slots, room = mine[0].keys.shape[0], mine[0].keys.shape[-2]
            few = slots > _ROWS and rows <= slots // 4
            if rows <= slots and not few and columns <= frame.end <= room - ahead:
                return
        shape = (-(-rows // _ROWS) * _ROWS if rows > 1 else 1, columns + _COLUMNS + columns // 8)
        moved = Frame(frame.rows, columns - (frame.end - frame.start), columns)
        for index, layer in enumerate(layers):
            old = mine[index] if index < len(mine) else None
            pair = [
                _moved(None if old is None else getattr(old, name), getattr(layer, name), shape, frame, moved)
                for name in ("keys", "values")
            ]
            if old is None:
                mine.append(SlotLayer(frame, *pair))
            else:
                old.keys, old.values = pair
        frame.start, frame.end = moved.start, moved.end


def _moved(
    old: torch.Tensor | None, like: torch.Tensor, shape: tuple[int, int], before: Frame, after: Frame
) -> torch.Tensor:
    """A new buffer of `shape` (slots, columns) with what was in use of the old one."""
    new = like.new_zeros((shape[0], like.shape[1], shape[1], like.shape[3]))
    if old is not None:
        rows = before.rows
        new[:rows, :, after.start : after.end] = old[:rows, :, before.start : before.end]
    return new
