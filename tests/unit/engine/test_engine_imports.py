"""A start imports what it needs, and not what only compiling and training need. Each in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.tiny_models import ARCHITECTURES

_WATCH = """
import sys
read = set()
sys.addaudithook(lambda event, about: read.add(str(about[0])) if event == "open" else None)
"""
_LOAD = """
import sys
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
    assert int(run(_WATCH + _LOAD + _SOURCES_READ, str(tiny_model("llama")))) < 20


def test_a_tokenizer_is_found_without_reading_sources_of_other_models() -> None:
    ask = "import transformers; assert transformers.CodeGenTokenizer.__module__.endswith('tokenization_codegen')"
    assert int(run(_WATCH + _IMPORT + ask + _SOURCES_READ)) < 20


_USES = {
    "the module": "import torch._dynamo; torch._dynamo.reset()",
    "a module in it": "import torch._dynamo.config; print(torch._dynamo.config.cache_size_limit > 0)",
    "a name of one": "from torch._dynamo import utils; import torch; print(torch._dynamo.utils is utils)",
    "compiling": "import torch; print(torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item() == 2)",
    "exporting": "import torch; torch.export.export(torch.nn.Linear(1, 1), (torch.ones(1),))",
    "a name of export": "from torch.export import Dim; Dim('n'); import torch._dynamo",
}


@pytest.mark.parametrize(
    ("when", "use"),
    [*(("after", use) for use in _USES), ("while", "a module in it"), ("while", "a name of one")],
)
def test_who_wants_the_compiler_gets_it(when: str, use: str) -> None:
    # With the compiler comes what torch needs to compile, and was left out.
    check = "import sys; print(*(type(sys.modules[f'torch.{m}']).__name__ for m in ('_dynamo', '_meta_registrations')))"
    code = _USES[use]
    inside = f"with stand_ins():\n    {code}\n    {check}" if when == "while" else f"{code}\n{check}"
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
def embedded():
    return torch.nn.functional.embedding(*(torch.ones(2, 2, device="meta", dtype=d) for d in (torch.long, torch.float)))
try:
    embedded()
except NotImplementedError:
    whole_torch()
    print(tuple(embedded().shape))
"""
    assert run(_IMPORT + code) == "(2, 2, 2)"


def test_a_model_that_needs_missing_operators_to_be_built_is_built(tiny_model: Callable[[str], Path]) -> None:
    code = """
import torch
from transformers.models.llama import modeling_llama
plain = modeling_llama.LlamaModel.__init__
def init(self, config):
    plain(self, config)
    self.embed_tokens(torch.ones(1, 2, dtype=torch.long, device=self.embed_tokens.weight.device))
modeling_llama.LlamaModel.__init__ = init
"""
    told = run(
        _IMPORT + code + _LOAD + "print('built', 'torch._meta_registrations' in sys.modules)", str(tiny_model("llama"))
    )
    assert told == "built True"


_ASKED = {
    "names": "[name for name in sorted(dir(transformers)) if name[0] != '_']",
    "for a star": "sorted(transformers.__all__)",
    "a class": "transformers.BertModel",
    "a mapping": "transformers.AutoModelForCausalLM._model_mapping[transformers.Qwen2Config]",
    "an alias": "(transformers.CodeGenTokenizer, transformers.FNetTokenizerFast)",
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
