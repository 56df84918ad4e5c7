"""Chunked prompts, preemption and recovery on real forward passes: none of them may change a single greedy token."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from hfmodel_runtime.engine.batch import Prefill, RowBatch
from hfmodel_runtime.engine.causal import CausalBatch
from hfmodel_runtime.engine.detokenize import Detokenizer
from hfmodel_runtime.engine.penalties import RowSampler
from hfmodel_runtime.engine.protocol import FinishReason, Sampling, SequenceRequest
from hfmodel_runtime.engine.runner import Runner
from hfmodel_runtime.engine.seq2seq import Seq2SeqBatch
from hfmodel_runtime.engine.sequence import Sequence as Row
from hfmodel_runtime.engine.sequence import SequenceParts
from hfmodel_runtime.engine.tokenizer import ModelTokenizer
from support.engine_calls import Answer
from support.tiny_models import make_tiny_tokenizer

TinyModel = Callable[[str], Path]
_ARCHITECTURES = ["bloom", "mistral", "gpt_neo", "t5"]
_PROMPTS = [list(range(start, start + length)) for start, length in ((10, 30), (50, 2), (90, 17), (130, 9))]
_BUDGET = 160  # cached tokens: two of the rows below begin together and grow out of it


def _batch(directory: Path, architecture: str, *, chunk: int = 512) -> RowBatch:
    if architecture == "t5":
        seq2seq: Any = AutoModelForSeq2SeqLM.from_pretrained(directory).eval()
        return Seq2SeqBatch(seq2seq, start=(2,))
    causal: Any = AutoModelForCausalLM.from_pretrained(directory).eval()
    return CausalBatch(causal, chunk=chunk)


def _answers(
    batch: RowBatch, prompts: Sequence[list[int]], *, new_tokens: int = 14, token_budget: int = 10**6
) -> list[list[int]]:
    runner = Runner(batch, max_running=8, token_budget=token_budget, clock=time.monotonic)
    sampling = Sampling(max_new_tokens=new_tokens, temperature=0, ignore_eos=True)
    tokenizer = ModelTokenizer(make_tiny_tokenizer(), model_type="text", seq2seq=False)
    answers = [Answer() for _ in prompts]
    for prompt, answer in zip(prompts, answers, strict=True):
        parts = SequenceParts(
            sampler=RowSampler(sampling, prompt=prompt, eos_ids=()),
            detokenizer=Detokenizer(tokenizer.decode_all),
            token_text=tokenizer.token_text,
            eos_ids=frozenset(),
            max_new_tokens=new_tokens,
            on_end=lambda row: None,
        )
        runner.add(Row(SequenceRequest(prompt=tuple(prompt), sampling=sampling), answer, parts))
    with torch.inference_mode():
        while runner.busy:
            runner.step()
    assert [answer.reason for answer in answers] == [FinishReason.LENGTH] * len(prompts)
    return [answer.token_ids for answer in answers]


@pytest.mark.parametrize("architecture", _ARCHITECTURES)
def test_a_full_cache_changes_no_token(architecture: str, tiny_model: TinyModel, monkeypatch: Any) -> None:
    batch = _batch(tiny_model(architecture), architecture)
    alone = [_answers(batch, [prompt], new_tokens=60)[0] for prompt in _PROMPTS]
    joins: list[int] = []
    join = batch.join

    def counted(prefill: Prefill, rows: Sequence[int]) -> None:
        joins.extend(range(batch.rows, batch.rows + len(rows)))
        join(prefill, rows)

    monkeypatch.setattr(batch, "join", counted)
    assert _answers(batch, _PROMPTS, new_tokens=60, token_budget=_BUDGET) == alone
    assert len(joins) > len(_PROMPTS), "nothing was preempted"
    assert max(joins) > 0, "nothing ran together"


@pytest.mark.parametrize("architecture", _ARCHITECTURES)
def test_a_failed_step_changes_no_token(architecture: str, tiny_model: TinyModel, monkeypatch: Any) -> None:
    batch = _batch(tiny_model(architecture), architecture)
    alone = [_answers(batch, [prompt])[0] for prompt in _PROMPTS]
    step = batch.step
    failures = [RuntimeError("after the cache has grown")]

    def flaky(tokens: Sequence[int]) -> torch.Tensor:
        logits = step(tokens)
        if len(tokens) == len(_PROMPTS) and failures:
            raise failures.pop()
        return logits

    monkeypatch.setattr(batch, "step", flaky)
    assert _answers(batch, _PROMPTS) == alone
    assert not failures


@pytest.mark.parametrize("architecture", ["gpt2", "opt", "bloom", "codegen", "llama", "mistral", "gemma2", "phi"])
def test_a_prompt_in_pieces_changes_no_token(architecture: str, tiny_model: TinyModel) -> None:
    directory = tiny_model(architecture)
    whole = _answers(_batch(directory, architecture), _PROMPTS)
    assert _answers(_batch(directory, architecture, chunk=5), _PROMPTS) == whole
