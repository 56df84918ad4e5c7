from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from hfmodel_runtime.engine.causal import CausalBatch
from hfmodel_runtime.engine.loader import load_engine
from hfmodel_runtime.engine.protocol import LoadOptions
from hfmodel_runtime.engine.selftest import SelfTest, reference_for

TinyModel = Callable[[str], Path]


def _test(directory: Path, *, blind: bool) -> SelfTest:
    """`blind`: the batch gives the model no positions, the mistake that goes unnoticed elsewhere."""
    model: Any = AutoModelForCausalLM.from_pretrained(directory).eval()
    batch = CausalBatch(model, chunk=8)
    if blind:
        batch.simplify()
        batch._forward._takes_positions = False
    return SelfTest(batch, reference_for(model, None), vocabulary=320)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma3_text", "bloom"])
def test_right_batching_passes(architecture: str, tiny_model: TinyModel) -> None:
    test = _test(tiny_model(architecture), blind=False)
    with torch.inference_mode():
        assert test.passes_alone()
        assert test.passes_together()


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma3_text", "phi"])
def test_wrong_positions_are_noticed(architecture: str, tiny_model: TinyModel) -> None:
    test = _test(tiny_model(architecture), blind=True)
    with torch.inference_mode():
        assert test.passes_alone()
        assert not test.passes_together()


def test_a_model_that_cannot_be_batched_runs_one_sequence_at_a_time(tiny_model: TinyModel) -> None:
    engine = load_engine(LoadOptions(path=str(tiny_model("bart")), model_id="bart", threads=1))
    engine.close()
    assert engine.limits.max_running == 1
