"""Key and value states [rows, heads, columns, size], one pair a layer: pad, join, select.

Layers are replaced one at a time, so a change needs the room of one layer twice and not that of all.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad


def columns(layers: Sequence[Any]) -> int:
    """Columns of the cache layers, 0 while there are none."""
    return int(layers[0].keys.shape[-2]) if layers else 0


def append_rows(layers: Sequence[Any], others: Sequence[Any], *, left: bool) -> None:
    """Put the rows of `others` below those of `layers`, the shorter padded on the `left` or right; empties `others`."""
    width = max(columns(layers), columns(others))
    for layer, other in zip(layers, others, strict=True):
        layer.keys = torch.cat([_padded(layer.keys, width, left=left), _padded(other.keys, width, left=left)])
        layer.values = torch.cat([_padded(layer.values, width, left=left), _padded(other.values, width, left=left)])
        other.keys = other.values = None


def select_rows(layers: Sequence[Any], rows: Sequence[int], *, width: int, left: bool) -> None:
    """Keep only `rows`, and of their columns only the last `width` (with `left` padding) or the first."""
    for layer in layers:
        wanted = torch.tensor(rows, device=layer.keys.device)
        layer.keys = _trimmed(layer.keys, width, left=left).index_select(0, wanted)
        layer.values = _trimmed(layer.values, width, left=left).index_select(0, wanted)


def clear_padding(layers: Sequence[Any], missing: Sequence[int]) -> None:
    """Zero the first `missing[row]` columns of each row."""
    for layer in layers:
        for row, count in enumerate(missing):
            layer.keys[row, :, :count] = 0
            layer.values[row, :, :count] = 0


def bytes_per_column(layers: Sequence[Any]) -> int:
    """Bytes that one token of one row takes in all layers."""
    return sum(
        states.element_size() * states.shape[1] * states.shape[3]
        for layer in layers
        for states in (layer.keys, layer.values)
    )


def _padded(states: torch.Tensor, width: int, *, left: bool) -> torch.Tensor:
    missing = width - states.shape[-2]
    return pad(states, (0, 0, missing, 0) if left else (0, 0, 0, missing)) if missing else states


def _trimmed(states: torch.Tensor, width: int, *, left: bool) -> torch.Tensor:
    start = states.shape[-2] - width if left else 0
    return states[:, :, start : start + width]
