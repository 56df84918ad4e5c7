"""The products with a model's weights, which is where a CPU's time goes: computed the way that is fastest here.

oneDNN can multiply by weights that lie in blocks as it reads them. How much faster that is than by rows depends on the
processor and on the shape, so the first weight of each shape is tried both ways. Weights take their new form a few at a
time, while nobody needs the engine, else between steps: a model that wakes up gives its first token before that.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from hfmodel_runtime.engine.machine import cpu_computes_bfloat16
from hfmodel_runtime.engine.memory import available_host_memory

# Of the memory that is left once the weights are loaded. Those are mapped files, which stay until nobody uses them.
_SHARE = 0.3
_PIECE = 16 * 2**20  # bytes that take their new form between two steps
_BLOCKED_FOR = 16  # rows that the form is chosen for; others are computed with it too
_TRIED_ROWS = (1, 16, 64)
_TRIALS = 2  # at least, and more where they are short
_TRIAL_SECONDS = 0.01
# Falcon's own linear layer multiplies as any other does. By its name: its module is imported only where it is needed.
_FALCONS = "transformers.models.falcon.modeling_falcon.FalconLinear"


class BlockedLinear(nn.Module):
    """`nn.Linear` with its weight in blocks."""

    def __init__(self, blocked: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self._blocked = blocked
        self.bias = bias
        self.out_features, self.in_features = blocked.shape

    @property
    def weight(self) -> torch.Tensor:
        """A plain copy, for a model that looks at it."""
        return self._blocked.to_dense()

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return multiplied(states, self._blocked, self.bias)


class Products:
    """The linear layers of a model that may become faster. All calls come from the engine's thread."""

    def __init__(self, model: Any) -> None:
        places = _places(model) if _possible(model) else []
        # The largest gain the most, and there may not be room for all.
        self._waiting = deque(sorted(places, key=lambda place: -_size(getattr(*place))))
        self._faster: dict[torch.Size, bool] = {}
        self._room = int(_SHARE * available_host_memory()) if places else 0

    def advance(self) -> bool:
        """Give the next few weights their new form. Whether any are left."""
        done = 0
        while self._waiting and done < _PIECE:
            parent, name = self._waiting.popleft()
            size = _size(getattr(parent, name))
            if size <= self._room and self._replace(parent, name):
                self._room -= size
                done += size
        return bool(self._waiting)

    def _replace(self, parent: nn.Module, name: str) -> bool:
        """Whether blocks are faster for this layer; if so it has them now."""
        layer: Any = getattr(parent, name)
        weight = layer.weight.detach()
        by_rows = weight.t().contiguous() if isinstance(layer, Conv1D) else weight
        if not self._faster.get(by_rows.shape, True):
            return False
        blocked = torch.ops.mkldnn._reorder_linear_weight(by_rows, _BLOCKED_FOR)
        if by_rows.shape not in self._faster:
            self._faster[by_rows.shape] = is_faster(by_rows, blocked)
        if self._faster[by_rows.shape]:
            setattr(parent, name, BlockedLinear(blocked, layer.bias))
        return self._faster[by_rows.shape]


def multiplied(states: torch.Tensor, blocked: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """`states` [..., in] times a weight [out, in] in blocks."""
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(states, blocked, bias, "none", [], "")
    return product


def is_faster(by_rows: torch.Tensor, blocked: torch.Tensor) -> bool:
    """Whether blocks are, over small and large batches.

    Tried on one thread. Where something else runs, as it does while other models start, the shortest products wait for
    the second thread a hundred times as long as they take, and the verdict is kept for good: three of four were wrong.
    """
    gain = 0.0
    with _one_thread():
        for rows in _TRIED_ROWS:
            states = by_rows.new_ones((rows, by_rows.shape[1]))
            plain, other = _fastest(partial(linear, states, by_rows), partial(multiplied, states, blocked, None))
            gain += math.log(plain / other)
    return gain > 0


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fastest(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Seconds that each takes when nothing disturbs it; by turns, so that what lasts disturbs both."""
    times: list[tuple[float, float]] = []
    while len(times) < _TRIALS or sum(map(sum, times)) < _TRIAL_SECONDS:
        times.append((_seconds(one), _seconds(other)))
    return min(first for first, _ in times), min(second for _, second in times)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _possible(model: Any) -> bool:
    weight = model.get_input_embeddings().weight
    return bool(weight.device.type == "cpu" and torch._C._has_mkldnn)


def _places(model: nn.Module) -> list[tuple[nn.Module, str]]:
    """Where linear layers are."""
    dtypes = _dtypes()
    return [
        (parent, name)
        for parent in model.modules()
        for name, child in parent.named_children()
        if _is_linear(type(child)) and child.weight.dtype in dtypes
    ]


def _dtypes() -> set[torch.dtype]:
    """What is multiplied in blocks. Without instructions for bfloat16 a try alone takes seconds, and gains nothing."""
    return {torch.float32, torch.bfloat16} if cpu_computes_bfloat16() else {torch.float32}


def _is_linear(kind: type[nn.Module]) -> bool:
    """Other subclasses are left alone: they compute something else."""
    return kind in (nn.Linear, Conv1D) or f"{kind.__module__}.{kind.__qualname__}" == _FALCONS


def _size(layer: Any) -> int:
    """Bytes of a layer's weight."""
    return int(layer.weight.numel() * layer.weight.element_size())
