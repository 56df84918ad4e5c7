from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, LlamaConfig

from hfmodel_api.status import Reason
from hfmodel_runtime.engine import loader
from hfmodel_runtime.engine.failures import LoadFailure
from hfmodel_runtime.engine.preflight import Candidate, cache_bytes_per_token, check_memory, limit_for
from hfmodel_runtime.engine.protocol import LoadOptions
from hfmodel_runtime.engine.stored import StoredWeights, pickled_weights, stored_weights
from support.machines import GIB, FakeMachine, gpu, room

TinyModel = Callable[[str], Path]
_BILLION = StoredWeights({"F32": 10**9})


def _limit(*, total: float, free: float) -> FakeMachine:
    main = room(total=int(total * GIB), free=int(free * GIB), limited=True, name="the memory limit")
    return FakeMachine(main=main, taken=GIB // 4)


def _machine(*, total: float, free: float) -> FakeMachine:
    return FakeMachine(main=room(total=int(total * GIB), free=int(free * GIB)), taken=GIB // 4)


def _gpu(*, total: float, free: float, count: int = 1) -> FakeMachine:
    return FakeMachine(graphics=(gpu(total=int(total * GIB), free=int(free * GIB)),) * count)


def _candidate(device: str = "cpu", dtype: torch.dtype = torch.float32) -> Candidate:
    return Candidate(
        name="LlamaForCausalLM", config=LlamaConfig(), stored=_BILLION, dtype=dtype, device=torch.device(device)
    )


@pytest.mark.parametrize(
    ("device", "machine"),
    [
        pytest.param("cpu", _limit(total=8, free=7), id="limit"),
        pytest.param("cpu", _machine(total=8, free=7), id="machine"),
        pytest.param("cuda", _gpu(total=8, free=7), id="gpu"),
        pytest.param("cuda", _gpu(total=4, free=3, count=3), id="spread-over-gpus"),
    ],
)
def test_what_fits_is_loaded(device: str, machine: FakeMachine) -> None:
    check_memory(_candidate(device), machine)


@pytest.mark.parametrize(
    ("device", "machine", "retryable", "numbers", "advice"),
    [
        pytest.param(
            "cpu",
            _limit(total=2, free=1.5),
            False,
            "the memory limit, 2.0 GiB, leaves 1.5 GiB",
            "Set resources.limits.memory: 5632Mi, or set dtype: bfloat16",
            id="limit",
        ),
        pytest.param(
            "cpu",
            _limit(total=8, free=1),
            True,
            "the memory limit, 8.0 GiB, leaves 1.0 GiB",
            "Set resources.limits.memory: 5632Mi",
            id="limit-that-others-use-up",
        ),
        pytest.param(
            "cpu",
            _machine(total=16, free=1),
            True,
            "this machine's memory, 16.0 GiB, leaves 1.0 GiB",
            "Unload another model",
            id="machine-that-others-use-up",
        ),
        pytest.param(
            "cpu",
            _machine(total=2, free=1.5),
            False,
            "this machine's memory, 2.0 GiB",
            "Use a machine with more memory",
            id="machine-too-small",
        ),
        pytest.param(
            "cuda",
            _gpu(total=2, free=2),
            False,
            "the memory of Tiny GPU, 2.0 GiB",
            "Set spec.gpu to more or larger GPUs",
            id="gpu-too-small",
        ),
        pytest.param(
            "cuda",
            _gpu(total=16, free=1),
            True,
            "the memory of Tiny GPU, 16.0 GiB, leaves 1.0 GiB",
            "Let another model on this GPU go",
            id="gpu-that-others-use-up",
        ),
        pytest.param(
            "cuda",
            _gpu(total=2, free=1, count=2),
            False,
            "the GPUs' memory, 4.0 GiB, leaves 2.0 GiB",
            "Set spec.gpu",
            id="gpus-too-small-together",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_both_numbers_and_what_to_do(
    device: str, machine: FakeMachine, retryable: bool, numbers: str, advice: str
) -> None:
    with pytest.raises(LoadFailure) as failed:
        check_memory(_candidate(device), machine)
    failure = failed.value.failure
    assert (failure.reason, failure.retryable) == (Reason.OUT_OF_MEMORY, retryable)
    assert "LlamaForCausalLM needs 5.2 GiB (3.7 GiB for 1,000 million weights in float32" in failure.message
    assert numbers in failure.message
    assert advice in failure.message


# A billion numbers, two hundred million of them in one tensor.
_LARGE_TENSOR = StoredWeights({"F32": 10**9}, {"F32": 2 * 10**8})


def _on_gpu(*, total: float, free: float, limited: bool = True) -> FakeMachine:
    """A large GPU in a small machine, or under a low limit."""
    name = "the memory limit" if limited else "this machine's memory"
    main = room(total=int(total * GIB), free=int(free * GIB), limited=limited, name=name)
    return FakeMachine(graphics=(gpu(),), main=main, taken=GIB // 4)


def _for_gpu(dtype: torch.dtype, stored: StoredWeights = _LARGE_TENSOR) -> Candidate:
    return Candidate(
        name="LlamaForCausalLM", config=LlamaConfig(), stored=stored, dtype=dtype, device=torch.device("cuda")
    )


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        pytest.param(torch.float32, _LARGE_TENSOR, id="copied-from-mapped-files-as-they-are"),
        pytest.param(torch.bfloat16, StoredWeights({"F32": 10**9}, {"F32": 10**7}), id="converted-one-by-one"),
        pytest.param(torch.bfloat16, _BILLION, id="pickles-whose-tensors-are-not-known"),
    ],
)
def test_weights_reach_a_gpu_through_less_main_memory_than_they_take(dtype: torch.dtype, stored: StoredWeights) -> None:
    check_memory(_for_gpu(dtype, stored), _on_gpu(total=0.5, free=0.2))


@pytest.mark.parametrize(
    ("machine", "retryable", "numbers", "advice"),
    [
        pytest.param(
            _on_gpu(total=0.5, free=0.2),
            False,
            "the memory limit, 512 MiB, leaves 205 MiB",
            "Set resources.limits.memory: 3Gi, or use a smaller model",
            id="limit",
        ),
        pytest.param(
            _on_gpu(total=4, free=0.2),
            True,
            "the memory limit, 4.0 GiB, leaves 205 MiB",
            "Set resources.limits.memory: 3Gi",
            id="limit-that-others-use-up",
        ),
        pytest.param(
            _on_gpu(total=4, free=0.2, limited=False),
            True,
            "this machine's memory, 4.0 GiB, leaves 205 MiB",
            "Unload another model",
            id="machine-that-others-use-up",
        ),
        pytest.param(
            _on_gpu(total=0.5, free=0.2, limited=False),
            False,
            "this machine's memory, 512 MiB, leaves 205 MiB",
            "Use a machine with more memory",
            id="machine-too-small",
        ),
    ],
)
def test_a_tensor_that_main_memory_cannot_hold_on_its_way_to_a_gpu_is_refused(
    machine: FakeMachine, retryable: bool, numbers: str, advice: str
) -> None:
    with pytest.raises(LoadFailure) as failed:
        check_memory(_for_gpu(torch.bfloat16), machine)
    failure = failed.value.failure
    assert (failure.reason, failure.retryable) == (Reason.OUT_OF_MEMORY, retryable)
    assert "LlamaForCausalLM needs 466 MiB of main memory to bring its weights to the GPU" in failure.message
    assert "(381 MiB for the largest tensor in bfloat16)" in failure.message
    assert numbers in failure.message
    assert advice in failure.message


def test_the_gpus_own_memory_is_asked_first() -> None:
    small = FakeMachine(graphics=(gpu(total=GIB, free=GIB),), main=room(total=GIB, free=0))
    with pytest.raises(LoadFailure, match=r"the memory of Tiny GPU, 1\.0 GiB"):
        check_memory(_for_gpu(torch.bfloat16), small)


def test_halves_are_not_advised_to_be_halved() -> None:
    with pytest.raises(LoadFailure) as failed:
        check_memory(_candidate(dtype=torch.bfloat16), _limit(total=2, free=1.5))
    assert "1.9 GiB for 1,000 million weights in bfloat16" in failed.value.failure.message
    assert "set dtype" not in failed.value.failure.message


@pytest.mark.parametrize(
    ("needed", "quantity"), [(1, "256Mi"), (GIB, "1Gi"), (GIB + 1, "1280Mi"), (3 * GIB - 5, "3Gi")]
)
def test_a_limit_is_a_round_kubernetes_quantity(needed: int, quantity: str) -> None:
    assert limit_for(needed) == quantity


def test_headers_tell_how_much_weights_take(tmp_path: Path) -> None:
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    save_file({"a": torch.zeros(10, 3), "scalar": torch.tensor(1.0)}, one)
    save_file({"b": torch.zeros(5, dtype=torch.bfloat16), "mask": torch.ones(7, dtype=torch.bool)}, two)
    stored = stored_weights([one, two])
    assert stored.floats == 36
    assert stored.bytes_as(torch.float32) == 36 * 4 + 7
    assert stored.bytes_as(torch.bfloat16) == 36 * 2 + 7
    assert stored.converted_at_once(torch.bfloat16) == 30 * 2
    assert stored.converted_at_once(torch.float32) == 5 * 4


def test_quantised_weights_take_what_they_are_made_into() -> None:
    stored = StoredWeights({"BF16": 10, "F8_E4M3": 100, "U8": 50, "F32": 1})
    assert stored.bytes_as(torch.bfloat16) == 22 + 150
    assert stored.unpacked().bytes_as(torch.bfloat16) == 2 * 211


@pytest.mark.parametrize(
    ("config", "count"),
    [({"torch_dtype": "float16"}, 500), ({"dtype": "bfloat16"}, 500), ({"dtype": "float32"}, 250), ({}, 250)],
    ids=["old-key", "new-key", "full", "not-said"],
)
def test_pickles_are_counted_by_their_size(config: dict[str, str], count: int, tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"0" * 1000)
    assert pickled_weights([tmp_path / "pytorch_model.bin"], config).floats == count


@pytest.mark.parametrize(
    "architecture",
    [
        *("llama", "gpt2", "opt", "gpt_neox", "bloom", "codegen", "gemma", "t5"),
        *("falcon", "falcon-alibi", "falcon-new-decoder"),
    ],
)
def test_the_cache_is_foreseen_from_the_config(architecture: str, tiny_model: TinyModel) -> None:
    directory = tiny_model(architecture)
    config = AutoConfig.from_pretrained(directory)
    engine = loader.load_engine(LoadOptions(path=str(directory), model_id="tiny", threads=1))
    engine.close()
    memory: Any = engine.info.memory_usage
    assert cache_bytes_per_token(config, torch.float32) == memory.cache_bytes_per_token


def test_a_model_that_does_not_fit_is_not_touched(tiny_model: TinyModel) -> None:
    directory = tiny_model("llama")
    with pytest.raises(LoadFailure, match=r"Set resources\.limits\.memory") as failed:
        loader.load_engine(
            LoadOptions(path=str(directory), model_id="tiny", threads=1), machine=_limit(total=0.2, free=0.1)
        )
    assert failed.value.failure.reason is Reason.OUT_OF_MEMORY
