import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hfmodel_api.status import Reason
from hfmodel_runtime.engine import loader
from hfmodel_runtime.engine.failures import LoadFailure
from hfmodel_runtime.engine.protocol import LoadOptions, Sampling
from support.engine_calls import generate

TinyModel = Callable[[str], Path]
_LARGEST = torch.finfo(torch.float8_e4m3fn).max
_FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}


@pytest.fixture
def copy(tiny_model: TinyModel, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model("llama"), tmp_path / "llama"))


def _name_scheme(directory: Path, scheme: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": scheme}))


def _quantize(directory: Path, plain: Path) -> None:
    """Store the projections of `directory` as fp8 with a scale each, and in `plain` what these stand for."""
    shutil.copytree(directory, plain)
    stored, meant = {}, {}
    for name, weight in load_file(directory / "model.safetensors").items():
        stored[name] = meant[name] = weight
        if name.endswith("_proj.weight"):
            scale = weight.abs().max() / _LARGEST
            stored[name] = (weight / scale).to(torch.float8_e4m3fn)
            stored[f"{name}_scale_inv"] = scale.reshape(1, 1)
            meant[name] = (stored[name].to(torch.bfloat16) * scale.to(torch.bfloat16)).float()
    save_file(stored, directory / "model.safetensors", metadata={"format": "pt"})
    save_file(meant, plain / "model.safetensors", metadata={"format": "pt"})
    _name_scheme(directory, _FP8)


def _answer(directory: Path) -> list[int]:
    engine = loader.load_engine(LoadOptions(path=str(directory), model_id="tiny", dtype="float32", threads=1))
    [answer] = generate(engine, [[5, 6, 7, 40]], [Sampling(max_new_tokens=12, temperature=0, ignore_eos=True)])
    engine.close()
    assert engine.info.dtype == "float32"
    return answer.token_ids


def test_fp8_answers_as_the_numbers_it_stands_for(copy: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    _quantize(copy, plain)
    assert _answer(copy) == _answer(plain)


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        pytest.param({"quant_method": "awq", "bits": 4}, ("awq", "gptqmodel"), id="awq"),
        pytest.param({"quant_method": "gptq", "bits": 4}, ("gptq", "optimum"), id="gptq"),
        pytest.param({"load_in_4bit": True}, ("bitsandbytes", "bitsandbytes>="), id="bitsandbytes-4bit"),
        pytest.param({"quant_method": "bitsandbytes", "load_in_8bit": True}, ("bitsandbytes",), id="bitsandbytes-8bit"),
        pytest.param({"quant_method": "compressed-tensors"}, ("compressed-tensors>=",), id="compressed-tensors"),
        pytest.param({"quant_method": "exl2"}, ("exl2", "cannot be loaded here"), id="unknown-to-transformers"),
        pytest.param({"bits": 4}, ("an unnamed scheme",), id="unnamed"),
    ],
)
def test_a_scheme_that_cannot_be_loaded_is_named_with_what_to_do(
    scheme: dict[str, Any], words: tuple[str, ...], copy: Path
) -> None:
    _name_scheme(copy, scheme)
    with pytest.raises(LoadFailure, match="use a repository of the model without quantisation") as failed:
        loader.load_engine(LoadOptions(path=str(copy), model_id="tiny", threads=1))
    assert failed.value.failure.reason is Reason.ARCHITECTURE_NOT_SUPPORTED
    assert all(word in failed.value.failure.message for word in words)
    assert "\n" not in failed.value.failure.message


def test_a_scheme_that_is_not_an_object(copy: Path) -> None:
    _name_scheme(copy, "4 bits")
    with pytest.raises(LoadFailure, match="quantization_config") as failed:
        loader.load_engine(LoadOptions(path=str(copy), model_id="tiny", threads=1))
    assert failed.value.failure.reason is Reason.CONFIG_INVALID
