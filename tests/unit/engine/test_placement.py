import logging

import pytest
import torch

from hfmodel_api.status import Reason
from hfmodel_runtime.engine.failures import LoadFailure
from hfmodel_runtime.engine.machine import ThisMachine, computes_bfloat16
from hfmodel_runtime.engine.placement import choose_device, choose_dtype
from hfmodel_runtime.engine.stored import StoredWeights
from support.machines import FakeMachine, gpu

_CPU, _CUDA = torch.device("cpu"), torch.device("cuda")
_FULL, _HALF = StoredWeights({"F32": 100}), StoredWeights({"F16": 90, "F32": 10})


@pytest.mark.parametrize(
    ("wanted", "gpus", "expected"),
    [
        pytest.param("auto", 0, "cpu", id="auto-without-a-gpu"),
        pytest.param("auto", 1, "cuda", id="auto-with-a-gpu"),
        pytest.param("cpu", 1, "cpu", id="cpu-asked-for-beside-a-gpu"),
        pytest.param("cuda", 2, "cuda", id="gpu-asked-for"),
    ],
)
def test_the_device_is_what_is_asked_for_and_there(wanted: str, gpus: int, expected: str) -> None:
    assert choose_device(wanted, FakeMachine(graphics=(gpu(),) * gpus)).type == expected


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(LoadFailure, match=r"set spec\.gpu") as failed:
        choose_device("cuda", FakeMachine())
    assert failed.value.failure.reason is Reason.DEVICE_NOT_AVAILABLE


@pytest.mark.parametrize(
    ("device", "machine", "stored", "expected"),
    [
        pytest.param(_CPU, FakeMachine(), _HALF, torch.float32, id="cpu-without-bfloat16"),
        pytest.param(_CPU, FakeMachine(bfloat16=True), _HALF, torch.bfloat16, id="cpu-with-bfloat16"),
        pytest.param(_CPU, FakeMachine(bfloat16=True), _FULL, torch.float32, id="cpu-keeps-full-weights"),
        pytest.param(_CUDA, FakeMachine(graphics=(gpu(),)), _FULL, torch.bfloat16, id="gpu-with-bfloat16"),
        pytest.param(
            _CUDA, FakeMachine(graphics=(gpu(), gpu(bfloat16=False))), _FULL, torch.float16, id="one-gpu-without"
        ),
    ],
)
def test_auto_is_what_the_device_does_best(
    device: torch.device, machine: FakeMachine, stored: StoredWeights, expected: torch.dtype
) -> None:
    assert choose_dtype("auto", device, machine, stored) is expected


@pytest.mark.parametrize("device", [_CPU, _CUDA], ids=["cpu", "gpu"])
@pytest.mark.parametrize("wanted", ["float32", "bfloat16", "float16"])
def test_a_format_asked_for_is_honoured(device: torch.device, wanted: str) -> None:
    machine = FakeMachine(graphics=(gpu(),))
    assert choose_dtype(wanted, device, machine, _FULL) is getattr(torch, wanted)


def test_bfloat16_on_a_gpu_without_it_is_refused() -> None:
    with pytest.raises(LoadFailure, match="Tiny GPU does not compute bfloat16; set dtype: float16") as failed:
        choose_dtype("bfloat16", _CUDA, FakeMachine(graphics=(gpu(bfloat16=False),)), _FULL)
    assert failed.value.failure.reason is Reason.DEVICE_NOT_AVAILABLE


def test_float16_on_a_cpu_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        choose_dtype("float16", _CPU, FakeMachine(), _FULL)
    assert "slow" in caplog.text


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        pytest.param("processor : 0\nflags\t\t: fpu avx2 avx512f\n", False, id="avx512-alone"),
        pytest.param("flags\t\t: fpu avx512_bf16 avx2\n", True, id="avx512-bf16"),
        pytest.param("flags\t\t: fpu amx_tile amx_bf16\n", True, id="amx"),
        pytest.param("processor : 0\nFeatures : fp asimd\n", False, id="another-kind-of-cpu"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_the_cpu_is_asked_for_its_instructions(cpuinfo: str, expected: bool) -> None:
    assert computes_bfloat16(cpuinfo) is expected


def test_this_machine_answers() -> None:
    machine = ThisMachine()
    assert 0 < machine.memory().free <= machine.memory().total
    assert machine.private_bytes() > 0
    assert isinstance(machine.cpu_computes_bfloat16(), bool)
