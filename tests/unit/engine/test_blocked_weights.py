"""Weights in blocks give what plain ones give, in every architecture, and take the place of nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import linear
from transformers import AutoModelForCausalLM

from hfmodel_runtime.engine import products
from hfmodel_runtime.engine.causal import CausalBatch
from hfmodel_runtime.engine.products import BlockedLinear, Products
from hfmodel_runtime.engine.selftest import SelfTest, reference_for
from support.tiny_models import ARCHITECTURES

TinyModel = Callable[[str], Path]
_CAUSAL = [name for name in ARCHITECTURES if name not in {"t5", "bart"}]


class _Model(nn.Module):
    """Two layers, of which the last shares its weight with the embeddings."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(20, 8, dtype=dtype)
        self.inner = nn.Linear(8, 8, dtype=dtype)
        self.head = nn.Linear(8, 20, bias=False, dtype=dtype)
        self.head.weight = self.embeddings.weight

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embeddings


@pytest.fixture
def faster(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    return lambda verdict: monkeypatch.setattr(products, "is_faster", lambda by_rows, blocked: verdict)


def _replaced(model: Any) -> int:
    return sum(isinstance(module, BlockedLinear) for module in model.modules())


@pytest.mark.parametrize("architecture", _CAUSAL)
def test_every_architecture_computes_the_same_with_blocks(
    architecture: str, tiny_model: TinyModel, faster: Callable[[bool], None]
) -> None:
    faster(True)
    directory = tiny_model(architecture)
    plain: Any = AutoModelForCausalLM.from_pretrained(directory).eval()
    model: Any = AutoModelForCausalLM.from_pretrained(directory).eval()
    batch = CausalBatch(model)
    batch._products.advance()
    assert _replaced(model) >= 8
    with torch.inference_mode():
        assert SelfTest(batch, reference_for(plain, None), vocabulary=320).passes_together()


def test_slower_blocks_are_not_used(faster: Callable[[bool], None]) -> None:
    faster(False)
    model = _Model()
    Products(model).advance()
    assert _replaced(model) == 0


def test_shared_weights_stay_for_the_embeddings(faster: Callable[[bool], None]) -> None:
    faster(True)
    model = _Model()
    before = model.embeddings.weight
    Products(model).advance()
    assert isinstance(model.head, BlockedLinear)
    assert model.embeddings.weight is before
    torch.testing.assert_close(model.head.weight, before)


def test_blocks_take_no_more_than_their_share_of_the_memory(
    faster: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    faster(True)
    monkeypatch.setattr(products, "available_host_memory", lambda: 1000)
    model = _Model()
    Products(model).advance()
    assert (isinstance(model.inner, BlockedLinear), isinstance(model.head, BlockedLinear)) == (True, False)


@pytest.mark.parametrize(
    ("dtype", "native", "replaced"),
    [
        pytest.param(torch.bfloat16, True, 2, id="bfloat16 where it is computed"),
        pytest.param(torch.bfloat16, False, 0, id="not bfloat16 elsewhere"),
        pytest.param(torch.float16, True, 0, id="never float16"),
    ],
)
def test_which_halves_become_blocks(
    dtype: torch.dtype,
    native: bool,
    replaced: int,
    faster: Callable[[bool], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faster(True)
    monkeypatch.setattr(products, "cpu_computes_bfloat16", lambda: native)
    model, states = _Model(dtype), torch.randn(3, 8, dtype=dtype)
    expected = model.head(model.inner(states))
    Products(model).advance()
    assert _replaced(model) == replaced
    torch.testing.assert_close(model.head(model.inner(states)), expected)


@pytest.mark.parametrize("blocks_take", [0.5, 2.0])
def test_the_faster_of_both_wins(blocks_take: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_seconds", lambda work: 1.0 if work.func is linear else blocks_take)
    weight = torch.randn(8, 8)
    blocked = torch.ops.mkldnn._reorder_linear_weight(weight, 16)
    assert products.is_faster(weight, blocked) is (blocks_take < 1)


def test_both_are_tried_on_one_thread_and_the_others_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, before = [], torch.get_num_threads()

    def seconds(work: Callable[[], object]) -> float:
        threads.append(torch.get_num_threads())
        return 1.0

    monkeypatch.setattr(products, "_seconds", seconds)
    torch.set_num_threads(2)
    try:
        products.is_faster(torch.randn(8, 8), torch.ops.mkldnn._reorder_linear_weight(torch.randn(8, 8), 16))
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    assert (set(threads), after) == ({1}, 2)
