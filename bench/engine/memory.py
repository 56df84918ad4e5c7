"""Does a server's memory stay what it is? Ten thousand requests of one that answers quickly, because it is tiny."""

import asyncio
import random
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from bench.engine import prompts
from bench.engine.load import drive
from bench.engine.servers import OURS, running

REQUESTS = 10_000
TARGET = 5.0  # percent from the first quarter's end to the last request, at most
_EVERY = 500
_CLIENTS = 16
_NEW_TOKENS = 4
_LENGTHS = (5, 60)


@dataclass(frozen=True, slots=True)
class Resident:
    """MiB that are resident before the first request and after each `every`."""

    every: int
    mib: tuple[float, ...]

    @property
    def growth_percent(self) -> float:
        """From the end of the first quarter, when what is kept on purpose is full, to the end."""
        settled, last = self.mib[len(self.mib) // 4], self.mib[-1]
        return 100 * (last - settled) / settled


def measure(model_dir: Path, *, threads: int) -> Resident:
    """Drive a tiny model with the tokenizer of `model_dir` through real HTTP."""
    with tempfile.TemporaryDirectory() as scratch:
        tiny, logs = Path(scratch) / "model", Path(scratch) / "logs"
        logs.mkdir()
        _make_tiny(model_dir, tiny)
        with running([OURS], model_dir=tiny, threads=threads, logs=logs) as (server,):
            mib = [server.resident_bytes() / 2**20]
            for first in range(0, REQUESTS, _EVERY):
                asyncio.run(drive(server, _texts(first), clients=_CLIENTS, new_tokens=_NEW_TOKENS))
                mib.append(server.resident_bytes() / 2**20)
    return Resident(_EVERY, tuple(mib))


def _texts(first: int) -> Sequence[str]:
    lengths = random.Random(first)  # noqa: S311 - not a secret
    return [prompts.prompt(lengths.randint(*_LENGTHS), seed=first + number) for number in range(_EVERY)]


def _make_tiny(model_dir: Path, tiny: Path) -> None:
    """The same architecture and vocabulary, with random weights and next to no layers."""
    shutil.copytree(model_dir, tiny, ignore=shutil.ignore_patterns("*.safetensors*", "config.json"))
    config = AutoConfig.from_pretrained(model_dir, local_files_only=True)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config.update({**sizes, "num_key_value_heads": 1, "head_dim": 16})
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tiny)
