"""A start imports what it needs, and not what only compiling and training need. Each in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.tiny_models import ARCHITECTURES

_LOAD = """
import sys
read = set()
sys.addaudithook(lambda event, about: read.add(str(about[0])) if event == "open" else None)
from hfmodel_runtime.server.loading import load_engine
from hfmodel_runtime.engine.protocol import LoadOptions
for path in sys.argv[1:]:
    load_engine(LoadOptions(path=path, model_id="m", threads=1)).close()
"""
_HEAVY = """
heavy = {"sympy", "torch._dynamo", "torch._inductor", "torch._meta_registrations", "torch.distributed.tensor"}
print(*(heavy & set(sys.modules)))
"""
_SOURCES_READ = """
print(len([path for path in read if path.endswith(".py") and "/transformers/models/" in path]))
"""
_IMPORT = "from hfmodel_runtime.engine.imports import import_engine; import_engine()\n"


def run(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_loading_needs_no_compiler_whatever_the_architecture(tiny_model: Callable[[str], Path]) -> None:
    assert run(_LOAD + _HEAVY, *(str(tiny_model(architecture)) for architecture in ARCHITECTURES)) == ""


def test_loading_reads_no_sources_of_other_models(tiny_model: Callable[[str], Path]) -> None:
    # Of the one that is loaded, the folder's own list is made.
    assert int(run(_LOAD + _SOURCES_READ, str(tiny_model("llama")))) < 20


@pytest.mark.parametrize(
    "use",
    [
        "import torch._dynamo; torch._dynamo.reset()",
        "import torch._dynamo.config; print(torch._dynamo.config.cache_size_limit > 0)",
        "from torch._dynamo.utils import counters; import torch._dynamo.utils as u; print(u.counters is counters)",
        "import torch; print(torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item() == 2)",
        "import torch; torch.export.export(torch.nn.Linear(1, 1), (torch.ones(1),))",
        "from torch.export import Dim; Dim('n'); import torch._dynamo",
    ],
    ids=["the module", "a module in it", "a name of one", "compiling", "exporting", "a name of export"],
)
@pytest.mark.parametrize("when", ["while", "after"])
def test_who_wants_the_compiler_gets_it(use: str, when: str) -> None:
    # With the compiler comes what torch needs to compile, and was left out.
    check = "import sys; print(*(type(sys.modules[f'torch.{m}']).__name__ for m in ('_dynamo', '_meta_registrations')))"
    inside = f"with stand_ins():\n    {use}\n    {check}" if when == "while" else f"{use}\n{check}"
    told = run(f"{_IMPORT}from hfmodel_runtime.engine.stand_ins import stand_ins\n{inside}")
    assert told.splitlines()[-1] == "module module"
    assert "False" not in told


def test_random_numbers_are_those_of_the_whole_of_torch() -> None:
    code = "import torch; print(torch.rand(3, generator=torch.Generator().manual_seed(7)).tolist())"
    assert run(_IMPORT + code) == run(code)


def test_operators_that_are_missing_come_with_the_whole_of_torch() -> None:
    code = """
import torch
from hfmodel_runtime.engine.stand_ins import whole_torch
def tried():
    try:
        return torch.ops.aten.unique_dim(torch.ones(2, device="meta"), 0)
    except NotImplementedError:
        return torch.linalg.lu_factor(torch.ones(2, 2, device="meta"))[0].shape == (2, 2)
whole_torch()
print(tried(), torch.empty(2, 3, device="meta").view(torch.int32).shape == (2, 3))
"""
    assert "False" not in run(_IMPORT + code)


_ASKED = {
    "names": "[name for name in sorted(dir(transformers)) if name[0] != '_']",
    "for a star": "sorted(transformers.__all__)",
    "a class": "transformers.BertModel",
    "a mapping": "transformers.AutoModelForCausalLM._model_mapping[transformers.Qwen2Config]",
    "from models": "__import__('transformers.models', fromlist=['gptj']).gptj.GPTJConfig",
}


@pytest.fixture(scope="module")
def imported_at_once() -> dict[str, str]:
    """What transformers answers where nothing is put off."""
    told: dict[str, str] = json.loads(run(f"import json, transformers; print(json.dumps({{{_asked(*_ASKED)}}}))"))
    return told


@pytest.mark.parametrize("asked", _ASKED)
def test_transformers_has_every_name_as_if_imported_at_once(asked: str, imported_at_once: dict[str, str]) -> None:
    told = json.loads(run(f"{_IMPORT}import json, transformers; print(json.dumps({{{_asked(asked)}}}))"))
    assert told[asked] == imported_at_once[asked]


def _asked(*names: str) -> str:
    return ", ".join(f"{name!r}: str({_ASKED[name]})" for name in names)


def test_transformers_knows_of_no_other_processes_and_torch_still_does() -> None:
    code = """
import torch
from transformers.utils.import_utils import is_torch_distributed_available
print(torch.distributed.is_available(), is_torch_distributed_available())
"""
    assert run(_IMPORT + code).endswith("False")
