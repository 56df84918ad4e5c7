"""A real memory limit for a real process: a cgroup of its own, version 1 or 2."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

_ROOT = Path("/sys/fs/cgroup")
_EMPTY_SECONDS = 10.0


@dataclass(frozen=True)
class MemoryLimit:
    """`directory` is the cgroup; `events` the file that counts out-of-memory kills."""

    directory: Path
    events: Path

    def wrap(self, command: list[str]) -> list[str]:
        """`command`, in the cgroup from its first instruction on."""
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.directory / "cgroup.procs"), *command]

    @property
    def kills(self) -> int:
        counts = dict(line.split() for line in self.events.read_text().splitlines())
        return int(counts["oom_kill"])


@contextmanager
def memory_limit(limit: int) -> Iterator[MemoryLimit]:
    """Processes in it may take `limit` bytes. Skips the test where this machine allows no cgroups to be made."""
    version1 = (_ROOT / "memory" / "memory.limit_in_bytes").exists()
    directory = (_ROOT / "memory" if version1 else _ROOT) / f"hfmodel-test-{os.getpid()}-{limit}"
    key, events = ("memory.limit_in_bytes", "memory.oom_control") if version1 else ("memory.max", "memory.events")
    try:
        directory.mkdir()
        (directory / key).write_text(str(limit))
    except OSError as error:
        with suppress(OSError):
            directory.rmdir()
        pytest.skip(f"no cgroup with a memory limit can be made here (needs root and the memory controller): {error}")
    try:
        yield MemoryLimit(directory, directory / events)
    finally:
        _remove(directory)


def _remove(directory: Path) -> None:
    # A process that has ended leaves its cgroup a moment later.
    deadline = time.monotonic() + _EMPTY_SECONDS
    while (directory / "cgroup.procs").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    directory.rmdir()
