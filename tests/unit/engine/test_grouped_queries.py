"""Keys and values that several query heads share are not copied for each of them on a CPU."""

import os

import pytest
import torch
from transformers.integrations.sdpa_attention import use_gqa_in_sdpa

from hfmodel_runtime.engine.attention import group_queries

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
