"""Rows in buffers: whatever joins and leaves, each row's states are its own, right-aligned, with zeros before them."""

import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hfmodel_runtime.engine.slots import Slots

_LAYERS, _HEADS, _SIZE = 2, 3, 2


def _prefilled(rows: list[list[float]]) -> list[Any]:
    """Layers of a prefill; a token's states are its number, in the values negative."""
    width = max(map(len, rows))
    padded = torch.tensor([[torch.nan] * (width - len(row)) + row for row in rows])
    keys = padded[:, None, :, None].expand(-1, _HEADS, -1, _SIZE)
    return [SimpleNamespace(keys=keys * (layer + 1), values=-keys * (layer + 1)) for layer in range(_LAYERS)]


def _step(slots: Slots, numbers: list[float]) -> list[torch.Tensor]:
    """What each layer's attention sees of the keys when every slot gets another token."""
    slots.prepare()
    new = torch.tensor(numbers)[:, None, None, None].expand(-1, _HEADS, 1, _SIZE)
    seen = [slots.cache.update(new * (layer + 1), -new * (layer + 1), layer) for layer in range(_LAYERS)]
    slots.advance()
    assert all(torch.equal(keys, -values) for keys, values in seen)
    return [keys for keys, _ in seen]


def _expected(rows: list[list[float]]) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[0.0] * (width - len(row)) + row for row in rows])


@pytest.mark.parametrize("seed", range(8))
def test_rows_keep_their_states_while_others_come_and_go(seed: int) -> None:
    choices, number = random.Random(seed), iter(range(1, 10**6))
    slots, rows = Slots(), list[list[float]]()
    for _ in range(60):
        if not rows or choices.random() < 0.3:
            new = [[float(next(number)) for _ in range(choices.randint(1, 40))] for _ in range(choices.randint(1, 6))]
            slots.add(_prefilled(new), range(len(new)), [len(row) for row in new])
            rows += new
        if len(rows) > 1 and choices.random() < 0.5:
            for _ in range(choices.randint(1, len(rows) - 1)):
                gone = choices.randrange(len(rows))
                slots.remove(gone)
                rows[gone] = rows[-1]
                rows.pop()
        tokens = [float(next(number)) for _ in rows]
        rows = [[*row, token] for row, token in zip(rows, tokens, strict=True)]
        for layer, keys in enumerate(_step(slots, tokens)):
            assert torch.equal(keys[:, 0, :, 0], _expected(rows) * (layer + 1))
        assert slots.width == max(map(len, rows))


def test_a_step_copies_nothing_while_there_is_room() -> None:
    slots = Slots()
    slots.add(_prefilled([[1.0, 2.0], [3.0]]), range(2), [2, 1])
    _step(slots, [4.0, 5.0])
    where = slots.cache.layers[0].keys.data_ptr()
    for token in range(8):
        _step(slots, [float(token)] * 2)
    assert slots.cache.layers[0].keys.data_ptr() == where


def test_one_row_s_states_are_a_copy_without_padding() -> None:
    slots = Slots()
    slots.add(_prefilled([[1.0, 2.0, 3.0], [4.0]]), range(2), [3, 1])
    states = slots.states(1)
    slots.remove(1)
    slots.add(_prefilled([[9.0]]), [0], [1])
    assert [keys[0, 0, :, 0].tolist() for keys, _ in states] == [[4.0], [8.0]]


def test_buffers_shrink_when_most_rows_have_left() -> None:
    slots = Slots()
    slots.add(_prefilled([[1.0]] * 32), range(32), [1] * 32)
    for _ in range(30):
        slots.remove(0)
    _step(slots, [2.0, 2.0])
    assert slots.cache.layers[0].keys.shape[0] == 4
