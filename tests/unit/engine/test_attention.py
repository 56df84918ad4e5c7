"""Keys and values that query heads share are not copied on a CPU, and however it is computed, attention is the same."""

import os

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations.sdpa_attention import use_gqa_in_sdpa

from hfmodel_runtime.engine import attention
from hfmodel_runtime.engine.attention import attend, group_queries

STATES = torch.zeros(1, 1, 4, 8)
MASK = torch.ones(1, 1, 1, 4, dtype=torch.bool)


@pytest.mark.parametrize(
    ("given", "device", "shared"),
    [
        pytest.param(None, "cpu", True, id="on a CPU"),
        pytest.param(None, "cuda", False, id="not on a GPU"),
        pytest.param("0", "cpu", False, id="not against what was set"),
    ],
)
def test_where_they_are_shared(given: str | None, device: str, shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {} if given is None else {"TRANSFORMERS_SDPA_FORCE_GQA": given})
    group_queries(torch.device(device))
    assert use_gqa_in_sdpa(MASK, STATES, STATES) is shared


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize(("tokens", "in_order"), [(1, False), (3, False), (20, True)], ids=["one", "some", "all"])
@pytest.mark.parametrize("sharing", [2, 6], ids=["shared", "not-shared"])
@pytest.mark.parametrize(
    ("dtype", "native"),
    [(torch.float32, True), (torch.bfloat16, False), (torch.bfloat16, True)],
    ids=["float32", "bfloat16", "bfloat16-native"],
)
def test_attention_is_what_float64_finds(
    dtype: torch.dtype,
    native: bool,
    sharing: int,
    tokens: int,
    in_order: bool,
    masked: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attention, "cpu_computes_bfloat16", lambda: native)
    query = torch.randn(4, 6, tokens, 16, dtype=dtype)
    keys, values = torch.randn(2, 4, sharing, 20, 16, dtype=dtype)
    mask = torch.zeros(4, 1, tokens, 20, dtype=dtype)
    mask[2, :, :, :7] = float("-inf")
    in_order = in_order and not masked
    found = attend(query, keys, values, mask=mask if masked else None, in_order=in_order, scale=0.3)
    copied_keys, copied_values = (states.double().repeat_interleave(6 // sharing, dim=1) for states in (keys, values))
    expected = scaled_dot_product_attention(
        query.double(),
        copied_keys,
        copied_values,
        attn_mask=mask.double() if masked else None,
        is_causal=in_order,
        scale=0.3,
    )
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)
