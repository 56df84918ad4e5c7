"""A step and a piece of a prompt in one pass: each row's logits are those of its own tokens alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from hfmodel_runtime.engine import attention, loader, packed
from hfmodel_runtime.engine.batch import RowTokens
from hfmodel_runtime.engine.causal import CausalBatch
from hfmodel_runtime.engine.packed import Block, Pass
from hfmodel_runtime.engine.protocol import LoadOptions, Sampling
from hfmodel_runtime.engine.selftest import VERIFIED, reference_for
from support.engine_calls import generate

TinyModel = Callable[[str], Path]

_PACKED = (
    *("gemma", "gemma3_text", "gpt2", "gpt_neox", "llama", "mistral", "opt", "phi", "qwen2", "qwen3"),
    "smollm3",
)
_PROMPTS = [[5, 6, 7], list(range(10, 45)), [50], list(range(60, 72)), list(range(100, 130)), list(range(140, 150))]


class Rows:
    """A batch beside the reference: whatever it computes is compared."""

    def __init__(self, model: Any, *, chunk: int, tolerance: float = 1e-4) -> None:
        self.batch = CausalBatch(model, chunk=chunk)
        self._tolerance = tolerance
        self._reference = reference_for(model, None)
        self._rows: list[list[int]] = []
        self.passes = 0  # with rows that run and rows that begin

    def begin(self, prompts: Sequence[list[int]]) -> None:
        prefill = self.batch.prefill([RowTokens(prompt) for prompt in prompts])
        logits = None
        while logits is None:
            both = self.batch.step_beside(self._next(), prefill) if self._rows else None
            if both is None:
                logits = prefill.advance()
                continue
            stepped, logits = both
            self._fed(stepped)
            self.passes += 1
        self._agree(logits, prompts)
        self.batch.join(prefill, range(len(prompts)))
        self._rows += [list(prompt) for prompt in prompts]

    def step(self) -> None:
        self._fed(self.batch.step(self._next()))

    def leave(self, row: int) -> None:
        del self._rows[row]
        self.batch.keep([other for other in range(self.batch.rows) if other != row])

    def _next(self) -> list[int]:
        return [(7 * row[-1] + len(row)) % 300 for row in self._rows]

    def _fed(self, logits: torch.Tensor) -> None:
        for row, token in zip(self._rows, self._next(), strict=True):
            row.append(token)
        self._agree(logits, self._rows)

    def _agree(self, logits: torch.Tensor, rows: Sequence[list[int]]) -> None:
        expected = torch.stack([self._reference(row, ()) for row in rows])
        torch.testing.assert_close(logits, expected, rtol=self._tolerance, atol=self._tolerance)


def _model(directory: Path, dtype: torch.dtype = torch.float32) -> Any:
    return AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).eval()


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [pytest.param(torch.float32, 1e-4, id="float32"), pytest.param(torch.bfloat16, 6e-2, id="bfloat16")],
)
@pytest.mark.parametrize("architecture", _PACKED)
def test_rows_that_run_and_rows_that_begin_do_not_see_each_other(
    architecture: str, dtype: torch.dtype, tolerance: float, tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "cpu_computes_bfloat16", lambda: True)
    rows = Rows(_model(tiny_model(architecture), dtype), chunk=8, tolerance=tolerance)
    with torch.inference_mode():
        rows.begin(_PROMPTS[:1])
        for prompt in _PROMPTS[1:4]:
            rows.begin([prompt])
        rows.leave(1)
        rows.begin(_PROMPTS[4:])
        rows.step()
        rows.begin([_PROMPTS[4] + [9] * 12])  # goes on from what is kept
        rows.step()
    assert rows.passes >= 10


@pytest.mark.parametrize("architecture", sorted(VERIFIED - set(_PACKED) - {"t5"}))
def test_other_attention_is_computed_apart(architecture: str, tiny_model: TinyModel) -> None:
    rows = Rows(_model(tiny_model(architecture)), chunk=8)
    with torch.inference_mode():
        for prompt in _PROMPTS[:3]:
            rows.begin([prompt])
        rows.step()
    assert rows.passes == 0


def test_a_block_alone_is_packed_only_to_see_whether_it_can_be(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    make = packed.arguments

    def counted(blocks: Sequence[Block], device: torch.device) -> Any:
        passes.append(len(blocks))
        return make(blocks, device)

    monkeypatch.setattr(packed, "arguments", counted)
    rows = Rows(_model(tiny_model("llama")), chunk=8)
    with torch.inference_mode():
        rows.begin(_PROMPTS[:1])
        rows.step()
        rows.begin(_PROMPTS[1:2])
        rows.step()
    assert passes == [1, 2, 2, 2, 2, 2]


def _mixing(attend: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """As if another layer had let each token see the one beside it."""

    def mixed(self: Pass, query: torch.Tensor, **options: Any) -> torch.Tensor:
        found = attend(self, query, **options)
        return found + found.roll(1, dims=1)

    return mixed


def _refusing(attend: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def refused(self: Pass, query: torch.Tensor, **options: Any) -> torch.Tensor:
        raise RuntimeError("this model goes other ways")

    return refused


@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("spoil", [_mixing, _refusing], ids=["other-answers", "an-error"])
def test_a_model_that_cannot_be_packed_is_computed_without(
    spoil: Callable[..., Any], rows: int, tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, prompt = tiny_model("qwen3"), torch.tensor([[5, 6, 7]])
    expected = _model(directory).generate(prompt, do_sample=False, max_new_tokens=8)[0, 3:].tolist()
    monkeypatch.setattr(loader, "VERIFIED", frozenset())  # so that it is tested when it is loaded
    monkeypatch.setattr(Pass, "attend", spoil(Pass.attend))
    engine = loader.load_engine(LoadOptions(path=str(directory), model_id="tiny", threads=1, max_running=rows))
    try:
        [answer] = generate(engine, prompt.tolist(), [Sampling(max_new_tokens=8, temperature=0)])
    finally:
        engine.close()
    assert engine.limits.max_running == rows
    assert answer.token_ids == expected
