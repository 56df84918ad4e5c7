"""The machine that the router runs on, and the accelerators that its models report."""

import platform
from collections.abc import Iterable
from importlib import metadata
from itertools import zip_longest

import psutil
from pydantic import BaseModel

from hfmodel_api.wire import RuntimeInfo

_GIB = 1024**3


class SystemInfo(BaseModel):
    """In short, as /health has it."""

    cuda_available: bool
    memory_used_percent: float
    cuda_devices: int


class CudaDevice(BaseModel):
    name: str
    model_id: str  # that runs on it
    memory_total_gb: float | None  # None: its runtime does not tell


class System(BaseModel):
    """`GET /system`. CPU and memory are the router's machine; devices are those of the loaded models."""

    python_version: str
    torch_version: str | None  # of the loaded models, else as installed beside the router
    cuda_available: bool
    cuda_devices: list[CudaDevice]
    cpu_count: int
    memory_total_gb: float
    memory_available_gb: float
    memory_used_percent: float


def system_info(infos: Iterable[RuntimeInfo]) -> SystemInfo:
    devices = _devices(infos)
    return SystemInfo(
        cuda_available=bool(devices),
        memory_used_percent=psutil.virtual_memory().percent,
        cuda_devices=len(devices),
    )


def system(infos: Iterable[RuntimeInfo]) -> System:
    known = tuple(infos)
    devices = _devices(known)
    memory = psutil.virtual_memory()
    return System(
        python_version=platform.python_version(),
        torch_version=next((info.versions["torch"] for info in known if "torch" in info.versions), _installed_torch()),
        cuda_available=bool(devices),
        cuda_devices=devices,
        cpu_count=psutil.cpu_count() or 1,
        memory_total_gb=round(memory.total / _GIB, 2),
        memory_available_gb=round(memory.available / _GIB, 2),
        memory_used_percent=memory.percent,
    )


def _devices(infos: Iterable[RuntimeInfo]) -> list[CudaDevice]:
    return [
        CudaDevice(name=name, model_id=info.model_id, memory_total_gb=None if size is None else round(size / _GIB, 2))
        for info in infos
        for name, size in zip_longest(info.cuda_devices, info.cuda_memory_bytes[: len(info.cuda_devices)])
    ]


def _installed_torch() -> str | None:
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return None
