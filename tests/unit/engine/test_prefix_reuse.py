"""What was computed before is not computed again, and changes no token."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from hfmodel_runtime.engine.batch import RowTokens
from hfmodel_runtime.engine.causal import CausalBatch
from hfmodel_runtime.engine.packed import Block
from support.tiny_models import ARCHITECTURES

TinyModel = Callable[[str], Path]
_CAUSAL = [name for name in ARCHITECTURES if name not in {"t5", "bart"}]
_SYSTEM = list(range(10, 40))
_CONVERSATION = [_SYSTEM, [*_SYSTEM, 50, 51, 52], [*_SYSTEM, 60], [*_SYSTEM[:20], *range(70, 79)], [5, 6, 7]]


class _Counting:
    """A batch's forward pass that counts the tokens it is given."""

    def __init__(self, batch: CausalBatch) -> None:
        self.device = batch._forward.device
        self.tokens: list[int] = []
        self._inner = batch._forward

    def __call__(self, *blocks: Block) -> list[torch.Tensor]:
        self.tokens.append(sum(block.rows * block.columns for block in blocks))
        return self._inner(*blocks)


def _batch(directory: Path, *, kept: int, chunk: int = 64) -> CausalBatch:
    model: Any = AutoModelForCausalLM.from_pretrained(directory).eval()
    return CausalBatch(model, chunk=chunk, kept=kept)


def _answers(batch: CausalBatch, prompts: Sequence[list[int]], *, steps: int = 8) -> list[list[int]]:
    """Greedy tokens of prompts that are begun in one prefill and decode together."""
    prefill = batch.prefill([RowTokens(prompt) for prompt in prompts])
    logits = prefill.advance()
    while logits is None:
        logits = prefill.advance()
    batch.join(prefill, range(len(prompts)))
    answers = [[token] for token in logits.argmax(dim=-1).tolist()]
    for _ in range(steps):
        logits = batch.step([answer[-1] for answer in answers])
        for answer, token in zip(answers, logits.argmax(dim=-1).tolist(), strict=True):
            answer.append(token)
    batch.keep([])
    return answers


@pytest.mark.parametrize("architecture", _CAUSAL)
@torch.inference_mode()
def test_kept_beginnings_change_no_token_alone_or_together(architecture: str, tiny_model: TinyModel) -> None:
    directory = tiny_model(architecture)
    fresh, keeping = _batch(directory, kept=0), _batch(directory, kept=2**20)
    expected = [_answers(fresh, [prompt])[0] for prompt in _CONVERSATION]
    assert [_answers(keeping, [prompt])[0] for prompt in _CONVERSATION] == expected
    assert _answers(keeping, _CONVERSATION) == expected


@torch.inference_mode()
def test_a_conversation_that_goes_on_computes_only_what_is_new(tiny_model: TinyModel) -> None:
    batch = _batch(tiny_model("llama"), kept=2**20)
    [answer] = _answers(batch, [_SYSTEM])
    counting: Any = _Counting(batch)
    batch._forward = counting
    _answers(batch, [[*_SYSTEM, *answer, 50, 51]], steps=0)
    # The answer's last token was never fed to the model.
    assert counting.tokens == [3]


@torch.inference_mode()
def test_rows_that_share_a_beginning_are_begun_in_one_pass_without_it(tiny_model: TinyModel) -> None:
    batch = _batch(tiny_model("llama"), kept=2**20, chunk=20)
    _answers(batch, [_SYSTEM])
    rows = [RowTokens([*_SYSTEM, 50 + row, 51, 52]) for row in range(5)]
    assert batch.worth_together(rows) == 5
    counting: Any = _Counting(batch)
    batch._forward = counting
    _answers(batch, [list(row.prompt) for row in rows], steps=0)
    assert counting.tokens == [15]


@torch.inference_mode()
def test_nothing_is_kept_without_memory_for_it(tiny_model: TinyModel) -> None:
    batch = _batch(tiny_model("llama"), kept=0)
    _answers(batch, [_SYSTEM])
    assert batch._prefixes.size == 0


@torch.inference_mode()
def test_what_is_kept_stays_within_its_bytes(tiny_model: TinyModel) -> None:
    limit = 60_000
    batch = _batch(tiny_model("llama"), kept=limit)
    sizes = []
    for first in range(20):
        _answers(batch, [list(range(first * 5, first * 5 + 30))])
        sizes.append(batch._prefixes.size)
    assert limit / 2 < max(sizes) <= limit
