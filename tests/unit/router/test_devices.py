"""The GPUs of `/system`, from what runtimes tell of theirs."""

import pytest

from hfmodel_api.wire import RuntimeInfo
from hfmodel_router.system import system
from support.scripted_runtime import INFO

GIB = 1024**3


@pytest.mark.parametrize(
    ("names", "sizes", "shown"),
    [
        pytest.param([], [], [], id="none"),
        pytest.param(["A"], [80 * GIB], [("A", 80.0)], id="one"),
        pytest.param(["A", "B"], [80 * GIB, 40 * GIB + GIB // 4], [("A", 80.0), ("B", 40.25)], id="two"),
        pytest.param(["A", "B"], [], [("A", None), ("B", None)], id="a runtime that does not tell"),
        pytest.param(["A"], [GIB, GIB], [("A", 1.0)], id="more sizes than devices"),
    ],
)
def test_each_gpu_has_its_name_and_memory(
    names: list[str], sizes: list[int], shown: list[tuple[str, float | None]]
) -> None:
    info = RuntimeInfo.model_validate(INFO | {"cuda_devices": names, "cuda_memory_bytes": sizes})
    found = system([info])
    assert [(device.name, device.memory_total_gb) for device in found.cuda_devices] == shown
    assert {device.model_id for device in found.cuda_devices} <= {"smollm2"}
    assert found.cuda_available is bool(names)
