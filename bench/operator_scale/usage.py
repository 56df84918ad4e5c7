"""What processes use: CPU time and memory."""

from dataclasses import dataclass
from typing import Self

import psutil

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds, of the process that is measured and of the API server with its etcd."""

    own: float
    servers: float

    def since(self, before: Self) -> "Cpu":
        return Cpu(self.own - before.own, self.servers - before.servers)


@dataclass(frozen=True, slots=True)
class Meter:
    """One process, and the servers that it talks to."""

    process: psutil.Process
    servers: tuple[psutil.Process, ...]

    @classmethod
    def of(cls, pid: int, servers: tuple[int, ...]) -> Self:
        return cls(psutil.Process(pid), tuple(map(psutil.Process, servers)))

    def cpu(self) -> Cpu:
        """So far."""
        return Cpu(_seconds(self.process), sum(map(_seconds, self.servers)))

    def resident_mib(self) -> float:
        return float(self.process.memory_info().rss / _MIB)


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
