"""What choosing tokens costs beside computing their logits: rows of a real model, every parameter in use."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.engine import prompts
from hfmodel_runtime.engine.batch import RowTokens
from hfmodel_runtime.engine.causal import CausalBatch
from hfmodel_runtime.engine.penalties import RowSampler
from hfmodel_runtime.engine.protocol import Sampling
from hfmodel_runtime.engine.sampler import sample

ROWS = 64
TARGET = 15.0  # percent of a step, at most
_WARM_UP = 30  # steps, in which the weights take their form
_STEPS = 24

_FILTERS = Sampling(
    max_new_tokens=1000,
    min_new_tokens=1000,
    temperature=0.8,
    top_p=0.95,
    min_p=0.02,
    repetition_penalty=1.1,
    presence_penalty=0.5,
    frequency_penalty=0.5,
    logit_bias=((100, 1.0), (200, -1.0)),
    logprobs=5,
    seed=1,
    top_k=50,
)


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU milliseconds of this process, medians."""

    step: float
    sampling: float

    @property
    def percent(self) -> float:
        return 100 * self.sampling / self.step


def measure(model_dir: Path, *, threads: int) -> Costs:
    """Steps of a full batch and the choices that follow them, by turns."""
    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
    beginnings = [tokenizer(text)["input_ids"] for text in prompts.short(ROWS, seed=7)]
    rows = [RowSampler(_FILTERS, prompt=tokens, eos_ids=(tokenizer.eos_token_id,)) for tokens in beginnings]
    steps, choices = [], []
    with torch.inference_mode():
        batch = CausalBatch(model)
        prefill = batch.prefill([RowTokens(tokens) for tokens in beginnings])
        chosen = _chosen(_logits(prefill.advance), rows)
        batch.join(prefill, range(ROWS))
        for number in range(_WARM_UP + _STEPS):
            started = time.process_time()
            logits = batch.step(chosen)
            computed = time.process_time()
            chosen = _chosen(logits, rows)
            if number >= _WARM_UP:
                steps.append(1000 * (computed - started))
                choices.append(1000 * (time.process_time() - computed))
    return Costs(statistics.median(steps), statistics.median(choices))


def _logits(advance: Callable[[], torch.Tensor | None]) -> torch.Tensor:
    while (logits := advance()) is None:
        pass
    return logits


def _chosen(logits: torch.Tensor, rows: list[RowSampler]) -> list[int]:
    chosen = []
    for row, choice in zip(rows, sample(logits, rows), strict=True):
        if choice is None:
            raise SystemExit("the model's output is not a number")
        row.record(choice.token_id)
        chosen.append(choice.token_id)
    return chosen
