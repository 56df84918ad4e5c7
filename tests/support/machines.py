"""Machines that are not there."""

from collections.abc import Sequence
from dataclasses import dataclass

from hfmodel_runtime.engine.hostmemory import Room
from hfmodel_runtime.engine.machine import Gpu

GIB = 2**30


def room(
    *, total: int, free: int, limited: bool = False, shared: bool = True, name: str = "this machine's memory"
) -> Room:
    return Room(name=name, total=total, free=free, shared=shared, limited=limited)


def gpu(*, bfloat16: bool = True, total: int = 80 * GIB, free: int = 80 * GIB) -> Gpu:
    return Gpu(name="Tiny GPU", bfloat16=bfloat16, room=room(total=total, free=free, name="the memory of Tiny GPU"))


_LARGE = room(total=64 * GIB, free=60 * GIB)


@dataclass(frozen=True, kw_only=True)
class FakeMachine:
    """A `Machine`; by default a large one without a GPU."""

    graphics: tuple[Gpu, ...] = ()
    bfloat16: bool = False
    main: Room = _LARGE
    taken: int = 0

    def gpus(self) -> Sequence[Gpu]:
        return self.graphics

    def cpu_computes_bfloat16(self) -> bool:
        return self.bfloat16

    def memory(self) -> Room:
        return self.main

    def private_bytes(self) -> int:
        return self.taken
