"""What there is to compute with. The decisions that follow from it are in `placement` and `preflight`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import torch

from hfmodel_runtime.engine.hostmemory import Room, host_room, private_bytes

# Intel's and AMD's names for instructions that multiply bfloat16.
_BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One CUDA device. `bfloat16`: it computes that natively."""

    name: str
    bfloat16: bool
    room: Room


class Machine(Protocol):
    """What this process may use; memory is asked for anew at every call."""

    def gpus(self) -> Sequence[Gpu]: ...

    def cpu_computes_bfloat16(self) -> bool: ...

    def memory(self) -> Room: ...

    def private_bytes(self) -> int:
        """Main memory that this process has taken already."""


class ThisMachine:
    """The machine this runs on; CUDA is left alone where there is none."""

    def gpus(self) -> Sequence[Gpu]:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return [_gpu(index) for index in range(count)]

    def cpu_computes_bfloat16(self) -> bool:
        return cpu_computes_bfloat16()

    def memory(self) -> Room:
        return host_room()

    def private_bytes(self) -> int:
        return private_bytes()


@cache
def cpu_computes_bfloat16() -> bool:
    """Whether this processor has instructions for it; no where the system does not tell (macOS)."""
    try:
        return computes_bfloat16(_CPUINFO.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return False


def computes_bfloat16(cpuinfo: str) -> bool:
    """Whether a /proc/cpuinfo tells of instructions for bfloat16; without them it is slower than float32."""
    flags = next((line.partition(":")[2] for line in cpuinfo.splitlines() if line.startswith("flags")), "")
    return not _BFLOAT16_FLAGS.isdisjoint(flags.split())


def _gpu(index: int) -> Gpu:
    free, total = torch.cuda.mem_get_info(index)
    name = torch.cuda.get_device_name(index)
    with torch.cuda.device(index):
        bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return Gpu(
        name=name, bfloat16=bfloat16, room=Room(name=f"the memory of {name}", total=total, free=free, shared=True)
    )
