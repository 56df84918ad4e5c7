"""What a model loses in bfloat16: how well it foresees a text, beside the same weights in float32."""

import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

TARGET = 1.0  # percent of perplexity more, at most
_ROOT = Path(__file__).resolve().parents[2]
# A text that models have read many times, and one that none has.
_TEXTS = (_ROOT / "LICENSE", _ROOT / "docs" / "architecture.md")
_PASSAGES, _LENGTH = 2, 500  # of each text; every passage is read on its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Perplexities of the same tokens, and how often both formats hold the same token for the likeliest.

    Attributes:
        full, half: in float32 and in bfloat16.
        tokens: that were foreseen.
    """

    full: float
    half: float
    same_percent: float
    tokens: int

    @property
    def increase_percent(self) -> float:
        return 100 * (self.half / self.full - 1)


@dataclass(frozen=True, slots=True)
class _Foreseen:
    """Of all tokens that have one before them: the mean loss, in nats, and what was held for likeliest instead."""

    loss: float
    choices: torch.Tensor


def measure(model_dir: Path, *, threads: int) -> Compared:
    """Both formats on the same passages, one after the other."""
    torch.set_num_threads(threads)
    tokenizer: Any = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
    passages = [passage for text in _TEXTS for passage in _passages(tokenizer, text.read_text(encoding="utf-8"))]
    full = _foreseen(model_dir, torch.float32, passages)
    gc.collect()  # or two models are in memory at once
    half = _foreseen(model_dir, torch.bfloat16, passages)
    return compared(full.loss, half.loss, full.choices == half.choices)


def compared(full_loss: float, half_loss: float, same: torch.Tensor) -> Compared:
    """Args: mean losses in nats, and for each token whether both formats choose the same."""
    return Compared(
        full=math.exp(full_loss),
        half=math.exp(half_loss),
        same_percent=100 * same.float().mean().item(),
        tokens=same.numel(),
    )


def _passages(tokenizer: Any, text: str) -> Sequence[torch.Tensor]:
    token_ids = tokenizer(text, verbose=False)["input_ids"]
    if len(token_ids) < _PASSAGES * _LENGTH:
        raise SystemExit(f"a text of {len(token_ids)} tokens is too short; {_PASSAGES * _LENGTH} are compared")
    starts = range(0, _PASSAGES * _LENGTH, _LENGTH)
    return [torch.tensor([token_ids[start : start + _LENGTH]]) for start in starts]


def _foreseen(model_dir: Path, dtype: torch.dtype, passages: Sequence[torch.Tensor]) -> _Foreseen:
    model: Any = AutoModelForCausalLM.from_pretrained(model_dir, dtype=dtype, local_files_only=True).eval()
    losses, choices = [], []
    with torch.inference_mode():
        for passage in passages:
            logits = model(passage, use_cache=False).logits[0, :-1].float()
            losses.append(cross_entropy(logits, passage[0, 1:]).item())
            choices.append(logits.argmax(-1))
    return _Foreseen(fmean(losses), torch.cat(choices))  # passages are equally long
