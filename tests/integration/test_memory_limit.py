"""A model that is too large for its container's memory says so itself; with the limit it asks for, it serves."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from hfmodel_api.status import Reason
from hfmodel_api.wire import Failure
from support.memory_cgroup import MemoryLimit, memory_limit
from support.tiny_models import make_tiny_tokenizer

pytestmark = pytest.mark.slow

MIB = 2**20
TOO_LITTLE = 512 * MIB
_UNITS = {"Mi": MIB, "Gi": 2**30}


@pytest.fixture(scope="module")
def large_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred million zeros in bfloat16, in a file with holes: 200 MB that take no room on the disk."""
    directory = tmp_path_factory.mktemp("large")
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=6,
        num_attention_heads=16,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        architectures=["LlamaForCausalLM"],
    )
    with torch.device("meta"):
        model: Any = LlamaForCausalLM(config)
    config.save_pretrained(directory)
    make_tiny_tokenizer().save_pretrained(directory)
    _write_zeros(directory / "model.safetensors", {name: weight.shape for name, weight in model.named_parameters()})
    return directory


def _write_zeros(path: Path, shapes: dict[str, torch.Size]) -> None:
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * shape.numel()
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(file.tell() + end)


def _serve(model: Path, limit: MemoryLimit, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "hfmodel_runtime", "serve", "--model-dir", str(model), "--model-id", "m"]
    return subprocess.Popen(
        limit.wrap([*command, "--port", "0", "--threads", "1", "--dtype", "float32", *options]),
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def _refusal(model: Path, limit: int, *, log: Path) -> Failure:
    with memory_limit(limit) as group, _serve(model, group, "--termination-log", str(log)) as process:
        _, stderr = process.communicate()
        assert (process.returncode, group.kills) == (1, 0), stderr
    assert "Traceback" not in stderr
    return Failure.model_validate_json(log.read_text())


def test_a_model_that_does_not_fit_says_so_before_the_kernel_does(large_model: Path, tmp_path: Path) -> None:
    failure = _refusal(large_model, TOO_LITTLE, log=tmp_path / "log")
    assert (failure.reason, failure.retryable) == (Reason.OUT_OF_MEMORY, False)
    assert re.search(r"LlamaForCausalLM needs \d+ MiB \(385 MiB for 101 million weights in float32", failure.message)
    assert "the memory limit, 512 MiB, leaves" in failure.message
    assert "dtype: bfloat16" in failure.message


def test_the_limit_that_it_asks_for_is_enough(large_model: Path, tmp_path: Path) -> None:
    failure = _refusal(large_model, TOO_LITTLE, log=tmp_path / "log")
    asked = re.search(r"Set resources\.limits\.memory: (\d+)(Mi|Gi)", failure.message)
    assert asked is not None, failure.message
    with memory_limit(int(asked[1]) * _UNITS[asked[2]]) as group, _serve(large_model, group) as process:
        try:
            lines = _until_ready(process)
        finally:
            process.kill()
        assert group.kills == 0, lines
        assert " ready " in lines[-1], lines


def _until_ready(process: "subprocess.Popen[str]") -> list[str]:
    lines = []
    for line in process.stderr or ():
        lines.append(line)
        if " ready " in line:
            break
    return lines
