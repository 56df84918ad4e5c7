"""Does batching change what a model computes? Asked of every architecture that the project's tests do not cover.

Models differ in how they derive positions; one that ignores what a padded batch needs gives fluent, wrong text and no
error.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch

from hfmodel_runtime.engine.batch import RowBatch, RowTokens

logger = logging.getLogger(__name__)

# Their batches are compared with `generate` token by token in the tests.
VERIFIED = frozenset(
    {
        *("bloom", "codegen", "falcon", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neo", "gpt_neox", "gptj"),
        *("llama", "mistral", "opt", "phi", "qwen2", "qwen3", "smollm3", "t5"),
    }
)

_PROMPTS = (3, 23, 11, 30)  # lengths
_AGAIN = (20, 17)  # one more begins with so many tokens of the last, and has so many of its own
_STEPS = 2
# Of the spread of the logits: rounding stays far below, a wrong position far above.
_TOLERANCE = {torch.float32: 0.01}
_HALF_TOLERANCE = 0.15

# Logits [vocab] after prompt and answer, computed in one pass without any cache.
Reference = Callable[[Sequence[int], Sequence[int]], torch.Tensor]


class SelfTest:
    """Compares rows of `batch` with `reference`.

    Args:
        vocabulary: ids below it are valid.
    """

    def __init__(self, batch: RowBatch, reference: Reference, *, vocabulary: int) -> None:
        self._batch = batch
        self._reference = reference
        self._rows: list[tuple[list[int], list[int]]] = []  # prompt and answer of each row of the batch
        self._vocabulary = vocabulary

    def passes_alone(self) -> bool:
        """One row at a time, with the cache this engine gives it."""
        return all(self._run([[prompt]]) for prompt in self._prompts())

    def passes_together(self) -> bool:
        """Rows of different lengths that join, one by one or begun together, while others run, and leave."""
        prompts = self._prompts()
        return self._run([[prompt] for prompt in prompts]) and self._run(self._grouped(prompts))

    def _grouped(self, prompts: list[list[int]]) -> list[list[list[int]]]:
        """As the engine would begin them if all were waiting."""
        groups = []
        while prompts:
            count = self._batch.worth_together([RowTokens(prompt) for prompt in prompts])
            groups.append(prompts[:count])
            prompts = prompts[count:]
        return groups

    def _prompts(self) -> list[list[int]]:
        generator = torch.Generator().manual_seed(0)
        low, high = self._vocabulary // 4, max(self._vocabulary // 4 + 1, self._vocabulary // 2)
        *prompts, own = [
            torch.randint(low, high, (length,), generator=generator).tolist() for length in (*_PROMPTS, _AGAIN[1])
        ]
        return [*prompts, prompts[-1][: _AGAIN[0]] + own]

    def _run(self, groups: list[list[list[int]]]) -> bool:
        self._batch.clear()
        self._rows = []
        try:
            return all(self._joins(group) and self._steps() for group in groups) and self._leaves()
        except Exception:
            logger.exception("the batch cannot compute this model groups=%d", len(groups))
            return False
        finally:
            self._batch.clear()

    def _joins(self, prompts: list[list[int]]) -> bool:
        prefill = self._batch.prefill([RowTokens(prompt) for prompt in prompts])
        logits = None
        while logits is None:
            tokens = self._next()
            both = self._batch.step_beside(tokens, prefill) if tokens else None
            if both is None:
                logits = prefill.advance()
                continue
            stepped, logits = both
            if not self._stepped(tokens, stepped):
                return False
        self._batch.join(prefill, range(len(prompts)))
        first = len(self._rows)
        self._rows += [(prompt, []) for prompt in prompts]
        return all(self._agrees(logits[row], first + row) for row in range(len(prompts)))

    def _steps(self) -> bool:
        for _ in range(_STEPS):
            tokens = self._next()
            if not self._stepped(tokens, self._batch.step(tokens)):
                return False
        return True

    def _next(self) -> list[int]:
        return [prompt[len(answer) % len(prompt)] for prompt, answer in self._rows]

    def _stepped(self, tokens: list[int], logits: torch.Tensor) -> bool:
        for (_, answer), token in zip(self._rows, tokens, strict=True):
            answer.append(token)
        return all(self._agrees(logits[row], row) for row in range(len(self._rows)))

    def _leaves(self) -> bool:
        if len(self._rows) > 1:
            del self._rows[1]
            self._batch.keep([row for row in range(self._batch.rows) if row != 1])
        return self._steps()

    def _agrees(self, logits: torch.Tensor, row: int) -> bool:
        expected = self._reference(*self._rows[row]).float()
        tolerance = _TOLERANCE.get(logits.dtype, _HALF_TOLERANCE)
        return bool((logits.float() - expected).abs().mean() <= tolerance * expected.std())


def reference_for(model: Any, start: Sequence[int] | None) -> Reference:
    """The model's plain forward pass; `start`: what a seq2seq decoder begins with."""
    device = model.get_input_embeddings().weight.device

    def causal(prompt: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
        tokens = torch.tensor([[*prompt, *answer]], device=device)
        logits: torch.Tensor = model(input_ids=tokens, use_cache=False, return_dict=True).logits
        return logits[0, -1]

    def seq2seq(prompt: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
        decoder = torch.tensor([[*(start or ()), *answer]], device=device)
        tokens = torch.tensor([list(prompt)], device=device)
        logits: torch.Tensor = model(
            input_ids=tokens, decoder_input_ids=decoder, use_cache=False, return_dict=True
        ).logits
        return logits[0, -1]

    return causal if start is None else seq2seq
