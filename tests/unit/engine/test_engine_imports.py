"""A start imports what it needs, and not what only compiling and training need. Each in a process of its own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_LOAD = """
import sys
from hfmodel_runtime.server.loading import load_engine
from hfmodel_runtime.engine.protocol import LoadOptions
engine = load_engine(LoadOptions(path=sys.argv[1], model_id="m", threads=1))
"""
_HEAVY = """
print(*({"torch._dynamo", "torch._inductor", "torch.distributed.tensor"} & set(sys.modules)))
"""


def run(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "t5"])
def test_loading_needs_no_compiler(tiny_model: Callable[[str], Path], architecture: str) -> None:
    assert run(_LOAD + _HEAVY, str(tiny_model(architecture))) == ""


@pytest.mark.parametrize(
    "use",
    [
        "import torch._dynamo; torch._dynamo.reset()",
        "import torch._dynamo.config; print(torch._dynamo.config.cache_size_limit > 0)",
        "from torch._dynamo.utils import counters; import torch._dynamo.utils as u; print(u.counters is counters)",
        "import torch; print(torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item() == 2)",
    ],
    ids=["the module", "a module in it", "a name of one", "compiling"],
)
@pytest.mark.parametrize("when", ["while", "after"])
def test_who_wants_the_compiler_gets_it(use: str, when: str) -> None:
    check = "import sys; print(type(sys.modules['torch._dynamo']).__name__)"
    inside = f"with without_dynamo():\n    {use}\n    {check}" if when == "while" else f"{use}\n{check}"
    told = run(f"from hfmodel_runtime.engine.imports import import_engine, without_dynamo\nimport_engine()\n{inside}")
    assert told.splitlines()[-1] == "module"
    assert "False" not in told


def test_transformers_knows_of_no_other_processes_and_torch_still_does() -> None:
    code = """
from hfmodel_runtime.engine.imports import import_engine
import_engine()
import torch
from transformers.utils.import_utils import is_torch_distributed_available
print(torch.distributed.is_available(), is_torch_distributed_available())
"""
    assert run(code).endswith("False")
