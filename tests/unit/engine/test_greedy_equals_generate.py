"""Every verified architecture, alone and in a mixed batch, against `model.generate`, token by token."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from hfmodel_runtime.engine.loader import load_engine
from hfmodel_runtime.engine.protocol import FinishReason, LoadOptions, Sampling
from hfmodel_runtime.engine.selftest import VERIFIED
from support.engine_calls import generate
from support.tiny_models import ARCHITECTURES, EOS_ID

TinyModel = Callable[[str], Path]

# Prompt lengths and answer lengths: every row joins at another step, and they leave in another order.
_ROWS = ((5, 20), (31, 6), (1, 25), (12, 3), (22, 18), (7, 30), (40, 11), (16, 16))


def _prompts() -> list[list[int]]:
    numbers = random.Random(7)
    return [[numbers.randrange(3, 300) for _ in range(length)] for length, _ in _ROWS]


def _reference(directory: Path, seq2seq: bool) -> Any:
    auto: Any = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    return auto.from_pretrained(directory, dtype=torch.float32).eval()


def _expected(model: Any, prompt: list[int], max_new_tokens: int) -> list[int]:
    tokens = torch.tensor([prompt])
    output: list[int] = model.generate(
        tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=max_new_tokens
    )[0].tolist()
    return output[1:] if model.config.is_encoder_decoder else output[len(prompt) :]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_greedy_tokens_equal_generate_alone_and_in_a_mixed_batch(architecture: str, tiny_model: TinyModel) -> None:
    directory = tiny_model(architecture)
    engine = load_engine(LoadOptions(path=str(directory), model_id="tiny", threads=1))
    model = _reference(directory, engine.info.seq2seq)
    prompts = _prompts()
    samplings = [Sampling(max_new_tokens=new, temperature=0) for _, new in _ROWS]
    expected = [_expected(model, prompt, new) for prompt, (_, new) in zip(prompts, _ROWS, strict=True)]
    try:
        alone = generate(engine, [prompts[0]], [samplings[0]])
        together = generate(engine, prompts, samplings)
    finally:
        engine.close()
    assert alone[0].token_ids == expected[0]
    assert [answer.token_ids for answer in together] == expected
    assert sum(map(len, expected)) > len(_ROWS) * 5, "the answers are too short to show anything"
    for answer in together:
        ended = answer.token_ids[-1] == EOS_ID
        assert answer.reason is (FinishReason.STOP if ended else FinishReason.LENGTH)


def test_every_verified_architecture_is_compared() -> None:
    assert set(ARCHITECTURES) >= VERIFIED
